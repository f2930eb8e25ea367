"""Parametrizations of a class image: the values that gradient ascent optimizes, and how they become pixels.

The paper (Sect. 2) optimizes the pixels themselves. Optimizing the spectrum of the image instead, with low frequencies
amplified as in photos (1/f) and with colors along axes that are uncorrelated in photos, can reach the same images, but
on a path where shapes appear before noise (Olah et al., *Feature Visualization*, Distill 2017). A parametrization has
a `start` and maps values to images; nothing else is required.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

# Lightness, red against blue, and green against both: the principal axes of the colors of photos (Ruderman, Cronin and
# Chiao 1998), and the standard deviation of photos along each axis, relative to lightness.
AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
SPREAD = (1.0, 0.35, 0.20)

Size = tuple[int, int]


@runtime_checkable
class Parametrization(Protocol):
    """Unconstrained values, and the images that they represent."""

    def start(self, generator: Generator) -> Float[Tensor, "1 ..."]:
        """The values at the start of the ascent, the same for every image of a batch."""
        ...

    def __call__(self, values: Float[Tensor, "k ..."]) -> Float[Tensor, "k channels height width"]:
        """The images, differentiable with respect to the values."""
        ...


@dataclass(frozen=True)
class Pixels:
    """The pixels themselves, as offsets from a mean color: the paper's zero-centered image. It starts at zero.

    >>> Pixels((2, 2), mean=(0.5, 0.4, 0.3))(torch.zeros(1, 3, 2, 2))[0, :, 0, 0]
    tensor([0.5000, 0.4000, 0.3000])
    """

    size: Size
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)

    def start(self, generator: Generator) -> Float[Tensor, "1 channels height width"]:
        """The zero image."""
        return torch.zeros(1, len(self.mean), *self.size)

    def __call__(self, values: Float[Tensor, "k channels height width"]) -> Float[Tensor, "k channels height width"]:
        """Mean color plus values; not clamped, since the paper's ascent is unbounded."""
        return values + values.new_tensor(self.mean).view(-1, 1, 1)


@dataclass(frozen=True)
class Fourier:
    """The whitened spectrum of the image: amplitudes independent of frequency, colors decorrelated.

    A sigmoid keeps the images in (0, 1).

    Args:
        size: (height, width) of the image in pixels.
        decay: the exponent with which amplitudes fall with frequency; in photos it is about 1.
        noise: standard deviation of the whitened spectrum at the start, which breaks the symmetry.
        channels: 3 for RGB; other channels are taken as uncorrelated.

    >>> fourier = Fourier((4, 6))
    >>> fourier(fourier.start(torch.Generator().manual_seed(0))).shape
    torch.Size([1, 3, 4, 6])
    """

    size: Size
    decay: float = 1.0
    noise: float = 0.01
    channels: int = 3

    def start(self, generator: Generator) -> Float[Tensor, "1 channels height frequencies 2"]:
        """Faint noise; the last axis holds the real and the imaginary part."""
        height, width = self.size
        shape = (1, self.channels, height, width // 2 + 1, 2)
        return self.noise * torch.randn(shape, generator=generator)

    def __call__(
        self, values: Float[Tensor, "k channels height frequencies 2"]
    ) -> Float[Tensor, "k channels height width"]:
        """The images of these spectra."""
        spectrum = torch.view_as_complex(values) * amplitudes(self.size, self.decay).to(values)
        plane = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        return (colors(plane) if self.channels == 3 else plane / math.sqrt(3)).sigmoid()


def amplitudes(size: Size, decay: float) -> Float[Tensor, "height frequencies"]:
    """The amplitude of each frequency in the spectrum of a real image: proportional to `frequency ** -decay`.

    Whatever the decay, the mean (frequency zero) and one cycle over the longer side have an amplitude equal to the
    number of pixels of the longer side.

    >>> amplitudes((4, 4), decay=2.0)[0]
    tensor([4., 4., 1.])
    """
    height, width = size
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :]
    cycles: Tensor = (down.square() + across.square()).sqrt() * max(size)
    return max(size) * cycles.clamp(min=1) ** -decay


def colors(
    plane: Float[Tensor, "k 3 height width"],
) -> Float[Tensor, "k 3 height width"]:
    """Lightness and two opponent colors, all of unit standard deviation -> RGB centered on zero.

    >>> colors(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten()
    tensor([0.5774, 0.5774, 0.5774])
    """
    axes = torch.nn.functional.normalize(plane.new_tensor(AXES), dim=1)
    return torch.einsum("khyx,hc->kcyx", plane, axes * plane.new_tensor(SPREAD)[:, None])
