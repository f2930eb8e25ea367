"""Runs from photos to labels: continued after any end, and the same as explaining the photos one by one."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from deepinside.archive import run as module
from deepinside.archive.folder import part_files, part_rows
from deepinside.archive.review import need
from deepinside.archive.rows import photos_of
from deepinside.archive.run import LEAST, export_run, failures, running
from deepinside.archive.wanted import Wanted, wanted_of
from deepinside.core.errors import DeepInsideError
from deepinside.data.boxes import read_samples
from deepinside.explanations.explain import explain
from deepinside.explanations.export import FORMATS


@pytest.fixture
def archive(tmp_path):
    """Nine photos, of which two cannot be read."""
    random = np.random.default_rng(0)
    for number in range(9):
        image = Image.new("RGB", (40, 30), "gray")
        color = ("red", "lime", "blue")[number % 3]
        x, y = random.integers(0, 20), random.integers(0, 12)
        image.paste(color, (int(x), int(y), int(x) + 16, int(y) + 14))
        image.save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "7.png").write_bytes((tmp_path / "7.png").read_bytes()[:60])
    return [Wanted.named(tmp_path / f"{number}.png", Path(f"{number}.png")) for number in range(9)]


def rows_in(folder):
    return list(chain.from_iterable(part_rows(folder)))


def finish(classifier, wanted, folder, **options):
    with running(classifier, wanted, folder, **options) as (begun, outcomes):
        return begun, list(outcomes)


def stop_after(taken, *asked):
    with running(*asked) as (_, outcomes):
        for _ in range(taken):
            next(outcomes)
        raise KeyboardInterrupt


def test_a_run_is_what_explain_says_of_each_photo(colors, archive, tmp_path):
    begun, outcomes = finish(colors, archive, tmp_path / "run", min_probability=0.0)
    assert (begun.done, begun.failed, begun.left) == (0, 0, 9)
    assert [outcome.error is None for outcome in outcomes] == [number not in (3, 7) for number in range(9)]
    rows = rows_in(tmp_path / "run")
    assert [row["photo"] for row in rows if row["error"]] == ["3.png", "7.png"]
    for wanted in archive:
        mine = [row for row in rows if row["photo"] == wanted.name.as_posix()]
        if mine[0]["error"]:
            continue
        told = sorted(explain(colors, wanted.path, top=3).objects, key=lambda each: each.index)
        mine = sorted(mine, key=lambda row: row["class"])  # two classes are equally likely, up to rounding
        assert [(row["class"], row["x0"], row["y0"], row["x1"], row["y1"]) for row in mine] == [
            (each.index, *each.box.as_tuple()) for each in told
        ]
        assert [row["probability"] for row in mine] == pytest.approx([each.probability for each in told])


def test_the_likeliest_classes_are_looked_for_beside_labels(colors, archive, tmp_path):
    wanted = [Wanted.named(archive[0].path, archive[0].name, (2,)), archive[1]]
    finish(colors, wanted, tmp_path / "run", top=2)
    for photo in photos_of(rows_in(tmp_path / "run")):
        found, given = {row["class"] for row in photo}, {row["class"] for row in photo if row["given"]}
        assert (found, given) == ({*photo[0]["top"][:2], *given}, {2} if photo[0]["photo"] == "0.png" else set())


def test_labels_decide_what_is_looked_for(colors, archive, tmp_path):
    wanted = [Wanted.named(each.path, each.name, (2, 0)) for each in archive[:3]]
    finish(colors, wanted, tmp_path / "run")
    classes = {}
    for row in rows_in(tmp_path / "run"):
        classes.setdefault(row["photo"], []).append(row["class"])
    assert {name: list(dict.fromkeys(found)) for name, found in classes.items()} == {
        f"{number}.png": [2, 0] for number in range(3)
    }


def test_without_labels_only_likely_classes_are_kept(colors, archive, tmp_path):
    finish(colors, archive, tmp_path / "run", min_probability=0.5)
    rows = [row for row in rows_in(tmp_path / "run") if row["class"] is not None]
    assert rows
    assert min(row["probability"] for row in rows) >= 0.5


@pytest.mark.parametrize("taken", [0, 1, 4, 8])
def test_a_run_that_is_stopped_goes_on(colors, archive, tmp_path, taken):
    whole = tmp_path / "whole"
    finish(colors, archive, whole)
    with pytest.raises(KeyboardInterrupt):
        stop_after(taken, colors, archive, tmp_path / "run")
    before = len({row["photo"] for row in rows_in(tmp_path / "run")})
    assert before == taken
    begun, outcomes = finish(colors, archive, tmp_path / "run")
    assert begun.left == len(outcomes) == 9 - taken
    plain = [[{**row, "seconds": 0} for row in rows_in(folder)] for folder in (whole, tmp_path / "run")]
    assert plain[0] == plain[1]
    assert finish(colors, archive, tmp_path / "run")[0].left == 0, "and failures are not tried again"


def test_reasons_are_counted_wherever_the_photos_lie(colors, archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "8.png").write_bytes(b"")
    archive[8] = Wanted.named(Path("8.png"), Path("8.png"))
    finish(colors, archive, tmp_path / "run")
    assert failures(tmp_path / "run") == {
        "expected a photo, got an empty file (0 bytes)": 2,
        "the image is damaged or truncated (image file is truncated)": 1,
    }


def test_failures_are_tried_again_on_demand(colors, archive, tmp_path):
    finish(colors, archive, tmp_path / "run")
    archive[3].path.write_bytes(archive[0].path.read_bytes())
    begun, _ = finish(colors, archive, tmp_path / "run", retry=True)
    assert (begun.done, begun.failed, begun.left) == (7, 2, 2)
    assert [row["photo"] for row in rows_in(tmp_path / "run") if row["error"]] == ["7.png"]


def test_more_photos_are_added_in_parts(colors, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PHOTOS", 2)
    finish(colors, archive[:3], tmp_path / "run")
    assert len(part_files(tmp_path / "run")) == 2
    begun, _ = finish(colors, archive, tmp_path / "run")
    assert (begun.done, begun.left) == (3, 6)
    assert [row["photo"] for row in rows_in(tmp_path / "run") if row["number"] in (1, None)][:2] == ["0.png", "1.png"]


def test_another_network_or_threshold_needs_another_folder(colors, archive, tmp_path):
    finish(colors, archive[:1], tmp_path / "run")
    for options, told in (
        ({"min_probability": 0.2}, rf"--min-probability .*\({LEAST}\), got 0.2"), ({"objects": "one"}, "--objects"),
        ({"preset": "paper"}, r"--preset .*\(best\), got paper;"),
    ):  # fmt: skip
        with pytest.raises(DeepInsideError, match=told):
            finish(colors, archive, tmp_path / "run", **options)
    with pytest.raises(DeepInsideError, match="between 0 and 1"):
        finish(colors, archive, tmp_path / "other", min_probability=1.5)
    assert not (tmp_path / "other").exists()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_exports_hold_what_the_run_found(colors, archive, tmp_path):
    from pycocotools.coco import COCO

    finish(colors, archive, tmp_path / "run", min_probability=0.0)
    assert export_run(tmp_path / "run", tmp_path / "out", ["coco"]) == 7
    read = COCO(tmp_path / "out" / "coco" / "annotations.json")
    assert [image["file_name"] for image in read.imgs.values()] == [f"{n}.png" for n in (0, 1, 2, 4, 5, 6, 8)]
    rows = [row for row in rows_in(tmp_path / "run") if row["class"] is not None]
    boxes = [[row["x0"], row["y0"], row["x1"] - row["x0"], row["y1"] - row["y0"]] for row in rows]
    assert [each["bbox"] for each in read.anns.values()] == boxes
    assert [each["segmentation"]["counts"] for each in read.anns.values()] == [row["mask"] for row in rows]


def test_an_export_after_more_photos_adds_them_and_keeps_corrected_labels(colors, archive, tmp_path):
    finish(colors, archive[:2], tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "run", [*FORMATS])
    label = tmp_path / "run" / "yolo" / "labels" / "0.txt"
    label.write_text("2 0.5 0.5 0.1 0.1\n")
    finish(colors, archive, tmp_path / "run")
    told = []
    assert export_run(tmp_path / "run", tmp_path / "run", [*FORMATS], told.append) == 7
    assert told == [f"{tmp_path / 'run' / 'yolo'}: kept 1 file that somebody has changed: labels/0.txt"]
    assert label.read_text() == "2 0.5 0.5 0.1 0.1\n"
    images = json.loads((tmp_path / "run" / "coco" / "annotations.json").read_text())["images"]
    assert [each["file_name"] for each in images] == [f"{n}.png" for n in (0, 1, 2, 4, 5, 6, 8)]
    assert len(list((tmp_path / "run" / "yolo" / "labels").iterdir())) == 7


def test_labels_asked_for_later_replace_those_that_nobody_has_changed(colors, archive, tmp_path):
    for index in (0, 2):
        finish(colors, [Wanted.named(each.path, each.name, (index,)) for each in archive[:2]], tmp_path / "run")
        export_run(tmp_path / "run", tmp_path / "run", ["masks", "csv"])
    found = sorted(path.name for path in (tmp_path / "run" / "masks" / "masks").iterdir() if "-2" in path.name[1:4])
    assert found
    assert not list((tmp_path / "run" / "masks" / "masks").glob("?-0*.png")), "the masks of the other class are gone"


def test_a_table_of_objects_is_what_a_run_and_an_evaluation_read(colors, archive, tmp_path):
    finish(colors, archive[:3], tmp_path / "run", min_probability=0.3)
    export_run(tmp_path / "run", tmp_path / "run", ["csv"])
    path = tmp_path / "run" / "csv" / "objects.csv"
    rows = [row for row in rows_in(tmp_path / "run") if row["class"] is not None]
    expected = {row["photo"]: [each["class"] for each in rows if each["photo"] == row["photo"]] for row in rows}
    wanted = wanted_of([path], colors.labels)
    assert {each.path.name: each.classes for each in wanted} == {
        name: tuple(dict.fromkeys(classes)) for name, classes in expected.items()
    }
    boxes = {sample.path.name: [each.box.as_tuple() for each in sample.annotations] for sample in read_samples(path)}
    assert boxes == {
        name: [(row["x0"], row["y0"], row["x1"], row["y1"]) for row in rows if row["photo"] == name]
        for name in expected
    }


def test_annotators_can_choose_every_class_of_the_network(colors, archive, tmp_path):
    wanted = [Wanted.named(each.path, each.name, (2,)) for each in archive[:2]]
    finish(colors, wanted, tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "out", ["labelstudio", "coco", "yolo"])
    config = ElementTree.parse(tmp_path / "out" / "labelstudio" / "config.xml")
    for kind in ("RectangleLabels", "BrushLabels"):
        assert [label.get("value") for label in config.find(kind)] == ["red", "green", "blue"]
    told = json.loads((tmp_path / "out" / "coco" / "annotations.json").read_text())
    assert [(each["id"], each["name"]) for each in told["categories"]] == [(0, "red"), (1, "green"), (2, "blue")]
    assert {each["category_id"] for each in told["annotations"]} == {2}
    lines = (tmp_path / "out" / "yolo" / "labels" / "0.txt").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"2"}
    data = (tmp_path / "out" / "yolo" / "data.yaml").read_text()
    assert data.index("0: ") < data.index("red") < data.index("1: ") < data.index("green") < data.index("2: ")


# ------------------------------------------------------------------------------------------------------ whole processes


COMMAND = """
import sys
import torch
from deepinside import Classifier
from helpers import NAMES, Colors
torch.set_num_threads(1)
from deepinside import cli
from deepinside.archive import run
import deepinside.networks.sources as sources
sources.load = lambda *arguments, **options: Classifier(Colors(), labels=NAMES, size=32, name="colors")
run.SECONDS = 0.0
cli.main()
"""


def begun(archive, out):
    """The command in a process of its own, which is slow enough to be killed."""
    tests = Path(__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "run", archive, "--out", out],
        env={**os.environ, "PYTHONPATH": str(tests)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_killed_command_goes_on(tmp_path, number, status):
    photos, out = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    random = np.random.default_rng(0)
    for each in range(24):
        Image.fromarray(random.integers(0, 255, (150, 200, 3), np.uint8)).save(photos / f"{each:02}.png")
    process = begun(photos, out)
    deadline = time.monotonic() + 120
    while not part_files(out) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == status, complaint
    before = {row["photo"] for row in rows_in(out)}
    assert before
    again = begun(photos, out)
    told, complaint = again.communicate(timeout=240)
    assert again.returncode == 0, complaint
    assert f"from before: {len(before)} done" in told
    names = [row["photo"] for row in rows_in(out) if row["number"] in (1, None)]
    assert {*names} == {f"{each:02}.png" for each in range(24)}
    keys = [(row["photo"], row["class"], row["number"]) for row in rows_in(out)]
    assert len(keys) == len({*keys}), "nothing twice"
    assert json.loads((out / "run.json").read_text())["objects"] == "all"


def test_exports_of_a_run_have_the_review(colors, archive, tmp_path):
    finish(colors, archive, tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "run", ["coco", "csv"])
    images = json.loads((tmp_path / "run" / "coco" / "annotations.json").read_text())["images"]
    scores = {photo[0]["photo"]: need(photo) for photo in photos_of(rows_in(tmp_path / "run"))}
    assert {each["file_name"]: each["review"] for each in images} == {
        name: score for name, score in scores.items() if name not in ("3.png", "7.png")
    }
    with (tmp_path / "run" / "csv" / "objects.csv").open(newline="") as stream:
        assert all(float(row["review"]) == scores[row["photo"]] for row in csv.DictReader(stream))
