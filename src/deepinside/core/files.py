"""Atomic writes, and file names that fit and do not collide on any file system."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody writes cannot be deleted
    fcntl = None  # type: ignore[assignment]

LONGEST_NAME = 255  # bytes, on most file systems
LONGEST_LABEL = 200  # bytes of a name in the name of its temporary file
TEMPORARY = re.compile(r"\.(.*\.)?[0-9a-f]{16}\.deepinside\.part", re.DOTALL)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`, and rename it to `path` when the block ends without an error.

    So `path` holds the old content or the complete new one, also after `kill -9`. The temporary file is empty, has a
    random name and the permissions of any new file, and is locked until it is renamed, or removed after an error; what
    a killed process leaves is removed when another one first writes into the folder, see `clear_leftovers`. Write into
    the file, and do not replace it by another one.

    A symbolic link at `path` is replaced, and what it points to stays as it is. What is no ordinary file, such as
    `/dev/stdout` or a named pipe, cannot be replaced and is written directly.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder) / "a.txt") as part:
    ...         length = part.write_text("complete")
    ...         exists = (Path(folder) / "a.txt").exists()
    ...     exists, (Path(folder) / "a.txt").read_text()
    (False, 'complete')
    """
    if _is_device(path):
        yield path
        return
    part, lock = _temporary(path)
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder; files that are being written stay.

    >>> clear_leftovers(Path("no/such/folder"))
    """
    try:
        found = [Path(each) for each in os.scandir(folder) if TEMPORARY.fullmatch(each.name)]
    except OSError:
        return
    for path in found:
        with suppress(OSError):
            if path.is_file() and not path.is_symlink() and not _is_written(path):
                path.unlink()


def is_file(path: Path) -> bool:
    """Whether there is a regular file: False also for names that no file can have, pipes, devices and link loops."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def lock(descriptor: int) -> bool:
    """Lock an open file until its descriptor is closed; False where another one holds the lock.

    Raises `OSError` where the file system has no locks. On Windows, nothing is locked.
    """
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def fitting(path: Path) -> Path:
    """The path itself, or, where its last part is too long for the file system, with the end of it after a digest.

    >>> fitting(Path("tabby.jpg")), len(fitting(Path("x" * 300 + "-localize.png")).name)
    (PosixPath('tabby.jpg'), 255)
    """
    return path.with_name(shortened(path.name, _longest_name(path.parent)))


def shortened(name: str, limit: int) -> str:
    """A name of at most `limit` bytes: of a longer one the end, after a digest of the whole."""
    raw = os.fsencode(name)
    if len(raw) <= limit:
        return name
    return sha256(raw).hexdigest()[:12] + raw[12 - limit :].decode(errors="ignore")


def distinct_name(name: Path, taken: set[int], *, with_suffix: bool = True) -> Path:
    """The name itself, or with a number added where another name in `taken` would be the same file.

    Names are compared as the strictest file systems do: upper and lower case are equal, and so are composed and
    decomposed accents (Unicode NFC, then case folding).

    Args:
        name: a relative path.
        taken: digests of the names that were given out so far; the new one is added.
        with_suffix: whether names that differ in their suffix alone are different. Pass False where other files, such
            as `tabby-map.png`, are named after the stem.

    >>> taken: set[int] = set()
    >>> [distinct_name(Path(name), taken).as_posix() for name in ("cats/tom.png", "Cats/Tom.png", "cats/tom.jpg")]
    ['cats/tom.png', 'Cats/Tom-2.png', 'cats/tom.jpg']
    """
    unique, number = name, 1
    while (key := _key(unique if with_suffix else unique.with_suffix(""))) in taken:
        number += 1
        unique = name.with_stem(f"{name.stem}-{number}")
    taken.add(key)
    return unique


def _key(name: Path) -> int:
    """64 bits of a name: names may be millions, and two that are equal by chance get a number as well."""
    return hash(unicodedata.normalize("NFC", name.as_posix()).casefold())


@lru_cache(maxsize=1024)
def _clear_once(folder: Path) -> None:
    clear_leftovers(folder)


def _temporary(path: Path) -> tuple[Path, int | None]:
    """A new, empty file beside `path`, which nobody can have foreseen, and the descriptor that locks it."""
    _clear_once(path.parent.absolute())
    label = shortened(path.name, min(LONGEST_LABEL, _longest_name(path.parent) - 40))
    while True:
        part = path.with_name(f".{label}.{token_hex(8)}.deepinside.part")
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if fcntl is None:
            os.close(descriptor)
            return part, None
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # another process has cleared it away before it was locked


def _is_written(part: Path) -> bool:
    """Whether a process is writing a temporary file; assumed where locks do not tell."""
    if fcntl is None:
        return False  # deleting it fails
    with part.open("rb+") as stream:
        try:
            return not lock(stream.fileno())
        except OSError:
            return True


def _is_device(path: Path) -> bool:
    """Whether a path names no ordinary file, or one through a device, as `/dev/stdout` does."""
    through = Path(os.path.realpath(path.parent)).parts[1:2] in (("dev",), ("proc",))
    return os.path.exists(path) and not path.is_dir() and (through or not path.is_file())


def _longest_name(folder: Path) -> int:
    """The most bytes that the file system allows in a name, asked at the nearest folder that exists."""
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return LONGEST_NAME
