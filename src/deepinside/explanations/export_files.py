"""The folder of an export, and text files in it that are complete after every photo, also after `kill -9`.

While an export runs, its folder holds the file `UNFINISHED`, which is locked. It is removed when a run with labels in
it has ended, also by an error or a signal: then the labels are somebody's, and no later export touches them. What a
killed run has left still has the file, and is replaced by the next export into the folder, unless somebody has changed
a file in it since.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import atomic_write, clear_leftovers, lock

UNFINISHED = ".deepinside-unfinished"
SLACK = 60  # seconds from the last mark to a change of a file by somebody else
SMALL = 2**20  # bytes of a file that is written anew after every photo
PATIENCE = 20  # a larger file is written anew once this multiple of the time that it takes has passed


@contextmanager
def claimed(folder: Path) -> Iterator[Callable[[], None]]:
    """Make the folder of an export, or empty it, for the time of the block; yield what to call after each photo.

    A block that ends without a photo leaves its files for the next export to replace, and none after an error.

    Raises `DeepInsideError` for a folder with labels in it, one that another process exports into, and one that cannot
    be written.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    with reported(folder):
        check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
        was_killed = (folder / UNFINISHED).exists()
        descriptor = _marker(folder)
    has_labels = False

    def mark() -> None:  # so that a later change of a file is known as somebody else's
        nonlocal has_labels
        has_labels = True
        os.utime(folder / UNFINISHED)

    try:
        if was_killed:
            with reported(folder):
                _empty(folder)
        yield mark
    except BaseException:
        if not has_labels:
            with suppress(OSError):
                _remove(folder, missing)
        raise
    finally:
        if has_labels:
            with reported(folder):
                (folder / UNFINISHED).unlink()
        os.close(descriptor)


def check_free(folder: Path) -> None:
    """Raise `DeepInsideError` for a folder that holds labels. Hidden files and empty folders do not count."""
    if not folder.is_dir():
        return
    marker = folder / UNFINISHED
    files = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    if marker.exists():
        known = marker.stat().st_mtime + SLACK
        labels = [path for path in files if max(path.lstat().st_mtime, path.lstat().st_ctime) > known]
    else:
        labels = [path for path in files if not path.name.startswith(".")]
    if labels:
        raise DeepInsideError(
            f"{folder}: expected a new or empty folder for the export, found files in it, which may have been "
            "corrected by hand; move them away or name another folder"
        )


@contextmanager
def growing(path: Path, head: str, tail: Callable[[], str] = str) -> Iterator[Callable[[str], None]]:
    """Yield a function that appends text to a file, which is complete after each call and when the block ends.

    A file of more than `SMALL` bytes is written less often, so that writing takes no more than a twentieth of the time;
    then `kill -9`, and nothing else, may cost its last seconds.

    Args:
        path: the file, which is written atomically.
        head: its beginning.
        tail: makes its end, after everything that was appended.
    """
    wrote = cost = 0.0  # when it was written last, and how long that took, in seconds
    size, is_published = 0, False  # bytes
    with TemporaryFile(dir=path.parent) as body:

        def publish() -> None:
            nonlocal wrote, cost, is_published
            began = perf_counter()
            body.truncate(size)  # what an error has cut short is not a part of it
            with atomic_write(path) as part, part.open("wb") as stream:
                body.seek(0)
                shutil.copyfileobj(body, stream, 2**20)
                stream.write(tail().encode())
            wrote, is_published = perf_counter(), True
            cost = wrote - began

        def append(text: str) -> None:
            nonlocal size, is_published
            body.seek(size)
            body.write(text.encode())
            body.flush()
            size, is_published = body.tell(), False
            if size < SMALL or perf_counter() > wrote + PATIENCE * cost:
                publish()

        append(head)
        try:
            yield append
        finally:
            if not is_published:
                publish()


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn the system's errors in the block into a `DeepInsideError` of one line."""
    try:
        yield
    except OSError as error:
        path = error.filename or folder
        raise DeepInsideError(f"{path}: the export stopped ({error.strerror or brief(error)})") from None


def _marker(folder: Path) -> int:
    """The descriptor of the file that says that an export is running, or has been killed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(folder / UNFINISHED, flags, 0o666)
    with suppress(OSError):  # a file system without locks
        if not lock(descriptor):
            os.close(descriptor)
            raise DeepInsideError(
                f"{folder}: another process is exporting into this folder; wait for it or name another folder"
            )
    return descriptor


def _empty(folder: Path) -> None:
    """Remove all that an export has written, but its mark, which has to outlive the rest; hidden files are others'."""
    clear_leftovers(folder)
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    os.utime(folder / UNFINISHED)


def _remove(folder: Path, missing: list[Path]) -> None:
    """Remove all files of an export without labels, and the folders that were missing before it."""
    _empty(folder)
    (folder / UNFINISHED).unlink()
    for each in missing:
        each.rmdir()
