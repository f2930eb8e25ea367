"""Each piece of the data term against a loop, a closed form, or the slow twin of `best`."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import slow_best
from deepinside.core.errors import DeepInsideError
from deepinside.cut.continuity import (
    Continuity,
    continuity_edges,
    feature_kernel,
    lab,
    log_odds,
    otsu,
    resize,
    resize_channels,
    resize_smoothly,
    seed_map,
)


def test_lab_of_known_colors():
    # sRGB's corners under D65, as published in any table of colors.
    known = {
        (1, 1, 1): (100, 0, 0), (0, 0, 0): (0, 0, 0), (1, 0, 0): (53.24, 80.09, 67.20),
        (0, 1, 0): (87.73, -86.18, 83.18), (0, 0, 1): (32.30, 79.19, -107.86),
    }  # fmt: skip
    for rgb, expected in known.items():
        assert np.allclose(lab(np.array([[rgb]], np.float32))[0, 0], expected, atol=0.1)


@given(st.integers(0, 10**6))
def test_otsu_is_the_best_of_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.3, 0.05, 60), rng.normal(0.7, 0.1, 40)]).reshape(10, 10)
    counts, borders = np.histogram(values, 64)
    centers = (borders[1:] + borders[:-1]) / 2

    def between(cut):
        low, high = counts[: cut + 1], counts[cut + 1 :]
        if not low.sum() or not high.sum():
            return 0.0
        gap = np.average(centers[: cut + 1], weights=low) - np.average(centers[cut + 1 :], weights=high)
        return low.sum() * high.sum() * gap**2

    best = max(between(cut) for cut in range(64))
    chosen = int(np.argmin(np.abs(centers - otsu(values))))
    assert between(chosen) == pytest.approx(best, rel=1e-6)


def test_kernel_equals_cosines_of_centered_features():
    features = [torch.randn(5, 4, 4, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    how = Continuity()
    ours = feature_kernel(features, (4, 4), how)
    for a, b in np.ndindex(16, 16):
        cosines = []
        for layer in features:
            vectors = layer.flatten(1).T.numpy() - layer.flatten(1).mean(1).numpy()
            cosines.append(vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]))
        assert ours[a, b] == pytest.approx(np.exp(np.mean(cosines) / how.temperature), rel=1e-3)


def test_likeness_carries_evidence_to_places_the_seed_does_not_reach():
    seed = np.full((4, 4), 0.05, np.float32)
    seed[0, 0] = 1
    features = torch.zeros(2, 4, 4)
    features[0, :, :2], features[1, :, 2:] = 1, 1  # left half, right half
    how = Continuity(blur=0.0)
    odds = log_odds(seed, feature_kernel([features], (4, 4), how), (4, 4), how)
    assert odds[3, 0] > odds[3, 3], "the left half is like the seed, the right half is not"


def test_seed_is_the_geometric_mean_of_its_maps():
    rng = np.random.default_rng(0)
    maps = [rng.random((6, 6)).astype(np.float32) + 0.1 for _ in range(3)]
    how = Continuity(blur=0.0, floor=0.0)
    slow = np.prod([map / map.mean() for map in maps], axis=0) ** (1 / 3)
    slow = (slow - slow.min()) / (slow.max() - slow.min())
    assert np.allclose(seed_map(maps, (6, 6), how), slow, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 123.4])
@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (7, 7), (13, 9)])
def test_a_map_of_one_value_stays_flat_whatever_rounding_does(value, grid):
    for cells in ((30, 50), (56, 56), (57, 41)):
        assert not seed_map([np.full(grid, value)], cells, Continuity()).any()


def test_scale_of_a_map_does_not_matter():
    maps = [np.random.default_rng(k).random((7, 7)).astype(np.float32) for k in range(2)]
    scaled = [maps[0] * 1e6, maps[1] * 1e-3]
    assert np.allclose(seed_map(maps, (14, 14), Continuity()), seed_map(scaled, (14, 14), Continuity()), atol=1e-5)


def test_edges_equal_a_loop():
    rng = np.random.default_rng(0)
    image, features = rng.random((4, 5, 3)).astype(np.float32), rng.random((4, 5, 7)).astype(np.float32)
    right, down = continuity_edges(image, features, 2.0)
    layers = [lab(image), features]
    total = [
        sum(((v[y, x + 1] - v[y, x]) ** 2).sum() for y in range(4) for x in range(4))
        + sum(((v[y + 1, x] - v[y, x]) ** 2).sum() for y in range(3) for x in range(5))
        for v in layers
    ]
    for y, x in np.ndindex(4, 4):
        slow = sum(np.exp(-((v[y, x + 1] - v[y, x]) ** 2).sum() / (t / 20)) for v, t in zip(layers, total, strict=True))
        assert right[y, x] == pytest.approx(slow, rel=1e-4)
    for y, x in np.ndindex(3, 5):
        slow = sum(np.exp(-((v[y + 1, x] - v[y, x]) ** 2).sum() / (t / 20)) for v, t in zip(layers, total, strict=True))
        assert down[y, x] == pytest.approx(slow, rel=1e-4)


def test_resizing_averages_blocks_and_keeps_constants():
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert np.allclose(resize(values, (2, 2)), values.reshape(2, 2, 2, 2).mean((1, 3)))
    assert np.allclose(resize(np.full((3, 3), 0.7, np.float32), (9, 9)), 0.7, atol=1e-6)
    block = torch.from_numpy(values)[None]
    assert np.allclose(resize_channels(block, (2, 2))[0], resize(values, (2, 2)))


# ------------------------------------------------------------------------------------- stage by stage against slow_best
# Ours works in float32, the twin in float64: 1e-5 leaves room for that rounding, and no wrong formula gets by.


@pytest.mark.parametrize(("old", "new"), [
    ((4, 7), (9, 21)), ((6, 20), (12, 30)), ((20, 6), (24, 12)), ((1, 1), (3, 2)),  # growing
    ((5, 8), (5, 8)), ((9, 9), (28, 28)),
    ((20, 6), (12, 4)), ((10, 30), (5, 15)), ((14, 14), (9, 11)), ((8, 8), (4, 2)),  # shrinking
])  # fmt: skip
def test_resizing_is_cubic_or_linear_upwards_and_averages_downwards(old, new):
    values = np.random.default_rng(0).normal(size=(3, *old)).astype(np.float32)
    channels = resize_channels(torch.from_numpy(values), new)
    for channel, ours in zip(values, channels, strict=True):
        assert np.allclose(resize(channel, new), slow_best.resized(channel, new, slow_best.cubic), atol=1e-5)
        assert np.allclose(ours, slow_best.resized(channel, new, slow_best.linear), atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [
    ((4, 7), (9, 21)), ((32, 32), (96, 128)), ((1, 1), (3, 2)), ((5, 8), (5, 8)),  # growing
    ((32, 32), (12, 18)), ((6, 20), (9, 3)), ((32, 32), (1, 1)),  # shrinking
])  # fmt: skip
def test_smooth_resizing_is_linear_in_both_directions(old, new):
    values = np.random.default_rng(0).normal(size=old).astype(np.float32)
    ours = resize_smoothly(values, new)
    assert np.allclose(ours, slow_best.between_centers(values, new), atol=1e-5)
    assert values.min() <= ours.min() <= ours.max() <= values.max(), "as the cubic is not"


def test_the_cubic_is_pytorchs_own():
    """Halfway between two cells Keys' convolution weighs them -0.09375 and 0.59375, with a = -0.75."""
    step = np.zeros((8, 8), np.float32)
    step[4] = 1
    column = resize(step, (16, 8))[:, 0]
    near, far = slow_best.keys(0.25), slow_best.keys(1.25)
    assert np.allclose(column[[8, 9, 7, 10]], [near, near, slow_best.keys(0.75), slow_best.keys(0.75)], atol=1e-6)
    assert np.allclose(column[[6, 11]], far, atol=1e-6)
    assert far < -0.08, "which -0.5 in place of -0.75 would not reach"


