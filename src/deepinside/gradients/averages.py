"""Attributions that look at gradients beside the image: averaged over noise, or along the path from a baseline.

    smooth_grad            mean over noise N of dS/dI at I + N                        Smilkov et al. 2017
    integrated_gradients   (I - B) · mean of dS/dI over the straight path from B to I  Sundararajan et al. 2017
    gradient_times_input   (I - B) · dS/dI at I, the end of that path                  Shrikumar et al. 2016

I is the image and B its baseline, from which contributions are counted. All results are signed and keep the color
channels, as `saliency.gradient` does. At most `question.CHUNK` variants of images go through the network at a time.

Images are RGB in [0, 1], (batch, 3, height, width); networks return logits, (batch, classes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import index
from typing import SupportsIndex, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.private import borrowed
from deepinside.gradients.question import Question, question_of
from deepinside.gradients.saliency import gradient
from deepinside.gradients.targets import Target

# The paper's own: 50 samples, beyond which its maps hardly change, and noise of 10 to 20% of the image's range.
SAMPLES, NOISE = 50, 0.15
# The paper finds 20 to 300 steps enough. With 50, this is also what Captum computes by default.
STEPS = 50

# A number, one for each channel, a color or picture that all images share, or an image for each.
Baseline: TypeAlias = float | Sequence[float] | Tensor
# The variants of a part of the images, one after the other.
Variants: TypeAlias = Callable[[slice], Iterator[Tensor]]


def smooth_grad(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    *,
    samples: SupportsIndex = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    rule: str = "gradient",
) -> Float[Tensor, "batch *targets channels height width"]:
    """The mean gradient at noisy copies of each image. Other arguments and errors as `saliency.saliency`.

    Args:
        samples: how many noisy copies.
        noise: the standard deviation, as a share of the image's own range, its largest value less its smallest.
        seed: of the noise, which is the same for every image, so that an image's result depends on no other.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    >>> images = torch.rand(2, 3, 4, 4)
    >>> torch.allclose(smooth_grad(network, images, 7), gradient(network, images, 7))  # it is linear
    True
    """
    question = question_of(images, targets)
    count = _positive(samples, "samples")
    if not (math.isfinite(noise) and noise >= 0):
        raise DeepInsideError(f"expected noise as a share of the image's range, such as {NOISE}, got {noise}")
    images = images.detach()
    spread = noise * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))

    def noisy(part: slice) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)  # on the processor, so that every device sees the same noise
        for _ in range(count):
            yield images[part] + spread[part] * torch.randn(images.shape[1:], generator=generator).to(images)

    return _weighted(network, images, question, noisy, [1 / count] * count, rule)


def integrated_gradients(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    *,
    baseline: Baseline = 0.0,
    steps: SupportsIndex = STEPS,
) -> Float[Tensor, "batch *targets channels height width"]:
    """What each value contributes to the score's rise from the baseline. Other arguments and errors as `saliency`.

    Contributions sum to S(I) - S(B), up to the error of the quadrature, which is that of Gauss and Legendre.

    Args:
        baseline: where the path begins: a number, one for each channel, or values of the images' own shape.
        steps: at how many points of the path gradients are taken.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    >>> images = torch.rand(2, 3, 4, 4)
    >>> rise = network(images) - network(torch.zeros(2, 3, 4, 4))
    >>> torch.allclose(integrated_gradients(network, images, 7).sum((1, 2, 3)), rise[:, 7], atol=1e-5)
    True
    """
    question = question_of(images, targets)
    nodes, weights = np.polynomial.legendre.leggauss(_positive(steps, "steps"))  # on [-1, 1], so that weights sum to 2
    images = images.detach()
    difference = images - _baseline(baseline, images)

    def path(part: slice) -> Iterator[Tensor]:
        return (images[part] - (1 - node) / 2 * difference[part] for node in nodes.tolist())

    return _times(difference, _weighted(network, images, question, path, (weights / 2).tolist()))


def gradient_times_input(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    *,
    baseline: Baseline = 0.0,
) -> Float[Tensor, "batch *targets channels height width"]:
    """The gradient times the image's difference from a baseline. Arguments and errors as `integrated_gradients`.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    >>> images = torch.rand(2, 3, 4, 4)
    >>> torch.equal(gradient_times_input(network, images, 7), images * gradient(network, images, 7))
    True
    """
    gradients = gradient(network, images, targets)
    images = images.detach()
    return _times(images - _baseline(baseline, images), gradients)


def _weighted(
    network: nn.Module,
    images: Tensor,
    question: Question,
    variants: Variants,
    weights: Sequence[float],
    rule: str = "gradient",
) -> Float[Tensor, "batch *targets channels height width"]:
    """The weighted sum of the gradients at the variants of each image."""
    with borrowed(network, images, rule) as private:
        sums = [_weighted_part(private, question, part, variants(part), weights, rule) for part in question.parts()]
    return question.answer(torch.cat(sums))


def _weighted_part(
    private: nn.Module,
    question: Question,
    part: slice,
    variants: Iterator[Tensor],
    weights: Sequence[float],
    rule: str,
) -> Float[Tensor, "some k channels height width"]:
    """The same for a part of the images; several variants go at a time where they are few."""
    count = part.stop - part.start
    at_once = 1 if question.knows_its_images else max(question.at_once // (count * question.targets), 1)
    total: Tensor | None = None
    left = iter(weights)
    while some := list(islice(variants, at_once)):
        gradients = question.passes(private, torch.cat(some), part, rule=rule).gradients[0]
        for each in gradients.split(count):
            weighted = each * next(left)
            total = weighted if total is None else total + weighted
    assert total is not None
    return total


def _times(
    difference: Float[Tensor, "batch channels height width"],
    gradients: Float[Tensor, "batch *targets channels height width"],
) -> Float[Tensor, "batch *targets channels height width"]:
    return gradients * (difference if gradients.ndim == difference.ndim else difference[:, None])


def _positive(count: SupportsIndex, what: str) -> int:
    try:
        number = index(count)
    except TypeError:
        number = 0
    if number < 1:
        raise DeepInsideError(f"expected a whole number of {what} from 1, got {count!r}")
    return number


def _baseline(given: object, images: Tensor) -> Float[Tensor, "batch channels height width"]:
    """A baseline in any accepted form, for each of the images."""
    try:
        values = torch.as_tensor(given).detach().to(images)
        values = (values[:, None, None] if values.ndim == 1 else values).expand(images.shape)
        if values.isfinite().all():
            return values
        told = "values that are not finite"
    except (TypeError, ValueError, RuntimeError):
        told = f"{tuple(given.shape)}" if isinstance(given, Tensor) else repr(given)
    raise DeepInsideError(
        f"expected a baseline as a number, one for each of {images.shape[1]} channels, or finite values of shape "
        f"{tuple(images.shape[1:])} or {tuple(images.shape)}; got {told}"
    )
