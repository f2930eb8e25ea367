"""Class-activation maps: the activations of a layer, weighted by the gradients of a class score there.

    grad_cam    relu(Σ_k mean(G_k) A_k), the mean over positions     Selvaraju et al. 2017
    layer_cam   relu(Σ_k relu(G_k) · A_k), for every position alone  Jiang et al. 2021

A and G are the activations and the gradients of the score at the layer, (channels, rows, columns); a transformer's
tokens lie as `grids.as_grid` reads them. Where a network ends in global average pooling and one linear layer, Grad-CAM
of the last layer before them is CAM (Zhou et al. 2016), up to a factor.

Images are RGB in [0, 1], (batch, 3, height, width); networks return logits, (batch, classes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import SupportsIndex, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from deepinside.gradients.grids import as_grid
from deepinside.gradients.placement import check_placed
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import Passes
from deepinside.gradients.question import question_of
from deepinside.gradients.targets import Target

Formula: TypeAlias = Callable[
    [Float[Tensor, "*#batch channels rows columns"], Float[Tensor, "*#batch channels rows columns"]],
    Float[Tensor, "*batch rows columns"],
]


def by_channel(
    activations: Float[Tensor, "*#batch channels rows columns"],
    gradients: Float[Tensor, "*#batch channels rows columns"],
) -> Float[Tensor, "*batch rows columns"]:
    """Grad-CAM: one weight for each channel, the mean of its gradient over positions.

    >>> by_channel(torch.ones(2, 1, 2), torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]]))
    tensor([[2., 2.]])
    """
    weights = gradients.mean(dim=(-2, -1), keepdim=True)
    return (weights * activations).sum(dim=-3).clamp(min=0)


def by_position(
    activations: Float[Tensor, "*#batch channels rows columns"],
    gradients: Float[Tensor, "*#batch channels rows columns"],
) -> Float[Tensor, "*batch rows columns"]:
    """LayerCAM: every position has weights of its own, the positive gradients there.

    >>> by_position(torch.ones(2, 1, 2), torch.tensor([[[1.0, 3.0]], [[0.0, -5.0]]]))
    tensor([[1., 3.]])
    """
    return (gradients.clamp(min=0) * activations).sum(dim=-3).clamp(min=0)


FORMULAS: Mapping[str, Formula] = {"grad_cam": by_channel, "layer_cam": by_position}


def grad_cam(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    layer: str,
) -> Float[Tensor, "batch *targets height width"]:
    """Grad-CAM at a layer with a grid, interpolated to the image. Arguments and errors as `saliency.saliency`.

    >>> network = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> grad_cam(network, torch.rand(2, 3, 9, 9), 5, "1").shape
    torch.Size([2, 9, 9])
    """
    return class_activations(network, images, targets, layer, [by_channel])[0]


def layer_cam(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    layer: str,
) -> Float[Tensor, "batch *targets height width"]:
    """LayerCAM at a layer with a grid, interpolated to the image. Arguments and errors as `saliency.saliency`.

    >>> network = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> layer_cam(network, torch.rand(2, 3, 9, 9), torch.tensor([[5, 0], [1, 2]]), "1").shape
    torch.Size([2, 2, 9, 9])
    """
    return class_activations(network, images, targets, layer, [by_position])[0]


def class_activations(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    layer: str,
    formulas: Sequence[Formula],
) -> list[Float[Tensor, "batch *targets height width"]]:
    """The maps of several formulas, from one pass for each image and target."""
    question = question_of(images, targets)
    size = (images.shape[2], images.shape[3])
    found: list[list[Tensor]] = []
    with borrowed(network, images) as private:
        for part in question.parts():
            passes = question.passes(private, images[part], part, (layer,))
            if not found:
                check_placed(network, layer, passes.activations[0].shape, images)
            found.append(_enlarged(passes, formulas, size))
    return [question.answer(torch.cat(maps)) for maps in zip(*found, strict=True)]


def _enlarged(
    passes: Passes, formulas: Sequence[Formula], size: tuple[int, int]
) -> list[Float[Tensor, "batch k height width"]]:
    """The maps on the layer's own grid, interpolated bilinearly between the centers of its cells."""
    activations = as_grid(passes.activations[0], size)
    gradients = as_grid(passes.gradients[0].flatten(0, 1), size).unflatten(0, passes.gradients[0].shape[:2])
    maps = (formula(activations[:, None], gradients) for formula in formulas)
    return [interpolate(each, size, mode="bilinear", align_corners=False) for each in maps]
