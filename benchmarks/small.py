"""A network so small that a run of it measures everything but the network: `--model benchmarks/small.py:make`.

Three convolutions with random weights, and ten classes that mean nothing, at 64 x 64 pixels. It is sure of one class
for nearly every photo, as a trained network is.
"""

from __future__ import annotations

import torch
from torch import nn

from deepinside import Classifier

SURE = 1000.0  # times what the last layer's random weights are


def make() -> Classifier:
    """The same network at every call."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    network = nn.Sequential(*layers)
    with torch.no_grad():
        layers[-1].weight *= SURE
    names = [f"class {number}" for number in range(10)]
    return Classifier(network, labels=names, size=64, mean=(0.5,) * 3, std=(0.25,) * 3, name="small")
