"""Our localizer: the whole photo at two sizes, the gradient at two deep layers, a cut by features and color.

Like the paper's, it spreads a map by continuity; but what the network computes at a position tells better than color
which object the position belongs to. What each choice is worth is in `docs/localization.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Resampling
from torch import Tensor

from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, view
from deepinside.core.results import WHOLE, About, Segmentation
from deepinside.cut.continuity import (
    Continuity,
    continuity_edges,
    feature_kernel,
    lab,
    log_odds,
    resize_channels,
    seed_map,
)
from deepinside.cut.graphcut import largest_component, minimum_cut
from deepinside.explanations.localizer import Choice, Map, Views, check_contrast, distinct, for_views, pixels_of
from deepinside.gradients.grids import as_grid
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import IMAGE, Look, Summary, look
from deepinside.gradients.saliency import largest_magnitude
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import Stages

# How far a gradient may vary over positions, relative to its norm, and still count as the same everywhere.
EVEN = 1e-2

Edges = tuple[Float[np.ndarray, "height right"], Float[np.ndarray, "below width"]]


@dataclass(frozen=True, eq=False)
class FeatureSeen:
    """Maps of two layers at each size for every class, and the features and pixels to cut by.

    What is computed of them, on the processor, waits until it is asked for, and is then the same for all classes.
    """

    logits: Float[Tensor, " classes"]
    classes: tuple[int, ...]
    frame: Frame
    layer_maps: tuple[tuple[Float[np.ndarray, "_ _"], ...], ...]  # for each class
    features: tuple[Float[Tensor, "_ _ _"], ...]  # of the fine and the middle layer, of those there are
    pixels: Float[np.ndarray, "height width 3"]
    how: Continuity

    @cached_property
    def maps(self) -> tuple[Map, ...]:
        """The seed of each class: all its layers' maps as one, between 0 and 1."""
        cells = (self.frame.height, self.frame.width)
        return tuple(seed_map(list(maps), cells, self.how) for maps in self.layer_maps)

    @property
    def nodes(self) -> tuple[int, int]:
        """The grid of the feature graph, coarser than the cells of the cut."""
        share = self.how.cell / self.how.node
        return round(self.frame.height * share), round(self.frame.width * share)

    @cached_property
    def kernel(self) -> Float[np.ndarray, "nodes nodes"]:
        """How similar the features of any two nodes are; colors stand in for a network without a grid."""
        colors = torch.from_numpy(lab(self.pixels)).permute(2, 0, 1)
        return feature_kernel(list(self.features) or [colors], self.nodes, self.how)

    @cached_property
    def edges(self) -> Edges:
        """What a border between neighboring cells costs."""
        cells = (self.frame.height, self.frame.width)
        fine = resize_channels(self.features[0], cells).permute(1, 2, 0).numpy() if self.features else None
        return continuity_edges(self.pixels, fine, self.how.edge)


@dataclass(frozen=True)
class Best:
    """The whole photo at two sizes, the gradient at two deep layers, a cut by features and color."""

    # Times the network's size. The second size has finer grids; networks of a fixed size are shown the first only.
    scales: tuple[float, ...] = (1.0, 10 / 7)
    continuity: Continuity = field(default_factory=Continuity)

    @property
    def about(self) -> About:
        """The two deep layers, and the whole photo."""
        return About("rule gradient, at two deep layers", WHOLE)

    def views(self, classifier: Classifier, photo: Photo) -> Views:
        """The whole photo, resized to each size of the network and to the cells of the cut."""
        height, width = classifier.size
        cells = (round(height / self.continuity.cell), round(width / self.continuity.cell))
        frame = Frame.whole(photo.width, photo.height, width=cells[1], height=cells[0])
        images = tuple(
            classifier.view(photo, Frame.whole(photo.width, photo.height, width=wide, height=high))
            for high, wide in self._sizes(classifier)
        )
        return Views(frame, images, pixels_of(view(photo, frame, Resampling.BOX)))

    def see(self, classifier: Classifier, batch: Sequence[Views], choices: Sequence[Choice]) -> list[FeatureSeen]:
        """All photos in one pass at each size, each with the gradients of its classes at two layers."""
        stages = classifier.stages(self._sizes(classifier)[-1])
        looks: list[Look] = []
        sizes = zip(*(views.images for views in batch), strict=True)
        batches = [torch.cat(images).to(classifier.device) for images in sizes]
        with borrowed(classifier.fast, batches[0]) as private:
            for images in batches if stages.any_size else batches[:1]:
                classes = looks[0].classes if looks else for_views(choices, 1)
                reads = () if looks else stages.features()
                layers = stages.with_gradients() or (IMAGE,)
                looks.append(look(private, images, classes, layers, reads=reads, summary=summary_for(classifier.size)))
        return [self._seen(views, number, looks, stages, classifier.size) for number, views in enumerate(batch)]

    def segment(self, seen: FeatureSeen, k: int) -> tuple[Segmentation, ...]:
        """One object: the component of the cut with the most evidence."""
        return (by_features(seen.frame, seen.maps[k], seen.kernel, seen.nodes, seen.edges, self.continuity),)

    def _seen(
        self, views: Views, number: int, looks: Sequence[Look], stages: Stages, size: tuple[int, int]
    ) -> FeatureSeen:
        """What the looks say of the photo of that number in the batch."""
        classes = distinct(looks[0].classes[number])
        maps = [[each for seen in looks for each in layer_maps(seen, stages, number, k)] for k in range(len(classes))]
        features = features_of(looks[0], stages, number, size)
        return FeatureSeen(
            looks[0].logits[number],
            classes,
            views.frame,
            tuple(map(tuple, maps)),
            features,
            views.pixels,
            self.continuity,
        )

    def _sizes(self, classifier: Classifier) -> list[tuple[int, int]]:
        """Every size but the network's own is a multiple of 32, which every stage of a network halves evenly."""
        height, width = classifier.size
        return [
            classifier.size if scale == 1 else (round(height * scale / 32) * 32, round(width * scale / 32) * 32)
            for scale in self.scales
        ]


