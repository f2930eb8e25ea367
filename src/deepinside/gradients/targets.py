"""What a gradient can be of: the score of a class, a neuron, a channel, or anything that can be computed.

A score is a callable that maps what the network returned, one row per image, to one number per image. If it has an
attribute `layer`, it is called with the output of that layer in place of the network's. `Neuron` is such a score, `At`
makes one of any function, and `Together` one of several layers. With them the gradient says what excites "any neuron in
any layer" (paper, Sect. 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError, brief
from deepinside.gradients.grids import SQUARE, as_grid, find_grid

Score = Callable[[Any], Float[Tensor, " batch"]]
Position: TypeAlias = tuple[int, int] | Literal["mean", "max"]

_WRITTEN = re.compile(r"(?P<layer>.+):(?P<channel>\d+)(@(?P<row>\d+),(?P<column>\d+)|@(?P<how>mean|max))?")


@dataclass(frozen=True)
class Neuron:
    """The activation of a channel of a layer: at one position, at its maximum, or on average.

    Args:
        layer: its name, as `deepinside layers` lists it.
        channel: its number, from 0.
        at: `(row, column)` on the layer's grid for one neuron; `"max"` for the strongest of each image, as Zeiler and
            Fergus look at a channel; `"mean"` for the whole channel. Layers without a grid need none.

    >>> Neuron("features", 1, at=(0, 1))(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    tensor([4.])
    """

    layer: str
    channel: int
    at: Position = "max"

    def __post_init__(self) -> None:
        is_pair = (
            isinstance(self.at, tuple) and len(self.at) == 2 and all(isinstance(n, SupportsIndex) for n in self.at)
        )
        if not is_pair and self.at not in ("mean", "max"):
            raise DeepInsideError(f"expected a position (row, column), 'max' or 'mean', got {self.at!r}")

    def __str__(self) -> str:
        where = "@{},{}".format(*self.at) if isinstance(self.at, tuple) else "" if self.at == "max" else f"@{self.at}"
        return f"{self.layer}:{self.channel}{where}"

    def __call__(
        self, activation: Float[Tensor, "batch ..."], picture: tuple[int, int] = SQUARE
    ) -> Float[Tensor, " batch"]:
        """The neuron's activation for each image.

        Args:
            activation: the layer's output.
            picture: height and width of the images, in any unit: their ratio tells how a grid of tokens lies.

        Raises `DeepInsideError` where the layer has no such neuron.
        """
        if activation.ndim == 2:
            self._check(self.channel, activation.shape[1], "channels")
            return activation[:, self.channel]
        if activation.ndim == 3 and find_grid(activation.shape, picture) is None and not isinstance(self.at, tuple):
            maps = activation.transpose(1, 2)[..., None]  # tokens that are no grid still have a mean and a maximum
        else:
            maps = as_grid(activation, picture)
        self._check(self.channel, maps.shape[1], "channels")
        map = maps[:, self.channel]
        if isinstance(self.at, tuple):
            for index, size, what in zip(self.at, map.shape[1:], ("rows", "columns"), strict=True):
                self._check(index, size, what)
            return map[:, self.at[0], self.at[1]]
        return map.flatten(1).amax(1) if self.at == "max" else map.flatten(1).mean(1)

    def _check(self, number: int, count: int, what: str) -> None:
        if not 0 <= number < count:
            raise DeepInsideError(
                f"{self}: expected {what} from 0 to {count - 1}, as many as the layer has, got {number}"
            )


@dataclass(frozen=True)
class At:
    """A score computed from the output of a layer: `score` maps it, (batch, ...), to one number per image.

    >>> energy = At("features", lambda activation: activation.square().flatten(1).sum(1))
    """

    layer: str
    score: Score

    def __call__(self, activation: Any) -> Float[Tensor, " batch"]:
        """What the function makes of the layer's output."""
        return self.score(activation)


@dataclass(frozen=True)
class Together:
    """A score computed from the outputs of several layers at once.

    Args:
        layers: their names, and None for the network's output.
        score: maps the outputs, in the order of the layers, to one number per image.

    >>> both = Together((None, "features"), lambda logits, features: logits[:, 0] + features.flatten(1).sum(1))
    """

    layers: tuple[str | None, ...]
    score: Callable[..., Float[Tensor, " batch"]]

    def __call__(self, outputs: Sequence[Any]) -> Float[Tensor, " batch"]:
        """What the function makes of the outputs."""
        return self.score(*outputs)


def sources_of(score: Score) -> tuple[str | None, ...]:
    """The layers whose outputs a score is computed from, None for the network's own.

    >>> sources_of(Neuron("features", 1)), sources_of(len)
    (('features',), (None,))
    """
    return score.layers if isinstance(score, Together) else (getattr(score, "layer", None),)


# What can be explained: a class by index (an integer of Python, NumPy or PyTorch), or by name where labels are at hand,
# a `Neuron`, or any other score.
Target: TypeAlias = SupportsIndex | str | Neuron | Score


def listed(targets: Any) -> list[Any]:
    """One target or several as a list, also those of NumPy and PyTorch.

    >>> listed(3), listed(torch.tensor([1, 2])), listed("dog")
    ([3], [1, 2], ['dog'])
    """
    if hasattr(targets, "tolist"):
        targets = targets.tolist()
    return list(targets) if isinstance(targets, Iterable) and not isinstance(targets, str) else [targets]


def read_neuron(text: str, at: Literal["mean", "max"] = "max") -> Neuron:
    """A neuron as commands write it: `LAYER:CHANNEL`, or with a position, `@ROW,COLUMN`, `@mean` or `@max`.

    >>> read_neuron("blocks.4.2:31@3,5")
    Neuron(layer='blocks.4.2', channel=31, at=(3, 5))
    """
    match = _WRITTEN.fullmatch(text)
    if not match:
        raise DeepInsideError(f"expected a neuron as LAYER:CHANNEL or LAYER:CHANNEL@ROW,COLUMN, got {text!r}")
    position: Position = at if match["how"] is None else match["how"]  # type: ignore[assignment]
    if match["row"] is not None:
        position = (int(match["row"]), int(match["column"]))
    return Neuron(match["layer"], int(match["channel"]), position)


def applied(score: Score, output: Any, picture: tuple[int, int]) -> Any:
    """What a score makes of an output for images of (height, width); only a `Neuron` asks for their proportions."""
    return score(output, picture) if isinstance(score, Neuron) else score(output)


def scores_of(score: Score, output: Any, batch: int, picture: tuple[int, int] = SQUARE) -> Float[Tensor, " batch"]:
    """What a score makes of an output. Raises `DeepInsideError` unless that is one finite number per image."""
    try:
        scores = applied(score, output, picture)
    except DeepInsideError:
        raise
    except Exception as error:
        came = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise DeepInsideError(
            f"the score failed on the output {came} of {batch} images ({type(error).__name__}: {brief(error)})"
        ) from error
    if not isinstance(scores, torch.Tensor) or scores.shape != (batch,):
        came = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise DeepInsideError(f"expected the score to return one number for each of {batch} images, got {came}")
    if not scores.isfinite().all():
        raise DeepInsideError("expected finite scores, got NaN or infinity")
    return scores
