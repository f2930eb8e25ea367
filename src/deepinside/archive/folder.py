"""The folder of a run: `run.json` says what was asked, and `parts/` holds the rows, in files that are never changed.

Each part is written under another name and renamed, so that it is whole or not there, also after `kill -9`. One process
at a time writes into a folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from deepinside.archive.records import SCHEMA
from deepinside.archive.rows import Row
from deepinside.core.errors import DeepInsideError, brief, writing
from deepinside.core.files import atomic_write, lock

ABOUT, PARTS, LOCK = "run.json", "parts", ".lock"
# What two processes that add to one run have to agree on, with the option that says it.
SAME = {
    "deepinside": "version of deepinside", "model": "--model", "weights": "weights", "preset": "--preset",
    "objects": "--objects", "min_probability": "--min-probability", "top": "--top",
    "constants": "constants of the preset", "classes": "class names",
}  # fmt: skip
LONG = ("constants", "classes")  # which no message repeats


@dataclass
class RunFolder:
    """A folder that this process writes into. `done` are the keys of the photos in it, and `failed` those without."""

    folder: Path
    about: dict[str, Any]
    done: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    failed: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows as a new part. Raises `DeepInsideError` where the disk is full or the folder cannot be written."""
        if not rows:
            return
        names = [path.stem for path in part_files(self.folder)]
        number = 1 + max((int(name.rpartition("-")[2]) for name in names), default=0)
        path = self.folder / PARTS / f"part-{number:06}.parquet"
        schema = SCHEMA.with_metadata({"deepinside": json.dumps(self.about)})
        with writing(path, "results"), atomic_write(path) as part:
            parquet.write_table(pa.Table.from_pylist(list(rows), schema), part, compression="zstd")


@contextmanager
def opened_run(folder: Path, about: dict[str, Any]) -> Iterator[RunFolder]:
    """Begin a run in a folder, or continue the one that is in it, for the time of the block.

    Args:
        folder: a new or empty one, or that of a run.
        about: what is asked; see `SAME`.

    Raises `DeepInsideError` for a folder that holds something else, a run that was asked for something else, one that
    another process is writing, and one that cannot be written.
    """
    if not (folder / ABOUT).is_file() and folder.is_dir() and any(not x.name.startswith(".") for x in folder.iterdir()):
        raise DeepInsideError(f"{folder}: expected a new folder or that of a run, found other files; name another one")
    with writing(folder / ABOUT, "a run"):
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(OSError):  # a file system without locks
            if not lock(descriptor):
                raise DeepInsideError(f"{folder}: another process is writing this run; wait for it, or stop it")
        if (folder / ABOUT).is_file():
            _check_same(folder, about)
        else:
            with writing(folder / ABOUT, "a run"), atomic_write(folder / ABOUT) as part:
                part.write_text(json.dumps(about, indent=1) + "\n")
        yield RunFolder(folder, about, *_keys(folder))
    finally:
        os.close(descriptor)


def about_run(folder: Path) -> dict[str, Any]:
    """What was asked of the run in a folder. Raises `DeepInsideError` where there is none."""
    try:
        told = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else brief(error)
        raise DeepInsideError(
            f"{folder}: expected the folder of a run, with {ABOUT} in it ({reason}); `deepinside run` makes one"
        ) from None
    if not isinstance(told, dict) or not SAME.keys() <= told.keys():
        raise DeepInsideError(f"{folder / ABOUT}: expected what a run was asked for, found something else")
    return told


def part_files(folder: Path) -> list[Path]:
    """The parts of a run, in the order in which they were written."""
    return sorted((folder / PARTS).glob("part-*.parquet"))


def part_rows(folder: Path, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
    """The rows of one part after the other, with these columns; of a file that was asked for again, the last alone."""
    files = part_files(folder)
    later = np.zeros(0, np.uint64)
    kept = []  # the rows of each part, from the last one backwards, whose file no later part has anew
    for path in reversed(files):
        mine = _read(path, ["file_key"])["file_key"].to_numpy()
        kept.append(~np.isin(mine, later))
        later = np.union1d(later, mine)
    for path, rows in zip(files, reversed(kept), strict=True):
        yield _read(path, columns).filter(rows).to_pylist()


def _check_same(folder: Path, about: dict[str, Any]) -> None:
    before = about_run(folder)
    for name, what in SAME.items():
        if before[name] != about[name]:
            told = "" if name in LONG else f" ({before[name]}), got {about[name]}"
            raise DeepInsideError(
                f"{folder}: expected the same {what} as when the run began{told}; name another folder for another run"
            )


def _keys(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The keys of all photos of a run, and of those whose last try has failed."""
    answered, failed = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for path in part_files(folder):
        table = _read(path, ["key", "error"])
        keys, has_error = table["key"].to_numpy(), table["error"].is_valid().to_numpy()
        answered.append(np.unique(keys[~has_error]))
        failed.append(np.unique(keys[has_error]))
    done = np.unique(np.concatenate(answered))
    return done, np.setdiff1d(np.concatenate(failed), done)


def _read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        return parquet.read_table(path, columns=columns and [*columns], partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DeepInsideError(f"{path}: expected a part of a run ({brief(error)}); remove it to do it again") from None
