"""The usual methods beside the gradient, of a classifier as well as of a module.

The formulas are in `gradients.averages` and `gradients.class_activation`. A classifier brings class names, the fast
form of a network that it owns, the color that its network sees as zero, and its last layer with a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

from jaxtyping import Float
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.explanations.maps import resolved
from deepinside.gradients import averages, class_activation
from deepinside.gradients.averages import NOISE, SAMPLES, STEPS, Baseline
from deepinside.gradients.private import original_of
from deepinside.gradients.question import question_of
from deepinside.gradients.targets import Target, sources_of
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import last_layer
from deepinside.networks.normalized import Normalized


def smooth_grad(
    network: nn.Module | Classifier,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex | str] | Tensor,
    *,
    samples: SupportsIndex = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    rule: str = "gradient",
) -> Float[Tensor, "batch *targets channels height width"]:
    """SmoothGrad: the mean of the gradient over noisy copies of each image (Smilkov et al. 2017).

    Args:
        network: a `Classifier`, or any module that maps images to logits. It is left exactly as it was.
        images: in [0, 1], RGB for most networks.
        targets: as in `saliency`: classes by index, or for a classifier by name, one for all images, one for each, or a
            tensor (batch, k) with several for each; or a score.
        samples: how many noisy copies; as many gradients are computed. Memory does not grow with them.
        noise: the standard deviation of the Gaussian noise, as a share of the image's own range, its largest value less
            its smallest. The paper advises 0.1 to 0.2. Noisy images are not clipped.
        seed: of the noise. It is the same for every image, so that a result does not depend on the rest of the batch.
        rule: how the backward pass goes through rectifiers, as in `saliency`.

    Returns:
        Signed values for each channel, (batch, channels, height, width) or (batch, k, channels, height, width), in
        logits per unit of color. `.abs().amax(dim=-3)` makes the map that `saliency` would.

    Raises:
        DeepInsideError: as `saliency`, and for a number of samples or a noise that makes no sense.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> images = torch.rand(2, 3, 8, 8)
    >>> torch.equal(smooth_grad(network, images, 5, samples=4), smooth_grad(network, images, 5, samples=4))
    True
    """
    module, classes = resolved(network, targets)
    return averages.smooth_grad(module, images, classes, samples=samples, noise=noise, seed=seed, rule=rule)


def integrated_gradients(
    network: nn.Module | Classifier,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex | str] | Tensor,
    *,
    baseline: Baseline | None = None,
    steps: SupportsIndex = STEPS,
) -> Float[Tensor, "batch *targets channels height width"]:
    """Integrated gradients: what each pixel adds to the score on the way from a baseline (Sundararajan et al. 2017).

    The image's difference from the baseline, times the mean gradient on the straight path between them, by the rule of
    Gauss and Legendre. The sum over all pixels is the score of the image less that of the baseline, up to the error of
    that rule, which falls as `steps` grow.

    Args:
        network: a `Classifier`, or any module that maps images to logits. It is left exactly as it was.
        images: in [0, 1], RGB for most networks.
        targets: as in `saliency`.
        baseline: a number, one for each channel, or values of the images' own shape, in [0, 1]. By default the color
            that the network sees as zero: a classifier's mean color, or 0, black, for a module whose normalization
            nobody knows. So a classifier's result is that of the usual zero baseline on normalized images.
        steps: at how many points of the path gradients are computed. Memory does not grow with them.

    Returns:
        Signed values for each channel, (batch, channels, height, width) or (batch, k, channels, height, width), in
        logits. `.sum(dim=-3)` makes one map of them.

    Raises:
        DeepInsideError: as `saliency`, and for a baseline or a number of steps that makes no sense.

    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> gray = Classifier(network, size=8, mean=0.5)
    >>> integrated_gradients(gray, torch.full((1, 3, 8, 8), 0.5), 1).abs().max()
    tensor(0.)
    """
    module, classes = resolved(network, targets)
    origin = _origin(module) if baseline is None else baseline
    return averages.integrated_gradients(module, images, classes, baseline=origin, steps=steps)


def gradient_times_input(
    network: nn.Module | Classifier,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex | str] | Tensor,
    *,
    baseline: Baseline | None = None,
) -> Float[Tensor, "batch *targets channels height width"]:
    """Gradient times input: the gradient times the image's difference from a baseline (Shrikumar et al. 2016).

    Args:
        network: a `Classifier`, or any module that maps images to logits. It is left exactly as it was.
        images: in [0, 1], RGB for most networks.
        targets: as in `saliency`.
        baseline: what counts as no input, as in `integrated_gradients`: by default a classifier's mean color, so that
            its result is the gradient times the normalized image, which is what its network takes as input.

    Returns:
        Signed values for each channel, (batch, channels, height, width) or (batch, k, channels, height, width), in
        logits. `.sum(dim=-3)` makes one map of them.

    Raises:
        DeepInsideError: as `saliency`, and for a baseline that does not fit.

    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> gradient_times_input(network, torch.rand(1, 3, 8, 8), 1).shape
    torch.Size([1, 3, 8, 8])
    """
    module, classes = resolved(network, targets)
    origin = _origin(module) if baseline is None else baseline
    return averages.gradient_times_input(module, images, classes, baseline=origin)


def grad_cam(
    network: nn.Module | Classifier,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex | str] | Tensor,
    layer: str | None = None,
) -> Float[Tensor, "batch *targets height width"]:
    """Grad-CAM: a layer's maps, each weighted by its mean gradient, summed and rectified (Selvaraju et al. 2017).

    Args:
        network: a `Classifier`, or any module that maps images to logits. It is left exactly as it was.
        images: in [0, 1], RGB for most networks.
        targets: as in `saliency`; a score of a layer, such as a `Neuron`, needs `layer` to be one before that.
        layer: a name from `named_modules`, of maps or of tokens that form a grid. By default the last one with a grid
            whose positions the scores depend on, which is found by running the network: name it to save that time.

    Returns:
        One map per image, (batch, height, width), or (batch, k, height, width) for several targets; never negative, in
        logits. The layer's own grid is interpolated bilinearly to the image's size, and not rescaled.

    Raises:
        DeepInsideError: as `saliency` at a layer, and for a network without a layer that has a grid.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> images = torch.rand(2, 3, 9, 9)
    >>> torch.equal(grad_cam(network, images, 5), grad_cam(network, images, 5, layer="1"))
    True
    """
    module, classes = resolved(network, targets)
    return class_activation.grad_cam(module, images, classes, layer or _last_layer(network, images, targets))


def layer_cam(
    network: nn.Module | Classifier,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex | str] | Tensor,
    layer: str | None = None,
) -> Float[Tensor, "batch *targets height width"]:
    """LayerCAM: a layer's maps, each weighted by its positive gradients, position by position (Jiang et al. 2021).

    Arguments, result and errors as `grad_cam`. Where every position of a map has the same gradient, as before global
    average pooling, it differs from Grad-CAM only in leaving negative weights out.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5))
    >>> layer_cam(network, torch.rand(2, 3, 9, 9), [3, 1], layer="1").shape
    torch.Size([2, 9, 9])
    """
    module, classes = resolved(network, targets)
    return class_activation.layer_cam(module, images, classes, layer or _last_layer(network, images, targets))


def _origin(module: nn.Module) -> Baseline:
    """The color that the network sees as zero, as far as it is known."""
    original = original_of(module)
    return original.mean if isinstance(original, Normalized) else 0.0


def _last_layer(network: nn.Module | Classifier, images: Tensor, targets: object) -> str:
    question_of(images, 0)  # so that the size can be read
    if callable(targets) and any(name is not None for name in sources_of(targets)):
        raise DeepInsideError(
            "expected a layer for the map of a score that is a layer's own, got none; give layer=, the name of one "
            "before that"
        )
    channels, size = images.shape[1], (images.shape[2], images.shape[3])
    found = network.last_layer(size) if isinstance(network, Classifier) else last_layer(network, size, channels)
    if found is None:
        raise DeepInsideError(
            "expected a network with a layer that has rows and columns, got none that the scores depend on; "
            "saliency(network, images, targets) needs none"
        )
    return found
