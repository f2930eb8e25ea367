"""Views of a class image: what is left of the class when the picture is turned, shifted, cut and recolored a little.

An image that is optimized at one place and size only grows noise that fits exactly that place. Optimized under random
views, only what survives them pays: shapes. Geometric pieces each draw a 3 x 3 matrix; `Seen` multiplies them and
resamples once, which is faster and blurs less than one resampling a piece. Color pieces map images to images. All
pictures of a batch get the same draw, so that a picture does not depend on which others are made beside it.
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
    """From images to a view of each."""

    def __call__(
        self, images: Float[Tensor, "k 3 height width"], generator: Generator
    ) -> Float[Tensor, "k 3 rows columns"]:
        """The views, differentiable with respect to the images."""
        ...


@runtime_checkable
class Motion(Protocol):
    """A geometric piece."""

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """From view to image, both in [-1, 1] from edge to edge."""
        ...


@dataclass(frozen=True)
class Rotation:
    """A turn by up to so many degrees, either way."""

    degrees: float

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """A rotation about the center."""
        angle = math.radians(_between(-self.degrees, self.degrees, generator))
        cos, sin = math.cos(angle), math.sin(angle)
        return torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Crop:
    """A part of the image of between `low` and `high` of its area, anywhere in it; above 1, the image with a margin.

    Args:
        low, high: share of the image's area that the view covers.
        stretch: width over height, up to `exp(stretch)` either way.
        beyond: how far the view may reach over the edge, in halves of a side.
    """

    low: float
    high: float
    stretch: float = 0.0
    beyond: float = 0.0

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """A scale and a shift."""
        side = math.sqrt(_between(self.low, self.high, generator))
        aspect = math.exp(_between(-self.stretch, self.stretch, generator) / 2)
        sides = (side * aspect, side / aspect)
        x, y = (_between(-1, 1, generator) * (abs(1 - length) + self.beyond) for length in sides)
        return torch.tensor([[sides[0], 0.0, x], [0.0, sides[1], y], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Shear:
    """Rows slide sideways by up to this share of their distance from the middle."""

    share: float

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """A horizontal shear."""
        slide = _between(-self.share, self.share, generator)
        return torch.tensor([[1.0, slide, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Mirror:
    """Left and right change places, every other time."""

    def matrix(self, generator: Generator) -> Float[Tensor, "3 3"]:
        """The identity or a reflection."""
        return torch.diag(torch.tensor([1.0 if _between(-1, 1, generator) > 0 else -1.0, 1.0, 1.0]))


@dataclass(frozen=True)
class Seen:
    """The image moved by all `motions` at once and resampled to one of `sizes`, mirrored beyond its edges.

    >>> images = torch.rand(2, 3, 8, 8)
    >>> still = Seen((), sizes=((8, 8),))
    >>> torch.allclose(still(images, torch.Generator()), images, atol=1e-6)
    True
    """

    motions: tuple[Motion, ...]
    sizes: tuple[tuple[int, int], ...]

    def __call__(
        self, images: Float[Tensor, "k 3 height width"], generator: Generator
    ) -> Float[Tensor, "k 3 rows columns"]:
        """Bilinear views of one size, drawn anew at each call."""
        rows, columns = self.sizes[int(_between(0, len(self.sizes), generator))]
        matrix = reduce(torch.matmul, (motion.matrix(generator) for motion in self.motions), torch.eye(3))
        images = _reduced(images, matrix, (rows, columns))
        affine = matrix[None, :2].to(images).expand(len(images), 2, 3)
        grid = F.affine_grid(affine, [len(images), 3, rows, columns], align_corners=False)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class Jitter:
    """A shift by whole pixels, up to so many either way; what leaves on one side comes back on the other."""

    pixels: int

    def __call__(
        self, images: Float[Tensor, "k 3 height width"], generator: Generator
    ) -> Float[Tensor, "k 3 height width"]:
        """The images, rolled."""
        down, across = (int(_between(-self.pixels, self.pixels + 1, generator) // 1) for _ in range(2))
        return images.roll((down, across), dims=(2, 3))


@dataclass(frozen=True)
class Recolor:
    """Contrast about the middle grey, and a tint: each up to so much, either way."""

    contrast: float
    tint: float

    def __call__(
        self, images: Float[Tensor, "k 3 height width"], generator: Generator
    ) -> Float[Tensor, "k 3 height width"]:
        """The images under another light; they may leave [0, 1] a little."""
        gain = 1 + _between(-self.contrast, self.contrast, generator)
        tint = [_between(-self.tint, self.tint, generator) for _ in range(3)]
        return (images - 0.5) * gain + (images.new_tensor(tint) + 0.5).view(3, 1, 1)


@dataclass(frozen=True)
class Grain:
    """Gaussian noise on every pixel, of this standard deviation."""

    deviation: float

    def __call__(
        self, images: Float[Tensor, "k 3 height width"], generator: Generator
    ) -> Float[Tensor, "k 3 height width"]:
        """The images with the same noise on each."""
        noise = torch.randn(images.shape[1:], generator=generator)
        return images + self.deviation * noise.to(images)


def viewed(
    images: Float[Tensor, "k 3 height width"], transforms: Sequence[Transform], generator: Generator
) -> Float[Tensor, "k 3 rows columns"]:
    """The images after one transform after the other."""
    return reduce(lambda seen, transform: transform(seen, generator), transforms, images)


def _reduced(images: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Made smaller first where the view is much coarser than the image: bilinear sampling alone would skip pixels."""
    lengths = torch.linalg.vector_norm(matrix[:2, :2], dim=0).flip(0).tolist()  # of the view's sides: down, across
    seen = [side * length for side, length in zip(images.shape[-2:], lengths, strict=True)]
    if all(pixels <= MOST_SKIPPED * asked for pixels, asked in zip(seen, size, strict=True)):
        return images
    fitting = [max(round(asked / length), 1) for asked, length in zip(size, lengths, strict=True)]
    smaller = [min(side, fit) for side, fit in zip(images.shape[-2:], fitting, strict=True)]
    return F.interpolate(images, size=smaller, mode="bilinear", antialias=True, align_corners=False)


# Image pixels to a pixel of the view, up to which bilinear sampling still sees nearly all of them.
MOST_SKIPPED = 1.4


def _between(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()
