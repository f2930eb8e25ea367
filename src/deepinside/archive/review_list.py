"""The photos of a run in the order in which a person should look at them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from deepinside.archive.corrections import corrections, is_judged
from deepinside.archive.folder import part_rows
from deepinside.archive.review import reviewed
from deepinside.archive.rows import Row, file_of, photos_of
from deepinside.core import escape
from deepinside.core.errors import writing
from deepinside.core.files import atomic_write

FIGURES = [
    "error", "given", "label", "predicted", "class", "confidence", "unseeded", "top_probability", "map",
    "x0", "y0", "x1", "y1", "width", "height",
]  # fmt: skip
COLUMNS = ("review", "photo", "path", "given", "predicted", "why")


@dataclass(frozen=True)
class Waiting:
    """A photo that waits for a person, and how much it needs one, in [0, 1]."""

    need: float
    photo: str
    path: str
    given: str
    predicted: str
    why: str


def waiting(folder: Path) -> list[Waiting]:
    """The photos of a run that no person has judged, those that need one most first.

    A photo is judged when each of its objects is, see `corrections`; one without any, or that has failed, waits on.
    Raises `DeepInsideError` for a damaged part, and for damaged corrections.
    """
    said = corrections(folder)
    rows = (row for part in part_rows(folder, ["key", "photo", "file", "number", *FIGURES]) for row in part)
    found = (_waiting(photo) for photo in photos_of(rows) if not is_judged(photo, said))
    return sorted(found, key=lambda each: (-each.need, each.photo))


def _waiting(photo: Sequence[Row]) -> Waiting:
    first, review = photo[0], reviewed(photo)
    given = dict.fromkeys(row["label"] for row in photo if row["given"])
    path = escape.encodable(str(file_of(first)))
    texts = "; ".join(given), first["predicted"] or "", "; ".join(review.reasons)
    return Waiting(review.need, first["photo"], path, *texts)


def write_list(photos: Iterable[Waiting], path: Path) -> Path:
    """A table of them, in their order. Raises `DeepInsideError` where it cannot be written."""
    with writing(path, "a list"), atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        table.writerows([f"{each.need:.4f}", *astuple(each)[1:]] for each in photos)
    return path
