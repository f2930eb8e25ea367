"""Masks: one image for each object, and a table that describes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepinside.core import escape
from deepinside.core.results import Explanation
from deepinside.explanations.exports.documents import csv_row, png
from deepinside.explanations.exports.growing import growing
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names, below, class_names, short
from deepinside.explanations.exports.objects import corners, numbered, version_of
from deepinside.explanations.exports.writers import Add

MASK_COLUMNS = (
    "mask", "photo", "path", "index", "label", "wnid", "probability", "x0", "y0", "x1", "y1", "confidence", "review",
)  # fmt: skip


@contextmanager
def masks(manifest: Manifest, known: Names) -> Iterator[Add]:
    """`masks/NAME-CLASS.png`, 0 and 255, for each object of each photo, and `index.csv`, which describes them.

    There is one image per object instead of one image of class indices, since the classes of a photo are alternatives
    that overlap, and 8 bits cannot hold a thousand indices. CLASS is the index; the second object of a class is in
    `NAME-CLASS-2.png`, and so on. The folders are those of the photos.
    """
    names = dict(known)
    with growing(manifest, manifest.folder / "index.csv", csv_row(MASK_COLUMNS)) as grown:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            entry, version = manifest.number(photo), version_of(explanation)
            name = below(name)
            class_names(explanation, names)
            *parents, stem = (short(escape.file_name(part)) for part in name.with_suffix("").parts)
            rows = []
            for number, seen in numbered(explanation):
                file_name = f"{stem}-{seen.index}.png" if number == 1 else f"{stem}-{seen.index}-{number}.png"
                path = manifest.name(entry, Path("masks", *parents, file_name), f"{seen.index}-{number}")
                manifest.write(manifest.folder / path, png(seen.mask))
                texts = [path.as_posix(), name.as_posix(), os.path.abspath(photo)]
                told = [seen.index, names[seen.index], seen.wnid or "", seen.probability]
                rows.append(csv_row([*texts, *told, *corners(seen), seen.confidence, explanation.review]))
            if grown.lacks(entry, version):
                grown.append("".join(rows), entry, version)

        yield add
