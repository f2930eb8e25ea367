"""What an ascent maximizes: the scores that networks give to views of an image, less penalties of the image itself.

With several networks, a picture has to show a class to each of them, so that it shows less of what is peculiar to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize

from deepinside.class_images.parametrize import Parametrization, Size
from deepinside.class_images.recipes import Color, Penalty
from deepinside.class_images.transforms import Transform, apply_transforms
from deepinside.core.errors import DeepInsideError
from deepinside.gradients.logits import logits_of
from deepinside.gradients.probe import look_at
from deepinside.gradients.targets import At, Score, Target, applied

Posterior = Callable[[Float[Tensor, "k classes"]], Float[Tensor, "k classes"]]

# Images that are optimized together: with more, CPU throughput no longer grows, but memory does.
CHUNK = 8


@dataclass(frozen=True)
class Maker:
    """A network, as `borrowed` gives it, and what of its answer is maximized."""

    private: nn.Module
    score: Score


@dataclass(frozen=True)
class Objective:
    """What is maximized: the scores of each image's view, less the weighted penalties of the image itself.

    `mean` is the color of the mean image, from which penalties may measure.
    """

    makers: Sequence[Maker]
    penalties: Sequence[tuple[float, Penalty]]
    mean: Color


def climb(
    objective: Objective,
    canvas: Parametrization,
    values: Float[Tensor, "k ..."],
    transforms: Sequence[Transform],
    generator: Generator,
) -> tuple[Float[Tensor, " k"], Float[Tensor, "k ..."]]:
    """The scores of one random view of each image, and the gradient of the objective with respect to the values.

    Args:
        objective: the networks' scores and the penalties.
        canvas: the parametrization, which maps values to images.
        values: the parameters of k images.
        transforms: the views; each is drawn anew.
        generator: draws the views.

    The networks' gradients are taken at the view, and back-propagated from there through transforms and
    parametrization. Several networks pull alike, each with a gradient of unit length, and the score is their mean.
    """
    with torch.inference_mode(False), torch.enable_grad():
        moving = values.detach().requires_grad_()
        images = canvas(moving)
        views = apply_transforms(images, transforms, generator)
        seen = [look_at(maker.private, views.detach(), maker.score) for maker in objective.makers]
        heads: list[Tensor] = [views]
        tails: list[Tensor] = [_together([passes.gradients[0][:, 0].to(views) for passes in seen])]
        for weight, penalty in objective.penalties:
            heads.append(-weight * penalty(images, objective.mean).sum())
            tails.append(torch.ones_like(heads[-1]))
        (gradient,) = torch.autograd.grad(heads, moving, tails)
    return torch.stack([passes.scores[:, 0] for passes in seen]).mean(dim=0), gradient


def _together(gradients: Sequence[Float[Tensor, "k ..."]]) -> Float[Tensor, "k ..."]:
    """One gradient as it is; of several, the sum of their directions for each image."""
    if len(gradients) == 1:
        return gradients[0]
    return torch.stack([normalize(each.flatten(1)).view_as(each) for each in gradients]).sum(dim=0)


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


def _class_scores(output: object, classes: Sequence[Target], posterior: Posterior | None) -> Float[Tensor, " k"]:
    logits = logits_of(output, len(classes))
    count = logits.shape[1]
    wrong = [index for index in classes if isinstance(index, bool) or not 0 <= int(index) < count]  # type: ignore[arg-type]
    if wrong:
        raise DeepInsideError(f"expected classes from 0 to {count - 1}, as many as the network has, got {wrong[0]}")
    scores = posterior(logits) if posterior else logits
    return scores.gather(1, torch.tensor(classes, device=logits.device)[:, None])[:, 0]
