"""Frames and boxes: properties for any input, and loops over pixels as oracles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame

sides = st.integers(1, 400)
frames = st.one_of(
    st.builds(lambda W, H, w, h: Frame.whole(W, H, width=w, height=h), sides, sides, sides, sides),
    st.builds(
        lambda W, H, w, h, crop: Frame.center(W, H, width=w, height=h, crop=crop),
        sides,
        sides,
        sides,
        sides,
        st.floats(0.1, 1.0),
    ),
    st.builds(
        lambda W, H, w, h, x, y: Frame(W, H, Box(x * W, y * H, (x + 1) / 2 * W, (y + 1) / 2 * H), w, h),
        sides,
        sides,
        sides,
        sides,
        st.floats(0, 0.9),
        st.floats(0, 0.9),
    ),
)
corners = st.floats(-50, 500)
boxes = st.builds(Box, corners, corners, corners, corners)


@given(frames, boxes)
def test_to_photo_and_to_network_are_inverse(frame, box):
    assert np.allclose(frame.to_photo(frame.to_network(box)).as_tuple(), box.as_tuple(), atol=1e-6)
    assert np.allclose(frame.to_network(frame.to_photo(box)).as_tuple(), box.as_tuple(), atol=1e-6)


@given(frames)
def test_the_network_sees_exactly_its_region(frame):
    seen = frame.to_photo(Box(0, 0, frame.width, frame.height))
    assert np.allclose(seen.as_tuple(), frame.region.as_tuple(), atol=1e-6)
    whole = Box(0, 0, frame.photo_width, frame.photo_height)
    assert seen.intersection(whole).area == pytest.approx(seen.area)


@given(sides, sides)
def test_center_of_a_square_network_is_the_central_square(width, height):
    region = Frame.center(width, height, width=224, height=224).region
    assert region.width == pytest.approx(min(width, height))
    assert region.height == pytest.approx(min(width, height))
    assert region.x0 == pytest.approx(width - region.x1, abs=1e-6)


def random_mask(frame, seed, density):
    mask = np.random.default_rng(seed).random((frame.height, frame.width)) < density
    mask[seed % frame.height, seed % frame.width] = True
    return mask


@given(frames, st.integers(0, 20), st.sampled_from([0.03, 0.4, 0.9]))
def test_box_is_the_bounding_box_of_the_unfolded_mask(frame, seed, density):
    mask = random_mask(frame, seed, density)
    y, x = np.nonzero(frame.mask_to_photo(mask))
    assert frame.mask_box(mask).as_tuple() == (x.min(), y.min(), x.max() + 1, y.max() + 1)


def test_a_mask_in_pieces_keeps_a_pixel_of_its_own_on_a_very_small_photo():
    frame = Frame.whole(3, 1, width=300, height=100)
    mask = np.zeros((100, 300), bool)
    mask[3, [2, 4, 299]] = True
    assert frame.mask_to_photo(mask).tolist() == [[True, False, False]]


def test_one_pixel_photo_keeps_its_object():
    frame = Frame.whole(1, 1, width=224, height=224)
    mask = np.zeros((224, 224), bool)
    mask[200, 10] = True
    assert frame.mask_box(mask) == Box(0, 0, 1, 1)
    assert frame.mask_to_photo(mask).all()


def test_empty_mask_has_no_box():
    frame = Frame.whole(10, 10, width=4, height=4)
    with pytest.raises(DeepInsideError, match="empty"):
        frame.mask_box(np.zeros((4, 4), bool))


def test_map_of_another_size_is_refused():
    with pytest.raises(DeepInsideError, match="4 x 5"):
        Frame.whole(10, 10, width=5, height=4).map_to_photo(np.zeros((5, 4), np.float32))


def test_map_interpolates_a_plane_exactly_between_pixel_centers():
    frame = Frame.whole(120, 90, width=12, height=9)
    y, x = np.mgrid[0:9, 0:12] + 0.5
    plane = (2 * x + 3 * y).astype(np.float32)
    Y, X = (np.mgrid[0:90, 0:120] + 0.5) / 10
    inside = (X >= 0.5) & (X <= 11.5) & (Y >= 0.5) & (Y <= 8.5)
    assert np.allclose(frame.map_to_photo(plane)[inside], (2 * X + 3 * Y)[inside], atol=1e-4)


def test_map_is_zero_where_the_network_did_not_look():
    frame = Frame.center(200, 100, width=10, height=10)
    values = frame.map_to_photo(np.ones((10, 10), np.float32))
    assert (values[:, 50:150] == 1).all()
    assert (values[:, :50] == 0).all()
    assert (values[:, 150:] == 0).all()


@given(boxes, boxes)
def test_iou_is_symmetric_and_bounded(a, b):
    assert a.iou(b) == b.iou(a)
    assert 0 <= a.iou(b) <= 1


@given(*[st.integers(0, 12)] * 8)
def test_iou_counts_shared_pixels(ax, ay, aw, ah, bx, by, bw, bh):
    first, second = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    first[ay : ay + ah, ax : ax + aw] = True
    second[by : by + bh, bx : bx + bw] = True
    union = (first | second).sum()
    slow = (first & second).sum() / union if union else 0.0
    assert Box(ax, ay, ax + aw, ay + ah).iou(Box(bx, by, bx + bw, by + bh)) == pytest.approx(slow)


def test_frame_on_a_smaller_copy_points_to_the_same_places():
    frame = Frame.center(400, 200, width=10, height=10)
    copy = frame.resized(100, 50)
    box = Box(1, 2, 7, 9)
    assert np.allclose(np.array(copy.to_photo(box).as_tuple()) * 4, frame.to_photo(box).as_tuple())
