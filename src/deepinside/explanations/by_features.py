"""Our localizer: it looks at the whole photo, then closer at what it found, and cuts the photo's own pixels.

Like the paper's, it spreads a map by continuity. At the first look, what the network computes at a position tells
better than color which object the position belongs to; but its grid is coarse. So it looks again at a crop around what
it found, until the object fills its view, and leaves the outline to the colors of the pixels near it. What each choice
is worth is in `docs/localization.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo, view
from deepinside.core.results import WHOLE, About, Saliency, Segmentation
from deepinside.cut.continuity import Continuity, resize_smoothly
from deepinside.cut.graphcut import largest_component
from deepinside.cut.outline import OutlineOptions, trace
from deepinside.explanations.glance import Coarse, Glance, coarse_cut, glances
from deepinside.explanations.localizer import Choice, Map, Views, check_contrast, for_views, is_flat, pixels_of
from deepinside.gradients.private import borrowed
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import Stages


@dataclass(frozen=True, eq=False)
class Lead:
    """An object of a class as it was seen last: where, which of that glance's classes it is, and how sure it is."""

    glance: Glance
    k: int
    cut: Coarse
    confidence: float  # the probability of the class in that glance
    closed: bool = False  # whether a closer look was no better

    @property
    def box(self) -> Box:
        """Of the coarse mask, in photo pixels, not rounded."""
        x, y = (np.flatnonzero(self.cut.mask.any(axis=axis)) for axis in (0, 1))
        return self.glance.frame.to_photo(Box(float(x[0]), float(y[0]), float(x[-1]) + 1, float(y[-1]) + 1))


@dataclass(frozen=True, eq=False)
class FeatureSeen:
    """The first glance, of the whole photo, and for each class its objects at their closest."""

    first: Glance
    leads: tuple[tuple[Lead, ...], ...]  # for each class
    photo: Photo

    @property
    def logits(self) -> Float[Tensor, " classes"]:
        """The unnormalized scores of the whole photo."""
        return self.first.logits

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes chosen."""
        return self.first.classes

    @property
    def frame(self) -> Frame:
        """The whole photo, on the cells of the coarse cut."""
        return self.first.frame

    @property
    def maps(self) -> tuple[Map, ...]:
        """One map per class chosen, of the whole photo, between 0 and 1."""
        return self.first.maps


@dataclass(frozen=True)
class Best:
    """The whole photo, then closer looks at what was found, each cut by features and color; then the pixels."""

    # Times the network's size. The second size has finer grids; networks of a fixed size are shown the first only.
    scales: tuple[float, ...] = (1.0, 10 / 7)
    closer_scales: tuple[float, ...] = (10 / 7,)
    closer: int = 2  # looks after the first, at most
    margin: float = 0.3  # of the found box, left on each side for a closer look
    # An object fills its view when the next one would be hardly smaller.
    filled: float = 0.9
    # A closer look in which the class is so many times less likely does not see the object any more.
    doubt: float = math.exp(2)
    # Crops of one photo are looked at together where the smaller one covers so much of both.
    agree: float = 0.8
    # Pixels a side, at most, at which an outline is cut.
    resolution: int = 512
    continuity: Continuity = field(default_factory=Continuity)
    outline: OutlineOptions = field(default_factory=OutlineOptions)

    @property
    def about(self) -> About:
        """The two deep layers, and the whole photo."""
        return About("rule gradient, at two deep layers", WHOLE)

    def views(self, classifier: Classifier, photo: Photo) -> Views:
        """The whole photo, resized to each size of the network and to the cells of the cut."""
        whole = Box(0.0, 0.0, float(photo.width), float(photo.height))
        return self._views(classifier, photo, whole, self.scales)

    def see(self, classifier: Classifier, batch: Sequence[Views], choices: Sequence[Choice]) -> list[FeatureSeen]:
        """All photos in one pass at each size, each with the gradients of its classes at two layers; then closer.

        Each round of closer looks is one pass as well, of the crops of all photos.
        """
        stages = classifier.stages(_sizes(classifier, self.scales)[-1])
        with borrowed(classifier.fast, batch[0].images[0].to(classifier.device)) as private:
            firsts = glances(private, batch, for_views(choices, 1), stages, classifier.size, self.continuity)
            leads = [[_leads(classifier, first, k) for k in range(len(first.classes))] for first in firsts]
            for _ in range(self.closer):
                if not self._look_closer(classifier, private, stages, batch, leads):
                    break
        return [
            FeatureSeen(first, tuple(map(tuple, mine)), views.photo)
            for first, mine, views in zip(firsts, leads, batch, strict=True)
        ]

    def segment(self, seen: FeatureSeen, k: int) -> tuple[Segmentation, ...]:
        """The objects of the k-th class, cut at the photo's own resolution."""
        check_contrast(seen.maps[k])
        several = len(seen.leads[k]) > 1
        return tuple(self._traced(seen.photo, lead, several) for lead in seen.leads[k])

    def _views(self, classifier: Classifier, photo: Photo, region: Box, scales: Sequence[float]) -> Views:
        height, width = (round(side / self.continuity.cell) for side in classifier.size)
        frame = Frame(photo.width, photo.height, region, width, height)
        images = tuple(
            classifier.view(photo, Frame(photo.width, photo.height, region, wide, high))
            for high, wide in _sizes(classifier, scales)
        )
        return Views(photo, frame, images, pixels_of(view(photo, frame, Resampling.BOX)))

    def _look_closer(
        self,
        classifier: Classifier,
        private: nn.Module,
        stages: Stages,
        batch: Sequence[Views],
        leads: list[list[list[Lead]]],
    ) -> bool:
        """Replace the leads of photos and classes that do not fill their view yet by closer ones, if there are any."""
        crops: list[_Crop] = []
        for number, mine in enumerate(leads):
            crops += self._crops(number, mine, batch[number].photo)
        if not crops:
            return False
        views = [self._views(classifier, batch[crop.photo].photo, crop.region, self.closer_scales) for crop in crops]
        classes = _table([[lead.glance.classes[lead.k] for lead in crop.leads] for crop in crops])
        for crop, glance in zip(
            crops, glances(private, views, classes, stages, classifier.size, self.continuity), strict=True
        ):
            for (k, j), lead in zip(crop.places, crop.leads, strict=True):
                leads[crop.photo][k][j] = self._closer(classifier, lead, glance)
        return True

    def _crops(self, number: int, leads: Sequence[Sequence[Lead]], photo: Photo) -> list[_Crop]:
        """The regions of one photo that are worth a closer look; leads whose regions agree share one."""
        crops: list[_Crop] = []
        for k, mine in enumerate(leads):
            for j, lead in enumerate(mine):
                region = grown(lead.box, self.margin, photo)
                if lead.closed or region.area > self.filled * lead.glance.frame.region.area:
                    continue
                shared = next((crop for crop in crops if crop.region.iou(region) >= self.agree), None)
                if shared is None:
                    crops.append(_Crop(number, region, [(k, j)], [lead]))
                else:
                    shared.places.append((k, j))
                    shared.leads.append(lead)
        return crops

    def _closer(self, classifier: Classifier, lead: Lead, glance: Glance) -> Lead:
        """The object in a closer glance, or the lead as it was where the class is hardly seen any more."""
        index = lead.glance.classes[lead.k]
        k = glance.classes.index(index)
        found = _lead(classifier, glance, k)
        if found is None or found.confidence * self.doubt < lead.confidence:
            return Lead(lead.glance, lead.k, lead.cut, lead.confidence, closed=True)
        return found

    def _traced(self, photo: Photo, lead: Lead, several: bool) -> Segmentation:
        """The outline of a lead at the photo's resolution, as far as its margin reaches."""
        frame = self._pixels(photo, lead.glance.frame.region)
        size = (frame.height, frame.width)
        odds = resize_smoothly(lead.cut.odds, size)
        coarse = resize_smoothly(lead.cut.mask.astype(np.float32), size)
        mask = coarse >= min(0.5, coarse.max())
        found = trace(pixels_of(view(photo, frame, Resampling.BOX)), odds, mask, self.outline)
        own = Saliency(lead.glance.frame, lead.glance.maps[lead.k]) if several else None
        slope = self.continuity.slope
        return Segmentation(
            frame, _main(found.mask, odds, mask), odds > slope, odds < -slope, found.energy, own, lead.confidence
        )

    def _pixels(self, photo: Photo, region: Box) -> Frame:
        """A region on the photo's own pixels, or on fewer, so that the longer side has no more than `resolution`."""
        share = min(self.resolution / max(region.width, region.height), 1.0)
        width, height = (max(round(side * share), 1) for side in (region.width, region.height))
        return Frame(photo.width, photo.height, region, width, height)


