"""The table of a run: one row for each object, and one for a photo without any or that could not be read.

Rows of one photo stand together, in one part. Columns are plain, so that any reader of Parquet can use them:

    key                   of the file and its classes: a run answers each key once
    file_key              of the file alone: of a file that was asked for again, the last rows count
    photo, file           its name for people, and the file's absolute path in the system's own bytes
    width, height         in pixels of the upright photo
    predicted             the likeliest class of the photo, by name
    top                   its likeliest classes, whatever was looked for
    top_score             their logits
    top_probability       their probabilities
    class, label, wnid    null where the photo has no object
    number                of the object in its class, from 1, the surest first
    score, probability    of the class in the whole photo: the logit, and what the network makes of it
    confidence            that this is an object of the class
    given                 whether somebody has given the class, in a table or by a folder
    x0, y0, x1, y1        the box, half-open, in photo pixels
    mask                  COCO's compressed run lengths
    energy                of the cut, in nats
    unseeded              the share of the mask outside of its seeds, which the cut alone has added
    map                   of the class in the whole photo, with its first object: 32 x 32 bytes, row by row, the photo
                          squeezed to a square; the largest value is 255
    seconds               the share of the photo in the time that its batch took
    error                 why there is no answer
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deepinside.archive.review import need
from deepinside.archive.rows import Row, box_of, file_of, labels_of, mask_of, photos_of
from deepinside.archive.small_maps import SIDE, read_map, small_map
from deepinside.archive.wanted import Wanted
from deepinside.core import escape, results
from deepinside.core.geometry import Frame
from deepinside.core.results import Prediction, Saliency, Segmentation
from deepinside.explanations.explain import Outcome
from deepinside.explanations.exports.objects import corners
from deepinside.explanations.exports.run_lengths import coco_rle
from deepinside.explanations.results import Detection, Explanation

SCHEMA = pa.schema([
    ("key", pa.uint64()), ("file_key", pa.uint64()),
    ("photo", pa.string()), ("file", pa.binary()), ("width", pa.int32()), ("height", pa.int32()),
    ("predicted", pa.string()), ("top", pa.list_(pa.int32())),
    ("top_score", pa.list_(pa.float64())), ("top_probability", pa.list_(pa.float64())),
    ("class", pa.int32()), ("label", pa.string()), ("wnid", pa.string()), ("number", pa.int32()),
    ("score", pa.float64()), ("probability", pa.float64()), ("confidence", pa.float64()), ("given", pa.bool_()),
    ("x0", pa.int32()), ("y0", pa.int32()), ("x1", pa.int32()), ("y1", pa.int32()),
    ("mask", pa.string()), ("energy", pa.float64()), ("unseeded", pa.float64()), ("map", pa.binary()),
    ("seconds", pa.float64()), ("error", pa.string()),
])  # fmt: skip


def key_of(wanted: Wanted) -> int:
    """64 bits of a digest of the file and its classes."""
    return _digest(_file(wanted) + repr(sorted(wanted.classes)).encode())


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def _file(wanted: Wanted) -> bytes:
    return os.fsencode(os.path.abspath(wanted.path))


def rows_of(wanted: Wanted, outcome: Outcome, least: float, top: int = 0) -> list[Row]:
    """The rows of a photo: of the classes that it was given, of its `top` likeliest, and else of the likely ones.

    Args:
        wanted: the photo.
        outcome: of it.
        least: the probability of a class that is likely enough without a label.
        top: how many of the likeliest classes have rows, however unlikely they are.
    """
    file = _file(wanted)
    about = {
        "key": key_of(wanted),
        "file_key": _digest(file),
        "photo": escape.encodable(wanted.name.as_posix()),
        "file": file,
        "seconds": outcome.seconds,
    }
    if outcome.explanation is None:
        reason = str(outcome.error).removeprefix(f"{wanted.path}: ")  # which is a row's own photo
        return [about | {"error": escape.encodable(reason)}]
    found = outcome.explanation
    top_classes = [each.index for each in found.predictions]
    about |= {
        "width": found.width,
        "height": found.height,
        "predicted": escape.encodable(found.predictions[0].label),
        "top": top_classes,
        "top_score": [each.score for each in found.predictions],
        "top_probability": [each.probability for each in found.predictions],
    }
    kept = {*wanted.classes, *top_classes[:top]}
    return [
        about | _row(number, each) | {"given": each.index in wanted.classes}
        for mine in found.by_class
        if mine[0].index in kept or (not wanted.classes and mine[0].probability >= least)
        for number, each in enumerate(mine, start=1)
    ] or [about]


def _row(number: int, found: results.Detection) -> Row:
    cut = found.segmentation
    assert cut is not None
    return {
        "class": found.index,
        "label": escape.encodable(found.label),
        "wnid": found.wnid,
        "number": number,
        "score": found.score,
        "probability": found.probability,
        "confidence": found.confidence,
        **dict(zip(("x0", "y0", "x1", "y1"), corners(found), strict=True)),
        "mask": coco_rle(found.mask),
        "energy": cut.energy,
        "unseeded": 1 - float(cut.foreground_seeds[cut.mask].mean()),
        "map": small_map(found.of_class).tobytes() if number == 1 else None,
    }


def explanations(rows: Iterable[Row], about: Mapping[str, Any]) -> Iterator[tuple[Path, Path, Explanation]]:
    """`(file, name, explanation)` of each photo in the rows of a run, without those that have no answer.

    Masks and boxes are those of the rows; maps are the small ones of the classes in the whole photo. `about` is
    what the run says of itself.
    """
    labels = labels_of(about)
    for photo in photos_of(rows):
        first = photo[0]
        if first["error"] is None:
            top = zip(first["top"], first["top_score"], first["top_probability"], strict=True)
            explanation = Explanation(
                first["photo"],
                first["width"],
                first["height"],
                about["model"],
                about["preset"],
                tuple(_detections(photo)),
                predictions=tuple(Prediction(index, labels.name(index), *numbers) for index, *numbers in top),
                review=need(photo),
                photo=file_of(first),
            )
            yield file_of(first), Path(first["photo"]), explanation


def _detections(rows: Sequence[Row]) -> Iterator[Detection]:
    for row in rows:
        if row["class"] is None:
            continue
        width, height = row["width"], row["height"]
        if row["map"] is not None:
            of_class = Saliency(
                Frame.whole(width, height, width=SIDE, height=SIDE), read_map(row["map"]) / np.float32(255)
            )
        whole, nowhere = Frame.whole(width, height, width=width, height=height), np.zeros((height, width), bool)
        cut = Segmentation(whole, mask_of(row), nowhere, nowhere, row["energy"], None, row["confidence"], box_of(row))
        numbers = row["score"], row["probability"]
        about = row["class"], row["label"], row["wnid"]
        yield Detection(*about, *numbers, *of_class, cut, photo=file_of(row))
