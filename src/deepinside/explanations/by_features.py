"""Our localizer: it looks at the whole photo, then closer at what it found, and cuts the photo's own pixels.

Like the paper's, it spreads a map by continuity. At the first look, what the network computes at a position tells
better than color which object the position belongs to; but its grid is coarse. So it looks again at a crop around what
it found, until the object fills its view, and leaves the outline to the colors of the pixels near it. What each choice
is worth is in `docs/localization.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

import numpy as np
from jaxtyping import Float
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.constants import COUNT, SHARE, Range, check_ranges
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo, view
from deepinside.core.results import WHOLE, About, Saliency, Segmentation
from deepinside.cut.continuity import Continuity, resize_smoothly
from deepinside.cut.outline import OutlineOptions, trace
from deepinside.cut.peaks import peaks
from deepinside.explanations.glance import Glance, glances, main_component
from deepinside.explanations.leads import Lead, apart, box_of, grown, lead_in
from deepinside.explanations.localizer import (
    LARGEST_ENLARGEMENT,
    Choice,
    Map,
    Views,
    check_contrast,
    for_views,
    pixels_of,
    table_of,
)
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import Choice as ViewChoice
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import Stages

Leads: TypeAlias = list[list[list[Lead]]]  # of each photo, of each of its classes

FEWEST = 4  # cells of the cut on a side, for a network that takes pictures of a few pixels


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

    # What `segment` alone reads: whatever has seen a photo with other values has seen the same.
    SEGMENTING: ClassVar = ("resolution", "outline")

    # Times the network's size, for the whole photo. The second size has finer grids; networks of a fixed size are shown
    # the first only. Closer looks are at the network's own size, the one it was trained for.
    scales: tuple[float, ...] = (1.0, 10 / 7)
    closer: int = 2  # looks after the first, at most
    margin: float = 0.3  # of the found box, left on each side for a closer look
    # An object fills its view when the next one would be hardly smaller, by their areas.
    filled: float = 0.9
    # A closer look in which the class is so many times less likely does not see the object any more.
    doubt: float = math.exp(2)
    # Several objects of a class, at most so many: peaks of the photo's map at `finer` times the network's size, each
    # looked at closer, and kept where the class is nearly as likely as in the surest one, and beside the others. Nobody
    # looks for a second object of a class that the network hardly believes in where the first one is.
    objects: int = 8
    likely: float = 0.01
    finer: float = 2.0
    persistence: float = 0.7
    least: float = 0.3
    surer: float = 0.7
    overlap: float = 0.3
    # Crops of one photo are looked at together where the smaller one covers so much of both.
    agree: float = 0.8
    # Pixels a side, at most, at which an outline is cut.
    resolution: int = 512
    continuity: Continuity = field(default_factory=Continuity)
    outline: OutlineOptions = field(default_factory=OutlineOptions)

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        if not self.scales:
            raise DeepInsideError("Best: expected at least one of scales, got none")

    @property
    def about(self) -> About:
        """The two deep layers, and the whole photo."""
        return About("rule gradient, at two deep layers", WHOLE)

    def views(self, classifier: Classifier, photo: Photo) -> Views:
        """The whole photo, resized to each size of the network and to the cells of the cut."""
        whole = Box(0.0, 0.0, float(photo.width), float(photo.height))
        return self._views(classifier, photo, whole, self.scales)

    def see(
        self, classifier: Classifier, batch: Sequence[Views], choices: Sequence[Choice], most: int | None = None
    ) -> list[FeatureSeen]:
        """All photos in one pass at each size, each with the gradients of its classes at two layers; then closer.

        Each round of closer looks is one pass as well, of the crops of all photos. For maps alone nobody looks closer,
        and for one object of a class nobody looks for others.
        """
        stages = classifier.stages(max(sizes_of(classifier, (*self.scales, self.finer))))
        with borrowed(classifier.fast, batch[0].images[0].to(classifier.device)) as private:
            loan = _Loan(classifier, private, stages, self.continuity)
            firsts = loan.glances(batch, for_views(choices, 1))
            leads = [
                [[lead for lead in [lead_in(classifier, first, index)] if lead] for index in first.classes]
                for first in firsts
            ]
            if most != 0:
                self._follow(loan, batch, leads)
            if self.objects > 1 and most not in (0, 1):
                others = self._others(loan, batch, firsts, leads)
                self._follow(loan, batch, others)
                leads = [
                    [self._apart(*both) for both in zip(mine, more, strict=True)]
                    for mine, more in zip(leads, others, strict=True)
                ]
        return [
            FeatureSeen(first, tuple(map(tuple, mine)), views.photo)
            for first, mine, views in zip(firsts, leads, batch, strict=True)
        ]

    def segment(self, seen: FeatureSeen, k: int) -> tuple[Segmentation, ...]:
        """The objects of the k-th class, cut at the photo's own resolution.

        Of the constants, it reads `outline` and `resolution`, which `see` does not: another value of these needs no
        new look. Whatever else differs from the localizer that saw takes a new one.
        """
        check_contrast(seen.maps[k])
        several = len(seen.leads[k]) > 1
        return tuple(self._traced(seen.photo, lead, several) for lead in seen.leads[k])

    def _views(self, classifier: Classifier, photo: Photo, region: Box, scales: Sequence[float]) -> Views:
        height, width = (max(round(side / self.continuity.cell), FEWEST) for side in classifier.size)
        frame = Frame(photo.width, photo.height, region, width, height)
        images = tuple(
            classifier.view(photo, Frame(photo.width, photo.height, region, wide, high))
            for high, wide in sizes_of(classifier, scales)
        )
        return Views(photo, frame, images, pixels_of(view(photo, frame, Resampling.BOX)))

    def _follow(self, loan: _Loan, batch: Sequence[Views], leads: Leads) -> None:
        """Replace leads by closer ones until each fills its view, in one pass a round."""
        for _ in range(self.closer):
            crops = [crop for number, mine in enumerate(leads) for crop in self._crops(number, mine)]
            if not crops:
                return
            for crop, glance in self._shown(loan, batch, crops):
                for k, j in crop.places:
                    leads[crop.photo][k][j] = self._closer(loan.classifier, leads[crop.photo][k][j], glance)

    def _crops(self, number: int, leads: Sequence[Sequence[Lead]]) -> list[_Crop]:
        """The regions of one photo that are worth a closer look; leads whose regions agree share one."""
        crops: list[_Crop] = []
        for k, mine in enumerate(leads):
            for j, lead in enumerate(mine):
                region = grown(lead.box, self.margin, lead.glance.frame)
                if lead.closed or region.area > self.filled * lead.glance.frame.region.area:
                    continue
                shared = next((crop for crop in crops if crop.region.iou(region) >= self.agree), None)
                if shared is None:
                    shared = _Crop(number, region, [], [])
                    crops.append(shared)
                shared.places.append((k, j))
                shared.classes.append(lead.index)
        return crops

    def _shown(
        self, loan: _Loan, batch: Sequence[Views], crops: Sequence[_Crop], scales: Sequence[float] = (1.0,)
    ) -> Iterator[tuple[_Crop, Glance]]:
        """Each crop with what the network says of it, all from one pass at each size."""
        if not crops:
            return
        views = [self._views(loan.classifier, batch[crop.photo].photo, crop.region, scales) for crop in crops]
        yield from zip(crops, loan.glances(views, table_of([crop.classes for crop in crops])), strict=True)

    def _closer(self, classifier: Classifier, lead: Lead, glance: Glance) -> Lead:
        """The object in a closer glance, or the lead as it was where the class is hardly seen any more."""
        found = lead_in(classifier, glance, lead.index)
        if found is None or found.confidence * self.doubt < lead.confidence:
            return replace(lead, closed=True)
        return found

    def _others(self, loan: _Loan, batch: Sequence[Views], firsts: Sequence[Glance], leads: Leads) -> Leads:
        """Candidates for further objects of each class: peaks of a finer map of the photo, looked at closer."""
        whole: list[_Crop] = []
        for number, (first, mine) in enumerate(zip(firsts, leads, strict=True)):
            classes = [index for k, index in enumerate(first.classes) if self._may_have_others(first, k, mine[k])]
            if classes:
                whole.append(_Crop(number, first.frame.region, [], classes))
        if loan.stages.any_size:
            finer = list(self._shown(loan, batch, whole, (self.finer,)))
        else:
            finer = [(crop, firsts[crop.photo]) for crop in whole]
        crops = [peak for crop, glance in finer for peak in self._peaks(crop, glance, leads[crop.photo])]
        others: Leads = [[[] for _ in mine] for mine in leads]
        for crop, glance in self._shown(loan, batch, crops):
            (index,) = crop.classes
            lead = lead_in(loan.classifier, glance, index)
            others[crop.photo][firsts[crop.photo].classes.index(index)] += [lead] if lead else []
        return others

    def _may_have_others(self, first: Glance, k: int, found: Sequence[Lead]) -> bool:
        """Whether the object that was found is likely, and the first map has a peak outside of it."""
        if not found or found[0].confidence < self.likely:
            return False
        return any(not found[0].covers(first, peak.mask) for peak in peaks(first.maps[k], self.persistence, self.least))

    def _peaks(self, whole: _Crop, glance: Glance, leads: Sequence[Sequence[Lead]]) -> Iterator[_Crop]:
        """Crops around the peaks of each class that lie outside of the object that was found."""
        for mine in leads:
            for lead in mine:
                if lead.index not in whole.classes:
                    continue
                map = glance.maps[glance.classes.index(lead.index)]
                for peak in peaks(map, self.persistence, self.least)[: self.objects]:
                    if not lead.covers(glance, peak.mask):
                        region = grown(box_of(glance, peak.mask), self.margin, glance.frame)
                        yield _Crop(whole.photo, region, [], [lead.index])

    def _apart(self, mine: Sequence[Lead], others: Sequence[Lead]) -> list[Lead]:
        """The object of a class, if its map points anywhere, and further ones beside it."""
        return apart(mine[0], others, self.surer, self.overlap)[: self.objects] if mine else []

    def _traced(self, photo: Photo, lead: Lead, several: bool) -> Segmentation:
        """The outline of a lead at the photo's resolution, as far as its margin reaches."""
        frame = self._pixels(photo, lead.glance.frame.region)
        size = (frame.height, frame.width)
        odds = resize_smoothly(lead.cut.odds, size)
        coarse = resize_smoothly(lead.cut.mask.astype(np.float32), size)
        mask = coarse >= min(0.5, coarse.max())
        found = trace(pixels_of(view(photo, frame, Resampling.BOX)), odds, mask, self.outline)
        # Where the pixels have left nothing of it, the coarse mask stays.
        main = main_component(found.mask, odds) if found.mask.any() else mask
        own = Saliency(lead.glance.frame, lead.glance.maps[lead.k]) if several else None
        slope = self.continuity.slope
        return Segmentation(frame, main, odds > slope, odds < -slope, found.energy, own, lead.confidence)

    def _pixels(self, photo: Photo, region: Box) -> Frame:
        """A region on the photo's own pixels, or on fewer, so that the longer side has no more than `resolution`."""
        share = min(self.resolution / max(region.width, region.height), 1.0)
        width, height = (max(round(side * share), 1) for side in (region.width, region.height))
        return Frame(photo.width, photo.height, region, width, height)


