"""Results as frozen dataclasses. Arrays stay on the network's small grid until they are needed in photo pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame


class Saliency(NamedTuple):
    """A map and where it lies in the photo."""

    frame: Frame
    map: Float[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The mask of an object and the seeds of both labels on the grid of `frame`, and the energy of the cut in nats.

    Energies are comparable between masks of the same image under the same recipe only. `own` is the map of this object
    where a class has several; None where the map of the class is the object's. `confidence` is the probability that
    the localizer gives the object, in [0, 1]; None where it gives none, and the probability of the class stands for it.
    """

    frame: Frame
    mask: Bool[np.ndarray, "height width"]
    foreground_seeds: Bool[np.ndarray, "height width"]
    background_seeds: Bool[np.ndarray, "height width"]
    energy: float
    own: Saliency | None = None
    confidence: float | None = None


@dataclass(frozen=True, eq=False)
class Detection:
    """One object of one class in one photo: the class's score, the pixels that the score depends on, and the object.

    `score` is the logit of the class, and `probability` what the classifier makes of it, as
    `Explanation.probabilities` says: both are of the photo, and the same for all objects of the class. `map` is the
    saliency on the grid of `frame`, 0 or more. `saliency`, `mask` and `box` are in photo pixels; `box` is the bounding
    box of `mask`.
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
        found = self._found()
        return found.frame.mask_to_photo(found.mask)

    @property
    def box(self) -> Box:
        """The bounding box of the object in whole photo pixels, half-open. Raises as `mask` does."""
        found = self._found()
        return found.frame.mask_box(found.mask)

    @property
    def confidence(self) -> float:
        """How sure the localizer is that this is an object of the class, in [0, 1]. Raises as `mask` does."""
        confidence = self._found().confidence
        return self.probability if confidence is None else confidence

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
    """The objects in one photo: the classes in order, the most probable first, and of each the surest object first.

    `width` and `height` are those of the photo in pixels.

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
    review: float | None = None

    @property
    def by_class(self) -> tuple[tuple[Detection, ...], ...]:
        """The objects of each class, in the order of the classes; a class has at least one, the surest first."""
        return tuple(tuple(mine) for _, mine in groupby(self.objects, attrgetter("index")))
