"""The results of judging methods on photos with ground truth: every photo, and each one's figures over all of them.

A map that is cut at a fraction of its maximum needs that fraction chosen: on the other half of the images
(`grad_cam`, transferred) or on the very images that it is judged on (`grad_cam_oracle`): the second is an upper
bound, not a result.

Shapes: n images, t thresholds, k objects found and m of the ground truth, boxes (m, 4) as (x0, y0, x1, y1) in photo
pixels, draws of a bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int, UInt8

from deepinside.core import html
from deepinside.core.escape import terminal
from deepinside.core.geometry import Box
from deepinside.evaluation.columns import lines, used_tables
from deepinside.evaluation.metrics import (
    BINS,
    CORRECT_IOU,
    LEVELS,
    TOP,
    Estimate,
    Statistic,
    best_iou,
    best_of,
    estimate,
    localized,
    mean_of,
    oracle_choice,
    resamples,
    transferred_choice,
)
from deepinside.evaluation.objects import Matched, Truth, match
from deepinside.evaluation.objects import statistics as object_statistics
from deepinside.evaluation.score_maps import ScoreMap
from deepinside.evaluation.score_maps import statistics as map_statistics

CLASSIFICATION = "classification"


@dataclass(frozen=True, eq=False)
class Found:
    """What one method found in one image. A class-activation map has no object yet: its threshold is chosen later.

    A method whose answer is not known has neither.

    `objects` holds the box and the confidence of each object, the surest first. Of a class-activation map, `sweep` is
    the box at each threshold, and `pixels` its histogram inside and outside of the ground-truth mask. `score_map` is
    what `wsolevaluation` makes of a map, and `scores` whatever is one number per image.
    """

    objects: Float[np.ndarray, "k 5"] | None = None
    sweep: Float[np.ndarray, "t 4"] | None = field(default=None, repr=False)
    pixels: Int[np.ndarray, "2 bins"] | None = field(default=None, repr=False)
    scores: Mapping[str, float] = field(default_factory=dict)
    score_map: ScoreMap | None = field(default=None, repr=False)

    @property
    def is_unknown(self) -> bool:
        """Whether there is neither an object nor a map to cut one from."""
        return self.objects is None and self.sweep is None

    @property
    def box(self) -> Box | None:
        """The box of the surest object, by which a method is judged where there is one box per image."""
        return None if self.objects is None else Box(*self.objects[0, :4].tolist())


@dataclass(frozen=True, eq=False)
class Case:
    """One image: the class asked about, its rank among the predictions, and what each method found.

    `rank` counts from 0; `TOP` means that the class is not among the likeliest. `truth` holds the objects of the
    class, and `share` is the part of the image that they cover, from 0 to 1: their pixels where these are marked, and
    else their boxes.
    """

    path: Path
    label: str
    predicted: str
    rank: int
    truth: Truth = field(repr=False)
    share: float
    found: Mapping[str, Found] = field(repr=False)

    @property
    def truths(self) -> Float[np.ndarray, "m 4"]:
        """The boxes of the class."""
        return self.truth.boxes


@dataclass(frozen=True)
class Failure:
    """An image that could not be judged, and why."""

    path: Path
    reason: str


Judged: TypeAlias = Case | Failure
# How a class-activation map came by its threshold.
Threshold: TypeAlias = Literal["transferred", "oracle"]


@dataclass(frozen=True, eq=False)
class Row:
    """One method over all images: its boxes and their IoU, if it has any, and its figures.

    `method` is its name in `Case.found`; `threshold` says how that of a class-activation map was chosen, and is None
    for a method with boxes of its own. `columns` holds what each image contributes to the figures that are means over
    images, NaN where that is unknown, and `objects` what it contributes to those of objects.
    """

    method: str
    boxes: Float[np.ndarray, "n 4"] | None = field(repr=False)
    ious: Float[np.ndarray, " n"] | None = field(repr=False)
    figures: Mapping[str, Estimate]
    threshold: Threshold | None = None
    columns: Mapping[str, Float[np.ndarray, " n"]] = field(default_factory=dict, repr=False)
    objects: Sequence[Matched] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of a run, with every image that could not be judged. In a notebook, it shows its tables."""

    model: str
    seed: int
    cases: tuple[Case, ...]
    rows: Mapping[str, Row]
    failures: tuple[Failure, ...]

    def failure_lines(self, most: int = 20) -> list[str]:
        """What could not be judged, the first few by name."""
        if not self.failures:
            return []
        total = len(self.failures) + len(self.cases)
        told = [f"{len(self.failures)} of {total} images could not be judged:"]
        told += [f"  {failure.reason}" for failure in self.failures[:most]]
        more = len(self.failures) - most
        return [*told, f"  and {more} more, all named in the JSON file"] if more > 0 else told

    def __repr__(self) -> str:
        told = [f"  {name}: {each}" for name, row in self.rows.items() if (each := _main_figures(row))]
        return "\n".join([f"Evaluation of {terminal(self.model)}, {self._counts()}", *told])

    def _repr_html_(self) -> str:
        figures = {name: row.figures for name, row in self.rows.items()}
        main, *others = (
            html.table(title, ["method", *(column.heading.replace("\n", " ") for column in columns)], rows)
            for title, columns in used_tables(figures)
            for rows in [lines(columns, figures)]
        )
        note = html.small("in percent, ± half of the 95% bootstrap interval")
        return html.page(html.heading(self.model, self._counts()), main, note, html.folded("more figures", others))

    def _counts(self) -> str:
        failed = f", {len(self.failures)} could not be judged" if self.failures else ""
        return f"{len(self.cases)} images{failed}"


