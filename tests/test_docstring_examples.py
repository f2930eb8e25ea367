"""Examples of docstrings in the reference. griffe is a package of the documentation alone."""

import doctest
import re
import sys
from types import SimpleNamespace

import pytest


@pytest.fixture
def fenced(monkeypatch):
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object, Object=object))
    monkeypatch.delitem(sys.modules, "docstring_examples", raising=False)
    import docstring_examples

    yield docstring_examples.fenced
    del sys.modules["docstring_examples"]


def test_an_example_gets_fences_and_text_stays(fenced):
    assert fenced("Add.\n\n>>> 1 + 1\n2\n>>> 3\n3\n\nMore.") == "Add.\n\n```pycon\n>>> 1 + 1\n2\n>>> 3\n3\n```\n\nMore."
    assert fenced("No example: a > b.") == "No example: a > b."


def test_every_example_of_the_package_is_kept(fenced):
    """The parser of doctest finds the same examples inside of the fences as in the whole docstring."""
    import deepinside

    seen = 0
    for name in deepinside.__all__:
        text = getattr(deepinside, name).__doc__
        expected = doctest.DocTestParser().get_examples(text)
        lines = "\n".join(
            line.strip() if line.lstrip().startswith((">>>", "...")) else line for line in text.splitlines()
        )
        inside = re.findall(r"```pycon\n(.*?)\n```", fenced(lines), re.DOTALL)
        found = [each for block in inside for each in doctest.DocTestParser().get_examples(block)]
        assert [each.source for each in found] == [each.source for each in expected]
        seen += len(expected)
    assert seen > 5
