"""The peaks of a map that stand for themselves, and the cells around each.

A ripple is no peak of its own: a peak counts if every way from it to a higher one leads through a dip, of at most a
share of its height (topological persistence, relative to the height; Edelsbrunner et al. 2002).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from deepinside.cut import kernels


class Peak(NamedTuple):
    """How high a peak is, and the connected cells of its basin that are at least a share of that height."""

    height: float
    mask: Bool[np.ndarray, "height width"]


def peaks(
    map: Float[np.ndarray, "height width"], persistence: float = 0.7, least: float = 0.15, share: float = 0.5
) -> list[Peak]:
    """The peaks of a map, the highest first.

    Args:
        map: any values, 0 or more.
        persistence: the largest dip towards a higher peak, in shares of the peak's own height, at most 1.
        least: the smallest height of a peak, in shares of the highest one's.
        share: of a peak's height, above which cells belong to it.

    >>> [round(peak.height, 1) for peak in peaks(np.array([[0.1, 1.0, 0.2, 0.5, 0.4, 0.45]]))]
    [1.0, 0.5]
    """
    order = np.argsort(-map, axis=None, kind="stable")
    owner = kernels.flood(np.ascontiguousarray(map, np.float64), order, float(persistence)).reshape(map.shape)
    tops = [int(i) for i in order if owner.flat[i] == i and map.flat[i] > 0]
    high = [i for i in tops if map.flat[i] >= least * map.flat[tops[0]]]
    return [Peak(float(map.flat[i]), _around(i, (owner == i) & (map >= share * map.flat[i]))) for i in high]


def _around(i: int, cells: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The component of cells that holds the flat index i."""
    labels, _ = ndimage.label(cells, np.ones((3, 3)))
    return np.asarray(labels == labels.flat[i])
