"""The paper's ConvNet (Sect. 1): conv64-conv256-conv256-conv256-conv256-full4096-full4096-full1000.

The paper gives no filter sizes. VGG's CNN-F (Chatfield et al. 2014) has exactly this list of layers, so its geometry is
used: 11 x 11 filters at stride 4, then 5 x 5, then three layers of 3 x 3; local response normalization and overlapping
pooling after the first two layers; dropout between the fully connected layers. For images below 128 pixels, the first
layer is 7 x 7 at stride 2, so that the last convolution still has a grid of 7 x 7 at 64 pixels.

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

PAPER_UNITS, SMALL_UNITS = 4096, 1024  # of a hidden fully connected layer: the paper's, and ours for small images
LARGE = 128  # the smallest size in pixels for the first layer of CNN-F


class First(NamedTuple):
    """Side and stride of the filters of the first layer, in pixels."""

    kernel: int
    stride: int


class LocalResponseNorm(nn.Module):
    """Each activation divided by (k + alpha * sum of squares over five neighboring channels) ** beta.

    Krizhevsky et al. 2012, Sect. 3.3, where alpha multiplies the plain sum. PyTorch's own layer divides alpha by the
    number of channels in the sum, so it is the same function with `alpha=5e-4`. Here the sum is a 1 x 1 convolution
    with a banded matrix, which is several times as fast on a CPU, also in bfloat16.

    >>> x = torch.randn(2, 8, 3, 3)
    >>> same = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=1.0)
    >>> torch.allclose(LocalResponseNorm(8)(x), same(x), atol=1e-6)
    True
    """

    band: Tensor

    def __init__(self, channels: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        channel = torch.arange(channels)
        near = (channel[:, None] - channel[None, :]).abs() <= 2
        self.register_buffer("band", alpha * near.float()[:, :, None, None], persistent=False)
        self.beta, self.k = beta, k

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """The normalized activations."""
        # k is added after the convolution, so that mixed precision does not round it together with small sums.
        return x * (self.k + F.conv2d(x * x, self.band.to(x.dtype))).pow(-self.beta)


class ConvNet2013(nn.Module):
    """The paper's network for any number of classes and any image size.

    Args:
        classes: number of logits, at least 2.
        size: height and width of the images in pixels, at least 32.
        hidden_units: of the two hidden fully connected layers; by default the paper's 4096, or 1024 below 128 pixels.
        dropout: the probability of dropping one of these units in training.

    Weights are initialized from a Gaussian of standard deviation 0.01 and biases to zero, as was usual in 2013; `he_`
    initializes them for recipes that need larger weights. Raises `DeepInsideError` for too small a size or number of
    classes.

    >>> sum(parameter.numel() for parameter in ConvNet2013(1000).parameters())
    60834536
    >>> ConvNet2013(20, size=64)(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 20])
    """

    def __init__(self, classes: int = 1000, *, size: int = 224, hidden_units: int | None = None, dropout: float = 0.5):
        super().__init__()
        if classes < 2 or size < 32:
            raise DeepInsideError(
                f"expected at least 2 classes and 32 pixels a side, got {classes} classes and {size} pixels"
            )
        first = First(11, 4) if size >= LARGE else First(7, 2)
        hidden_units = hidden_units or (PAPER_UNITS if size >= LARGE else SMALL_UNITS)
        self.features = nn.Sequential(_convolutional(first))
        side = _side(size, first)
        self.classifier = nn.Sequential(_fully_connected(256 * side * side, hidden_units, classes, dropout))
        gaussian_(self)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """The logits of zero-centered images."""
        # Flattened in the same order for every memory format, so that weights are portable.
        logits: Tensor = self.classifier(self.features(images).contiguous().flatten(1))
        return logits


def gaussian_(network: nn.Module, deviation: float = 0.01) -> None:
    """Initialize all weights from a zero-mean Gaussian, as was usual in 2013, and biases to zero."""
    for layer in _weighted(network):
        nn.init.normal_(layer.weight, std=deviation)


def he_(network: nn.Module) -> None:
    """Initialize weights as He et al. 2015 do for rectifiers, which preserves the variance, and biases to zero.

    The last layer gets a Gaussian of 0.01, so that training starts with about equal class probabilities.
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
    """Five convolutions; pooling rounds up, as in Caffe: a grid of 54 x 54 becomes 27 x 27."""
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


def _fully_connected(inputs: int, units: int, classes: int, dropout: float) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        full6=nn.Linear(inputs, units),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(dropout),
        full7=nn.Linear(units, units),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(dropout),
        full8=nn.Linear(units, classes),
    )


def _side(size: int, first: First) -> int:
    """The side of the grid after the last pooling: after the first layer, it is halved and rounded up three times."""
    side = (size - first.kernel) // first.stride + 1
    for _ in range(3):
        side = -(-(side - 3) // 2) + 1
    return side
