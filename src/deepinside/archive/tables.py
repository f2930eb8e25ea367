"""Tables and lists of photos, with labels or without: CSV, TSV, Parquet, JSON lines, and a path a line in `.txt`.

A photo may have several rows, or several labels in one, separated by semicolons. Paths are relative to the table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import is_file
from deepinside.core.text import read_table, read_text
from deepinside.data.samples import photo_of
from deepinside.data.tables import PHOTOS

PHOTO_COLUMNS = (*PHOTOS, "file", "filename", "file_name")  # the first one that there is
LABEL_COLUMNS = ("label", "labels", "class")
METADATA = "metadata"  # the table in a folder of Hugging Face's `imagefolder`, or of each split in it
TOLD = 3  # unknown labels that a message names


class Line(NamedTuple):
    """A photo and its labels; `where` is what messages call it, such as `line 3`."""

    where: str
    photo: Any
    labels: list[str] | None  # None where the table has none


def is_table(path: Path) -> bool:
    """Whether this is a table or a list, by its suffix."""
    return path.suffix.lower() in READERS and is_file(path)


def metadata_tables(folder: Path) -> list[Path]:
    """The tables of an `imagefolder`: in the folder itself, or in each of the folders in it."""
    places = [(folder / f"{METADATA}{suffix}") for suffix in READERS]
    if found := [path for path in places if is_file(path)]:
        return found
    return sorted(path for suffix in READERS for path in _glob(folder, f"*/{METADATA}{suffix}"))


def rows_of_table(
    path: Path, find: Callable[[str], int], root: Path | None = None
) -> Iterator[tuple[Path, Path, tuple[int, ...]]]:
    """`(photo, name, classes)` of each row.

    Args:
        path: of the table.
        find: the class of a label.
        root: the folder to which the names in the result are relative; by default that of the table.

    Raises `DeepInsideError` for a table without rows or without a column of photos, a row without a photo or a label,
    and labels that are none of the network's.
    """
    lines = list(READERS[path.suffix.lower()](path))
    if not lines:
        raise DeepInsideError(f"{path}: expected a table with a photo in each row, found no rows")
    for line in lines:
        if not isinstance(line.photo, str) or not line.photo:
            raise DeepInsideError(f"{path}, {line.where}: expected the path of a photo, got {line.photo!r}")
        if line.labels == []:
            raise DeepInsideError(f"{path}, {line.where}: expected a label, found none")
    classes = find_labels(path, (label for line in lines for label in line.labels or ()), find)
    for line in lines:
        photo = photo_of(line.photo, path.parent)
        above = root or path.parent
        name = photo.relative_to(above) if photo.is_relative_to(above) else Path(photo.name)
        yield photo, name, tuple(dict.fromkeys(classes[label] for label in line.labels or ()))


def find_labels(path: Path, labels: Iterable[str], find: Callable[[str], int]) -> dict[str, int]:
    """The class of each label. Raises `DeepInsideError` with the most frequent unknown ones."""
    known: dict[str, int] = {}
    unknown: dict[str, DeepInsideError] = {}
    often: Counter[str] = Counter()
    for label in labels:
        if label not in known and label not in unknown:
            try:
                known[label] = find(label)
            except DeepInsideError as error:
                unknown[label] = error
        if label in unknown:
            often[label] += 1
    if unknown:
        first = [label for label, _ in often.most_common(TOLD)]
        raise DeepInsideError(
            f"{path}: expected labels that are classes of the network; {len(unknown)} of {len(known) + len(unknown)} "
            f"are not: {', '.join(map(repr, first))}{', ...' if len(unknown) > TOLD else ''} ({unknown[first[0]]})"
        )
    return known


def _text(path: Path) -> Iterator[Line]:
    table = read_table(path, {*PHOTO_COLUMNS, *LABEL_COLUMNS})
    photo, label = _columns(path, table.columns)
    for row in table.rows:
        if row.complaint:
            raise DeepInsideError(f"{path}, line {row.line}: {row.complaint}")
        yield Line(f"line {row.line}", row.get(photo), _several(row.get(label)) if label else None)


def _parquet(path: Path) -> Iterator[Line]:
    from pyarrow import ArrowException, parquet

    try:
        photo, label = _columns(path, parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=[photo, *([label] if label else [])])
    except (ArrowException, OSError) as error:
        raise DeepInsideError(f"{path}: expected a Parquet table ({brief(error)})") from None
    for number, row in enumerate(table.to_pylist(), start=1):
        yield Line(f"row {number}", row[photo], _labels(row[label]) if label else None)


def _json_lines(path: Path) -> Iterator[Line]:
    columns: tuple[str, str | None] | None = None
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise DeepInsideError(f"{path}, line {number}: expected a JSON object ({brief(error)})") from None
        if not isinstance(row, dict):
            raise DeepInsideError(f"{path}, line {number}: expected a JSON object, got {text[:40]!r}")
        columns = columns or _columns(path, row)
        photo, label = columns
        yield Line(f"line {number}", row.get(photo), _labels(row.get(label)) if label else None)


def _list(path: Path) -> Iterator[Line]:
    lines = enumerate(read_text(path).splitlines(), start=1)
    return (Line(f"line {number}", text.strip(), None) for number, text in lines if text.strip())


READERS: Mapping[str, Callable[[Path], Iterator[Line]]] = MappingProxyType(
    {".csv": _text, ".tsv": _text, ".parquet": _parquet, ".jsonl": _json_lines, ".txt": _list}
)


def _columns(path: Path, names: Iterable[str]) -> tuple[str, str | None]:
    """The column of the photo and that of the label, if there is one."""
    names = list(names)
    photo, label = (next((name for name in known if name in names), None) for known in (PHOTO_COLUMNS, LABEL_COLUMNS))
    if photo is None:
        raise DeepInsideError(
            f"{path}: expected a column with the photos ({', '.join(PHOTO_COLUMNS)}), found {', '.join(names[:12])}"
        )
    return photo, label


def _labels(value: object) -> list[str]:
    """What a cell of a typed table holds: a list, a text, a number or nothing."""
    if isinstance(value, list):
        return [str(each) for each in value]
    return [] if value is None else _several(str(value))


def _several(text: str) -> list[str]:
    return [label for each in text.split(";") if (label := each.strip())]


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return [path for path in folder.glob(pattern) if is_file(path)]
    except OSError:
        return []
