"""What the page shows, as plain values: those of the explanation and of the run, with addresses that say the same."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from torch import nn

from deepinside.archive.corrections import ACCEPTED, MOVED, REJECTED
from deepinside.core.results import corners
from deepinside.networks.classifier import Classifier
from deepinside.studio.pictures import outlines_of
from deepinside.studio.take import KINDS
from deepinside.studio.views import classes_view, list_view, objects_table, photo_view, run_view
from deepinside.studio.wish import Wish
from desks import desk_of, scene
from helpers import Colors, Page

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def wish(photo):
    return Wish(photo, "colors", "paper", (("foreground_quantile", "0.8"),), 0)


def test_a_photo_with_its_objects(desk, wish):
    found = desk.explanation(wish)
    view = photo_view(wish, found, "my photo.png")
    assert json.loads(json.dumps(view, allow_nan=False)) == view
    assert (view["width"], view["height"]) == (64, 48)
    assert [each["path"] for each in view["objects"]] == outlines_of(found.objects)
    assert [each["box"] for each in view["objects"]] == [list(corners(each)) for each in found.objects]
    assert [each["number"] for each in view["objects"]] == list(range(1, len(found.objects) + 1))
    assert view["alt"] == f"my photo.png: 1 object of the class red, boxes {corners(found.objects[0])}"
    assert parse_qs(urlsplit(view["photo"]).query) == {"photo": [wish.photo]}
    addresses = [view["seeds"], *view["take"].values()]
    assert all(Wish.read(urlsplit(each).query) == wish for each in addresses)
    assert Wish.read(urlsplit(view["map"]).query) == wish.seeing, "so that it is not fetched anew with each outline"
    assert Wish.read(view["link"]) == wish
    assert list(view["take"]) == list(KINDS)
    assert all(not urlsplit(each).netloc and not each.startswith("/") for each in [view["photo"], *addresses])


def test_an_object_without_a_mask_has_no_box(desk, wish):
    from dataclasses import replace

    found = desk.explanation(wish)
    (only,) = found.objects
    nothing = replace(only, segmentation=replace(only.segmentation, mask=only.segmentation.mask & False))
    empty = replace(found, objects=(nothing,))
    view = photo_view(wish, empty, "a.png")
    assert view["objects"][0]["box"] is None
    assert view["objects"][0]["path"] == ""
    assert view["alt"].endswith("boxes none")
    assert objects_table(empty).count("–") == 4


def test_classes_with_the_chosen_one(desk, wish):
    found = desk.explanation(wish)
    view = classes_view(found, 0)["classes"]
    assert [(each["index"], each["label"], each["probability"]) for each in view] == [
        (each.index, each.label, each.probability) for each in found.predictions
    ]
    assert [each["index"] for each in view if each["chosen"]] == [0]


def test_a_chosen_class_that_is_not_likely_comes_last():
    network = Colors()
    torch.manual_seed(0)
    network.scores = nn.Linear(3, 9)
    nn.init.uniform_(network.scores.weight, 1, 10)
    classifier = Classifier(network, labels=list("abcdefghi"), size=32, name="nine")
    desk = desk_of(classifier)
    wish = Wish(desk.keep(scene(), "a.png"), "nine", "gradcam")
    likely = {each.index for each in desk.explanation(wish).predictions}
    other = next(index for index in range(9) if index not in likely)
    found = desk.explanation(Wish(wish.photo, wish.model, wish.preset, (), other))
    view = classes_view(found, other)["classes"]
    assert [each["chosen"] for each in view] == [False] * 5 + [True]
    assert (view[-1]["index"], view[-1]["label"]) == (other, "abcdefghi"[other])
    assert view[-1]["probability"] == found.objects[0].probability


def test_objects_as_a_table(desk, wish):
    found = desk.explanation(wish)
    text = Page(objects_table(found)).text
    for each in found.objects:
        assert f"1{each.confidence:.1%}{''.join(map(str, corners(each)))}" in text
    assert f"red: probability {found.objects[0].probability:.1%}" in text


def test_labels_and_names_are_inert():
    classifier = Classifier(Colors(), labels=[EVIL, "a\x1b[31m\nb", "\u202ec"], size=32, name="colors")
    desk = desk_of(classifier)
    wish = Wish(desk.keep(scene(), f"{EVIL}.png"), "colors", target=0)
    found = desk.explanation(wish)
    assert Page(objects_table(found)).tags.isdisjoint({"img", "script"})
    assert EVIL in Page(objects_table(found)).text, "as text"
    classes = classes_view(found, 0)["classes"]
    assert {each["label"] for each in classes} == {EVIL, r"a\x1b[31m\nb", r"\u202ec"}, "set as text by the script"
    assert "\n" not in photo_view(wish, found, "a\nb")["alt"]


def test_scripts_set_text_and_never_html():
    from deepinside.studio.parts import asset

    for name in ("choices.js", "examples.js", "viewer.js"):
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
            assert forbidden not in asset(name)


# --------------------------------------------------------------------------------------------------------------- runs


def test_a_photo_of_a_run_as_it_was_found(runs, keys):
    photo = runs.waiting(0, keys["a.png"])
    view = run_view(0, photo, {})
    assert json.loads(json.dumps(view, allow_nan=False)) == view
    assert (view["photo"], view["width"], view["height"]) == (f"studio/run/0/{photo.key}", 48, 36)
    assert [each["box"] for each in view["objects"]] == [
        [row[name] for name in ("x0", "y0", "x1", "y1")] for row in photo.objects
    ]
    assert [(each["number"], each["state"], each["hidden"]) for each in view["objects"]] == [
        (1, "", False),
        (2, "", False),
    ]
    assert view["objects"][1]["label"] == f"2. red, {photo.objects[1]['confidence']:.0%} sure"


def test_a_photo_of_a_run_as_somebody_has_corrected_it(runs, keys):
    photo = runs.waiting(0, keys["a.png"])
    runs.correct(0, photo.key, 0, MOVED, [1, 2, 30, 31])
    runs.correct(0, photo.key, 1, REJECTED)
    first, second = run_view(0, photo, runs.said(0))["objects"]
    assert (first["box"], first["state"], first["hidden"]) == ([1, 2, 30, 31], MOVED, False)
    assert (second["state"], second["hidden"]) == (REJECTED, True)
    runs.correct(0, photo.key, 0, ACCEPTED)
    first, _ = run_view(0, photo, runs.said(0))["objects"]
    assert first["state"] == ACCEPTED
    assert first["box"] == [photo.objects[0][name] for name in ("x0", "y0", "x1", "y1")]


def test_a_photo_that_failed_says_why(runs, keys):
    view = run_view(0, runs.waiting(0, keys["broken.png"]), {})
    assert view["photo"] is None
    assert view["objects"] == []
    assert view["alt"].startswith("broken.png: ")
    assert "empty file" in view["alt"]


def test_a_page_of_the_list(runs, keys):
    photos = list(runs.photos(0).values())
    view = list_view(photos, [True, False, False, True], photos[1].key)["photos"]
    assert [each["key"] for each in view] == [str(each.key) for each in photos], "JSON's numbers are too small"
    assert [each["judged"] for each in view] == [True, False, False, True]
    assert [each["chosen"] for each in view] == [False, True, False, False]
    assert [(each["name"], each["need"], each["why"]) for each in view] == [
        (each.name, each.need, each.why) for each in photos
    ]
    assert list_view([], [], None) == {"photos": []}
