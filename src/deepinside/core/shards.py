"""Photos in tar archives, such as WebDataset's shards: `shard.tar/cat/tom.jpg` is the path of a member.

Nothing is unpacked: a member is a range of bytes of its archive. Links, devices and folders are no members, and names
are taken apart as if the archive were the root of a disk, so that `../tom.jpg` and `/tom.jpg` are both `tom.jpg`.
"""

from __future__ import annotations

import os
import tarfile
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import is_file

SUFFIX = ".tar"
BLOCK = 512  # bytes, of which everything in a tar archive is made
KEPT = 4  # shards whose lists of members stay in memory


class Range(NamedTuple):
    """Where the content of a member lies in its archive, in bytes."""

    start: int
    length: int


class Shard(NamedTuple):
    """The members of an archive, in order, and why there are no more of them, if it is damaged."""

    members: dict[str, Range]
    error: str | None


def is_shard(path: Path) -> bool:
    """Whether this is a tar archive, by its name."""
    return path.suffix.lower() == SUFFIX and is_file(path)


def shard_of(path: Path) -> Path | None:
    """The archive that a path goes through, if any.

    >>> shard_of(Path("photos/tom.jpg")) is None
    True
    """
    if SUFFIX not in str(path).lower():
        return None
    return next((parent for parent in path.parents if is_shard(parent)), None)


def content(path: Path, shard: Path) -> bytes:
    """The bytes of a member. Raises `DeepInsideError` where the archive has none of this name, or ends within it."""
    name = path.relative_to(shard).as_posix()
    found = read_shard(shard).members.get(name)
    if found is None:
        raise DeepInsideError(f"{path}: expected a photo, found no such member in the archive")
    try:
        with shard.open("rb") as file:
            file.seek(found.start)
            read = file.read(found.length)
    except OSError as error:
        raise DeepInsideError(f"{path}: the archive cannot be read ({error.strerror})") from None
    if len(read) < found.length:
        raise DeepInsideError(f"{path}: the archive ends within this member; it is truncated")
    return read


def read_shard(path: Path) -> Shard:
    """The members of an archive. Raises `DeepInsideError` for a file that cannot be read."""
    try:
        status = path.stat()
        return _listed(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise DeepInsideError(f"{path}: the archive cannot be read ({error.strerror})") from None


@lru_cache(KEPT)
def _listed(path: Path, changed: int, size: int) -> Shard:
    members: dict[str, Range] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = _name(member.name)
                if member.isreg() and not member.issparse() and name:
                    members[name] = Range(member.offset_data, member.size)
                archive.members = []  # type: ignore[attr-defined]  # which tarfile keeps for other uses
            end = archive.offset
        with path.open("rb") as file:
            file.seek(end)  # where a block of zeros says that there are no more members
            is_whole = file.read(BLOCK) == bytes(BLOCK)
    except (tarfile.TarError, ValueError) as error:
        return Shard(members, f"expected a whole tar archive without compression ({brief(error)})")
    return Shard(
        members, None if is_whole else "expected a whole tar archive, got one without its end; it is truncated"
    )


def _name(name: str) -> str:
    """A member's name without what leads out of the archive.

    >>> _name("./a/../../b.jpg"), _name("/b.jpg")
    ('a/b.jpg', 'b.jpg')
    """
    return os.path.join("", *(part for part in PurePosixPath(name).parts if part not in ("/", "//", "..")))
