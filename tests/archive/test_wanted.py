"""What a run is asked for: every photo once, with all the classes that any row gives it."""

from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from deepinside.archive.wanted import Wanted, wanted_of
from deepinside.core.errors import DeepInsideError
from deepinside.core.labels import Labels

LABELS = Labels((("red",), ("green",), ("blue",)))


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "in/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    return tmp_path


def asked(*sources):
    return [(each.name.as_posix(), each.classes) for each in wanted_of(sources, LABELS.find)]


def test_photos_and_folders_have_no_classes(folder):
    assert asked(folder) == [("a.png", ()), ("b.png", ()), ("in/a.png", ())]
    assert wanted_of([folder / "a.png"], LABELS.find) == [Wanted(folder / "a.png", Path("a.png"))]


def test_a_photo_given_twice_is_one_and_equal_names_get_a_number(folder):
    assert asked(folder / "a.png", folder) == [("a.png", ()), ("b.png", ()), ("in/a.png", ())]
    assert asked(folder / "a.png", folder / "in") == [("a.png", ()), ("a-2.png", ())]


@pytest.mark.parametrize("text", [
    "path,label\na.png,red\nb.png,blue\na.png,green\n",
    "label;path\nred;a.png\nblue;b.png\ngreen;a.png\n",
    "path,label\na.png,red;green\nb.png,blue\n",
    "image,class\na.png,red; green ;red\nb.png,2\n",
])  # fmt: skip
def test_labels_of_several_rows_or_of_one(folder, text):
    (folder / "labels.csv").write_text(text)
    assert asked(folder / "labels.csv") == [("a.png", (0, 1)), ("b.png", (2,))]


@pytest.mark.parametrize("labels", [["red;green", "blue"], [["red", "green"], ["blue"]]])
def test_a_parquet_table_says_the_same(folder, labels):
    parquet.write_table(pa.table({"path": ["a.png", "b.png"], "label": labels}), folder / "labels.parquet")
    assert asked(folder / "labels.parquet") == [("a.png", (0, 1)), ("b.png", (2,))]


def test_a_table_without_labels_is_a_list_of_photos(folder):
    (folder / "list.csv").write_text("path\nin/a.png\nmissing.png\n")
    assert asked(folder / "list.csv") == [("in/a.png", ()), ("missing.png", ())]


@pytest.mark.parametrize(("text", "told"), [
    ("path,label\na.png,red\nb.png,rde\na.png,rde\n", "1 of 2 are not: 'rde' .*did you mean red"),
    ("path,label\na.png,red\nb.png,\n", "line 3: expected a label"),
    ("path,label\n,red\n", "line 2: expected a photo"),
    ("photo_id,label\n1,red\n", "expected a column with the photos .* found photo_id, label"),
    ("path,label\n", "found no rows"),
])  # fmt: skip
def test_tables_that_cannot_be_meant(folder, text, told):
    (folder / "labels.csv").write_text(text)
    with pytest.raises(DeepInsideError, match=told):
        wanted_of([folder / "labels.csv"], LABELS.find)


def test_what_is_no_parquet_table(folder):
    (folder / "labels.parquet").write_bytes(b"path,label\n")
    with pytest.raises(DeepInsideError, match="expected a Parquet table"):
        wanted_of([folder / "labels.parquet"], LABELS.find)
    parquet.write_table(pa.table({"path": ["a.png", None], "label": ["red", "red"]}), folder / "labels.parquet")
    with pytest.raises(DeepInsideError, match="row 2: expected the path of a photo, got None"):
        wanted_of([folder / "labels.parquet"], LABELS.find)
