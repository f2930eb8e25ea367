"""Names of classes and photos that are distinct, and fit everywhere they are written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from deepinside.core import escape
from deepinside.core.files import shortened
from deepinside.core.results import Explanation

Names: TypeAlias = Mapping[int, str]  # of classes, each its own
LONGEST_NAME = 200  # bytes; file systems allow 255, of which suffixes need some


def class_names(explanation: Explanation, names: dict[int, str]) -> list[str]:
    """The label of each object. `names` keeps the labels so far; a second class of the same name gets its id added."""
    for detection in explanation.objects:
        if detection.index not in names:
            name_class(names, detection.index, detection.label, detection.wnid)
    return [names[detection.index] for detection in explanation.objects]


def name_class(names: dict[int, str], index: int, label: str, wnid: str | None) -> None:
    """Give a class its name in `names`: its label, with its id where another class has the same."""
    name = _one_line(label) or f"class {index}"
    if name in names.values():
        name += f" ({_one_line(wnid or '') or index})"
    names[index] = name


def below(name: Path) -> Path:
    """The name without parts that would lead out of the folder it is used in."""
    return Path(*(part for part in name.parts if part not in (name.anchor, "..")))


def flat(name: Path) -> str:
    """`cats/tom.jpg` -> `cats__tom`, without characters that would break a list of one name per line."""
    return short(escape.file_name("__".join(below(name).with_suffix("").parts).strip()) or "photo")


def short(stem: str) -> str:
    """A stem that leaves room for suffixes."""
    return shortened(stem, LONGEST_NAME).rstrip()


def _one_line(text: str) -> str:
    return escape.xml(escape.terminal(text)).strip()


def absolute(photo: Path) -> str:
    """The absolute path of a photo as text that every encoding takes."""
    return escape.encodable(os.path.abspath(photo))
