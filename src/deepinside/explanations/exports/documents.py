"""Pieces of JSON, XML, CSV and PNG files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from io import BytesIO, StringIO
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool
from PIL import Image

from deepinside.core import escape


def lines(records: Iterable[str]) -> str:
    """Records of a JSON list, one a line."""
    return ",\n".join(records)


def json_line(**fields: Any) -> str:
    """One line of ASCII, for readers that open files in the system's own encoding."""
    return json.dumps(fields, separators=(",", ":"))


def element(tag: str, **children: Any) -> ElementTree.Element:
    """An XML element with these children: elements, or values that become the text of one."""
    element = ElementTree.Element(tag)
    for name, child in children.items():
        if isinstance(child, ElementTree.Element):
            element.append(child)
        else:
            ElementTree.SubElement(element, name).text = str(child)
    return element


def xml(root: ElementTree.Element) -> bytes:
    """A whole XML document, indented."""
    ElementTree.indent(root)
    return str(ElementTree.tostring(root, encoding="unicode")).encode() + b"\n"


def csv_row(values: Iterable[object]) -> str:
    """One line of a CSV file that spreadsheets show and do not evaluate; None is an empty cell."""
    stream = StringIO(newline="")
    cells = [escape.cell(value) if isinstance(value, str) else value for value in values]
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def png(mask: Bool[np.ndarray, "rows columns"]) -> bytes:
    """A mask as a gray image of 0 and 255."""
    buffer = BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()
