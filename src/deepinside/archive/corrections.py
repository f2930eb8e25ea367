"""What a person has said of the objects of a run: kept beside what was found, and never over it.

`corrections.jsonl` in the folder of the run has one line for each time that somebody has judged an object, and lines
are only added; the last one of an object counts. An object is known by the key of its photo, its class, its number and
its box as it was found, so that what was said of one that the run has found anew since, with another box, is ignored.

    {"time": "2026-11-27T09:30:00+00:00", "kind": "moved", "photo": "cats/tom.jpg", "path": "/photos/cats/tom.jpg",
     "key": 1234, "class": 281, "number": 1, "found": [12, 30, 80, 95], "box": [10, 30, 84, 96]}

The kinds are `"moved"`, to another box; `"rejected"`, since this is no such object; `"accepted"`, since it is right as
it is; and `"undone"`, so that nothing is said of it any more. Boxes are half-open, in photo pixels. What a killed
process or a full disk has cut short at the end of the file counts as never said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import index as whole
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from deepinside.archive.folder import about_run
from deepinside.archive.rows import Row, file_of, mask_of
from deepinside.core import escape
from deepinside.core.errors import DeepInsideError, brief, nearest, writing
from deepinside.core.files import lock
from deepinside.explanations.exports.run_lengths import coco_rle

FILE = "corrections.jsonl"
MOVED, REJECTED, ACCEPTED, UNDONE = KINDS = ("moved", "rejected", "accepted", "undone")
PATIENCE, PAUSE = 10.0, 0.01  # seconds: how long to wait for another process that is writing a line, and between tries

# What a row says of its object.
OF_OBJECTS = (
    "class", "label", "wnid", "number", "score", "probability", "confidence", "given", "x0", "y0", "x1", "y1", "mask",
    "energy", "unseeded", "map",
)  # fmt: skip

Corners: TypeAlias = tuple[int, int, int, int]


class Found(NamedTuple):
    """An object as a run has found it: the key of its photo, its class, its number in the class, and its box."""

    key: int
    class_index: int
    number: int
    box: Corners


@dataclass(frozen=True)
class Correction:
    """What a person has said of one object, and when.

    `kind` is one of `KINDS`, `box` the new one of a moved object, None for any other kind, and `time` is in UTC, as ISO
    8601 writes it. `photo` is the name of the photo and `path` its file, for people who read the list.
    """

    kind: str
    box: Corners | None
    time: str
    photo: str
    path: str


Corrections: TypeAlias = Mapping[Found, Correction]


def correct(folder: Path, row: Row, kind: str, box: Sequence[float] | None = None) -> Correction:
    """Keep what a person has said of an object of a run. Processes and threads may do so at a time.

    Args:
        folder: of the run.
        row: of the object, as the run has found it, with the columns `key`, `photo`, `file`, `width`, `height`,
            `class`, `number`, `x0`, `y0`, `x1` and `y1`.
        kind: one of `KINDS`.
        box: where a moved object is, (x0, y0, x1, y1), half-open, in whole photo pixels.

    Raises `DeepInsideError` for a folder without a run, a row without an object, another kind, a box that is empty, no
    rectangle of whole pixels or not inside of the photo, one for any kind but `"moved"`, and a file that cannot be
    written.
    """
    about_run(folder)
    if row["class"] is None:
        raise DeepInsideError(f"{row['photo']}: expected an object to correct, but nothing was found in this photo")
    if kind not in KINDS:
        raise DeepInsideError(f"expected a correction ({', '.join(KINDS)}), got {kind!r}; {nearest(str(kind), KINDS)}")
    moved = _checked(row, kind, box)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    correction = Correction(kind, moved, now, row["photo"], escape.encodable(str(file_of(row))))
    _append(folder / FILE, _line(found_of(row), correction))
    return correction


def corrections(folder: Path) -> dict[Found, Correction]:
    """What was said last of each object, but for what was undone; nothing where nobody has corrected anything.

    Raises `DeepInsideError` for a file that cannot be read, and for a line that is damaged, unless it is the last one
    and was cut short.
    """
    path = folder / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DeepInsideError(f"{path}: expected the corrections of a run ({error.strerror or brief(error)})") from None
    said: dict[Found, Correction] = {}
    for number, line in enumerate(content[: _whole(content)].splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found, correction = _parsed(line)
        except (ValueError, KeyError, TypeError) as error:
            raise DeepInsideError(
                f"{path}, line {number}: expected a correction, found something else ({brief(error)}); mend the line, "
                "or remove it"
            ) from None
        said[found] = correction
    return {found: correction for found, correction in said.items() if correction.kind != UNDONE}


def corrected(photo: Sequence[Row], said: Corrections) -> list[Row]:
    """All rows of a photo, as they are with what was said of them; the rows that are given stay as they are.

    A moved object has the person's box, and as its mask the part of the found one that lies within, or all of the box
    where nothing does. Rejected objects are left out; a photo without any other has a row without an object. Numbers
    stay as they were found.
    """
    maps = {row["class"]: row["map"] for row in photo if row["map"] is not None}  # with its first object, perhaps gone
    left = [row for row in photo if _kind(row, said) != REJECTED]
    if not left:
        return [photo[0] | dict.fromkeys(OF_OBJECTS)]
    return [_as_said(row, said) | {"map": maps.pop(row["class"], None)} for row in left]


def is_judged(photo: Sequence[Row], said: Corrections) -> bool:
    """Whether a person has judged every object of a photo; one without any cannot be judged."""
    return all(row["class"] is not None and found_of(row) in said for row in photo)


def found_of(row: Row) -> Found:
    """The object of a row, as the run has found it."""
    return Found(row["key"], row["class"], row["number"], (row["x0"], row["y0"], row["x1"], row["y1"]))


def _kind(row: Row, said: Corrections) -> str | None:
    correction = said.get(found_of(row))
    return correction.kind if correction else None


def _as_said(row: Row, said: Corrections) -> Row:
    """A row with the person's box, where there is one, and the mask within it."""
    correction = said.get(found_of(row))
    if correction is None or correction.box is None:
        return row
    x0, y0, x1, y1 = correction.box
    inside = np.zeros((row["height"], row["width"]), dtype=bool)
    inside[y0:y1, x0:x1] = True
    mask = mask_of(row) & inside
    return row | {"x0": x0, "y0": y0, "x1": x1, "y1": y1, "mask": coco_rle(mask if mask.any() else inside)}


