"""The one family of errors. Imports nothing of the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


class DeepInsideError(Exception):
    """Something the user can mend. The message says what was expected, what came, and how to mend it."""


def nearest(wrong: str, known: Iterable[str], count: int = 3) -> str:
    """The tail of an error about a name: the most similar known ones.

    >>> nearest("tabbi", ["tabby", "tiger cat", "tub"])
    'did you mean tabby or tub?'
    """
    names = [name for name in known if name]
    close = get_close_matches(wrong, names, n=count, cutoff=0.5) or names[:count]
    return f"did you mean {' or '.join(close)}?" if close else "there are none"


def named(name: str, known: Mapping[str, Value], what: str) -> Value:
    """What goes by a name. Raises `DeepInsideError` with the nearest names for one that is not known.

    >>> named("best", {"best": 1, "paper": 2}, "a preset")
    1
    """
    if name not in known:
        raise DeepInsideError(f"expected {what} ({', '.join(known)}), got {name!r}; {nearest(name, known)}")
    return known[name]


def brief(error: Exception) -> str:
    """The first words of another library's error, on one line, for the end of a message.

    >>> brief(ValueError("not\\n a number")), brief(KeyError())
    ('not a number', 'KeyError')
    """
    return " ".join(str(error).split())[:120] or type(error).__name__


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """A block that writes a file, its folder made first. Raises `DeepInsideError` where the system refuses.

    >>> with writing(Path("/dev/null/map.png"), "a picture"):
    ...     pass
    Traceback (most recent call last):
    ...
    deepinside.core.errors.DeepInsideError: /dev/null/map.png: expected a place to write a picture (File exists)
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DeepInsideError(f"{path}: expected a place to write {what} ({error.strerror})") from None
