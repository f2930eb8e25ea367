"""A network of your own in `deepinside`: SqueezeNet 1.1 with the weights of its authors, from a file of arrays.

    deepinside localize photos --model examples/squeezenet.py:squeezenet

The name after the colon is a `Classifier`, an `nn.Module` that takes RGB in [0, 1], or a function that returns either.
The arrays are read from the file that the environment variable SQUEEZENET_NPZ names, or from `shared/weights` beside
the repository. They are named as the original layers (`fire2/squeeze1x1.weight`), with shape (out, in, height, width).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from deepinside import Classifier, DeepInsideError
from deepinside.core.labels import imagenet

FIRES = {"fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12}
PARTS = {"squeeze": "squeeze1x1", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}


class SqueezeNet(nn.Module):
    """torchvision's layers; a class score is the mean of `conv10` without a rectifier, so that it can be negative."""

    def __init__(self) -> None:
        super().__init__()
        self.features = squeezenet1_1().features
        self.conv10 = nn.Conv2d(512, 1000, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width), normalized -> logits (batch, 1000)."""
        return self.conv10(self.features(images)).mean((2, 3))


def squeezenet() -> Classifier:
    """The network with its authors' weights, for RGB in [0, 1]; they used BGR in 0 to 255 minus a mean color."""
    beside = Path(__file__).parents[2] / "shared" / "weights" / "squeezenet_v1_1.npz"
    path = Path(os.environ.get("SQUEEZENET_NPZ", beside))
    if not path.is_file():
        raise DeepInsideError(
            f"{path}: expected SqueezeNet's arrays, found no such file; set SQUEEZENET_NPZ to their path"
        )
    arrays = np.load(path)
    network = SqueezeNet()
    layers = {"conv1": network.features[0], "conv10": network.conv10}
    for fire, index in FIRES.items():
        layers |= {f"{fire}/{array}": getattr(network.features[index], part) for part, array in PARTS.items()}
    with torch.no_grad():
        for name, layer in layers.items():
            layer.weight.copy_(torch.from_numpy(arrays[f"{name}.weight"]))
            layer.bias.copy_(torch.from_numpy(arrays[f"{name}.bias"]))
        layers["conv1"].weight.copy_(layers["conv1"].weight.flip(1))  # BGR -> RGB
    mean = [channel / 255 for channel in (123.68, 116.779, 103.939)]
    return Classifier(
        network,
        labels=imagenet(),
        size=227,
        mean=mean,
        std=[1 / 255] * 3,
        name="squeezenet1_1",
        frozen=True,  # nobody changes this network any more, so it may run in its faster form
    )
