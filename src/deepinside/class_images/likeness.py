"""Statistics of features that a class image shares with photos, so that it shows what the network sees in *them*.

For each channel of a few layers, the distribution of its activations over the picture is drawn to that over reference
photos, by the distance of sorted values: the squared Wasserstein distance of distributions in one dimension. Where
something is does not count, only how often it is there. After the feature-distribution matching of *VITAL* (ICCV 2025)
and the histograms of texture synthesis (Heeger and Bergen 1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from deepinside.class_images.transforms import Transform, apply_transforms
from deepinside.gradients.grids import as_grid
from deepinside.gradients.logits import logits_of
from deepinside.gradients.running import listen, outputs_of
from deepinside.gradients.targets import Score, Together, sources_of

LEVELS = 256  # quantiles that stand for a distribution
VIEWS = 4  # random views of each photo
VIEWS_SEED = 0
WEIGHT = 30.0  # of the distance against the score, in units of the spread of scores


@dataclass(frozen=True)
class Likeness:
    """The distributions that k pictures are drawn to.

    Attributes:
        layers: names of layers with a grid.
        quantiles: for each layer, of each channel's activations, in ascending order.
    """

    layers: tuple[str, ...]
    quantiles: tuple[Float[Tensor, "k _ levels"], ...]

    @classmethod
    def to(
        cls,
        private: nn.Module,
        layers: Sequence[str],
        photos: Sequence[Float[Tensor, "_ channels height width"]],
        transforms: Sequence[Transform],
    ) -> Likeness:
        """To the photos of each picture, seen in random views as the picture will be."""
        of_each = [_distributions(private, layers, stack, transforms) for stack in photos]
        return cls(tuple(layers), tuple(torch.stack([each[name] for each in of_each]) for name in layers))

    def distance(self, activations: Sequence[Float[Tensor, "k ..."]], size: tuple[int, int]) -> Float[Tensor, " k"]:
        """How far pictures are from their photos: 0 for the same distributions.

        Args:
            activations: the outputs of the layers, for pictures of any number of pixels.
            size: height and width of the pictures, in any unit.

        For each layer, the mean squared distance between sorted activations and the photos' quantiles, over the photos'
        variance, both as means over channels; the mean over layers.
        """
        maps = [as_grid(each, size).flatten(2) for each in activations]
        apart = [_apart(values, wanted) for values, wanted in zip(maps, self.quantiles, strict=True)]
        return torch.stack(apart).mean(dim=0)


def drawn_to(
    private: nn.Module,
    score: Score,
    layers: Sequence[str],
    photos: Sequence[Float[Tensor, "_ channels height width"]],
    transforms: Sequence[Transform],
) -> Score:
    """A score that falls with the distance from photos.

    Args:
        private: the network, as `borrowed` gives it.
        score: of k targets.
        layers: whose features the pictures and photos shall share.
        photos: of each target.
        transforms: the views that photos are seen in.

    It is in units of how much the layer that the score is read at varies over the photos.
    """
    likeness = Likeness.to(private, layers, photos, transforms)
    (source,) = sources_of(score)
    unit = torch.stack([_spread(private, source, stack) for stack in photos])
    size = (photos[0].shape[2], photos[0].shape[3])

    def value(output: Any, *activations: Tensor) -> Tensor:
        return score(output) / unit - WEIGHT * likeness.distance(activations, size)

    return Together((source, *layers), value)


def _spread(private: nn.Module, layer: str | None, photos: Tensor) -> Float[Tensor, ""]:
    """The standard deviation of a layer's output over photos, or of the logits."""
    if layer is None:
        return logits_of(outputs_of(private, photos), len(photos)).std()
    heard: list[Tensor] = []
    listen(private, photos, lambda _, output: heard.append(output.std()), [layer])  # type: ignore[attr-defined]
    return heard[-1]


def _distributions(
    private: nn.Module, layers: Sequence[str], photos: Tensor, transforms: Sequence[Transform]
) -> dict[str, Float[Tensor, "channels levels"]]:
    """The quantiles of each layer's channels over random views of all photos."""
    generator = Generator().manual_seed(VIEWS_SEED)
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    for _ in range(VIEWS):
        views = apply_transforms(photos, transforms, generator)

        def hear(name: str, output: object, size: tuple[int, int] = (views.shape[2], views.shape[3])) -> None:
            assert isinstance(output, Tensor)
            maps = as_grid(output, size)
            seen[name].append(maps.transpose(0, 1).flatten(1).clone())  # what comes next may write over it

        listen(private, views, hear, layers)
    return {name: quantiles(torch.cat(values, dim=1).sort(dim=1).values, LEVELS) for name, values in seen.items()}


def quantiles(ascending: Float[Tensor, "*shape values"], count: int) -> Float[Tensor, "*shape count"]:
    """`count` values that stand for a sorted distribution: its quantiles at the middles of equal parts.

    >>> quantiles(torch.tensor([0.0, 1.0, 2.0, 3.0]), 2)
    tensor([0.5000, 2.5000])
    """
    values = ascending.shape[-1]
    places = (torch.arange(count, dtype=torch.float64, device=ascending.device) + 0.5) * values / count - 0.5
    places = places.clamp(0, values - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=values - 1)
    return torch.lerp(ascending[..., below], ascending[..., above], (places - below).to(ascending))


def _apart(
    values: Float[Tensor, "k channels positions"], wanted: Float[Tensor, "k channels levels"]
) -> Float[Tensor, " k"]:
    ascending = values.sort(dim=2).values
    squares = (ascending - quantiles(wanted, values.shape[2])).square().mean(dim=(1, 2))
    return squares / wanted.var(dim=2).mean(dim=1).clamp(min=torch.finfo(wanted.dtype).tiny)
