"""Augmentation of training images (paper, Sect. 1): crops, flips, color jitter, and rectangles that are zeroed out.

A whole batch is augmented at once, on its own device, and every choice is a function of the image's row of random
numbers, which `draws` generates for an epoch from a seed. So the augmentation of an image does not depend on the
process that loads it or on the order of loading, and a resumed run sees the same images as an uninterrupted one.

The input is square images of bytes, (batch, 3, side, side); the output is RGB in about [0, 1], (batch, 3, size, size).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from deepinside.core.images import LUMA

DRAWS = 16  # random numbers per image; `augment` lists what each decides


@dataclass(frozen=True)
class Augmentation:
    """The strength of the augmentation. The defaults are the paper's and those usual in 2013, the others ours.

    >>> Augmentation(zeroed=0).flip
    0.5
    """

    smallest: float = 1.0  # smallest share of the image's area in a crop; 1 is a crop without resizing
    aspect: float = 1.0  # largest aspect ratio of a resized crop, in either orientation
    flip: float = 0.5  # probability of a horizontal flip
    lighting: float = 0.1  # standard deviation of color shifts along the principal axes (Krizhevsky et al. 2012)
    jitter: float = 0.0  # brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter
    zeroed: float = 0.5  # probability of zeroing out a rectangle, which then shows the mean image
    zeroed_area: tuple[float, float] = (0.02, 0.25)  # smallest and largest share of the image in that rectangle


def draws(count: int, seed: int, epoch: int) -> Float[Tensor, "count draws"]:
    """Uniform random numbers in [0, 1), one row for each of `count` images in one epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.rand(count, DRAWS, generator=generator)


def augment(
    images: UInt8[Tensor, "batch 3 side side"],
    numbers: Float[Tensor, "batch draws"],
    how: Augmentation,
    mean_image: Float[Tensor, "3 size size"],
    axes: Float[Tensor, "3 3"],
) -> Float[Tensor, "batch 3 size size"]:
    """Augment a batch of training images.

    Args:
        images: RGB bytes, squares of the training size.
        numbers: the row of `draws` of each image: 0 to 3 for the crop, 4 for the flip, 5 to 7 for lighting, 8 to 10 for
            jitter, 11 to 15 for the zeroed rectangle.
        how: the strength of each step.
        mean_image: of the training set, RGB in [0, 1]; crops have its size, and zeroed pixels its values.
        axes: the principal axes of the training set's colors, in columns, each as long as its standard deviation.
    """
    result = crop(images.float() / 255, numbers[:, :5], how, mean_image.shape[-1])
    if how.jitter:
        result = jitter(result, 1 + how.jitter * (2 * numbers[:, 8:11] - 1))
    if how.lighting:
        normal = math.sqrt(2) * torch.erfinv((2 * numbers[:, 5:8] - 1).clamp(-0.9999, 0.9999))
        result = result + (how.lighting * normal @ axes.T)[:, :, None, None]
    if how.zeroed:
        result = torch.where(_rectangles(numbers[:, 11:16], how, result.shape[-1]), mean_image, result)
    return result


def crop(
    images: Float[Tensor, "batch 3 side side"], numbers: Float[Tensor, "batch 5"], how: Augmentation, size: int
) -> Float[Tensor, "batch 3 size size"]:
    """Random crops, some of them flipped: of whole pixels if `how.smallest` is 1, otherwise resized to `size`."""
    side = images.shape[-1]
    down, across, share, shape, mirror = numbers.unbind(dim=1)
    if how.smallest < 1:
        area = how.smallest + (1 - how.smallest) * share
        stretch = torch.exp((2 * shape - 1) * math.log(how.aspect) / 2)
        height, width = (side * (area.sqrt() * by).clamp(max=1) for by in (1 / stretch, stretch))
        top, left = down * (side - height), across * (side - width)
    else:
        height = width = torch.full_like(down, size)
        top, left = ((number * (side - size + 1)).floor().clamp(max=side - size) for number in (down, across))
    flip = torch.where(mirror < how.flip, -1.0, 1.0)
    zero = torch.zeros_like(top)
    # The affine maps of grid_sample, from crop to image coordinates, both in [-1, 1] from edge to edge.
    x = torch.stack([flip * width / side, zero, (2 * left + width) / side - 1], dim=1)
    y = torch.stack([zero, height / side, (2 * top + height) / side - 1], dim=1)
    grid = F.affine_grid(torch.stack([x, y], dim=1), [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def jitter(
    images: Float[Tensor, "batch 3 size size"], factors: Float[Tensor, "batch 3"]
) -> Float[Tensor, "batch 3 size size"]:
    """Multiply brightness, contrast and saturation of each image by its three factors, and clamp to [0, 1]."""
    brightness, contrast, saturation = factors.T[:, :, None, None, None]
    images = images * brightness
    gray = (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    middle = gray.mean(dim=(2, 3), keepdim=True)
    colored = gray + saturation * (images - gray)
    result: Tensor = middle + contrast * (colored - middle)
    return result.clamp(0, 1)


def _rectangles(numbers: Float[Tensor, "batch 5"], how: Augmentation, size: int) -> Tensor:
    """(batch, 1, size, size), True in the rectangle of each image that is zeroed out, if any."""
    happens, share, shape, down, across = numbers.T[:, :, None]
    least, largest = how.zeroed_area
    area = least + (largest - least) * share
    stretch = torch.exp2(shape - 0.5)  # from 1 : 2 to 2 : 1
    height, width = (size * area.sqrt() * by for by in (1 / stretch, stretch))
    center = torch.arange(size, device=numbers.device) + 0.5
    rows, columns = (
        (center >= start * (size - extent)) & (center < start * (size - extent) + extent)
        for start, extent in ((down, height), (across, width))
    )
    inside: Tensor = (happens < how.zeroed)[:, :, None] & rows[:, :, None] & columns[:, None, :]
    return inside[:, None]
