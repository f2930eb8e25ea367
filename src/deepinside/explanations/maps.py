"""The gradients and saliency maps of `gradients.saliency`, for a classifier as well as for a module.

A classifier brings class names, and the fast form of a network that it owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

from jaxtyping import Float
from torch import Tensor, nn

from deepinside.gradients import saliency as formulas
from deepinside.gradients.targets import Target
from deepinside.networks.classifier import Classifier


def saliency(
    network: nn.Module | Classifier,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex | str] | Tensor,
    *,
    layer: str | None = None,
    rule: str = "gradient",
) -> Float[Tensor, "batch *targets rows columns"]:
    """The saliency map of each image: the largest magnitude of dS_c/dI over the color channels (Sect. 3.1).

    Args:
        network: a `Classifier`, or any module that maps images to logits. It is left exactly as it was.
        images: in [0, 1], RGB for most networks.
        targets: the class to explain: one for all images, one for each image, or a tensor (batch, k) with several for
            each image; by index, or for a classifier by name or WordNet id as well. Or a score: a `Neuron`, `At` a
            layer, or any function from what the network returns to one number per image, (batch,).
        layer: where the gradient is taken, a name from `named_modules`; by default at the image. It needs a grid.
        rule: how the backward pass goes through rectifiers: `"gradient"`, `"deconvnet"` or `"guided"` (Sect. 4).

    Returns:
        One map per image, (batch, height, width), or (batch, k, height, width) for several targets; never negative,
        in logits per unit of color. At a layer, on its own grid.

    Raises:
        DeepInsideError: as `deepinside.gradients.saliency.saliency`, and for unknown class names.

    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> classifier = Classifier(network, labels=["cat", "dog"], size=8)
    >>> images = torch.rand(2, 3, 8, 8)
    >>> torch.equal(saliency(classifier, images, ["dog", "cat"]), saliency(network, images, [1, 0]))
    True
    """
    module, classes = resolved(network, targets)
    return formulas.saliency(module, images, classes, layer=layer, rule=rule)


def gradient(
    network: nn.Module | Classifier,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex | str] | Tensor,
    *,
    layer: str | None = None,
    rule: str = "gradient",
) -> Float[Tensor, "batch *targets_and_shape"]:
    """dS_c/dI with its sign: arguments and errors as `saliency`; color channels, or the layer's shape, are kept.

    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    >>> gradient(network, torch.rand(2, 3, 4, 4), targets=[3, 7]).shape
    torch.Size([2, 3, 4, 4])
    """
    module, classes = resolved(network, targets)
    return formulas.gradient(module, images, classes, layer=layer, rule=rule)


def resolved(
    network: nn.Module | Classifier, targets: Target | Sequence[SupportsIndex | str] | Tensor
) -> tuple[nn.Module, Any]:
    """A module to compute with, and targets that it understands. Raises `DeepInsideError` for unknown class names."""
    if not isinstance(network, Classifier):
        return network, targets
    if isinstance(targets, str):
        return network.fast, network.labels.find(targets)
    if isinstance(targets, Sequence) and any(isinstance(target, str) for target in targets):
        return network.fast, [network.labels.find(target) for target in targets]
    return network.fast, targets