def summary_for(picture: tuple[int, int]) -> Summary:
    """What is kept of a gradient: its magnitude, the evidence, and whether the gradient is the same everywhere.

    The evidence of a class is gradient times activation, summed over channels. `picture` is the network's size, whose
    proportions tell how a grid of tokens lies.
    """

    def summary(name: str, gradient: Tensor, activation: Tensor) -> Float[Tensor, "photos 3 _ _"]:
        if name == IMAGE:
            magnitude = largest_magnitude(gradient)
            return magnitude[:, None].expand(-1, 3, -1, -1)
        gradient, activation = as_grid(gradient, picture), as_grid(activation, picture)
        evidence = (gradient * activation).sum(dim=1).clamp(min=0)
        varies = (gradient - gradient.mean(dim=(2, 3), keepdim=True)).flatten(1).norm(dim=1)
        is_even = (varies <= EVEN * gradient.flatten(1).norm(dim=1)).to(evidence)
        return torch.stack([gradient.norm(dim=1), evidence, is_even[:, None, None].expand_as(evidence)], dim=1)

    return summary


def layer_maps(seen: Look, stages: Stages, number: int, k: int) -> list[Float[np.ndarray, "_ _"]]:
    """For one photo and class: the gradient's magnitude at the middle layer, and the evidence at the last.

    The evidence is a map of the class only where the gradient is the same at every position, as before global average
    pooling; after a dense layer that weighs each position on its own, it is left out.
    """
    names = stages.with_gradients()
    summaries = [summary[number, k].float().cpu().numpy() for summary in seen.gradients]
    if not names:
        return [summaries[0][0]]
    maps = [summaries[names.index(stages.middle)][0]] if stages.middle else []
    if stages.last:
        _, evidence, is_even = summaries[names.index(stages.last)]
        if is_even.all() or not maps:
            maps.append(evidence)
    return maps


def features_of(
    seen: Look, stages: Stages, number: int, picture: tuple[int, int]
) -> tuple[Float[Tensor, "_ _ _"], ...]:
    """One photo's activations of the fine and the middle layer, of those there are."""
    read = seen.activations[len(seen.activations) - len(stages.features()) :]
    return tuple(as_grid(activation[number : number + 1], picture)[0].float().cpu() for activation in read)


def by_features(
    frame: Frame,
    seed: Float[np.ndarray, "height width"],
    kernel: Float[np.ndarray, "nodes nodes"],
    nodes: tuple[int, int],
    edges: Edges,
    how: Continuity,
) -> Segmentation:
    """The component with the most evidence of the cut that a seed starts and features and color shape.

    Args:
        frame: where the cells lie in the photo.
        seed: what `seed_map` made of the class's maps, between 0 and 1.
        kernel: likeness of nodes, from `feature_kernel`; the same for all classes.
        nodes: the nodes' grid.
        edges: what borders between cells cost, from `continuity_edges`; the same for all classes.
        how: the constants.

    Raises `DeepInsideError` for a seed that is the same everywhere.
    """
    check_contrast(seed)
    odds = log_odds(seed, kernel, nodes, how)
    cut = minimum_cut(np.maximum(odds, 0), np.maximum(-odds, 0), *edges)
    # An empty cut does not answer where the object is; the likeliest cells do.
    mask = cut.mask if cut.mask.any() else odds >= np.quantile(odds, 0.95)
    foreground = 1 / (1 + np.exp(-odds))
    return Segmentation(frame, largest_component(mask, foreground), odds > how.slope, odds < -how.slope, cut.energy)
