"""Maps judged as `wsolevaluation` judges them (Choe et al., CVPR 2020, "Evaluating Weakly Supervised Object
Localization Methods Right"): MaxBoxAcc, MaxBoxAccV2 and PxAP.

Photo, boxes and masks are resized to 224 x 224 pixels, and so is the map, which is then rescaled to [0, 1]. For boxes
it is cut at every threshold: an image is right at an IoU if the box of the largest contour (MaxBoxAcc), or of any
contour (V2), has it with any ground-truth box. The accuracy is that at the threshold that is best for all images: it is
chosen on the very images it is measured on. PxAP is the average precision of the pixels of all images together.

Shapes: n images; 2 accuracies, 3 IoUs (`LEVELS`), 255 thresholds; m ground-truth boxes (m, 4) as (x0, y0, x1, y1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from deepinside.core.geometry import Frame
from deepinside.evaluation.contours import THRESHOLDS, contour_ious
from deepinside.evaluation.masks import Mask
from deepinside.evaluation.metrics import CORRECT_IOU, LEVELS, Map, Statistic, average_precision_of, best_of

SIDE = 224  # of the image that everything is resized to
EDGES = np.append(np.arange(0, 1, 0.001), 1.0)  # where each bin of map values begins


class ScoreMap(NamedTuple):
    """What counts of one map: at which thresholds its boxes are right, and its values inside and outside of the mask.

    `right` is of the largest contour and of any contour, at each IoU; `pixels` are histograms over bins of 0.001, of
    marked pixels and of others; None where nobody marked any.
    """

    right: Bool[np.ndarray, "2 3 255"]
    pixels: Int[np.ndarray, "2 1001"] | None


def judged_map(map: Map, frame: Frame, truths: Float[np.ndarray, "m 4"], marked: tuple[Mask, Mask] | None) -> ScoreMap:
    """A map against the ground truth, in photo pixels: the boxes, and the marked and the void pixels if there are any.

    Outside of the region that the network saw, a map is 0.
    """
    unit = unit_map(map, frame)
    boxes = resized_boxes(truths, frame.photo_width, frame.photo_height)
    return _judged(contour_ious((unit * 255).astype(np.uint8), boxes), unit, marked)


def judged_center(
    width: int, height: int, truths: Float[np.ndarray, "m 4"], marked: tuple[Mask, Mask] | None
) -> ScoreMap:
    """The image-free baseline: the map is a Gaussian around the photo's center."""
    boxes = resized_boxes(truths, width, height)
    low = np.maximum(_center_boxes()[:, None, :2], boxes[:, :2])
    high = np.minimum(_center_boxes()[:, None, 2:], boxes[:, 2:]) + 1
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = (np.prod(each[:, 2:] - each[:, :2] + 1, axis=-1) for each in (_center_boxes(), boxes))
    ious = (shared / (np.add.outer(*areas) - shared)).max(axis=1)
    return _judged(np.stack([ious, ious]), center_gaussian(), marked)


@lru_cache(maxsize=1)
def center_gaussian() -> Float[np.ndarray, "224 224"]:
    """A Gaussian whose standard deviation is half the side, from 0 to 1; the width changes neither of the figures."""
    squared = ((np.arange(SIDE) + 0.5) / (SIDE / 2) - 1) ** 2
    map = np.exp(-(squared[:, None] + squared) / 2)
    map = (map - map.min()) / np.ptp(map)
    map.setflags(write=False)
    return np.asarray(map)


@lru_cache(maxsize=1)
def _center_boxes() -> Int[np.ndarray, "255 4"]:
    """The box at each threshold: the Gaussian has one contour, and no holes."""
    inside = (center_gaussian() * 255).astype(np.uint8).max(axis=0) > np.arange(THRESHOLDS)[:, None]
    first, last = inside.argmax(axis=1), SIDE - 1 - inside[:, ::-1].argmax(axis=1)
    end = np.minimum(last + 1, SIDE - 1)
    return np.stack([first, first, end, end], axis=1)


