"""Progress bars on a terminal, none in a pipe, and the same items in both."""

import contextlib
import io
import sys

import pytest
from rich.table import Table

from deepinside.core.terminal import bar, literal, print_table, track


def test_in_a_pipe_the_items_are_left_alone():
    items = iter("abc")
    assert track(items, 3, "letters") is items


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_on_a_terminal_a_bar_is_shown(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(track("abc", 3, "letters")) == ["a", "b", "c"]
    assert "letters" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_a_terminal(monkeypatch):
    """Standard error from now on; no fixture, since pytest takes standard error back between setup and test."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_bar_shows_the_part_and_how_far_it_is(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with bar("work") as advance:
        advance(30, 60, "canonical")
    assert "canonical" in terminal.getvalue()
    assert "50%" in terminal.getvalue()


@pytest.mark.parametrize("work", [lambda: bar("work"), lambda: contextlib.closing(track("abc", 3, "work"))])
def test_what_is_printed_under_a_bar_goes_where_it_is_sent(monkeypatch, work):
    """`deepinside localize photos --json > FILE` on a terminal: the bar on the terminal, the lines in the file."""
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with work() as items:
        if not callable(items):
            next(items)
        print("a result")
        assert sys.stdout.getvalue() == "a result\n"
    assert "a result" not in terminal.getvalue()


def test_bar_is_silent_in_a_pipe(capsys):
    with bar("work") as advance:
        advance(30, 60, "canonical")
    assert capsys.readouterr() == ("", "")


def test_a_table_is_whole_on_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("method", "judge")
    table.add_row("canonical", "x" * 80)
    print_table(table)
    assert "x" * 80 in capsys.readouterr().out


def test_a_name_in_a_table_is_no_markup(capsys):
    table = Table("model", title=literal("[b]x[/b]"), title_justify="left")
    table.add_row(literal("[red]a[/red]\x1b[2J"))
    print_table(table)
    out = capsys.readouterr().out
    assert "[b]x[/b]" in out
    assert r"[red]a[/red]\x1b[2J" in out


def test_the_part_under_a_bar_is_no_markup(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with bar("work") as advance:
        advance(30, 60, "[red]x[/red]")
    assert "[red]x[/red]" in terminal.getvalue()
