"""The page of a class: its pictures are those of `class_image`, bit by bit, and stop when nobody looks any more."""

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from deepinside.class_images import recipes
from deepinside.class_images.ascent import class_image
from deepinside.class_images.picture_files import as_image
from deepinside.class_images.references import best_photos
from deepinside.networks.classifier import Classifier
from deepinside.studio import class_tab as module
from deepinside.studio.class_tab import (
    _Handlers,
    class_tab,
    photos_html,
    pictures_html,
    stopped,
)
from deepinside.studio.desk import MOST_EXCITING
from deepinside.studio.wish import drawing_command, drawing_program
from desks import desk_of, scene
from helpers import NAMES, Colors, Page

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """A few steps, and every one of them shown."""
    presets = {name: replace(each, steps=4, starts=1) for name, each in recipes.PRESETS.items()}
    monkeypatch.setattr(recipes, "PRESETS", presets)
    monkeypatch.setattr(module, "PAUSE", 0)


@pytest.fixture
def handlers(desk):
    return _Handlers(desk)


def images_in(html):
    return [
        np.asarray(Image.open(BytesIO(b64decode(found))))
        for found in re.findall(r'<img src="data:image/png;base64,([^"]+)"', html)
    ]


def levels(image):
    return (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


@pytest.mark.parametrize("preset", ["canonical", "paper"])
@pytest.mark.parametrize(("seed", "facets"), [(0, 1), (5, 3)])
def test_the_pictures_are_those_of_class_image(handlers, colors, preset, seed, facets):
    *_, (complaint, html, command, program) = handlers.drawn(1, "colors", preset, facets, seed)
    assert complaint == ""
    found = images_in(html)
    assert len(found) == facets
    for number, picture in enumerate(found):
        assert (picture == levels(class_image(colors, 1, preset=preset, seed=seed + number))).all()
    assert facets == 1 or len({picture.tobytes() for picture in found}) > 1 or preset == "paper"
    seeds = range(seed, seed + facets)
    assert command == drawing_command("colors", colors, 1, preset, seeds)
    assert program == drawing_program("colors", colors, 1, preset, seeds)
    assert html.count(": done") == html.count('download="green-') == facets


def test_each_step_is_shown_until_it_is_done(handlers):
    shown = list(handlers.drawn(0, "colors", "paper", 1, 0))
    steps = [re.search("step [0-9] of 4|done", each[1])[0] for each in shown]
    assert steps == ["step 1 of 4", "step 2 of 4", "step 3 of 4", "done", "done"]
    assert all("download" not in each[1] for each in shown[:3])


def test_few_pictures_are_sent_but_it_can_be_stopped_at_each_step(handlers, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 1e9)
    monkeypatch.setattr(module, "monotonic", lambda: 1.0)
    shown = list(handlers.drawn(0, "colors", "paper", 1, 0))
    assert len(shown) == 5
    assert [isinstance(each[1], str) for each in shown] == [False] * 4 + [True]


def test_whoever_closes_it_stops_it_within_a_step(handlers, colors, monkeypatch):
    steps = []

    def ascend(*given, own=module.ascend, **how):
        for state in own(*given, **how):
            steps.append(state.step)
            yield state

    monkeypatch.setattr(module, "ascend", ascend)
    presets = {name: replace(each, steps=10_000, settled=0) for name, each in recipes.PRESETS.items()}
    monkeypatch.setattr(recipes, "PRESETS", presets)
    drawing = handlers.drawn(0, "colors", "paper", 2, 0)
    for _ in range(3):
        next(drawing)
    drawing.close()
    assert steps == [1, 1, 2, 2, 3, 3]
    with pytest.raises(StopIteration):
        next(drawing)
    assert torch.isfinite(class_image(colors, 0, preset="paper", steps=2)).all(), "the network is given back"


def test_ascents_that_end_earlier_keep_their_last_picture(colors):
    from deepinside.class_images.ascent import ascend

    short, long = (ascend(colors, [0], preset="paper", steps=steps) for steps in (1, 3))
    states = list(module._together([short, long]))
    assert [[each.step for each in both] for both in states] == [[1, 1], [1, 2], [1, 3]]


def test_no_class_and_no_network_are_told(handlers, unchecked):
    ((complaint, *rest),) = handlers.drawn(None, "colors", "paper", 1, 0)
    assert "expected a class; choose one" in complaint
    assert len(rest) == 3
    ((complaint, *_),) = handlers.drawn(0, "others", "paper", 1, 0)
    assert "expected a network of this page" in complaint
    ((complaint, *_),) = handlers.drawn(0, "colors", "papr", 1, 0)
    assert "a preset" in complaint
    for _ in range(2):
        *_, (complaint, html, *_) = handlers.drawn(0, "colors", "paper", 1, None)
        assert complaint == ""
        assert "seed 0" in html


def test_photos_that_excite_a_class_most(colors, tmp_path):
    paths = []
    for number in range(9):
        paths.append(tmp_path / f"{number}<b>.png")
        paths[-1].write_bytes(scene(number))
    desk = desk_of(colors, examples={path.name: path for path in paths})
    complaint, html = _Handlers(desk).excited(2, "colors")
    (best,) = best_photos(colors, [2], paths, MOST_EXCITING)
    assert complaint == ""
    assert re.findall(r"alt=\"photo ([^\"]*)\"", html) == [path.name.replace("<b>", "&lt;b&gt;") for path in best]
    assert best[0].name[0] in "258"
    assert "b" not in Page(html).tags
    assert html == photos_html(NAMES[2], best)
    assert desk.exciting("colors", 2) == best
    assert _Handlers(desk).excited(None, "colors") == ("", "")
    assert _Handlers(desk_of(colors)).excited(0, "colors") == ("", "")
    paths[3].write_bytes(b"")
    complaint, _ = _Handlers(desk_of(colors, examples=desk.examples)).excited(2, "colors")
    assert "3" in complaint
    assert "empty file" in complaint


def test_labels_are_inert():
    classifier = Classifier(Colors(), labels=[EVIL, "green", '"><b>'], size=32, name="colors")
    handlers = _Handlers(desk_of(classifier))
    for index in (0, 2):
        *_, (_, html, *_) = handlers.drawn(index, "colors", "paper", 1, 0)
        read = Page(html)
        assert read.tags <= {"div", "figure", "figcaption", "img", "a"}
        assert html.count("<img") == 1
        assert classifier.labels.name(index) in read.text


def test_pictures_of_other_channels_are_gray():
    image = torch.linspace(0, 1, 2 * 3 * 4).view(2, 3, 4)
    assert (np.asarray(as_image(image)) == (image[0].numpy() * 255).round()[..., None]).all()
    assert as_image(torch.zeros(3, 5, 4)).size == (4, 5)


def test_a_network_of_one_class_or_without_names_has_a_tab():
    for labels, first in (([], None), (["one"], 0)):
        desk = desk_of(Classifier(Colors(), labels=labels, size=32, name="colors"))
        with gr.Blocks() as blocks, gr.Tab("One class") as page:
            class_tab(desk, page)
        (chosen,) = (each.value for each in blocks.blocks.values() if getattr(each, "label", None) == "Class")
        assert chosen == first


def test_there_is_nothing_before_the_first_step():
    assert pictures_html("red", [None, None], [0, 1]) == '<div class="di-pictures"></div>'
    assert "Stopped." in stopped()


def test_another_network_has_its_own_classes(handlers):
    complaint, classes = handlers.classes_of("colors")
    assert complaint == ""
    assert [tuple(each) for each in classes.choices] == [(name, index) for index, name in enumerate(NAMES)]


def test_the_tab_is_built(desk):
    with gr.Blocks() as blocks, gr.Tab("One class") as page:
        class_tab(desk, page)
    labels = {getattr(each, "label", None) for each in blocks.blocks.values()}
    assert {"Class", "Network", "Preset", "Seed of the first"} <= labels
