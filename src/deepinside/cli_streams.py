"""How the command speaks: every line goes through `say` and `complain`, whatever names and labels hold.

Names that cannot be printed are escaped, standard output that is full or closed ends the run with one line or none, and
signals end it like an exception, so that files are completed on the way out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EPIPE
from types import FrameType
from typing import Any
from warnings import catch_warnings, filterwarnings

from deepinside.core.errors import DeepInsideError
from deepinside.core.escape import terminal

MISTAKE = 2  # the exit status for a mistake in the command, and where nothing can be printed
LATER = 0.01  # seconds, after which a finalizer has ended
SIGNALED = 128  # plus the number of a signal: the exit status of what it ended, as in every shell


class StandardOutputError(Exception):
    """Standard output takes no more. No `OSError`, which is that of a file, and no `DeepInsideError` of one photo."""

    def __init__(self, error: OSError):
        super().__init__(f"standard output: {error.strerror}")
        self.is_closed = error.errno == EPIPE


class Ended(SystemExit):
    """A signal asked for the end. Nothing catches it but `with` and `finally`."""

    def __init__(self, number: int):
        super().__init__(SIGNALED + number)
        self.number = number


def say(*lines: str) -> None:
    """Print lines on standard output. What acts on a terminal is escaped, line breaks included.

    >>> say("tabby\\x1b[31m", "a\\nb")
    tabby\\x1b[31m
    a\\nb
    """
    print(*map(terminal, lines), sep="\n", flush=True)


def complain(*lines: object) -> None:
    """Print lines on standard error, each after the name of the program."""
    for line in lines:
        remark(f"deepinside: {line}")


def remark(line: str) -> None:
    """Print a line on standard error; where that is impossible, there is nobody left to tell."""
    if sys.stderr is not None:  # print() would take standard output in its place
        with suppress(OSError):
            print(terminal(line), file=sys.stderr, flush=True)


def say_json(values: object) -> None:
    """Print values as JSON on one line, with its own escapes for what standard output cannot hold."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(json_line(values, encoding), flush=True)


def json_line(values: object, encoding: str = "utf-8") -> str:
    r"""JSON on one line. Characters that are not printable or not in the encoding are escaped, so no value changes.

    >>> print(json_line("柴犬 \x9b caf\udce9"))
    "柴犬 \u009b caf\udce9"
    >>> print(json_line("柴犬 é", "cp1252"))
    "\u67f4\u72ac é"
    """
    text = json.dumps(values, ensure_ascii=False)
    return "".join(each if _is_plain(each, encoding) else json.dumps(each)[1:-1] for each in text)


@contextmanager
def speaking() -> Iterator[None]:
    """Let the block print anything: signals raise `Ended` in it, and standard output `StandardOutputError`."""
    before: Any = sys.stdout
    if hasattr(before, "reconfigure"):
        before.reconfigure(errors="backslashreplace")
    if before is not None:  # as it is where the command was started without one
        sys.stdout = Checked(before)
    try:
        with _signals_raise(), catch_warnings():
            filterwarnings("ignore", module=r"PIL\.")  # of a damaged EXIF block, say, with a line of Pillow's source
            yield
            if sys.stdout is not None:
                sys.stdout.flush()
    finally:
        sys.stdout = before


class Checked:
    """A stream whose errors are `StandardOutputError`: of `print`, of the help text, and of tables alike."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's."""
        with self._checked():
            return int(self._stream.write(text))

    def flush(self) -> None:
        """As the stream's."""
        with self._checked():
            self._stream.flush()

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _discard_the_rest(self._stream)
            raise StandardOutputError(error) from None


def ended_by(error: BaseException) -> int:
    """Tell why a command ended, in one line or none, and give its exit status."""
    if isinstance(error, DeepInsideError):
        complain(error)
        return MISTAKE
    if isinstance(error, StandardOutputError):
        if error.is_closed:  # `| head -1` has read enough: quiet, as other tools are
            return SIGNALED + getattr(signal, "SIGPIPE", 13)
        complain(error)
        return MISTAKE
    assert isinstance(error, Ended)
    complain("interrupted" if error.number == signal.SIGINT else "terminated")
    return SIGNALED + error.number


def _discard_the_rest(stream: Any) -> None:
    """Send what is still buffered nowhere; Python would try once more at its end, and complain."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let signals that end a process raise `Ended` in the block; one that is ignored, as by `nohup`, stays so."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number in numbers if before[number] in (signal.SIG_DFL, signal.default_int_handler)]
    for number in ours:
        signal.signal(number, _end)
    try:
        with _raised_again():
            yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextmanager
def _raised_again() -> Iterator[None]:
    """Raise `Ended` once more where Python drops it in the block: in finalizers and in callbacks of weak references.

    A signal is handled wherever the program is, and there no exception gets any further than `sys.unraisablehook`.
    """
    hook = sys.unraisablehook
    if not hasattr(signal, "setitimer"):  # as on Windows, where Ctrl-C alone ends a process like this
        yield
        return
    before = signal.getsignal(signal.SIGALRM)

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Ended):
            hook(unraisable)
            return
        number = unraisable.exc_value.number
        signal.signal(signal.SIGALRM, lambda _, frame: _end(number, frame))
        signal.setitimer(signal.ITIMER_REAL, LATER)

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = hook
        if signal.getsignal(signal.SIGALRM) is not before:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _end(number: int, frame: FrameType | None) -> None:
    if number != signal.SIGINT:  # whoever sends it again would cut the files off that are being completed
        signal.signal(number, signal.SIG_IGN)
    raise Ended(number)


def _is_plain(character: str, encoding: str) -> bool:
    if not character.isprintable():
        return False
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
