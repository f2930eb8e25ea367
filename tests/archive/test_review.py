"""How much a photo needs a person: each figure by itself, and rows that leave some of them out."""

import math

import numpy as np
import pytest

from deepinside.archive.review import INTERCEPT, OUTSIDE, SEVERAL, SIDES, UNSEEDED, UNSURE, need, reviewed, terms


def row(**others):
    map = np.zeros((32, 32), np.uint8)
    map[8:16, 8:16] = 100
    usual = {
        "error": None, "given": True, "class": 3, "label": "cat", "predicted": "cat", "number": 1, "confidence": 0.5,
        "unseeded": 0.0, "top_probability": [0.6, 0.2], "map": map.tobytes(), "width": 64, "height": 32,
        "x0": 10, "y0": 4, "x1": 40, "y1": 20,
    }  # fmt: skip
    return usual | others


def odds(*rows):
    probability = need(rows)
    return math.log(probability / (1 - probability))


@pytest.mark.parametrize(("changed", "added"), [
    ({}, 0.0),
    ({"confidence": 0.9}, UNSURE * math.log(9)),
    ({"confidence": 0.0}, UNSURE * math.log(1e-4 / (1 - 1e-4))),
    ({"unseeded": 0.3}, 0.3 * UNSEEDED),
    ({"x0": 0}, SIDES),
    ({"x0": 0, "y0": 0, "x1": 64, "y1": 32}, 4 * SIDES),
    ({"x0": 24}, 0.5 * OUTSIDE),  # half of the cells that have evidence lie to the left of it
])  # fmt: skip
def test_each_figure_adds_to_the_odds(changed, added):
    assert odds(row(**changed)) == pytest.approx(INTERCEPT + added, abs=1e-6)


def test_several_objects_share_the_evidence():
    parts = row(x1=24), row(x0=24, number=2, map=None)
    assert odds(*parts) == pytest.approx(INTERCEPT + SEVERAL)
    flat = row(map=bytes(32 * 32))
    assert odds(flat) == odds(row()), "nothing lies outside"
    assert odds(parts[0]) == pytest.approx(INTERCEPT + 0.5 * OUTSIDE)


def test_of_several_classes_the_worst_counts():
    sure, unsure = row(), row(**{"class": 4, "label": "dog", "confidence": 0.01})
    assert need([sure, unsure]) == need([unsure]) > need([sure])


def test_a_photo_without_objects_and_one_that_failed():
    nothing = row(**{"class": None, "map": None, "confidence": None, "given": None, "top_probability": [0.05, 0.04]})
    assert need([nothing]) > 0.8
    assert "no object" in [term.reason for term in terms([nothing])]
    failed = dict.fromkeys(row()) | {"error": "expected a photo"}
    assert reviewed([failed]) == (1.0, ["expected a photo"])


def test_reasons_name_what_weighs_most_and_a_label_that_was_not_predicted():
    assert reviewed([row()]).reasons == []
    assert reviewed([row(predicted="dog", x0=0, y0=0, x1=24)]).reasons == [
        "given cat, predicted dog", "50% of the evidence outside", "touches 2 sides of the frame",
    ]  # fmt: skip
