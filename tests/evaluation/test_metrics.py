"""Every metric against a slow second computation or a case worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms.functional import gaussian_blur

from deepinside.core.geometry import Box, Frame
from deepinside.evaluation.metrics import (
    BINS,
    DRAWS,
    STEPS,
    THRESHOLDS,
    TOP,
    areas,
    average_precision_of,
    best_iou,
    best_of,
    estimate,
    faithfulness,
    localized,
    mean_of,
    oracle_choice,
    pair_ious,
    pixel_average_precision,
    pixel_counts,
    pointing_game,
    randomized,
    rank_correlation,
    ratio_of,
    resamples,
    shared_areas,
    threshold_boxes,
    transferred_choice,
)
from helpers import state_of

corners = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)


def pixels_of(box):
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@given(st.lists(corners, min_size=1, max_size=4), st.lists(corners, min_size=1, max_size=4))
def test_best_iou_counts_pixels(boxes, truths):
    found = best_iou(np.array(boxes, float), np.array(truths, float))
    for box, iou in zip(boxes, found, strict=True):
        mine, best = pixels_of(box), 0.0
        for truth in truths:
            theirs = pixels_of(truth)
            best = max(best, len(mine & theirs) / max(len(mine | theirs), 1))
        assert iou == pytest.approx(best)
        assert iou == pytest.approx(max(Box(*box).iou(Box(*truth)) for truth in truths))


@given(st.lists(corners, max_size=3), st.lists(corners, max_size=3))
def test_pairs_of_boxes_count_pixels(boxes, others):
    first, second = (np.array(each, float).reshape(-1, 4) for each in (boxes, others))
    assert areas(first).tolist() == [len(pixels_of(box)) for box in boxes]
    shared = [[len(pixels_of(box) & pixels_of(other)) for other in others] for box in boxes]
    assert np.array_equal(shared_areas(first, second), np.reshape(shared, (len(boxes), len(others))))
    ious = [[Box(*box).iou(Box(*other)) for other in others] for box in boxes]
    assert np.allclose(pair_ious(first, second), np.reshape(ious, (len(boxes), len(others))))


@pytest.mark.parametrize("top", [1, 5])
def test_localized_is_the_challenge_rule_over_all_pairs(top):
    rng = np.random.default_rng(top)
    ranks, ious, expected = [], [], []
    for _ in range(200):
        guesses = rng.permutation(8)[:5].tolist()
        corner = rng.uniform(0, 3, (5, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 9, (5, 2))], axis=1)
        truths = np.array([[0.0, 0, 10, 10], [3, 3, 9, 9]])
        right = False
        for label, box in list(zip(guesses, boxes, strict=True))[:top]:
            for truth in truths:
                right = right or (label == 0 and Box(*box).iou(Box(*truth)) >= 0.5)
        expected.append(right)
        ranks.append(guesses.index(0) if 0 in guesses else TOP)
        ious.append(best_iou(boxes[guesses.index(0)], truths) if 0 in guesses else 1.0)
    assert 5 < sum(expected) < 195
    assert localized(np.array(ranks), np.array(ious, float), top).tolist() == expected


def test_pointing_game_by_hand():
    map = np.zeros((4, 4))
    map[1, 2] = 1
    frame = Frame.whole(40, 80, width=4, height=4)  # the maximum is at x = 25, y = 30
    assert pointing_game(map, frame, np.array([[0.0, 0, 5, 5], [20, 25, 30, 31]]))
    assert not pointing_game(map, frame, np.array([[0.0, 0, 25, 80], [0, 0, 40, 30]])), "boxes are half-open"


def slow_component(mask):
    """The largest set of pixels that hang together by edges, the first in reading order of equals."""
    left, best = {tuple(p) for p in np.argwhere(mask)}, set()
    for start in sorted(left):
        if start not in left:
            continue
        inside, border = set(), [start]
        while border:
            y, x = border.pop()
            if (y, x) in left:
                left.remove((y, x))
                inside.add((y, x))
                border += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        best = inside if len(inside) > len(best) else best
    return best


def test_threshold_boxes_equal_a_flood_fill():
    map = np.random.default_rng(3).random((9, 7)) ** 3
    found = threshold_boxes(map, Frame.whole(70, 90, width=7, height=9))
    assert found.shape == (len(THRESHOLDS), 4)
    for threshold, box in zip(THRESHOLDS, found, strict=True):
        rows, columns = zip(*slow_component(map >= threshold * map.max()), strict=True)
        expected = [10 * min(columns), 10 * min(rows), 10 * max(columns) + 10, 10 * max(rows) + 10]
        assert box.tolist() == expected


def test_a_map_of_zeros_has_the_whole_photo_as_its_box():
    assert set(threshold_boxes(np.zeros((4, 4)), Frame.whole(8, 8, width=4, height=4)).ravel()) == {0, 8}


def test_oracle_takes_the_best_threshold_of_all_images():
    scores = np.array([[0.0, 1, 0], [0, 1, 1], [1, 0, 0]])
    assert oracle_choice(scores).tolist() == [1, 1, 1]


def test_a_transferred_threshold_never_depends_on_its_own_half():
    rng = np.random.default_rng(0)
    scores = rng.random((21, 6))
    choice = transferred_choice(scores, seed=4)
    assert len(set(choice)) <= 2
    for number in range(len(scores)):
        bribed = scores.copy()
        bribed[number] = [1000, 0, 0, 0, 0, 0]
        after = transferred_choice(bribed, seed=4)
        assert after[number] == choice[number]
        assert (after == 0).sum() >= len(scores) // 2, "while all of the other half follow it"
    assert transferred_choice(scores[:1], seed=0).tolist() == [3]


def test_pixel_counts_and_average_precision_equal_a_slow_curve():
    rng = np.random.default_rng(1)
    counts, everything = [], []
    for _ in range(3):
        values = rng.integers(0, BINS, (8, 9)) / BINS + 0.004
        values.flat[:2] = 0, 1
        marked, void = rng.random((8, 9)) < values, rng.random((8, 9)) < 0.1
        marked &= ~void
        counts.append(pixel_counts(5 * values - 3, marked, void))
        everything += [(v, m) for v, m, o in zip(values.flat, marked.flat, void.flat, strict=True) if not o]
    total, recall_before, area = sum(m for _, m in everything), 0.0, 0.0
    for level in range(BINS - 1, -1, -1):
        kept = [m for v, m in everything if min(int(v * BINS), BINS - 1) >= level]
        precision, recall = sum(kept) / max(len(kept), 1), sum(kept) / total
        area, recall_before = area + precision * (recall - recall_before), recall
    table = np.array(counts, float)
    assert pixel_average_precision(table.sum(axis=0)) == pytest.approx(area)
    assert average_precision_of(table)(np.ones((1, 3)))[0] == pytest.approx(area)


def test_a_perfect_map_has_an_average_precision_of_one():
    marked = np.zeros((6, 6), bool)
    marked[2:4] = True
    counts = pixel_counts(marked.astype(float), marked, np.zeros((6, 6), bool))
    assert pixel_average_precision(counts.astype(float)) == 1


def test_rank_correlation_is_that_of_ranks():
    one, other = np.random.default_rng(0).random((2, 6, 5))
    expected = np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1]
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, 7 * one**3) == pytest.approx(1)
    assert rank_correlation(one, np.ones((6, 5))) == 0


def test_randomized_forgets_from_the_top_and_leaves_the_original_alone(small_network):
    before = state_of(small_network)
    kept = {name: value.clone() for name, value in small_network.named_parameters()}
    layers = ["0", "1", "5", "9"]
    for share, forgotten in ((0.25, 1), (0.5, 2), (0.75, 3), (1.0, 4)):
        changed = {
            name.split(".")[0]
            for name, value in randomized(small_network, share, seed=1).named_parameters()
            if not torch.equal(value, kept[name])
        }
        # A batch norm that was never trained has parameters without spread: there is nothing to forget.
        assert changed == set(layers[4 - forgotten :]) - {"1"}
    assert state_of(small_network) == before
    one, same, other = (randomized(small_network, 1.0, seed=seed)[9].weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_bootstrap_equals_a_loop_over_images():
    rng = np.random.default_rng(0)
    values, hits = rng.random(17), (rng.random((17, 4)) < 0.5).astype(float)
    values[3] = np.nan
    weights = resamples(17, seed=5)
    assert weights.sum(axis=1).tolist() == [17] * len(weights)
    means, bests, ratios = [], [], []
    for draw in weights:
        drawn = [number for number in range(17) for _ in range(draw[number])]
        known = [values[number] for number in drawn if not math.isnan(values[number])]
        means.append(sum(known) / len(known))
        ratios.append(sum(hits[number, 0] for number in drawn) / sum(known or [1]))
        bests.append(max(sum(hits[number, t] for number in drawn) / 17 for t in range(4)))
    for statistic, value, slow in (
        (mean_of(values), np.nanmean(values), means),
        (ratio_of(hits[:, 0], np.nan_to_num(values)), hits[:, 0].sum() / np.nansum(values), ratios),
        (best_of(hits), hits.mean(axis=0).max(), bests),
    ):
        found = estimate(statistic, weights)
        assert found.value == pytest.approx(value)
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))


def test_interval_of_a_share_is_as_wide_as_theory_has_it():
    values = (np.arange(400) < 100).astype(float)
    figure = estimate(mean_of(values), resamples(400, seed=0))
    expected = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert figure.high - figure.value == pytest.approx(expected, rel=0.15)
    assert figure.value - figure.low == pytest.approx(expected, rel=0.15)


# ------------------------------------------------------------------------------------------------------------ the loop


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 3))
def test_any_number_of_images_can_be_resampled(n, seed):
    assert resamples(n, seed).shape == (DRAWS, n)


def test_faithfulness_equals_a_slow_loop_over_steps(colors):
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    map = np.random.default_rng(0).random((12, 12))
    insertion, deletion = faithfulness(colors.network, image, map, 1, colors.posterior)
    order = sorted(range(144), key=lambda p: -map.flat[p])
    blurred = gaussian_blur(image, [11, 11], [5.0, 5.0])
    for start, end, found in ((blurred, image, insertion), (image, image.mean((2, 3), keepdim=True), deletion)):
        curve = []
        for step in range(STEPS + 1):
            picture = start.clone()
            for pixel in order[: int(torch.tensor(144 * step / STEPS).round())]:
                y, x = divmod(pixel, 12)
                picture[..., y, x] = end.expand_as(image)[..., y, x]
            curve.append(colors.network(picture).softmax(1)[0, 1].item())
        area = sum((a + b) / 2 for a, b in pairwise(curve)) / STEPS
        assert found == pytest.approx(area, abs=1e-5)
