"""The boxes of a score map's contours at every threshold, against ground truth, compiled.

`wsolevaluation` (Choe et al. 2020) cuts a map of 8 bits at every threshold, lets OpenCV find the contours, and draws a
box around each. Its contours are the outlines of 8-connected components of the pixels above the threshold, and those of
the holes in them, which are 4-connected and whose outline runs over the pixels around them. Here pixels are added one
by one, the brightest first, and each joins the components beside it: all 255 thresholds cost one pass over the pixels,
and another one, the darkest first, for the holes.

Boxes are as there: the last column and row are counted, `boundingRect` adds one to both, and a box ends at the last
pixel of the map.
"""

from typing import no_type_check  # the runtime type checker of the tests cannot wrap compiled functions

import numpy as np
from jaxtyping import Float, Int, UInt8

from deepinside.cut.kernels import kernel

THRESHOLDS = 255  # of a map of 8 bits: pixels above 0, above 1, ..., above 254
NONE = -1


def contour_ious(
    levels: UInt8[np.ndarray, "height width"], truths: Int[np.ndarray, "m 4"]
) -> Float[np.ndarray, "2 255"]:
    """The best IoU of a contour's box with any ground-truth box, at each threshold.

    Args:
        levels: the map.
        truths: in its pixels, (x0, y0, x1, y1), of which the last row and column are counted.

    Returns:
        Of the contour with the largest area, as OpenCV's `contourArea` has it, and of any contour. Where no pixel is
        above the threshold, the box is the first pixel.
    """
    height, width = levels.shape
    row, column = np.divmod(np.argsort(levels, axis=None, kind="stable"), width)
    order = (row + 1) * (width + 2) + column + 1  # in a map with a border of one pixel, the darkest first
    best = np.zeros((2, THRESHOLDS))
    _join_pixels(np.pad(levels, 1).ravel(), order[::-1].copy(), height, width, truths, False, best)
    _join_pixels(np.pad(255 - levels, 1).ravel(), order, height, width, truths, True, best[:, ::-1])
    return best


@kernel
@no_type_check
def _join_pixels(values, order, height, width, truths, is_holes, best):
    """Raise `best` to the IoUs of the components of `values > threshold`, or of holes, which do not reach the border.

    Values have a border of one pixel, and `order` are their indices, the largest value first.
    """
    stride = width + 2
    around = np.array([1, 1 - stride, -stride, -1 - stride, -1, stride - 1, stride, stride + 1])  # counterclockwise
    parent = np.full(values.size, NONE, np.int32)
    boxes = np.empty((values.size, 4), np.int32)
    twice = np.zeros(values.size, np.int32)  # the area between the centers of the pixels, holes left out
    first = np.empty(values.size, np.int32)  # the first pixel in reading order
    ious = np.empty(values.size)
    roots = np.empty(values.size, np.int32)
    count, done = 0, 0
    for threshold in range(THRESHOLDS - 1, -1, -1):
        while done < order.size and values[order[done]] > threshold:
            pixel = order[done]
            x, y = pixel % stride - 1, pixel // stride - 1
            done += 1
            own = NONE
            corners = 0
            for step in range(8):
                beside = pixel + around[step]
                if step % 2:
                    before = parent[pixel + around[step - 1]] != NONE
                    after = parent[pixel + around[(step + 1) % 8]] != NONE
                    corners += before + after + (parent[beside] != NONE) >= 2  # of a square of 2 x 2 pixels
                    if before or after or is_holes:
                        continue
                if parent[beside] == NONE:
                    continue
                other = _root(parent, beside)
                if own != NONE and other != own:
                    parent[own] = other
                    for side in range(2):
                        boxes[other, side] = min(boxes[own, side], boxes[other, side])
                        boxes[other, side + 2] = max(boxes[own, side + 2], boxes[other, side + 2])
                    twice[other] += twice[own]
                    first[other] = min(first[own], first[other])
                own = other
            if own == NONE:
                own = first[pixel] = roots[count] = pixel
                boxes[own, 0], boxes[own, 1], boxes[own, 2], boxes[own, 3] = x, y, x, y
                count += 1
            else:
                boxes[own, 0], boxes[own, 1] = min(boxes[own, 0], x), min(boxes[own, 1], y)
                boxes[own, 2], boxes[own, 3] = max(boxes[own, 2], x), max(boxes[own, 3], y)
                first[own] = min(first[own], pixel)
            parent[pixel] = own
            twice[own] += corners
            ious[own] = NONE
        kept = 0
        for number in range(count):
            root = roots[number]
            if parent[root] == root:
                roots[kept] = root
                kept += 1
        count = kept
        for number in range(count):
            root = roots[number]
            x0, y0, x1, y1 = boxes[root, 0], boxes[root, 1], boxes[root, 2], boxes[root, 3]
            if is_holes:
                if x0 == 0 or y0 == 0 or x1 == width - 1 or y1 == height - 1:
                    continue
                x0, y0, x1, y1 = x0 - 1, y0 - 1, x1 + 1, y1 + 1
            if ious[root] == NONE:
                ious[root] = _iou(truths, x0, y0, min(x1 + 1, width - 1), min(y1 + 1, height - 1))
            best[1, threshold] = max(best[1, threshold], ious[root])
        if not is_holes:
            if count:
                best[0, threshold] = ious[
                    _largest(values, stride, around, threshold, boxes, twice, first, roots, count)
                ]
            else:
                best[0, threshold] = best[1, threshold] = _iou(truths, 0, 0, 0, 0)


