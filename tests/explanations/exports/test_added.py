"""An export of a run that is added to: new photos come, what somebody has corrected stays, and nothing is lost."""

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.explanations.export import FORMATS, exporting
from exported import contents, explanation, save_photo
from exported import items_of as all_items_of

CLASSES = [(f"c{index}", None) for index in range(300)]
# By format, a file that an annotator corrects, and, where it holds many photos, the one that new photos go into.
CORRECTED = {
    "coco": ("annotations.json", "annotations-2.json"),
    "voc": ("VOCdevkit/VOC2012/Annotations/tom.xml", None),
    "yolo": ("labels/tom.txt", None),
    "labelstudio": ("tasks.json", "tasks-2.json"),
    "masks": ("index.csv", "index-2.csv"),
    "csv": ("objects.csv", "objects-2.csv"),
    "fiftyone": ("samples.json", "2/samples.json"),
}


@pytest.fixture
def photos(tmp_path):
    """Two of one name, and one that EXIF turns."""
    folder, turned = tmp_path / "my photos", Image.Exif()
    turned[274] = 6
    save_photo(folder / "cats" / "tom.jpg", 25, 35)
    save_photo(folder / "portrait.jpg", 40, 20, exif=turned)
    save_photo(folder / "tom.jpg", 32, 24)
    return folder


def visible(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if not Path(name).name.startswith(".")}


def items_of(photos):
    return all_items_of(photos, (281, 0))


def add(items, out, formats, photos, *, stop=False):
    """Add these, of a run with these photos; what was told."""
    told = []
    with exporting(out, formats, CLASSES, run_photos={str(path) for path, *_ in photos}, tell=told.append) as write:
        for item in items:
            write(*item)
        if stop:
            raise KeyboardInterrupt
    return told


