"""The one family of errors. Imports nothing of the package."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
