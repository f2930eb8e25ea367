"""The page of a photo: its handlers against the desk and the library, and its controls against the presets."""

from types import SimpleNamespace

import gradio as gr
import pytest

from deepinside.core.labels import Labels
from deepinside.explanations.contrast import contrast
from deepinside.explanations.presets import DEFAULT, OTHERS, PRESETS, for_seeing, with_constants
from deepinside.networks.classifier import Classifier
from deepinside.studio.photo_tab import (
    AT_LAYER,
    IMAGE,
    KNOBS,
    _Handlers,
    class_names,
    default_of,
    layers_of,
    photo_tab,
    slider,
    wish_of,
)
from deepinside.studio.views import classes_view, objects_table, photo_view
from deepinside.studio.wish import Wish, command_of, program_of
from desks import desk_of, scene
from helpers import NAMES, Colors, Page

ALL = [*PRESETS, *OTHERS]
PLAIN = {preset: [default_of(preset, knob) for knob in KNOBS[preset]] for preset in ALL}
HOW = ("colors", DEFAULT, IMAGE, "gradient", *PLAIN[DEFAULT])


@pytest.fixture
def handlers(desk):
    return _Handlers(desk)


@pytest.fixture(autouse=True)
def plain_events(unchecked):
    """Events and requests are Gradio's own, which only a browser makes."""


def event(**data):
    return SimpleNamespace(_data=data)


