"""All formats at once: labels, names, failures and interruptions, and a reader of three of them."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import find_photos
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.export import FORMATS, export, exporting
from exported import (
    album_in,
    contents,
    corners,
    detection,
    explanation,
    items_of,
    old_pycocotools,
    read_yolo,
    save_photo,
)


@pytest.fixture
def photos(tmp_path):
    return album_in(tmp_path)


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
def test_supervision_reads_the_same_boxes(format, photos, tmp_path):
    pytest.importorskip("supervision", reason="supervision, the reader, is not installed")
    from supervision import DetectionDataset

    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", format)
    root = folder / "VOCdevkit" / "VOC2012"
    data = {
        "coco": lambda: DetectionDataset.from_coco(str(photos), str(folder / "annotations.json")),
        "voc": lambda: DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations")),
        "yolo": lambda: DetectionDataset.from_yolo(
            str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml")
        ),
    }[format]()
    found = sorted(
        (data.classes[number], *np.round(box, 3).tolist())
        for _, _, seen in data
        for number, box in zip(seen.class_id, seen.xyxy, strict=True)
    )
    assert found == sorted((seen.label, *corners(seen)) for _, _, e in items for seen in e.objects)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_label_survives_yaml_xml_and_json(tmp_path_factory, labels):
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads data.yaml, is not installed")
    place = tmp_path_factory.mktemp("labels")
    path = save_photo(place / "a.png", 20, 20)
    frame = Frame.whole(20, 20, width=2, height=2)
    mask = np.array([[True, False], [False, False]])
    seen = tuple(detection(1000 + i, mask, frame, label) for i, label in enumerate(labels))
    export(
        [(path, Path("a.png"), Explanation("a", 20, 20, "m", "p", seen))],
        place / "out",
        ["yolo", "coco", "voc", "labelstudio"],
    )
    names = list(yaml.safe_load((place / "out/yolo/data.yaml").read_text(encoding="utf-8"))["names"].values())
    assert [c["name"] for c in json.loads((place / "out/coco/annotations.json").read_text())["categories"]] == names
    document = ElementTree.parse(place / "out/voc/VOCdevkit/VOC2012/Annotations/a.xml")
    assert [item.text for item in document.iterfind("object/name")] == names
    config = ElementTree.parse(place / "out/labelstudio/config.xml")
    assert [item.get("value") for item in config.iterfind("BrushLabels/Label")] == names
    assert len(set(names)) == len(names)
    for name, label in zip(names, labels, strict=True):
        if label.isprintable() and label.strip() and labels.count(label) == 1:
            assert name == label.strip()


def test_nothing_is_lost_when_names_collide_and_the_photos_stay_as_they_are(photos, tmp_path):
    items = items_of(photos, classes=(281,))
    path, _, seen = items[0]
    names = [
        "cats/tom.jpg",
        "cats__tom.jpg",
        "Cats/Tom.jpg",
        "cats/tom.jpg",
        "../../../etc/tom.jpg",
        "/tom.jpg",
    ]
    names += [f"{'é' * 120}.jpg", f"{'é' * 119}è.jpg", "line\nbreak.jpg", " .jpg", "e\u0301.jpg", "é.jpg"]
    before = contents(photos)
    export([(path, Path(name), seen) for name in names], tmp_path / "out", FORMATS)
    assert contents(photos) == before
    assert sorted(place.name for place in tmp_path.iterdir()) == ["my photos", "out"]
    for pattern in ("voc/**/*.xml", "voc/**/*.jpg", "yolo/images/*", "yolo/labels/*", "masks/**/*.png"):
        found = [str(file).casefold() for file in (tmp_path / "out").glob(pattern)]
        assert len(set(found)) == len(found) == len(names), pattern
    data = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert len({image["file_name"] for image in data["images"]}) == len(names)
    lines = (tmp_path / "out/voc/VOCdevkit/VOC2012/ImageSets/Main/train.txt").read_text("utf-8").splitlines()
    assert len(set(lines)) == len(names)
    assert len(torchvision.datasets.VOCDetection(tmp_path / "out/voc")[8]) == 2


def test_a_name_that_is_not_unicode_spoils_no_file(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        save_photo(path, 20, 20)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes Unicode names only")
    export([(path, Path(path.name), explanation(path))], tmp_path / "out", FORMATS)
    for file in (tmp_path / "out").rglob("*"):
        if file.suffix in {".json", ".xml", ".yaml", ".csv", ".txt"}:
            text = file.read_text("utf-8")
            assert not re.search(r"\\ud[c-f]", text)
    (task,) = json.loads((tmp_path / "out/labelstudio/tasks.json").read_text())
    assert task["data"]["image"].endswith("caf%E9.png")


def test_the_same_items_give_the_same_bytes(photos, tmp_path):
    for place in ("a", "b"):
        export(items_of(photos), tmp_path / place, FORMATS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not [name for name in contents(tmp_path / "a") if name.endswith(".part")]


def test_items_are_taken_one_by_one(photos, tmp_path):
    taken = []

    def items():
        for path, name in find_photos([photos]):
            done = len(list((tmp_path / "out" / "yolo" / "labels").glob("*.txt")))
            assert done == len(taken)
            taken.append(name)
            yield path, name, explanation(path)

    export(items(), tmp_path / "out", FORMATS)
    assert len(taken) == 5


def test_an_interrupted_run_keeps_what_it_had_done(photos, tmp_path):
    items = items_of(photos)

    def interrupted():
        yield from items[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(interrupted(), tmp_path / "out", FORMATS)
    export(items[:2], tmp_path / "two", FORMATS)
    assert contents(tmp_path / "out") == contents(tmp_path / "two")


def test_no_photos_give_empty_documents_that_read(tmp_path, capsys):
    export([], tmp_path / "out", FORMATS)
    data = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert (data["images"], data["annotations"], data["categories"]) == ([], [], [])
    assert json.loads((tmp_path / "out/labelstudio/tasks.json").read_text()) == []
    assert (tmp_path / "out/yolo/data.yaml").read_text() == "train: images\nval: images\nnames: []\n"


def test_an_unknown_format_is_named_with_the_nearest_before_anything_is_written(tmp_path):
    with pytest.raises(DeepInsideError, match=r"got 'yollo'; did you mean yolo"):
        export([], tmp_path / "out", ["coco", "yollo"])
    assert not (tmp_path / "out").exists()


def test_a_format_asked_for_twice_is_written_once(tmp_path):
    assert export([], tmp_path / "out", ["coco", "coco"]) == [tmp_path / "out" / "coco"]


def test_a_folder_with_something_in_it_is_left_alone(photos, tmp_path):
    items = items_of(photos)
    export(items, tmp_path / "out", "voc")
    before = contents(tmp_path / "out")
    with pytest.raises(DeepInsideError, match="new or empty folder"):
        export(items, tmp_path / "out", ["coco", "voc"])
    assert {name: data for name, data in contents(tmp_path / "out").items() if name in before} == before


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(format, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeepInsideError, match=r"file.*Not a directory|exists"):
        export([], tmp_path / "file", format)


@pytest.mark.parametrize("format", list(FORMATS))
def test_an_explanation_without_boxes_is_an_error_and_leaves_no_trace(format, photos, tmp_path):
    (path, name), *_ = find_photos([photos])
    seen = explanation(path)
    (one,) = seen.objects
    bare = Detection(one.index, one.label, one.wnid, one.score, one.probability, one.frame, one.map, None)
    with (
        exporting(tmp_path / "out", format) as add,
        pytest.raises(DeepInsideError, match="saliency alone"),
    ):
        add(path, name, Explanation(seen.name, seen.width, seen.height, seen.model, seen.preset, (bare,)))
    files = [file for file in contents(tmp_path / "out") if Path(file).suffix in {".jpg", ".png", ".xml", ".txt"}]
    assert all(Path(file).name in {"config.xml", "train.txt", "trainval.txt"} for file in files)


def test_a_full_disk_is_an_error_of_one_line(photos, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    items = items_of(photos)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DeepInsideError, match=r"No space left") as caught:
        export(items, tmp_path / "out", "masks")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").rglob("*.png"))


HOSTILE = [
    "<script>alert(1)</script>", "$x$", '=HYPERLINK("http://a.b")', "\x1b[31mred", "../../etc/passwd", "nul\x00l",
    "two\nlines", "CON", "trailing dot.", "\u202egnp.exe", "lone \udce9 \ud800", "{{ 7*7 }}", "[bold]", "a: b # c",
]  # fmt: skip


def test_hostile_labels_are_the_same_in_every_format_and_act_nowhere(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads data.yaml, is not installed")
    path = save_photo(tmp_path / "a.png", 20, 20)
    mask = np.array([[True, False], [False, False]])
    frame = Frame.whole(20, 20, width=2, height=2)
    seen = tuple(detection(index, mask, frame, label) for index, label in enumerate(HOSTILE))
    out = tmp_path / "out"
    export([(path, Path("a.png"), Explanation("a", 20, 20, "m\udce9", "p", seen))], out, FORMATS)
    expected = [
        "<script>alert(1)</script>", "$x$", '=HYPERLINK("http://a.b")', r"\x1b[31mred", "../../etc/passwd", r"nul\x00l",
        r"two\nlines", "CON", "trailing dot.", r"\u202egnp.exe", r"lone \xe9 \ud800", "{{ 7*7 }}", "[bold]", "a: b # c",
    ]  # fmt: skip
    document = ElementTree.parse(out / "voc/VOCdevkit/VOC2012/Annotations/a.xml")
    config = ElementTree.parse(out / "labelstudio/config.xml")
    (task,) = json.loads((out / "labelstudio/tasks.json").read_bytes())
    with (out / "masks/index.csv").open(encoding="utf-8", newline="") as file:
        cells = [row["label"] for row in csv.DictReader(file)]
    assert [each["name"] for each in json.loads((out / "coco/annotations.json").read_bytes())["categories"]] == expected
    assert [each.text for each in document.iterfind("object/name")] == expected
    assert list(yaml.safe_load((out / "yolo/data.yaml").read_bytes())["names"].values()) == expected
    assert [each.get("value") for each in config.iterfind("BrushLabels/Label")] == expected
    assert [each["result"][1]["value"]["brushlabels"][0] for each in task["predictions"]] == expected
    assert [cell.removeprefix("'") for cell in cells] == expected
    assert all(not cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_photos_of_hostile_names_are_found_again(tmp_path):
    """Names as long as the file system allows, names that other systems forbid, and names of several lines."""
    names = ["x" * 251 + ".png", "\u67f4" * 83 + ".png", "=1+1.png", "a\nb.png", "CON.png", "a:b?.png", "\x1b[31m.png"]
    paths = [save_photo(tmp_path / "photos" / name, 20, 20) for name in names]
    out = tmp_path / "out"
    export([(path, Path(path.name), explanation(path)) for path in paths], out, FORMATS)
    found = {image["file_name"] for image in json.loads((out / "coco/annotations.json").read_text())["images"]}
    assert found == set(names)
    with (out / "masks/index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all((out / "masks" / row["mask"]).is_file() for row in rows)
    assert [row["path"] for row in rows] == [str(path).replace("\x1b", r"\x1b") for path in paths]
    written = [file for file in out.rglob("*") if file.is_file()]
    assert all(file.name.isprintable() and not set(file.name) & set('<>:"|?*\\') for file in written)
    assert len(torchvision.datasets.VOCDetection(out / "voc")) == len(names)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
from exported import items_of
from deepinside.explanations.export import FORMATS, exporting
items = items_of(Path(sys.argv[2]))
with exporting(Path(sys.argv[3]), FORMATS) as add:
    for number in range(100):
        path, name, seen = items[number % len(items)]
        add(path, name, seen)
        print(number, flush=True)
"""


@old_pycocotools
def test_a_killed_run_leaves_complete_files_of_all_that_it_told_and_can_be_started_again(photos, tmp_path, capsys):
    reader = pytest.importorskip("pycocotools.coco", reason="pycocotools, the reader, is not installed")
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1]), str(photos), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for _ in range(8):
            process.stdout.readline()
        process.kill()
        told = 8 + len([line for line in process.stdout if line.endswith(b"\n")])
    assert told < 100
    data = reader.COCO(str(out / "coco" / "annotations.json"))
    assert told <= len(data.dataset["images"]) <= told + 1
    assert len(data.dataset["annotations"]) == 3 * len(data.dataset["images"])
    assert len(torchvision.datasets.VOCDetection(out / "voc")) >= told
    assert len(read_yolo(out / "yolo")) >= told
    assert len(json.loads((out / "labelstudio" / "tasks.json").read_text())) >= told
    with (out / "masks" / "index.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) >= 3 * told
    items = items_of(photos)[:2]
    export(items, out, FORMATS)
    export(items, tmp_path / "uninterrupted", FORMATS)
