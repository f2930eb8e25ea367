"""What a run is asked for: photos, alone or with the classes that somebody has given them.

A source is a photo, a folder of photos, a pattern such as `photos/**/*.jpg`, a tar archive, a table or a list.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from deepinside.archive.tables import find_labels, is_table, metadata_tables, rows_of_table
from deepinside.core.errors import DeepInsideError, named
from deepinside.core.files import distinct_name
from deepinside.core.formats import is_picture_name
from deepinside.core.labels import Labels
from deepinside.core.listing import photos_of
from deepinside.core.shards import content, is_shard, read_shard
from deepinside.data.boxes import read_samples
from deepinside.evaluation.classes import by_class

Found: TypeAlias = Iterable[tuple[Path, Path, tuple[int, ...]]]  # photo, name, classes
LABELS_FROM = ("folders", "annotations")
CLASS_SUFFIX = ".cls"  # of the member that holds the class of a sample, in WebDataset's shards


@dataclass(frozen=True, slots=True)
class Wanted:
    """A photo file, its name for the files that are written, and the classes to look for; none for the likeliest.

    The name is the end of the file's path from `start` on, unless it is an `alias`: of millions of photos, each path
    is in memory once.
    """

    file: str
    start: int
    classes: tuple[int, ...] = ()
    alias: str | None = None

    @classmethod
    def named(cls, path: Path, name: Path, classes: tuple[int, ...] = ()) -> Wanted:
        """A photo with a name.

        >>> Wanted.named(Path("cats/in/tom.jpg"), Path("in/tom.jpg"))
        Wanted(file='cats/in/tom.jpg', start=5, classes=(), alias=None)
        """
        file, end = str(path), str(name)
        if file.endswith(end):
            return cls(file, len(file) - len(end), classes)
        return cls(file, 0, classes, end)

    @property
    def path(self) -> Path:
        """Of the photo."""
        return Path(self.file)

    @property
    def name(self) -> Path:
        """A relative path, which no other photo of the run has, whatever its suffix."""
        return Path(self.file[self.start :] if self.alias is None else self.alias)


def wanted_of(sources: Iterable[Path], labels: Labels, labels_from: str | None = None) -> list[Wanted]:
    """All photos of the sources, each once, in their order.

    Args:
        sources: photos, folders, patterns, tar archives, tables and lists. A folder with a `metadata` table, as Hugging
            Face's `imagefolder` has it, is that table.
        labels: of the network.
        labels_from: `"folders"`, where the folder of each photo is its label, or `"annotations"`, where the sources are
            data sets with boxes, as `data.boxes.read_samples` reads them; by default, tables and shards have labels.

    Raises `DeepInsideError` for a folder, pattern, archive or table without photos, a table that cannot be read, and
    labels that are none of the network's.
    """
    if labels_from is not None:
        named(labels_from, dict.fromkeys(LABELS_FROM), "where labels come from")
    found: dict[str, Wanted] = {}
    taken: set[int] = set()
    for source in chain.from_iterable(map(_matches, sources)):
        for path, name, classes in _photos(source, labels, labels_from):
            before = found.get(str(path))
            if before is None:
                new = Wanted.named(path, distinct_name(name, taken, with_suffix=False), classes)
                found[new.file] = new
            elif not set(classes) <= set(before.classes):
                found[before.file] = replace(before, classes=tuple(dict.fromkeys([*before.classes, *classes])))
    return list(found.values())


def _matches(source: Path) -> list[Path]:
    """The source itself, or what a pattern stands for."""
    pattern = str(source)
    if not glob.has_magic(pattern) or os.path.lexists(source):
        return [source]
    matches = sorted(Path(each) for each in glob.iglob(pattern, recursive=True))
    if not matches:
        raise DeepInsideError(f"{pattern}: expected a pattern of photos, found no file that it fits")
    return matches


def _photos(source: Path, labels: Labels, labels_from: str | None) -> Found:
    if labels_from == "annotations":
        return _annotated(source, labels)
    if is_table(source):
        return rows_of_table(source, labels.find)
    if tables := metadata_tables(source):
        return chain.from_iterable(rows_of_table(table, labels.find, root=source) for table in tables)
    inside = _of_shard(source, labels.find) if is_shard(source) else ((*each, ()) for each in photos_of(source))
    return _with_folders(source, inside, labels.find) if labels_from else inside


def _annotated(root: Path, labels: Labels) -> Found:
    """The photos of a data set, with the network's classes that stand for those of its boxes."""
    above = root if root.is_dir() else root.parent
    for sample in read_samples(root):
        name = sample.path.relative_to(above) if sample.path.is_relative_to(above) else Path(sample.path.name)
        yield sample.path, name, tuple(by_class(sample.annotations, labels))


def _of_shard(shard: Path, find: Callable[[str], int]) -> Found:
    """The photos of an archive; one that is damaged is itself a photo that cannot be read."""
    members, error = read_shard(shard)
    names = [name for name in members if _is_photo(name)]
    if not names and not error:
        raise DeepInsideError(f"{shard}: expected a tar archive with photos, found none")
    labels = {name: _label(shard, name, members) for name in names}
    classes = find_labels(shard, filter(None, labels.values()), find)
    for name, label in labels.items():
        yield shard / name, Path(shard.stem, name), (classes[label],) if label else ()
    if error:
        yield shard, Path(shard.name), ()


def _label(shard: Path, name: str, members: Iterable[str]) -> str | None:
    """What stands in the member of the same sample, whose name is the same up to its first dot."""

    folder, _, last = name.rpartition("/")
    beside = f"{folder}/{last.partition('.')[0]}{CLASS_SUFFIX}".lstrip("/")
    return content(shard / beside, shard).decode(errors="replace").strip() or None if beside in members else None


def _is_photo(member: str) -> bool:
    return is_picture_name(member) and not any(part.startswith(".") for part in Path(member).parts)


def _with_folders(
    source: Path, photos: Found, find: Callable[[str], int]
) -> Iterator[tuple[Path, Path, tuple[int, ...]]]:
    """Each photo with the class that its folder names."""
    named = [(path, name, path.parent.name) for path, name, _ in photos]
    classes = find_labels(source, (label for *_, label in named), find)
    return ((path, name, (classes[label],)) for path, name, label in named)
