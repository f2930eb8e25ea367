"""Label Studio: `tasks.json` with boxes and brushes, and `config.xml`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from deepinside.core import escape
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.exports.documents import json_line, xml
from deepinside.explanations.exports.growing import growing
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names, class_names
from deepinside.explanations.exports.objects import corners, reviewed, version_of
from deepinside.explanations.exports.run_lengths import brush_rle
from deepinside.explanations.exports.writers import Add


@contextmanager
def labelstudio(manifest: Manifest, known: Names) -> Iterator[Add]:
    """`tasks.json` to import and `config.xml` to paste (https://labelstud.io/guide/predictions).

    Each class is one prediction, with its probability as score; the annotator accepts one of them. Its results are the
    box and the mask of each object, with the confidence as score. A mask is a brush in Label Studio's run lengths. The
    Data Manager can sort by the `review` of a photo, where it has one.

    Photos are not copied, but addressed as local files: `/data/local-files/?d=home/me/photos/cat.jpg`. Label Studio
    serves them if it is started with `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and
    `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/` (on Windows the drive, such as `C:\\`), and if the folder of the photos
    is added to the project under Settings > Cloud Storage > Add Source Storage > Local files. It serves no other files.
    """
    names = dict(known)
    written = 0

    def describe() -> None:
        manifest.write(
            manifest.folder / "config.xml", xml(_labelstudio_config([names[index] for index in sorted(names)]))
        )

    describe()
    with growing(manifest, manifest.folder / "tasks.json", "[", lambda: "\n]\n") as grown:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            nonlocal written
            entry, version = manifest.number(photo), version_of(explanation)
            if not grown.lacks(entry, version):
                return
            before = len(names)
            class_names(explanation, names)
            predictions = [_prediction(mine, names[mine[0].index], explanation) for mine in explanation.by_class]
            data = {"image": _local_file(photo), "name": escape.encodable(name.as_posix()), **reviewed(explanation)}
            task = json_line(data=data, predictions=predictions)
            if len(names) > before:
                describe()
            written += 1
            grown.append((",\n" if written > 1 else "\n") + task, entry, version)

        yield add


def _prediction(objects: Sequence[Detection], label: str, explanation: Explanation) -> dict[str, Any]:
    """A class: the boxes and the masks of its objects."""
    return {
        "model_version": escape.encodable(f"{explanation.model} {explanation.preset}"),
        "score": objects[0].probability,
        "result": [
            result
            for number, detection in enumerate(objects, start=1)
            for result in _regions(number, detection, label, explanation)
        ],
    }


def _regions(number: int, detection: Detection, label: str, explanation: Explanation) -> list[dict[str, Any]]:
    """A box and a mask over the same photo; x, y, width and height are in percent of it."""
    x0, y0, x1, y1 = corners(detection)
    width, height = explanation.width, explanation.height
    box = {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
        "rotation": 0,
        "rectanglelabels": [label],
    }
    brush = {"format": "rle", "rle": brush_rle(detection.mask), "brushlabels": [label]}
    common = {
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": detection.confidence,
    }
    return [
        {"id": f"box-{number}", "from_name": "box", "type": "rectanglelabels", "value": box, **common},
        {"id": f"mask-{number}", "from_name": "mask", "type": "brushlabels", "value": brush, **common},
    ]


def _local_file(photo: Path) -> str:
    path = Path(os.path.abspath(photo))
    return "/data/local-files/?d=" + quote(os.fsencode(path.relative_to(path.anchor).as_posix()), safe="/")


def _labelstudio_config(labels: list[str]) -> ElementTree.Element:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image")
    for tag, name in (("RectangleLabels", "box"), ("BrushLabels", "mask")):
        control = ElementTree.SubElement(view, tag, name=name, toName="image")
        for label in labels:
            ElementTree.SubElement(control, "Label", value=label)
    return view
