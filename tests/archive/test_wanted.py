"""What a run is asked for: every photo once, with all the classes that any row gives it."""

import io
import tarfile
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


def asked(*sources, **options):
    return [(each.name.as_posix(), each.classes) for each in wanted_of(sources, LABELS, **options)]


def test_photos_and_folders_have_no_classes(folder):
    assert asked(folder) == [("a.png", ()), ("b.png", ()), ("in/a.png", ())]
    assert wanted_of([folder / "a.png"], LABELS) == [Wanted.named(folder / "a.png", Path("a.png"))]


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


@pytest.mark.parametrize(("name", "text", "classes"), [
    ("list.txt", "a.png\n\n  in/a.png\n", ((), ())),
    ("list.jsonl", '{"file_name": "a.png", "label": 1}\n{"file_name": "in/a.png", "label": ["red", "blue"]}\n',
     ((1,), (0, 2))),
])  # fmt: skip
def test_lists_and_json_lines(folder, name, text, classes):
    (folder / name).write_text(text)
    assert asked(folder / name) == list(zip(("a.png", "in/a.png"), classes, strict=True))


def test_a_pattern_stands_for_the_files_that_it_fits(folder):
    assert asked(folder / "**" / "a.png") == [("a.png", ()), ("a-2.png", ())]
    (folder / "[1].png").write_bytes((folder / "a.png").read_bytes())
    assert asked(folder / "[1].png") == [("[1].png", ())]
    with pytest.raises(DeepInsideError, match="found no file that it fits"):
        asked(folder / "*.gif")


def test_an_imagefolder_is_its_metadata(folder):
    (folder / "metadata.csv").write_text("file_name,label\na.png,red\nin/a.png,blue\n")
    assert asked(folder) == [("a.png", (0,)), ("in/a.png", (2,))]


def test_an_imagefolder_with_splits(folder):
    for split, label in (("train", "green"), ("test", "blue")):
        (folder / split).mkdir()
        (folder / split / "a.png").write_bytes((folder / "a.png").read_bytes())
        (folder / split / "metadata.jsonl").write_text(f'{{"file_name": "a.png", "label": "{label}"}}\n')
    assert asked(folder) == [("test/a.png", (2,)), ("train/a.png", (1,))]


def test_folders_name_the_classes_only_where_that_is_asked_for(tmp_path):
    for name in ("red/a.png", "train/blue/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    assert asked(tmp_path) == [("red/a.png", ()), ("train/blue/b.png", ())]
    assert asked(tmp_path, labels_from="folders") == [("red/a.png", (0,)), ("train/blue/b.png", (2,))]
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "cats" / "c.png")
    with pytest.raises(DeepInsideError, match="1 of 3 are not: 'cats'"):
        asked(tmp_path, labels_from="folders")


def test_the_classes_of_annotated_data_are_labels(folder):
    (folder / "boxes.csv").write_text(
        "image,label,x0,y0,x1,y1\na.png,red,0,0,4,4\na.png,blue,1,1,5,5\nin/a.png,green,0,0,2,2\nb.png,cat,0,0,2,2\n"
    )
    found = asked(folder / "boxes.csv", labels_from="annotations")
    assert sorted(found) == [("a.png", (0, 2)), ("b.png", ()), ("in/a.png", (1,))]
    with pytest.raises(DeepInsideError, match="where labels come from"):
        asked(folder, labels_from="names")


def test_a_shard_has_its_labels_beside_its_photos(folder):
    with tarfile.open(folder / "s-000.tar", "w") as shard:
        for name, data in (
            ("0.left.png", b"x"),
            ("0.cls", b"2"),
            ("in/1.png", b"x"),
            ("1.cls", b"0"),
            ("._2.png", b""),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    assert asked(folder / "s-000.tar") == [("s-000/0.left.png", (2,)), ("s-000/in/1.png", ())]
    found = wanted_of([folder / "s-000.tar"], LABELS)
    assert [each.path for each in found] == [folder / "s-000.tar/0.left.png", folder / "s-000.tar/in/1.png"]


def test_a_damaged_shard_gives_what_is_whole_and_is_told(folder):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as shard:
        for name in ("a.png", "b.png"):
            shard.add(folder / name, name)
    with tarfile.open(fileobj=io.BytesIO(whole.getvalue())) as shard:
        within_the_second = shard.getmember("b.png").offset + 100
    (folder / "s.tar").write_bytes(whole.getvalue()[:within_the_second])
    assert asked(folder / "s.tar") == [("s/a.png", ()), ("s.tar", ())]


def test_a_path_is_in_memory_once():
    photo = Wanted.named(Path("/data/photos/in/tom.jpg"), Path("in/tom.jpg"))
    assert (photo.path, photo.name) == (Path("/data/photos/in/tom.jpg"), Path("in/tom.jpg"))
    assert not hasattr(photo, "__dict__")
    assert [value for value in (photo.file, photo.alias) if value] == ["/data/photos/in/tom.jpg"]


@pytest.mark.parametrize(("text", "told"), [
    ("path,label\na.png,red\nb.png,rde\na.png,rde\n", "1 of 2 are not: 'rde' .*did you mean red"),
    ("path,label\na.png,red\nb.png,\n", "line 3: expected a label"),
    ("path,label\n,red\n", "line 2: expected the path of a photo, got ''"),
    ("photo_id,label\n1,red\n", "expected a column with the photos .* found photo_id, label"),
    ("path,label\n", "found no rows"),
])  # fmt: skip
def test_tables_that_cannot_be_meant(folder, text, told):
    (folder / "labels.csv").write_text(text)
    with pytest.raises(DeepInsideError, match=told):
        wanted_of([folder / "labels.csv"], LABELS)


def test_what_is_no_parquet_table(folder):
    (folder / "labels.parquet").write_bytes(b"path,label\n")
    with pytest.raises(DeepInsideError, match="expected a Parquet table"):
        wanted_of([folder / "labels.parquet"], LABELS)
    parquet.write_table(pa.table({"path": ["a.png", None], "label": ["red", "red"]}), folder / "labels.parquet")
    with pytest.raises(DeepInsideError, match="row 2: expected the path of a photo, got None"):
        wanted_of([folder / "labels.parquet"], LABELS)
