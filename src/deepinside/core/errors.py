"""The package's only exception, and helpers that make its messages useful."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from errno import EACCES
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

Value = TypeVar("Value")

LONGEST_REASON = 160  # characters of another library's message


class DeepInsideError(Exception):
    """An error that the user can fix. The message says what was expected, what came, and how to mend it."""


def nearest(wrong: str, known: Iterable[str], count: int = 3) -> str:
    """A suggestion for the end of an error message: the known names most similar to an unknown one.

    >>> nearest("tabbi", ["tabby", "tiger cat", "tub"])
    'did you mean tabby or tub?'
    """
    names = [name for name in known if name]
    close = get_close_matches(wrong, names, n=count, cutoff=0.5) or names[:count]
    return f"did you mean {' or '.join(close)}?" if close else "there are none"


def named(name: str, known: Mapping[str, Value], what: str) -> Value:
    """Look up a name in a table. Raises `DeepInsideError` with the most similar names for an unknown one.

    >>> named("best", {"best": 1, "paper": 2}, "a preset")
    1
    """
    if name not in known:
        raise DeepInsideError(f"expected {what} ({', '.join(known)}), got {name!r}; {nearest(name, known)}")
    return known[name]


def brief(error: Exception) -> str:
    """Another library's error as the end of a message: its text on one line, or its class where it has no text.

    >>> brief(ValueError("not\\n a number")), brief(KeyError())
    ('not a number', 'KeyError')
    """
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


def check_writable(path: Path) -> None:
    """Raise `DeepInsideError` for a file that could not be written, before the work whose results go there.

    Nothing is left on the disk.

    >>> check_writable(Path("/dev/null/figures.json"))
    Traceback (most recent call last):
    ...
    deepinside.core.errors.DeepInsideError: /dev/null/figures.json: expected a place to write a file (File exists)
    """
    with _without_new_folders(path.parent), writing(path, "a file"):
        if path.is_dir():
            raise DeepInsideError(f"{path}: expected a file to write, found a folder")
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
        if path.is_file() or not path.exists():
            _write_a_byte(path.parent)
        else:  # a device refuses even nothing where it is full, as /dev/full does; a pipe has no reader yet
            _write_nothing(path)


def check_writable_folder(folder: Path) -> None:
    """Raise `DeepInsideError` for a folder that files could not be written into, before the work that makes them.

    The folder may be missing, as those above it may; nothing is left on the disk.

    >>> check_writable_folder(Path("/dev/null/maps"))
    Traceback (most recent call last):
    ...
    deepinside.core.errors.DeepInsideError: /dev/null/maps: expected a folder to write into (Not a directory)
    """
    with _without_new_folders(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_a_byte(folder)
        except OSError as error:
            raise DeepInsideError(f"{folder}: expected a folder to write into ({_reason(error)})") from None


@contextmanager
def _without_new_folders(folder: Path) -> Iterator[None]:
    """Remove the folder and those above it after the block, if they were missing before and are empty."""
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        yield
    finally:
        for each in missing:
            with suppress(OSError):
                each.rmdir()


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Make the folder of `path`, and turn any `OSError` in the block that writes the file into a `DeepInsideError`.

    >>> with writing(Path("/dev/null/map.png"), "an image"):
    ...     pass
    Traceback (most recent call last):
    ...
    deepinside.core.errors.DeepInsideError: /dev/null/map.png: expected a place to write an image (File exists)
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DeepInsideError(f"{path}: expected a place to write {what} ({_reason(error)})") from None


def _write_a_byte(folder: Path) -> None:
    """Into a file without a name, which is on the disk before it is closed: a full disk refuses it."""
    with TemporaryFile(dir=folder, buffering=0) as stream:
        stream.write(b"x")


def _write_nothing(device: Path) -> None:
    if device.is_char_device():
        with device.open("wb", buffering=0) as stream:
            stream.write(b"")


def _reason(error: OSError) -> str:
    return error.strerror or brief(error)
