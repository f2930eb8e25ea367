"""What long work tells while it runs. The library prints nothing: it yields these, and a shell prints and draws them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far one part of the work is: `done` of `total` steps or pictures, under the name of the part."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Note:
    """A line for the user: what was found, or what to be warned of."""

    text: str
