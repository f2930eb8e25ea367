"""What a run is asked for: photos, alone or with the classes that somebody has given them.

A source is a photo, a folder of photos, or a table, `.csv`, `.tsv` or `.parquet`, with a photo and perhaps a label in
each row. A photo may have several rows, or several labels in one, separated by semicolons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import distinct_name
from deepinside.core.images import find_photos
from deepinside.core.text import is_file, read_table
from deepinside.data.samples import photo_of
from deepinside.data.tables import PHOTOS

PHOTO_COLUMNS = (*PHOTOS, "file", "filename", "file_name")  # the first one that there is
LABEL_COLUMNS = ("label", "labels", "class")
TABLES = (".csv", ".tsv", ".parquet")
TOLD = 3  # unknown labels that a message names


@dataclass(frozen=True)
class Wanted:
    """A photo file, its name for the files that are written, and the classes to look for; none for the likeliest."""

    path: Path
    name: Path
    classes: tuple[int, ...] = ()


def wanted_of(sources: Iterable[Path], find: Callable[[str], int]) -> list[Wanted]:
    """All photos of the sources, each once, in their order.

    Args:
        sources: photos, folders and tables.
        find: the class of a label, such as `classifier.labels.find`; raises `DeepInsideError` for an unknown one.

    Raises `DeepInsideError` for a folder or a table without photos, a table that cannot be read, and labels that are
    none of the network's.
    """
    found: dict[Path, tuple[Path, dict[int, None]]] = {}
    for source in sources:
        if source.suffix.lower() in TABLES and is_file(source):
            pairs = _of_table(source, find)
        else:
            pairs = ((path, name, ()) for path, name in find_photos([source]))
        for path, name, classes in pairs:
            found.setdefault(path, (name, {}))[1].update(dict.fromkeys(classes))
    taken: set[str] = set()
    return [
        Wanted(path, distinct_name(name, taken, with_suffix=False), tuple(classes))
        for path, (name, classes) in found.items()
    ]


def _of_table(path: Path, find: Callable[[str], int]) -> Iterator[tuple[Path, Path, tuple[int, ...]]]:
    rows = list(_parquet(path) if path.suffix.lower() == ".parquet" else _text(path))
    if not rows:
        raise DeepInsideError(f"{path}: expected a table with a photo in each row, found no rows")
    classes = _classes(path, [label for _, labels in rows for label in labels], find)
    for name, labels in rows:
        photo = photo_of(name, path.parent)
        shown = Path(photo.name) if Path(name).is_absolute() else Path(name)
        yield photo, shown, tuple(classes[label] for label in labels)


def _classes(path: Path, labels: list[str], find: Callable[[str], int]) -> dict[str, int]:
    """The class of each label. Raises `DeepInsideError` with the most frequent unknown ones."""
    known, unknown = {}, {}
    for label in dict.fromkeys(labels):
        try:
            known[label] = find(label)
        except DeepInsideError as error:
            unknown[label] = error
    if unknown:
        often = [label for label, _ in Counter(label for label in labels if label in unknown).most_common(TOLD)]
        raise DeepInsideError(
            f"{path}: expected labels that are classes of the network; {len(unknown)} of {len(known) + len(unknown)} "
            f"are not: {', '.join(map(repr, often))}{', ...' if len(unknown) > TOLD else ''} ({unknown[often[0]]})"
        )
    return known


def _text(path: Path) -> Iterator[tuple[str, list[str]]]:
    table = read_table(path, {*PHOTO_COLUMNS, *LABEL_COLUMNS})
    photo, label = _columns(path, table.columns)
    for row in table.rows:
        if row.complaint or not row.get(photo):
            raise DeepInsideError(f"{path}, line {row.line}: {row.complaint or 'expected a photo, found none'}")
        labels = _several(row.get(label)) if label else []
        if label and not labels:
            raise DeepInsideError(f"{path}, line {row.line}: expected a label, found none")
        yield row.get(photo), labels


def _parquet(path: Path) -> Iterator[tuple[str, list[str]]]:
    from pyarrow import ArrowException, parquet

    try:
        names = parquet.read_schema(path).names
        photo, label = _columns(path, names)
        table = parquet.read_table(path, columns=[photo, *([label] if label else [])])
    except (ArrowException, OSError) as error:
        raise DeepInsideError(f"{path}: expected a Parquet table ({brief(error)})") from None
    for number, row in enumerate(table.to_pylist(), start=1):
        if not isinstance(row[photo], str) or not row[photo]:
            raise DeepInsideError(f"{path}, row {number}: expected the path of a photo, got {row[photo]!r}")
        given = row[label] if label else []
        labels = [str(each) for each in given] if isinstance(given, list) else _several(str(given or ""))
        if label and not labels:
            raise DeepInsideError(f"{path}, row {number}: expected a label, found none")
        yield row[photo], labels


def _columns(path: Path, names: Iterable[str]) -> tuple[str, str | None]:
    """The column of the photo and that of the label, if there is one."""
    names = list(names)
    photo, label = (next((name for name in known if name in names), None) for known in (PHOTO_COLUMNS, LABEL_COLUMNS))
    if photo is None:
        raise DeepInsideError(
            f"{path}: expected a column with the photos ({', '.join(PHOTO_COLUMNS)}), found {', '.join(names[:12])}"
        )
    return photo, label


def _several(text: str) -> list[str]:
    return [label for each in text.split(";") if (label := each.strip())]
