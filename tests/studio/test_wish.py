"""A wish as a link, a command and a program: each gives back the same, whatever things are called."""

import contextlib
import io
import json
import shlex
from urllib.parse import parse_qsl

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import deepinside as di
from deepinside.core.errors import DeepInsideError
from deepinside.core.labels import Labels
from deepinside.networks.classifier import Classifier
from deepinside.studio.wish import Wish, command_of, drawing_command, drawing_program, program_of
from desks import desk_of, same, scene
from helpers import NAMES, Colors, grays_too

# ------------------------------------------------------------------------------------------------------- the link

ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]))
CONSTANTS = st.dictionaries(ENCODABLE, ENCODABLE, max_size=4).map(lambda found: tuple(found.items()))


@given(ENCODABLE, ENCODABLE, ENCODABLE, CONSTANTS, st.none() | st.integers(0, 10**6))
def test_a_link_says_all_of_a_wish(photo, model, preset, constants, target):
    wish = Wish(photo, model, preset, constants, target)
    assert Wish.read(wish.query) == Wish.read(dict(parse_qsl(wish.query, keep_blank_values=True))) == wish


def test_the_order_of_what_a_link_says_is_all_one():
    assert Wish.read("target=3&set.b=1&model=m&set.a=&photo=p") == Wish("p", "m", "best", (("b", "1"), ("a", "")), 3)
    assert Wish.read({"photo": "p", "model": "m", "other": "x"}) == Wish("p", "m")


@pytest.mark.parametrize(
    "query",
    ["", "photo=p", "model=m", "photo=p&model=m&target=x", "photo=p&model=m&target=", "photo=p&model=m&target=1.5",
     f"photo=p&model=m&target={'9' * 5000}", "%", "&&&=", "photo"],
)  # fmt: skip
def test_another_link_is_told_in_one_line(query):
    with pytest.raises(DeepInsideError) as error:
        Wish.read(query)
    assert str(error.value).startswith("expected a link with a photo and a model")
    assert "\n" not in str(error.value)


def test_constants_are_those_of_the_preset(unchecked):
    assert Wish("p", "m", "paper", (("foreground_quantile", "0.9"),)).localizer == di.Paper(foreground_quantile=0.9)
    for wish in (
        Wish("p", "m", "papr"),
        Wish("p", "m", "best", (("rule", "guided"),)),
        Wish("p", "m", "best", (("", ""),)),
    ):
        with pytest.raises(DeepInsideError):
            _ = wish.localizer


# ----------------------------------------------------------------------------------------- the command and the program

