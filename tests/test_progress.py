"""A bar where somebody can see it, and the same items in any case."""

import sys

import pytest

from deepinside.progress import track


def test_in_a_pipe_the_items_are_left_alone():
    items = iter("abc")
    assert track(items, 3, "letters") is items


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_on_a_terminal_a_bar_is_shown(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(track("abc", 3, "letters")) == ["a", "b", "c"]
    assert "letters" in capsys.readouterr().err
