"""Photos with their annotations, as every reader of a data set yields them, and the checks that all readers share.

Boxes are half-open, `(x0, y0, x1, y1)` in photo pixels, whatever the convention of the file. A missing photo or an
invalid annotation becomes a `Sample` with an `error`, so that a run can count and name them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import is_file
from deepinside.core.formats import is_picture_name
from deepinside.core.geometry import Box

BYTE = re.compile(r"\\x([0-9a-f]{2})")


class NoBoxesError(DeepInsideError):
    """A path where no reader finds its kind of data set, as opposed to a data set that is invalid."""


@dataclass(frozen=True)
class RunLengths:
    """A mask as COCO stores it: the lengths of runs of 0 and 1 in turn, column by column, as numbers or compressed."""

    height: int
    width: int
    counts: str | tuple[int, ...]


@dataclass(frozen=True)
class Annotation:
    """One object in a photo: its box in half-open photo pixels, and its class in the data set's own terms.

    `index` is the class's index in the data set's list, if that is the order of a network's logits. `imagenet` holds
    the indices of all of ImageNet's 1000 classes that count as the class, where the data set lists them. Its pixels, if
    somebody marked them, are those of `run_lengths`, of `polygons`, (x, y, x, y, ...) in photo pixels each, or of the
    file `mask`. In a mask of the whole sample, they have the value `mask_value`, or any but 0 where it is None. A
    `difficult` object need not be found: where objects are counted, it counts neither way.
    """

    box: Box
    wnid: str | None = None
    name: str | None = None
    index: int | None = None
    mask_value: int | None = None
    polygons: tuple[tuple[float, ...], ...] = ()
    run_lengths: RunLengths | None = None
    mask: Path | None = None
    imagenet: tuple[int, ...] = ()
    difficult: bool = False

    @property
    def label(self) -> str:
        """The name of its class in messages."""
        return self.name or self.wnid or f"class {self.index}"

    @property
    def has_outline(self) -> bool:
        """Whether it has pixels of its own, apart from a mask of the whole sample."""
        return bool(self.polygons or self.run_lengths or self.mask)


@dataclass(frozen=True)
class Sample:
    """A photo file and its annotations, or the error for which it cannot be used.

    `ignored` are regions that count neither way, such as COCO's crowds. `size` is the width and the height in pixels
    that the data set says the photo has, if it does.
    """

    path: Path
    annotations: tuple[Annotation, ...] = ()
    mask: Path | None = None
    error: DeepInsideError | None = None
    ignored: tuple[Annotation, ...] = ()
    size: tuple[int, int] | None = None

    @property
    def masks(self) -> tuple[Path, ...]:
        """All files of masks, of the whole sample and of its annotations."""
        own = (annotation.mask for annotation in self.annotations)
        return tuple(path for path in (self.mask, *own) if path is not None)

    def on_photo(self, width: int, height: int) -> Sample:
        """The same with its boxes clipped to the photo's pixels, once the size of the photo is known.

        Raises `DeepInsideError` for a box without any area inside, and for annotations of a photo of another size.
        """
        if self.size not in (None, (width, height)):
            declared = " x ".join(map(str, self.size or ()))
            raise DeepInsideError(
                f"{self.path}: the annotations are of a photo of {declared} pixels, and this one has {width} x {height}"
            )
        whole = Box(0, 0, width, height)
        for annotation in self.annotations:
            if not annotation.box.intersection(whole).area > 0:
                raise DeepInsideError(
                    f"{self.path}: the box {annotation.box.as_tuple()} of {annotation.label!r} lies outside of the "
                    f"photo's {width} x {height} pixels; was it annotated on a larger original?"
                )
        clipped = (replace(each, box=each.box.intersection(whole)) for each in self.annotations)
        return replace(self, annotations=tuple(clipped))


def sample_of(photo: Path, annotations: Callable[[], Iterable[Annotation]], mask: Path | None = None) -> Sample:
    """The sample of a photo, with an error if the photo is missing or an annotation is invalid."""
    if not is_file(photo):
        return broken(photo, "expected a photo, found no such file")
    try:
        found = tuple(annotations())
    except DeepInsideError as error:
        return broken(photo, str(error))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return broken(photo, f"its boxes cannot be read ({brief(error)})")
    return Sample(photo, found, mask) if found else broken(photo, "expected at least one box, found none")


def broken(path: Path, reason: str) -> Sample:
    """A sample that cannot be used: of a photo, or of the file whose record names none."""
    return Sample(path, error=DeepInsideError(reason if str(path) in reason else f"{path}: {reason}"))


def proper(box: Box) -> Box:
    """The box itself. Raises `DeepInsideError` for one without an area, and for fractions in place of pixels."""
    corners = box.as_tuple()
    if not (all(map(isfinite, corners)) and box.area > 0):
        raise DeepInsideError(f"expected a box with an area, got {corners}")
    if max(corners) <= 1 and any(corner != int(corner) for corner in corners):
        raise DeepInsideError(f"expected a box in pixels, got fractions of the photo, {corners}")
    return box


def inclusive(corners: list[float], first: int) -> Box:
    """The first and last pixels, counted from `first` -> a half-open box."""
    x0, y0, x1, y1 = (corner - first for corner in corners)
    return proper(Box(x0, y0, x1 + 1, y1 + 1))


def images_in(folder: Path) -> Iterator[Path]:
    """The picture files in a folder and the folders in it."""
    return (path for path in folder.rglob("*") if is_picture_name(path))


def first_file(*paths: Path) -> Path | None:
    """The first of these paths where there is a file."""
    return next((path for path in paths if is_file(path)), None)


def photo_of(name: str, *folders: Path) -> Path:
    r"""The photo of a name in the first of the folders that has it.

    The name may have its folders as Windows writes them, and what tables cannot hold as exports write it: `\x1b`, and
    `\xe9` for a byte that is not UTF-8.
    """
    bytes_of = BYTE.sub(lambda found: os.fsdecode(bytes.fromhex(found[1])), name)
    names = dict.fromkeys((name, bytes_of, name.replace("\\", "/")))
    return first_file(*(folder / each for folder in folders for each in names)) or folders[0] / name