def shown(desk, wish):
    """What the page shows of a wish whose class is named."""
    found, classifier, name = desk.explanation(wish), desk.classifier(wish.model), desk.name(wish.photo)
    return (
        wish.photo, wish.target, photo_view(wish, found, name), classes_view(found, wish.target), objects_table(found),
        command_of(wish, classifier, name), program_of(wish, classifier, name),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ controls


@pytest.mark.parametrize("preset", ALL)
def test_every_knob_is_a_constant_of_its_preset_that_acts_on_the_outline_alone(preset):
    assert len(KNOBS[preset]) == 3
    assert wish_of("p", 1, "m", preset, IMAGE, "gradient", *PLAIN[preset]) == Wish("p", "m", preset, (), 1)
    plain = with_constants(preset, {})
    for knob, at in zip(KNOBS[preset], PLAIN[preset], strict=True):
        assert knob.low <= at <= knob.high
        for value in (knob.low, knob.high):
            moved = with_constants(preset, {knob.constant: f"{value:g}"})
            assert for_seeing(moved) == for_seeing(plain)
            assert moved != plain or value == at


@pytest.mark.parametrize("preset", ALL)
@pytest.mark.parametrize("end", ["low", "high"])
def test_knobs_can_all_be_at_their_ends(preset, end):
    values = [getattr(knob, end) for knob in KNOBS[preset]]
    wish = wish_of("p", None, "m", preset, IMAGE, "gradient", *values)
    constants = {knob.constant: value for knob, value in zip(KNOBS[preset], values, strict=True)}
    assert wish.localizer == with_constants(preset, constants)


@pytest.mark.parametrize("preset", ALL)
def test_a_layer_and_a_rule_are_of_those_presets_that_have_them(preset):
    wish = wish_of("p", 1, "m", preset, "features", "guided", *PLAIN[preset])
    expected = {"layer": "features"} if preset in AT_LAYER else {}
    expected |= {"rule": "guided"} if preset == "paper" else {}
    assert dict(wish.constants) == expected
    assert wish.localizer == with_constants(preset, expected)


def test_sliders_are_at_the_presets_values_or_at_another():
    for preset in ALL:
        for number, knob in enumerate(KNOBS[preset]):
            found = slider(preset, number)
            assert (found.value, found.minimum, found.maximum) == (default_of(preset, knob), knob.low, knob.high)
    assert slider("paper", 0, "0.75").value == 0.75


def test_classes_of_a_list_are_told_apart():
    assert class_names(Labels.of(NAMES)) == [("red", 0), ("green", 1), ("blue", 2)]
    same = Labels((("crane",), ("crane", "derrick"), ("a",), ("A",)))
    assert len({name for name, _ in class_names(same)}) == 4


def test_layers_are_those_with_a_grid(desk, colors):
    assert layers_of(desk, "colors")[0] == IMAGE
    assert layers_of(desk, "colors")[1:] == [layer.name for layer in colors.layers() if layer.grid]
    assert "features" in layers_of(desk, "colors")


# ------------------------------------------------------------------------------------------------------------ handlers


def test_a_photo_that_is_opened_shows_its_likeliest_class(handlers, desk):
    for number in range(3):
        id = desk.keep(scene(number), "a.png")
        complaint, *found = handlers.opened(event(photo=id), None, 2, *HOW)
        assert complaint == ""
        assert tuple(found) == shown(desk, Wish(id, "colors", target=number))


def test_another_class_by_a_button_or_by_its_name(handlers, desk, photo):
    for index in range(3):
        expected = ("", *shown(desk, Wish(photo, "colors", target=index)))
        assert handlers.chosen(event(index=index), photo, 0, *HOW) == expected
        assert handlers.another(index, photo, 0, *HOW) == expected
    assert handlers.another(None, photo, 1, *HOW) == ("", *shown(desk, Wish(photo, "colors", target=1)))


def test_the_same_class_by_other_means(handlers, desk, photo):
    how = ("colors", "paper", "features", "gradient", 0.8, 0.3, 40.0)
    constants = (("foreground_quantile", "0.8"), ("cut.smoothness", "40"), ("layer", "features"))
    _, *found = handlers.shown(photo, 1, *how)
    wish = wish_of(photo, 1, *how)
    assert dict(wish.constants).items() >= dict(constants[:1] + constants[2:]).items()
    assert tuple(found) == shown(desk, wish)


def test_outlines_follow_a_knob(handlers, desk, photo):
    how = ("colors", DEFAULT, IMAGE, "gradient", 5.0, *PLAIN[DEFAULT][1:])
    _, view, table, command, program = handlers.followed(photo, 0, *how)
    _, _, *expected = shown(desk, Wish(photo, "colors", DEFAULT, (("outline.smoothness", "5"),), 0))
    assert (view, table, command, program) == (expected[0], *expected[2:])


def test_without_a_photo_nothing_happens_or_it_is_told(handlers):
    assert handlers.shown(None, None, *HOW) == ("", *(gr.skip(),) * 7)
    assert handlers.followed(None, None, *HOW) == ("", *(gr.skip(),) * 4)
    for complaint, *_ in (
        handlers.another(1, None, None, *HOW),
        handlers.contrasted(1, None, None, *HOW),
        *handlers.placed(event(x=1, y=1), "gradient", None, None, *HOW),
    ):
        assert "expected a photo first; open one" in complaint


@pytest.mark.parametrize("photo_id", ["nobody's", "<img src=x onerror=alert(1)>"])
def test_a_photo_that_is_gone_is_told(handlers, photo_id):
    for complaint, *rest in (
        handlers.opened(event(photo=photo_id), None, None, *HOW),
        handlers.chosen(event(index=1), photo_id, 1, *HOW),
        handlers.shown(photo_id, 1, *HOW),
    ):
        assert "open it again" in complaint
        assert Page(complaint).tags == {"p"}
        assert rest == [gr.skip()] * 7


def test_two_classes_are_compared(handlers, desk, colors, photo):
    complaint, html = handlers.contrasted(2, photo, 0, *HOW)
    assert complaint == ""
    assert html == contrast(colors, desk.photo(photo), 0, 2)._repr_html_()
    complaint, html = handlers.contrasted(None, photo, 0, *HOW)
    assert html == contrast(colors, desk.photo(photo), 0, None)._repr_html_()
    assert handlers.contrasted(0, photo, 0, *HOW)[0], "one with itself"


def test_a_place_shows_what_layers_see_there(handlers, photo):
    parts = list(handlers.placed(event(x=30.5, y=20), "gradient", photo, 0, *HOW))
    assert all(complaint == "" for complaint, _ in parts)
    assert "at 30, 20" in Page(parts[-1][1]).text
    ((complaint, _),) = handlers.placed(event(x=300, y=20), "gradient", photo, 0, *HOW)
    assert complaint


@pytest.mark.parametrize("preset", ALL)
def test_controls_of_a_preset(handlers, preset):
    layer, rule, *knobs = handlers.settings(preset, "colors")
    assert (layer.visible, rule.visible) == (preset in AT_LAYER, preset == "paper")
    assert [knob.value for knob in knobs] == PLAIN[preset]


def test_another_network_has_its_own_classes_and_layers(handlers, desk):
    desk.models = ("colors", "others")
    desk._classifiers["others"] = Classifier(Colors(), labels=["r", "g", "b"], size=32, name="others")
    complaint, other, against, layer, target = handlers.classes_of("others")
    assert (complaint, target) == ("", None)
    assert [name for name, _ in other.choices] == [name for name, _ in against.choices] == ["r", "g", "b"]
    assert [name for name, _ in layer.choices] == layers_of(desk, "others")
    assert "expected a network of this page" in handlers.classes_of("x")[0]


# --------------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize(
    ("preset", "constants"),
    [
        ("best", ()),
        ("best", (("outline.band", "0.3"),)),
        ("paper", (("layer", "features"), ("foreground_quantile", "0.8"))),
    ],
)
def test_a_link_shows_the_same_with_its_controls(handlers, desk, photo, preset, constants):
    wish = Wish(photo, "colors", preset, constants, 0)
    complaint, *found = handlers.restored(
        SimpleNamespace(query_params=dict(part.split("=") for part in wish.query.split("&")))
    )
    assert complaint == ""
    assert tuple(found[:7]) == shown(desk, wish)
    model, named, layer, rule, *knobs = found[7:]
    assert (model, named, rule.value) == ("colors", preset, "gradient")
    assert layer.value == dict(constants).get("layer", IMAGE)
    again = wish_of(photo, 0, model, named, layer.value, rule.value, *(knob.value for knob in knobs))
    assert again.localizer == wish.localizer


