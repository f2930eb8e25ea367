"""What comes out: plain frozen values. Arrays stay on the network's small grid until asked for in photo pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Where the object is, on the network's grid, and the seeds it grew from.

    `energy` is the cut's; it compares masks of one image under one recipe, nothing else.
    """

    mask: Bool[np.ndarray, "height width"]
    foreground_seeds: Bool[np.ndarray, "height width"]
    background_seeds: Bool[np.ndarray, "height width"]
    energy: float


@dataclass(frozen=True, eq=False)
class Detection:
    """One class in one photo: how sure the network is, which pixels decided, and where the object is.

    `score` is the logit, `probability` its softmax over all classes. `map` is the saliency on the network's grid,
    never negative. `saliency`, `mask` and `box` are in photo pixels; `box` is the bounding box of `mask`.
    """

    index: int
    label: str
    wnid: str | None
    score: float
    probability: float
    frame: Frame
    map: Float[np.ndarray, "height width"]
    segmentation: Segmentation | None

    @property
    def saliency(self) -> Float[np.ndarray, "rows columns"]:
        """The saliency of every photo pixel, 0 where the network did not look."""
        return self.frame.map_to_photo(self.map)

    @property
    def mask(self) -> Bool[np.ndarray, "rows columns"]:
        """The photo pixels of the object. Raises `DeepInsideError` where no object was asked for."""
        return self.frame.mask_to_photo(self._found().mask)

    @property
    def box(self) -> Box:
        """The object's box in whole photo pixels, half-open. Raises as `mask` does."""
        return self.frame.mask_box(self._found().mask)

    def _found(self) -> Segmentation:
        if self.segmentation is None:
            raise DeepInsideError("expected an explanation with boxes, got saliency alone; call explain() for boxes")
        return self.segmentation


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a classifier saw in one photo, the likeliest class first; `width` and `height` are the photo's."""

    name: str
    width: int
    height: int
    model: str
    preset: str
    objects: tuple[Detection, ...]
