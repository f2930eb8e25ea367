"""Localizers of the usual methods beside the paper's: their map of the whole photo, and the paper's cut by color.

So that they have sheets, boxes and figures as the presets do, and are compared with them by the same measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deepinside.core.errors import DeepInsideError, named
from deepinside.core.images import Photo, view
from deepinside.core.results import About, Segmentation
from deepinside.explanations.by_color import ColorSeen, Paper, by_color
from deepinside.explanations.localizer import Choice, Views, distinct, for_views, pixels_of
from deepinside.explanations.methods import (
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    layer_cam,
    smooth_grad,
)
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import read_logits
from deepinside.gradients.question import chunk_size
from deepinside.gradients.saliency import largest_magnitude
from deepinside.networks.classifier import Classifier


class Method(NamedTuple):
    """A function of `methods`, and how one map is made of what it returns; `at_layer` if it is taken at a layer."""

    compute: Callable[..., Tensor]
    as_map: Callable[[Tensor], Tensor] = torch.Tensor.clone
    at_layer: bool = False


def magnitude_of_sum(
    contributions: Float[Tensor, "*batch channels height width"],
) -> Float[Tensor, "*batch height width"]:
    """How much a pixel contributes with all its channels, for the class or against it.

    >>> magnitude_of_sum(torch.tensor([[[1.0]], [[-3.0]], [[0.5]]]))
    tensor([[1.5000]])
    """
    return contributions.sum(dim=-3).abs()


METHODS: Mapping[str, Method] = {
    "smoothgrad": Method(smooth_grad, largest_magnitude),
    "integrated": Method(integrated_gradients, magnitude_of_sum),
    "gradient-input": Method(gradient_times_input, magnitude_of_sum),
    "gradcam": Method(grad_cam, at_layer=True),
    "layercam": Method(layer_cam, at_layer=True),
}


@dataclass(frozen=True)
class ByMethod:
    """The map of a method in the whole photo, resized to the network's size, and the paper's cut of it by color.

    Raises `DeepInsideError` for an unknown method, for a layer where the method takes none, and for a cut with a layer,
    a rule or an enlargement of its own.
    """

    # What `segment` alone reads, as of the presets.
    SEGMENTING: ClassVar = ("cut",)
    # One of `METHODS`, with the defaults of its function.
    method: str
    # Where a class-activation map is taken; None for the last layer with a grid.
    layer: str | None = None
    # How the map is cut: quantiles, clamps and strength of the paper's recipe. Its own maps have no part in it.
    cut: Paper = field(default_factory=Paper)

    def __post_init__(self) -> None:
        if not named(self.method, METHODS, "a method").at_layer and self.layer is not None:
            raise DeepInsideError(
                f"expected no layer for {self.method}, got {self.layer!r}; gradcam and layercam take one"
            )
        if self.cut != replace(self.cut, layer=None, rule="gradient", enlarge=Paper.enlarge):
            raise DeepInsideError(
                f"expected the cut of {self.method} without layer, rule or enlarge, which are of the paper's own maps"
            )

    @property
    def about(self) -> About:
        """Where the map is taken, and the whole photo."""
        where = self.layer or ("the last layer with a grid" if METHODS[self.method].at_layer else "the image")
        return About(f"at {where}", "logits of the whole photo")

    def views(self, classifier: Classifier, photo: Photo) -> Views:
        """The whole photo at the network's size."""
        frame, image = classifier.whole(photo)
        colors = image if classifier.channels == 3 else view(photo, frame, classifier.resample)
        return Views(photo, frame, (image,), pixels_of(colors))

    def see(
        self, classifier: Classifier, batch: Sequence[Views], choices: Sequence[Choice], most: int | None = None
    ) -> list[ColorSeen]:
        """The scores of all photos, then the maps of the classes that they choose."""
        images = torch.cat([views.images[0] for views in batch])
        with borrowed(classifier.fast, images) as private:
            logits = torch.cat([read_logits(private, part) for part in images.split(chunk_size(images))])
        classes = for_views(choices, 1)(logits)
        maps = self._maps(classifier, images, classes).cpu().numpy()
        found = []
        for views, scores, row, mine in zip(batch, logits.cpu(), classes, maps, strict=True):
            chosen = distinct(row)
            found.append(ColorSeen(scores, chosen, views.frame, tuple(mine[: len(chosen)]), views.pixels))
        return found

    def segment(self, seen: ColorSeen, k: int) -> tuple[Segmentation, ...]:
        """The one object of the paper's cut."""
        return (by_color(seen.pixels, seen.frame, seen.maps[k], self.cut),)

    def _maps(
        self,
        classifier: Classifier,
        images: Float[Tensor, "batch channels height width"],
        classes: Int[Tensor, "batch k"],
    ) -> Float[Tensor, "batch k height width"]:
        method = METHODS[self.method]
        where = {"layer": self.layer} if method.at_layer else {}
        return method.as_map(method.compute(classifier, images, classes, **where)).float()
