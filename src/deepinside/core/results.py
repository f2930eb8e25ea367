"""Results as frozen dataclasses. Arrays stay on the network's small grid until they are needed in photo pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The mask of an object on the network's grid, the seeds of both labels, and the energy of the cut in nats.

    Energies are comparable between masks of the same image under the same recipe only.
    """

    mask: Bool[np.ndarray, "height width"]
    foreground_seeds: Bool[np.ndarray, "height width"]
    background_seeds: Bool[np.ndarray, "height width"]
    energy: float


@dataclass(frozen=True, eq=False)
class Detection:
    """One class in one photo: its score, the pixels that the score depends on, and the object.

    `score` is the logit, and `probability` what the classifier makes of it, as `Explanation.probabilities` says. `map`
    is the saliency on the network's grid, 0 or more. `saliency`, `mask` and `box` are in photo pixels; `box` is the
    bounding box of `mask`.
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
        """The saliency of each photo pixel, 0 outside the region that the network saw."""
        return self.frame.map_to_photo(self.map)

    @property
    def mask(self) -> Bool[np.ndarray, "rows columns"]:
        """True on the photo pixels of the object. Raises `DeepInsideError` if the photo was explained without boxes."""
        return self.frame.mask_to_photo(self._found().mask)

    @property
    def box(self) -> Box:
        """The bounding box of the object in whole photo pixels, half-open. Raises as `mask` does."""
        return self.frame.mask_box(self._found().mask)

    def _found(self) -> Segmentation:
        if self.segmentation is None:
            raise DeepInsideError("expected an explanation with boxes, got saliency alone; call explain() for boxes")
        return self.segmentation


class About(NamedTuple):
    """How something was found, in the words of captions: what the maps are, and what the probabilities are of."""

    maps: str
    logits: str


WHOLE = "logits of the whole photo"
NOTHING_SAID = About("", WHOLE)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The classes of one photo, the most probable first; `width` and `height` are those of the photo in pixels.

    `probabilities` says how logits became probabilities: by `"softmax"`, so that those of all classes sum to one, or
    by `"sigmoid"`, each on its own. `about` is what the localizer says of itself.
    """

    name: str
    width: int
    height: int
    model: str
    preset: str
    objects: tuple[Detection, ...]
    probabilities: str = "softmax"
    about: About = NOTHING_SAID
