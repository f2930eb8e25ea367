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
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8
from PIL import Image

from deepinside.archive.wanted import Wanted
from deepinside.core import escape
from deepinside.core.geometry import Frame
from deepinside.core.results import Detection, Explanation, Prediction, Saliency, Segmentation
from deepinside.data.masks import decoded
from deepinside.data.samples import RunLengths
from deepinside.explanations.explain import Outcome
from deepinside.explanations.export import coco_rle

Row: TypeAlias = dict[str, Any]
SIDE = 32  # cells of a small map
TINY = 1e-30  # of a map of zeros

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


def _row(number: int, found: Detection) -> Row:
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
        **dict(zip(("x0", "y0", "x1", "y1"), map(round, found.box.as_tuple()), strict=True)),
        "mask": coco_rle(found.mask),
        "energy": cut.energy,
        "unseeded": 1 - float(cut.foreground_seeds[cut.mask].mean()),
        "map": small_map(found.of_class).tobytes() if number == 1 else None,
    }


def small_map(found: Saliency) -> UInt8[np.ndarray, "32 32"]:
    """A map in the whole photo, squeezed to a square of `SIDE` cells; its largest value becomes 255.

    >>> small_map(Saliency(Frame.whole(40, 30, width=2, height=1), np.array([[0.0, 2.0]])))[5, [0, 15, 31]].tolist()
    [0, 120, 255]
    """
    frame, values = found.frame, Image.fromarray(found.map.astype(np.float32))
    width, height = min(frame.width, SIDE), min(frame.height, SIDE)  # an average of cells, not one of them
    coarse = Frame(frame.photo_width, frame.photo_height, frame.region, width, height).resized(SIDE, SIDE)
    squeezed = coarse.map_to_photo(np.asarray(values.resize((width, height), Image.Resampling.BOX)))
    return np.round(squeezed * (255 / max(float(squeezed.max()), TINY))).astype(np.uint8)


def explanations(rows: Iterable[Row], about: Mapping[str, Any]) -> Iterator[tuple[Path, Path, Explanation]]:
    """`(file, name, explanation)` of each photo in the rows of a part, without those that have no answer.

    Masks and boxes are those that were found; maps are the small ones of the classes in the whole photo. `about` is
    what the run says of itself.
    """
    names = {index: name for index, (name, _) in enumerate(about["classes"])}
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
                predictions=tuple(
                    Prediction(index, names.get(index, f"class {index}"), *numbers) for index, *numbers in top
                ),
            )
            yield Path(os.fsdecode(first["file"])), Path(first["photo"]), explanation


def photos_of(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows of each photo."""
    return (list(mine) for _, mine in groupby(rows, itemgetter("key")))


def reason_of(row: Row) -> str | None:
    """Why a photo has no answer, without its path, which a message may tell in another way; None where it has one."""
    error: str | None = row["error"]
    if error is None:
        return None
    before, told, reason = error.partition(f"{escape.encodable(os.path.basename(os.fsdecode(row['file'])))}: ")
    return reason if told and (not before or before.endswith(("/", os.sep))) else error


def map_of(row: Row) -> UInt8[np.ndarray, "32 32"]:
    """The map in a row of the first object of a class."""
    return np.frombuffer(row["map"], np.uint8).reshape(SIDE, SIDE)


def _detections(rows: Sequence[Row]) -> Iterator[Detection]:
    for row in rows:
        if row["class"] is None:
            continue
        width, height = row["width"], row["height"]
        if row["number"] == 1:
            of_class = Saliency(Frame.whole(width, height, width=SIDE, height=SIDE), map_of(row) / np.float32(255))
        whole, nowhere = Frame.whole(width, height, width=width, height=height), np.zeros((height, width), bool)
        mask = decoded(RunLengths(height, width, row["mask"]), width, height)
        cut = Segmentation(whole, mask, nowhere, nowhere, row["energy"], None, row["confidence"])
        numbers = row["score"], row["probability"]
        yield Detection(row["class"], row["label"], row["wnid"], *numbers, *of_class, cut)
