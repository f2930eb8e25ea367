"""An evaluation as tables to read, as JSON and CSV to compute with, and as a sheet of its best and worst photos."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from deepinside.core.errors import DeepInsideError, writing
from deepinside.core.escape import cell, encodable
from deepinside.core.files import atomic_write
from deepinside.core.fonts import fitted
from deepinside.core.geometry import Box
from deepinside.core.images import read
from deepinside.core.terminal import literal
from deepinside.evaluation.columns import Column, lines, used_tables
from deepinside.evaluation.masks import TOLERANCE
from deepinside.evaluation.metrics import CORRECT_IOU, TOP, Estimate
from deepinside.evaluation.objects import SEVERAL
from deepinside.evaluation.results import Evaluation, Row
from deepinside.evaluation.sizes import Sized, by_size
from deepinside.gradients.class_activation import FORMULAS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table


def as_json(evaluation: Evaluation) -> dict[str, object]:
    """Plain values: `{"images", "model", "seed", "methods": {name: {figure: value, "intervals": ...}}, "failures"}`.

    `by_size` has `images` and `methods` again, for the images whose objects have each size.
    """
    return {
        "images": len(evaluation.cases),
        "model": encodable(evaluation.model),
        "seed": evaluation.seed,
        "methods": {name: _figures_json(row.figures) for name, row in evaluation.rows.items()},
        "by_size": {
            sized.key: {
                "images": sized.count,
                "methods": {name: _figures_json(figures) for name, figures in sized.figures.items()},
            }
            for sized in by_size(evaluation)
        },
        "failures": [
            {"path": encodable(str(failure.path)), "error": encodable(failure.reason)}
            for failure in evaluation.failures
        ],
    }


def _figures_json(figures: Mapping[str, Estimate]) -> dict[str, object]:
    intervals = {key: [round(figure.low, 6), round(figure.high, 6)] for key, figure in figures.items()}
    return {key: round(figure.value, 6) for key, figure in figures.items()} | {"intervals": intervals}


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
        "objects",
        "objects_found",
        "objects_right",
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
            image, label, predicted = map(cell, (str(case.path), case.label, case.predicted))
            objects = row.objects[number]
            counts = (objects.total, len(objects.right), int(objects.right.sum()))
            fixed = (image, label, predicted, rank, cell(name), round(iou, 4), *right, *box, *counts)
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
    heading = fitted(f"{method}, {evaluation.model}: the best and the worst of {len(order)}", 10, 2.2 * count, lines=3)
    figure.suptitle(heading.text, **heading.style)
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
    sheets.title(axes, case.label, f"  IoU {row.ious[number]:.2f}", 8, 2.2)
    axes.set_xticks([])
    axes.set_yticks([])


def _known_row(evaluation: Evaluation, method: str) -> Row:
    row = evaluation.rows.get(method)
    if row is None or row.ious is None:
        known = [name for name, row in evaluation.rows.items() if row.ious is not None]
        raise DeepInsideError(f"expected a method with boxes ({', '.join(known)}), got {method!r}")
    return row


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Methods as rows, figures in percent, in as many tables as fit 80 columns; each figure is that of its key in JSON.

    Errors, accuracies, and the figures of masks and objects have half the width of their 95% interval. Figures that no
    method has are left out, and so are methods that have none of a table's.
    """
    rows = {name: row.figures for name, row in evaluation.rows.items()}
    for title, columns in used_tables(rows):
        yield _table(title or f"{evaluation.model}, {len(evaluation.cases)} images", columns, rows)
    yield from _size_tables(list(by_size(evaluation)))


def _size_tables(sizes: Sequence[Sized]) -> Iterator[Table]:
    """One table for each figure, with a column for each size and the number of its images."""
    columns = [Column(f"{sized.heading}\n({sized.count})", sized.key, True) for sized in sizes]
    for title, key in _BY_SIZE:
        rows = {
            name: {sized.key: sized.figures[name][key] for sized in sizes if key in sized.figures[name]}
            for name in sizes[0].figures
        }
        if any(rows.values()):
            yield _table(title, columns, rows)


def _table(title: str, columns: Sequence[Column], rows: Mapping[str, Mapping[str, Estimate]]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    result = Table(title=literal(title), title_justify="left", box=SIMPLE_HEAD)
    result.add_column("method", no_wrap=True)
    for column in columns:
        result.add_column(column.heading, justify="right", no_wrap=True)
    for name, *cells in lines(columns, rows):
        result.add_row(literal(name), *cells)
    return result


_BY_SIZE = (
    ("GT-known accuracy by the share of the image that objects cover (images)", "gt_known_accuracy"),
    ("mask IoU by the share of the image that objects cover (images)", "mask_iou"),
)

_NOTES = """In percent, ± half of the 95% bootstrap interval. Class predictions are those of
{first} for every method; no box can beat the classification error.
center_box and whole_image do not look at the image."""

_MASK_NOTES = """Masks: all objects of the class together, against all marked pixels. Boundary F:
outlines that match within {tolerance:.2%} of the diagonal, precision and recall in one."""

_OBJECT_NOTES = """Objects: {total} in all, each matched with at most one that was found, at an IoU of
0.5; images with several: {several}. AP50 ranks what was found by its confidence;
class-activation maps and image-free boxes have none and are ranked alike."""

_SCORE_MAP_NOTES = """Score maps at 224 x 224 pixels (Choe et al. 2020): MaxBoxAcc is of the largest
contour at an IoU of 0.5, MaxBoxAccV2 of the best contour, the mean of three
IoUs. Their thresholds are the best for these very images: an upper bound, which
is not to be compared with boxes. center_gaussian does not look at the image."""

_UNKNOWN_NOTES = """{name}: of {count} images, nobody has looked for the class, so that figures of
boxes, masks and maps are unknown (—). A run with the labels of these images has
them: `deepinside run LABELS.csv --top 5`, a table with the columns path,label."""

_CAM_NOTES = """Grad-CAM, which is CAM here if the network ends in average pooling and one
linear layer, and LayerCAM: cut at a fraction of the maximum, for MaxBoxAcc one
for each IoU. It is what is best on the other half of the images; _oracle: on
these very images, an upper bound."""


def _write(path: Path, write: Callable[[TextIO], object]) -> Path:
    with writing(path, "a file"), atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        write(stream)
    return path


def notes(evaluation: Evaluation, judging_baselines: bool = True) -> str:
    """How to read the table, below it."""
    notes = [_NOTES.format(first=next(iter(evaluation.rows)))]
    if any("boundary_f" in row.figures for row in evaluation.rows.values()):
        notes.append(_MASK_NOTES.format(tolerance=TOLERANCE))
    totals = [int(case.truth.counted.sum()) for case in evaluation.cases]
    notes.append(_OBJECT_NOTES.format(total=sum(totals), several=sum(total >= SEVERAL for total in totals)))
    if any("max_box_acc_v2" in row.figures for row in evaluation.rows.values()):
        notes.append(_SCORE_MAP_NOTES)
    first = next(iter(evaluation.rows))
    if count := sum(case.found[first].is_unknown for case in evaluation.cases):
        notes.append(_UNKNOWN_NOTES.format(name=first, count=count))
    if any(name in evaluation.rows for name in FORMULAS):
        notes.append(_CAM_NOTES)
    elif judging_baselines:
        notes.append("Grad-CAM and LayerCAM are left out: no layer of the network has rows and columns.")
    return "\n".join(notes)
