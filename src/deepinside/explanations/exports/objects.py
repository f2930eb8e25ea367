"""What every format says of an object: its number, its scores and its corners in whole pixels."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain

from deepinside.core.results import Detection, Explanation
from deepinside.core.results import corners as corners


def numbered(explanation: Explanation) -> Iterator[tuple[int, Detection]]:
    """The objects, each with its number in its class, from 1."""
    return chain.from_iterable(enumerate(mine, start=1) for mine in explanation.by_class)


def scores(detection: Detection) -> dict[str, float]:
    """The two numbers of an object: by which tools rank it, and that of its class in the photo."""
    return {"score": detection.confidence, "probability": detection.probability}


def reviewed(explanation: Explanation) -> dict[str, float]:
    """The `review` of a photo, by this name, where it has one."""
    return {} if explanation.review is None else {"review": explanation.review}


def version_of(explanation: Explanation) -> str:
    """A short digest of the objects of a photo: another one where the photo was explained anew with another outcome.

    The energy of a cut stands for its mask. The review is no part of it: it judges the outcome, and is none.
    """
    found = [
        (each.index, each.score, each.probability, each.confidence, each.segmentation and each.segmentation.energy)
        for each in explanation.objects
    ]
    boxes = [corners(each) for each in explanation.objects]
    return blake2b(repr((found, boxes)).encode(), digest_size=4).hexdigest()
