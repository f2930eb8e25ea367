"""What a class looks like to a network: an image whose score is as high as can be (paper, Sect. 2).

`recipes` has the presets, `objectives` what is maximized. A target is a class, a `Neuron`, or any other score of
`gradients.targets`.

Images are RGB in [0, 1], (k, 3, height, width), one for each of k targets; of a network with other channels, those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, SupportsIndex, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.class_images.likeness import drawn_to
from deepinside.class_images.objectives import Maker, Objective, Posterior, batches, climb, score_of
from deepinside.class_images.parametrize import Size
from deepinside.class_images.recipes import Color, Recipe, adjusted
from deepinside.class_images.references import best_photos, in_view, listed_photos
from deepinside.class_images.starts import Try, best, draws
from deepinside.class_images.transforms import RandomView, Transform
from deepinside.core.errors import DeepInsideError
from deepinside.gradients.private import borrowed, original_of
from deepinside.gradients.running import home, outputs_of
from deepinside.gradients.targets import Target, listed
from deepinside.networks.classifier import LINKS, Classifier, checked_size, usual_link
from deepinside.networks.declared import declares_pixels
from deepinside.networks.layers import find_stages

Network: TypeAlias = nn.Module | Classifier
Photos: TypeAlias = Float[Tensor, "_ channels height width"]

LATE = 0.75  # the share of the steps whose views the photos of `like` are seen in


@dataclass(frozen=True)
class Ascent:
    """The state after a step: the images, and the `scores` that the views of the previous images had in this step.

    While several starts are tried, those of the first. With photos that the images are drawn to, the scores are what is
    maximized (`likeness`).
    """

    step: int
    steps: int
    scores: Float[Tensor, " k"]
    images: Float[Tensor, "k channels height width"]
    done: bool = False


def class_image(
    network: Network | Sequence[Network],
    targets: Target | Sequence[Target],
    *,
    preset: str | Recipe = "canonical",
    size: SupportsIndex | Sequence[SupportsIndex] | None = None,
    steps: int | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    posterior: bool | None = None,
    like: Any = (),
) -> Float[Tensor, "k channels height width"]:
    """An image of each target, made to raise its score.

    Args:
        network: a `Classifier`, a network of timm or transformers, which say what pixels it takes, or a module that
            maps RGB in [0, 1] to logits; or several with the same classes, to all of which an image has to show its
            class. They are left exactly as they were.
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
        like: photos whose features an image shall have, a folder or some as `explain` takes them: for each target,
            those in which a classifier scores it at least half as high as in any, and at most sixteen. Without any,
            the target alone counts.

    Returns:
        RGB in [0, 1], (k, 3, height, width); of a network with other channels, those.

    Raises:
        DeepInsideError: unknown presets, classes or layers, settings out of range, scores that are not finite, a
            network that does not declare its input range, and photos that cannot be read.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
    >>> class_image(network, [1, 7], preset="paper", size=8, mean=(0.5, 0.5, 0.5)).shape
    torch.Size([2, 3, 8, 8])
    """
    networks = _networks(network, mean)
    several, height_width = _resolved(networks, targets, size)
    photos = listed_photos(like)
    best = best_photos(networks[0], several, photos) if photos else []
    pictures: list[Tensor] = []
    for batch in batches(several):
        drawn = sum(map(len, pictures))
        stacks = [in_view(networks[0], own, height_width) for own in best[drawn : drawn + len(batch)]]
        last: Ascent | None = None
        for last in ascend(  # noqa: B007
            networks,
            batch,
            preset=preset,
            size=height_width,
            steps=steps,
            seed=seed,
            mean=mean,
            posterior=posterior,
            like=stacks,
        ):
            pass
        assert last is not None
        pictures.append(last.images)
    return torch.cat(pictures)


def ascend(
    network: Network | Sequence[Network],
    targets: Sequence[Target],
    *,
    preset: str | Recipe = "canonical",
    size: SupportsIndex | Sequence[SupportsIndex] | None = None,
    steps: int | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    posterior: bool | None = None,
    like: Sequence[Photos] = (),
) -> Iterator[Ascent]:
    """As `class_image`, step by step, for progress bars and animations; the last `Ascent` is `done`.

    All targets are optimized in one batch, and must all be classes or be read at one layer, as `batches` groups them.
    Photos are a stack for each target, in [0, 1] and of the images' size.
    """
    recipe = adjusted(preset, steps, posterior)
    networks = _networks(network, mean)
    targets, height_width = _resolved(networks, targets, size)
    color = mean_color(_module(networks[0]), mean)
    scores = [score_of(targets, height_width, _link(each) if recipe.posterior else None) for each in networks]
    with torch.inference_mode(False), torch.no_grad():
        canvas = recipe.parametrization(height_width, color)
        device = home(original_of(_module(networks[0])))[0]
        trial = round(recipe.trial * recipe.steps)
        begin = partial(Try.begin, canvas, recipe.optimizer, len(targets), device)
        count = recipe.starts if trial > recipe.warm_up else 1  # before, none has got anywhere
        tries = [begin(generator) for generator in draws(seed, count)]
    full = tries[0].optimizer.param_groups[0]["lr"]
    with ExitStack() as loans:
        private = [loans.enter_context(borrowed(_module(each), tries[0].images)) for each in networks]
        takes = cache(partial(_take, private, tries[0].images[:1]))
        if like:
            views = _fitting(recipe.transforms(height_width, LATE), height_width, takes)
            layers = [_layers(each, height_width) for each in networks]
            asked = zip(private, scores, layers, strict=True)
            scores = [drawn_to(network, score, names, like, views) for network, score, names in asked]
        objective = Objective(list(map(Maker, private, scores)), recipe.penalties, color)
        for step in range(recipe.steps):
            # The caller's mode is the caller's again at every yield.
            with torch.inference_mode(False), torch.no_grad():
                transforms = _fitting(recipe.transforms(height_width, step / recipe.steps), height_width, takes)
                climbing = partial(climb, objective, canvas, transforms=transforms)
                if step == trial and len(tries) > 1:
                    tries = [best(tries, climbing)]
                moved = [each.step(climbing, full * _pace(step, recipe)) for each in tries]
                still = len(tries) == 1 and step >= recipe.warm_up and moved[0] < recipe.settled
                done = still or step == recipe.steps - 1
            yield Ascent(step + 1, recipe.steps, tries[0].scores, tries[0].images.clamp(0, 1), done)
            if done:
                return


def _networks(network: Network | Sequence[Network], mean: Sequence[float] | None) -> list[Network]:
    """One network or several, each a network of its own. Raises `DeepInsideError` for none.

    A module that says what pixels it takes becomes a classifier, unless `mean` says that it takes RGB in [0, 1].
    """
    several = [network] if isinstance(network, (nn.Module, Classifier)) else list(network)
    if not several:
        raise DeepInsideError("expected at least one network to make an image with, got none")
    if mean is not None:
        return several
    return [Classifier(each) if isinstance(each, nn.Module) and declares_pixels(each) else each for each in several]


def _module(network: Network) -> nn.Module:
    return network.fast if isinstance(network, Classifier) else network


def _link(network: Network) -> Posterior:
    return network.log_posterior if isinstance(network, Classifier) else _log_posterior


def _log_posterior(logits: Float[Tensor, "k classes"]) -> Float[Tensor, "k classes"]:
    return LINKS[usual_link(logits.shape[1])].logarithms(logits)


def _layers(network: Network, size: Size) -> list[str]:
    """The layers with grids whose features photos share with the image. Raises `DeepInsideError` where none is."""
    stages = network.stages(size) if isinstance(network, Classifier) else find_stages(network, size, size)
    names = dict.fromkeys((*stages.features(), *stages.with_gradients()))
    if not names:
        raise DeepInsideError("expected a network with a layer that has a grid, to draw an image to photos, got none")
    return list(names)


def _resolved(
    networks: Sequence[Network],
    targets: Target | Sequence[Target],
    size: SupportsIndex | Sequence[SupportsIndex] | None,
) -> tuple[list[Target], Size]:
    """Targets as the networks understand them, and the size of the images: the first network's."""
    wanted, first = listed(targets), networks[0]
    check_together(networks, wanted)
    if isinstance(first, Classifier):
        wanted = [target if callable(target) else first.labels.find(target) for target in wanted]
        size = first.size if size is None else size
    return wanted, checked_size(224 if size is None else size)


