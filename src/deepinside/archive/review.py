"""In which order the photos of a run should be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from deepinside.archive.records import Row


def need(photo: Sequence[Row]) -> float:
    """The probability that a person has to change something about a photo, from its rows: a stand-in.

    >>> need([{"top_probability": [0.75, 0.2]}])
    0.25
    """
    return float(1 - max(photo[0]["top_probability"]))
