"""XML files of VOC's kind as programs write them."""

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.data.voc import read_voc, xml_boxes

OBJECT = (
    "<annotation><object><name>{}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>20</ymax></bndbox>"
    "</object></annotation>"
)


@pytest.mark.parametrize(("head", "encoding"), [
    ("", "utf-8"), ("", "utf-8-sig"), ("", "cp1252"), ("<?xml version='1.0' encoding='utf-16'?>", "utf-16"),
    ("<?xml version='1.0' encoding='utf-8'?>", "cp1252"), ("<?xml version='1.0' encoding='iso-8859-1'?>", "cp1252"),
    ("<?xml version='1.0' encoding='no-such'?>", "utf-8"),
])  # fmt: skip
def test_encodings(tmp_path, head, encoding):
    (tmp_path / "a.xml").write_bytes((head + OBJECT.format("caf\u00e9")).encode(encoding))
    assert list(xml_boxes(tmp_path / "a.xml", 1)) == [("caf\u00e9", Box(0, 1, 10, 20), False)]


@pytest.mark.parametrize("content", [
    b"<annotation><object>", b"", b"\0" * 9, b"<object/>", b"<a>" * 100_000,
    OBJECT.replace(">1<", ">x<").encode(), OBJECT.replace(">10<", ">0<").encode(),
    OBJECT.format(" ").encode(), OBJECT.replace("<name>{}</name>", "").encode(),
])  # fmt: skip
def test_damaged_files_are_told_in_one_line(tmp_path, content):
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(DeepInsideError) as refused:
        list(xml_boxes(tmp_path / "a.xml", 1))
    assert "\n" not in str(refused.value)


def test_other_trees_are_left_to_other_readers(tmp_path):
    assert read_voc(tmp_path) is None


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "gb2312"])
def test_encodings_that_the_parser_lacks_are_read_as_declared(tmp_path, encoding):
    head = f'\n<?xml version="1.0" encoding="{encoding}"?>\n'
    (tmp_path / "a.xml").write_bytes((head + OBJECT.format("\u732b")).encode(encoding))
    assert list(xml_boxes(tmp_path / "a.xml", 1)) == [("\u732b", Box(0, 1, 10, 20), False)]


@pytest.mark.parametrize(("text", "difficult"), [("1", True), (" 1\n", True), ("0", False), ("", False)])
def test_difficult_objects_are_known(tmp_path, text, difficult):
    marked = OBJECT.format("cat").replace("<bndbox>", f"<difficult>{text}</difficult><bndbox>")
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "JPEGImages" / "a.jpg").write_bytes(b"")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(marked)
    (sample,) = read_voc(tmp_path)
    assert [each.difficult for each in sample.annotations] == [difficult]
