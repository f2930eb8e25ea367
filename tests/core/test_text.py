"""The same text in every encoding, and the same table with every separator."""

import csv
import os

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.files import is_file
from deepinside.core.text import read_table, read_text

WANTED = {"image", "label", "x0"}


def table(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_table(path, WANTED)
    return [tuple(row.get(column) for column in ("image", "label", "x0")) for row in found.rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings(tmp_path, encoding):
    text = "image,label\r\nna\u00efve.jpg,caf\u00e9\r\n"
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read_text(tmp_path / "a.csv") == text


@pytest.mark.parametrize("content", [b"a\0b", "\u3001".encode("cp932"), b"\x81\x8d\x8f"])
def test_other_encodings_are_not_guessed(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DeepInsideError, match="save it as UTF-8"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "sep={}\n", "\n\n"])
def test_separators_and_line_ends(tmp_path, separator, end, before):
    lines = ["Image ; LABEL;x0", 'a.jpg;"big; red";1', ";;", "", "b.jpg;cat;2"]
    text = before.format(separator) + end.join(line.replace(";", separator) for line in lines)
    assert table(tmp_path / "a.csv", text) == [("a.jpg", f"big{separator} red", "1"), ("b.jpg", "cat", "2")]


def test_fields_with_line_ends_spaces_and_two_hundred_thousand_characters(tmp_path):
    text = 'image, label, x0, polygon\na.jpg, "two\nlines", 1, ' + "9" * 200_000 + "\n"
    limit = csv.field_size_limit()
    assert table(tmp_path / "a.csv", text) == [("a.jpg", "two\nlines", "1")]
    assert csv.field_size_limit() == limit


def test_rows_know_their_line_and_what_is_wrong_with_them(tmp_path):
    (tmp_path / "a.csv").write_text("label,x0,image\ncat,1\n\ncat,1,5,a.jpg\ncat,1,a.jpg,,\n")
    rows = read_table(tmp_path / "a.csv", WANTED).rows
    assert [(row.line, row.complaint.partition(";")[0]) for row in rows] == [
        (2, "expected 3 fields, got 2"), (4, "expected 3 fields, got 4"), (5, ""),
    ]  # fmt: skip
    assert rows[0].get("image") == ""


@pytest.mark.parametrize(("text", "separator", "value"), [
    ("1.5", ",", 1.5), ("1,5", ",", 1.5), ("1,5", ";", 1.5), ("1,500", ";", 1.5), ("-2", ",", -2), (" 7 ", ",", 7),
    ("1,500", ",", None), ("1.500,5", ";", None), ("1_0", ",", None), ("x", ",", None), ("", ",", None),
])  # fmt: skip
def test_numbers(tmp_path, text, separator, value):
    (tmp_path / "a.csv").write_text(f"image{separator}label\na{separator}b\n")
    found = read_table(tmp_path / "a.csv", WANTED)
    if value is not None:
        assert found.number(text) == value
    else:
        with pytest.raises(ValueError, match=r"could not convert|expected a number"):
            found.number(text)


@pytest.mark.parametrize(("content", "message"), [
    (b'image,label\na,"b\nc,d\n', "fields separated by ',' .*unexpected end"),
    (b"image,label,Image\n", "every column once, found 'image' 2 times"),
])  # fmt: skip
def test_tables_that_would_be_misread_are_refused(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DeepInsideError, match=message):
        read_table(tmp_path / "a.csv", WANTED)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "loop", "none", "x" * 300, "a\0b", "\ud800"):
        assert not is_file(tmp_path / name)
        with pytest.raises(DeepInsideError, match="expected a text file"):
            read_text(tmp_path / name)
    with pytest.raises(DeepInsideError, match="found a folder"):
        read_text(tmp_path)
