"""The report: one page, everything inside, every section, and the figures that were measured."""

from dataclasses import replace

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.progress import Note, Progress
from deepinside.data import classes
from deepinside.reproduction.page import write_page
from deepinside.reproduction.reproduce import Extent, Report, reproduce
from deepinside.training.recipe import recipe
from deepinside.training.train import Epoch, Resources, Setup, Trained
from helpers import Page

SETUP = Setup(recipe("modern", epochs=2, batch=8), size=32, hidden_units=16)
CPU = Resources("cpu", "float32")


def test_the_events_end_with_the_report_and_the_files_are_there(made):
    out, path, events = made
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds == [Note, Epoch, Epoch, Trained, Note, Report]
    report = events[-1]
    assert report.trained in events
    assert {"paper", "best", "center_box", "whole_image"} <= report.evaluation.rows.keys()
    assert Progress("localization", 4, 4) in events
    assert path == out / "report.html"
    assert (out / "localization.json").is_file()
    assert (out / "run" / "curve.csv").is_file()
    assert f"{100 * (1 - report.trained.curve[-1].top1):.1f}%" in Page(path.read_text()).text


def test_a_process_that_does_not_lead_yields_nothing(root, tmp_path, monkeypatch):
    monkeypatch.setattr("deepinside.reproduction.reproduce.train", lambda *_: iter(()))
    monkeypatch.setattr("deepinside.reproduction.reproduce.leads", lambda: False)
    monkeypatch.setattr("deepinside.reproduction.reproduce._samples", None)
    assert list(reproduce(root, tmp_path, SETUP)) == []


def test_the_training_pictures_are_listed_once(root, tmp_path, monkeypatch):
    listed = []
    read = classes._by_class
    monkeypatch.setattr("deepinside.data.classes._by_class", lambda folder: listed.append(folder) or read(folder))
    once = replace(SETUP, recipe=replace(SETUP.recipe, epochs=1))
    list(reproduce(root, tmp_path, once, Extent(judged=1, shown=1, steps=1), CPU))
    assert listed == [root / "train", root / "val"]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("boxes.csv", "image,label,x0,y0,x1,y1\na.png,ant,1,2\n", "expected boxes that can be read, but none of 1"),
    ("boxes.csv", "image,label,x0,y0,x1,y1\n\udcff\n", "expected boxes that can be read, but none of 1"),
])  # fmt: skip
def test_boxes_that_cannot_be_read_are_told_before_the_training(tmp_path, monkeypatch, name, content, message):
    """A broken data set is not one without boxes."""
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    monkeypatch.setattr("deepinside.reproduction.reproduce.train", lambda *_: pytest.fail("it trains"))
    with pytest.raises(DeepInsideError, match=message):
        list(reproduce(tmp_path, tmp_path / "out", SETUP))


def test_a_data_set_without_boxes_gets_a_page_without_that_figure(root, tmp_path):
    for split in ("train", "val"):
        (tmp_path / "data" / split).mkdir(parents=True)
        for folder in (root / split).iterdir():
            (tmp_path / "data" / split / folder.name).symlink_to(folder)
    (tmp_path / "data" / "boxes.json").write_text('{"images": [], "annotations": [')
    first, *_, report = reproduce(tmp_path / "data", tmp_path / "out", SETUP, Extent(shown=1, steps=1), CPU)
    assert first.text.startswith("without a localization figure")
    assert "boxes.json: expected COCO annotations" in first.text, "why, where there is something like boxes"
    assert report.evaluation is None
    assert "This data set has no boxes" in Page(report.path.read_text()).text


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch, unchecked):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("deepinside.reproduction.page.page", lambda *_: "")
    with pytest.raises(DeepInsideError, match="expected a place to write the report"):
        write_page(tmp_path / "file" / "report.html", SETUP, None, None, None)


@pytest.mark.parametrize("name", ["report.html", "localization.json"])
def test_files_that_cannot_be_written_are_told_before_the_training(root, tmp_path, monkeypatch, name):
    monkeypatch.setattr("deepinside.reproduction.reproduce.train", lambda *_: pytest.fail("it trains"))
    (tmp_path / name).mkdir()
    with pytest.raises(DeepInsideError, match=f"{name}: expected a file to write, found a folder"):
        list(reproduce(root, tmp_path, SETUP))
