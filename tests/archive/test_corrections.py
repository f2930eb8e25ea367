"""What a person says of the objects of a run: kept line by line, and in all that is exported afterwards."""

import csv
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from deepinside.archive import corrections as module
from deepinside.archive.corrections import FILE, KINDS, correct, corrected, corrections, found_of, is_judged
from deepinside.archive.folder import part_rows
from deepinside.archive.records import explanations
from deepinside.archive.review import need
from deepinside.archive.review_list import waiting
from deepinside.archive.rows import box_of, mask_of, photos_of
from deepinside.archive.run import about_run, export_run, running
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError
from deepinside.explanations.export import FORMATS
from exported import old_pycocotools, read_yolo, slow_brush_decode

WIDTH, HEIGHT = 48, 36
NEW = (3, 2, 45, 33)


@pytest.fixture
def run(colors, tmp_path):
    """Three photos with red squares, of which the first has two; one without objects, and one that cannot be read."""
    squares = {
        "a.png": [("red", 4, 4), ("red", 30, 18)],
        "b.png": [("red", 8, 8)],
        "c.png": [("red", 20, 12)],
        "none.png": [("red", 4, 4), ("blue", 28, 4)],  # equally likely, and nobody has given any
    }
    for name, mine in squares.items():
        image = Image.new("RGB", (WIDTH, HEIGHT), "gray")
        for color, x, y in mine:
            image.paste(color, (x, y, x + 12, y + 12))
        image.save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"")
    photos = [
        Wanted.named(tmp_path / name, Path(name), () if name == "none.png" else (0,))
        for name in (*squares, "broken.png")
    ]
    with running(colors, photos, tmp_path / "run", min_probability=0.9) as (_, answers):
        assert [each.error is None for each in answers] == [True, True, True, True, False]
    assert photo_in(tmp_path / "run", "none.png")[0]["class"] is None
    return tmp_path / "run"


def rows_in(folder):
    return list(chain.from_iterable(part_rows(folder)))


def photo_in(folder, name):
    return [row for row in rows_in(folder) if row["photo"] == name]


def is_object(row):
    return row["class"] is not None


def corners_of(row):
    return box_of(row).as_tuple()


def lines_of(folder):
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


# -------------------------------------------------------------------------------------------------------- the file


def test_nothing_is_said_before_anybody_has(run):
    assert corrections(run) == {}
    assert corrected(photo_in(run, "a.png"), {}) == photo_in(run, "a.png")


def test_each_kind_is_kept_and_the_last_of_an_object_counts(run):
    first, second = photo_in(run, "a.png")
    for kind in KINDS:
        told = correct(run, first, kind, NEW if kind == "moved" else None)
        assert (told.kind, told.box) == (kind, NEW if kind == "moved" else None)
        assert corrections(run) == ({} if kind == "undone" else {found_of(first): told})
    correct(run, second, "rejected")
    correct(run, second, "accepted")
    assert [(each.key, each.number, said.kind) for each, said in corrections(run).items()] == [
        (second["key"], 2, "accepted")
    ]
    assert [line["kind"] for line in lines_of(run)] == [*KINDS, "rejected", "accepted"], "lines are only added"


def test_a_line_tells_a_person_what_was_said(run, tmp_path):
    (row,) = photo_in(run, "b.png")
    correct(run, row, "moved", [float(corner) for corner in NEW])
    (line,) = lines_of(run)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "kind": "moved", "photo": "b.png", "path": str(tmp_path / "b.png"), "key": row["key"], "class": 0, "number": 1,
        "found": list(corners_of(row)), "box": list(NEW),
    }  # fmt: skip


@pytest.mark.parametrize(
    "box",
    [
        None, (), (1, 2, 3), (5, 5, 5, 9), (5, 9, 8, 9), (9, 5, 4, 9), (-1, 0, 5, 5), (0, 0, WIDTH + 1, 5),
        (0, 0, 5, HEIGHT + 1), (0.5, 0, 5, 5), (0, 0, float("nan"), 5), (0, 0, float("inf"), 5), "1234", (0, 0, "5", 5),
    ],
    ids=str,
)  # fmt: skip
def test_boxes_that_are_none_are_refused(run, box, unchecked):
    with pytest.raises(DeepInsideError, match=rf"inside of the photo's {WIDTH} x {HEIGHT} pixels, got"):
        correct(run, photo_in(run, "b.png")[0], "moved", box)
    assert not (run / FILE).exists()


