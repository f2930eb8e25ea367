"""What a network says of one region of a photo: its scores, and for each class a map and a coarse cut.

The region is squeezed to the network's size, and to larger ones where the network takes them. `glances` runs the
network on several regions in one batch, and `coarse_cut` extends a class's map along continuity of features and color.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deepinside.core.geometry import Frame
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
from deepinside.explanations.localizer import Map, Views, distinct
from deepinside.gradients.grids import as_grid, is_even
from deepinside.gradients.probe import IMAGE, Choice, Look, Summary, look
from deepinside.gradients.saliency import largest_magnitude
from deepinside.networks.layers import Stages

Edges = tuple[Float[np.ndarray, "height right"], Float[np.ndarray, "below width"]]


@dataclass(frozen=True, eq=False)
class Glance:
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

    def __getstate__(self) -> dict[str, Any]:
        """For another process, without what is computed anew there if anybody asks for it, and large."""
        return {name: value for name, value in self.__dict__.items() if name not in ("kernel", "edges")}

    @cached_property
    def maps(self) -> tuple[Map, ...]:
        """The seed of each class: all its layers' maps as one, between 0 and 1."""
        cells = (self.frame.height, self.frame.width)
        return tuple(seed_map(list(maps), cells, self.how) for maps in self.layer_maps)

    @property
    def nodes(self) -> tuple[int, int]:
        """The grid of the feature graph, coarser than the cells of the cut."""
        share = self.how.cell / self.how.node
        return max(round(self.frame.height * share), 1), max(round(self.frame.width * share), 1)

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


@dataclass(frozen=True, eq=False)
class Coarse:
    """A coarse mask on the cells of a glance: log odds of foreground, and all that the cut called foreground."""

    odds: Map
    foreground: Bool[np.ndarray, "height width"]

    @cached_property
    def mask(self) -> Bool[np.ndarray, "height width"]:
        """The component with the most evidence."""
        return main_component(self.foreground, self.odds)


def glances(
    private: nn.Module,
    regions: Sequence[Views],
    classes: Int[Tensor, "regions k"] | Choice,
    stages: Stages,
    size: tuple[int, int],
    how: Continuity,
) -> list[Glance]:
    """One pass for all regions at each of their sizes, each with the gradients of its classes at two layers.

    Args:
        private: the network, from `borrowed`.
        regions: what it is shown; all in equally many sizes. One that takes a single size is shown the first only.
        classes: of each region, or how to choose them.
        stages: the layers to look at.
        size: the network's own, whose proportions tell how a grid of tokens lies.
        how: the constants.
    """
    looks: list[Look] = []
    layers = stages.with_gradients() or (IMAGE,)
    device = next((tensor.device for tensor in private.parameters()), torch.device("cpu"))
    sizes = list(zip(*(shown.images for shown in regions), strict=True))
    for images in sizes if stages.any_size else sizes[:1]:
        wanted = looks[0].classes if looks else classes
        reads = () if looks else stages.features()
        batch = torch.cat(images).to(device)
        looks.append(look(private, batch, wanted, layers, reads=reads, summary=summary_for(size)))
    return [_glance(shown, number, looks, stages, size, how) for number, shown in enumerate(regions)]


def _glance(
    shown: Views, number: int, looks: Sequence[Look], stages: Stages, size: tuple[int, int], how: Continuity
) -> Glance:
    """What the looks say of the region of that number in the batch."""
    classes = distinct(looks[0].classes[number])
    maps = [[each for seen in looks for each in layer_maps(seen, stages, number, k)] for k in range(len(classes))]
    features = features_of(looks[0], stages, number, size)
    logits = looks[0].logits[number].to("cpu", copy=True)
    return Glance(logits, classes, shown.frame, tuple(map(tuple, maps)), features, shown.pixels, how)


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
        even = is_even(gradient).to(evidence)
        return torch.stack([gradient.norm(dim=1), evidence, even[:, None, None].expand_as(evidence)], dim=1)

    return summary


def layer_maps(seen: Look, stages: Stages, number: int, k: int) -> list[Float[np.ndarray, "_ _"]]:
    """For one photo and class: the gradient's magnitude at the seed layer, and the evidence at the last.

    The evidence is a map of the class only where the gradient is the same at every position, as before global average
    pooling; after a dense layer that weighs each position on its own, it is left out.
    """
    names = stages.with_gradients()
    summaries = [summary[number, k].float().cpu().numpy() for summary in seen.gradients]
    if not names:
        return [summaries[0][0]]
    maps = [summaries[names.index(stages.seed)][0]] if stages.seed else []
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
    grids = (as_grid(activation[number : number + 1], picture)[0] for activation in read)
    return tuple(grid.to("cpu", torch.float32, copy=True) for grid in grids)  # a copy does not hold the whole batch


def coarse_cut(glance: Glance, k: int) -> Coarse:
    """The cut of the k-th class's map, which must not be flat, by features and color."""
    odds = log_odds(glance.maps[k] * sides(glance.frame, glance.how), glance.kernel, glance.nodes, glance.how)
    cut = minimum_cut(np.maximum(odds, 0), np.maximum(-odds, 0), *glance.edges)
    # An empty cut does not answer where the object is; the likeliest cells do.
    return Coarse(odds, cut.mask if cut.mask.any() else odds >= np.quantile(odds, 0.95))


def main_component(mask: Bool[np.ndarray, "height width"], odds: Map) -> Bool[np.ndarray, "height width"]:
    """The component with the most evidence: the largest sum of probabilities of foreground."""
    return largest_component(mask, 1 / (1 + np.exp(-odds)))


def sides(frame: Frame, how: Continuity) -> Map:
    """A weight of each cell: less near a side that cuts through the photo, since a margin was left there."""
    region = frame.region
    down = _weights(frame.height, region.y0 > 0, region.y1 < frame.photo_height, how)
    across = _weights(frame.width, region.x0 > 0, region.x1 < frame.photo_width, how)
    return np.asarray(np.minimum(down[:, None], across[None]))


def _weights(count: int, before: bool, after: bool, how: Continuity) -> Float[np.ndarray, " count"]:
    """Along one axis, where the crop has a margin `before` its first and `after` its last cell."""
    at = (np.arange(count, dtype=np.float32) + 0.5) / count
    near = np.exp(-at / how.fade) * before + np.exp((at - 1) / how.fade) * after
    return np.asarray(1 - how.side * np.minimum(near, 1), dtype=np.float32)
