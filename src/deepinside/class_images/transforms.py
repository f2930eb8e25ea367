"""Random views of a class image: rotated, shifted, cropped, resized and recolored a little at each step.

An image that is optimized at one position and size only develops noise that fits exactly these pixels. Optimized under
random views, it can raise the score only by what survives them: shapes. Each geometric transform draws a 3 x 3 matrix;
`RandomView` multiplies them and resamples once, which is faster and blurs less than resampling for each. The other
transforms map images to images. All images of a batch get the same draw, so that none depends on the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor


@runtime_checkable
class Transform(Protocol):
    """Maps images to one view of each."""

    def __call__(
        self, images: Float[Tensor, "k channels height width"], generator: Generator
    ) -> Float[Tensor, "k channels rows columns"]:
        """The views, differentiable with respect to the images."""
        ...


@runtime_checkable
class Geometric(Protocol):
    """A random affine transform."""

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """The homogeneous matrix from view to image coordinates, both in [-1, 1] from edge to edge."""
        ...


@dataclass(frozen=True)
class Rotation:
    """A rotation by up to so many degrees in either direction."""

    degrees: float

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """A rotation about the center."""
        angle = math.radians(_between(-self.degrees, self.degrees, generator))
        cos, sin = math.cos(angle), math.sin(angle)
        return torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Crop:
    """A crop at a random position; of more than the image's area, it is the image with a margin.

    Args:
        low, high: bounds of the view's area, as a share of the image's.
        stretch: the aspect ratio of the view is between `exp(-stretch)` and `exp(stretch)` times the image's.
        beyond: how far the view may extend beyond the image, in halves of a side.
    """

    low: float
    high: float
    stretch: float = 0.0
    beyond: float = 0.0

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """A scaling and a translation."""
        side = math.sqrt(_between(self.low, self.high, generator))
        aspect = math.exp(_between(-self.stretch, self.stretch, generator) / 2)
        sides = (side * aspect, side / aspect)
        x, y = (_between(-1, 1, generator) * (abs(1 - length) + self.beyond) for length in sides)
        return torch.tensor([[sides[0], 0.0, x], [0.0, sides[1], y], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Shear:
    """A horizontal shear by up to `share` of the vertical distance from the center."""

    share: float

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """A horizontal shear."""
        slide = _between(-self.share, self.share, generator)
        return torch.tensor([[1.0, slide, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Mirror:
    """A horizontal flip with probability 1/2."""

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """The identity or a reflection."""
        return torch.diag(torch.tensor([1.0 if _between(-1, 1, generator) > 0 else -1.0, 1.0, 1.0]))


@dataclass(frozen=True)
class RandomView:
    """The image under the product of all `motions`, resampled to one of `sizes`, and reflected beyond its edges.

    >>> images = torch.rand(2, 3, 8, 8)
    >>> identity = RandomView((), sizes=((8, 8),))
    >>> torch.allclose(identity(images, torch.Generator()), images, atol=1e-6)
    True
    """

    motions: tuple[Geometric, ...]
    sizes: tuple[tuple[int, int], ...]

    def __call__(
        self, images: Float[Tensor, "k channels height width"], generator: Generator
    ) -> Float[Tensor, "k channels rows columns"]:
        """Bilinear views of one size; matrix and size are drawn anew at each call."""
        rows, columns = self.sizes[int(_between(0, len(self.sizes), generator))]
        matrix = reduce(torch.matmul, (motion.matrix(generator) for motion in self.motions), torch.eye(3))
        images = _reduced(images, matrix, (rows, columns))
        affine = matrix[None, :2].to(images).expand(len(images), 2, 3)
        grid = F.affine_grid(affine, [*images.shape[:2], rows, columns], align_corners=False)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class Jitter:
    """A circular shift by up to `pixels` whole pixels in each direction."""

    pixels: int

    def __call__(
        self, images: Float[Tensor, "k channels height width"], generator: Generator
    ) -> Float[Tensor, "k channels height width"]:
        """The images, rolled."""
        down, across = (int(_between(-self.pixels, self.pixels + 1, generator) // 1) for _ in range(2))
        return images.roll((down, across), dims=(2, 3))


@dataclass(frozen=True)
class Recolor:
    """A random contrast about middle gray, 1 - `contrast` to 1 + `contrast`, and a color shift of up to `tint`."""

    contrast: float
    tint: float

    def __call__(
        self, images: Float[Tensor, "k channels height width"], generator: Generator
    ) -> Float[Tensor, "k channels height width"]:
        """The recolored images, which may exceed [0, 1] a little."""
        gain = 1 + _between(-self.contrast, self.contrast, generator)
        tint = [_between(-self.tint, self.tint, generator) for _ in range(images.shape[1])]
        return (images - 0.5) * gain + (images.new_tensor(tint) + 0.5).view(-1, 1, 1)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise with this standard deviation on every pixel."""

    deviation: float

    def __call__(
        self, images: Float[Tensor, "k channels height width"], generator: Generator
    ) -> Float[Tensor, "k channels height width"]:
        """The images, each with the same noise added."""
        noise = torch.randn(images.shape[1:], generator=generator)
        return images + self.deviation * noise.to(images)


def apply_transforms(
    images: Float[Tensor, "k channels height width"], transforms: Sequence[Transform], generator: Generator
) -> Float[Tensor, "k channels rows columns"]:
    """Apply the transforms one after another."""
    return reduce(lambda views, transform: transform(views, generator), transforms, images)


def _reduced(images: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """The images, downsampled first if the view is much coarser, since bilinear sampling alone would skip pixels."""
    lengths = torch.linalg.vector_norm(matrix[:2, :2], dim=0).flip(0).tolist()  # of the view's sides: down, across
    covered = [side * length for side, length in zip(images.shape[-2:], lengths, strict=True)]
    if all(pixels <= MOST_SKIPPED * asked for pixels, asked in zip(covered, size, strict=True)):
        return images
    fitting = [max(round(asked / length), 1) for asked, length in zip(size, lengths, strict=True)]
    smaller = [min(side, fit) for side, fit in zip(images.shape[-2:], fitting, strict=True)]
    return F.interpolate(images, size=smaller, mode="bilinear", antialias=True, align_corners=False)


# Image pixels per pixel of the view up to which bilinear sampling still reads nearly all of them.
MOST_SKIPPED = 1.4


def _between(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()