def test_other_mistakes_are_refused(run, tmp_path):
    (row,) = photo_in(run, "b.png")
    with pytest.raises(DeepInsideError, match="got 'move'; did you mean moved"):
        correct(run, row, "move", NEW)
    with pytest.raises(DeepInsideError, match="a box with the kind 'moved' alone"):
        correct(run, row, "rejected", NEW)
    with pytest.raises(DeepInsideError, match=r"broken\.png: expected an object"):
        correct(run, photo_in(run, "broken.png")[0], "accepted")
    with pytest.raises(DeepInsideError, match="expected the folder of a run"):
        correct(tmp_path, row, "accepted")
    (run / FILE).mkdir()
    for call in (lambda: correct(run, row, "accepted"), lambda: corrections(run)):
        with pytest.raises(DeepInsideError, match=FILE):
            call()


def test_a_box_may_be_all_of_the_photo(run):
    (row,) = photo_in(run, "b.png")
    assert correct(run, row, "moved", (0, 0, WIDTH, HEIGHT)).box == (0, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_last_line_that_was_cut_short_was_never_said(run, cut):
    first, second = photo_in(run, "a.png")
    correct(run, first, "accepted")
    whole = (run / FILE).read_bytes()
    correct(run, second, "rejected")
    (run / FILE).write_bytes((run / FILE).read_bytes()[: len(whole) + cut])
    assert corrections(run).keys() == {found_of(first)}
    correct(run, second, "accepted")
    assert {each.kind for each in corrections(run).values()} == {"accepted"}
    assert len(lines_of(run)) == 2


def test_a_last_line_without_its_end_counts(run):
    first, second = photo_in(run, "a.png")
    correct(run, first, "accepted")
    (run / FILE).write_bytes((run / FILE).read_bytes().rstrip())
    assert len(corrections(run)) == 1
    correct(run, second, "accepted")
    assert len(corrections(run)) == len(lines_of(run)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:30],
        lambda line: b"[]",
        lambda line: b"\xff",
        lambda line: line.replace(b'"accepted"', b'"liked"'),
        lambda line: line.replace(b'"accepted"', b'"moved"'),
        lambda line: line.replace(b'"number": 1', b'"number": "1"'),
        lambda line: line.replace(b'"found": [', b'"found": [1, '),
        lambda line: line.replace(b'"key"', b'"other"'),
    ],
)
def test_a_damaged_line_is_told(run, damage):
    first, second = photo_in(run, "a.png")
    correct(run, second, "accepted")
    correct(run, first, "accepted")
    lines = (run / FILE).read_bytes().splitlines()
    (run / FILE).write_bytes(b"\n".join([lines[0], damage(lines[1]), lines[0]]) + b"\n")
    with pytest.raises(DeepInsideError, match=rf"{FILE}, line 2: expected a correction") as caught:
        corrections(run)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_no_part_of_a_line(run, monkeypatch):
    first, second = photo_in(run, "a.png")
    correct(run, first, "accepted")
    before, write = (run / FILE).read_bytes(), module.os.write
    calls = []

    def full(descriptor, data):
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:20])

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(DeepInsideError, match="No space left on device"):
        correct(run, second, "accepted")
    assert (run / FILE).read_bytes() == before


APPENDING = """
import sys
from pathlib import Path
from deepinside.archive.corrections import correct
from deepinside.archive.folder import part_rows
folder, kind = Path(sys.argv[1]), sys.argv[2]
rows = [row for rows in part_rows(folder) for row in rows if row["class"] is not None]
print("ready", flush=True)
sys.stdin.readline()
for number in range(80):
    correct(folder, rows[number % len(rows)], kind)
"""


