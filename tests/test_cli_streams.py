"""What reaches the terminal of names that hold anything, and how signals and full streams end a run."""

import io
import json
import os
import signal
import sys
import time
import warnings

import pytest

from deepinside.cli_streams import Ended, StandardOutputError, complain, ended_by, json_line, say, say_json, speaking
from deepinside.core.errors import DeepInsideError

NAMES = [
    "caf\udce9.jpg",
    "柴犬.jpg",
    "\x1b[31mred\x1b[0m",
    "a\nb\tc\x07",
    "\u202egnp.exe",
    "\x9b2J",
    "naïve 😀",
    "\ud800",
]


@pytest.fixture
def printed(monkeypatch):
    """A strict standard output in an encoding; gives what it was sent."""

    def install(encoding):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        monkeypatch.setattr(sys, "stdout", stream)
        return lambda: stream.buffer.getvalue().decode(encoding)

    return install


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "utf-16"])
def test_any_name_is_one_line_without_anything_that_acts(printed, encoding):
    sent = printed(encoding)
    with speaking():
        for name in NAMES:
            say(name)
    lines = sent().splitlines()
    assert len(lines) == len(NAMES)
    assert not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 or each == "\u202e" for line in lines for each in line)
    assert lines[0] == r"caf\xe9.jpg"
    assert lines[2] == r"\x1b[31mred\x1b[0m"
    assert lines[1] == ("柴犬.jpg" if encoding.startswith("utf") else r"\u67f4\u72ac.jpg")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_json_has_the_names_as_they_are_whatever_the_encoding(printed, encoding):
    sent = printed(encoding)
    with speaking():
        say_json(NAMES)
    (line,) = sent().splitlines()
    assert json.loads(line) == NAMES
    assert line.isprintable()
    assert ("柴犬" in line) == (encoding == "utf-8")


def test_json_keeps_the_order_and_the_escapes_of_the_format():
    assert json_line({"b": 1, "a": 'quote " and \\'}) == r'{"b": 1, "a": "quote \" and \\"}'


def test_errors_are_escaped_on_one_line_each(capsys):
    complain(DeepInsideError("a\nb \x1b[2J"), "c")
    assert capsys.readouterr() == ("", "deepinside: a\\nb \\x1b[2J\ndeepinside: c\n")


def test_where_there_is_no_standard_error_nobody_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    complain("a")
    assert capsys.readouterr().out == "", "print() would take standard output in its place"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_output_is_an_error_of_its_own(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StandardOutputError) as caught, speaking():
            say("a")
    assert ended_by(caught.value) == 2
    assert capsys.readouterr().err == "deepinside: standard output: No space left on device\n"


def test_a_reader_who_has_left_ends_the_run_quietly(monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    with sys.stdout, pytest.raises(StandardOutputError) as caught, speaking():
        say("a")
    assert ended_by(caught.value) == 128 + signal.SIGPIPE
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("number", "line"), [
    (signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "terminated"),
])  # fmt: skip
def test_a_signal_unwinds_the_block_and_is_told_in_one_line(capsys, number, line):
    before = signal.getsignal(number)
    left = []

    def work():
        with speaking():
            try:
                signal.raise_signal(number)
            finally:
                if number != signal.SIGINT:
                    signal.raise_signal(number)  # the second one does not cut the first one's work off
                left.append("whole")

    with pytest.raises(Ended) as caught:
        work()
    assert left == ["whole"]
    assert signal.getsignal(number) == before
    assert ended_by(caught.value) == 128 + number
    assert capsys.readouterr().err == f"deepinside: {line}\n"


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` starts a command
    try:
        with speaking():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs the timers of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_in_a_finalizer_ends_the_block_too(number):
    class Finalized:
        def __del__(self):
            signal.raise_signal(number)  # Python drops what is raised here

    def run():
        with speaking():
            Finalized()
            time.sleep(10)

    before = signal.getsignal(number), signal.getsignal(signal.SIGALRM), sys.unraisablehook
    with pytest.raises(Ended) as ended:
        run()
    assert ended.value.code == 128 + number
    assert (signal.getsignal(number), signal.getsignal(signal.SIGALRM), sys.unraisablehook) == before


def test_warnings_of_decoders_are_no_lines_for_users():
    with speaking():
        warnings.warn_explicit(
            "Corrupt EXIF data", UserWarning, "TiffImagePlugin.py", 982, module="PIL.TiffImagePlugin"
        )
        with pytest.raises(UserWarning, match="another"):
            warnings.warn_explicit("another", UserWarning, "file.py", 1, module="package.file")