def _checked(row: Row, kind: str, box: Sequence[float] | None) -> Corners | None:
    """The box of a correction as plain integers."""
    if kind != MOVED:
        if box is not None:
            raise DeepInsideError(f"expected a box with the kind {MOVED!r} alone, got one with {kind!r}; leave it out")
        return None
    corners = _corners(box)
    if corners is not None:
        x0, y0, x1, y1 = corners
        if 0 <= x0 < x1 <= row["width"] and 0 <= y0 < y1 <= row["height"]:
            return corners
    raise DeepInsideError(
        f"{row['photo']}: expected a box (x0, y0, x1, y1) of whole pixels, x0 < x1 and y0 < y1, inside of the photo's "
        f"{row['width']} x {row['height']} pixels, got {brief(ValueError(box))}; round it and clip it to the photo"
    )


def _corners(values: Any) -> Corners | None:
    """Four whole numbers of any library, also those that are floats; None for anything else."""
    try:
        x0, y0, x1, y1 = values
        corners = int(x0), int(y0), int(x1), int(y1)
        return corners if corners == (x0, y0, x1, y1) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _line(found: Found, correction: Correction) -> bytes:
    told = asdict(correction)
    box = told.pop("box")
    of_object = {"key": found.key, "class": found.class_index, "number": found.number, "found": found.box, "box": box}
    return json.dumps({**told, **of_object}, ensure_ascii=False).encode() + b"\n"


def _parsed(line: bytes) -> tuple[Found, Correction]:
    """A line of the file. Raises `ValueError`, `KeyError` or `TypeError` for any other."""
    told = json.loads(line)
    kind, found, box = told["kind"], _corners(told["found"]), told["box"]
    moved = _corners(box)
    if kind not in KINDS or found is None or (kind == MOVED) != (moved is not None) or (moved is None) != (box is None):
        raise ValueError(f"kind {kind!r}, found {told['found']!r}, box {box!r}")
    key, class_index, number = (whole(told[name]) for name in ("key", "class", "number"))
    texts = (str(told[name]) for name in ("time", "photo", "path"))
    return Found(key, class_index, number, found), Correction(kind, moved, *texts)


def _whole(content: bytes) -> int:
    """How many bytes of a file are whole lines: its last one may have been cut short, or lack its end alone."""
    tail = content.rfind(b"\n") + 1
    try:
        json.loads(content[tail:])
    except ValueError:
        return tail
    return len(content)


def _append(path: Path, line: bytes) -> None:
    """Add a line, whole or not at all, after what others have written."""
    with writing(path, "a correction"), _locked(path) as descriptor:
        size = _mended(descriptor)
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            os.ftruncate(descriptor, size)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The descriptor of a file that nobody else is writing to for the time of the block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        give_up = monotonic() + PATIENCE
        with suppress(OSError):  # a file system without locks
            while not lock(descriptor):
                if monotonic() > give_up:
                    raise DeepInsideError(f"{path}: another process has been writing for {PATIENCE:.0f} s; try again")
                sleep(PAUSE)
        yield descriptor
    finally:
        os.close(descriptor)


def _mended(descriptor: int) -> int:
    """The size of the file, once its last line ends: what was cut short is removed, since no line may follow it."""
    size = os.fstat(descriptor).st_size
    os.lseek(descriptor, max(size - 1, 0), os.SEEK_SET)
    if os.read(descriptor, 1) in (b"", b"\n"):
        return size
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = b"".join(iter(lambda: os.read(descriptor, 2**20), b""))
    size = _whole(content)
    os.ftruncate(descriptor, size)
    if size and content[size - 1 : size] != b"\n":
        os.write(descriptor, b"\n")
        size += 1
    return size
