"""The page of a run: its handlers against the corrections that they leave beside the run."""

from types import SimpleNamespace

import gradio as gr
import pytest

from deepinside.archive.corrections import ACCEPTED, MOVED, REJECTED, corrections, found_of
from deepinside.studio import run_tab as module
from deepinside.studio.run_tab import ALL, EVERY, JUDGED, WAITING, _Handlers, run_tab
from deepinside.studio.runs import Runs
from helpers import Page


@pytest.fixture
def handlers(runs):
    return _Handlers(runs)


def event(**data):
    return SimpleNamespace(_data=data)


@pytest.fixture(autouse=True)
def plain_events(unchecked):
    """Events are Gradio's own, which only a browser makes."""


def names(listed):
    return [each["name"] for each in listed["photos"]]


def kinds(runs, key):
    said = runs.said(0)
    photo = runs.waiting(0, key)
    return [runs.what(photo, number, said) for number in range(len(photo.objects))]


def test_the_list_by_its_states(handlers, runs, keys):
    complaint, page, listed, where = handlers.listed(0, WAITING, 0, None)
    assert (complaint, page) == ("", 0)
    assert names(listed) == [each.name for each in runs.photos(0).values()]
    assert "Page 1 of 1, 4 photos" in where
    handlers.accepted(0, WAITING, 0, keys["b.png"], EVERY)
    assert set(names(handlers.listed(0, WAITING, 0, None)[2])) == {"a.png", "<b>c.png", "broken.png"}
    assert names(handlers.listed(0, JUDGED, 0, None)[2]) == ["b.png"]
    assert set(names(handlers.first_page(0, ALL, 7, None)[2])) == set(keys)


def test_pages_of_the_list(handlers, runs, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 3)
    whole = [each.name for each in runs.photos(0).values()]
    _, page, listed, where = handlers.listed(0, ALL, 0, None)
    assert (page, names(listed)) == (0, whole[:3])
    assert "Page 1 of 2, 4 photos" in where
    _, page, listed, _ = handlers.next_page(0, ALL, 0, None)
    assert (page, names(listed)) == (1, whole[3:])
    assert handlers.next_page(0, ALL, 1, None)[1] == 1, "there is none after the last"
    assert handlers.previous_page(0, ALL, 1, None)[1] == 0
    assert handlers.previous_page(0, ALL, 0, None)[1] == 0
    assert handlers.first_page(0, ALL, 1, None)[1] == 0
    assert handlers.listed(0, JUDGED, 5, None)[1:3] == (0, {"photos": []})


def test_a_photo_of_the_list(handlers, keys):
    complaint, _, listed, _, key, view, told, which = handlers.chosen(
        event(key=str(keys["a.png"])), 0, WAITING, 0, None
    )
    assert (complaint, key) == ("", keys["a.png"])
    assert [each["name"] for each in listed["photos"] if each["chosen"]] == ["a.png"]
    assert len(view["objects"]) == 2
    assert which.choices[0][0] == EVERY
    assert [value for _, value in which.choices[1:]] == [0, 1]
    assert "a.png" in Page(told).text


def test_what_is_said_is_kept_and_shown(handlers, runs, keys, run_folder):
    key = keys["a.png"]
    *_, told, _ = handlers.rejected(0, WAITING, 0, key, 1)
    assert kinds(runs, key) == [None, REJECTED]
    assert "rejected" in Page(told).text
    handlers.moved(event(object=0, box=[1, 2, 30, 31]), 0, WAITING, 0, key)
    assert kinds(runs, key) == [MOVED, REJECTED]
    first = runs.waiting(0, key).objects[0]
    assert corrections(run_folder)[found_of(first)].box == (1, 2, 30, 31)
    handlers.accepted(0, WAITING, 0, key, EVERY)
    assert kinds(runs, key) == [MOVED, ACCEPTED], "a box that was moved stays where it is"
    handlers.rejected(0, WAITING, 0, key, EVERY)
    assert kinds(runs, key) == [REJECTED, REJECTED]
    handlers.undone(0, WAITING, 0, key, "0")
    assert kinds(runs, key) == [None, REJECTED]
    handlers.undone(0, WAITING, 0, key, EVERY)
    assert corrections(run_folder) == {}


def test_a_judged_photo_leaves_the_list_that_waits(handlers, keys):
    _, _, listed, *_ = handlers.accepted(0, WAITING, 0, keys["b.png"], EVERY)
    assert "b.png" not in names(listed)


def test_a_photo_without_objects_can_be_looked_at(handlers, keys, run_folder):
    complaint, *_, view, _, which = handlers.chosen(event(key=keys["broken.png"]), 0, WAITING, 0, None)
    assert complaint == ""
    assert view["photo"] is None
    assert [name for name, _ in which.choices] == [EVERY]
    handlers.accepted(0, WAITING, 0, keys["broken.png"], EVERY)
    assert corrections(run_folder) == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h, key: h.accepted(0, WAITING, 0, None, EVERY), "choose one of the list"),
        (lambda h, key: h.moved(event(object=0, box=[0, 0, 5, 5]), 0, WAITING, 0, None), "choose one of the list"),
        (lambda h, key: h.moved(event(object=0, box=[0, 0, 500, 5]), 0, WAITING, 0, key), "expected a box"),
        (lambda h, key: h.moved(event(object=7, box=[0, 0, 5, 5]), 0, WAITING, 0, key), "one of the 2 objects"),
        (lambda h, key: h.rejected(0, WAITING, 0, key, 2), "one of the 2 objects"),
        (lambda h, key: h.rejected(0, WAITING, 0, key, -1), "one of the 2 objects"),
        (lambda h, key: h.undone(0, WAITING, 0, key, 9), "one of the 2 objects"),
        (lambda h, key: h.chosen(event(key="12"), 0, WAITING, 0, None), "a photo of this run"),
        (lambda h, key: h.chosen(event(key=str(key)), 1, WAITING, 0, None), "one of 1 runs"),
        (lambda h, key: h.accepted(0, WAITING, 0, 12, EVERY), "a photo of this run"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_kept(handlers, keys, run_folder, call, message):
    complaint, *rest = call(handlers, keys["a.png"])
    assert message in complaint
    assert 'role="alert"' in complaint
    assert len(rest) == 7
    assert corrections(run_folder) == {}


def test_names_are_inert(handlers, keys):
    *_, told, _ = handlers.chosen(event(key=keys["<b>c.png"]), 0, WAITING, 0, None)
    assert "b" not in Page(told).tags
    assert "<b>c.png" in Page(told).text


def test_the_list_is_read_anew_where_somebody_asks(handlers, runs):
    runs.photos(0)
    runs._read[0] = {}
    assert handlers.listed(0, ALL, 0, None)[2] == {"photos": []}
    assert len(handlers.read_anew(0, ALL, 0, None)[2]["photos"]) == 4


def test_the_tab_is_built(runs):
    for given, count in ((runs, 3), (Runs(), 0)):
        with gr.Blocks() as blocks:
            run_tab(given, blocks)
        found = [
            each
            for each in blocks.blocks.values()
            if getattr(each, "elem_id", None) in ("run-accept", "run-reject", "run-undo")
        ]
        assert len(found) == count
