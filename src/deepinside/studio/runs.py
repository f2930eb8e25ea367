"""Runs of `deepinside run` on the page: what waits for a person, photo by photo, and what the person says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from deepinside.archive.corrections import Correction, Corrections, correct, corrections, found_of
from deepinside.archive.folder import about_run, part_rows
from deepinside.archive.review import reviewed
from deepinside.archive.review_list import FIGURES
from deepinside.archive.rows import Row, file_of, photos_of
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import Photo, read

KEPT = [
    "key", "photo", "file", "error", "width", "height", "class", "label", "number", "confidence",
    "x0", "y0", "x1", "y1",
]  # fmt: skip
PAGE = 12  # photos of a page of the list


@dataclass(frozen=True)
class RunPhoto:
    """A photo of a run: how much it needs a person, in [0, 1], why, and a row for each of its objects."""

    key: int
    need: float
    why: str
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """What the run calls it."""
        return str(self.rows[0]["photo"])

    @property
    def objects(self) -> list[Row]:
        """The rows that are objects; none for a photo without any."""
        return [row for row in self.rows if row["class"] is not None]


class Runs:
    """The runs that the page may show, by their number; one for all people.

    Args:
        folders: of runs, finished or not.

    Raises `DeepInsideError` for a folder without a run.
    """

    def __init__(self, folders: Sequence[Path] = ()):
        self.folders = tuple(folders)
        for folder in self.folders:
            about_run(folder)
        self._read: dict[int, dict[int, RunPhoto]] = {}
        self._lock = Lock()

    def photos(self, run: int, anew: bool = False) -> dict[int, RunPhoto]:
        """The photos of a run by key, those that need a person most first, as they were last read, or read `anew`."""
        with self._lock:
            if anew or run not in self._read:
                self._read[run] = _waiting(self._folder(run))
            return self._read[run]

    def photo(self, run: int, key: int) -> Photo:
        """A photo of a run. Raises `DeepInsideError` for one that is not in it, or cannot be read any more."""
        return read(file_of(self.waiting(run, key).rows[0]))

    def waiting(self, run: int, key: int) -> RunPhoto:
        """A photo of a run by its key. Raises `DeepInsideError` for one that is not in it."""
        found = self.photos(run).get(key)
        if found is None:
            raise DeepInsideError("expected a photo of this run, got another one; read the list anew")
        return found

    def said(self, run: int) -> Corrections:
        """What people have said of the objects of a run."""
        return corrections(self._folder(run))

    def correct(self, run: int, key: int, number: int, kind: str, box: Sequence[float] | None = None) -> Correction:
        """Keep what a person says of the object of that number, from 0, in a photo. Raises as `corrections.correct`."""
        return correct(self._folder(run), _object(self.waiting(run, key), number), kind, box)

    def what(self, photo: RunPhoto, number: int, said: Corrections) -> str | None:
        """The kind of what was said of the object of that number, from 0; None for nothing.

        Raises `DeepInsideError` for a number of no object.
        """
        correction = said.get(found_of(_object(photo, number)))
        return correction.kind if correction else None

    def _folder(self, run: int) -> Path:
        if not 0 <= run < len(self.folders):
            raise DeepInsideError(f"expected one of {len(self.folders)} runs of this page, got number {run + 1}")
        return self.folders[run]


def _object(photo: RunPhoto, number: int) -> Row:
    objects = photo.objects
    if not 0 <= number < len(objects):
        raise DeepInsideError(f"expected one of the {len(objects)} objects of this photo, got number {number + 1}")
    return objects[number]


def _waiting(folder: Path) -> dict[int, RunPhoto]:
    columns = list(dict.fromkeys([*KEPT, *FIGURES]))
    rows = (row for part in part_rows(folder, columns) for row in part)
    found = [_of_rows(photo) for photo in photos_of(rows)]
    return {each.key: each for each in sorted(found, key=lambda each: (-each.need, each.name))}


def _of_rows(photo: Sequence[Row]) -> RunPhoto:
    review = reviewed(photo)
    rows = tuple({name: row[name] for name in KEPT} for row in photo)
    return RunPhoto(photo[0]["key"], review.need, "; ".join(review.reasons), rows)
