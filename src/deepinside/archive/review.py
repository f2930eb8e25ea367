"""Which photos need a person first: the probability that a box of a photo is wrong, from what its rows tell.

A logistic regression on five figures of a class: how sure the network is of the object, how much of the evidence lies
outside of the boxes, how much of the mask only the cut has added, how many sides of the frame the box touches, and
whether there are several objects. `benchmarks/review.py` fits and judges it; `docs/archive.md` has the data and the
outcome. That a label and the prediction disagree shows in the first figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from deepinside.archive.rows import Row, box_of
from deepinside.archive.small_maps import read_map, share_outside

INTERCEPT, UNSURE, OUTSIDE, UNSEEDED, SIDES, SEVERAL = -4.0, -0.24, 3.4, 2.1, 0.63, 1.9
NEAR = 0.01  # of the photo's side: a box so near to the frame touches it
SURE = 1e-4  # probabilities nearer to 0 and 1 are the same
TELLING = 0.6  # what a figure adds to the log odds, at least, to be told as a reason


class Term(NamedTuple):
    """What a figure adds to the log odds that a box is wrong, and what it says."""

    weight: float
    reason: str


class Review(NamedTuple):
    """The probability, in [0, 1], that a person has to change something, and why, the weightiest reason first."""

    need: float
    reasons: list[str]


def reviewed(photo: Sequence[Row]) -> Review:
    """What all rows of a photo say.

    Of several classes, the one that needs a person most counts. A photo that failed needs one in any case.
    """
    first = photo[0]
    if first["error"] is not None:
        return Review(1.0, [first["error"]])
    odds, worst = max((sum(term.weight for term in found), found) for found in map(terms, classes_of(photo)))
    given = {row["label"] for row in photo if row["given"]}
    differs = [f"given {', '.join(sorted(given))}, predicted {first['predicted']}"]
    telling = [term.reason for term in sorted(worst, reverse=True) if term.weight >= TELLING]
    is_other = given and first["predicted"] not in given
    return Review(1 / (1 + math.exp(-INTERCEPT - odds)), (differs if is_other else []) + telling)


def need(photo: Sequence[Row]) -> float:
    """The probability alone."""
    return reviewed(photo).need


def classes_of(photo: Sequence[Row]) -> list[list[Row]]:
    """The rows of each class of a photo."""
    return [list(mine) for _, mine in groupby(photo, itemgetter("class"))]


def terms(rows: Sequence[Row]) -> list[Term]:
    """What each figure of one class in one photo says; without an object, all evidence is outside of it."""
    first = rows[0]
    if first["class"] is None:
        sure, outside, unseeded, sides = max(first["top_probability"]), 1.0, 1.0, 0
    else:
        sure, unseeded, sides = first["confidence"], first["unseeded"], _sides(first)
        boxes = list(map(box_of, rows))
        saliency = read_map(first["map"])
        outside = share_outside(saliency, boxes, first["width"], first["height"]) if saliency.any() else 0.0
    sure = min(max(sure, SURE), 1 - SURE)
    several = len(rows) > 1
    doubt = "no object" if first["class"] is None else f"{sure:.0%} sure"
    return [
        Term(UNSURE * math.log(sure / (1 - sure)), doubt),
        Term(OUTSIDE * outside, f"{outside:.0%} of the evidence outside"),
        Term(UNSEEDED * unseeded, f"{unseeded:.0%} of the mask without evidence"),
        Term(SIDES * sides, f"touches {sides} side{'s' if sides > 1 else ''} of the frame"),
        Term(SEVERAL * several, f"{len(rows)} objects"),
    ]


def _sides(row: Row) -> int:
    """How many sides of the frame a box touches."""
    width, height = row["width"], row["height"]
    before = row["x0"] <= NEAR * width, row["y0"] <= NEAR * height
    after = row["x1"] >= (1 - NEAR) * width, row["y1"] >= (1 - NEAR) * height
    return int(sum(before) + sum(after))
