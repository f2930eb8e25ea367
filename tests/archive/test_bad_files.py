"""The corpus of bad files: none stops a run, keeps it waiting, or takes another photo's result with it."""

import csv
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections import defaultdict
from itertools import chain
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import numpy as np
import pytest
from bad_files import ERROR, NO_PHOTO, OK, encoded, make
from PIL import Image

from deepinside import Classifier
from deepinside.archive.folder import part_files, part_rows
from deepinside.archive.run import export_run, failures, running
from deepinside.archive.wanted import Wanted, wanted_of
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import find_photos, read
from deepinside.explanations.explain import explain
from helpers import NAMES, grays_too

TESTS = Path(__file__).parents[1]
PATIENCE = 300  # seconds for a run of a few seconds, on a machine that others use
FORMATS = ["coco", "voc", "yolo", "labelstudio", "masks"]
COMMAND = """
import sys
import torch
from deepinside import Classifier
from helpers import NAMES, grays_too
torch.set_num_threads(2)
from deepinside import cli
import deepinside.networks.sources as sources
sources.load = lambda *arguments, **options: Classifier(grays_too(), labels=NAMES, size=32, name="colors")
cli.main()
"""

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return folder, [made for made in make(folder) if made.file.startswith("photos/")]


@pytest.fixture(scope="module")
def done(corpus, tmp_path_factory):
    """The command on the whole corpus, in a process that is killed if it waits for anything."""
    out = tmp_path_factory.mktemp("run") / "out"
    command = [sys.executable, "-c", COMMAND, "run", "photos", "--out", out]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(TESTS)])}
    told = subprocess.run(
        command,
        cwd=corpus[0],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    return out, told


@pytest.fixture(scope="module")
def rows(corpus, done):
    """The rows of each file, by its name in the corpus."""
    found = defaultdict(list)
    for row in chain.from_iterable(part_rows(done[0])):
        found[os.fsdecode(row["file"]).removeprefix(f"{corpus[0].resolve()}/")].append(row)
    return dict(found)


@pytest.fixture(scope="module")
def network():
    return Classifier(grays_too(), labels=NAMES, size=32, name="colors")


def files(corpus, expected):
    found = [made for made in corpus[1] if made.expected == expected]
    assert found
    return found


def test_every_photo_has_its_rows_and_nothing_else_has_any(corpus, rows):
    assert rows.keys() == {made.file for made in files(corpus, OK) + files(corpus, ERROR)}
    assert not rows.keys() & {made.file for made in files(corpus, NO_PHOTO)}
    names = [mine[0]["photo"] for mine in rows.values()]
    assert len(names) == len({*names})


def test_every_bad_file_is_a_row_with_its_reason(corpus, rows):
    for made in files(corpus, ERROR):
        (row,) = rows[made.file]
        assert made.reason in row["error"], made.file
        assert "\n" not in row["error"]
        assert not any(part in row["error"] for part in ("Traceback", ".py", "Error:", str(corpus[0])))


def test_every_good_photo_has_the_answer_that_it_gets_alone(corpus, rows, network):
    """Up to rounding, which may move a box by a pixel of the network."""
    for made in files(corpus, OK):
        mine = rows[made.file]
        alone = explain(network, corpus[0] / made.file, top=len({row["class"] for row in mine}))
        theirs = alone.objects
        assert [row["class"] for row in mine] == [each.index for each in theirs], (made.file, mine[0]["error"])
        assert [row["probability"] for row in mine] == pytest.approx([each.probability for each in theirs], abs=1e-4)
        pixel = np.array([alone.width, alone.height] * 2) / 32
        for row, each in zip(mine, theirs, strict=True):
            moved = np.subtract([row[corner] for corner in ("x0", "y0", "x1", "y1")], each.box.as_tuple())
            assert (abs(moved) <= np.maximum(pixel, 1)).all(), made.file


def test_the_command_tells_each_failure_in_a_line(corpus, done):
    _, told = done
    lines = told.stderr.splitlines()
    assert told.returncode == 1, told.stderr
    assert all(line.startswith("deepinside: photos/") for line in lines), "no warning, no traceback, no broken line"
    assert len(lines) == len(files(corpus, ERROR))
    assert f"{len(files(corpus, OK))} done, {len(lines)} failed" in told.stdout


def test_equal_reasons_count_as_one(done):
    reasons = failures(done[0])
    assert reasons["expected a photo, got a pipe or a device"] == 4
    assert reasons["the image is damaged or truncated (image file is truncated)"] >= 9


def test_the_same_run_again_does_nothing(corpus, done, network):
    out, _ = done
    before = [(path, path.stat().st_mtime_ns) for path in part_files(out)]
    wanted = [Wanted.named(path, name) for path, name in find_photos([corpus[0] / "photos"])]
    with running(network, wanted, out) as (begun, outcomes):
        assert (begun.done, begun.failed, begun.left) == (len(files(corpus, OK)), len(files(corpus, ERROR)), 0)
        assert list(outcomes) == []
    assert [(path, path.stat().st_mtime_ns) for path in part_files(out)] == before


@pytest.fixture(scope="module")
def exported(done, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which no mark does for a fixture
        assert export_run(done[0], folder, FORMATS) == len(files(corpus, OK))
    return folder


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_coco_has_all_photos_and_objects(corpus, exported, rows):
    from pycocotools.coco import COCO

    read_back = COCO(exported / "coco" / "annotations.json")
    good = {made.file for made in files(corpus, OK)}
    assert len({image["file_name"] for image in read_back.imgs.values()}) == len(read_back.imgs) == len(good)
    assert len(read_back.anns) == sum(len(rows[name]) for name in good)
    for annotation in read_back.anns.values():
        assert read_back.annToMask(annotation).sum() == annotation["area"]


def test_voc_and_yolo_show_every_photo_upright(corpus, exported):
    good = files(corpus, OK)
    sizes = sorted(read(corpus[0] / made.file).image.size for made in good)
    voc = exported / "voc" / "VOCdevkit" / "VOC2012"
    shown = []
    for name in (voc / "ImageSets" / "Main" / "train.txt").read_text().splitlines():
        size = ElementTree.parse(voc / "Annotations" / f"{name}.xml").find("size")
        with Image.open(voc / "JPEGImages" / f"{name}.jpg") as image:
            assert image.size == (int(size.findtext("width")), int(size.findtext("height")))
            shown.append(image.size)
    assert sorted(shown) == sizes
    images = {path.stem: path for path in (exported / "yolo" / "images").iterdir()}
    labels = {path.stem: path for path in (exported / "yolo" / "labels").iterdir()}
    assert images.keys() == labels.keys()
    assert len(images) == len(good)
    for stem, path in labels.items():
        with Image.open(images[stem]) as image:
            assert image.size in sizes
        for line in path.read_text().splitlines():
            assert all(0 <= float(value) <= 1 for value in line.split()[1:])


def test_labelstudio_and_masks_lead_to_every_photo(corpus, exported, rows):
    good = {made.file for made in files(corpus, OK)}
    tasks = json.loads((exported / "labelstudio" / "tasks.json").read_text())
    paths = [unquote_to_bytes(task["data"]["image"].removeprefix("/data/local-files/?d=")) for task in tasks]
    assert {os.path.relpath(b"/" + path, os.fsencode(corpus[0])) for path in paths} == {*map(os.fsencode, good)}
    ElementTree.parse(exported / "labelstudio" / "config.xml")
    with open(exported / "masks" / "index.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    assert len({row["mask"] for row in listed}) == len(listed) == sum(len(rows[name]) for name in good)
    for row in listed:
        with Image.open(exported / "masks" / row["mask"]) as mask:
            box = (int(row["x0"]), int(row["y0"]), int(row["x1"]), int(row["y1"]))
            assert mask.getbbox() == box


def test_a_folder_that_vanishes_during_a_run(network, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        (photos / f"{number:02}.jpg").write_bytes(encoded(number))
    wanted = [Wanted.named(path, name) for path, name in find_photos([photos])]
    with running(network, wanted, tmp_path / "run") as (_, outcomes):
        next(outcomes)
        shutil.rmtree(photos)
        assert len(list(outcomes)) == 11
    rows = {row["photo"]: row["error"] for row in chain.from_iterable(part_rows(tmp_path / "run"))}
    assert list(rows) == [f"{number:02}.jpg" for number in range(12)]
    assert rows["00.jpg"] is None
    assert rows["11.jpg"] == "expected a photo, found no such file"


def test_members_of_damaged_archives_are_as_the_manifest_says(tmp_path):
    told = [each for each in make(tmp_path) if each.file.startswith("shards/")]
    classifier = Classifier(grays_too(), labels=NAMES, size=32)
    nothing = {"shards/nothing.tar"}
    for shard in sorted({each.file for each in told} - nothing):
        mine = [each for each in told if each.file == shard]
        wanted = wanted_of([tmp_path / shard], classifier.labels)
        with running(classifier, wanted, tmp_path / "run" / shard) as (_, answers):
            found = {answer.path.relative_to(tmp_path / shard).as_posix(): answer.error for answer in answers}
        names = {each.member: each.expected for each in mine if each.member and each.expected != NO_PHOTO}
        inside = {name: read_name(name) for name in names}
        failed = {name for name, error in found.items() if error is not None}
        good = {inside[name] for name, outcome in names.items() if outcome == OK}
        assert good <= set(found) - failed, shard
        bad = {inside[name] for name, outcome in names.items() if outcome == ERROR}
        is_damaged = shard in ("shards/cut.tar", "shards/empty.tar", "shards/page.tar")
        assert failed == (bad & set(found)) | ({"."} if is_damaged else set()), shard
        assert is_damaged or set(found) == good | bad, shard
    for shard in nothing:
        with pytest.raises(DeepInsideError, match="found none"):
            wanted_of([tmp_path / shard], classifier.labels)


def read_name(member):
    """Without what leads out of the archive."""
    return "/".join(part for part in member.split("/") if part not in ("", ".."))
