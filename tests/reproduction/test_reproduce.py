"""The report: one page, everything inside, every section, and the figures that were measured."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.progress import Note, Progress
from deepinside.data import classes
from deepinside.reproduction.page import write_page
from deepinside.reproduction.reproduce import Extent, Report, reproduce
from deepinside.training.recipe import recipe
from deepinside.training.train import Epoch, Resources, Setup, Trained

SETUP = Setup(recipe("modern", epochs=2, batch=8), size=32, hidden_units=16)
CPU = Resources("cpu", "float32")


class Page(HTMLParser):
    """Every attribute that makes a browser fetch or run something, and the text."""

    def __init__(self, content):
        super().__init__()
        self.fetched, self.tags, self.text, self.ids = [], set(), "", set()
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "data", "poster", "action", "background"):
                self.fetched.append(value)
            if name == "id":
                self.ids.add(value)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Noise with a square of the class's color; the squares are the objects that boxes are drawn around."""
    root = tmp_path_factory.mktemp("data")
    rng, lines = np.random.default_rng(0), ["image,label,x0,y0,x1,y1"]
    for split, count in (("train", 12), ("val", 3)):
        for name, color in (("ant <small>", (220, 40, 40)), ("bee & co", (40, 40, 220))):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                picture = rng.integers(90, 160, (40, 40, 3))
                x, y = rng.integers(2, 18, 2)
                picture[y : y + 20, x : x + 20] = color
                Image.fromarray(picture.astype(np.uint8)).save(root / split / name / f"{i}.png")
                if split == "val":
                    lines.append(f"val/{name}/{i}.png,{name},{x},{y},{x + 20},{y + 20}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    events = list(reproduce(root, out, SETUP, Extent(judged=4, shown=2, steps=3), CPU))
    return out, events[-1].path, events


def test_everything_is_inside_the_page(made):
    _, path, _ = made
    content = path.read_text()
    page = Page(content)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base"}
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in page.fetched)
    assert {address[1:] for address in page.fetched if address.startswith("#")} <= page.ids
    assert not re.search(r"url\(|@import|https?:", content.partition("<body>")[0])
    pictures = [address for address in page.fetched if address.startswith("data:")]
    for address in pictures:
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
        assert len(picture.getcolors(1 << 24)) > 20, "a picture, not a blank"
    assert len(pictures) >= 2 * 2 + 1 + 2 + 2 + 1, "class images of both presets, and what came before"


def test_every_section_of_the_paper_stands_beside_the_papers_figures(made):
    page = Page(made[1].read_text())
    for section in ("Section 1", "Section 2", "Section 3.1", "Section 3.2", "Section 4"):
        assert section in page.text
    for figure in ("39.7%", "17.7%", "46.4"):
        assert figure in page.text
    for floor in ("A centered box of half the area", "The whole image"):
        assert floor in page.text
    assert "ant <small>" in page.text, "names are text, not markup"


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
    ("boxes.json", '{"images": [], "annotations": [], "categories": [7]}', "boxes.json"),
    ("boxes.csv", "image,label,x0,y0,x1,y1\n\udcff", "boxes.csv"),
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
    *_, report = reproduce(tmp_path / "data", tmp_path / "out", SETUP, Extent(shown=1, steps=1), CPU)
    assert report.evaluation is None
    assert "This data set has no boxes" in Page(report.path.read_text()).text


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch, unchecked):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("deepinside.reproduction.page.page", lambda *_: "")
    with pytest.raises(DeepInsideError, match="expected a place to write the report"):
        write_page(tmp_path / "file" / "report.html", SETUP, None, None, None)