def unit_map(map: Map, frame: Frame) -> Float[np.ndarray, "224 224"]:
    """The map in the whole photo at 224 x 224 pixels, from 0 to 1; zeros if it is constant."""
    values = frame.resized(SIDE, SIDE).map_to_photo(map).astype(np.float64)
    values -= values.min()
    most = values.max()
    return values / most if most > 0 else values


def resized_boxes(truths: Float[np.ndarray, "m 4"], width: int, height: int) -> Int[np.ndarray, "m 4"]:
    """Half-open boxes in photo pixels -> pixels of 224 x 224, with the last row and column counted, rounded down.

    >>> resized_boxes(np.array([[10.0, 20, 110, 120]]), 448, 224).tolist()
    [[5, 20, 54, 119]]
    """
    last = np.maximum(truths[:, 2:] - 1, truths[:, :2])
    return np.asarray(np.hstack([truths[:, :2], last]) * SIDE / [width, height, width, height]).astype(np.int64)


def resized_mask(mask: Mask) -> Bool[np.ndarray, "224 224"]:
    """A mask at 224 x 224 pixels, each that of the nearest pixel above and to the left, as OpenCV resizes."""
    rows, columns = (np.arange(SIDE) * size // SIDE for size in mask.shape)
    return mask[np.ix_(rows, columns)]


def statistics(found: Sequence[ScoreMap]) -> dict[str, Statistic]:
    """MaxBoxAcc at an IoU of 0.5, MaxBoxAccV2 with its parts at each IoU, and PxAP where pixels are marked."""
    right = np.array([each.right for each in found])
    parts = [_best_of(right[:, 1, number]) for number in range(len(LEVELS))]
    result: dict[str, Statistic] = {
        "max_box_acc_v1": _best_of(right[:, 0, LEVELS.index(CORRECT_IOU)]),
        "max_box_acc_v2": lambda weights: np.mean([part(weights) for part in parts], axis=0),
        **{f"max_box_acc_v2_{level}": part for level, part in zip(LEVELS, parts, strict=True)},
    }
    pixels = [each.pixels for each in found if each.pixels is not None]
    if pixels:
        nothing = np.zeros_like(pixels[0])
        counts = [nothing if each.pixels is None else each.pixels for each in found]
        result["pxap"] = average_precision_of(np.array(counts, dtype=np.float64))
    return result


def as_json(found: ScoreMap) -> Mapping[str, object]:
    """Plain values, to be kept in a file."""
    pixels = None if found.pixels is None else found.pixels.tolist()
    return {"right": np.packbits(found.right).tobytes().hex(), "pixels": pixels}


def of_json(told: Mapping[str, object]) -> ScoreMap:
    """The inverse of `as_json`. Raises `ValueError`, `TypeError` or `LookupError` for anything else."""
    shape = (2, len(LEVELS), THRESHOLDS)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(str(told["right"])), np.uint8), count=int(np.prod(shape)))
    pixels = None if told["pixels"] is None else np.array(told["pixels"], dtype=np.int64).reshape(2, len(EDGES))
    return ScoreMap(bits.reshape(shape).astype(bool), pixels)


def _best_of(right: Bool[np.ndarray, "n 255"]) -> Statistic:
    """The accuracy at the threshold that is best on the resampled images; counts are exact in 32 bits, and fast."""
    return lambda weights: best_of(right.astype(np.float32))(weights.astype(np.float32)).astype(np.float64)


def _judged(
    ious: Float[np.ndarray, "2 255"], unit: Float[np.ndarray, "224 224"], marked: tuple[Mask, Mask] | None
) -> ScoreMap:
    right = ious[:, None] >= np.array(LEVELS)[:, None]
    if marked is None:
        return ScoreMap(right, None)
    bins = np.searchsorted(EDGES, unit, side="right") - 1
    inside = resized_mask(marked[0])
    outside = ~inside & ~resized_mask(marked[1])
    return ScoreMap(right, np.stack([np.bincount(bins[each], minlength=len(EDGES)) for each in (inside, outside)]))
