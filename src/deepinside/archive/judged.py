"""A run judged against ground truth: what `evaluate` would find anew is read from the rows, and no network is loaded.

A photo of the data set is that of the run with the same absolute path. Where the data set or the run's photos have
moved, it is the only one whose path ends in the photo's name below the data set's root.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from deepinside.archive.folder import about_run, part_rows
from deepinside.archive.rows import Row, labels_of, mask_of, photos_of
from deepinside.archive.small_maps import SIDE, read_map
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.labels import Labels
from deepinside.core.threads import in_batches
from deepinside.data.boxes import Sample
from deepinside.evaluation.cases import Asked, annotated, failure
from deepinside.evaluation.masks import Mask
from deepinside.evaluation.results import Found, Judged

BATCH = 32  # photos that a thread judges at a time
COLUMNS = (
    "key", "file", "width", "height", "top", "class", "number", "score", "confidence", "x0", "y0", "x1", "y1",
    "mask", "map", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Judgeable:
    """A run and a data set: the network of the run, its preset, and which sample each photo file of the run is.

    `moved` counts the photos that were found by their names. `lacking` are the samples without a photo in the run.
    """

    folder: Path
    model: str
    preset: str
    labels: Labels
    samples: Mapping[bytes, Sample]
    moved: int
    lacking: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.samples) + len(self.lacking)


def judgeable(folder: Path, samples: Iterable[Sample], root: Path) -> Judgeable:
    """What a run has of a data set. Raises `DeepInsideError` for a folder without a run.

    Args:
        folder: of the run, finished or not.
        samples: of the data set.
        root: of the data set, below which photos have their names.
    """
    about = about_run(folder)
    files = list(dict.fromkeys(row["file"] for rows in part_rows(folder, ["file"]) for row in rows))
    by_path = {os.fsencode(os.path.abspath(sample.path)): sample for sample in samples}
    found = {file: by_path.pop(file) for file in files if file in by_path}
    moved = _by_name(by_path, (file for file in files if file not in found), os.fsencode(os.path.abspath(root)))
    used = {id(sample) for sample in moved.values()}
    lacking = [sample for sample in by_path.values() if id(sample) not in used]
    return Judgeable(folder, about["model"], about["preset"], labels_of(about), {**found, **moved}, len(moved), lacking)


def judge_run(asked: Judgeable) -> Iterator[Judged]:
    """What the run has found in each photo of the data set, in the run's order, and then what it lacks.

    Of several classes of the ground truth with equally large boxes, none of which is among the five likeliest, the one
    is asked about that is likeliest of those that the run has looked for. A photo in which it has not looked for the
    class asked about is a case in which the preset has found nothing.
    """
    photos = (
        (asked.samples[photo[0]["file"]], photo)
        for rows in part_rows(asked.folder, COLUMNS)
        for photo in photos_of(rows)
        if photo[0]["file"] in asked.samples
    )
    yield from in_batches(partial(_judged, asked), photos, BATCH)
    for sample in asked.lacking:
        yield failure(sample, sample.error or DeepInsideError("expected a photo of the run, found none in it"))


def _judged(asked: Judgeable, batch: Sequence[tuple[Sample, Sequence[Row]]]) -> list[Judged]:
    judged: list[Judged] = []
    for sample, rows in batch:
        try:
            judged.append(_case(asked, sample, rows))
        except DeepInsideError as error:
            judged.append(failure(sample, error))
    return judged


def _case(run: Judgeable, sample: Sample, rows: Sequence[Row]) -> Judged:
    first = rows[0]
    if first["error"]:
        raise DeepInsideError(first["error"])
    looked_for = [row for row in rows if row["class"] is not None]
    by_score = sorted((row for row in looked_for if row["number"] == 1), key=lambda row: -row["score"])
    ranking = dict.fromkeys([*first["top"], *(row["class"] for row in by_score)])
    known = annotated(sample, first["width"], first["height"], run.labels, run.model)
    asked = known.about(known.asked(tuple(ranking)))
    mine = [row for row in looked_for if row["class"] == asked.index]
    found = {run.preset: _found(asked, mine) if mine else Found(), **asked.image_free()}
    return asked.case(sample, first["top"], run.labels, found)


def _found(asked: Asked, rows: Sequence[Row]) -> Found:
    """What the run has found of the class asked about, from the rows of its objects, the surest first."""
    frame = Frame.whole(asked.width, asked.height, width=SIDE, height=SIDE)
    objects = np.array([[row[name] for name in ("x0", "y0", "x1", "y1", "confidence")] for row in rows], np.float64)
    return asked.of_objects(
        objects, partial(_union, rows), asked.of_map(read_map(rows[0]["map"]) / np.float32(255), frame)
    )


def _union(rows: Sequence[Row]) -> Mask:
    return np.asarray(np.logical_or.reduce(list(map(mask_of, rows))))


def _by_name(samples: Mapping[bytes, Sample], files: Iterable[bytes], root: bytes) -> dict[bytes, Sample]:
    """The files whose path ends in the name of one sample alone, and no other file's does."""
    names: dict[bytes, list[tuple[bytes, Sample]]] = {}
    for path, sample in samples.items():
        name = b"/" + os.path.relpath(path, root if os.path.isdir(root) else os.path.dirname(root))
        names.setdefault(os.path.basename(path), []).append((name, sample))
    pairs = [
        (file, sample)
        for file in files
        for name, sample in names.get(os.path.basename(file), ())
        if file.endswith(name)
    ]
    of_file, of_sample = Counter(file for file, _ in pairs), Counter(id(sample) for _, sample in pairs)
    return {file: sample for file, sample in pairs if of_file[file] == of_sample[id(sample)] == 1}
