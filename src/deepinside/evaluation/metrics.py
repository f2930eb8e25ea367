"""Metrics of boxes and maps: pure functions of arrays, each with its source, and bootstrap intervals.

Shapes: n images, t thresholds, m ground-truth boxes (m, 4) as (x0, y0, x1, y1) in photo pixels, `draws` resamples.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from deepinside.core.geometry import Box, Frame
from deepinside.cut.graphcut import largest_component
from deepinside.gradients.private import borrowed, private_view
from deepinside.gradients.probe import read_logits
from deepinside.gradients.question import chunk_size

TOP = 5  # predictions per image, by the rules of the challenge
CORRECT_IOU = 0.5  # the smallest IoU of a correct box, likewise
LEVELS = (0.3, 0.5, 0.7)  # IoU levels of MaxBoxAcc (Choe et al. 2020)
THRESHOLDS = np.arange(1, 20) / 20  # fractions of a map's maximum
BINS = 100  # of the histograms of map values, for precision and recall of pixels
DRAWS = 1000  # resamples of the bootstrap
STAGES = (0.25, 0.5, 0.75, 1.0)  # shares of the layers, from the top, that the sanity check randomizes
STEPS = 28  # of an insertion or deletion curve: 224 x 8 pixels per step at 224 x 224, as in RISE

Map = Float[np.ndarray, "height width"]
Posterior = Callable[[Float[Tensor, "batch classes"]], Float[Tensor, "batch classes"]]
Statistic = Callable[[Float[np.ndarray, "draws n"]], Float[np.ndarray, " draws"]]


class Estimate(NamedTuple):
    """A figure with its 95% bootstrap interval over images."""

    value: float
    low: float
    high: float


def best_iou(boxes: Float[np.ndarray, "*n 4"], truths: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "*n"]:
    """The largest intersection over union of each box with any ground-truth box, in [0, 1].

    >>> best_iou(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 15, 10], [50, 50, 60, 60]]))
    array([0.33333333])
    """
    return np.asarray(pair_ious(boxes, truths).max(axis=-1))


def pair_ious(boxes: Float[np.ndarray, "*n 4"], others: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "*n m"]:
    """The intersection over union of each box with each other one, in [0, 1]."""
    shared = shared_areas(boxes, others)
    union = areas(boxes)[..., None] + areas(others) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def shared_areas(boxes: Float[np.ndarray, "*n 4"], others: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "*n m"]:
    """The area that each box has in common with each other one."""
    box = boxes[..., None, :]
    low, high = np.maximum(box[..., :2], others[:, :2]), np.minimum(box[..., 2:], others[:, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=-1))


def areas(boxes: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n"]:
    """The area of each box."""
    return np.asarray(np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1))


def localized(ranks: Int[np.ndarray, " n"], ious: Float[np.ndarray, " n"], top: int) -> Bool[np.ndarray, " n"]:
    """Which images are localized by the rules of the challenge (Russakovsky et al. 2015, Sect. 4.2).

    One of the `top` pairs of label and box must have the true label and IoU >= 0.5 with any ground-truth box of it.

    Args:
        ranks: the rank of the true label among the predictions, from 0; `top` or more is a miss.
        ious: of the box that was predicted for the true label.
        top: the number of predictions.

    >>> localized(np.array([0, 1, 0]), np.array([0.6, 0.6, 0.4]), top=1)
    array([ True, False, False])
    """
    return np.asarray((ranks < top) & (ious >= CORRECT_IOU))


def pointing_game(map: Map, frame: Frame, truths: Float[np.ndarray, "m 4"]) -> bool:
    """Whether the maximum of the map (the first in reading order) is in a ground-truth box (Zhang et al. 2016)."""
    row, column = divmod(int(map.argmax()), map.shape[1])
    point = frame.to_photo(Box(column + 0.5, row + 0.5, column + 0.5, row + 0.5))
    x, y = point.x0, point.y0
    return bool(np.any((truths[:, 0] <= x) & (x < truths[:, 2]) & (truths[:, 1] <= y) & (y < truths[:, 3])))


def threshold_boxes(map: Map, frame: Frame) -> Float[np.ndarray, "t 4"]:
    """The photo box of the largest component of `map >= threshold * maximum`, for each of `THRESHOLDS`."""
    peak = map.max()
    masks = (largest_component(map >= threshold * peak) for threshold in THRESHOLDS)
    return np.array([frame.mask_box(mask).as_tuple() for mask in masks], dtype=np.float32)


def oracle_choice(scores: Float[np.ndarray, "n t"]) -> Int[np.ndarray, " n"]:
    """For every image, the index of the threshold that is best on all of these images, which gives an upper bound."""
    return np.full(len(scores), scores.mean(axis=0).argmax())


def transferred_choice(scores: Float[np.ndarray, "n t"], seed: int) -> Int[np.ndarray, " n"]:
    """For every image, the index of the threshold that is best on the other half of the images, which `seed` draws.

    A single image gets the middle threshold, since there is no other half.
    """
    if len(scores) < 2:
        return np.full(len(scores), scores.shape[1] // 2)
    first = np.zeros(len(scores), dtype=bool)
    first[np.random.default_rng(seed).permutation(len(scores))[: len(scores) // 2]] = True
    on_first, on_second = (scores[half].mean(axis=0).argmax() for half in (first, ~first))
    return np.asarray(np.where(first, on_second, on_first))


def pixel_counts(
    values: Float[np.ndarray, "rows columns"],
    marked: Bool[np.ndarray, "rows columns"],
    void: Bool[np.ndarray, "rows columns"],
) -> Int[np.ndarray, "2 bins"]:
    """Histograms of the map's values, rescaled to [0, 1], for marked and other pixels; void pixels are ignored."""
    low, high = float(values.min()), float(values.max())
    unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
    bins = np.minimum((unit * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(bins[where], minlength=BINS) for where in (marked & ~void, ~marked & ~void)])


