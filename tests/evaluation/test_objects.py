"""Objects one to one against COCO's own evaluation, and against cases worked out by hand."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from deepinside.evaluation.metrics import resamples
from deepinside.evaluation.objects import Matched, Truth, match, statistics

NONE = np.zeros((0, 4))


def scene(random):
    """The objects and crowds of one image, and what was found: most of it near some of them, some of it elsewhere."""
    count = random.integers(1, 5)
    corner = random.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(15, 40, (count, 2))], axis=1)
    crowd = random.uniform(0, 50, (random.integers(0, 2), 2))
    crowds = np.concatenate([crowd, crowd + random.uniform(20, 50, crowd.shape)], axis=1)
    near = np.concatenate([boxes, boxes, crowds])[random.random(2 * count + len(crowds)) < 0.7]
    near = near + random.normal(0, 3, near.shape)
    wrong = random.uniform(0, 50, (random.integers(0, 3), 2))
    found = np.concatenate([near, np.concatenate([wrong, wrong + random.uniform(5, 40, wrong.shape)], axis=1)])
    return Truth(boxes, np.ones(count, dtype=bool), crowds), found, random.random(len(found))


def coco(scenes):
    """COCO's evaluation at an IoU of 0.5 and all sizes."""

    def sized(box):
        x0, y0, x1, y1 = map(float, box)
        return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "category_id": 1}

    truths, results = [], []
    for number, (truth, found, confidences) in enumerate(scenes, start=1):
        for is_crowd, boxes in ((0, truth.boxes), (1, truth.crowds)):
            truths += [{"image_id": number, "iscrowd": is_crowd, **sized(box)} for box in boxes]
        results += [
            {"image_id": number, "score": float(score), **sized(box)}
            for box, score in zip(found, confidences, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO()
        there.dataset = {
            "images": [{"id": number} for number in range(1, len(scenes) + 1)],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [{"id": number, **each} for number, each in enumerate(truths, start=1)],
        }
        there.createIndex()
        evaluation = COCOeval(there, there.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize("seed", range(8))
def test_figures_are_those_of_coco(seed):
    random = np.random.default_rng(seed)
    scenes = [scene(random) for _ in range(12)]
    matched = [match(found, confidences, truth) for truth, found, confidences in scenes]
    figures = {key: statistic(np.ones((1, 12)))[0] for key, statistic in statistics(matched).items()}
    theirs = coco(scenes)
    images = [image for image in theirs.evalImgs if image]
    counts = [~image["dtIgnore"][0] for image in images]
    right = sum(((image["dtMatches"][0] > 0) & kept).sum() for image, kept in zip(images, counts, strict=True))
    found, total = sum(kept.sum() for kept in counts), sum(len(truth.boxes) for truth, _, _ in scenes)
    assert 0 < right < min(found, total)
    assert figures["object_precision"] == pytest.approx(right / found)
    assert figures["object_recall"] == pytest.approx(theirs.eval["recall"][0, 0, 0, 0])
    assert figures["object_f1"] == pytest.approx(2 * right / (found + total))
    assert figures["object_ap50"] == pytest.approx(theirs.eval["precision"][0, :, 0, 0, 0].mean(), abs=1e-9)


def test_the_surest_of_two_on_one_object_is_right_and_the_other_is_not():
    truth = Truth(np.array([[0.0, 0, 10, 10], [30, 0, 40, 10]]), np.array([True, True]), NONE)
    found = match(np.array([[0.0, 0, 10, 10], [0, 0, 10, 9]]), np.array([0.2, 0.9]), truth)
    assert (found.right.tolist(), found.confidences.tolist(), found.total) == ([True, False], [0.9, 0.2], 2)


def test_crowds_and_difficult_objects_count_neither_way():
    truth = Truth(np.array([[0.0, 0, 10, 10], [30, 0, 40, 10]]), np.array([True, False]), np.array([[50.0, 0, 90, 40]]))
    boxes = np.array([[31.0, 0, 40, 10], [30, 0, 40, 9], [50, 0, 60, 10], [85, 0, 99, 10], [0, 0, 10, 10]])
    found = match(boxes, np.array([0.9, 0.8, 0.7, 0.6, 0.5]), truth)
    assert found.confidences.tolist() == [0.6, 0.5], "less than half of the first lies in the crowd"
    assert (found.right.tolist(), found.total) == ([False, True], 1)


def test_an_object_in_a_crowd_is_right_all_the_same():
    truth = Truth(np.array([[0.0, 0, 10, 10]]), np.array([True]), np.array([[0.0, 0, 50, 50]]))
    assert match(np.array([[0.0, 0, 10, 10]]), np.array([1.0]), truth).right.tolist() == [True]


def hits(right, confidences, total):
    return Matched(np.array(right, dtype=bool), np.array(confidences, dtype=float), total)


def test_totals_are_over_images_and_not_means_of_ratios():
    images = [hits([1], [1], 1), hits([1, 0, 0], [0.9, 0.8, 0.7], 5)]
    figures = {key: statistic(np.ones((1, 2)))[0] for key, statistic in statistics(images).items()}
    assert figures["object_recall"] == pytest.approx(2 / 6)
    assert figures["object_precision"] == pytest.approx(2 / 4)
    assert figures["object_f1"] == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert figures["object_recall_several"] == pytest.approx(1 / 5)


def test_what_is_equally_confident_does_not_depend_on_the_order_of_the_images():
    images = [hits([1], [1], 1), hits([0], [1], 1), hits([1], [1], 1), hits([0], [1], 1)]
    for order in ([0, 1, 2, 3], [1, 3, 0, 2], [0, 2, 1, 3]):
        statistic = statistics([images[number] for number in order])["object_ap50"]
        assert statistic(np.ones((1, 4)))[0] == pytest.approx(0.5 * 51 / 101), "recalls from 0 to 0.5"


def test_a_resample_is_the_figure_of_images_that_occur_so_often():
    random = np.random.default_rng(3)
    images = [match(found, np.round(confidences, 1), truth) for truth, found, confidences in map(scene, [random] * 9)]
    weights = resamples(9, seed=0)[:20]
    drawn = {key: statistic(weights.astype(float)) for key, statistic in statistics(images).items()}
    for number, often in enumerate(weights):
        repeated = [image for image, count in zip(images, often, strict=True) for _ in range(count)]
        for key, statistic in statistics(repeated).items():
            assert drawn[key][number] == pytest.approx(statistic(np.ones((1, 9)))[0]), key


def test_figures_that_are_not_defined_are_left_out():
    assert statistics([hits([], [], 0)]) == {}
    assert statistics([hits([], [], 1)]).keys() == {"object_recall", "object_f1", "object_ap50"}
    assert statistics([hits([0], [1], 0)]).keys() == {"object_precision", "object_f1"}
    several = statistics([hits([1], [1], 2), hits([1], [1], 1)])["object_recall_several"]
    assert np.isnan(several(np.array([[0.0, 2.0]]))[0]), "a resample without such an image has no figure"