def test_processes_and_threads_never_mix_lines(run):
    command = [sys.executable, "-c", APPENDING, str(run)]
    begun = [
        subprocess.Popen([*command, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for kind in ("accepted", "rejected")
    ]
    for process in begun:
        assert process.stdout.readline() == "ready\n"
    for process in begun:
        process.stdin.write("\n")
        process.stdin.flush()
    rows = [row for row in rows_in(run) if is_object(row)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda k: correct(run, rows[k % len(rows)], "moved", NEW), range(60)))
    for process in begun:
        process.communicate()
        assert process.returncode == 0
    kinds = [line["kind"] for line in lines_of(run)]
    assert {kind: kinds.count(kind) for kind in KINDS} == {"moved": 60, "rejected": 80, "accepted": 80, "undone": 0}
    assert len(corrections(run)) == len(rows)


def test_who_waits_too_long_is_told(run, monkeypatch):
    (row,) = photo_in(run, "b.png")
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    with (run / FILE).open("a") as stream:
        assert module.lock(stream.fileno())
        with pytest.raises(DeepInsideError, match="another process has been writing"):
            correct(run, row, "accepted")
    correct(run, row, "accepted")


# -------------------------------------------------------------------------------------------------------- the rows


def test_a_moved_object_has_the_box_and_the_mask_within(run):
    (row,) = photo_in(run, "b.png")
    x0, y0, x1, y1 = corners_of(row)
    box = (x0 + 2, y0 + 3, min(x1 + 5, WIDTH), y1)
    correct(run, row, "moved", box)
    (moved,) = corrected([row], corrections(run))
    assert corners_of(moved) == box
    mask = mask_of(row)
    expected = [
        [bool(mask[y, x]) and box[0] <= x < box[2] and box[1] <= y < box[3] for x in range(WIDTH)]
        for y in range(HEIGHT)
    ]
    assert np.any(expected)
    assert mask_of(moved).tolist() == expected
    assert {key for key in row if row[key] != moved[key]} <= {"x0", "y0", "x1", "y1", "mask"}
    assert corners_of(row) == (x0, y0, x1, y1), "the rows that are given stay as they are"


def test_where_nothing_of_the_mask_lies_in_the_box_it_is_all_of_it(run):
    (row,) = photo_in(run, "b.png")
    assert not mask_of(row)[34:36, 45:48].any()
    correct(run, row, "moved", (45, 34, 48, 36))
    mask = mask_of(corrected([row], corrections(run))[0])
    assert mask.sum() == 6
    assert mask[34:36, 45:48].all()


def test_rejected_objects_are_gone_and_the_map_of_their_class_stays(run):
    rows = photo_in(run, "a.png")
    correct(run, rows[0], "rejected")
    (left,) = corrected(rows, corrections(run))
    assert (left["number"], left["map"]) == (2, rows[0]["map"])
    ((_, _, found),) = explanations([left], about_run(run))
    assert np.array_equal(found.objects[0].map, next(explanations(rows, about_run(run)))[2].objects[0].map)
    correct(run, rows[1], "rejected")
    (none,) = corrected(rows, corrections(run))
    kept = {key: none[key] for key in ("key", "photo", "file", "width", "height", "predicted", "top", "error")}
    assert kept == {key: rows[0][key] for key in kept}
    assert {key for key, value in none.items() if value is None} >= {*module.OF_OBJECTS}
    ((_, _, found),) = explanations([none], about_run(run))
    assert found.objects == ()


def test_what_is_said_of_another_box_is_ignored_and_hides_nothing(run):
    (row,) = photo_in(run, "b.png")
    stale = row | {"x0": row["x0"] + 1}
    correct(run, row, "accepted")
    correct(run, stale, "rejected")
    assert corrected([row], corrections(run)) == [row]
    assert is_judged([row], corrections(run)), "a page that was open since before takes nothing back"
    assert corrected([stale], corrections(run))[0]["class"] is None


def test_photos_that_a_person_has_judged_do_not_wait(run):
    assert len(waiting(run)) == 5
    (first, second), (b,), (c,) = (photo_in(run, name) for name in ("a.png", "b.png", "c.png"))
    correct(run, first, "accepted")
    correct(run, b, "moved", NEW)
    correct(run, c, "rejected")
    assert {each.photo for each in waiting(run)} == {"a.png", "none.png", "broken.png"}
    correct(run, second, "rejected")
    assert {each.photo for each in waiting(run)} == {"none.png", "broken.png"}
    correct(run, second, "undone")
    correct(run, c | {"y1": c["y1"] + 1}, "accepted")
    assert {each.photo for each in waiting(run)} == {"a.png", "none.png", "broken.png"}


# ----------------------------------------------------------------------------------------------------- the exports


def read_coco(folder, file="annotations.json"):
    data = json.loads((folder / "coco" / file).read_text())
    boxes = {image["id"]: [] for image in data["images"]}
    for each in data["annotations"]:
        x, y, width, height = each["bbox"]
        boxes[each["image_id"]].append((x, y, x + width, y + height))
    return {image["file_name"]: boxes[image["id"]] for image in data["images"]}


def read_voc(folder):
    return {
        f"{path.stem}.png": [
            tuple(int(bounds.findtext(name)) - (name in ("xmin", "ymin")) for name in ("xmin", "ymin", "xmax", "ymax"))
            for bounds in ElementTree.parse(path).iter("bndbox")
        ]
        for path in (folder / "voc").rglob("*.xml")
    }


def read_yolo_boxes(folder):
    scale = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return {
        path.name: [
            tuple(np.round(scale * (x - w / 2, y - h / 2, x + w / 2, y + h / 2)).astype(int).tolist())
            for _, (x, y, w, h) in found
        ]
        for path, found in read_yolo(folder / "yolo").items()
    }


def read_table(path):
    boxes = {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            mine = boxes.setdefault(row["photo"], [])
            if row["x0"]:
                mine.append(tuple(int(row[name]) for name in ("x0", "y0", "x1", "y1")))
    return boxes


def read_labelstudio(folder):
    scale = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT]) / 100
    boxes = {}
    for task in json.loads((folder / "labelstudio" / "tasks.json").read_text()):
        mine = boxes[task["data"]["name"]] = []
        for result in chain.from_iterable(each["result"] for each in task["predictions"]):
            if result["type"] == "rectanglelabels":
                x, y, width, height = (result["value"][name] for name in ("x", "y", "width", "height"))
                mine.append(tuple(np.round(scale * (x, y, x + width, y + height)).astype(int).tolist()))
    return boxes


