"""The folder of an export: free, taken, left by a killed export, or with labels that are somebody's.

Its manifest tells which. The labels of an export that has ended, also by an error or a signal, are somebody's, and may
have been corrected: `localize --export` does not touch them, and `deepinside export` adds to them, see `manifest`. What
a killed export has left is replaced, unless somebody has changed a file in it since.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import clear_leftovers
from deepinside.explanations.exports.manifest import MANIFEST, Manifest, opened_manifest

TOLD = 3  # files that a message names


@contextmanager
def claimed(folder: Path, photos: Collection[str] | None = None) -> Iterator[Manifest]:
    """Make the folder of an export, or empty it, for the time of the block, and yield its manifest.

    A block that ends without a photo leaves its files for the next export to replace, and none after an error.

    Args:
        folder: of one format.
        photos: absolute paths of all photos of a run; an earlier export of this run, which is in the folder, is added
            to. None for an export that must be the first.

    Raises `DeepInsideError` as `check_free` does, for a folder that another process exports into, and for one that
    cannot be written.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    with reported(folder):
        check_free(folder, photos)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = opened_manifest(folder)
    try:
        with reported(folder):
            is_adding = check_free(folder, photos)  # another process may have ended since
            if not is_adding:
                _empty(folder)
        yield from _ending(Manifest(folder, descriptor), is_adding, missing)
    finally:
        os.close(descriptor)


def _ending(manifest: Manifest, is_adding: bool, missing: list[Path]) -> Iterator[Manifest]:
    """Yield the manifest, and leave the folder as `claimed` says."""
    try:
        yield manifest
    except BaseException:
        if not (manifest.has_labels or is_adding):
            with suppress(OSError):
                _remove(manifest.folder, missing)
        raise
    finally:
        if manifest.has_labels:
            with reported(manifest.folder):
                manifest.end()
    if manifest.is_whole:
        with reported(manifest.folder):
            manifest.sweep()


def check_free(folder: Path, photos: Collection[str] | None = None) -> bool:
    """Whether an export adds to what is in the folder; if not, it begins anew.

    Raises `DeepInsideError` for a folder that must not be written. Without `photos`, that is one with labels that are
    somebody's; with them, one with files of no export, or of one with photos that are not among these. Hidden files
    and empty folders do not count.
    """
    files = _visible(folder)
    if not files:
        return False
    manifest = Manifest(folder)
    if photos is not None and manifest.photos:
        strangers = [path for path in manifest.photos if path.partition("\0")[0] not in photos]
        if strangers:
            raise DeepInsideError(
                f"{folder}: expected an earlier export of the same run, found one with {strangers[0]}, which is not a "
                "photo of this run; name another folder"
            )
        return True
    if manifest.has_ended or not all(map(manifest.is_ours, files)):
        raise DeepInsideError(
            f"{folder}: expected a new or empty folder for the export, found files in it, which may have been "
            "corrected by hand; move them away or name another folder"
        )
    return False


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn the system's errors in the block into a `DeepInsideError` of one line."""
    try:
        yield
    except OSError as error:
        path = error.filename or folder
        raise DeepInsideError(f"{path}: the export stopped ({error.strerror or brief(error)})") from None


def told(manifest: Manifest) -> list[str]:
    """What somebody has to know of an export that has ended, in a line each."""
    lines = list(manifest.notes)
    if manifest.kept:
        names = list(manifest.kept)
        count = "1 file" if len(names) == 1 else f"{len(names)} files"
        shown = ", ".join(names[:TOLD]) + (", ..." if len(names) > TOLD else "")
        lines.insert(0, f"{manifest.folder}: kept {count} that somebody has changed: {shown}")
    return lines


def _visible(folder: Path) -> list[Path]:
    """The files and links in a folder that are not hidden."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return [path for path in found if not path.name.startswith(".")]


def _empty(folder: Path) -> None:
    """Remove all that an export has written, and then what its manifest says; other hidden files are others'."""
    clear_leftovers(folder)
    if (folder / MANIFEST).stat().st_size:
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    os.truncate(folder / MANIFEST, 0)


def _remove(folder: Path, missing: list[Path]) -> None:
    """Remove all files of an export without labels, and the folders that were missing before it."""
    _empty(folder)
    (folder / MANIFEST).unlink()
    for each in missing:
        each.rmdir()
