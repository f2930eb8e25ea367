"""Maps of the class-activation family, from the package `grad-cam`, to be judged beside ours.

Grad-CAM is taken at the last convolutional features, where it is CAM for a network that ends in global average pooling
and one linear layer.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from deepinside.evaluation.metrics import Map
from deepinside.gradients.logits import logits_of
from deepinside.gradients.probe import frozen
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import list_layers

MAP_METHODS = ("grad_cam", "layer_cam")


class _Logits(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.network(images), len(images))


def cam_methods(classifier: Classifier) -> dict[str, Callable[[Tensor, int], Map]]:
    """Grad-CAM and LayerCAM of the package `grad-cam`, on a private copy; none without it or without a feature map."""
    if not find_spec("pytorch_grad_cam"):
        return {}
    from pytorch_grad_cam import GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network = _Logits(frozen(classifier.network))
    layer = _last_feature_map(network, classifier.size)
    if layer is None or next(network.parameters(), None) is None:
        return {}

    def method(cam: GradCAM | LayerCAM) -> Callable[[Tensor, int], Map]:
        def map(image: Tensor, target: int) -> Map:
            with torch.inference_mode(False), torch.enable_grad():
                # The weights are frozen, so the picture has to ask for the gradient.
                return np.asarray(cam(image.clone().requires_grad_(), [ClassifierOutputTarget(target)])[0])

        return map

    return dict(zip(MAP_METHODS, (method(cam(network, [layer])) for cam in (GradCAM, LayerCAM)), strict=True))


def _last_feature_map(network: nn.Module, size: tuple[int, int]) -> nn.Module | None:
    """The last layer without layers in it whose output still has height and width."""
    for layer in reversed(list_layers(network, size)):
        module = network.get_submodule(layer.name)
        if len(layer.shape) == 3 and min(layer.shape[1:]) > 1 and not any(module.children()):
            return module
    return None