def check_together(networks: Sequence[Network], targets: Sequence[Target]) -> None:
    """Raise `DeepInsideError` for targets that several networks do not have in common."""
    first, *others = networks
    if others and any(map(callable, targets)):
        raise DeepInsideError("expected classes for several networks, since a neuron or a score is that of one")
    for other in others:
        if isinstance(first, Classifier) and isinstance(other, Classifier):
            first.check_same_classes(other)


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
    """The transforms with the sizes that every network accepts: some accept one only, and most have a smallest one."""

    def fit(transform: Transform) -> Transform:
        if not isinstance(transform, RandomView):
            return transform
        return replace(transform, sizes=tuple(asked for asked in transform.sizes if takes(asked)) or (size,))

    return [fit(transform) for transform in transforms]


def _take(private: Sequence[nn.Module], image: Float[Tensor, "1 channels height width"], size: Size) -> bool:
    try:
        for network in private:
            outputs_of(network, image.new_zeros(*image.shape[:2], *size))
    except DeepInsideError:
        return False
    return True


def _pace(step: int, recipe: Recipe) -> float:
    """The factor of the step size: it rises during warm-up, and falls to zero over the last share of the steps."""
    left = (recipe.steps - step) / recipe.steps
    rising = (step + 1) / recipe.warm_up if recipe.warm_up else 1.0
    return min(rising, left / recipe.anneal if recipe.anneal else 1.0, 1.0)
