"""Atomic writes, and file names that do not collide on any file system."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename the file to `path` when the block ends without an error.

    So `path` holds the old content or the complete new one, also after `kill -9`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder) / "a.txt") as part:
    ...         length = part.write_text("complete")
    ...         exists = (Path(folder) / "a.txt").exists()
    ...     exists, (Path(folder) / "a.txt").read_text()
    (False, 'complete')
    """
    part = path.with_name(f".{path.name}.part")
    yield part
    os.replace(part, path)


def distinct_name(name: Path, taken: set[str], *, with_suffix: bool = True) -> Path:
    """The name itself, or with a number added where another name in `taken` would be the same file.

    Names are compared as the strictest file systems do: upper and lower case are equal, and so are composed and
    decomposed accents (Unicode NFC, then case folding).

    Args:
        name: a relative path.
        taken: keys of the names that were given out so far; the new one is added.
        with_suffix: whether names that differ in their suffix alone are different. Pass False where other files, such
            as `tabby-map.png`, are named after the stem.

    >>> taken: set[str] = set()
    >>> [distinct_name(Path(name), taken).as_posix() for name in ("cats/tom.png", "Cats/Tom.png", "cats/tom.jpg")]
    ['cats/tom.png', 'Cats/Tom-2.png', 'cats/tom.jpg']
    """
    unique, number = name, 1
    while (key := _key(unique if with_suffix else unique.with_suffix(""))) in taken:
        number += 1
        unique = name.with_stem(f"{name.stem}-{number}")
    taken.add(key)
    return unique


def _key(name: Path) -> str:
    return unicodedata.normalize("NFC", name.as_posix()).casefold()
