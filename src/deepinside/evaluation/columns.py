"""The tables of an evaluation: which figures stand beside each other, under which headings, and how they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deepinside.evaluation.metrics import LEVELS, STAGES, Estimate


@dataclass(frozen=True)
class Column:
    """One figure of every method: its heading, its key in the JSON file, and whether its interval is shown."""

    heading: str
    key: str
    interval: bool = False


def used_tables(rows: Mapping[str, Mapping[str, Estimate]]) -> Iterator[tuple[str, list[Column]]]:
    """The tables that some method has figures for, without the columns that none has; the first has no title."""
    used = {key for figures in rows.values() for key in figures}
    for title, columns in TABLES:
        there = [column for column in columns if column.key in used]
        if there:
            yield title, there


def lines(columns: Sequence[Column], rows: Mapping[str, Mapping[str, Estimate]]) -> Iterator[list[str]]:
    """The methods that have some of the figures, each as its name and the figures in percent.

    >>> list(lines([Column("recall", "r", True), Column("F1", "f")], {"best": {"r": Estimate(0.5, 0.4, 0.6)}}))
    [['best', '50.0 ±10.0', '—']]
    """
    for name, figures in rows.items():
        if any(column.key in figures for column in columns):
            yield [name, *(_percent(figures.get(column.key), column.interval) for column in columns)]


def _percent(figure: Estimate | None, interval: bool) -> str:
    if figure is None:
        return "—"
    return f"{100 * figure.value:.1f}" + (f" ±{50 * (figure.high - figure.low):.1f}" if interval else "")


TABLES: tuple[tuple[str, tuple[Column, ...]], ...] = (
    (
        "",  # the network and the number of images
        (
            Column("top-1\nerror", "top1_error", True),
            Column("top-5\nerror", "top5_error", True),
            Column("GT-known\naccuracy", "gt_known_accuracy", True),
            Column("mean\nIoU", "mean_iou", True),
        ),
    ),
    (
        "share of boxes right at an IoU of",
        tuple(Column(str(level), f"box_accuracy_{level}") for level in LEVELS),
    ),
    (
        "MaxBoxAcc at an IoU of",
        tuple(Column(str(level), f"max_box_accuracy_{level}") for level in LEVELS),
    ),
    (
        "masks",
        (
            Column("mask\nIoU", "mask_iou", True),
            Column("boundary\nF", "boundary_f", True),
        ),
    ),
    (
        "objects, one to one",
        (
            Column("recall", "object_recall", True),
            Column("precision", "object_precision", True),
            Column("F1", "object_f1", True),
            Column("AP50", "object_ap50", True),
        ),
    ),
    (
        "images with several objects",
        (Column("recall, one\nto one", "object_recall_several", True),),
    ),
    (
        "score maps, by the rules of wsolevaluation",
        (
            Column("MaxBoxAcc", "max_box_acc_v1", True),
            Column("MaxBoxAccV2", "max_box_acc_v2", True),
            Column("PxAP", "pxap", True),
        ),
    ),
    (
        "score maps: MaxBoxAccV2 at an IoU of",
        tuple(Column(str(level), f"max_box_acc_v2_{level}") for level in LEVELS),
    ),
    (
        "maps",
        (
            Column("pointing\ngame", "pointing_game"),
            Column("insertion\nAUC", "insertion_auc"),
            Column("deletion\nAUC", "deletion_auc"),
        ),
    ),
    (
        "rank correlation of maps before and after so many layers are randomized",
        tuple(Column(f"{share:.0%}", f"randomization_correlation_{100 * share:.0f}") for share in STAGES),
    ),
)