def photos_in(path: Path) -> list[str]:
    """The names of the photos in a file that holds many."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(dict.fromkeys(row["path"] for row in csv.DictReader(file)))
    data = json.loads(path.read_text())
    if path.name.startswith("annotations"):
        return [each["path"] for each in data["images"]]
    if path.name.startswith("tasks"):
        return [each["data"]["name"] for each in data]
    return [each["filepath"] for each in data["samples"]]


@pytest.mark.parametrize("format", list(FORMATS))
def test_photos_are_added_as_if_they_had_been_there(format, photos, tmp_path):
    items = items_of(photos)
    add(items[:2], tmp_path / "out", format, items)
    assert add(items, tmp_path / "out", format, items) == []
    add(items, tmp_path / "at once", format, items)
    assert visible(tmp_path / "out") == visible(tmp_path / "at once")
    assert add(items, tmp_path / "out", format, items) == []
    assert visible(tmp_path / "out") == visible(tmp_path / "at once")


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_corrected_file_stays_byte_for_byte(format, photos, tmp_path):
    items, (name, following) = items_of(photos), CORRECTED[format]
    first = [item for item in items if item[1].name == "tom.jpg"]
    add(first, tmp_path, format, items)
    path = tmp_path / format / name
    path.write_bytes(corrected := path.read_bytes() + b"\n")
    others = {key: data for key, data in visible(tmp_path / format).items() if key != name}
    for _ in range(2):
        told = add(items, tmp_path, format, items)
        assert path.read_bytes() == corrected
        assert told[0] == f"{tmp_path / format}: kept 1 file that somebody has changed: {name}"
        after = visible(tmp_path / format)
        assert others.keys() <= after.keys()
        if following is None:
            assert told[1:] == []
            assert len(after) > len(others) + 1
        else:
            beside = tmp_path / format / following
            assert told[1:] == [f"1 photo is in {beside}, since {path.name} has been changed"]
            assert len(photos_in(beside)) == 1
            assert not {*photos_in(beside)} & {*photos_in(path)}
    third = [*items, (photos / "new.jpg", Path("new.jpg"), items[0][2])]
    (photos / "new.jpg").write_bytes((photos / "tom.jpg").read_bytes())
    add(third, tmp_path, format, third)
    assert path.read_bytes() == corrected
    if following:
        assert len(photos_in(tmp_path / format / following)) == 2, "unchanged, so it is written anew"


@pytest.mark.parametrize("format", list(FORMATS))
def test_the_order_of_photos_may_change_and_their_names_stay(format, photos, tmp_path):
    """Photos that were asked for again come last, and two are called tom."""
    items = [(path, Path(path.name), seen) for path, _, seen in items_of(photos)]
    add(items, tmp_path, format, items)
    before = visible(tmp_path / format)
    if CORRECTED[format][1]:
        add(items[::-1], tmp_path, format, items)
        assert before.keys() == visible(tmp_path / format).keys()
        return
    corrected = {name for name in before if "tom" in Path(name).stem}
    assert len(corrected) == 4
    add(items[::-1], tmp_path, format, items)
    after = visible(tmp_path / format)
    assert {name: before[name] for name in corrected} == {name: after[name] for name in corrected}


@pytest.mark.parametrize("format", ["coco", "labelstudio", "csv", "fiftyone", "masks"])
def test_photos_with_other_results_are_told_beside_what_was_corrected(format, photos, tmp_path):
    items, (name, following) = items_of(photos), CORRECTED[format]
    add(items, tmp_path, format, items)
    path = tmp_path / format / name
    path.write_bytes(path.read_bytes() + b"\n")
    path_of, called, _ = items[1]
    again = [*items[:1], *items[2:], (path_of, called, explanation(path_of, (7,), 99))]
    add(again, tmp_path, format, items)
    (told,) = photos_in(tmp_path / format / following)
    assert told in (str(path_of), called.as_posix())


@pytest.mark.parametrize("format", list(FORMATS))
def test_files_that_were_deleted_are_written_again(format, photos, tmp_path):
    items = items_of(photos)
    add(items, tmp_path, format, items)
    before = visible(tmp_path / format)
    (tmp_path / format / CORRECTED[format][0]).unlink()
    add(items, tmp_path, format, items)
    assert visible(tmp_path / format) == before


def test_the_masks_of_a_class_that_is_not_asked_for_any_more_go_unless_they_were_corrected(photos, tmp_path):
    (path, name, _), *_ = items = items_of(photos)
    stem = f"masks/{name.with_suffix('').as_posix()}"
    add([(path, name, explanation(path, (5, 6)))], tmp_path, "masks", items)
    (tmp_path / "masks" / f"{stem}-6.png").write_bytes(b"corrected")
    add([(path, name, explanation(path, (7,)))], tmp_path, "masks", items)
    found = {key for key in visible(tmp_path / "masks") if key.endswith(".png")}
    assert found == {f"{stem}-6.png", f"{stem}-7.png"}


def test_what_a_corrected_file_refers_to_stays(photos, tmp_path):
    (path, name, _), *_ = items = items_of(photos)
    add([(path, name, explanation(path, (5, 6)))], tmp_path, ["masks", "fiftyone"], items)
    before = visible(tmp_path)
    for file in ("masks/index.csv", "fiftyone/samples.json"):
        (tmp_path / file).write_bytes(before[file] + b"\n")
    add([(path, name, explanation(path, (7,)))], tmp_path, ["masks", "fiftyone"], items)
    assert before.keys() <= visible(tmp_path).keys()


def test_lists_of_classes_and_splits_that_were_edited_stay(photos, tmp_path):
    items = items_of(photos)
    add(items[:2], tmp_path, ["yolo", "labelstudio", "voc"], items)
    split = Path("voc/VOCdevkit/VOC2012/ImageSets/Main/train.txt")
    edited = [Path("yolo/data.yaml"), Path("labelstudio/config.xml"), split]
    for name in edited:
        (tmp_path / name).write_text("edited\n")
    told = add(items, tmp_path, ["yolo", "labelstudio", "voc"], items)
    assert [(tmp_path / name).read_text() for name in edited] == ["edited\n"] * 3
    assert len((tmp_path / split.with_name("train-2.txt")).read_text().splitlines()) == 1
    assert len((tmp_path / split.with_name("trainval.txt")).read_text().splitlines()) == 3
    assert len([line for line in told if "kept 1 file" in line]) == 3


@pytest.mark.parametrize("format", list(FORMATS))
def test_an_addition_that_is_stopped_takes_nothing_away(format, photos, tmp_path):
    items = items_of(photos)
    add(items[:2], tmp_path / "out", format, items)
    before = visible(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        add(items[:1], tmp_path / "out", format, items, stop=True)
    assert visible(tmp_path / "out") == before
    add(items, tmp_path / "out", format, items)
    add(items, tmp_path / "at once", format, items)
    assert visible(tmp_path / "out") == visible(tmp_path / "at once")


@pytest.mark.parametrize("format", list(FORMATS))
def test_photos_of_another_run_are_refused_and_nothing_is_touched(format, photos, tmp_path):
    items = items_of(photos)
    add(items[:2], tmp_path / "out", format, items)
    before = contents(tmp_path / "out")
    with pytest.raises(DeepInsideError, match="which is not a photo of this run; name another folder"):
        add(items[2:], tmp_path / "out", format, items[2:])
    assert contents(tmp_path / "out") == before


ADDING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from exported import items_of
from deepinside.explanations.export import FORMATS, exporting
items = items_of(Path(sys.argv[2]))
with exporting(Path(sys.argv[3]), FORMATS, run_photos={str(path) for path, *_ in items}) as add:
    for number, item in enumerate(items * 100):
        add(*item)
        print(number, flush=True)
"""


