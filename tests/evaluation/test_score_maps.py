"""Maps as `wsolevaluation` judges them, against its steps written out."""

import numpy as np
import pytest

from deepinside.core.geometry import Frame
from deepinside.evaluation import score_maps
from deepinside.evaluation.contours import contour_ious
from deepinside.evaluation.metrics import LEVELS
from deepinside.evaluation.score_maps import ScoreMap, judged_center, judged_map, resized_mask, statistics

FRAME = Frame.whole(50, 40, width=7, height=5)


def scene(seed):
    """A map, boxes in a photo of 50 x 40 pixels, and marked and void pixels."""
    random = np.random.default_rng(seed)
    x, y = np.sort(random.integers(0, 51, (2, 2))), np.sort(random.integers(0, 41, (2, 2)))
    truths = np.stack([x[:, 0], y[:, 0], x[:, 1] + 1, y[:, 1] + 1], axis=1).astype(np.float64)
    marked = random.random((40, 50)) < 0.3
    return random.random((5, 7)), truths, (marked, ~marked & (random.random((40, 50)) < 0.1))


def enlarged(map):
    values = FRAME.resized(224, 224).map_to_photo(map).astype(np.float64)
    values -= values.min()
    return values / values.max()


def once(statistic, count):
    return float(statistic(np.ones((1, count)))[0])


def test_accuracies_are_those_of_a_thousand_thresholds():
    scenes = [scene(seed) for seed in range(6)]
    found = [judged_map(map, FRAME, truths, marked) for map, truths, marked in scenes]
    right = np.zeros((2, len(LEVELS), 1000))
    for map, truths, _ in scenes:
        scaled = [[int(x0 * 224 / 50), int(y0 * 224 / 40), int((x1 - 1) * 224 / 50), int((y1 - 1) * 224 / 40)]
                  for x0, y0, x1, y1 in truths]  # fmt: skip
        image = (enlarged(map) * 255).astype(np.uint8)
        cut_at = [int(threshold * image.max()) for threshold in np.arange(0, 1, 0.001)]
        ious = contour_ious(image, np.array(scaled))[:, cut_at]
        right += ious[:, None] >= np.array(LEVELS)[:, None]
    best = right.max(axis=2) / len(scenes)
    told = {key: once(statistic, len(scenes)) for key, statistic in statistics(found).items()}
    assert told["max_box_acc_v1"] == pytest.approx(best[0, 1])
    assert [told[f"max_box_acc_v2_{level}"] for level in LEVELS] == pytest.approx(best[1])
    assert told["max_box_acc_v2"] == pytest.approx(best[1].mean())
    assert 0 < told["max_box_acc_v2"] < 1


def test_pixels_of_all_images_have_one_precision_recall_curve():
    scenes = [scene(seed) for seed in range(4)]
    edges = [*np.arange(0, 1, 0.001), 1.0, 2.0, 3.0]
    inside, outside = np.zeros((2, len(edges) - 1))
    for map, _, (marked, void) in scenes:
        nearest = np.ix_(np.arange(224) * 40 // 224, np.arange(224) * 50 // 224)
        values = enlarged(map)
        inside += np.histogram(values[marked[nearest]], edges)[0]
        outside += np.histogram(values[~marked[nearest] & ~void[nearest]], edges)[0]
    true, false = inside[::-1].cumsum(), outside[::-1].cumsum()
    some = (true + false) > 0
    precision, recall = true[some] / (true + false)[some], true[some] / inside.sum()
    expected = (precision[1:] * np.diff(recall)).sum() + precision[0] * recall[0]
    found = [judged_map(map, FRAME, truths, marked) for map, truths, marked in scenes]
    unmarked = judged_map(*scenes[0][:1], FRAME, scenes[0][1], None)
    assert unmarked.pixels is None
    assert once(statistics([*found, unmarked])["pxap"], 5) == pytest.approx(expected, abs=1e-9)
    assert "pxap" not in statistics([unmarked])


def test_the_gaussian_has_the_boxes_of_its_contours():
    _, _, marked = scene(0)
    truths = np.array([[5.0, 4, 45, 36], [20, 20, 50, 40]])
    whole = Frame.whole(50, 40, width=224, height=224)
    slow = judged_map(score_maps.center_gaussian(), whole, truths, marked)
    fast = judged_center(50, 40, truths, marked)
    assert np.array_equal(fast.right, slow.right)
    assert np.allclose(fast.pixels.sum(axis=1), slow.pixels.sum(axis=1))
    assert fast.right.any()


def test_a_constant_map_is_nowhere():
    found = judged_map(np.ones((5, 7)), FRAME, np.array([[0.0, 0, 9, 9]]), None)
    assert not found.right.any()


def test_masks_are_resized_as_opencv_does():
    cv2 = pytest.importorskip("cv2", reason="the extra `bench` has OpenCV")
    random = np.random.default_rng(0)
    for height, width in ((40, 50), (375, 500), (224, 224), (1, 700)):
        mask = random.random((height, width)) < 0.5
        theirs = cv2.resize(np.float32(mask), (224, 224), interpolation=cv2.INTER_NEAREST) > 0.5
        assert np.array_equal(resized_mask(mask), theirs)


def test_what_is_kept_is_read_back():
    map, truths, marked = scene(1)
    for found in (judged_map(map, FRAME, truths, marked), judged_map(map, FRAME, truths, None)):
        again = score_maps.of_json(score_maps.as_json(found))
        assert isinstance(again, ScoreMap)
        assert np.array_equal(again.right, found.right)
        assert (again.pixels is None) if found.pixels is None else np.array_equal(again.pixels, found.pixels)
