"""The page's own components, and mistakes that are told on it."""

from types import GeneratorType

import gradio as gr
import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.studio.desk import MOST_BYTES
from deepinside.studio.parts import asset, choices, complaint, examples, plainly, plainly_each, viewer
from helpers import Page

EVIL = "<img src=x onerror=alert(1)>\x1b\n"


def is_skip(value):
    return value == gr.skip()


def test_a_mistake_is_text_that_is_read_out():
    assert complaint("") == ""
    page = Page(complaint(EVIL))
    assert page.tags == {"p"}
    assert page.text == r"<img src=x onerror=alert(1)>\x1b\n"
    assert 'role="alert"' in complaint("x")


def test_a_handler_of_one_or_several_outputs():
    def given(value):
        if isinstance(value, Exception):
            raise value
        return value

    one, two = plainly(1)(given), plainly(2)(given)
    assert one("a") == ("", "a")
    assert one(("a", "b")) == ("", ("a", "b"))
    assert two(("a", "b")) == ("", "a", "b")
    for handler, count in ((one, 1), (two, 2)):
        told, *rest = handler(DeepInsideError("no photo"))
        assert "no photo" in told
        assert len(rest) == count
        assert all(map(is_skip, rest))
        with pytest.raises(ZeroDivisionError):
            handler(ZeroDivisionError())
    assert one.__name__ == "given"


def test_a_handler_that_yields():
    closed = []

    @plainly_each(2)
    def handler(values):
        try:
            for value in values:
                if isinstance(value, Exception):
                    raise value
                yield value
        finally:
            closed.append(True)

    assert list(handler([(1, 2), (3, 4)])) == [("", 1, 2), ("", 3, 4)]
    first, (told, *rest) = handler([(1, 2), DeepInsideError("enough"), (3, 4)])
    assert first == ("", 1, 2)
    assert "enough" in told
    assert len(rest) == 2
    assert all(map(is_skip, rest))
    running = handler([(1, 2), (3, 4)])
    assert isinstance(running, GeneratorType)
    next(running)
    running.close()
    assert len(closed) == 3, "whoever closes the outer one closes the handler"


def test_components_have_their_scripts():
    with gr.Blocks():
        shown, listed, samples = viewer("boxes", "Open one."), choices(EVIL), examples(["a.png", EVIL])
    assert shown.js_on_load == asset("viewer.js")
    assert shown.props["most_bytes"] == MOST_BYTES
    assert shown.props["mode"] == "boxes"
    assert Page(listed.html_template).tags == {"div"}
    assert samples.value == ["a.png", EVIL], "which its script sets as text"


@pytest.mark.parametrize("name", ["choices.js", "examples.js", "page.css", "viewer.html", "viewer.js"])
def test_assets_ask_nobody_else(name):
    text = asset(name).replace("http://www.w3.org/2000/svg", "")
    for elsewhere in ("http:", "https:", 'src="//', "@import"):
        assert elsewhere not in text
