"""What a terminal shows: how far long work is, where a pipe gets nothing, and tables as wide as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.table import Table

Item = TypeVar("Item")
Advance = Callable[[int, int, str], None]


def track(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """The items, with a bar on standard error while they are gone through, where somebody can see it."""
    if total < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track as bar

    return bar(items, what, total, console=Console(stderr=True), transient=True)


@contextmanager
def bar(what: str) -> Iterator[Advance]:
    """A bar for work that tells by itself how far it is: `(done, whole, name of the part)`."""
    if not sys.stderr.isatty():
        yield lambda done, whole, part: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what)
        yield lambda done, whole, part: progress.update(task, description=part, completed=done, total=whole)


def print_whole(table: Table) -> None:
    """As wide as it has to be, on a narrow terminal, too: a figure cut short is worse than a long line."""
    from rich.console import Console

    console = Console(width=1000)
    Console(width=console.measure(table).maximum, highlight=False).print(table)
