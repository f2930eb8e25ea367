"""What a class image is made of: the numbers that gradient ascent moves, and how they become pixels.

The paper (Sect. 2) moves the pixels themselves. Moving the spectrum of the picture instead, with low frequencies
amplified as they are in photos (a spectrum falling as 1/f) and with colors along axes that are uncorrelated in photos,
reaches the same pictures by another path, on which shapes come before noise (Olah et al., *Feature Visualization*,
Distill 2017). A parametrization has a `start` and maps values to images; nothing else is asked of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

# Lightness, red against blue, and green against both: the principal axes of the colors of photos, as Ruderman, Cronin
# and Chiao (1998) found them, and how widely photos spread along each, relative to lightness.
AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
SPREAD = (1.0, 0.35, 0.20)

Size = tuple[int, int]


@runtime_checkable
class Parametrization(Protocol):
    """Values that can be moved freely, and the images they stand for."""

    def start(self, generator: Generator) -> Float[Tensor, "1 ..."]:
        """Where the ascent begins, the same for every picture of a batch."""
        ...

    def __call__(self, values: Float[Tensor, "k ..."]) -> Float[Tensor, "k 3 height width"]:
        """The images: RGB, differentiable with respect to the values."""
        ...


@dataclass(frozen=True)
class Pixels:
    """The pixels themselves, counted from a mean color: the paper's zero-centered image. It starts at zero.

    >>> Pixels((2, 2), mean=(0.5, 0.4, 0.3))(torch.zeros(1, 3, 2, 2))[0, :, 0, 0]
    tensor([0.5000, 0.4000, 0.3000])
    """

    size: Size
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def start(self, generator: Generator) -> Float[Tensor, "1 3 height width"]:
        """The zero image."""
        return torch.zeros(1, 3, *self.size)

    def __call__(self, values: Float[Tensor, "k 3 height width"]) -> Float[Tensor, "k 3 height width"]:
        """Mean color plus values; not clamped, since the paper's ascent is not bounded."""
        return values + values.new_tensor(self.mean).view(3, 1, 1)


@dataclass(frozen=True)
class Fourier:
    """The spectrum of the picture, whitened: its amplitudes even, colors decorrelated.

    Args:
        size: (height, width) of the picture.
        decay: how the spectrum falls with frequency; photos fall about as 1/f.
        noise: standard deviation of the whitened spectrum at the start: a faint cloud, to break the symmetry.

    The images are in (0, 1), by a sigmoid.

    >>> fourier = Fourier((4, 6))
    >>> fourier(fourier.start(torch.Generator().manual_seed(0))).shape
    torch.Size([1, 3, 4, 6])
    """

    size: Size
    decay: float = 1.0
    noise: float = 0.01

    def start(self, generator: Generator) -> Float[Tensor, "1 3 height frequencies 2"]:
        """Faint noise; the last axis holds real and imaginary parts."""
        height, width = self.size
        shape = (1, 3, height, width // 2 + 1, 2)
        return self.noise * torch.randn(shape, generator=generator)

    def __call__(self, values: Float[Tensor, "k 3 height frequencies 2"]) -> Float[Tensor, "k 3 height width"]:
        """From spectrum to pixels."""
        spectrum = torch.view_as_complex(values) * amplitudes(self.size, self.decay).to(values)
        plane = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        return colors(plane).sigmoid()


def amplitudes(size: Size, decay: float) -> Float[Tensor, "height frequencies"]:
    """How strong each frequency of a real picture's spectrum is: falling as `frequency ** -decay`.

    The lowest, one cycle over the longer side, has the longer side's pixels as its amplitude, whatever the decay; so
    has the mean, at frequency zero.

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
    """From lightness and two opponent colors, all of unit spread, to RGB about zero.

    >>> colors(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten()
    tensor([0.5774, 0.5774, 0.5774])
    """
    axes = torch.nn.functional.normalize(plane.new_tensor(AXES), dim=1)
    return torch.einsum("khyx,hc->kcyx", plane, axes * plane.new_tensor(SPREAD)[:, None])