@pytest.mark.parametrize(
    "query",
    [
        {"photo": "gone", "model": "colors"}, {"photo": "x"}, {"photo": "{id}", "model": "x"},
        {"photo": "{id}", "model": "colors", "preset": "<b>"}, {"photo": "{id}", "model": "colors", "target": "77"},
        {"photo": "{id}", "model": "colors", "set.x": "1"},
        {"photo": "{id}", "model": "colors", "set.outline.band": "x"},
        {"photo": "{id}", "model": "colors", "set.outline.band": "0.9"},
    ],
    ids=str,
)  # fmt: skip
def test_a_link_that_cannot_be_is_told_or_shown_and_never_fails(handlers, photo, query):
    query = {name: value.replace("{id}", photo) for name, value in query.items()}
    complaint, *found = handlers.restored(SimpleNamespace(query_params=query))
    assert len(found) == 7 + 2 + 2 + 3
    assert bool(complaint) == (query.get("set.outline.band") != "0.9")
    assert "<b>" not in complaint.replace('<p class="di-error" role="alert">', "")


def test_a_page_without_a_link_is_as_it_was(handlers):
    assert handlers.restored(SimpleNamespace(query_params={})) == ("", *(gr.skip(),) * 14)


def test_labels_are_inert(photos):
    evil = "<img src=x onerror=alert(1)>"
    desk = desk_of(Classifier(Colors(), labels=[evil, "g", "b"], size=32, name="colors"))
    id = desk.keep(scene(), f"{evil}.png")
    _, _, _, _, _, table, _, _ = _Handlers(desk).opened(event(photo=id), None, None, *HOW)
    assert "img" not in Page(table).tags
    _, html = _Handlers(desk).contrasted(1, id, 0, *HOW)
    assert evil in Page(html).text
    assert "src=x" not in html.replace(evil.replace("<", "&lt;").replace(">", "&gt;"), "")


def test_the_tab_is_built(desk):
    with gr.Blocks() as blocks:
        photo_tab(desk, blocks)
    ids = {getattr(each, "elem_id", None) for each in blocks.blocks.values()}
    assert {"photo", "classes", "preset", "knob0", "knob1", "knob2", "compare", "command", "program"} <= ids