def _main_figures(row: Row) -> str:
    """The figures of ILSVRC's localization task, as far as a method has them."""
    names = {"top1_error": "top-1 error", "top5_error": "top-5 error", "gt_known_accuracy": "GT-known accuracy"}
    return ", ".join(f"{name} {row.figures[key].value:.1%}" for key, name in names.items() if key in row.figures)


def tabulate(cases: Sequence[Case], seed: int) -> dict[str, Row]:
    """Every method's figures over all images, and the classification error as the best that any of them can do."""
    weights = resamples(len(cases), seed)
    rows: dict[str, Row] = {}
    for name in cases[0].found:
        found = [case.found[name] for case in cases]
        if any(one.is_unknown for one in found):
            rows[name] = Row(name, None, None, _known_figures(cases, found, weights))
            continue
        if found[0].box is not None:
            boxes = np.array([one.box.as_tuple() for one in found if one.box], dtype=np.float64)
            rows[name] = _row(cases, name, boxes, weights, seed)
            continue
        sweeps = _sweeps(found)
        hits = (_sweep_ious(cases, sweeps) >= CORRECT_IOU).astype(np.float64)
        choices: dict[Threshold, Int[np.ndarray, " n"]] = {
            "transferred": transferred_choice(hits, seed),
            "oracle": oracle_choice(hits),
        }
        for threshold, choice in choices.items():
            boxes = sweeps[np.arange(len(cases)), choice].astype(np.float64)
            row = name if threshold == "transferred" else f"{name}_{threshold}"
            rows[row] = _row(cases, name, boxes, weights, seed, threshold)
    errors = {f"top{top}_error": (_ranks(cases) >= top).astype(np.float64) for top in (1, TOP)}
    figures = {key: estimate(mean_of(column), weights) for key, column in errors.items()}
    rows[CLASSIFICATION] = Row(CLASSIFICATION, None, None, figures)
    return rows


def _row(
    cases: Sequence[Case],
    method: str,
    boxes: Float[np.ndarray, "n 4"],
    weights: UInt8[np.ndarray, "draws n"],
    seed: int,
    threshold: Threshold | None = None,
) -> Row:
    found = [case.found[method] for case in cases]
    ranks = _ranks(cases)
    ious = np.array([best_iou(box, case.truths) for box, case in zip(boxes, cases, strict=True)], dtype=np.float64)
    judged: dict[str, np.ndarray] = {f"top{top}_error": ~localized(ranks, ious, top) for top in (1, TOP)}
    judged |= {"gt_known_accuracy": ious >= CORRECT_IOU, "mean_iou": ious}
    judged |= {f"box_accuracy_{level}": ious >= level for level in LEVELS}
    judged |= {key: _column(found, key) for key in sorted({key for one in found for key in one.scores})}
    pixels = _pixels(found)
    if threshold is not None and pixels is not None:
        judged["mask_iou"] = _mask_ious(pixels, seed, threshold)
    columns = {key: column.astype(np.float64) for key, column in judged.items()}
    objects = [_matched(case, one, box) for case, one, box in zip(cases, found, boxes, strict=True)]
    statistics = {key: mean_of(column) for key, column in columns.items()} | object_statistics(objects)
    if threshold is not None:
        statistics |= _sweep_statistics(_sweep_ious(cases, _sweeps(found)), seed, threshold)
    statistics |= _map_statistics(found)
    figures = {key: estimate(statistic, weights) for key, statistic in statistics.items()}
    return Row(method, boxes, ious, figures, threshold, columns, objects)


