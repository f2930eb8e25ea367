"""Recipes for class images: what is optimized, and how.

`PAPER` is the paper's arg max over I of S_c(I) - lambda ||I||^2 (Sect. 2), by plain gradient ascent from the zero
image. `CANONICAL` ascends through a spectrum and random views instead, so that the picture shows the class to people
and to other networks, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.class_images.parametrize import Fourier, Parametrization, Pixels, Size
from deepinside.class_images.regularizers import l2
from deepinside.class_images.transforms import Crop, Mirror, Noise, RandomView, Recolor, Rotation, Shear, Transform
from deepinside.core.errors import DeepInsideError, named

Color = tuple[float, ...]  # a number for each channel
Penalty = Callable[[Float[Tensor, "k channels height width"], Color], Float[Tensor, " k"]]


@dataclass(frozen=True)
class Recipe:
    """What is optimized, and how. Every part can be replaced: `replace(CANONICAL, steps=300)`."""

    parametrization: Callable[[Size, Color], Parametrization]
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]
    steps: int
    # The transforms for images of a size, given the share of the steps that are done, from 0 to 1.
    transforms: Callable[[Size, float], tuple[Transform, ...]] = lambda size, progress: ()
    penalties: tuple[tuple[float, Penalty], ...] = ()
    posterior: bool = False  # ascend log P(c) in place of the unnormalized score S_c
    warm_up: int = 0  # steps over which the step size rises to the full one
    anneal: float = 0.0  # the last share of the steps, over which the step size falls to zero
    settled: float = 0.0  # stop early once, after the warm-up, no pixel moves by more than this in a step
    starts: int = 1  # so many ascents, of which each image goes on with the one that has got furthest
    trial: float = 0.0  # after this share of the steps; where that is within the warm-up, there is one start


# The paper gives neither lambda nor step size nor the number of steps. In units of RGB in [0, 1]:
# strong enough to keep most pixels within [0, 1], weak enough that every class tried reaches certainty,
PAPER_LAMBDA = 0.005
# and as large a step as does not overshoot: steps shrink the distance to a linear score's optimum by 1 - 2 lambda step.
PAPER_STEP = 2.0


def _paper_penalty(images: Tensor, mean: Color) -> Tensor:
    return l2(images, images.new_tensor(mean).view(-1, 1, 1))


PAPER = Recipe(
    parametrization=lambda size, mean: Pixels(size, mean),
    optimizer=partial(torch.optim.SGD, lr=PAPER_STEP, maximize=True),
    steps=150,
    penalties=((PAPER_LAMBDA, _paper_penalty),),
    settled=1e-5,  # 1/400 of an 8-bit level
)


# From coarse to fine: shapes first, at half the cost, then detail. What is only ever seen at one size does not carry
# over to networks of another, so both stages see several, up to more than the picture's own.
COARSE = (4 / 7, 9 / 14, 5 / 7)
FINE = (6 / 7, 13 / 14, 1.0, 15 / 14)
FINE_FROM = 0.5


def _canonical_views(size: Size, progress: float) -> tuple[Transform, ...]:
    shares = COARSE if progress < FINE_FROM else FINE
    motions = (Crop(0.5, 1.2, stretch=0.15, beyond=0.06), Rotation(10), Shear(0.05), Mirror())
    return (
        RandomView(motions, sizes=tuple(scaled(size, share) for share in shares)),
        Recolor(contrast=0.2, tint=0.1),
        Noise(0.02),
    )


CANONICAL = Recipe(
    # Photos fall as 1/f. Adam moves every coefficient alike, those of fine detail mostly by the chance of the views, so
    # that this alone would be noise; steeper amplitudes keep it out, and networks of other families see the class.
    parametrization=lambda size, mean: Fourier(size, decay=2.0, channels=len(mean)),
    optimizer=partial(torch.optim.Adam, lr=0.05, maximize=True),
    steps=400,
    transforms=_canonical_views,
    # Adam's first steps move every frequency alike: at full size they are a jump into noise, which some pictures then
    # only ever refine into fur, whatever the class.
    warm_up=10,
    anneal=0.5,  # the views differ from step to step: only with smaller steps does their average settle
    settled=0.5 / 255,  # half an 8-bit level
    # Some ascents end in a poor optimum, and show it early.
    starts=3,
    trial=1 / 9,
)

PRESETS = {"canonical": CANONICAL, "paper": PAPER}


def scaled(size: Size, share: float) -> Size:
    """A size times a share, in whole pixels.

    >>> scaled((224, 448), 6 / 7)
    (192, 384)
    """
    return max(round(size[0] * share), 1), max(round(size[1] * share), 1)


def preset(name: str) -> Recipe:
    """The recipe of that name. Raises `DeepInsideError` for an unknown one."""
    return named(name, PRESETS, "a preset")


def adjusted(preset_or_recipe: str | Recipe, steps: int | None, posterior: bool | None) -> Recipe:
    """A preset with some settings replaced. Raises `DeepInsideError` for fewer than one step."""
    recipe = preset(preset_or_recipe) if isinstance(preset_or_recipe, str) else preset_or_recipe
    if steps is not None and steps < 1:
        raise DeepInsideError(f"expected at least one step, got {steps}")
    changed = {"steps": steps, "posterior": posterior}
    return replace(recipe, **{name: value for name, value in changed.items() if value is not None})  # type: ignore[arg-type]
