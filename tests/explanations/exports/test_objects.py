"""What every format says of an object."""

from dataclasses import replace

import numpy as np

from deepinside.core.geometry import Frame
from deepinside.core.results import Explanation
from deepinside.explanations.exports.objects import corners, numbered, reviewed, scores, version_of
from exported import MASK, detection

FRAME = Frame.whole(20, 20, width=2, height=2)


def explained(*objects):
    return Explanation("a", 20, 20, "m", "p", objects)


def test_objects_are_counted_in_their_class():
    seen = explained(*(detection(index, MASK, FRAME) for index in (5, 5, 2)))
    assert [(number, each.index) for number, each in numbered(seen)] == [(1, 5), (2, 5), (1, 2)]


def test_corners_and_scores_are_those_of_the_object():
    seen = detection(5, MASK, FRAME, confidence=0.5)
    assert corners(seen) == (0, 0, 10, 10)
    assert scores(seen) == {"score": 0.5, "probability": seen.probability}


def test_a_review_is_told_where_there_is_one():
    assert reviewed(explained()) == {}
    assert reviewed(replace(explained(), review=0.0)) == {"review": 0.0}


def test_another_outcome_has_another_version():
    first = detection(5, MASK, FRAME)
    energy = replace(first, segmentation=replace(first.segmentation, energy=0.5))
    others = [
        explained(), explained(first), explained(first, first), explained(replace(first, score=2.0)), explained(energy),
        explained(detection(6, MASK, FRAME)), explained(detection(5, MASK[::-1], FRAME)),
        explained(detection(5, MASK, FRAME, confidence=0.5)),
    ]  # fmt: skip
    assert len({version_of(each) for each in others}) == len(others)
    same = replace(explained(detection(5, MASK.copy(), FRAME)), review=0.5, name="b")
    assert version_of(same) == version_of(explained(first))
    assert np.array_equal(first.segmentation.mask, MASK)
