"""Tables with one box per row: `image,label,x0,y0,x1,y1`, in half-open photo pixels, and perhaps a `mask` file.

The table that exports write beside their masks has the photos in `path`, and is read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from deepinside.core.errors import DeepInsideError
from deepinside.core.files import is_file
from deepinside.core.geometry import Box
from deepinside.core.label_files import is_wnid
from deepinside.core.text import Row, Table, read_table
from deepinside.data.samples import Annotation, NoBoxesError, Sample, broken, photo_of, proper, sample_of

COLUMNS = ("image", "label", "x0", "y0", "x1", "y1")  # of a table, in any order; `mask` and `wnid` are optional
PHOTOS = ("image", "path", "photo")  # columns that name the photo, the first one that there is
SUFFIXES = (".csv", ".tsv")
TOLD = 12  # columns of another table that a message names


def read_tables(root: Path) -> Iterator[Sample] | None:
    """The photos of a table, or of the first table with the right columns in a folder.

    Raises `NoBoxesError` for tables without these columns, with those that were found.
    """
    refused = []
    for path in _candidates(root):
        try:
            table = read_table(path, {*COLUMNS, *PHOTOS})
        except DeepInsideError as error:
            refused.append(str(error))
            continue
        photos = next((name for name in PHOTOS if name in table.columns), None)
        if photos and set(COLUMNS[1:]) <= set(table.columns):
            return _samples(path, table, photos)
        refused.append(f"{path}: expected the columns {','.join(COLUMNS)}, found the columns {_told(table)}")
    if refused:
        raise NoBoxesError("; ".join(refused[:3]))
    return None


def _candidates(root: Path) -> list[Path]:
    files = [root] if is_file(root) else sorted(root.iterdir()) if root.is_dir() else []
    return [path for path in files if path.suffix.lower() in SUFFIXES and is_file(path)]


def _told(table: Table) -> str:
    names = [name[:30] for name in table.columns[:TOLD]]
    return " ".join((",".join(names) + (",..." if len(table.columns) > TOLD else "")).split()) or "of an empty file"


def _samples(path: Path, table: Table, photos: str) -> Iterator[Sample]:
    gathered: dict[str, list[Row]] = {}
    for row in table.rows:
        if row.get(photos):
            gathered.setdefault(row.get(photos), []).append(row)
        else:
            yield broken(
                path, f"line {row.line}: expected the name of a photo, found none ({row.complaint or 'empty'})"
            )
    for name, rows in gathered.items():
        yield sample_of(photo_of(name, path.parent), partial(_annotations, path, table, rows))


def _annotations(path: Path, table: Table, rows: Iterable[Row]) -> Iterator[Annotation]:
    for row in rows:
        missing = [column for column in COLUMNS[1:] if not row.get(column)]
        if missing or (row.complaint and len(row.fields) == len(table.columns)):
            raise DeepInsideError(f"{path}, line {row.line}: {row.complaint or f'expected a value for {missing[0]}'}")
        try:
            box = proper(Box(*(table.number(row.get(column)) for column in COLUMNS[2:])))
        except (ValueError, DeepInsideError) as error:
            raise DeepInsideError(f"{path}, line {row.line}: its boxes cannot be read ({error})") from None
        mask, wnid = row.get("mask"), row.get("wnid")
        yield Annotation(
            box,
            wnid=wnid if is_wnid(wnid) else None,
            name=row.get("label"),
            mask=photo_of(mask, path.parent) if mask else None,
        )
