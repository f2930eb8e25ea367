"""What a class looks like to a network: an image whose score is as high as can be (paper, Sect. 2).

`preset="paper"` is the paper's arg max over I of S_c(I) - lambda ||I||^2, by plain gradient ascent from the zero image.
`preset="canonical"` ascends through a spectrum and random views instead, so that the picture shows the class to people
and to other networks, too. A target is a class, a `Neuron`, or any other score of `gradients.targets`.

Images are RGB in [0, 1], (k, 3, height, width), one for each of k targets; of a network with other channels, those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from deepinside.class_images.parametrize import Fourier, Parametrization, Pixels, Size
from deepinside.class_images.regularizers import l2
from deepinside.class_images.starts import Try, best, draws
from deepinside.class_images.transforms import (
    Crop,
    Mirror,
    Noise,
    RandomView,
    Recolor,
    Rotation,
    Shear,
    Transform,
    apply_transforms,
)
from deepinside.core.errors import DeepInsideError, named
from deepinside.gradients.logits import logits_of
from deepinside.gradients.private import borrowed, original_of
from deepinside.gradients.probe import look_at
from deepinside.gradients.running import home, outputs_of
from deepinside.gradients.targets import At, Score, Target, applied, listed
from deepinside.networks.classifier import LINKS, Classifier, checked_size, usual_link

Color = tuple[float, ...]  # a number for each channel
Posterior = Callable[[Float[Tensor, "k classes"]], Float[Tensor, "k classes"]]
Penalty = Callable[[Float[Tensor, "k channels height width"], Color], Float[Tensor, " k"]]

# Images that are optimized together: with more, CPU throughput no longer grows, but memory does.
CHUNK = 8


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


@dataclass(frozen=True)
class Objective:
    """What is maximized: the score of each image's view, less the weighted penalties of the image itself.

    `mean` is the color of the mean image, from which penalties may measure.
    """

    score: Score
    penalties: Sequence[tuple[float, Penalty]]
    mean: Color


@dataclass(frozen=True)
class Ascent:
    """The state after a step: the images, and the `scores` that the views of the previous images had in this step.

    While several starts are tried, those of the first.
    """

    step: int
    steps: int
    scores: Float[Tensor, " k"]
    images: Float[Tensor, "k channels height width"]
    done: bool = False


# ------------------------------------------------------------------------------------------------------------- presets

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


# -------------------------------------------------------------------------------------------------------------- ascent


def class_image(
    network: nn.Module | Classifier,
    targets: Target | Sequence[Target],
    *,
    preset: str | Recipe = "canonical",
    size: SupportsIndex | Sequence[SupportsIndex] | None = None,
    steps: int | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    posterior: bool | None = None,
) -> Float[Tensor, "k channels height width"]:
    """An image of each target, made to raise its score.

    Args:
        network: a `Classifier`, or a module that maps RGB in [0, 1] to logits. It is left exactly as it was.
        targets: classes, by index or, for a classifier, by name or WordNet id, and scores such as `Neuron`; one
            picture each.
        preset: `"canonical"`, `"paper"`, or a `Recipe`.
        size: pixels of a square's side, or (height, width); by default a classifier's own, and else 224.
        steps: of gradient ascent; by default the preset's.
        seed: of the views and the start. The same seed gives the same picture on the same machine; others show other
            facets of a class.
        mean: the color of the mean image, the origin of the paper's ascent. By default the one that the network
            declares in its first layer. To give it says that a network without one takes RGB in [0, 1].
        posterior: whether to raise the class posterior in place of the score, which the paper warns of.

    Returns:
        RGB in [0, 1], (k, 3, height, width); of a network with other channels, those.

    Raises:
        DeepInsideError: unknown presets, classes or layers, settings out of range, scores that are not finite, and a
            network that does not declare its input range.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
    >>> class_image(network, [1, 7], preset="paper", size=8, mean=(0.5, 0.5, 0.5)).shape
    torch.Size([2, 3, 8, 8])
    """
    _, several, size = _resolved(network, targets, size)
    pictures = []
    for batch in batches(several):
        last: Ascent | None = None
        for last in ascend(  # noqa: B007
            network, batch, preset=preset, size=size, steps=steps, seed=seed, mean=mean, posterior=posterior
        ):
            pass
        assert last is not None
        pictures.append(last.images)
    return torch.cat(pictures)


def ascend(
    network: nn.Module | Classifier,
    targets: Sequence[Target],
    *,
    preset: str | Recipe = "canonical",
    size: SupportsIndex | Sequence[SupportsIndex] | None = None,
    steps: int | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    posterior: bool | None = None,
) -> Iterator[Ascent]:
    """As `class_image`, step by step, for progress bars and animations; the last `Ascent` is `done`.

    All targets are optimized in one batch, and must all be classes or be read at one layer, as `batches` groups them.
    """
    recipe = adjusted(preset, steps, posterior)
    link = network.log_posterior if isinstance(network, Classifier) else _log_posterior
    network, targets, height_width = _resolved(network, targets, size)
    color = mean_color(network, mean)
    score = score_of(targets, height_width, link if recipe.posterior else None)
    objective = Objective(score, recipe.penalties, color)
    with torch.inference_mode(False), torch.no_grad():
        canvas = recipe.parametrization(height_width, color)
        device = home(original_of(network))[0]
        trial = round(recipe.trial * recipe.steps)
        begin = partial(Try.begin, canvas, recipe.optimizer, len(targets), device)
        count = recipe.starts if trial > recipe.warm_up else 1  # before, none has got anywhere
        tries = [begin(generator) for generator in draws(seed, count)]
    full = tries[0].optimizer.param_groups[0]["lr"]
    with borrowed(network, tries[0].images) as private:
        takes = cache(partial(_takes, private, tries[0].images[:1]))
        for step in range(recipe.steps):
            # The caller's mode is the caller's again at every yield.
            with torch.inference_mode(False), torch.no_grad():
                transforms = _fitting(recipe.transforms(height_width, step / recipe.steps), height_width, takes)
                climbing = partial(climb, private, canvas, objective=objective, transforms=transforms)
                if step == trial and len(tries) > 1:
                    tries = [best(tries, climbing)]
                moved = [each.step(climbing, full * _pace(step, recipe)) for each in tries]
                still = len(tries) == 1 and step >= recipe.warm_up and moved[0] < recipe.settled
                done = still or step == recipe.steps - 1
            yield Ascent(step + 1, recipe.steps, tries[0].scores, tries[0].images.clamp(0, 1), done)
            if done:
                return


def _resolved(
    network: nn.Module | Classifier,
    targets: Target | Sequence[Target],
    size: SupportsIndex | Sequence[SupportsIndex] | None,
) -> tuple[nn.Module, list[Target], Size]:
    """A module, targets that it understands, and the size of the images."""
    wanted = listed(targets)
    if isinstance(network, Classifier):
        wanted = [target if callable(target) else network.labels.find(target) for target in wanted]
        size = network.size if size is None else size
        network = network.fast
    return network, wanted, checked_size(224 if size is None else size)


def climb(
    private: nn.Module,
    canvas: Parametrization,
    values: Float[Tensor, "k ..."],
    objective: Objective,
    transforms: Sequence[Transform],
    generator: Generator,
) -> tuple[Float[Tensor, " k"], Float[Tensor, "k ..."]]:
    """The scores of one random view of each image, and the gradient of the objective with respect to the values.

    Args:
        private: the network, as `borrowed` gives it.
        canvas: the parametrization, which maps values to images.
        values: the parameters of k images.
        objective: the score and its penalties.
        transforms: the views; each is drawn anew.
        generator: draws the views.

    The network's gradient is taken at the view, and back-propagated from there through transforms and parametrization.
    """
    with torch.inference_mode(False), torch.enable_grad():
        moving = values.detach().requires_grad_()
        images = canvas(moving)
        views = apply_transforms(images, transforms, generator)
        passes = look_at(private, views.detach(), objective.score)
        heads: list[Tensor] = [views]
        tails: list[Tensor] = [passes.gradients[0][:, 0].to(views)]
        for weight, penalty in objective.penalties:
            heads.append(-weight * penalty(images, objective.mean).sum())
            tails.append(torch.ones_like(heads[-1]))
        (gradient,) = torch.autograd.grad(heads, moving, tails)
    return passes.scores[:, 0], gradient


def batches(targets: Sequence[Target], most: int = CHUNK) -> Iterator[Sequence[Target]]:
    """Groups of consecutive targets that can be optimized together: of one layer, and at most `most`.

    >>> list(batches([1, 2, 3], most=2))
    [[1, 2], [3]]
    """
    if not targets:
        raise DeepInsideError("expected at least one class or score to make an image of, got none")
    for _, group in groupby(targets, key=_read_at):
        same = list(group)
        yield from (same[first : first + most] for first in range(0, len(same), most))


def score_of(targets: Sequence[Target], size: Size, posterior: Posterior | None = None) -> Score:
    """One score for a batch of images, each with a target of its own: row i of the output is scored by target i.

    Args:
        targets: classes by index, or scores.
        size: height and width of the images, whose ratio tells how a grid of tokens lies.
        posterior: how logits become log P(c), to take that in place of the unnormalized score.

    Raises `DeepInsideError` for targets of several layers, for the posterior of a target that is no class, and for a
    class by name.
    """
    if names := [target for target in targets if isinstance(target, str)]:
        raise DeepInsideError(f"expected classes by index, since a network has no class names, got {names[0]!r}")
    layers = {_read_at(target) for target in targets}
    if len(layers) > 1:
        raise DeepInsideError(f"expected targets of one layer in one ascent, got {len(layers)}; use `batches` first")
    (layer,) = layers
    if layer is _LOGITS:
        return lambda output: _class_scores(output, targets, posterior)
    if posterior:
        raise DeepInsideError("expected classes, since only they have a posterior, got another score")

    def each(output: Any) -> Tensor:
        rows = [applied(target, output[row : row + 1], size) for row, target in enumerate(targets) if callable(target)]
        return torch.cat(rows)

    return each if layer is None else At(str(layer), each)


_LOGITS = object()  # where a class is read


def _read_at(target: Target) -> object:
    """Where a target is read: at the logits, at a named layer, or at the network's raw output (None)."""
    return getattr(target, "layer", None) if callable(target) else _LOGITS


