"""Small maps: the saliency of a class in the whole photo, squeezed to a square of bytes, as rows of a run keep it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from deepinside.core.geometry import Box, Frame
from deepinside.core.results import Saliency

SIDE = 32  # cells of a small map
TINY = 1e-30  # of a map of zeros


def small_map(found: Saliency) -> UInt8[np.ndarray, "32 32"]:
    """A map in the whole photo, squeezed to a square of `SIDE` cells; its largest value becomes 255.

    >>> small_map(Saliency(Frame.whole(40, 30, width=2, height=1), np.array([[0.0, 2.0]])))[5, [0, 15, 31]].tolist()
    [0, 120, 255]
    """
    frame, values = found.frame, Image.fromarray(found.map.astype(np.float32))
    width, height = min(frame.width, SIDE), min(frame.height, SIDE)  # an average of cells, not one of them
    coarse = Frame(frame.photo_width, frame.photo_height, frame.region, width, height).resized(SIDE, SIDE)
    squeezed = coarse.map_to_photo(np.asarray(values.resize((width, height), Image.Resampling.BOX)))
    return np.round(squeezed * (255 / max(float(squeezed.max()), TINY))).astype(np.uint8)


def read_map(content: bytes) -> UInt8[np.ndarray, "32 32"]:
    """A small map from its bytes."""
    return np.frombuffer(content, np.uint8).reshape(SIDE, SIDE)


def mean_map(maps: UInt8[np.ndarray, "photos 32 32"]) -> Float[np.ndarray, "32 32"]:
    """The mean of maps of which each counts alike, whatever its sum; its own sum is 1."""
    return np.asarray((maps / maps.sum(axis=(1, 2), keepdims=True)).mean(axis=0))


def share_outside(map: UInt8[np.ndarray, "32 32"], boxes: Sequence[Box], width: int, height: int) -> float:
    """The share of a map outside of some boxes, given in pixels of a photo of `width` x `height`; NaN without boxes.

    >>> share_outside(np.full((32, 32), 255, np.uint8), [Box(0, 0, 10, 30)], 40, 30)
    0.75
    """
    total = float(map.sum())
    if not boxes or not total:
        return float("nan")
    covered = np.max([np.outer(_share(b.y0, b.y1, height), _share(b.x0, b.x1, width)) for b in boxes], axis=0)
    return 1 - float((map * covered).sum()) / total


def _share(first: float, last: float, pixels: int) -> Float[np.ndarray, " cells"]:
    """How much of each of `SIDE` cells lies between two pixels."""
    edges = np.clip(np.arange(SIDE + 1) * pixels / SIDE, first, last)
    return np.diff(edges) * SIDE / pixels
