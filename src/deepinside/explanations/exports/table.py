"""CSV: one table of all objects, for spreadsheets and for `deepinside run` and `evaluate`, which read it as well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepinside.core.results import Detection, Explanation
from deepinside.explanations.exports.documents import csv_row
from deepinside.explanations.exports.growing import growing
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names, below, class_names
from deepinside.explanations.exports.objects import corners, numbered, version_of
from deepinside.explanations.exports.writers import Add

COLUMNS = (
    "photo", "path", "width", "height", "index", "label", "wnid", "number", "score", "probability", "confidence",
    "x0", "y0", "x1", "y1", "review",
)  # fmt: skip
OF_OBJECTS = len(COLUMNS) - len(("photo", "path", "width", "height", "review"))


@contextmanager
def table(manifest: Manifest, known: Names) -> Iterator[Add]:
    """`objects.csv`: a row for each object, and one with empty cells for a photo without any.

    `score` is the logit of the class, and `number` counts the objects of a class from 1, the surest first. The box is
    half-open, in photo pixels.
    """
    names = dict(known)
    with growing(manifest, manifest.folder / "objects.csv", csv_row(COLUMNS)) as grown:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            entry, version = manifest.number(photo), version_of(explanation)
            if not grown.lacks(entry, version):
                return
            class_names(explanation, names)
            of_photo = [below(name).as_posix(), os.path.abspath(photo), explanation.width, explanation.height]
            rows = of_objects(explanation, names) or [(None,) * OF_OBJECTS]
            grown.append("".join(csv_row([*of_photo, *row, explanation.review]) for row in rows), entry, version)

        yield add


def of_objects(explanation: Explanation, names: Names) -> list[tuple[object, ...]]:
    """What each object has in the columns from `index` to `y1`; `names` are those of its classes."""
    return [
        (seen.index, names[seen.index], seen.wnid, number, *_numbers(seen)) for number, seen in numbered(explanation)
    ]


def _numbers(seen: Detection) -> tuple[float, ...]:
    return seen.score, seen.probability, seen.confidence, *corners(seen)
