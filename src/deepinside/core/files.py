"""Files that are there whole or not at all, also after `kill -9`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Another name to write under, beside `path`; the file gets its own when the block is complete.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with appearing(Path(folder) / "a.txt") as part:
    ...         length = part.write_text("whole")
    ...         there = (Path(folder) / "a.txt").exists()
    ...     there, (Path(folder) / "a.txt").read_text()
    (False, 'whole')
    """
    part = path.with_name(f".{path.name}.part")
    yield part
    os.replace(part, path)
