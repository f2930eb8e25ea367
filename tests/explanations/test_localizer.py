"""What localizers share: the classes of a batch of photos against a loop, and maps that point nowhere."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import as_photo
from deepinside.explanations.localizer import Views, check_contrast, distinct, for_views, is_flat, pixels_of, whole_view


def test_each_photo_is_asked_for_the_classes_that_its_own_views_choose():
    """Three views of each of two photos; the likeliest of the mean, and of the second photo one class more."""
    logits = torch.tensor([
        [9.0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 5, 0],  # the mean is highest in class 2, then in class 0
        [0, 1, 0, 3], [0, 1, 0, 3], [4, 1, 0, 3],  # in class 3, then in class 0
    ])  # fmt: skip
    choices = [lambda mean: mean.topk(2).indices.tolist(), lambda mean: [int(mean.argmax()), 1, 0]]
    table = for_views(choices, 3)(logits)
    assert table.tolist() == [[2, 0, 0]] * 3 + [[3, 1, 0]] * 3
    assert [distinct(row) for row in table[::3]] == [(2, 0), (3, 1, 0)]


def test_one_photo_alone_is_a_batch_too():
    assert for_views([lambda mean: [5, 2]], 1)(torch.zeros(1, 6)).tolist() == [[5, 2]]


def test_the_whole_view_has_no_seeds():
    found = whole_view(Frame.whole(8, 6, width=4, height=3))
    assert found.mask.shape == found.foreground_seeds.shape == found.background_seeds.shape == (3, 4)
    assert found.mask.all()
    assert not found.foreground_seeds.any()
    assert not found.background_seeds.any()
    assert found.energy == 0


@pytest.mark.parametrize("value", [0.0, -2.0, 3.5])
def test_a_map_is_flat_only_if_it_is_the_same_everywhere(value):
    map = np.full((3, 4), value, np.float32)
    assert is_flat(map)
    with pytest.raises(DeepInsideError, match="got a flat one"):
        check_contrast(map)
    map[2, 3] = np.nextafter(map[2, 3], np.float32(9))
    assert not is_flat(map)
    check_contrast(map)


def test_what_the_network_is_shown_is_a_value():
    """It cannot be changed, and is equal to nothing but itself, since arrays have no truth value."""
    photo = as_photo(np.zeros((6, 8, 3), np.uint8))
    frame = Frame.whole(8, 6, width=4, height=3)
    one, other = (Views(photo, frame, (), np.zeros((3, 4, 3), np.float32)) for _ in range(2))
    with pytest.raises(FrozenInstanceError):
        one.images = ()
    assert one == one
    assert len({one, other}) == 2


def test_pixels_have_their_channels_last():
    image = torch.rand(1, 3, 4, 5)
    pixels = pixels_of(image)
    assert pixels.flags["C_CONTIGUOUS"]
    for y, x, channel in np.ndindex(4, 5, 3):
        assert pixels[y, x, channel] == image[0, channel, y, x]
