"""The commands of an archive as a user types them."""

import json
import re

import numpy as np
import pytest

import planted
from helpers import square


def test_run_tells_failures_and_what_comes_next_and_goes_on(deepinside, small, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "a run"
    photos.mkdir()
    square(photos / "a.png")
    (photos / "b.png").write_bytes(b"")
    status, told, complaints = deepinside("run", photos, "--out", out)
    assert status == 1
    first, reason, folder, *following = told.splitlines()
    assert re.fullmatch(r"2 photos: 1 done, 1 failed, [\d.]+ a second", first)
    assert re.fullmatch(" +1 failed: expected a photo.*", reason), "without its name"
    assert folder == f"  -> {out}"
    assert [" ".join(line.split()) for line in following] == [
        f"next: deepinside report '{out}' look through it",
        f"deepinside review '{out}' which photos need a person first",
        f"deepinside audit '{out}' which classes are decided by something odd",
        f"deepinside export '{out}' coco labels for other tools",
    ]
    assert "b.png" in complaints
    status, told, complaints = deepinside("run", photos, "--out", out)
    assert (status, complaints) == (1, ""), "as it was"
    assert told.startswith("nothing left to do; from before: 1 done, 1 failed\n")
    square(photos / "b.png")
    status, told, _ = deepinside("run", photos, "--out", out, "--retry")
    assert (status, told.splitlines()[0].split(",")[0]) == (0, "1 photos: 1 done")
    status, told, _ = deepinside("export", out, "coco", "voc")
    assert (status, told) == (0, f"2 photos\n  -> {out / 'coco'}\n  -> {out / 'voc'}\n")
    assert len(json.loads((out / "coco" / "annotations.json").read_text())["images"]) == 2
    corrected = out / "voc" / "VOCdevkit" / "VOC2012" / "Annotations" / "a.xml"
    corrected.write_text("<annotation/>")
    status, told, _ = deepinside("export", out, "coco", "voc")
    assert (status, corrected.read_text()) == (0, "<annotation/>")
    kept = f"  {out / 'voc'}: kept 1 file that somebody has changed: VOCdevkit/VOC2012/Annotations/a.xml"
    assert told.splitlines() == ["2 photos", kept, f"  -> {out / 'coco'}", f"  -> {out / 'voc'}"]


def test_report_writes_a_page_of_a_run(deepinside, small, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        square(photos / name)
    deepinside("run", photos, "--out", out)
    assert deepinside("report", out)[:2] == (0, f"3 photos\n  -> {out / 'report.html'}\n")
    (photos / "b.png").write_bytes(b"")
    (photos / "c.png").unlink()
    square(photos / "a.png", dpi=(1, 1))
    told = "3 photos: 2 without a thumbnail, since they cannot be read any more"
    assert deepinside("report", out, "--out", tmp_path / "page.html")[:2] == (
        0,
        f"{told}\n  -> {tmp_path / 'page.html'}\n",
    )
    assert (tmp_path / "page.html").read_text().count("<title>run</title>") == 1


def test_run_takes_a_table_of_labels(deepinside, small, tmp_path):
    square(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label\na.png,blue\na.png,red\n")
    assert deepinside("run", tmp_path / "labels.csv", "--out", tmp_path / "run", "--objects", "one")[0] == 0
    deepinside("export", tmp_path / "run", "masks", "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "masks" / "masks").iterdir()) == ["a-0.png", "a-2.png"]


def test_a_run_is_continued_with_its_constants_only(deepinside, small, tmp_path):
    square(tmp_path / "a.png")
    begun = ("run", tmp_path / "a.png", "--out", tmp_path / "run", "--set", "outline.smoothness=40")
    assert deepinside(*begun)[0] == 0
    status, told, _ = deepinside(*begun[:-1], "outline.smoothness=40.0")
    assert (status, told.splitlines()[0][:19]) == (0, "nothing left to do;")
    for others in ((*begun[:-1], "outline.smoothness=41"), begun[:-2], (*begun, "--set", "closer=1")):
        status, told, complaints = deepinside(*others)
        assert (status, told, complaints.count("\n")) == (2, "", 1)
        assert "outline=OutlineOptions(smoothness=40.0)" in complaints


def test_audit_tells_what_is_odd_and_writes_a_sheet(deepinside, tmp_path):
    random = np.random.default_rng(0)
    maps = {index: planted.natural(random, 20) for index in range(6)}
    corner = planted.spots(random.normal(3, 0.5, (12, 2)), 2.5)
    run = planted.write_run(tmp_path / "run", maps | {6: np.concatenate([corner, maps[0][:8]])})
    status, told, complaints = deepinside("audit", run)
    assert (status, complaints) == (0, "")
    assert "\nkind 6: 60% of its photos are decided in the top left of the frame, against 1% of all others" in told
    assert told.endswith(f"  -> {run / 'audit.json'}\n  -> {run / 'audit.png'}\n")
    assert json.loads((run / "audit.json").read_text())["classes"][0]["raised"]
    run = planted.write_run(tmp_path / "clean", maps)
    assert "nothing is raised: no class of 6 stands out from the others" in deepinside("audit", run)[1]


def test_audit_of_few_photos_says_so_without_a_sheet(deepinside, tmp_path):
    run = planted.write_run(tmp_path / "run", {0: planted.natural(np.random.default_rng(0), 3)})
    status, told, _ = deepinside("audit", run)
    assert status == 0
    assert "nothing is raised among fewer than 5 classes" in told
    assert not (run / "audit.png").exists()


@pytest.mark.parametrize(("arguments", "told"), [
    (("audit", "nowhere"), "expected the folder of a run"),
    (("run", "labels.csv"), "labels.csv: expected labels that are classes"),
    (("run", "a.png", "--out", "."), "expected a new folder or that of a run"),
    (("run", "a.png", "--preset", "bst"), "expected a preset"),
    (("run", "a.png", "--set", "outline.smothness=1"), "did you mean outline.smoothness"),
    (("run", "a.png", "--preset", "paper", "--set", "layer=nowhere"), "expected the name of a layer"),
    (("run", "a.png", "--min-probability", "2"), "min-probability"),
    (("export", "nowhere", "coco"), "expected the folder of a run"),
    (("export", "nowhere", "coc"), "expected"),
    (("report", "nowhere"), "expected the folder of a run"),
    (("report", "nowhere", "--out", "."), "expected a file to write, found a folder"),
])  # fmt: skip
def test_mistakes_in_a_run_are_told_before_the_first_photo(deepinside, small, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    square(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label\na.png,pink\n")
    status, out, complaints = deepinside(*arguments)
    assert (status, out) == (2, "")
    assert told in complaints
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "labels.csv"]
