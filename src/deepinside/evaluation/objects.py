"""Objects found against objects there, one to one, by the rules of COCO (Lin et al. 2014) at an IoU of 0.5.

In each image, what was found is matched in order of confidence, each time with the object that it overlaps most of
those that are left. What matches none of them but a crowd (half of its area lies in the crowd's box) or a difficult
object (Everingham et al. 2010) counts neither way. Figures are of the totals over images.

Shapes: k objects found and m of the ground truth in one image, n images, draws of a bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from deepinside.evaluation.metrics import CORRECT_IOU, Statistic, areas, pair_ious, ratio_of, shared_areas

RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision
SEVERAL = 2  # objects of a class in one image


class Truth(NamedTuple):
    """The objects of one class in one image: their boxes, which of them count, and the boxes of its crowds."""

    boxes: Float[np.ndarray, "m 4"]
    counted: Bool[np.ndarray, " m"]
    crowds: Float[np.ndarray, "c 4"]


class Matched(NamedTuple):
    """What was found in one image and counts, the surest first: is it right? And how many objects there are."""

    right: Bool[np.ndarray, " k"]
    confidences: Float[np.ndarray, " k"]
    total: int


def match(boxes: Float[np.ndarray, "k 4"], confidences: Float[np.ndarray, " k"], truth: Truth) -> Matched:
    """Match what was found in one image with its objects, one to one.

    >>> truth = Truth(np.array([[0.0, 0, 9, 9], [20, 0, 29, 9]]), np.array([True, True]), np.zeros((0, 4)))
    >>> match(np.array([[0.0, 0, 9, 8], [0, 0, 9, 9], [20, 0, 29, 9]]), np.array([0.9, 0.8, 0.7]), truth).right
    array([ True, False,  True])
    """
    order = np.argsort(-confidences, kind="stable")
    boxes = boxes[order]
    ious = pair_ious(boxes, truth.boxes)
    free = truth.counted.copy()
    right = np.zeros(len(boxes), dtype=bool)
    for number, own in enumerate(ious):
        left = [(iou, index) for index, iou in enumerate(own) if free[index] and iou >= CORRECT_IOU]
        if left:
            right[number] = True
            free[max(left)[1]] = False
    in_crowds = shared_areas(boxes, truth.crowds) >= CORRECT_IOU * areas(boxes)[:, None]
    neither = in_crowds.any(axis=1) | (ious[:, ~truth.counted] >= CORRECT_IOU).any(axis=1)
    counts = right | ~neither
    return Matched(right[counts], confidences[order][counts], int(truth.counted.sum()))


def statistics(images: Sequence[Matched]) -> dict[str, Statistic]:
    """Recall, precision, F1, AP50, and the recall in images with several objects; those alone that are defined."""
    right = np.array([image.right.sum() for image in images], dtype=np.float64)
    found = np.array([len(image.right) for image in images], dtype=np.float64)
    total = np.array([image.total for image in images], dtype=np.float64)
    several = total >= SEVERAL
    ratios = {
        "object_recall": (right, total),
        "object_precision": (right, found),
        "object_f1": (2 * right, found + total),
        "object_recall_several": (right * several, total * several),
    }
    defined = {key: ratio_of(*ratio) for key, ratio in ratios.items() if ratio[1].any()}
    return defined | ({"object_ap50": ap50_of(images)} if total.any() else {})


def ap50_of(images: Sequence[Matched]) -> Statistic:
    """COCO's average precision: the mean over 101 recalls of the best precision at that recall or a higher one.

    What was found in all images is ranked by confidence; what is equally confident enters together, so that the order
    of the images does not matter.
    """
    confidences = np.concatenate([image.confidences for image in images])
    order = np.argsort(-confidences, kind="stable")
    right = np.concatenate([image.right for image in images])[order]
    image_of = np.repeat(np.arange(len(images)), [len(image.right) for image in images])[order]
    ends = np.flatnonzero(np.diff(confidences[order], append=-np.inf))
    total = np.array([image.total for image in images], dtype=np.float64)

    def statistic(weights: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, " draws"]:
        return np.array([_average_precision(own[image_of], right, ends, own @ total) for own in weights])

    return statistic


def _average_precision(
    weights: Float[np.ndarray, " k"], right: Bool[np.ndarray, " k"], ends: Int[np.ndarray, " g"], total: float
) -> float:
    """Of detections in the order of their confidence, in groups of equal confidence that end at `ends`."""
    if not total:
        return np.nan
    hits, found = np.cumsum(weights * right)[ends], np.cumsum(weights)[ends]
    precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.append(best, 0.0)[np.searchsorted(hits / total, RECALLS)].mean())
