"""What training does to pictures (paper, Sect. 1): crops, mirror images, color jitter, and parts zeroed out.

A whole batch is changed at once, on whatever device it is, and every choice is a function of the picture's own row of
random numbers: `draws` makes those for an epoch from a seed. So a picture is changed in the same way whichever process
loads it, in whichever order, and a resumed run sees what an uninterrupted one sees.

Pictures come as bytes, squares of the training size (batch, 3, side, side), and leave as RGB in about [0, 1],
(batch, 3, size, size).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

DRAWS = 16  # random numbers a picture: see `augment` for what each decides
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed. The defaults are the paper's and its time's; sizes that it does not give are ours.

    >>> Augmentation(zeroed=0).flip
    0.5
    """

    smallest: float = 1.0  # the least share of the picture's area that a crop covers; 1 is a plain crop, not resized
    aspect: float = 1.0  # up to how many times as wide as high a resized crop may be, and the other way round
    flip: float = 0.5  # how often the mirror image is shown
    lighting: float = 0.1  # standard deviation of shifts along the principal axes of all colors (Krizhevsky 2012)
    jitter: float = 0.0  # brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter
    zeroed: float = 0.5  # how often a rectangle is zeroed out, after centering: it shows the mean image
    zeroed_area: tuple[float, float] = (0.02, 0.25)  # its least and largest share of the picture


def draws(count: int, seed: int, epoch: int) -> Float[Tensor, "count draws"]:
    """Uniform numbers in [0, 1) that decide everything about each of `count` pictures in one epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.rand(count, DRAWS, generator=generator)


def augment(
    pictures: UInt8[Tensor, "batch 3 side side"],
    numbers: Float[Tensor, "batch draws"],
    how: Augmentation,
    mean_image: Float[Tensor, "3 size size"],
    axes: Float[Tensor, "3 3"],
) -> Float[Tensor, "batch 3 size size"]:
    """Pictures as training shows them.

    Args:
        pictures: squares of the training size, RGB bytes.
        numbers: each picture's row of `draws`: 0 to 3 place the crop, 4 mirrors, 5 to 7 light, 8 to 10 jitter, 11 to
            15 zero out.
        how: how far to go.
        mean_image: of the training set, RGB in [0, 1]; its size is the crop's, its pixels are what "zero" shows.
        axes: the principal axes of the training set's colors, in columns, each as long as its standard deviation.
    """
    images = crop(pictures.float() / 255, numbers[:, :5], how, mean_image.shape[-1])
    if how.jitter:
        images = jitter(images, 1 + how.jitter * (2 * numbers[:, 8:11] - 1))
    if how.lighting:
        normal = math.sqrt(2) * torch.erfinv((2 * numbers[:, 5:8] - 1).clamp(-0.9999, 0.9999))
        images = images + (how.lighting * normal @ axes.T)[:, :, None, None]
    if how.zeroed:
        images = torch.where(_rectangles(numbers[:, 11:16], how, images.shape[-1]), mean_image, images)
    return images


def crop(
    pictures: Float[Tensor, "batch 3 side side"], numbers: Float[Tensor, "batch 5"], how: Augmentation, size: int
) -> Float[Tensor, "batch 3 size size"]:
    """Crops at random places, some mirrored; plain ones fall on whole pixels, others are resized to `size`."""
    side = pictures.shape[-1]
    down, across, share, shape, mirror = numbers.unbind(dim=1)
    if how.smallest < 1:
        area = how.smallest + (1 - how.smallest) * share
        stretch = torch.exp((2 * shape - 1) * math.log(how.aspect) / 2)
        height, width = (side * (area.sqrt() * by).clamp(max=1) for by in (1 / stretch, stretch))
        top, left = down * (side - height), across * (side - width)
    else:
        height = width = torch.full_like(down, size)
        top, left = ((number * (side - size + 1)).floor().clamp(max=side - size) for number in (down, across))
    turn = torch.where(mirror < how.flip, -1.0, 1.0)
    zero = torch.zeros_like(top)
    # grid_sample's places run from -1 to 1 over the picture; its rows are (x, y) as functions of the crop's own.
    x = torch.stack([turn * width / side, zero, (2 * left + width) / side - 1], dim=1)
    y = torch.stack([zero, height / side, (2 * top + height) / side - 1], dim=1)
    grid = F.affine_grid(torch.stack([x, y], dim=1), [len(pictures), 3, size, size], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def jitter(
    images: Float[Tensor, "batch 3 size size"], factors: Float[Tensor, "batch 3"]
) -> Float[Tensor, "batch 3 size size"]:
    """Brightness, contrast and saturation multiplied by each picture's three factors, then kept in [0, 1]."""
    brightness, contrast, saturation = factors.T[:, :, None, None, None]
    images = images * brightness
    gray = (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    middle = gray.mean(dim=(2, 3), keepdim=True)
    colored = gray + saturation * (images - gray)
    result: Tensor = middle + contrast * (colored - middle)
    return result.clamp(0, 1)


def _rectangles(numbers: Float[Tensor, "batch 5"], how: Augmentation, size: int) -> Tensor:
    """(batch, 1, size, size), true in the part of each picture that is zeroed out, if any."""
    happens, share, shape, down, across = numbers.T[:, :, None]
    least, largest = how.zeroed_area
    area = least + (largest - least) * share
    stretch = torch.exp2(shape - 0.5)  # from 1 : 2 to 2 : 1
    height, width = (size * area.sqrt() * by for by in (1 / stretch, stretch))
    place = torch.arange(size, device=numbers.device) + 0.5
    rows, columns = (
        (place >= start * (size - extent)) & (place < start * (size - extent) + extent)
        for start, extent in ((down, height), (across, width))
    )
    inside: Tensor = (happens < how.zeroed)[:, :, None] & rows[:, :, None] & columns[:, None, :]
    return inside[:, None]
