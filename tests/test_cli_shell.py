"""What commands share: bars on a terminal, and nothing in a pipe."""

import io
import sys

import pytest

from deepinside import cli_shell
from deepinside.core.progress import Progress


def test_progress_bar_is_silent_in_a_pipe():
    items = ["a", "b"]
    assert cli_shell.progress(items) is items


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("progress", [[], [Progress("epoch 1", 1, 2), Progress("epoch 2", 2, 2)]])
def test_progress_is_a_bar_on_a_terminal_and_nothing_where_there_is_none_to_show(monkeypatch, capsys, progress):
    """So a process that does not lead, which hears of no progress, draws nothing either."""
    events = ["first", *progress, "last"]
    assert list(cli_shell.shown(events)) == ["first", "last"]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(cli_shell.shown(events)) == ["first", "last"]
    drawn = sys.stderr.getvalue()
    assert drawn == "" if not progress else "epoch 2" in drawn
