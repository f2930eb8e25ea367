"""What people take along from the page: files made when they are asked for, by the library's own writers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

from deepinside.core.errors import named
from deepinside.explanations.export import exporting
from deepinside.explanations.results import Explanation
from deepinside.explanations.sheets import rendered
from deepinside.studio.pictures import mask_png, png


class File(NamedTuple):
    """A file to save: its name, its media type, and its content."""

    name: str
    kind: str
    content: bytes


def _overlay(explanation: Explanation, name: str) -> bytes:
    return png(explanation.overlay(1.0))


def _mask(explanation: Explanation, name: str) -> bytes:
    return mask_png(explanation.objects)


def _sheet(explanation: Explanation, name: str) -> bytes:
    return png(rendered(explanation.figure()))


def _coco(explanation: Explanation, name: str) -> bytes:
    return _exported(explanation, name, "coco", "annotations.json")


def _labelstudio(explanation: Explanation, name: str) -> bytes:
    return _exported(explanation, name, "labelstudio", "tasks.json")


def _exported(explanation: Explanation, name: str, form: str, file: str) -> bytes:
    """One file of an export. The photo is nowhere on this machine, so that its path is its name alone."""
    photo = Path("/") / PurePath(name).name
    with TemporaryDirectory() as folder:
        with exporting(Path(folder), [form]) as add:
            add(photo, Path(photo.name), explanation)
        return (Path(folder) / form / file).read_bytes()


# What can be taken -> the end of the file's name, and what makes it.
KINDS: Mapping[str, tuple[str, str, Callable[[Explanation, str], bytes]]] = MappingProxyType(
    {
        "picture": ("overlay.png", "image/png", _overlay),
        "mask": ("mask.png", "image/png", _mask),
        "sheet": ("sheet.png", "image/png", _sheet),
        "coco": ("coco.json", "application/json", _coco),
        "labelstudio": ("labelstudio.json", "application/json", _labelstudio),
    }
)


def taken(kind: str, explanation: Explanation, name: str) -> File:
    """A file of an explanation of the photo of that name. Raises `DeepInsideError` for an unknown kind."""
    ending, media, make = named(kind, KINDS, "a file")
    return File(f"{PurePath(name).stem}.{ending}", media, make(explanation, name))
