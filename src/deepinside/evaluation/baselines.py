"""What to judge a localizer beside: boxes that do not look at the image, and maps of the class-activation family.

Grad-CAM and LayerCAM (`gradients.class_activation`) are taken at the last layer with a grid that the scores depend on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from deepinside.core.geometry import Box
from deepinside.evaluation.metrics import Map
from deepinside.gradients.class_activation import FORMULAS, class_activations
from deepinside.networks.classifier import Classifier


def center_box(width: int, height: int) -> Box:
    """The centered box of half the photo's area: both sides times the square root of 1/2."""
    left, top = width * (1 - math.sqrt(0.5)) / 2, height * (1 - math.sqrt(0.5)) / 2
    return Box(left, top, width - left, height - top)


def whole_image(width: int, height: int) -> Box:
    """The box of the whole photo."""
    return Box(0.0, 0.0, float(width), float(height))


def cam_maps(
    classifier: Classifier, layer: str, images: Float[Tensor, "batch channels height width"], classes: Sequence[int]
) -> dict[str, list[Map]]:
    """Grad-CAM and LayerCAM of one class per image, from one pass: maps of the image's size, from 0 to 1."""
    found = class_activations(classifier.fast, images, classes, layer, [*FORMULAS.values()])
    return {name: [_unit(map) for map in maps.cpu().numpy()] for name, maps in zip(FORMULAS, found, strict=True)}


def _unit(map: Map) -> Map:
    raised = map - map.min()
    return np.asarray(raised / (raised.max() or 1))