def read_fiftyone(folder):
    boxes = {}
    for sample in json.loads((folder / "fiftyone" / "samples.json").read_text())["samples"]:
        mine = boxes[Path(sample["filepath"]).name] = []
        for each in sample["objects"]["detections"]:
            x, y, width, height = each["bounding_box"]
            corners = np.array([x, y, x + width, y + height]) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
            mine.append(tuple(np.round(corners).astype(int).tolist()))
    return boxes


READERS = {
    "coco": read_coco,
    "voc": read_voc,
    "yolo": read_yolo_boxes,
    "labelstudio": read_labelstudio,
    "masks": lambda folder: read_table(folder / "masks" / "index.csv"),
    "csv": lambda folder: read_table(folder / "csv" / "objects.csv"),
    "fiftyone": read_fiftyone,
}


def boxes_of(folder):
    return {
        photo[0]["photo"]: [corners_of(row) for row in photo if is_object(row)]
        for photo in photos_of(rows_in(folder))
        if not photo[0]["error"]
    }


def visible(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def check_boxes(folder, expected, formats=FORMATS):
    for name in formats:
        if name == "masks":  # which has no rows of photos without objects
            assert READERS[name](folder) == {photo: boxes for photo, boxes in expected.items() if boxes}
        else:
            assert READERS[name](folder) == expected, name


def correct_all(run):
    """Of the first photo one object moved and one rejected, the second accepted, the third rejected; what is left."""
    (first, second), (b,), (c,) = (photo_in(run, name) for name in ("a.png", "b.png", "c.png"))
    correct(run, first, "rejected")
    correct(run, second, "moved", NEW)
    correct(run, b, "accepted")
    correct(run, c, "rejected")
    return {**boxes_of(run), "a.png": [NEW], "c.png": []}


def test_every_format_that_can_be_exported_is_read_here():
    assert READERS.keys() == FORMATS.keys()


def test_exports_say_what_the_person_has_said(run, tmp_path):
    expected = correct_all(run)
    assert export_run(run, tmp_path / "out", [*FORMATS]) == 4
    check_boxes(tmp_path / "out", expected)


def test_an_earlier_export_gets_the_corrections_and_loses_them_again(run, tmp_path):
    told, out = [], tmp_path / "out"
    export_run(run, out, [*FORMATS], told.append)
    found = boxes_of(run)
    check_boxes(out, found)
    before = visible(out)
    expected = correct_all(run)
    export_run(run, out, [*FORMATS], told.append)
    check_boxes(out, expected)
    export_run(run, tmp_path / "at once", [*FORMATS])
    assert visible(out) == visible(tmp_path / "at once")
    for row in filter(is_object, rows_in(run)):
        correct(run, row, "undone")
    export_run(run, out, [*FORMATS], told.append)
    assert visible(out) == before
    assert told == []


@old_pycocotools
def test_masks_are_the_found_ones_within_the_box(run, tmp_path):
    from pycocotools.coco import COCO

    (row,) = photo_in(run, "b.png")
    x0, y0, x1, y1 = corners_of(row)
    box = (x0 + 2, y0 + 3, x1, y1)
    correct(run, row, "moved", box)
    export_run(run, tmp_path, ["coco", "masks", "labelstudio"])
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[box[1] : box[3], box[0] : box[2]] = mask_of(row)[box[1] : box[3], box[0] : box[2]]
    read = COCO(tmp_path / "coco" / "annotations.json")
    (image,) = (each["id"] for each in read.imgs.values() if each["file_name"] == "b.png")
    (annotation,) = read.loadAnns(read.getAnnIds(image))
    assert np.array_equal(read.annToMask(annotation), expected)
    assert annotation["area"] == expected.sum()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / "masks" / "b-0.png")) > 0, expected)
    tasks = json.loads((tmp_path / "labelstudio" / "tasks.json").read_text())
    (task,) = (each for each in tasks if each["data"]["name"] == "b.png")
    rle = task["predictions"][0]["result"][1]["value"]["rle"]
    assert np.array_equal(slow_brush_decode(rle, HEIGHT, WIDTH), expected)