SIZE = Range(most=LARGEST_ENLARGEMENT, above=True)  # times the network's
RANGES = {
    **dict.fromkeys(("likely", "persistence", "least", "surer", "overlap", "agree"), SHARE),
    **dict.fromkeys(("scales", "finer"), SIZE),
    **dict.fromkeys(("objects", "resolution"), COUNT),
}


@dataclass(frozen=True)
class _Crop:
    """A region of a photo of the batch, and whom it is for: classes, and the places of the leads that it replaces."""

    photo: int
    region: Box
    places: list[tuple[int, int]]
    classes: list[int]


@dataclass(frozen=True, eq=False)
class _Loan:
    """The network on loan for one call of `see`."""

    classifier: Classifier
    private: nn.Module
    stages: Stages
    how: Continuity

    def glances(self, views: Sequence[Views], classes: Tensor | ViewChoice) -> list[Glance]:
        """What the network says of each region."""
        return glances(self.private, views, classes, self.stages, self.classifier.size, self.how)


def sizes_of(classifier: Classifier, scales: Sequence[float]) -> list[tuple[int, int]]:
    """Every size but the network's own is a multiple of 32, which every stage of a network halves evenly."""

    def multiple(side: int, scale: float) -> int:
        return max(round(side * scale / 32), 1) * 32

    height, width = classifier.size
    return [classifier.size if scale == 1 else (multiple(height, scale), multiple(width, scale)) for scale in scales]
