"""The photo that an explanation is of: the file that it is in, or the photo itself where there is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import Photo, read

# A file is read again when it is needed: a list of explanations must not keep all photos in memory.
Original: TypeAlias = Photo | Path | None


def file_of(source: object) -> Path | None:
    """The file of a photo that was given as a path; None for one that was given in any other way."""
    return Path(source) if isinstance(source, (str, os.PathLike)) else None


def kept(photo: Photo, path: Path | None) -> Original:
    """What an explanation keeps of a photo, which is in that file or in memory alone."""
    return photo if path is None else path.absolute()


def photo_of(original: Original, width: int, height: int) -> Photo:
    """The photo, which was so many pixels wide and high when it was explained.

    Raises `DeepInsideError` where it is not known, cannot be read any more, or has another size now.
    """
    if original is None:
        raise DeepInsideError(
            "expected an explanation that knows its photo, got one without; add it: "
            "dataclasses.replace(explanation, photo=deepinside.read(path))"
        )
    photo = read(original) if isinstance(original, Path) else original
    if (photo.width, photo.height) != (width, height):
        raise DeepInsideError(
            f"{photo.name}: expected the photo that was explained, of {width} x {height} pixels, got one of "
            f"{photo.width} x {photo.height}; explain it again"
        )
    return photo
