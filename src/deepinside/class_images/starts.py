"""Several starts of an ascent, of which each image goes on with the one that has got furthest.

An ascent ends in a local maximum, sometimes in a poor one: texture in place of an object. Such an ascent lags behind
early on, when steps are cheap, since views are coarse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from deepinside.class_images.parametrize import Parametrization

HELD_OUT = 4  # views, drawn for no other purpose, on which starts are compared
HELD_OUT_SEED = 2**32 - 1  # PyTorch's generators tell no larger seeds apart


@runtime_checkable
class Climb(Protocol):
    """The scores of one random view of each image, and the gradient of the objective: `ascent.climb` of a network."""

    def __call__(
        self, *, values: Float[Tensor, "k ..."], generator: Generator
    ) -> tuple[Float[Tensor, " k"], Float[Tensor, "k ..."]]:
        """For values of k images, with views that the generator draws."""
        ...


def draws(seed: int, count: int) -> Iterator[Generator]:
    """Independent randomness for so many starts; that of the first is the seed's own."""
    yield Generator().manual_seed(seed)
    others = torch.randint(HELD_OUT_SEED, (count - 1,), generator=Generator().manual_seed(seed))
    yield from (Generator().manual_seed(other) for other in others.tolist())


@dataclass
class Try:
    """The images of one start on their way: their values, and an optimizer and random views of their own."""

    canvas: Parametrization
    values: Float[Tensor, "k ..."]
    optimizer: torch.optim.Optimizer
    generator: Generator
    images: Float[Tensor, "k channels height width"]
    scores: Float[Tensor, " k"]  # of the views in the last step

    @classmethod
    def begin(
        cls,
        canvas: Parametrization,
        optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
        count: int,
        device: torch.device,
        generator: Generator,
    ) -> Try:
        """The same start for `count` images."""
        start = canvas.start(generator).to(device)
        values = start.expand(count, *start.shape[1:]).clone()
        return cls(canvas, values, optimizer([values]), generator, canvas(values), values.new_zeros(count))

    def step(self, climb: Climb, size: float) -> float:
        """One step of that size; how far the pixel has moved that moved most."""
        self.scores, self.values.grad = climb(values=self.values, generator=self.generator)
        self.optimizer.param_groups[0]["lr"] = size
        self.optimizer.step()
        before, self.images = self.images, self.canvas(self.values)
        return float((self.images - before).abs().max())

    def take(self, row: int, other: Try) -> None:
        """Go on with an image of another start, and with what its optimizer knows of it."""
        self.values[row] = other.values[row]
        mine, others = self.optimizer.state[self.values], other.optimizer.state[other.values]
        for name, known in mine.items():
            if isinstance(known, Tensor) and known.shape == self.values.shape:
                known[row] = others[name][row]


def best(tries: Sequence[Try], climb: Climb) -> Try:
    """The first start, in which each image that another one shows with a higher score is that one's."""
    scores = torch.stack([_held_out(each, climb) for each in tries])
    first = tries[0]
    for row, highest in enumerate(scores.argmax(dim=0).tolist()):
        first.take(row, tries[highest])
    first.images = first.canvas(first.values)
    return first


def _held_out(each: Try, climb: Climb) -> Float[Tensor, " k"]:
    """The scores over views that are the same for every start."""
    views = Generator().manual_seed(HELD_OUT_SEED)
    return torch.stack([climb(values=each.values, generator=views)[0] for _ in range(HELD_OUT)]).mean(dim=0)
