"""Each piece of the data term against a loop, a closed form, or an independent tool."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepinside.cut.continuity import (
    Continuity,
    continuity_edges,
    feature_kernel,
    lab,
    log_odds,
    otsu,
    resize,
    resize_channels,
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
