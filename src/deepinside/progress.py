"""How far long work is, on a terminal; in a pipe, nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """The items, with a bar on standard error while they are gone through, where somebody can see it."""
    if total < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track as bar

    return bar(items, what, total, console=Console(stderr=True), transient=True)
