"""What an exported file says of itself, as JSON in its metadata: enough to use it without this package.

The types of the page (`web/src/types.ts`, `About`) say the same to the compiler there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
from onnx import ModelProto

from deepinside.core.errors import DeepInsideError
from deepinside.explanations.by_features import Best
from deepinside.networks.classifier import Classifier

KEY = "deepinside"
FORMAT = 1  # of what is said; a reader refuses another one


def about(
    classifier: Classifier, classes: int, sizes: Sequence[tuple[int, int]], rule: str, pixels: str, weights: str
) -> dict[str, Any]:
    """What a file says of a classifier with so many classes.

    `draws` are the first numbers of NumPy's generator, with which `best` begins its color mixtures.
    """
    labels, localizer = classifier.labels, Best()
    return {
        "format": FORMAT,
        "version": version("deepinside"),
        "model": classifier.name,
        "labels": [labels.name(i) for i in range(len(labels))],
        "wnids": [labels.wnid(i) for i in range(len(labels))],
        "size": list(classifier.size),
        "sizes": [list(size) for size in sizes],
        "input": pixels,
        "weights": weights,
        "resample": classifier.resample.name.lower(),
        "link": classifier.link(classes),
        "rule": rule,
        "method": "saliency = max over channels of |d score / d image| (Simonyan et al. 2013, Sect. 3.1)",
        "constants": asdict(localizer),
        "draws": np.random.default_rng(0).random(localizer.outline.components).tolist(),
    }


def write_about(model: ModelProto, said: dict[str, Any]) -> None:
    """Put it into a model's metadata."""
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=json.dumps(said, ensure_ascii=False))


def read_about(model: ModelProto) -> dict[str, Any]:
    """What a model says of itself. Raises `DeepInsideError` for one that this package has not written."""
    for entry in model.metadata_props:
        if entry.key == KEY:
            said: dict[str, Any] = json.loads(entry.value)
            if said.get("format") == FORMAT:
                return said
    raise DeepInsideError(
        f"expected a model that `deepinside export-onnx` has written, with metadata of format {FORMAT}, got another "
        "one; export it again"
    )
