"""The table of a run: one row for each object, and one for a photo without any or that could not be read.

Rows of one photo stand together, in one part. Columns are plain, so that any reader of Parquet can use them:

    key                   of the file and its classes: a run answers each key once
    file_key              of the file alone: of a file that was asked for again, the last rows count
    photo, file           its name for people, and the file's absolute path in the system's own bytes
    width, height         in pixels of the upright photo
    class, label, wnid    null where the photo has no object
    number                of the object in its class, from 1, the surest first
    score, probability    of the class in the whole photo: the logit, and what the network makes of it
    confidence            that this is an object of the class
    x0, y0, x1, y1        the box, half-open, in photo pixels
    mask                  COCO's compressed run lengths
    energy                of the cut, in nats
    seconds               the share of the photo in the time that its batch took
    error                 why there is no answer
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from deepinside.archive.wanted import Wanted
from deepinside.core import escape
from deepinside.core.geometry import Frame
from deepinside.core.results import Detection, Explanation, Segmentation
from deepinside.data.masks import decoded
from deepinside.data.samples import RunLengths
from deepinside.explanations.explain import Outcome
from deepinside.explanations.exports.run_lengths import coco_rle

Row: TypeAlias = dict[str, Any]

SCHEMA = pa.schema([
    ("key", pa.uint64()), ("file_key", pa.uint64()),
    ("photo", pa.string()), ("file", pa.binary()), ("width", pa.int32()), ("height", pa.int32()),
    ("class", pa.int32()), ("label", pa.string()), ("wnid", pa.string()), ("number", pa.int32()),
    ("score", pa.float64()), ("probability", pa.float64()), ("confidence", pa.float64()),
    ("x0", pa.int32()), ("y0", pa.int32()), ("x1", pa.int32()), ("y1", pa.int32()),
    ("mask", pa.string()), ("energy", pa.float64()), ("seconds", pa.float64()), ("error", pa.string()),
])  # fmt: skip


def key_of(wanted: Wanted) -> int:
    """64 bits of a digest of the file and its classes."""
    return _digest(_file(wanted) + repr(sorted(wanted.classes)).encode())


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def _file(wanted: Wanted) -> bytes:
    return os.fsencode(os.path.abspath(wanted.path))


def rows_of(wanted: Wanted, outcome: Outcome, least: float) -> list[Row]:
    """The rows of a photo; of one without labels, the classes of at least that probability."""
    about = {
        "key": key_of(wanted),
        "file_key": _digest(_file(wanted)),
        "photo": escape.encodable(wanted.name.as_posix()),
        "file": _file(wanted),
        "seconds": outcome.seconds,
    }
    if outcome.explanation is None:
        return [about | {"error": escape.encodable(str(outcome.error))}]
    found = outcome.explanation
    about |= {"width": found.width, "height": found.height}
    kept = [mine for mine in found.by_class if wanted.classes or mine[0].probability >= least]
    return [about | _row(number, each) for mine in kept for number, each in enumerate(mine, start=1)] or [about]


def _row(number: int, found: Detection) -> Row:
    assert found.segmentation is not None
    return {
        "class": found.index,
        "label": escape.encodable(found.label),
        "wnid": found.wnid,
        "number": number,
        "score": found.score,
        "probability": found.probability,
        "confidence": found.confidence,
        **dict(zip(("x0", "y0", "x1", "y1"), map(round, found.box.as_tuple()), strict=True)),
        "mask": coco_rle(found.mask),
        "energy": found.segmentation.energy,
    }


def explanations(rows: Sequence[Row], model: str, preset: str) -> Iterator[tuple[Path, Path, Explanation]]:
    """`(file, name, explanation)` of each photo in the rows of a part, without those that have no answer.

    Masks and boxes are those that were found; there are no maps.
    """
    for _, group in groupby(rows, itemgetter("key")):
        mine = list(group)
        first = mine[0]
        if first["error"] is None:
            objects = tuple(_detection(row) for row in mine if row["class"] is not None)
            explanation = Explanation(first["photo"], first["width"], first["height"], model, preset, objects)
            yield Path(os.fsdecode(first["file"])), Path(first["photo"]), explanation


def _detection(row: Row) -> Detection:
    size = (row["height"], row["width"])
    mask = decoded(RunLengths(*size, row["mask"]), row["width"], row["height"])
    whole, nowhere = Frame.whole(row["width"], row["height"], width=size[1], height=size[0]), np.zeros(size, bool)
    found = Segmentation(whole, mask, nowhere, nowhere, row["energy"], None, row["confidence"])
    label, numbers = row["label"], (row["score"], row["probability"])
    point = Frame.whole(row["width"], row["height"], width=1, height=1)
    return Detection(row["class"], label, row["wnid"], *numbers, point, np.zeros((1, 1), np.float32), found)
