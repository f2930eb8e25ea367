"""The first layer of every classifier: its normalization, so that gradients are per pixel of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalized(nn.Module):
    """A model behind its normalization: it maps RGB in [0, 1], (batch, 3, height, width), to the model's output."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float] | Float[Tensor, "3 _ _"], std: Sequence[float]):
        super().__init__()
        values = mean.clone() if isinstance(mean, Tensor) else torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.register_buffer("mean", values)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))
        self.model = model

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Any:
        """The model's own output for images in [0, 1]."""
        return self.model((images - self.mean.to(images.dtype)) / self.std.to(images.dtype))
