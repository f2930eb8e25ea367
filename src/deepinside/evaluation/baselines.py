"""What to judge a localizer beside: boxes that do not look at the image, and maps of the class-activation family.

Grad-CAM (Selvaraju et al. 2017) and LayerCAM (Jiang et al. 2021) are taken at the last layer with a feature map; for a
network that ends in global average pooling and one linear layer, Grad-CAM there is CAM (Zhou et al. 2016).

Shapes: activations A and gradients G of one class score at that layer, (channels, rows, columns).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from deepinside.core.geometry import Box
from deepinside.evaluation.metrics import Map
from deepinside.gradients.private import borrowed, private_view
from deepinside.gradients.probe import look
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import list_layers

MAP_METHODS = ("grad_cam", "layer_cam")


def center_box(width: int, height: int) -> Box:
    """The centered box of half the photo's area: both sides times the square root of 1/2."""
    left, top = width * (1 - math.sqrt(0.5)) / 2, height * (1 - math.sqrt(0.5)) / 2
    return Box(left, top, width - left, height - top)


def whole_image(width: int, height: int) -> Box:
    """The box of the whole photo."""
    return Box(0.0, 0.0, float(width), float(height))


def grad_cam(
    activations: Float[Tensor, "*batch channels rows columns"], gradients: Float[Tensor, "*batch channels rows columns"]
) -> Float[Tensor, "*batch rows columns"]:
    """relu(sum over channels of mean(G) A), the mean being over positions.

    >>> grad_cam(torch.ones(2, 1, 2), torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]]))
    tensor([[2., 2.]])
    """
    weights = gradients.mean(dim=(-2, -1), keepdim=True)
    return (weights * activations).sum(dim=-3).clamp(min=0)


def layer_cam(
    activations: Float[Tensor, "*batch channels rows columns"], gradients: Float[Tensor, "*batch channels rows columns"]
) -> Float[Tensor, "*batch rows columns"]:
    """relu(sum over channels of relu(G) A): every position has weights of its own.

    >>> layer_cam(torch.ones(2, 1, 2), torch.tensor([[[1.0, 3.0]], [[0.0, -5.0]]]))
    tensor([[1., 3.]])
    """
    return (gradients.clamp(min=0) * activations).sum(dim=-3).clamp(min=0)


def cam_layer(classifier: Classifier) -> str | None:
    """The last layer without layers in it whose output still has height and width, or None."""
    private = private_view(classifier.fast)
    for layer in reversed(list_layers(private, classifier.size)):
        is_leaf = not any(private.get_submodule(layer.name).children())
        if is_leaf and len(layer.shape) == 3 and min(layer.shape[1:]) > 1:
            return layer.name
    return None


def cam_maps(
    classifier: Classifier, layer: str, images: Float[Tensor, "batch channels height width"], classes: Sequence[int]
) -> dict[str, list[Map]]:
    """Grad-CAM and LayerCAM of one class per image, from one pass: maps of the image's size, from 0 to 1."""
    with borrowed(classifier.fast, images) as private:
        seen = look(private, images, torch.tensor(classes)[:, None], (layer,))
    activations, gradients = seen.activations[0], seen.gradients[0][:, 0]
    size = (images.shape[2], images.shape[3])
    return {
        name: [_enlarged(map, size) for map in method(activations, gradients)]
        for name, method in zip(MAP_METHODS, (grad_cam, layer_cam), strict=True)
    }


def _enlarged(map: Float[Tensor, "rows columns"], size: tuple[int, int]) -> Map:
    """From 0 to 1, interpolated bilinearly to (height, width), and from 0 to 1 again."""
    larger = interpolate(_unit(map.float())[None, None], size, mode="bilinear", align_corners=False)
    return np.asarray(_unit(larger[0, 0]).cpu().numpy())


def _unit(map: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    raised = map - map.min()
    return raised / (raised.max() + 1e-7)
