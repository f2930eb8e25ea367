"""How well a mask fits the marked pixels of an object: inside by its IoU, along the outline by the boundary F.

Masks are of a whole photo, (rows, columns). `marked` are the pixels of the ground truth and `void` those that count
neither way: crowds, unclear outlines. No pixel is both.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

Mask: TypeAlias = Bool[np.ndarray, "rows columns"]

TOLERANCE = 0.0075  # of the photo's diagonal, within which boundary pixels match (Perazzi et al. 2016)


def mask_iou(mask: Mask, marked: Mask, void: Mask) -> float:
    """Intersection over union of a mask with the marked pixels; void pixels are ignored."""
    mask = mask & ~void
    union = np.count_nonzero(mask | marked)
    return np.count_nonzero(mask & marked) / union if union else 0.0


def boundary_f(mask: Mask, marked: Mask, void: Mask) -> float:
    """The F-measure of boundary pixels (Martin et al. 2004, with the tolerance of Perazzi et al. 2016), in [0, 1].

    A boundary pixel of one mask is matched if one of the other lies within 0.75% of the photo's diagonal, rounded, and
    at least one pixel. Precision is the matched share of the mask's boundary, recall that of the marked pixels'; 0
    where either has no boundary. A boundary pixel in the void that is not matched counts neither way.

    >>> square, nothing = np.zeros((2, 9, 9), dtype=bool)
    >>> square[2:7, 2:7] = True
    >>> boundary_f(square, square, nothing), round(boundary_f(np.roll(square, 2, axis=1), square, nothing), 3)
    (1.0, 0.625)
    """
    found, true = boundary(mask), boundary(marked)
    if not len(found) or not len(true):
        return 0.0
    reach = max(1, round(TOLERANCE * math.hypot(*marked.shape)))
    matched = _are_near(found, true, reach)
    counted = matched | ~void[tuple(found.T)]
    precision = matched.sum() / max(counted.sum(), 1)
    recall = _are_near(true, found, reach).mean()
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def boundary(mask: Mask) -> Int[np.ndarray, "n 2"]:
    """Row and column of the pixels of a mask that have a neighbor, of four, outside of it or of the photo."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner)


def _are_near(points: Int[np.ndarray, "n 2"], others: Int[np.ndarray, "m 2"], reach: int) -> Bool[np.ndarray, " n"]:
    """Which points have another one within a distance."""
    distances, _ = KDTree(others).query(points, distance_upper_bound=reach + 0.5)  # infinite beyond
    return np.asarray(distances <= reach)


def share_of(boxes: Float[np.ndarray, "m 4"], marked: Mask | None, width: int, height: int) -> float:
    """The part of a photo that objects cover, from 0 to 1: their marked pixels, or else the union of their boxes.

    >>> share_of(np.array([[0.0, 0, 5, 10], [4, 0, 6, 10]]), None, 10, 10)
    0.6
    """
    if marked is not None and marked.any():
        return float(marked.mean())
    x, y = np.unique(boxes[:, 0::2]), np.unique(boxes[:, 1::2])
    across = (boxes[:, None, 0] <= x[:-1]) & (x[1:] <= boxes[:, None, 2])
    down = (boxes[:, None, 1] <= y[:-1]) & (y[1:] <= boxes[:, None, 3])
    covered = (down[:, :, None] & across[:, None, :]).any(axis=0)
    return float(np.diff(y) @ covered @ np.diff(x) / (width * height))
