"""One photo against its ground truth: which class it is asked about, and what is made of it."""

from pathlib import Path

import numpy as np
import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.core.labels import Labels
from deepinside.data.boxes import Annotation, Sample
from deepinside.evaluation.cases import annotated, failure
from deepinside.evaluation.results import Found

LABELS = Labels.of(["red", "green", "blue"])
SAMPLE = Sample(Path("a.png"), (Annotation(Box(0, 0, 10, 10), name="red"), Annotation(Box(0, 0, 40, 20), name="blue")))


@pytest.mark.parametrize(("ranking", "asked", "rank"), [((2, 1, 0), 2, 0), ((1, 0, 2), 0, 1), ((1,), 2, 5)])
def test_the_class_that_is_likeliest_is_asked_about_and_else_the_largest(ranking, asked, rank):
    known = annotated(SAMPLE, 40, 30, LABELS, "colors")
    about = known.about(known.asked(ranking))
    case = about.case(SAMPLE, ranking, LABELS, {"mine": Found()})
    assert (about.index, case.rank, case.label) == (asked, rank, LABELS.name(asked))
    assert case.share == pytest.approx({2: 800, 0: 100}[asked] / 1200)


def test_baselines_do_not_need_the_image():
    free = annotated(SAMPLE, 40, 30, LABELS, "colors").about(2).image_free()
    assert free["whole_image"].box == Box(0, 0, 40, 30)
    assert free["center_box"].box.area == pytest.approx(600)
    assert free["center_gaussian"].score_map.right.any()
    assert free["center_gaussian"].is_unknown
    assert not free["center_box"].is_unknown


def test_pixels_are_asked_for_only_where_somebody_marked_them():
    about = annotated(SAMPLE, 40, 30, LABELS, "colors").about(2)
    found = about.of_objects(np.array([[0.0, 0, 9, 9, 0.5]]), lambda: pytest.fail("nobody marked pixels"), Found())
    assert found.scores == {}


def test_failures_have_the_photo_s_path():
    with pytest.raises(DeepInsideError, match="classes that colors knows, got ant"):
        annotated(Sample(Path("a.png"), (Annotation(Box(0, 0, 9, 9), name="ant"),)), 40, 30, LABELS, "colors")
    assert failure(SAMPLE, DeepInsideError("no")).reason == "a.png: no"
    assert failure(SAMPLE, DeepInsideError("a.png: no")).reason == "a.png: no"