NASTY = [
    "cat.png", "my cat.png", "a'b.png", 'a"b.png', "$HOME.png", "`id`.png", "a;b.png", "a&b|c.png", "*?[x].png",
    "-x.png",
    "--json.png", "~.png", "a\\b.png",
    "a\nb.png", "\u732b.png", "#a.png", "!a.png", "{x}.png", "%s.png", "a=b.png", "-",
]  # fmt: skip
WISHES = [
    ("best", ()),
    ("best", (("outline.smoothness", "40"), ("outline.prior", "0.5"))),
    ("paper", (("foreground_quantile", "0.9"), ("rule", "guided"))),
    ("paper", (("layer", "features"), ("cut.smoothness", "80"))),
    ("gradcam", (("cut.foreground_quantile", "0.8"),)),
    ("smoothgrad", ()),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(deepinside):
    """What a command finds, as its JSON says, after a shell has read it."""

    def run(command):
        program, *words = shlex.split(command)
        assert program == "deepinside"
        status, told, complaints = deepinside(*words, "--json")
        assert status == 0, complaints
        return json.loads(told)

    return run


def executed(program):
    known = {}
    with contextlib.redirect_stdout(io.StringIO()) as told:
        exec(program, known)
    return known["explanation"], told.getvalue()


def both_agree(wish, desk, name, ran, monkeypatch):
    """The command and the program find what the page shows."""
    classifier, found = desk.classifier(wish.model), desk.explanation(wish)
    loaded = []
    monkeypatch.setattr("deepinside.networks.sources.load", lambda model, *_, **__: loaded.append(model) or classifier)
    monkeypatch.setattr(di, "load", lambda model: loaded.append(model) or classifier)
    told = ran(command_of(wish, classifier, name))
    expected = json.loads(json.dumps(found.to_dict()))
    for each in (told, expected):
        each.pop("path")
    assert told == expected
    by_program, printed = executed(program_of(wish, classifier, name))
    same(by_program, found)
    assert printed == f"{[(each.label, each.probability, each.box) for each in found.objects]}\n"
    assert loaded == [wish.model] * 2


@pytest.mark.parametrize(("preset", "constants"), WISHES, ids=str)
@pytest.mark.parametrize("target", [None, 2])
def test_the_command_and_the_program_find_the_same(preset, constants, target, here, ran, monkeypatch):
    network = grays_too()
    if ("rule", "guided") in constants:
        network.rectify = nn.ReLU()  # which the rule acts on
    desk = desk_of(Classifier(network, labels=NAMES, size=32, name="colors"))
    (here / "cat.png").write_bytes(scene())
    wish = Wish(desk.keep(scene(), "cat.png"), "colors", preset, constants, target)
    both_agree(wish, desk, "cat.png", ran, monkeypatch)


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_whatever_the_file_is_called(name, desk, here, ran, monkeypatch):
    (here / name).write_bytes(scene())
    (here / "b.png").write_bytes(scene(1))
    both_agree(Wish(desk.keep(scene(), name), "colors", "gradcam", target=1), desk, name, ran, monkeypatch)


LABELS = {
    "plain": NAMES,
    "shared": Labels((("crane",), ("crane", "derrick"), ("Crane",))),
    "shared with ids": Labels((("crane",), ("crane", "derrick"), ("blue",)), ("n00000001", "n00000002", "n00000003")),
    "synonyms": Labels((("red", "blue"), ("blue", "red"), ("green",))),
    "indices, but others": ["1", "2", "0"],
    "numbers": ["7", "8", "9"],
    "one number": ["red", "green", "0"],
    "far numbers": ["10", "-1", "+2"],
    "commas": ["red, green", "green", "Washington, D.C."],
    "spaces": Labels(((" red ",), ("red",), ("  ",))),
    "options": ["--json", "-", "--top"],
    "a shell's": ["$(id)", "a'b\"c", "a\nb"],
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("index", range(3))
def test_whatever_the_class_is_called(labels, index, here, ran, monkeypatch):
    classifier = Classifier(Colors(), labels=LABELS[labels], size=32, name="colors")
    desk = desk_of(classifier)
    (here / "a.png").write_bytes(scene())
    both_agree(Wish(desk.keep(scene(), "a.png"), "colors", "gradcam", target=index), desk, "a.png", ran, monkeypatch)


def test_names_are_preferred_to_indices(colors):
    assert command_of(Wish("p", "colors", target=1), colors, "a.png") == (
        "deepinside localize a.png --model colors --target green"
    )
    assert "targets='green')" in program_of(Wish("p", "colors", target=1), colors, "a.png")


@pytest.mark.parametrize("model", ["lite0", "timm/resnet18", "my model's.pt", "-x"])
def test_whatever_the_network_is_called(model, colors, here, ran, monkeypatch):
    desk = desk_of(Classifier(Colors(), labels=NAMES, size=32, name=model))
    (here / "a.png").write_bytes(scene())
    both_agree(Wish(desk.keep(scene(), "a.png"), model, "gradcam"), desk, "a.png", ran, monkeypatch)


# ------------------------------------------------------------------------------------------------------ class images


@pytest.mark.parametrize("labels", ["plain", "indices, but others", "shared", "options"])
def test_the_program_makes_the_same_class_images(labels, monkeypatch):
    classifier = Classifier(Colors(), labels=LABELS[labels], size=8, name="colors")
    monkeypatch.setattr(di, "load", lambda model: classifier)
    monkeypatch.setattr(di, "class_image", lambda *given, **how: di_class_image(*given, **how, steps=2))
    from deepinside.class_images.ascent import class_image as di_class_image

    for index in range(3):
        known = {}
        exec(drawing_program("colors", classifier, index, "paper", range(3, 5)), known)
        expected = [di_class_image(classifier, index, preset="paper", seed=seed, steps=2) for seed in (3, 4)]
        assert all(map(torch.equal, known["images"], expected))


@pytest.mark.parametrize("labels", ["plain", "indices, but others", "shared", "options", "a shell's"])
def test_the_command_makes_the_same_class_images(labels, deepinside, here, monkeypatch):
    from deepinside.class_images import gallery

    classifier = Classifier(Colors(), labels=LABELS[labels], size=8, name="colors")
    monkeypatch.setattr("deepinside.networks.sources.load", lambda *_, **__: classifier)
    asked = []

    def facets(made, targets, count):
        asked.append((list(targets), made.settings.preset, made.settings.seed, count))
        return iter(())

    monkeypatch.setattr(gallery, "draw_facets", facets)
    for index in range(3):
        command = drawing_command("colors", classifier, index, "paper", range(3, 5))
        status, _, complaints = deepinside(*shlex.split(command)[1:])
        assert status == 0, complaints
        assert asked.pop() == ([index], "paper", 3, 2)


def test_what_changes_outlines_alone_is_not_seen():
    constants = (("layer", "features.3"), ("cut.smoothness", "80"), ("rule", "guided"), ("foreground_quantile", "0.9"))
    wish = Wish("cat", "lite0", "paper", constants, 3)
    assert wish.seeing == Wish("cat", "lite0", "paper", (constants[0], constants[2]), 3)
    best = Wish("cat", "lite0", "best", (("outline.band", "0.1"), ("margin", "0.2")))
    assert best.seeing.constants == (("margin", "0.2"),)
