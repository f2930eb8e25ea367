"""Tables as Excel and people write them."""

import os

import numpy as np
import pytest
from PIL import Image

from deepinside.core.geometry import Box
from deepinside.data.boxes import marked_pixels
from deepinside.data.samples import NoBoxesError
from deepinside.data.tables import read_tables

HEADER = "image,label,x0,y0,x1,y1"


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg")
    return tmp_path


def read(folder, content, name="t.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_tables(folder / name))


@pytest.mark.parametrize("content", [
    f"{HEADER}\na.jpg,cat,1,2,30.5,20\n",
    f"{HEADER}\na.jpg,cat,1,2,30.5,20\n".replace(",", ";"),
    f"{HEADER}\na.jpg,cat,1,2,30.5,20\n".replace(",", ";").replace(".5", ",5"),
    f"{HEADER}\na.jpg,cat,1,2,30.5,20\n".replace(",", "\t"),
    f"{HEADER}\na.jpg,cat,1,2,\"30,5\",20\n",
    f"{HEADER}\na.jpg,cat,1,2,30.5,20\n".replace(",", ", "),
    f"{HEADER.upper()}\r\n a.jpg ,cat,1,2,30.5,20\r\n\r\n,,,,,\r\n",
    "sep=;\n" + f"{HEADER}\na.jpg,cat,1,2,30.5,20\n".replace(",", ";"),
    "y1,label,x0,y0,x1,image,note\n20,cat,1,2,30.5,a.jpg\n",
    f"{HEADER}\na.jpg,cat,1,2,30.5,20\n".encode("utf-16"),
    f"{HEADER}\na.jpg,cat,1,2,30.5,20\n".encode("utf-8-sig"),
])  # fmt: skip
def test_forms_of_one_table(folder, content):
    (sample,) = read(folder, content)
    assert sample.error is None
    assert [(each.name, each.box) for each in sample.annotations] == [("cat", Box(1, 2, 30.5, 20))]


def test_names_in_every_encoding(folder):
    for encoding in ("utf-8", "utf-16", "cp1252"):
        (sample,) = read(folder, f'{HEADER}\na.jpg,"caf\u00e9, big",1,2,30,20\n'.encode(encoding))
        assert [each.name for each in sample.annotations] == ["caf\u00e9, big"]


@pytest.mark.parametrize(("rows", "message"), [
    ("a.jpg,cat,1,2,30", "line 2: expected 6 fields, got 5|line 2: expected a value for y1"),
    ("a.jpg,big, red,1,2,30,20", "line 2: expected 6 fields, got 7; put fields that contain the separator in quotes"),
    ("a.jpg,cat,1,2,1,500,20", "expected 6 fields, got 7"),
    ('a.jpg,cat,1,2,"1,500",20', "boxes cannot be read"),
    ("a.jpg,cat,1,2,x,20", "boxes cannot be read"),
    ("a.jpg,,1,2,30,20", "expected a value for label"),
    ("a.jpg,cat,0.1,0.2,0.5,0.6", "fractions of the photo"),
    ("a.jpg,cat,1,2,nan,20", "with an area"),
    (",cat,1,2,30,20", "line 2: expected the name of a photo"),
    ("b.jpg,cat,1,2,30,20", "found no such file"),
])  # fmt: skip
def test_rows_that_cannot_be_right_are_named(folder, rows, message):
    (sample,) = read(folder, f"{HEADER}\n{rows}\n")
    assert sample.error is not None
    assert any(part in str(sample.error) for part in message.split("|"))
    assert "\n" not in str(sample.error)


def test_other_columns_are_told(folder):
    with pytest.raises(NoBoxesError, match=r"expected the columns image,label.*found the columns file,class,xmin$"):
        read(folder, "File;Class;xmin\na.jpg;cat;1\n")
    with pytest.raises(NoBoxesError, match="found the columns of an empty file"):
        read(folder, "")


def test_another_file_that_cannot_be_read_does_not_stop_the_run(folder):
    for name, content in (
        ("about.csv", b"na\xefve;x\n"),
        ("broken.csv", b"a\0b\x81"),
        ("loop.csv", None),
        ("pipe.csv", b""),
    ):
        if content is None:
            (folder / name).symlink_to(folder / name)
        elif name == "pipe.csv":
            os.mkfifo(folder / name)
        else:
            (folder / name).write_bytes(content)
    (folder / "t.csv").write_text(f"{HEADER}\na.jpg,cat,1,2,30,20\n")
    (sample,) = read_tables(folder)
    assert sample.error is None


def test_every_row_has_its_own_mask(folder):
    one, two = np.zeros((2, 40, 60), dtype=np.uint8)
    one[2:20, 1:30], two[25:35, 40:50] = 255, 7
    Image.fromarray(one).save(folder / "one.png")
    Image.fromarray(two).save(folder / "two.png")
    rows = "a.jpg,cat,1,2,30,20,one.png\na.jpg,cat,40,25,50,35,two.png\na.jpg,cat,52,1,58,5,\n"
    (sample,) = read(folder, f"{HEADER},mask\n{rows}")
    marked, void = marked_pixels(sample, sample.annotations, 60, 40)
    assert (marked == ((one > 0) | (two > 0))).all()
    expected = np.zeros((40, 60), dtype=bool)
    expected[1:5, 52:58] = True
    assert (void == expected).all(), "the object without a mask is no background"