def test_labels_that_somebody_has_changed_by_hand_stay(run, tmp_path):
    out, told = tmp_path / "out", []
    export_run(run, out, ["voc", "yolo", "coco"])
    by_hand = [out / "yolo" / "labels" / "a.txt", out / "voc/VOCdevkit/VOC2012/Annotations/a.xml"]
    by_hand.append(out / "coco" / "annotations.json")
    for path in by_hand[1:]:
        path.write_bytes(path.read_bytes() + b"\n")
    by_hand[0].write_text("0 0.5 0.5 0.5 0.5\n")
    changed = {path: path.read_bytes() for path in by_hand}
    expected = correct_all(run)
    export_run(run, out, ["voc", "yolo", "coco"], told.append)
    assert {path: path.read_bytes() for path in by_hand} == changed
    found = boxes_of(run)
    assert read_voc(out) == {**expected, "a.png": found["a.png"]}
    assert read_yolo_boxes(out) == {**expected, "a.png": [(12, 9, 36, 27)]}
    assert read_coco(out) == found
    assert read_coco(out, "annotations-2.json") == {"a.png": [NEW], "c.png": []}
    assert len(told) == 4
    for row in filter(is_object, rows_in(run)):
        correct(run, row, "undone")
    export_run(run, out, ["coco"])
    assert read_coco(out) == found
    assert not (out / "coco" / "annotations-2.json").exists(), "which would still say what was undone"


def test_the_review_of_a_judged_photo_is_0_and_of_any_other_that_of_what_was_found(run, tmp_path):
    expected = {photo[0]["photo"]: need(photo) for photo in photos_of(rows_in(run)) if not photo[0]["error"]}
    correct_all(run)
    correct(run, photo_in(run, "b.png")[0], "undone")
    export_run(run, tmp_path, ["coco"])
    images = json.loads((tmp_path / "coco" / "annotations.json").read_text())["images"]
    assert {each["file_name"]: each["review"] for each in images} == {**expected, "a.png": 0, "c.png": 0}


def test_the_box_of_a_person_is_what_everything_says(run):
    """Also where the mask does not fill it."""
    (row,) = photo_in(run, "b.png")
    correct(run, row, "moved", NEW)
    ((_, _, found),) = explanations(corrected([row], corrections(run)), about_run(run))
    (seen,) = found.objects
    y, x = np.nonzero(seen.mask)
    assert (x.min(), y.min(), x.max() + 1, y.max() + 1) != NEW
    assert seen.box.as_tuple() == NEW
    assert str(NEW) in repr(seen)
    assert str(NEW) in repr(found)
    assert found.to_dict()["objects"][0]["box"] == list(NEW)
    assert " ".join(map(str, NEW)) in found._repr_html_()
    assert found.to_frame()[["x0", "y0", "x1", "y1"]].values.tolist() == [list(NEW)]


def test_supervision_gets_the_box_of_a_person(run):
    pytest.importorskip("supervision")
    (row,) = photo_in(run, "b.png")
    correct(run, row, "moved", NEW)
    ((_, _, found),) = explanations(corrected([row], corrections(run)), about_run(run))
    assert found.to_supervision().xyxy.tolist() == [list(NEW)]
