"""Spectra against sums of cosines, and colors against their declared axes."""

import math

import pytest
import torch
from torch import Generator

from deepinside.class_images.parametrize import AXES, SPREAD, Fourier, Pixels, amplitudes, colors


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (8, 3)])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_fourier_is_a_sum_of_waves(size, decay):
    """One coefficient is one wave: its amplitude, frequency, color and phase by hand."""
    height, width = size
    values = torch.zeros(1, 3, height, width // 2 + 1, 2, dtype=torch.float64)
    values[0, 0, 1, 1, 0] = 0.7
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    frequency = math.hypot(1 / height, 1 / width)
    strength = max(size) * (frequency * max(size)) ** -decay
    wave = 2 * 0.7 * strength / math.sqrt(height * width) * torch.cos(2 * math.pi * (y / height + x / width))
    expected = (wave / math.sqrt(3)).sigmoid().expand(1, 3, height, width)
    torch.testing.assert_close(Fourier(size, decay)(values), expected)


def test_amplitudes_are_even_without_decay_and_fall_with_it():
    assert torch.equal(amplitudes((6, 6), 0.0), torch.full((6, 4), 6.0))
    steep = amplitudes((8, 8), 2.0)
    assert steep[0, 4] == pytest.approx(8 / 16)
    assert steep[4, 0] == steep[0, 4]


def test_fourier_images_are_colors_whatever_the_values():
    fourier = Fourier((4, 6))
    start = fourier.start(Generator().manual_seed(0))
    assert torch.equal(start, fourier.start(Generator().manual_seed(0)))
    assert (fourier(start) - 0.5).abs().max() < 0.1
    wild = fourier(torch.randn_like(start) * 100)
    assert wild.min() >= 0
    assert wild.max() <= 1


def test_color_axes_are_orthogonal_and_spread_as_declared():
    axes = torch.stack([colors(torch.eye(3)[axis].view(1, 3, 1, 1)).flatten() for axis in range(3)])
    torch.testing.assert_close(axes @ axes.T, torch.diag(torch.tensor(SPREAD) ** 2), atol=1e-6, rtol=0)
    for axis, direction in zip(axes, AXES, strict=True):
        assert torch.cosine_similarity(axis, torch.tensor(direction), dim=0) == pytest.approx(1)


def test_pixels_start_at_the_mean_and_are_not_bounded():
    pixels = Pixels((2, 3), (0.1, 0.2, 0.3))
    start = pixels.start(Generator())
    assert torch.equal(start, torch.zeros(1, 3, 2, 3))
    torch.testing.assert_close(pixels(start + 2)[0, :, 1, 2], torch.tensor([2.1, 2.2, 2.3]))
