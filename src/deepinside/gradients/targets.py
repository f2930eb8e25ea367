"""What a gradient can be of, besides the score of a class: a neuron, a channel, or anything that can be computed.

A score is a callable that maps what the network returned, one row an image, to one number an image. If it has an
attribute `layer`, it is called with the output of that layer in place of the network's. `Neuron` is such a score, and
`At` makes one of any function. With them the gradient says what excites "any neuron in any layer" (paper, Sect. 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.grids import as_grid, find_grid

Score = Callable[[Any], Float[Tensor, " batch"]]
Place = tuple[int, int] | Literal["mean", "max"]

_WRITTEN = re.compile(r"(?P<layer>.+):(?P<channel>\d+)(@(?P<row>\d+),(?P<column>\d+)|@(?P<how>mean|max))?")


@dataclass(frozen=True)
class Neuron:
    """The activation of a channel of a layer, at one place, at its strongest place, or on average.

    Args:
        layer: its name, as `deepinside layers` lists it.
        channel: its number, from 0.
        at: `(row, column)` on the layer's grid for one neuron; `"max"` for the strongest of each image, as Zeiler and
            Fergus look at a channel; `"mean"` for the whole channel. Layers without places need none.

    >>> Neuron("features", 1, at=(0, 1))(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    tensor([4.])
    """

    layer: str
    channel: int
    at: Place = "max"

    def __str__(self) -> str:
        where = "@{},{}".format(*self.at) if isinstance(self.at, tuple) else "" if self.at == "max" else f"@{self.at}"
        return f"{self.layer}:{self.channel}{where}"

    def __call__(self, activation: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
        """The neuron's activation for each image. Raises `DeepInsideError` where the layer has no such neuron."""
        if activation.ndim == 2:
            self._check(self.channel, activation.shape[1], "channels")
            return activation[:, self.channel]
        # Tokens that are no grid still have a mean and a maximum.
        has_grid = find_grid(activation.shape) is not None or activation.ndim != 3
        maps = as_grid(activation) if has_grid or isinstance(self.at, tuple) else activation.transpose(1, 2)[..., None]
        self._check(self.channel, maps.shape[1], "channels")
        map = maps[:, self.channel]
        if isinstance(self.at, tuple):
            for place, size, what in zip(self.at, map.shape[1:], ("rows", "columns"), strict=True):
                self._check(place, size, what)
            return map[:, self.at[0], self.at[1]]
        return map.flatten(1).amax(1) if self.at == "max" else map.flatten(1).mean(1)

    def _check(self, number: int, count: int, what: str) -> None:
        if not 0 <= number < count:
            raise DeepInsideError(
                f"{self}: expected {what} from 0 to {count - 1}, as many as the layer has, got {number}"
            )


@dataclass(frozen=True)
class At:
    """A score computed from the output of a layer: `score` maps it, (batch, ...), to one number an image.

    >>> energy = At("features", lambda activation: activation.square().flatten(1).sum(1))
    """

    layer: str
    score: Score

    def __call__(self, activation: Any) -> Float[Tensor, " batch"]:
        """What the function makes of the layer's output."""
        return self.score(activation)


def read_neuron(text: str, at: Literal["mean", "max"] = "max") -> Neuron:
    """A neuron as commands write it: `LAYER:CHANNEL`, or with a place, `@ROW,COLUMN`, `@mean` or `@max`.

    >>> read_neuron("blocks.4.2:31@3,5")
    Neuron(layer='blocks.4.2', channel=31, at=(3, 5))
    """
    match = _WRITTEN.fullmatch(text)
    if not match:
        raise DeepInsideError(f"expected a neuron as LAYER:CHANNEL or LAYER:CHANNEL@ROW,COLUMN, got {text!r}")
    place: Place = at if match["how"] is None else match["how"]  # type: ignore[assignment]
    if match["row"] is not None:
        place = (int(match["row"]), int(match["column"]))
    return Neuron(match["layer"], int(match["channel"]), place)


def scores_of(score: Score, output: Any, batch: int) -> Float[Tensor, " batch"]:
    """What a score makes of an output. Raises `DeepInsideError` unless that is one finite number an image."""
    scores = score(output)
    if not isinstance(scores, torch.Tensor) or scores.shape != (batch,):
        came = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise DeepInsideError(f"expected the score to return one number for each of {batch} images, got {came}")
    if not scores.isfinite().all():
        raise DeepInsideError("expected finite scores, got NaN or infinity")
    return scores
