"""The picture formats that are read, in one place, and the only way in which picture files are opened.

Pillow knows many more formats, and hands some of them to other programs: a file called `.jpg` that holds PostScript
would be run by Ghostscript. So every file is opened as one of `FORMATS`, whatever its name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import BufferedReader, BytesIO
from pathlib import Path
from threading import Condition, local
from typing import TypeAlias
from warnings import catch_warnings, simplefilter

from PIL import Image

from deepinside.core.errors import DeepInsideError

Stream: TypeAlias = BufferedReader | BytesIO  # an open picture file, or the content of one

# Pillow's names of the formats, and the modules that read them; older versions of Pillow lack AVIF.
FORMATS = {
    "JPEG": "Jpeg",
    "MPO": "Mpo",  # JPEG with more than one picture, of which the first one is read
    "PNG": "Png",
    "WEBP": "WebP",
    "GIF": "Gif",
    "TIFF": "Tiff",
    "BMP": "Bmp",
    "DIB": "Bmp",
    "AVIF": "Avif",
    "JPEG2000": "Jpeg2K",
    "PPM": "Ppm",
}
HEIF = "HEIF"  # where the package pillow-heif is installed
MORE_SUFFIXES = frozenset({".jif", ".jfi"})  # of JPEG, which Pillow does not list
HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
# The brands of an HEIF file, at bytes 8 to 12, after "ftyp" (ISO/IEC 23008-12).
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

LARGEST = 2**30  # bytes of one encoded picture
IN_FLIGHT = 200_000_000  # pixels that are decoded at the same time; one picture may have 179 million


@cache
def formats() -> tuple[str, ...]:
    """The declared formats that this installation can read, by Pillow's names."""
    for module in sorted(set(FORMATS.values())):
        if find_spec(f"PIL.{module}ImagePlugin"):
            import_module(f"PIL.{module}ImagePlugin")
    known = [name for name in FORMATS if name in Image.OPEN]
    if find_spec("pillow_heif"):
        import_module("pillow_heif").register_heif_opener()
        known.append(HEIF)
    return tuple(known)


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of picture files, in small letters.

    >>> {".jpg", ".jfif", ".png", ".jp2"} <= suffixes(), ".eps" in suffixes()
    (True, False)
    """
    declared = {*formats(), "MPO"}
    own = {suffix for suffix, name in Image.EXTENSION.items() if name in declared}
    return frozenset(own | MORE_SUFFIXES | HEIF_SUFFIXES)


def is_picture_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is taken from a folder: its suffix is of a declared format, and it is not hidden.

    HEIC files are taken in any case, so that the message about the missing package names them.
    """
    path = Path(name)
    return path.suffix.lower() in suffixes() and not path.name.startswith(".")


@contextmanager
def reading(path: Path) -> Iterator[Stream]:
    """Open a picture file. Raises `DeepInsideError` for anything but a regular file that may be read.

    A pipe would be waited for, and a device has no end. The file is looked at once more when it is open, since another
    program may have replaced it; and it is read only through what has been opened, not through its name.
    """
    try:
        _check(path, path.stat())  # before it is opened, since opening a device may start something
        stream = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    except (OSError, ValueError) as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        reason = "found no such file" if missing else f"got none ({getattr(error, 'strerror', None) or error})"
        raise DeepInsideError(f"{path}: expected a photo, {reason}") from None
    with stream:
        _check(path, os.fstat(stream.fileno()))
        yield stream


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; of a pipe, do not wait for somebody who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise DeepInsideError(f"{path}: expected a photo, got a folder{_unlisted(path)}; name the photos in it")
    if not stat.S_ISREG(status.st_mode):
        raise DeepInsideError(f"{path}: expected a photo, got a pipe or a device")
    check_size(status.st_size, str(path))


def _unlisted(folder: Path) -> str:
    try:
        os.scandir(folder).close()
    except OSError as error:
        return f" that cannot be listed ({error.strerror})"
    return ""


def check_size(size: int, name: str) -> int:
    """The size of an encoded picture in bytes. Raises `DeepInsideError` for none, and for more than `LARGEST`."""
    if size == 0:
        raise DeepInsideError(f"{name}: expected a photo, got an empty file (0 bytes)")
    if size > LARGEST:
        raise DeepInsideError(f"{name}: expected a photo of at most {LARGEST} bytes, got {size}")
    return size


@contextmanager
def opened(source: Path | Stream) -> Iterator[Image.Image]:
    """Open a picture of a declared format; its pixels are read later. Raises whatever `reading` and Pillow raise.

    Pillow's warning about large pictures is left out: it comes from half of Pillow's limit on, but a photo of 100
    megapixels is no attack. Larger ones than the limit raise `DecompressionBombError`.
    """
    if isinstance(source, Path):
        with reading(source) as stream, opened(stream) as image:
            yield image
        return
    with catch_warnings():
        simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(source, formats=formats()) as image:
            yield image


def is_heif(head: bytes) -> bool:
    """Whether the first bytes of a file are those of HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS


class Room:
    """Room for the pixels of pictures that are decoded at the same time, in all threads of the process.

    A picture waits until there is room for it; if no other one is being decoded, it need not, whatever its size.
    """

    def __init__(self, pixels: int):
        self.pixels = pixels
        self._empty()
        if hasattr(os, "register_at_fork"):  # a forked process has none of the threads that have taken room
            os.register_at_fork(after_in_child=self._empty)

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait for room for so many pixels, and hold it until the block ends. A block inside of it does not wait."""
        if getattr(self._thread, "is_inside", False):
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self.pixels)
            self._taken += pixels
        self._thread.is_inside = True
        try:
            yield
        finally:
            self._thread.is_inside = False
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()

    def _empty(self) -> None:
        self._taken, self._changed, self._thread = 0, Condition(), local()


room = Room(IN_FLIGHT)
