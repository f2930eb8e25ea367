"""The first layer of every classifier: its normalization, so that gradients are per pixel of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.gradients.running import home


class Normalized(nn.Module):
    """A model behind its normalization: it maps pixels in [0, 1], (batch, channels, height, width), to its output.

    The normalization is computed with the images, and then goes to the model's device and precision.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float] | Float[Tensor, "channels _ _"], std: Sequence[float]):
        super().__init__()
        values = mean.clone() if isinstance(mean, Tensor) else torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        device, _ = home(model)
        self.register_buffer("mean", values.to(device))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1).to(device))
        self.model = model

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        """The model's own output for images in [0, 1]."""
        return self.model(((images - self.mean.to(images)) / self.std.to(images)).to(*home(self.model)))
