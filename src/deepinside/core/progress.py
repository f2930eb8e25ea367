"""Events that long work yields besides its results. The library prints nothing: the command prints and draws them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The progress of one part of the work: `done` of `total` steps or images, and the name of the part."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Note:
    """A line for the user: a finding or a warning."""

    text: str
