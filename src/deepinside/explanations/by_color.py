"""The paper's own localizer (Sect. 3.1 and 3.2): ten crops, the gradient at the image, a graph cut by color.

A map tells where the class's evidence is: in the most telling part of the object, not in all of it. The cut spreads it
to the rest, along continuity of color.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from deepinside.core.constants import SHARE, Range, check_ranges
from deepinside.core.errors import DeepInsideError, named
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, view
from deepinside.core.results import About, Segmentation
from deepinside.cut.graphcut import CutOptions, largest_component, segment
from deepinside.explanations.localizer import (
    LARGEST_ENLARGEMENT,
    Choice,
    Map,
    Views,
    check_contrast,
    distinct,
    for_views,
    pixels_of,
)
from deepinside.gradients.grids import as_grid
from deepinside.gradients.placement import check_placed
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import IMAGE, look
from deepinside.gradients.question import CHUNK
from deepinside.gradients.rectifiers import RULES
from deepinside.gradients.saliency import largest_magnitude, put_back, ten_crops
from deepinside.networks.classifier import Classifier


@dataclass(frozen=True, eq=False)
class ColorSeen:
    """The average map of the ten crops for each class, and the pixels to cut by."""

    logits: Float[Tensor, " classes"]
    classes: tuple[int, ...]
    frame: Frame
    maps: tuple[Map, ...]
    pixels: Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Paper:
    """The paper's recipe: ten crops, the gradient at the image, a cut by color."""

    # What `segment` alone reads: whatever has seen a photo with other values has seen the same.
    SEGMENTING: ClassVar = ("foreground_quantile", "background_quantile", "foreground_clamp", "background_clamp", "cut")

    # Where the gradient is taken, a layer with a grid; None for the image.
    layer: str | None = None
    # How the backward pass goes through rectifiers: gradient, deconvnet or guided (Sect. 4).
    rule: str = "gradient"
    # The photo's central square, this many times the network's size, as in the authors' code (256 / 224).
    enlarge: float = 256 / 224
    # Color models: pixels above and below these quantiles of the map (Sect. 3.2).
    foreground_quantile: float = 0.95
    background_quantile: float = 0.30
    # Pixels whose label is fixed: only the extreme ones, so that colors may overrule the other seeds.
    foreground_clamp: float = 0.995
    background_clamp: float = 0.005
    cut: CutOptions = field(default_factory=CutOptions)

    def __post_init__(self) -> None:
        named(self.rule, RULES, "a rule")
        check_ranges(self, RANGES)
        for what in ("quantile", "clamp"):
            low, high = getattr(self, f"background_{what}"), getattr(self, f"foreground_{what}")
            if low > high:
                raise DeepInsideError(
                    f"Paper: expected background_{what} to be at most foreground_{what}, got {low} and {high}"
                )

    @property
    def about(self) -> About:
        """The rule, where the gradient is taken, and the ten crops."""
        where = "at the image" if self.layer is None else f"at {self.layer}"
        return About(f"rule {self.rule}, {where}", "mean logits of ten crops")

    def views(self, classifier: Classifier, photo: Photo) -> Views:
        """Ten crops of the photo's central square: corners, center, and their mirror images."""
        height, width = (round(side * self.enlarge) for side in classifier.size)
        frame = Frame.center(photo.width, photo.height, width=width, height=height)
        image = classifier.view(photo, frame)
        colors = image if classifier.channels == 3 else view(photo, frame, classifier.resample)
        return Views(photo, frame, (ten_crops(image, classifier.size),), pixels_of(colors))

    def see(
        self, classifier: Classifier, batch: Sequence[Views], choices: Sequence[Choice], most: int | None = None
    ) -> list[ColorSeen]:
        """The crops of all photos in one pass; a photo's classes are those of its crops' mean logits.

        On a CPU, where larger passes are no faster, a pass takes only as many crops as `saliency` takes images.
        """
        count = len(batch[0].images[0])
        height, width = classifier.size
        share = max(CHUNK * 224 * 224 // (count * height * width), 1)
        if classifier.device.type == "cpu" and len(batch) > share:
            rest = self.see(classifier, batch[share:], choices[share:])
            return [*self.see(classifier, batch[:share], choices[:share]), *rest]
        crops = torch.cat([views.images[0] for views in batch]).to(classifier.device)
        frame = batch[0].frame

        def averages(name: str, gradient: Tensor, activation: Tensor) -> Float[Tensor, "photos height width"]:
            maps = _maps_of_crops(gradient, classifier.size).split(count)
            return torch.stack([put_back(mine, (frame.height, frame.width)) for mine in maps]).float().cpu()

        with borrowed(classifier.fast, crops, self.rule) as private:
            seen = look(private, crops, for_views(choices, count), (self.layer or IMAGE,), self.rule, summary=averages)
            if self.layer:
                check_placed(private, self.layer, seen.activations[0].shape, crops)
        found = []
        for views, logits, classes, maps in zip(
            batch, seen.logits.split(count), seen.classes[::count], seen.gradients[0].numpy(), strict=True
        ):
            chosen = distinct(classes)
            found.append(
                ColorSeen(logits.mean(dim=0).cpu(), chosen, views.frame, tuple(maps[: len(chosen)]), views.pixels)
            )
        return found

    def segment(self, seen: ColorSeen, k: int) -> tuple[Segmentation, ...]:
        """The one object that the paper finds: the largest component of the color cut."""
        return (by_color(seen.pixels, seen.frame, seen.maps[k], self),)


RANGES = {
    **dict.fromkeys(("foreground_quantile", "background_quantile", "foreground_clamp", "background_clamp"), SHARE),
    "enlarge": Range(1, LARGEST_ENLARGEMENT),
}


def by_color(
    image: Float[np.ndarray, "height width 3"], frame: Frame, map: Float[np.ndarray, "height width"], recipe: Paper
) -> Segmentation:
    """The largest component of the color cut that a saliency map seeds (Sect. 3.2).

    Args:
        image: RGB in [0, 1], at the map's size.
        frame: where both lie in the photo.
        map: saliency, never negative, in any unit: only its order counts.
        recipe: the constants.

    Raises `DeepInsideError` for a map that is the same everywhere: it points nowhere.
    """
    low, high = np.quantile(map, [recipe.background_quantile, recipe.foreground_quantile])
    check_contrast(map)
    lowest, highest = np.quantile(map, [recipe.background_clamp, recipe.foreground_clamp])
    if low == high:  # most of the map is one value, such as 0: whatever differs from it is a seed
        low, high = (low, np.nextafter(low, np.inf)) if map.max() > low else (np.nextafter(low, -np.inf), low)
    foreground, background = map >= high, map <= low
    certain, never = map >= max(highest, high), map <= min(lowest, low)
    cut = segment(image, foreground, background, certain, never, recipe.cut)
    return Segmentation(frame, largest_component(cut.mask), foreground, background, cut.energy)


def _maps_of_crops(gradients: Float[Tensor, "crops ..."], size: tuple[int, int]) -> Float[Tensor, "crops height width"]:
    """The largest magnitude over channels; a layer's coarser grid is interpolated to the crop's pixels."""
    maps = largest_magnitude(as_grid(gradients, size))
    if maps.shape[1:] == size:
        return maps
    return interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]
