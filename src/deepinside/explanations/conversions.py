"""Explanations as plain values and as the types of other libraries: pandas, supervision and FiftyOne.

They say the same as the files of `exports`, in the same names. The libraries are imported when they are asked for.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepinside.core.errors import DeepInsideError
from deepinside.core.results import Explanation
from deepinside.explanations.exports.fiftyone import described
from deepinside.explanations.exports.names import class_names
from deepinside.explanations.exports.objects import corners, numbered
from deepinside.explanations.exports.table import COLUMNS, of_objects
from deepinside.explanations.originals import Original

if TYPE_CHECKING:
    from fiftyone import Detections as FiftyOneDetections
    from pandas import DataFrame
    from supervision import Detections as SupervisionDetections


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """Objects one after the other, class by class, the surest of a class first. Raises `DeepInsideError` without boxes.

    This is what `deepinside localize --json` prints.
    """
    objects = [
        {
            "index": detection.index,
            "label": detection.label,
            "probability": round(detection.probability, 6),
            "confidence": round(detection.confidence, 6),
            "box": list(detection.box.as_tuple()),
        }
        for detection in explanation.objects
    ]
    return {"path": explanation.name, "width": explanation.width, "height": explanation.height, "objects": objects}


def as_frame(explanation: Explanation, original: Original) -> DataFrame:
    """A row for each object, with the columns of `objects.csv`. Raises `DeepInsideError` without boxes or pandas."""
    names: dict[int, str] = {}
    class_names(explanation, names)
    path = os.path.abspath(original) if isinstance(original, Path) else None
    of_photo = (explanation.name, path, explanation.width, explanation.height)
    rows = [(*of_photo, *row, explanation.review) for row in of_objects(explanation, names)]
    frame: DataFrame = _library("pandas").DataFrame(rows, columns=list(COLUMNS))
    return frame


def as_supervision(explanation: Explanation) -> SupervisionDetections:
    """Boxes, masks, confidences, and class indices and names. Raises `DeepInsideError` without boxes or supervision."""
    found = explanation.objects
    masks = np.array([each.mask for each in found], dtype=bool)
    detections: SupervisionDetections = _library("supervision").Detections(
        xyxy=np.array([corners(each) for each in found], dtype=np.float32).reshape(-1, 4),
        mask=masks.reshape(-1, explanation.height, explanation.width),
        confidence=np.array([each.confidence for each in found], dtype=np.float32),
        class_id=np.array([each.index for each in found], dtype=int),
        data={
            "class_name": np.array(class_names(explanation, {}), dtype=str),
            "probability": np.array([each.probability for each in found], dtype=np.float32),
        },
    )
    return detections


def as_fiftyone(explanation: Explanation) -> FiftyOneDetections:
    """What a sample of the export has as `objects`. Raises `DeepInsideError` without boxes or FiftyOne."""
    library = _library("fiftyone")
    names = class_names(explanation, {})
    detections: FiftyOneDetections = library.Detections(
        detections=[
            library.Detection(**described(seen, number, name, explanation))
            for (number, seen), name in zip(numbered(explanation), names, strict=True)
        ]
    )
    return detections


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise DeepInsideError(f"expected the package {name}, which is missing ({error}); pip install {name}") from None
