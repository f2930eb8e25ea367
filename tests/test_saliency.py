"""Saliency against finite differences, a backward pass written by hand, and slow loops."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import state_of
from deepinside.errors import DeepInsideError
from deepinside.saliency import CHUNK, gradient, largest_magnitude, put_back, saliency, ten_crops


def images_of(count, size=8, seed=0):
    return torch.rand(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gradient_equals_finite_differences(small_network):
    images = images_of(2)
    targets = [1, 4]
    ours = gradient(small_network, images, targets)
    network, step = small_network.eval(), 1e-6
    slow = torch.zeros_like(images)
    with torch.no_grad():
        for image, channel, row, column in np.ndindex(*images.shape):
            moved = images[image : image + 1].clone()
            moved[0, channel, row, column] += step
            above = network(moved)[0, targets[image]]
            moved[0, channel, row, column] -= 2 * step
            below = network(moved)[0, targets[image]]
            slow[image, channel, row, column] = (above - below) / (2 * step)
    assert torch.allclose(ours, slow, rtol=1e-5, atol=1e-8)


def test_gradient_equals_a_backward_pass_written_by_hand():
    generator = torch.Generator().manual_seed(3)
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=True).double()
    head = nn.Linear(4 * 16, 5).double()
    network = nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), head)
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=generator)
    before = convolution(image).detach()
    # From the score downwards: the head's row, to the winner of each pool, through the active, flipped kernel.
    at_pool = head.weight[2].detach().view(1, 4, 4, 4)
    active = before.clamp(min=0)
    _, winners = F.max_pool2d(active, 2, return_indices=True)
    at_relu = torch.zeros(1, 4, 64, dtype=torch.float64)
    at_relu.scatter_(2, winners.flatten(2), at_pool.flatten(2))
    at_convolution = at_relu.view(1, 4, 8, 8) * (before > 0)
    flipped = convolution.weight.detach().flip(2, 3).transpose(0, 1)
    by_hand = F.conv2d(at_convolution, flipped, padding=1)
    assert torch.allclose(gradient(network, image, 2), by_hand, rtol=1e-12)
    assert torch.allclose(saliency(network, image, 2), by_hand.abs().amax(1), rtol=1e-12)


def test_saliency_is_the_magnitude_not_the_signed_maximum():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, -5.0, 2.0]]))
    assert saliency(network, torch.rand(1, 3, 1, 1), 0).item() == 5


def test_softmax_is_not_in_the_score(small_network):
    image = images_of(1)
    shifted = nn.Sequential(small_network, Shift())
    assert torch.allclose(saliency(shifted, image, 0), saliency(small_network, image, 0))


class Shift(nn.Module):
    """Adds the same to all logits: no posterior changes, and neither may any map of a score's gradient."""

    def forward(self, logits):
        return logits + 7


def test_forms_of_targets_agree(small_network):
    images = images_of(3)
    table = torch.tensor([[1, 2], [3, 0], [4, 4]])
    several = saliency(small_network, images, table)
    assert several.shape == (3, 2, 8, 8)
    for k in range(2):
        assert torch.allclose(several[:, k], saliency(small_network, images, table[:, k]))
        assert torch.allclose(several[:, k], saliency(small_network, images, table[:, k].tolist()))
    assert torch.equal(saliency(small_network, images, 2), saliency(small_network, images, [2, 2, 2]))


def test_many_images_equal_one_by_one(small_network):
    images = images_of(CHUNK + 3)
    targets = torch.arange(CHUNK + 3) % 5
    slow = torch.cat([saliency(small_network, images[i : i + 1], int(targets[i])) for i in range(len(images))])
    assert torch.allclose(saliency(small_network, images, targets), slow, rtol=1e-12)


@pytest.mark.parametrize(("targets", "message"), [
    ([1], "one target for all 3 images"), ([1, 2, 5], "from 0 to 4"), ([-1, 0, 0], "got -1"), (1.5, "class numbers"),
    (torch.zeros(3, 1, 1, dtype=torch.long), "got \\(3, 1, 1\\)"),
])  # fmt: skip
def test_targets_that_do_not_fit_are_named(unchecked, small_network, targets, message):
    with pytest.raises(DeepInsideError, match=message):
        saliency(small_network, images_of(3), targets)


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 3, 8, 8)])
def test_images_that_are_none_are_named(unchecked, small_network, images):
    with pytest.raises(DeepInsideError, match="expected float images"):
        saliency(small_network, images, 0)


def test_the_network_is_as_before_bit_for_bit(small_network):
    before = state_of(small_network)
    saliency(small_network, images_of(2), 1)
    with pytest.raises(DeepInsideError):
        saliency(small_network, images_of(2), 99)
    assert state_of(small_network) == before


def test_same_call_same_bits(small_network):
    assert torch.equal(saliency(small_network, images_of(2), 1), saliency(small_network, images_of(2), 1))


def test_ten_crops_put_back_equal_a_slow_loop_over_pixels():
    image = images_of(1, size=9)
    crops = ten_crops(image, (6, 5))
    maps = torch.rand(10, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    ours = put_back(maps, (9, 9))
    starts = [(0, 0), (0, 4), (3, 0), (3, 4), (1, 2)]
    for number, (top, left) in enumerate(starts):
        for row, column in np.ndindex(6, 5):
            assert torch.equal(crops[number, :, row, column], image[0, :, top + row, left + column])
            assert torch.equal(crops[5 + number, :, row, 4 - column], image[0, :, top + row, left + column])
    for y, x in np.ndindex(9, 9):
        seen = [
            value
            for number, (top, left) in enumerate(starts)
            if 0 <= y - top < 6 and 0 <= x - left < 5
            for value in (maps[number, :, y - top, x - left], maps[5 + number, :, y - top, 4 - (x - left)])
        ]
        assert torch.allclose(ours[:, y, x], torch.stack(seen).mean(0))


def test_crops_themselves_put_back_are_the_image():
    image = images_of(1, size=12)
    assert torch.allclose(put_back(ten_crops(image, (10, 10)), (12, 12)), image[0])


def test_largest_magnitude_equals_a_loop():
    values = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    ours = largest_magnitude(values)
    for image, row, column in np.ndindex(2, 4, 5):
        assert ours[image, row, column] == max(abs(v) for v in values[image, :, row, column].tolist())