def test_an_addition_that_is_killed_is_made_good_by_the_next(photos, tmp_path):
    items, out = items_of(photos), tmp_path / "out"
    with exporting(out, FORMATS, run_photos={str(path) for path, *_ in items}) as write:
        write(*items[0])
    path = out / "yolo" / "labels" / f"{'__'.join(items[0][1].with_suffix('').parts)}.txt"
    path.write_text("corrected")
    before = visible(out)
    command = [sys.executable, "-c", ADDING, str(Path(__file__).parents[2]), str(photos), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for _ in range(7):
            process.stdout.readline()
        with pytest.raises(DeepInsideError, match="another process"):
            add(items, out, FORMATS, items)
        process.send_signal(signal.SIGKILL)
    held = [f"{format}/{CORRECTED[format][0]}" for format in CORRECTED if CORRECTED[format][1]]
    assert {name: visible(out)[name] for name in held} == {name: before[name] for name in held}
    with exporting(out, FORMATS, run_photos={str(path) for path, *_ in items}) as write:
        for item in items:
            write(*item)
    assert path.read_text() == "corrected"
    with exporting(tmp_path / "at once", FORMATS, run_photos={str(path) for path, *_ in items}) as write:
        for item in items:
            write(*item)
    path.write_bytes((tmp_path / "at once" / path.relative_to(out)).read_bytes())
    assert visible(out) == visible(tmp_path / "at once")


@pytest.mark.parametrize("format", list(FORMATS))
def test_the_review_of_a_photo_is_written(format, photos, tmp_path):
    items = [(path, name, replace(seen, review=0.125)) for path, name, seen in items_of(photos)]
    items[0] = (*items[0][:2], replace(items[0][2], review=None))
    add(items, tmp_path, format, items)
    folder = tmp_path / format

    def loaded(name):
        return json.loads((folder / name).read_text())

    def column(name, key):
        with (folder / name).open(newline="", encoding="utf-8") as file:
            return list({row[key]: row["review"] for row in csv.DictReader(file)}.values())

    read = {
        "coco": lambda: [
            each.get("review") for each in json.loads((folder / CORRECTED[format][0]).read_text())["images"]
        ],
        "voc": lambda: [ElementTree.parse(path).findtext("review") for path in folder.rglob("*.xml")],
        "yolo": lambda: [*column("review.csv", "image"), ""],
        "labelstudio": lambda: [each["data"].get("review") for each in loaded("tasks.json")],
        "masks": lambda: column("index.csv", "photo"),
        "csv": lambda: column("objects.csv", "photo"),
        "fiftyone": lambda: [
            each.get("review") for each in json.loads((folder / "samples.json").read_text())["samples"]
        ],
    }[format]()
    assert sorted(float(each) if each else -1 for each in read) == [-1, 0.125, 0.125]


def test_yolo_has_no_file_of_reviews_without_any(photos, tmp_path):
    items = items_of(photos)
    add(items, tmp_path, "yolo", items)
    assert not (tmp_path / "yolo" / "review.csv").exists()


def test_links_that_somebody_has_replaced_by_files_stay_and_are_no_matter(photos, tmp_path):
    items = items_of(photos)
    add(items, tmp_path, ["yolo", "voc"], items)
    links = [path for path in tmp_path.rglob("*") if path.is_symlink() and "my photos" not in path.parts]
    assert links
    for path in links:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert add(items, tmp_path, ["yolo", "voc"], items) == []
    assert not any(path.is_symlink() for path in links)