def maps_like_those_of_a_network(seed, grids):
    """Skewed, in any unit, with places where there is nothing."""
    rng = np.random.default_rng(seed)
    return [
        (rng.random(grid) ** 4 * 10.0 ** rng.integers(-6, 3)).clip(1e-9) * (rng.random(grid) > 0.2) for grid in grids
    ]


@pytest.mark.parametrize("grids", [
    [(7, 7)], [(14, 14), (7, 7), (20, 20), (10, 10)], [(5, 9), (40, 40)], [(28, 28), (14, 10), (7, 5)],
])  # fmt: skip
def test_seed_map_equals_the_slow_one(grids):
    maps = [map.astype(np.float32) for map in maps_like_those_of_a_network(0, grids)]
    maps.append(np.zeros((6, 6), np.float32))  # a map that says nothing must not veto the others
    for cells in ((28, 28), (20, 31)):
        ours = seed_map(maps, cells, Continuity())
        assert np.allclose(ours, slow_best.seed_map(maps, cells), atol=1e-5)
        assert (ours.min(), ours.max()) == (0, pytest.approx(1))


@pytest.mark.parametrize("grids", [[(14, 14)], [(12, 15), (5, 6)], [(20, 20), (10, 10)]])
def test_feature_kernel_equals_the_slow_one(grids):
    rng = np.random.default_rng(1)
    features = [rng.normal(2, 1, (6, *grid)).astype(np.float32) for grid in grids]
    features[0][:, 0, 0] = features[0].mean((1, 2))  # next to no direction of its own
    ours = feature_kernel([torch.from_numpy(layer) for layer in features], (10, 11), Continuity())
    assert np.allclose(ours, slow_best.feature_kernel(features, (10, 11)), rtol=1e-4)


