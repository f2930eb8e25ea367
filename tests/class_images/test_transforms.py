"""Each transform on images for which the result is known."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Generator

from deepinside.class_images.transforms import (
    Crop,
    Jitter,
    Mirror,
    Noise,
    RandomView,
    Recolor,
    Rotation,
    Shear,
    apply_transforms,
)


def ramp(height=16, width=16):
    """Red is x and green is y, from -1 to 1 between the edges, so that the colors of a view are its coordinates."""
    y = (torch.arange(height) * 2 + 1) / height - 1
    x = (torch.arange(width) * 2 + 1) / width - 1
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.zeros(height, width)])[None]


class Fixed:
    def __init__(self, rows):
        self.rows = rows

    def matrix(self, generator):
        return torch.tensor(self.rows)


def draws(piece, count=300):
    generator = Generator().manual_seed(0)
    return torch.stack([piece.matrix(generator) for _ in range(count)])


def test_still_view_is_the_image():
    images = torch.rand(2, 3, 8, 12)
    torch.testing.assert_close(RandomView((), sizes=((8, 12),))(images, Generator()), images, atol=1e-6, rtol=0)


def test_motions_are_applied_in_order_and_resampled_once():
    half = Fixed([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
    aside = Fixed([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    view = RandomView((half, aside), sizes=((8, 8),))(ramp(), Generator())
    x, y = ramp(8, 8)[0, :2]
    torch.testing.assert_close(view[0, 0], 0.5 * (x + 0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(view[0, 1], 0.5 * y, atol=1e-5, rtol=0)


def test_beyond_the_edge_the_image_is_mirrored():
    aside = Fixed([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    view = RandomView((aside,), sizes=((16, 16),))(ramp(), Generator())
    torch.testing.assert_close(view[..., 12:], ramp()[..., 12:].flip(-1), atol=1e-5, rtol=0)


def test_coarse_views_average_rather_than_skip():
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    view = RandomView((), sizes=((16, 16),))(stripes, Generator())
    torch.testing.assert_close(view[..., 2:-2], torch.full((1, 3, 16, 12), 0.5), atol=0.05, rtol=0)


def test_size_of_views_is_drawn_from_all_asked_for():
    seen, generator = RandomView((), sizes=((4, 4), (6, 5))), Generator().manual_seed(0)
    assert {tuple(seen(ramp(), generator).shape[2:]) for _ in range(20)} == {(4, 4), (6, 5)}


def test_rotation_turns_without_scaling():
    matrices = draws(Rotation(20))
    angles = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]) * 180 / math.pi
    assert angles.min() < -15
    assert angles.max() > 15
    assert angles.abs().max() <= 20
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3).expand_as(matrices), atol=1e-6, rtol=0)


def test_crop_covers_the_share_of_the_area_and_stays_inside():
    matrices = draws(Crop(0.25, 0.81, stretch=0.4))
    area = matrices[:, 0, 0] * matrices[:, 1, 1]
    assert area.min() >= 0.25 - 1e-6
    assert area.max() <= 0.81 + 1e-6
    assert area.max() - area.min() > 0.4
    aspect = (matrices[:, 0, 0] / matrices[:, 1, 1]).log()
    assert 0.3 < aspect.abs().max() <= 0.4 + 1e-6
    small = Crop(0.25, 0.49)
    reach = draws(small)[:, :2, 2].abs() + draws(small)[:, :2, :2].diagonal(dim1=1, dim2=2)
    assert reach.max() <= 1 + 1e-6
    over = Crop(0.25, 0.49, beyond=0.2)
    assert 1 < (draws(over)[:, :2, 2].abs() + draws(over)[:, :2, :2].diagonal(dim1=1, dim2=2)).max() <= 1.2 + 1e-6


def test_shear_slides_rows():
    matrices = draws(Shear(0.1))
    assert 0.08 < matrices[:, 0, 1].abs().max() <= 0.1
    matrices[:, 0, 1] = 0
    assert torch.equal(matrices, torch.eye(3).expand_as(matrices))


def test_mirror_flips_every_other_time():
    signs = draws(Mirror())[:, 0, 0]
    assert set(signs.tolist()) == {1.0, -1.0}
    assert abs(signs.mean()) < 0.2
    flipped = RandomView((Fixed([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),), sizes=((16, 16),))
    torch.testing.assert_close(flipped(ramp(), Generator()), ramp().flip(-1), atol=1e-5, rtol=0)


def test_jitter_rolls_by_whole_pixels():
    images, generator = torch.rand(2, 3, 9, 9), Generator().manual_seed(0)
    rolled = {(d, a): images.roll((d, a), (2, 3)) for d in range(-2, 3) for a in range(-2, 3)}
    seen = set()
    for _ in range(60):
        view = Jitter(2)(images, generator)
        seen |= {shift for shift, expected in rolled.items() if torch.equal(view, expected)}
    assert {d for d, _ in seen} == {a for _, a in seen} == {-2, -1, 0, 1, 2}


def test_recolor_is_one_gain_and_one_shift_a_channel():
    images = torch.rand(2, 3, 4, 4)
    view = Recolor(contrast=0.3, tint=0.2)(images, Generator().manual_seed(1))
    dark, light = Recolor(0.3, 0.2)(
        torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4), Generator().manual_seed(1)
    )
    gain, shift = (light - dark)[:, 0, 0], dark[:, 0, 0]
    assert torch.allclose(gain, gain[0].expand(3))
    assert 0.7 <= gain[0] <= 1.3
    torch.testing.assert_close(view, images * gain.view(3, 1, 1) + shift.view(3, 1, 1))
    still = Recolor(0.0, 0.0)(images, Generator())
    torch.testing.assert_close(still, images)


def test_grain_has_its_deviation_and_is_the_same_on_every_picture():
    images = torch.full((2, 3, 64, 64), 0.5)
    noise = Noise(0.1)(images, Generator().manual_seed(0)) - images
    assert torch.equal(noise[0], noise[1])
    assert float(noise[0].std()) == pytest.approx(0.1, rel=0.05)


def test_viewed_goes_through_all_with_one_generator():
    images = torch.rand(1, 3, 8, 8)
    pieces = (Jitter(3), Recolor(0.2, 0.1))
    generator = Generator().manual_seed(4)
    expected = pieces[1](pieces[0](images, generator), generator)
    assert torch.equal(apply_transforms(images, pieces, Generator().manual_seed(4)), expected)
    assert torch.equal(apply_transforms(images, (), Generator()), images)


def test_gradients_pass_through_views():
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    seen = RandomView((Crop(0.5, 0.9), Rotation(10)), sizes=((8, 8),))
    F.mse_loss(seen(images, Generator().manual_seed(0)), torch.zeros(1, 3, 8, 8)).backward()
    assert (images.grad != 0).float().mean() > 0.3
