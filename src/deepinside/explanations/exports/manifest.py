"""What an export has written into its folder, so that a later one knows which files somebody has changed since.

The file `MANIFEST` holds one fact a line, as a JSON list, and lines are only added:

    ["file", PATH, DIGEST]            is about to be written, with this content
    ["photo", PATH]                   has the next number, from 0
    ["name", NUMBER, PART, NAME]      what a photo, or a part of it, is called in the files
    ["new", PATH]                     the file, which holds many photos, is written from its beginning
    ["in", PATH, NUMBER, VERSION]     it holds this one, as it was found then
    ["end"]                           an export has ended: from here on the labels are somebody's

A file whose content was never announced is somebody else's and is never written over or removed. A line comes before
the file that it announces, so that this holds after `kill -9` as well: the file then has the content of an earlier
line. While an export runs, the manifest is locked.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from deepinside.core.errors import DeepInsideError
from deepinside.core.files import atomic_write, distinct_name, lock

MANIFEST = ".deepinside-export"
REMEMBERED = 8  # contents of one file: the last one, and those that exports were about to write when they were killed
DIGEST = 8  # bytes


class Manifest:
    """The files of an export in its folder. `kept` are those that it did not write, since somebody has changed them.

    `is_whole` is set once all photos are added: only then are files replaced that hold many photos, and those removed
    that no photo has any more. `is_referred_to` says that somebody has changed a file of many photos, which may refer
    to any other; then none is removed.
    """

    def __init__(self, folder: Path, descriptor: int | None = None):
        self.folder = folder
        self.kept: dict[str, None] = {}
        self.notes: list[str] = []
        self.is_whole = self.has_labels = self.has_ended = self.is_referred_to = False
        self.photos: dict[str, int] = {}
        self._descriptor = descriptor
        self._digests: dict[str, tuple[str, ...]] = {}
        self._names: dict[tuple[int, str], str] = {}
        self._taken: set[int] = set()
        self._held: dict[str, dict[int, str]] = {}  # by file: the photos in it, with their versions
        self._times: Counter[str] = Counter()
        self._touched: set[str] = set()
        for line in _facts(folder / MANIFEST):
            self._learn(*line)
        for name in self._names.values():
            distinct_name(Path(name), self._taken)
        self._before = tuple(self._digests)

    def number(self, photo: Path) -> int:
        """The number of a photo, which is added; one that is added several times has one for each."""
        path = os.path.abspath(photo)
        self._times[path] += 1
        key = path if self._times[path] == 1 else f"{path}\0{self._times[path]}"
        if key not in self.photos:
            self._state("photo", key)
        return self.photos[key]

    def name(self, number: int, wanted: Path, part: str = "") -> Path:
        """What a photo or a part of it has been called before, or now is: as wanted, if nothing else is called so."""
        if (number, part) not in self._names:
            self._state("name", number, part, distinct_name(wanted, self._taken).as_posix())
        return Path(self._names[number, part])

    def is_ours(self, path: Path) -> bool:
        """Whether a file has a content that an export has written. Also where there is none."""
        found = digest_of(path)
        return found is None or found in self._digests.get(self._key(path), ())

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, unless somebody has changed it since."""
        digest, found = _digest(content), digest_of(path)
        self.touch(path)
        if found == digest:
            return
        if found is not None and not self.is_ours(path):
            self.keep(path)
            return
        self.announce(path, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_bytes(content)

    def link(self, path: Path, target: Path) -> None:
        """Make a symbolic link. Raises `OSError` where there are none."""
        self.touch(path)
        self.announce(path, _digest_of_link(os.path.abspath(target)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.abspath(target))

    def has(self, path: Path) -> bool:
        """Whether there is a file, whatever it is; if so, it stays."""
        found = os.path.lexists(path)
        if found:
            self.touch(path)
        return found

    def touch(self, path: Path) -> None:
        """Say that a file belongs to this export."""
        self._touched.add(self._key(path))

    def keep(self, path: Path) -> None:
        """Say that a file stays as somebody has changed it."""
        self.touch(path)
        self.kept[self._key(path)] = None

    def announce(self, path: Path, digest: str) -> None:
        """Say what a file is about to hold."""
        self._state("file", self._key(path), digest)

    def renew(self, path: Path) -> None:
        """Say that a file of many photos is written from its beginning."""
        self._state("new", self._key(path))

    def hold(self, path: Path, number: int, version: str) -> None:
        """Say that a file of many photos holds one."""
        self._state("in", self._key(path), number, version)

    def holds(self, path: Path, number: int, version: str) -> bool:
        """Whether a file of many photos holds one as it is now, or did when it was written last."""
        return self._held.get(self._key(path), {}).get(number) == version

    def end(self) -> None:
        """Say that the labels are somebody's from here on."""
        self._state("end")

    def sweep(self) -> None:
        """Remove what earlier exports have written and this one has not, such as the mask of a class not asked for."""
        if self.is_referred_to:
            return
        for key in self._before:
            path = self.folder / key
            if key not in self._touched and self.is_ours(path):
                with suppress(FileNotFoundError):
                    path.unlink()

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _state(self, *fact: Any) -> None:
        self._learn(*fact)
        assert self._descriptor is not None, "only an export that holds the lock writes"
        left = memoryview(json.dumps(fact, separators=(",", ":")).encode() + b"\n")
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _learn(self, *fact: Any) -> None:
        match fact:
            case ("file", str(path), str(digest)):
                self._digests[path] = (*self._digests.get(path, ()), digest)[-REMEMBERED:]
            case ("photo", str(path)):
                self.photos[path] = len(self.photos)
            case ("name", int(number), str(part), str(name)):
                self._names[number, part] = name
            case ("new", str(path)):
                self._held[path] = {}
            case ("in", str(path), int(number), str(version)):
                self._held.setdefault(path, {})[number] = version
            case ("end",):
                self.has_ended = True


def opened_manifest(folder: Path) -> int:
    """The descriptor of the manifest, made if there is none, and locked.

    Raises `DeepInsideError` where another process holds the lock.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(folder / MANIFEST, flags, 0o666)
    with suppress(OSError):  # a file system without locks
        if not lock(descriptor):
            os.close(descriptor)
            raise DeepInsideError(
                f"{folder}: another process is exporting into this folder; wait for it or name another folder"
            )
    if os.fstat(descriptor).st_size:
        os.lseek(descriptor, -1, os.SEEK_END)
        if os.read(descriptor, 1) != b"\n":  # a line that a full disk has cut short
            os.write(descriptor, b"\n")
    return descriptor


def digest_of(path: Path) -> str | None:
    """The digest of a file's content, or of what a link points to; None where there is neither."""
    if path.is_symlink():
        return _digest_of_link(os.readlink(path))
    digest = blake2b(digest_size=DIGEST)
    try:
        with path.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=DIGEST).hexdigest()


def _digest_of_link(target: str) -> str:
    return "-> " + _digest(os.fsencode(target))


def _facts(path: Path) -> Iterator[list[Any]]:
    """The lines of a manifest; those that were cut short are left out."""
    try:
        with path.open("rb") as stream:
            for line in stream:
                with suppress(ValueError):
                    fact = json.loads(line)
                    if isinstance(fact, list):
                        yield fact
    except FileNotFoundError:
        return