def odds_scene(seed, nodes):
    """A seed with a summit and two kinds of features, as `log_odds` gets them."""
    rng = np.random.default_rng(seed)
    cells = (2 * nodes[0], 2 * nodes[1])
    summit = np.zeros((4, 4))
    summit[tuple(rng.integers(0, 4, 2))] = 1
    features = rng.normal(0, 1, (5, *nodes)) + 2 * (rng.random((5, 1, 1)) - 0.5) * (np.arange(nodes[1]) < nodes[1] // 2)
    return slow_best.seed_map([summit, rng.random((6, 6))], cells), slow_best.feature_kernel([features], nodes)


@pytest.mark.parametrize("nodes", [(8, 8), (6, 11)])
@pytest.mark.parametrize("seed", range(3))
def test_log_odds_equal_the_slow_ones(seed, nodes):
    place, kernel = odds_scene(seed, nodes)
    ours = log_odds(place.astype(np.float32), kernel.astype(np.float32), nodes, Continuity())
    slow = slow_best.log_odds(place.astype(np.float32), kernel, nodes)
    assert np.abs(slow).max() > 2, "evidence beyond the clip"
    assert np.allclose(ours, slow, atol=1e-4), "float32 of the kernel and the seed"


@pytest.mark.parametrize("with_features", [True, False])
def test_edges_equal_the_slow_ones(with_features):
    rng = np.random.default_rng(2)
    image = rng.random((7, 9, 3)).astype(np.float32) ** 2
    features = rng.normal(size=(7, 9, 4)).astype(np.float32) if with_features else None
    ours = continuity_edges(image, features, 1.0)
    for found, slow in zip(ours, slow_best.edges(image, features), strict=True):
        assert np.allclose(found, slow, rtol=1e-4, atol=1e-6)


def test_edges_of_an_even_image_have_the_full_price():
    for edges in continuity_edges(np.full((3, 4, 3), 0.5, np.float32), None, 2.0):
        assert (edges == 2).all()


def test_lab_equals_the_slow_one_from_black_to_white():
    rng = np.random.default_rng(3)
    image = np.concatenate([rng.random((4, 9, 3)), rng.random((4, 9, 3)) ** 6]).astype(np.float32)
    image[0, 0], image[0, 1] = 0.04045, 0.0404
    assert np.allclose(lab(image), slow_best.lab(image), atol=1e-3), "of 100, in float32"


@pytest.mark.parametrize("seed", range(6))
def test_otsu_equals_the_slow_one(seed):
    rng = np.random.default_rng(seed)
    values = rng.random((12, 12)) ** (seed + 1)
    assert otsu(values) == pytest.approx(slow_best.otsu(values), abs=1e-12)


def test_constants_are_a_value():
    assert {Continuity(), Continuity(level=Continuity().level)} == {Continuity()}
    assert Continuity(level=0.5) != Continuity()
    with pytest.raises(FrozenInstanceError):
        Continuity().level = 0.5


@pytest.mark.parametrize(
    "options",
    [{"floor": -1.0}, {"temperature": 0.01}, {"fade": 0.0}, {"cell": 0}, {"node": 1}, {"side": 1.1}, {"clip": np.nan}],
)
def test_options_out_of_their_range_are_errors(options):
    with pytest.raises(DeepInsideError, match=f"Continuity: expected {next(iter(options))} to be"):
        Continuity(**options)


def test_the_least_temperature_has_a_finite_kernel():
    features = [torch.from_numpy(np.random.default_rng(0).normal(size=(4, 6, 6)).astype(np.float32))]
    assert np.isfinite(feature_kernel(features, (6, 6), Continuity(temperature=0.02))).all()