@dataclass(frozen=True)
class _Crop:
    """A region of a photo of the batch, with the leads that it is for, by class and place among the class's objects."""

    photo: int
    region: Box
    places: list[tuple[int, int]]
    leads: list[Lead]


def grown(box: Box, margin: float, photo: Photo) -> Box:
    """A box with a margin on each side, in shares of its own sides, on whole pixels and within the photo."""
    x, y = box.width * margin, box.height * margin
    return Box(
        max(math.floor(box.x0 - x), 0.0),
        max(math.floor(box.y0 - y), 0.0),
        min(math.ceil(box.x1 + x), float(photo.width)),
        min(math.ceil(box.y1 + y), float(photo.height)),
    )


def _leads(classifier: Classifier, glance: Glance, k: int) -> list[Lead]:
    lead = _lead(classifier, glance, k)
    return [] if lead is None else [lead]


def _lead(classifier: Classifier, glance: Glance, k: int) -> Lead | None:
    """The object of a class in a glance, if its map points anywhere."""
    if is_flat(glance.maps[k]):
        return None
    confidence = float(classifier.posterior(glance.logits)[glance.classes[k]])
    return Lead(glance, k, coarse_cut(glance, k), confidence)


def _main(mask: Bool[np.ndarray, "h w"], odds: Map, coarse: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The component with the most evidence; the coarse mask where the pixels have left nothing of it."""
    return largest_component(mask, 1 / (1 + np.exp(-odds))) if mask.any() else coarse


def _table(classes: Sequence[Sequence[int]]) -> Tensor:
    """Rows of equal length: those of fewer classes have their last one repeated."""
    most = max(map(len, classes))
    return torch.tensor([[*row, *[row[-1]] * (most - len(row))] for row in classes])


def _sizes(classifier: Classifier, scales: Sequence[float]) -> list[tuple[int, int]]:
    """Every size but the network's own is a multiple of 32, which every stage of a network halves evenly."""
    height, width = classifier.size
    return [
        classifier.size if scale == 1 else (round(height * scale / 32) * 32, round(width * scale / 32) * 32)
        for scale in scales
    ]
