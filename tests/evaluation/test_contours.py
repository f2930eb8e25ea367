"""Boxes of contours at all thresholds, against cutting the map at each of them, and against OpenCV."""

import numpy as np
import pytest
from scipy import ndimage

from deepinside.evaluation.contours import contour_ious

EIGHT = np.ones((3, 3), int)


def iou(box, other):
    """As `wsolevaluation` has it: the last row and column are counted."""
    width = max(0, min(box[2], other[2]) - max(box[0], other[0]) + 1)
    shared = width * max(0, min(box[3], other[3]) - max(box[1], other[1]) + 1)
    area, other_area = ((each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (box, other))
    return shared / (area + other_area - shared)


def drawn(mask, margin=0):
    """The box around a mask: one more than its last column and row, within the map."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    x1, y1 = min(columns[-1] + margin + 1, width - 1), min(rows[-1] + margin + 1, height - 1)
    return (columns[0] - margin, rows[0] - margin, x1, y1)


def twice_the_area(mask):
    """Of the polygon through the centers of the outer pixels: squares of 2 x 2 pixels, and half squares of three."""
    filled = np.pad(ndimage.binary_fill_holes(mask), 1)
    there = sum(
        filled[y : y + mask.shape[0] + 1, x : x + mask.shape[1] + 1].astype(int) for y in (0, 1) for x in (0, 1)
    )
    return 2 * (there == 4).sum() + (there == 3).sum()


def slow(levels, truths):
    best = np.zeros((2, 255))
    for threshold in range(255):
        labels, count = ndimage.label(levels > threshold, EIGHT)
        parts = [labels == number for number in range(1, count + 1)]
        if not parts:
            best[:, threshold] = max(iou((0, 0, 0, 0), truth) for truth in truths)
            continue
        areas = [twice_the_area(part) for part in parts]
        starts = [part.argmax() for part in parts]
        largest = drawn(parts[max(range(count), key=lambda number: (areas[number], starts[number]))])
        holes, count = ndimage.label(np.pad(levels <= threshold, 1, constant_values=True))
        inner = [holes[1:-1, 1:-1] == number for number in range(1, count + 1) if number != holes[0, 0]]
        boxes = [*(drawn(part) for part in parts), *(drawn(hole, 1) for hole in inner)]
        best[0, threshold] = max(iou(largest, truth) for truth in truths)
        best[1, threshold] = max(iou(box, truth) for box in boxes for truth in truths)
    return best


def scene(seed):
    """A map of 8 bits, smooth or not, with few values or many, and some boxes in it."""
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 20, 2)
    values = ndimage.uniform_filter(random.random((height, width)), int(random.integers(1, 5)))
    values = (values - values.min()) / max(np.ptp(values), 1e-9)
    values = np.round(values * 3) / 3 if seed % 3 == 0 else values
    x, y = np.sort(random.integers(0, width, (3, 2))), np.sort(random.integers(0, height, (3, 2)))
    return (values * 255).astype(np.uint8), np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


@pytest.mark.parametrize("seed", range(8))
def test_one_pass_is_as_cutting_at_each_threshold(seed):
    levels, truths = scene(seed)
    assert np.allclose(contour_ious(levels, truths), slow(levels, truths), atol=1e-12)


def test_a_hole_has_a_box_of_its_own():
    levels = np.zeros((9, 9), np.uint8)
    levels[1:8, 1:8] = 255
    levels[3:5, 4:6] = 0
    largest, best = contour_ious(levels, np.array([[3, 2, 7, 6]]))
    assert np.all(best == 1), "around the pixels beside the hole"
    assert np.all(largest == 25 / 64)


def test_a_map_of_zeros_has_the_first_pixel():
    assert np.all(contour_ious(np.zeros((5, 7), np.uint8), np.array([[0, 0, 1, 1]])) == 1 / 4)


def of_opencv(cv2, levels, truths):
    """What `wsolevaluation` does with OpenCV."""
    height, width = levels.shape
    best = np.zeros((2, 255))
    for threshold in range(255):
        _, above = cv2.threshold(levels[:, :, None], threshold, 255, cv2.THRESH_BINARY)
        contours = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        for row, chosen in enumerate(([max(contours, key=cv2.contourArea)] if contours else [], contours)):
            corners = [cv2.boundingRect(each) for each in chosen]
            boxes = [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in corners]
            best[row, threshold] = max(iou(box, truth) for box in boxes or [(0, 0, 0, 0)] for truth in truths)
    return best


@pytest.mark.parametrize("seed", range(20))
def test_contours_are_those_of_opencv(seed):
    cv2 = pytest.importorskip("cv2", reason="the extra `bench` has OpenCV")
    levels, truths = scene(seed)
    assert np.allclose(contour_ious(levels, truths), of_opencv(cv2, levels, truths), atol=1e-12)
