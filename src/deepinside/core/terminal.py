"""Progress bars that are shown on a terminal only, and tables that are never cut off."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from deepinside.core.escape import terminal

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Item = TypeVar("Item")
Advance = Callable[[int, int, str], None]  # steps done, steps in all, name of the current part


def track(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """Iterate over the items with a progress bar on standard error, if that is a terminal and `total` is 2 or more."""
    return items if total < 2 or not sys.stderr.isatty() else _tracked(items, total, what)


def _tracked(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    with bar(what) as advance:
        for done, item in enumerate(items):
            advance(done, total, what)
            yield item


@contextmanager
def bar(what: str) -> Iterator[Advance]:
    """A progress bar for work that reports its own progress: call the yielded function with `(done, total, part)`.

    The bar is drawn on standard error if that is a terminal; otherwise the function does nothing. What is printed in
    the meantime appears above the bar if it goes to a terminal, and else where it is sent, such as to a file.
    """
    if not sys.stderr.isatty():
        yield lambda done, total, part: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    console, above = Console(stderr=True), sys.stdout.isatty()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, redirect_stdout=above) as progress:
        task = progress.add_task(what)
        yield lambda done, total, part: progress.update(task, description=part, completed=done, total=total)


def print_table(table: Table) -> None:
    """Print a table as wide as its content, also on a narrower terminal, so that no figure is cut off."""
    from rich.console import Console

    console = Console(width=1000)
    Console(width=console.measure(table).maximum, highlight=False).print(table)


def literal(text: str) -> Text:
    """A cell of a table that holds a name: neither rich's markup nor what acts on a terminal does anything in it.

    >>> literal("[bold]tabby").plain
    '[bold]tabby'
    """
    from rich.text import Text

    return Text(terminal(text))
