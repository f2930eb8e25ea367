"""Objects of a class while they are being looked for: where each was seen last, and which are one and the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from deepinside.core.geometry import Box, Frame
from deepinside.explanations.glance import Coarse, Glance, coarse_cut
from deepinside.explanations.localizer import is_flat
from deepinside.networks.classifier import Classifier

COMPARED = 160  # pixels on the longer side of the photo at which masks of different views are compared


@dataclass(frozen=True, eq=False)
class Lead:
    """An object of a class as it was seen last: where, which of that glance's classes it is, and how sure it is."""

    glance: Glance
    k: int
    cut: Coarse
    confidence: float  # the probability of the class in that glance
    closed: bool = False  # whether a closer look was no better

    @property
    def index(self) -> int:
        """The class."""
        return self.glance.classes[self.k]

    @cached_property
    def box(self) -> Box:
        """Of the coarse mask, in photo pixels, not rounded."""
        return box_of(self.glance, self.cut.mask)

    @cached_property
    def small(self) -> Bool[np.ndarray, "rows columns"]:
        """The mask on a small copy of the photo, the same for all views."""
        return _small(self.glance, self.cut.mask)

    def covers(self, glance: Glance, cells: Bool[np.ndarray, "height width"]) -> bool:
        """Whether most of these cells of another glance are this object."""
        theirs = _small(glance, cells)
        return bool(2 * np.count_nonzero(theirs & self.small) > np.count_nonzero(theirs))


def lead_in(classifier: Classifier, glance: Glance, index: int) -> Lead | None:
    """The object of a class in a glance, or None where the map points nowhere."""
    k = glance.classes.index(index)
    if is_flat(glance.maps[k]):
        return None
    confidence = float(classifier.posterior(glance.logits)[index])
    return Lead(glance, k, coarse_cut(glance, k), confidence)


def box_of(glance: Glance, cells: Bool[np.ndarray, "height width"]) -> Box:
    """The bounding box, in photo pixels, of cells of a glance."""
    x, y = (np.flatnonzero(cells.any(axis=axis)) for axis in (0, 1))
    return glance.frame.to_photo(Box(float(x[0]), float(y[0]), float(x[-1]) + 1, float(y[-1]) + 1))


def grown(box: Box, margin: float, frame: Frame) -> Box:
    """A box with a margin on each side, in shares of its own sides, on whole pixels and within the photo of a frame."""
    x, y = box.width * margin, box.height * margin
    return Box(
        max(math.floor(box.x0 - x), 0.0),
        max(math.floor(box.y0 - y), 0.0),
        min(math.ceil(box.x1 + x), float(frame.photo_width)),
        min(math.ceil(box.y1 + y), float(frame.photo_height)),
    )


def apart(first: Lead, others: Sequence[Lead], surer: float, overlap: float) -> list[Lead]:
    """The first object of a class, and those of the others that are objects of their own, the surest first.

    None of them is surer than the first, which has the most evidence in the whole photo.

    Args:
        first: the object that stays in any case.
        others: further candidates.
        surer: the smallest confidence, in shares of the highest one.
        overlap: the largest share of the smaller of two masks that the other may cover, and of two boxes' IoU.
    """
    most = max(lead.confidence for lead in (first, *others))
    kept, masks = [first], [first.small]
    for lead in sorted(others, key=lambda each: -each.confidence):
        mask = lead.small
        is_new = not any(_covered(mask, old) > overlap for old in masks)
        is_new = is_new and not any(lead.box.iou(old.box) > overlap for old in kept)
        if lead.confidence >= surer * most and is_new:
            kept.append(replace(lead, confidence=min(lead.confidence, first.confidence)))
            masks.append(mask)
    return kept


def _small(glance: Glance, cells: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "rows columns"]:
    frame = glance.frame
    share = min(COMPARED / max(frame.photo_width, frame.photo_height), 1.0)
    width, height = (max(round(side * share), 1) for side in (frame.photo_width, frame.photo_height))
    return frame.resized(width, height).mask_to_photo(cells)


def _covered(one: Bool[np.ndarray, "rows columns"], other: Bool[np.ndarray, "rows columns"]) -> float:
    """Of the smaller mask, the share that the other one covers."""
    smaller = min(np.count_nonzero(one), np.count_nonzero(other))
    return np.count_nonzero(one & other) / smaller if smaller else 1.0