@kernel
@no_type_check
def _root(parent, pixel):
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel


@kernel
@no_type_check
def _iou(truths, x0, y0, x1, y1):
    best = 0.0
    area = (x1 - x0 + 1) * (y1 - y0 + 1)
    for number in range(len(truths)):
        left, top, right, bottom = truths[number, 0], truths[number, 1], truths[number, 2], truths[number, 3]
        shared = max(0, min(x1, right) - max(x0, left) + 1) * max(0, min(y1, bottom) - max(y0, top) + 1)
        best = max(best, shared / (area + (right - left + 1) * (bottom - top + 1) - shared))
    return best


@kernel
@no_type_check
def _largest(values, stride, around, threshold, boxes, twice, first, roots, count):
    """The component with the largest outline, of equal ones the last. Only those are traced that may be the largest."""
    surely = 0
    for number in range(count):
        surely = max(surely, twice[roots[number]])
    chosen, most, rivals = NONE, NONE, 0
    for turn in range(2):
        for number in range(count):
            root = roots[number]
            if 2 * (boxes[root, 2] - boxes[root, 0]) * (boxes[root, 3] - boxes[root, 1]) < surely:
                continue
            if turn == 0:
                rivals += 1
                continue
            area = _outlined(values, stride, around, threshold, first[root]) if rivals > 1 else 0
            if area > most or (area == most and first[root] > first[chosen]):
                chosen, most = root, area
    return chosen


@kernel
@no_type_check
def _outlined(values, stride, around, threshold, start):
    """Twice the area within the outer outline of a component, followed from its first pixel (Suzuki and Abe 1985)."""
    last = 3  # nothing is above the first pixel, nor to its left; clockwise from there, the outline ends
    while values[start + around[last]] <= threshold:
        last = (last - 1) % 8
        if last == 3:
            return 0
    twice, pixel, came = 0, start, last
    while True:
        step = (came + 1) % 8
        while values[pixel + around[step]] <= threshold:
            step = (step + 1) % 8
        beside = pixel + around[step]
        twice += (pixel % stride) * (beside // stride) - (beside % stride) * (pixel // stride)
        pixel, came = beside, (step + 4) % 8
        if pixel == start and came == last:
            return abs(twice)
