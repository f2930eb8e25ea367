"""The paper's ConvNet (Sect. 1): conv64-conv256-conv256-conv256-conv256-full4096-full4096-full1000.

The paper gives no filter sizes; VGG's CNN-F (Chatfield et al. 2014) has exactly this list of layers, so its geometry
stands in: 11 x 11 filters at stride 4, local response normalization and overlapping pooling after the first two
layers, 5 x 5, then three of 3 x 3, and dropout between the fully connected layers. For pictures below 128 pixels the
first layer is 7 x 7 at stride 2, so that the last maps keep 7 x 7 places at 64 pixels.

Input: zero-centered images, (batch, 3, size, size); output: logits, (batch, classes).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError

FULL, NARROW = 4096, 1024  # units of a fully connected layer: the paper's, and enough for small pictures
LARGE = 128  # pixels from which the paper's first layer fits


class First(NamedTuple):
    """The filters of the first layer: their side and their stride, in pixels."""

    kernel: int
    stride: int


class LocalResponseNorm(nn.Module):
    """Each activation divided by (k + alpha * sum of squares over five neighboring channels) ** beta.

    Krizhevsky et al. 2012, Sect. 3.3, with alpha for the plain sum, as written there. PyTorch's own layer divides
    alpha by the number of channels in the sum, so it needs `alpha=5e-4` to be the same function. Here the sum is a
    1 x 1 convolution with a banded matrix, which runs several times as fast on a CPU and in bfloat16, too.

    >>> x = torch.randn(2, 8, 3, 3)
    >>> same = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=1.0)
    >>> torch.allclose(LocalResponseNorm(8)(x), same(x), atol=1e-6)
    True
    """

    band: Tensor

    def __init__(self, channels: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        place = torch.arange(channels)
        near = (place[:, None] - place[None, :]).abs() <= 2
        self.register_buffer("band", alpha * near.float()[:, :, None, None], persistent=False)
        self.beta, self.k = beta, k

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """The normalized activations."""
        # k is added after the convolution: under mixed precision it then is not rounded together with small sums.
        return x * (self.k + F.conv2d(x * x, self.band.to(x.dtype))).pow(-self.beta)


class ConvNet2013(nn.Module):
    """The paper's network for any number of classes and size of pictures.

    Args:
        classes: how many logits to return.
        size: height and width of the pictures, in pixels, at least 32.
        full: units of the two hidden fully connected layers; by default the paper's 4096, or 1024 below 128 pixels.
        dropout: the share of those units that training leaves out.

    Weights are drawn from a Gaussian of standard deviation 0.01 and biases are zero, as was the custom; `he_` draws
    them anew for recipes without a warm start. Raises `DeepInsideError` for a size or a number of classes too small.

    >>> sum(parameter.numel() for parameter in ConvNet2013(1000).parameters())
    60834536
    >>> ConvNet2013(20, size=64)(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 20])
    """

    def __init__(self, classes: int = 1000, *, size: int = 224, full: int | None = None, dropout: float = 0.5):
        super().__init__()
        if classes < 2 or size < 32:
            raise DeepInsideError(
                f"expected at least 2 classes and 32 pixels a side, got {classes} classes and {size} pixels"
            )
        first = First(11, 4) if size >= LARGE else First(7, 2)
        full = full or (FULL if size >= LARGE else NARROW)
        self.features = nn.Sequential(_convolutional(first))
        side = _side(size, first)
        self.classifier = nn.Sequential(_fully_connected(256 * side * side, full, classes, dropout))
        gaussian_(self)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of zero-centered images."""
        # In the order of the weights whatever the memory format, so that checkpoints mean the same everywhere.
        logits: Tensor = self.classifier(self.features(images).contiguous().flatten(1))
        return logits


def gaussian_(network: nn.Module, deviation: float = 0.01) -> None:
    """Draw all weights from a Gaussian around zero, the paper's time's custom; biases become zero."""
    for layer in _weighted(network):
        nn.init.normal_(layer.weight, std=deviation)


def he_(network: nn.Module) -> None:
    """Draw weights as He et al. 2015 do for rectifiers, which keeps the signal's size; biases become zero.

    The last layer's come from a Gaussian of 0.01, so that training begins with all classes about equally likely.
    """
    *hidden, last = _weighted(network)
    for layer in hidden:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(last.weight, std=0.01)


def _weighted(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return layers


def _convolutional(first: First) -> OrderedDict[str, nn.Module]:
    """Five convolutions; pooling rounds up, as Caffe did: 54 x 54 places become 27 x 27."""
    return OrderedDict(
        conv1=nn.Conv2d(3, 64, first.kernel, first.stride),
        relu1=nn.ReLU(),
        norm1=LocalResponseNorm(64),
        pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv2=nn.Conv2d(64, 256, 5, padding=2),
        relu2=nn.ReLU(),
        norm2=LocalResponseNorm(256),
        pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv3=nn.Conv2d(256, 256, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(256, 256, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(256, 256, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
    )


def _fully_connected(inputs: int, full: int, classes: int, dropout: float) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        full6=nn.Linear(inputs, full),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(dropout),
        full7=nn.Linear(full, full),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(dropout),
        full8=nn.Linear(full, classes),
    )


def _side(size: int, first: First) -> int:
    """Places a side after the last pooling: three times half, rounded up, after the first layer."""
    side = (size - first.kernel) // first.stride + 1
    for _ in range(3):
        side = -(-(side - 3) // 2) + 1
    return side
