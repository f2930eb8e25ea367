"""A file that holds many photos and grows by one after the other, such as COCO's `annotations.json`.

In a new export it is complete after each photo, also after `kill -9`. Where an earlier export has written it, it is
replaced at the end, by one with all photos. Where somebody has changed it since, it stays as it is, and photos that
are not in it go into another one beside it: `annotations-2.json`, and so on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import BinaryIO

from deepinside.core.files import atomic_write
from deepinside.explanations.exports.manifest import DIGEST, Manifest

SMALL = 2**20  # bytes of a file that is written anew after every photo
PATIENCE = 20  # a larger file is written anew once this multiple of the time that it takes has passed


class Growing:
    """The file that photos of this export go into, at `path`.

    A file of more than `SMALL` bytes is written less often, so that writing takes no more than a twentieth of the time;
    then `kill -9`, and nothing else, may cost its last seconds.
    """

    def __init__(self, manifest: Manifest, first: Path, body: BinaryIO, head: str, tail: Callable[[], str]):
        self._manifest, self._body, self._tail = manifest, body, tail
        paths = [first]
        while os.path.lexists(following := beside(first, len(paths) + 1)):
            paths.append(following)
        self._frozen = [path for path in paths if not manifest.is_ours(path)]
        self.path = next((path for path in paths if path not in self._frozen), following)
        self._is_replaced = os.path.lexists(self.path)
        self._wrote = self._cost = 0.0  # when it was written last, and how long that took, in seconds
        self._size, self._is_published = 0, False  # bytes
        self._waiting: list[tuple[int, str]] = []  # photos that are not in the file yet
        self._count = self._publications = 0
        self._extend(head)

    def lacks(self, number: int, version: str = "") -> bool:
        """Whether a photo has to be added: not if it is, as it is now, in a file that somebody has changed."""
        return not any(self._manifest.holds(path, number, version) for path in self._frozen)

    def append(self, text: str, number: int, version: str = "") -> None:
        """Add the text of a photo, and write the file if it is new."""
        self._extend(text)
        self._waiting.append((number, version))
        self._count += 1
        if self._is_replaced:
            return
        if self._size < SMALL or perf_counter() > self._wrote + PATIENCE * self._cost:
            self._publish()

    def close(self, is_lazy: bool) -> None:
        """Write what is not written yet. A lazy file, and one beside another, is there only with photos in it."""
        for path in self._frozen:
            self._manifest.keep(path)
            self._manifest.is_referred_to = True
        is_wanted = self._count > 0 or not (is_lazy or self._frozen)
        if is_wanted:
            self._manifest.touch(self.path)
        if is_wanted and not self._is_published and (self._manifest.is_whole or not self._is_replaced):
            self._publish()
        if self._frozen and self._is_replaced and not self._count and self._manifest.is_whole:
            self.path.unlink()  # all its photos are again as those in the changed files, such as after a mistake
        if self._frozen and self._count:
            what = "1 photo is" if self._count == 1 else f"{self._count} photos are"
            self._manifest.notes.append(f"{what} in {self.path}, since {self._frozen[-1].name} has been changed")

    def _extend(self, text: str) -> None:
        self._body.seek(self._size)
        self._body.write(text.encode())
        self._body.flush()
        self._size, self._is_published = self._body.tell(), False

    def _publish(self) -> None:
        began = perf_counter()
        self._body.truncate(self._size)  # what an error has cut short is not a part of it
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as part, part.open("r+b") as stream:
            self._body.seek(0)
            shutil.copyfileobj(self._body, stream, 2**20)
            stream.write(self._tail().encode())
            stream.flush()
            self._manifest.announce(self.path, _digest(stream))
        if not self._publications:
            self._manifest.renew(self.path)
        self._publications += 1
        for number, version in self._waiting:
            self._manifest.hold(self.path, number, version)
        self._waiting.clear()
        self._wrote, self._is_published = perf_counter(), True
        self._cost = self._wrote - began


@contextmanager
def growing(
    manifest: Manifest, path: Path, head: str, tail: Callable[[], str] = str, *, is_lazy: bool = False
) -> Iterator[Growing]:
    """A file that photos are appended to in the block, and which is complete when it ends.

    Args:
        manifest: of the export.
        path: the file, which is written atomically.
        head: its beginning.
        tail: makes its end, after everything that was appended.
        is_lazy: whether the file is not there without photos.
    """
    with TemporaryFile(dir=manifest.folder) as body:
        grown = Growing(manifest, path, body, head, tail)
        try:
            yield grown
        finally:
            grown.close(is_lazy)


def beside(path: Path, number: int) -> Path:
    """The file that takes photos after `number - 1` others.

    A data set that is a folder, since its reader knows the file by its name alone, has the others in folders.

    >>> beside(Path("coco/annotations.json"), 2).as_posix(), beside(Path("fiftyone/samples.json"), 3).as_posix()
    ('coco/annotations-2.json', 'fiftyone/3/samples.json')
    """
    if path.name == "samples.json":
        return path.parent / str(number) / path.name
    return path.with_stem(f"{path.stem}-{number}")


def _digest(stream: BinaryIO) -> str:
    stream.seek(0)
    digest = blake2b(digest_size=DIGEST)
    while block := stream.read(2**20):
        digest.update(block)
    return digest.hexdigest()
