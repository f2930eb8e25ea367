"""Pieces of files, read back by the standard library."""

import csv
import json
from io import BytesIO, StringIO
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from deepinside.explanations.exports.documents import csv_row, element, json_line, lines, png, xml


def test_rows_are_read_back_and_act_nowhere():
    row = csv_row(["=1+1", 'a, "b"\nc', 0.1, None])
    assert next(csv.reader(StringIO(row, newline=""))) == ["'=1+1", 'a, "b"\nc', "0.1", ""]


def test_records_are_ascii_and_one_a_line():
    text = f"[{lines(json_line(name=name) for name in ('猫', 'a'))}]"
    assert text.isascii()
    assert len(text.splitlines()) == 2
    assert json.loads(text) == [{"name": "猫"}, {"name": "a"}]


def test_elements_nest():
    root = ElementTree.fromstring(xml(element("a", b=1, c=element("d", e="<x>"))))
    assert (root.findtext("b"), root.findtext("d/e")) == ("1", "<x>")


def test_a_mask_is_a_gray_image():
    mask = np.array([[True, False, True]])
    with Image.open(BytesIO(png(mask))) as image:
        assert np.asarray(image).tolist() == [[255, 0, 255]]
