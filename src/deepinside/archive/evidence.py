"""Where the evidence of each class lies: the small maps that a run keeps, and how much of them is off the objects.

Of a photo with labels, these are the maps of its labels; of any other, those of the classes that are likely enough.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from deepinside.archive.folder import about_run, part_rows
from deepinside.archive.rows import Row, box_of, file_of, labels_of, photos_of
from deepinside.archive.small_maps import read_map, share_outside
from deepinside.core.geometry import Box
from deepinside.core.labels import Labels
from deepinside.data.boxes import Sample, read_samples
from deepinside.evaluation.classes import by_class

MOST = 200  # photos of a class: a thousand classes of them take 200 MB of maps
COLUMNS = (
    "key", "photo", "file", "width", "height", "class", "label", "number", "probability", "given",
    "x0", "y0", "x1", "y1", "map",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """What decides a class, in each of its photos.

    `outside` is the share of each map outside of the class's boxes, in [0, 1]; NaN where there are none.
    """

    index: int
    label: str
    maps: UInt8[np.ndarray, "photos 32 32"]
    outside: Float[np.ndarray, " photos"]
    files: tuple[Path, ...]


def evidence_of(folder: Path, boxes: Path | None = None) -> list[Evidence]:
    """The evidence of each class in a run, by the number of the class; of a class with many photos, `MOST` at random.

    Args:
        folder: of a run, finished or not.
        boxes: a data set with ground-truth boxes, as `read_samples` reads them, with the same photo files. Without it,
            boxes are those that the run has found, which follow the evidence.

    Raises `DeepInsideError` for a folder without a run, and for `boxes` that cannot be read.
    """
    about = about_run(folder)
    samples = None if boxes is None else {_real(each.path): each for each in read_samples(boxes)}
    labels = labels_of(about)
    drawn: dict[int, list[tuple[int, int, Row]]] = {}
    serial = count()  # so that no two entries are equal
    for rows in part_rows(folder, COLUMNS):
        for photo in photos_of(rows):
            for row in _asked(photo, about):
                mine = [box_of(each) for each in photo if each["class"] == row["class"]]
                if samples is not None:
                    mine = _known(samples.get(_real(file_of(row))), row["class"], labels)
                held = drawn.setdefault(row["class"], [])
                entry = (
                    -row["key"],
                    next(serial),
                    row | {"outside": share_outside(read_map(row["map"]), mine, row["width"], row["height"])},
                )
                (heapq.heappush if len(held) < MOST else heapq.heappushpop)(held, entry)
    return [_evidence(index, [row for _, _, row in sorted(held)]) for index, held in sorted(drawn.items())]


def _asked(photo: list[Row], about: Mapping[str, Any]) -> Iterator[Row]:
    """The first row of each class that counts: the labels of a photo, or else what is likely in it."""
    has_labels = any(row["given"] for row in photo)
    for row in photo:
        if row["class"] is None or row["number"] != 1 or not np.frombuffer(row["map"], np.uint8).any():
            continue
        if row["given"] if has_labels else row["probability"] >= about["min_probability"]:
            yield row


def _known(sample: Sample | None, index: int, labels: Labels) -> list[Box]:
    """The ground-truth boxes of a class in a photo."""
    if sample is None or sample.error:
        return []
    return [annotation.box for annotation in by_class(sample.annotations, labels).get(index, [])]


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _evidence(index: int, rows: list[Row]) -> Evidence:
    maps = np.stack([read_map(row["map"]) for row in rows])
    return Evidence(
        index, rows[0]["label"], maps, np.array([row["outside"] for row in rows]), tuple(map(file_of, rows))
    )