def _log_posterior(logits: Float[Tensor, "k classes"]) -> Float[Tensor, "k classes"]:
    return LINKS[usual_link(logits.shape[1])].logarithms(logits)


def _class_scores(output: object, classes: Sequence[Target], posterior: Posterior | None) -> Float[Tensor, " k"]:
    logits = logits_of(output, len(classes))
    count = logits.shape[1]
    wrong = [index for index in classes if isinstance(index, bool) or not 0 <= int(index) < count]  # type: ignore[arg-type]
    if wrong:
        raise DeepInsideError(f"expected classes from 0 to {count - 1}, as many as the network has, got {wrong[0]}")
    scores = posterior(logits) if posterior else logits
    return scores.gather(1, torch.tensor(classes, device=logits.device)[:, None])[:, 0]


def adjusted(preset_or_recipe: str | Recipe, steps: int | None, posterior: bool | None) -> Recipe:
    """A preset with some settings replaced. Raises `DeepInsideError` for fewer than one step."""
    recipe = preset(preset_or_recipe) if isinstance(preset_or_recipe, str) else preset_or_recipe
    if steps is not None and steps < 1:
        raise DeepInsideError(f"expected at least one step, got {steps}")
    changed = {"steps": steps, "posterior": posterior}
    return replace(recipe, **{name: value for name, value in changed.items() if value is not None})  # type: ignore[arg-type]


