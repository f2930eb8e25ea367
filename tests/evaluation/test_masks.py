"""Figures of masks against pixels counted one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepinside.evaluation.masks import boundary, boundary_f, mask_iou, share_of


def blobs(seed, height=23, width=31):
    """Two masks of large spots that overlap, and a void region apart from the second."""
    random = np.random.default_rng(seed)
    masks = np.zeros((3, height, width), dtype=bool)
    for mask, count in zip(masks, (3, 3, 2), strict=True):
        for _ in range(count):
            y, x = random.integers(0, height - 4), random.integers(0, width - 4)
            mask[y : y + random.integers(2, 12), x : x + random.integers(2, 12)] = True
    return masks[0], masks[1], masks[2] & ~masks[1]


def slow_boundary(mask):
    """The pixels with one of four neighbors that is not in the mask; there are none beyond the photo."""
    inside = {tuple(point) for point in np.argwhere(mask)}
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    return sorted((y, x) for y, x in inside if any((y + dy, x + dx) not in inside for dy, dx in steps))


def slow_boundary_f(mask, marked, void, reach):
    found, true = slow_boundary(mask), slow_boundary(marked)
    if not found or not true:
        return 0.0

    def is_near(point, others):
        return any(math.dist(point, other) <= reach for other in others)

    matched = [is_near(point, true) for point in found]
    counted = [near or not void[point] for point, near in zip(found, matched, strict=True)]
    precision = sum(matched) / sum(counted) if any(counted) else 0.0
    recall = sum(is_near(point, found) for point in true) / len(true)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(st.integers(0, 10**6))
def test_boundary_f_equals_a_loop_over_pairs_of_pixels(seed):
    mask, marked, void = blobs(seed)
    for ignored in (void, np.zeros_like(void)):
        assert boundary_f(mask, marked, ignored) == pytest.approx(slow_boundary_f(mask, marked, ignored, reach=1))
    assert [tuple(point) for point in boundary(mask).tolist()] == slow_boundary(mask)


@pytest.mark.parametrize(("size", "reach"), [((120, 160), 2), ((360, 480), 4), ((480, 640), 6), ((30, 40), 1)])
def test_the_tolerance_is_three_quarters_of_a_percent_of_the_diagonal(size, reach):
    """Outlines of squares that lie `reach` apart match, and those one pixel further do not."""
    marked, mask, nothing = np.zeros((3, *size), dtype=bool)
    marked[12:18, 14:20] = True
    for distance, expected in ((reach, 1.0), (reach + 1, 0.0)):
        mask[:] = False
        mask[12 - distance : 18 + distance, 14 - distance : 20 + distance] = True
        sides = boundary_f(mask, marked, nothing)
        assert sides == pytest.approx(slow_boundary_f(mask, marked, nothing, reach))
        assert (sides > 0) == (expected > 0)


def test_a_perfect_mask_and_none():
    mask, _, nothing = blobs(1)
    nothing[:] = False
    assert boundary_f(mask, mask, nothing) == 1
    assert boundary_f(nothing, mask, nothing) == boundary_f(mask, nothing, nothing) == 0


def test_in_the_void_what_does_not_match_counts_neither_way():
    marked, void, mask, nothing = np.zeros((4, 40, 40), dtype=bool)
    marked[5:15, 5:15] = True
    void[25:35, 25:35] = True
    mask[:] = marked | void
    assert boundary_f(mask, marked, void) == 1
    assert boundary_f(mask, marked, nothing) == pytest.approx(2 * 0.5 / 1.5), "half of the mask's boundary is wrong"


def test_mask_iou_by_hand():
    mask, marked, void = np.zeros((3, 10, 10), bool)
    mask[:5], marked[:, :5], void[0] = True, True, True
    marked &= ~void
    assert mask_iou(mask, marked, void) == pytest.approx(20 / (40 + 45 - 20))
    assert mask_iou(~mask & mask, marked & ~marked, void) == 0


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 10)] * 2), min_size=1, max_size=5))
def test_share_of_boxes_equals_their_pixels(corners):
    pixels, boxes = np.zeros((30, 20), dtype=bool), []
    for x, y, width, height in corners:
        pixels[y : y + height, x : x + width] = True
        boxes.append((x, y, x + width, y + height))
    assert share_of(np.array(boxes, dtype=float), None, 20, 30) == pytest.approx(pixels.mean())


def test_share_is_that_of_the_marked_pixels_where_there_are_any():
    box, marked = np.array([[0.0, 0, 10, 10]]), np.zeros((10, 10), dtype=bool)
    assert share_of(box, marked, 10, 10) == 1
    marked[:3] = True
    assert share_of(box, marked, 10, 10) == pytest.approx(0.3)
