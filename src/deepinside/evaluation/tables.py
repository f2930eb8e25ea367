"""An evaluation as a table to read, as JSON and CSV to compute with, and as a sheet of its best and worst photos."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from deepinside.core.errors import DeepInsideError, writing
from deepinside.core.geometry import Box
from deepinside.core.images import read
from deepinside.evaluation.baselines import MAP_METHODS
from deepinside.evaluation.metrics import CORRECT_IOU, LEVELS, STAGES, TOP, Estimate
from deepinside.evaluation.results import Evaluation, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table


def as_json(evaluation: Evaluation) -> dict[str, object]:
    """Plain values: `{"images", "model", "seed", "methods": {name: {figure: value, "intervals": ...}}, "failures"}`."""
    methods = {
        name: {key: round(figure.value, 6) for key, figure in row.figures.items()}
        | {"intervals": {key: [round(figure.low, 6), round(figure.high, 6)] for key, figure in row.figures.items()}}
        for name, row in evaluation.rows.items()
    }
    return {
        "images": len(evaluation.cases),
        "model": evaluation.model,
        "seed": evaluation.seed,
        "methods": methods,
        "failures": [{"path": str(failure.path), "error": failure.reason} for failure in evaluation.failures],
    }


def write_json(evaluation: Evaluation, path: Path) -> Path:
    """`as_json` in a file. Raises `DeepInsideError` where it cannot be written."""
    return _write(
        path, lambda stream: stream.write(json.dumps(as_json(evaluation), indent=2, ensure_ascii=False) + "\n")
    )


def write_csv(evaluation: Evaluation, path: Path) -> Path:
    """A line an image and method. Raises `DeepInsideError` where it cannot be written."""
    return _write(path, lambda stream: csv.writer(stream, lineterminator="\n").writerows(_lines(evaluation)))


def _lines(evaluation: Evaluation) -> Iterator[Sequence[object]]:
    head = (
        "image",
        "label",
        "predicted",
        "rank",
        "method",
        "iou",
        "top1_correct",
        "top5_correct",
        "x0",
        "y0",
        "x1",
        "y1",
    )
    scores = sorted({key for case in evaluation.cases for found in case.found.values() for key in found.scores})
    yield (*head, *scores)
    for number, case in enumerate(evaluation.cases):
        rank = case.rank + 1 if case.rank < TOP else ""
        for name, row in evaluation.rows.items():
            if row.boxes is None or row.ious is None:
                continue
            iou = float(row.ious[number])
            right = [int(case.rank < top and iou >= CORRECT_IOU) for top in (1, TOP)]
            own = case.found[row.method].scores
            box = [round(float(side), 2) for side in row.boxes[number]]
            fixed = (case.path, case.label, case.predicted, rank, name, round(iou, 4), *right, *box)
            yield (*fixed, *(round(own[key], 6) if key in own else "" for key in scores))


def cases_sheet(evaluation: Evaluation, method: str, count: int = 6) -> Figure:
    """The photos where a method's box fits best, above those where it fits worst; ground truth green, the box red."""
    from matplotlib.figure import Figure

    ious = _known_row(evaluation, method).ious
    assert ious is not None
    order = np.argsort(-ious, kind="stable")
    count = min(count, (len(order) + 1) // 2)
    figure = Figure(figsize=(2.4 * count + 0.4, 5.6), dpi=150, layout="constrained")
    grid = figure.subplots(2, count, squeeze=False)
    figure.suptitle(f"{method}, {evaluation.model}: the best and the worst of {len(order)}", fontsize=10)
    for axes, number in zip(grid.flat, (*order[:count], *order[::-1][:count]), strict=True):
        _show_case(axes, evaluation, method, int(number))
    return figure


def _show_case(axes: Axes, evaluation: Evaluation, method: str, number: int) -> None:
    from deepinside.explanations import sheets

    case, row = evaluation.cases[number], evaluation.rows[method]
    assert row.boxes is not None
    assert row.ious is not None
    photo = read(case.path)
    image = sheets.thumbnail(photo)
    scale = min(sheets.PANEL / max(photo.width, photo.height), 1.0)
    axes.imshow(image)
    for truth in case.truths:
        sheets.draw_box(axes, Box(*truth * scale), sheets.GROUND_TRUTH)
    sheets.draw_box(axes, Box(*row.boxes[number] * scale), sheets.PREDICTION)
    axes.set_title(f"{case.label[:24]}  IoU {row.ious[number]:.2f}", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def _known_row(evaluation: Evaluation, method: str) -> Row:
    row = evaluation.rows.get(method)
    if row is None or row.ious is None:
        known = [name for name, row in evaluation.rows.items() if row.ious is not None]
        raise DeepInsideError(f"expected a method with boxes ({', '.join(known)}), got {method!r}")
    return row


def table(evaluation: Evaluation) -> Table:
    """Methods as rows, figures in percent, the first four with half the width of their 95% interval."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    result = Table(title=f"{evaluation.model}, {len(evaluation.cases)} images", title_justify="left", box=SIMPLE_HEAD)
    used = {key for row in evaluation.rows.values() for key in row.figures}
    intervals = [(title, key) for title, key in _WITH_INTERVAL if key in used]
    plain = [(title, keys) for title, keys in _PLAIN if used.intersection(keys)]
    result.add_column("method", no_wrap=True)
    for title in (*(title for title, _ in intervals), _BOXES, *(title for title, _ in plain)):
        result.add_column(title, justify="right", no_wrap=True)
    for name, row in evaluation.rows.items():
        with_interval = [_percent(row.figures.get(key)) for _, key in intervals]
        result.add_row(name, *with_interval, _levels(row), *(_slashed(row, keys) for _, keys in plain))
    return result


_BOXES = "boxes right at\nIoU " + " / ".join(map(str, LEVELS))
_WITH_INTERVAL = (
    ("top-1\nerror", "top1_error"),
    ("top-5\nerror", "top5_error"),
    ("GT-known\naccuracy", "gt_known_accuracy"),
    ("mean\nIoU", "mean_iou"),
)
_PLAIN = (
    ("pointing\ngame", ("pointing_game",)),
    ("PxAP /\nmask IoU", ("pxap", "mask_iou")),
    ("insertion /\ndeletion", ("insertion_auc", "deletion_auc")),
    (
        "map kept with layers new\n" + " / ".join(f"{share:.0%}" for share in STAGES),
        tuple(f"randomization_correlation_{100 * share:.0f}" for share in STAGES),
    ),
)

_NOTES = """In percent, ± half of the 95% bootstrap interval; class predictions are those of {first} for every method.
center_box and whole_image do not look at the image; no box can beat the classification error."""

_CAM_NOTES = """Grad-CAM, which is CAM here if the network ends in average pooling and one linear layer, and LayerCAM: \
cut at a
fraction of the maximum that is best on the other half of the images; _oracle: on these very images, an upper bound."""


def _percent(figure: Estimate | None) -> str:
    return "" if figure is None else f"{100 * figure.value:.1f} ±{50 * (figure.high - figure.low):.1f}"


def _levels(row: Row) -> str:
    """Accuracy of the boxes; for a class-activation map MaxBoxAcc, each level with a threshold of its own."""
    keys = {None: "box_accuracy_", "transferred": "max_box_accuracy_", "oracle": "max_box_accuracy_oracle_"}
    key = keys[row.threshold]
    return _slashed(row, [f"{key}{level}" for level in LEVELS])


def _slashed(row: Row, keys: Sequence[str]) -> str:
    figures = [row.figures.get(key) for key in keys]
    return " / ".join(f"{100 * figure.value:.1f}" if figure else "–" for figure in figures) if any(figures) else ""


def _write(path: Path, write: Callable[[TextIO], object]) -> Path:
    with writing(path, "a file"), path.open("w", encoding="utf-8", newline="") as stream:
        write(stream)
    return path


def notes(evaluation: Evaluation, judging_baselines: bool = True) -> str:
    """How to read the table, below it."""
    notes = [_NOTES.format(first=next(iter(evaluation.rows)))]
    if MAP_METHODS[0] in evaluation.rows:
        notes.append(_CAM_NOTES)
    elif judging_baselines:
        notes.append("Grad-CAM and LayerCAM are left out: the network has no layer with height and width.")
    return "\n".join(notes)