def mean_color(network: nn.Module, mean: Sequence[float] | None) -> Color:
    """The color of the mean image, given or declared by the network. Raises `DeepInsideError` where neither is."""
    if mean is None:
        network = original_of(network)
        own, spread = getattr(network, "mean", None), getattr(network, "std", None)
        if not isinstance(own, Tensor) or not isinstance(spread, Tensor) or own.ndim != 3:
            raise DeepInsideError(
                f"expected a network that declares its input range, got {type(network).__name__}; wrap it as "
                "Classifier(module, mean=..., std=...).network, or give mean= if it takes RGB in [0, 1]"
            )
        mean = own.reshape(len(own), -1).mean(dim=1).tolist()  # of a mean image, its average
    return tuple(float(value) for value in mean)


def _fitting(transforms: Sequence[Transform], size: Size, takes: Callable[[Size], bool]) -> list[Transform]:
    """The transforms with the sizes that the network accepts: some accept one only, and most have a smallest one."""

    def fit(transform: Transform) -> Transform:
        if not isinstance(transform, RandomView):
            return transform
        return replace(transform, sizes=tuple(asked for asked in transform.sizes if takes(asked)) or (size,))

    return [fit(transform) for transform in transforms]


def _takes(private: nn.Module, image: Float[Tensor, "1 channels height width"], size: Size) -> bool:
    try:
        outputs_of(private, image.new_zeros(*image.shape[:2], *size))
    except DeepInsideError:
        return False
    return True


def _pace(step: int, recipe: Recipe) -> float:
    """The factor of the step size: it rises during warm-up, and falls to zero over the last share of the steps."""
    left = (recipe.steps - step) / recipe.steps
    rising = (step + 1) / recipe.warm_up if recipe.warm_up else 1.0
    return min(rising, left / recipe.anneal if recipe.anneal else 1.0, 1.0)
