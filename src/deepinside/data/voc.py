"""Pascal VOC: `Annotations/*.xml`, `JPEGImages` and the object masks of `SegmentationObject`.

VOC counts pixels from 1, and its boxes include the last one (VOC2012 development kit).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import is_file
from deepinside.core.geometry import Box
from deepinside.core.text import read_text
from deepinside.data.samples import Annotation, Sample, images_in, inclusive, sample_of

HEAD = 200  # bytes in which an XML file declares its encoding
ENCODING = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")


def read_voc(root: Path) -> Iterator[Sample] | None:
    """The photos of a VOC tree, or of one year in it, such as `VOCdevkit/VOC2012`."""
    years = sorted(root.glob("VOC*")) + sorted(root.glob("VOCdevkit/VOC*"))
    top = next(
        (top for top in (root, *years) if (top / "JPEGImages").is_dir() and any(top.glob("Annotations/*.xml"))), None
    )
    return None if top is None else _samples(top)


class Thing(NamedTuple):
    """One object of an XML file; a `difficult` one need not be found."""

    name: str
    box: Box
    difficult: bool = False


def xml_boxes(path: Path, first: int) -> Iterator[Thing]:
    """Each object in a VOC-style file that counts pixels from `first` and includes the last one.

    Raises `DeepInsideError` for a file that cannot be read, with a box that is none, or without a class.
    """
    try:
        for element in _root(path).iter("object"):
            corners = [float(element.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            name = element.findtext("name", "").strip()
            if not name:
                raise ValueError("an object without a name")
            yield Thing(name, inclusive(corners, first), element.findtext("difficult", "").strip() == "1")
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise DeepInsideError(f"{path}: expected a VOC-style XML with boxes ({brief(error)})") from None


def _root(path: Path) -> ElementTree.Element:
    """The root of an XML file, also of one in another encoding than it says."""
    if not is_file(path):
        raise OSError("no such file")
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError, LookupError):
        return ElementTree.fromstring(_text(path).lstrip())


def _text(path: Path) -> str:
    """The text of an XML file in the encoding that it declares, if Python has it and it fits, or else in its own."""
    with path.open("rb") as stream:
        declared = ENCODING.match(stream.read(HEAD))
    if declared:
        with suppress(UnicodeError, LookupError):
            return path.read_text(encoding=declared[1].decode("ascii"))
    return read_text(path)


def _samples(top: Path) -> Iterator[Sample]:
    photos = {path.stem: path for path in images_in(top / "JPEGImages")}
    for annotation in sorted(top.glob("Annotations/*.xml")):
        mask = top / "SegmentationObject" / f"{annotation.stem}.png"
        photo = photos.get(annotation.stem, top / "JPEGImages" / f"{annotation.stem}.jpg")
        yield sample_of(photo, partial(_annotations, annotation), mask if is_file(mask) else None)


def _annotations(path: Path) -> list[Annotation]:
    """The n-th object of the file has the value n in the mask of `SegmentationObject`, counted from 1."""
    return [
        Annotation(each.box, name=each.name, mask_value=number, difficult=each.difficult)
        for number, each in enumerate(xml_boxes(path, 1), start=1)
    ]
