"""Which files of a folder are photos.

Names tell, so that no file is opened: whatever has the suffix of a picture and is no folder. If it turns out to be a
pipe, a link to nothing or anything else that is no photo, its reader says so, and nobody wonders where it has gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from deepinside.core.errors import DeepInsideError
from deepinside.core.files import distinct_name
from deepinside.core.formats import is_picture_name, suffixes


def find_photos(sources: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, Path]]:
    """Files and folders -> `(photo, name)` pairs; `name` is the path relative to the folder that was searched.

    Folders are searched as by `photos_in`; a file that is given is taken whatever its suffix. Names that differ in
    their suffix or in case alone get a number, so that no output of one photo overwrites that of another. Raises
    `DeepInsideError` for a folder without photos, and one that cannot be listed.
    """
    taken: set[int] = set()
    found = chain.from_iterable(map(photos_of, map(Path, sources)))
    return [(path, distinct_name(name, taken, with_suffix=False)) for path, name in found]


def photos_of(source: Path) -> Iterator[tuple[Path, Path]]:
    """As `find_photos`, of one file or folder, one after the other, and names as they are."""
    if not _is_folder(source):
        yield source, Path(source.name)
        return
    path = None
    for path in photos_in(source):
        yield path, path.relative_to(source)
    if path is None:
        raise DeepInsideError(f"{source}: expected a folder with photos ({', '.join(sorted(suffixes()))}), found none")


def photos_in(folder: Path) -> Iterator[Path]:
    """The photos in a folder and in those below it, in sorted order, without hidden files and folders.

    Only the names in one folder and in those above it are in memory. Links to folders are not followed, since they may
    lead in circles. A folder below that cannot be listed, or has vanished meanwhile, takes the place of its photos, and
    reading it as one tells the reason. Raises `DeepInsideError` where the first folder cannot be listed.
    """
    try:
        waiting = [_entries(folder)]
    except OSError as error:
        raise DeepInsideError(
            f"{folder}: expected a folder with photos, got one that cannot be listed ({error.strerror})"
        ) from None
    while waiting:  # no recursion, since folders may be nested deeper than Python's calls
        path, is_folder = next(waiting[-1], (None, False))
        if path is None:
            waiting.pop()
        elif not is_folder:
            yield path
        else:
            try:
                waiting.append(_entries(path))
            except OSError:
                yield path


def _entries(folder: Path) -> Iterator[tuple[Path, bool]]:
    """The photos and folders in a folder, sorted, and whether each is a folder."""
    with os.scandir(folder) as entries:
        found = sorted((entry.name, _is_own_folder(entry)) for entry in entries if _is_shown(entry))
    return ((folder / name, is_folder) for name, is_folder in found)


def _is_shown(entry: os.DirEntry[str]) -> bool:
    """Whether this is a photo, by its name, or a folder, and neither a hidden file nor a link to a folder."""
    is_photo = is_picture_name(entry.name) and not _is_folder(entry)
    return not entry.name.startswith(".") and (is_photo or _is_own_folder(entry))


def _is_own_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_folder(path: Path | os.DirEntry[str]) -> bool:
    """Whether this is a folder, or a link to one: False for names that no file can have, and for link loops."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
