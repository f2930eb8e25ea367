"""Figures by the size of objects against means over the images that have it."""

from pathlib import Path

import numpy as np
import pytest

from deepinside.evaluation.objects import Truth
from deepinside.evaluation.results import Case, Evaluation, Row
from deepinside.evaluation.sizes import by_size

SHARES = [0.0, 0.04, 0.05, 0.1, 0.3, 1.0]
TRUTH = Truth(np.zeros((0, 4)), np.zeros(0, dtype=bool), np.zeros((0, 4)))


def evaluation(columns):
    cases = tuple(Case(Path(f"{share}.png"), "cat", "cat", 0, TRUTH, share, {}) for share in SHARES)
    rows = {
        "best": Row("best", None, None, {}, columns=columns),
        "classification": Row("classification", None, None, {}),
    }
    return Evaluation("net", 0, cases, rows, ())


def test_each_size_has_the_means_of_its_images():
    right, ious = np.array([1, 0, 1, 1, 0, 1.0]), np.array([np.nan, 0.4, np.nan, np.nan, 0.6, 0.8])
    sizes = list(by_size(evaluation({"gt_known_accuracy": right, "mask_iou": ious, "mean_iou": ious})))
    assert [(size.key, size.heading, size.count) for size in sizes] == [
        ("under_5", "under 5%", 2), ("5_to_15", "5% to 15%", 2), ("over_30", "over 30%", 2),
    ]  # fmt: skip
    values = [{key: figure.value for key, figure in size.figures["best"].items()} for size in sizes]
    assert values == [
        {"gt_known_accuracy": 0.5, "mask_iou": pytest.approx(0.4)},
        {"gt_known_accuracy": 1.0},
        {"gt_known_accuracy": 0.5, "mask_iou": pytest.approx(0.7)},
    ], "a figure that is known of no image of the size is left out"
    assert all(size.figures.keys() == {"best"} for size in sizes)
    wide = sizes[0].figures["best"]["gt_known_accuracy"]
    assert (wide.low, wide.high) == (0, 1)