def pixel_average_precision(counts: Float[np.ndarray, "*batch 2 bins"]) -> Float[np.ndarray, "*batch"]:
    """PxAP (Choe et al. 2020): the area under the precision-recall curve of the pixels of all images."""
    inside, outside = np.moveaxis(np.cumsum(counts[..., ::-1], axis=-1), -2, 0)
    above, all_inside = inside + outside, inside[..., -1:]
    precision = np.divide(inside, above, out=np.zeros_like(inside), where=above > 0)
    recall = np.divide(inside, all_inside, out=np.zeros_like(inside), where=all_inside > 0)
    return np.asarray((precision * np.diff(recall, axis=-1, prepend=0)).sum(axis=-1))


def faithfulness(
    network: nn.Module,
    image: Float[Tensor, "1 channels height width"],
    map: Map,
    target: int,
    posterior: Posterior,
) -> tuple[float, float]:
    """The insertion and the deletion AUC of a map (Petsiuk et al. 2018, RISE), in [0, 1].

    `posterior` makes probabilities of logits, as `Classifier.posterior` does.

    Pixels are processed from the largest to the smallest value of the map. Insertion copies them into a blurred image:
    a good map raises the probability of the class early, so higher is better. Deletion replaces them by the mean color
    of the image, so lower is better.
    """
    from torchvision.transforms.functional import gaussian_blur  # slow to import

    order = np.argsort(-map, axis=None, kind="stable")
    rank = torch.empty(map.size, dtype=torch.long)
    rank[torch.from_numpy(order)] = torch.arange(map.size)
    steps = torch.linspace(0, map.size, STEPS + 1).round()
    changed = (rank.view(1, 1, *map.shape) < steps.view(-1, 1, 1, 1)).to(image.device)
    side = min(11, 2 * ((min(map.shape) + 1) // 2) - 1)
    blurred = gaussian_blur(image, [side, side], [5.0, 5.0])
    mean = image.mean(dim=(2, 3), keepdim=True)
    curves = (torch.where(changed, image, blurred), torch.where(changed, mean, image))
    insertion, deletion = (posterior(_logits(network, batch))[:, target].double().cpu().numpy() for batch in curves)
    return _area_under(insertion), _area_under(deletion)


def rank_correlation(one: Map, other: Map) -> float:
    """Spearman's rank correlation of two maps, as in Adebayo et al. 2018; 0 if a map is constant."""
    from scipy import stats  # slow to import

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(stats.spearmanr(one, other, axis=None).statistic)


def randomized(network: nn.Module, share: float, seed: int) -> nn.Module:
    """A copy of the network in which a `share` of the layers, from the top, has random parameters.

    This is the cascading randomization of Adebayo et al. 2018. Each parameter is drawn from a normal distribution with
    its own mean and standard deviation, so that activations keep their scale.
    """
    result = copy.deepcopy(private_view(network))
    layers = [module for module in result.modules() if next(module.parameters(recurse=False), None) is not None]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers[len(layers) - math.ceil(share * len(layers)) :]:
            for parameter in layer.parameters(recurse=False):
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.copy_(parameter.mean() + parameter.std(correction=0) * noise)
    return result


def resamples(n: int, seed: int) -> UInt8[np.ndarray, "draws n"]:
    """How often each of n images occurs in each resample of the bootstrap."""
    rng = np.random.default_rng(seed)
    parts = [rng.multinomial(n, np.full(n, 1 / n), size=100).astype(np.uint8) for _ in range(DRAWS // 100)]
    return np.concatenate(parts)


def estimate(statistic: Statistic, weights: UInt8[np.ndarray, "draws n"]) -> Estimate:
    """The value of a statistic on the images, and its 95% percentile bootstrap interval."""
    once = np.ones((1, weights.shape[1]))
    drawn = [statistic(part.astype(np.float64)) for part in np.array_split(weights, 10)]
    low, high = np.nanquantile(np.concatenate(drawn), [0.025, 0.975])
    return Estimate(float(statistic(once)[0]), float(low), float(high))


def mean_of(values: Float[np.ndarray, " n"]) -> Statistic:
    """The mean over images; NaN stands for an unknown value and is left out."""
    known = ~np.isnan(values)
    return ratio_of(np.where(known, values, 0.0), known.astype(np.float64))


def ratio_of(numerators: Float[np.ndarray, " n"], denominators: Float[np.ndarray, " n"]) -> Statistic:
    """The total over images of one number divided by that of another; NaN where there is nothing to divide by."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights @ denominators
        return np.asarray(np.divide(weights @ numerators, total, out=np.full(len(weights), np.nan), where=total > 0))

    return statistic


def best_of(scores: Float[np.ndarray, "n t"]) -> Statistic:
    """The mean at the threshold that is best on the resampled images, as for oracle thresholds."""
    return lambda weights: (weights @ scores).max(axis=1) / weights.sum(axis=1)


def average_precision_of(counts: Float[np.ndarray, "n 2 bins"]) -> Statistic:
    """PxAP of the resampled images."""
    return lambda weights: pixel_average_precision(np.tensordot(weights, counts, axes=1))


def _logits(network: nn.Module, images: Float[Tensor, "batch channels _ _"]) -> Float[Tensor, "batch classes"]:
    with borrowed(network, images) as private:
        return torch.cat([read_logits(private, part) for part in images.split(chunk_size(images))])


def _area_under(curve: np.ndarray) -> float:
    return float((curve[1:] + curve[:-1]).mean() / 2)
