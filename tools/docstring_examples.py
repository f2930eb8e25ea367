"""Examples of docstrings as blocks of code: an extension of griffe, which reads the docstrings for the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).*)*(?:\n\n>>> .*(?:\n(?!\n).*)*)*", re.MULTILINE)


def fenced(docstring: str) -> str:
    """A docstring with its doctests in fences, since `>>>` would be a quotation in Markdown.

    >>> print(fenced("Add.").strip())
    Add.
    """
    return _EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}\n```", docstring)


class Examples(griffe.Extension):
    """Every docstring, before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Put the examples of one docstring into fences."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