def _known_figures(
    cases: Sequence[Case], found: Sequence[Found], weights: UInt8[np.ndarray, "draws n"]
) -> dict[str, Estimate]:
    """What is certain without the boxes of some images, or of all: their label may be wrong, whatever the box.

    Where that leaves an image open, an error over all images is not known, and is not told of a part of them.
    """
    ranks = _ranks(cases)
    ious = np.array([
        np.nan if one.box is None else best_iou(np.array(one.box.as_tuple()), case.truths)
        for one, case in zip(found, cases, strict=True)
    ])  # fmt: skip
    statistics = _map_statistics(found)
    for top in (1, TOP):
        if not np.isnan(ious[ranks < top]).any():
            statistics[f"top{top}_error"] = mean_of((~localized(ranks, ious, top)).astype(np.float64))
    return {key: estimate(statistic, weights) for key, statistic in statistics.items()}


def _matched(case: Case, found: Found, box: Float[np.ndarray, " 4"]) -> Matched:
    """The objects found; of a class-activation map, the one box that was chosen."""
    objects = np.append(box, 1.0)[None] if found.objects is None else found.objects
    return match(objects[:, :4], objects[:, 4], case.truth)


def _sweep_statistics(ious: Float[np.ndarray, "n t"], seed: int, threshold: Threshold) -> dict[str, Statistic]:
    """MaxBoxAcc of the map: each level has a threshold of its own, transferred or the oracle's (Choe et al. 2020)."""
    statistics: dict[str, Statistic] = {}
    for level in LEVELS:
        hits = (ious >= level).astype(np.float64)
        transferred = mean_of(hits[np.arange(len(hits)), transferred_choice(hits, seed)])
        statistics[f"max_box_accuracy_{level}"] = transferred if threshold == "transferred" else best_of(hits)
    return statistics


def _map_statistics(found: Sequence[Found]) -> dict[str, Statistic]:
    """The figures of `wsolevaluation`; none for a method without maps."""
    score_maps = [one.score_map for one in found if one.score_map is not None]
    return map_statistics(score_maps) if len(score_maps) == len(found) else {}


def _pixels(found: Sequence[Found]) -> Float[np.ndarray, "n 2 bins"] | None:
    """The histograms of all images, zeros where no pixels are marked; None where there are none at all."""
    if all(one.pixels is None for one in found):
        return None
    return np.array([np.zeros((2, BINS)) if one.pixels is None else one.pixels for one in found], dtype=np.float64)


def _mask_ious(pixels: Float[np.ndarray, "n 2 bins"], seed: int, threshold: Threshold) -> Float[np.ndarray, " n"]:
    """The mask IoU of a class-activation map at a threshold of its own; NaN where pixels are not marked."""
    inside, outside = np.moveaxis(np.cumsum(pixels[..., ::-1], axis=-1)[..., ::-1], 1, 0)
    union = inside[:, :1] + outside
    ious = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    known = pixels.any(axis=(1, 2))
    choice = transferred_choice(ious[known], seed) if threshold == "transferred" else oracle_choice(ious[known])
    chosen = np.full(len(pixels), np.nan)
    chosen[known] = ious[known][np.arange(known.sum()), choice]
    return chosen


def _ranks(cases: Sequence[Case]) -> Int[np.ndarray, " n"]:
    return np.array([case.rank for case in cases])


def _column(found: Sequence[Found], key: str) -> Float[np.ndarray, " n"]:
    return np.array([one.scores.get(key, np.nan) for one in found], dtype=np.float64)


def _sweeps(found: Sequence[Found]) -> Float[np.ndarray, "n t 4"]:
    return np.stack([one.sweep for one in found if one.sweep is not None])


def _sweep_ious(cases: Sequence[Case], sweeps: Float[np.ndarray, "n t 4"]) -> Float[np.ndarray, "n t"]:
    return np.array([best_iou(sweep, case.truths) for sweep, case in zip(sweeps, cases, strict=True)])
