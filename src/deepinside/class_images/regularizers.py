"""Penalties of a class image: norm, total variation and high-frequency detail. Each returns one number per image.

The paper (Sect. 2) penalizes the squared L2 norm. Total variation penalizes differences between neighboring pixels, and
`detail` penalizes what a blur would remove; both suppress noise.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def l2(images: Float[Tensor, "k channels height width"], origin: float | Tensor = 0.5) -> Float[Tensor, " k"]:
    """||I||^2, the sum of squared differences from the origin: the paper's penalty, if the origin is the mean image.

    >>> import torch
    >>> l2(torch.ones(1, 3, 2, 2), origin=0.5)
    tensor([3.])
    """
    return (images - origin).square().sum(dim=(1, 2, 3))


def total_variation(images: Float[Tensor, "k channels height width"]) -> Float[Tensor, " k"]:
    """Mean absolute difference of horizontal neighbors, plus that of vertical neighbors.

    >>> import torch
    >>> total_variation(torch.tensor([0.0, 1.0, 1.0]).expand(1, 3, 2, 3))
    tensor([0.5000])
    """
    across = (images[..., 1:] - images[..., :-1]).abs().mean(dim=(1, 2, 3))
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return across + down


def detail(images: Float[Tensor, "k channels height width"], radius: int = 1) -> Float[Tensor, " k"]:
    """Mean square of what a box blur of `2 * radius + 1` pixels removes; zero for a constant image.

    >>> import torch
    >>> detail(torch.full((1, 3, 5, 5), 0.5))
    tensor([0.])
    """
    window = 2 * radius + 1
    padded = F.pad(images, [radius] * 4, mode="replicate")
    return (images - F.avg_pool2d(padded, window, stride=1)).square().mean(dim=(1, 2, 3))
