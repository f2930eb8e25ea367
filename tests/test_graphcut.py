"""The energy against a slow sum over pixels, and the segmentation against what its picture shows."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepinside.errors import DeepInsideError
from deepinside.graphcut import SCALE, CutOptions, capacities, contrast_edges, largest_component, minimum_cut, segment
from deepinside.images import read
from deepinside.mixtures import fit_mixture, mixture_density
from test_mincut import capacity, scipy_flow


def slow_energy(mask, background, foreground, right, down):
    energy = 0.0
    for y, x in np.ndindex(*mask.shape):
        energy += foreground[y, x] if mask[y, x] else background[y, x]
        if x + 1 < mask.shape[1] and mask[y, x] != mask[y, x + 1]:
            energy += right[y, x]
        if y + 1 < mask.shape[0] and mask[y, x] != mask[y + 1, x]:
            energy += down[y, x]
    return energy


@given(st.sampled_from([(1, 4), (3, 3), (2, 5)]), st.integers(0, 10**6))
def test_minimum_cut_has_the_least_energy_of_all_masks(shape, seed):
    rng = np.random.default_rng(seed)
    background, foreground = rng.normal(size=(2, *shape)) * 3
    right, down = rng.random((shape[0], shape[1] - 1)) * 4, rng.random((shape[0] - 1, shape[1])) * 4
    cut = minimum_cut(background, foreground, right, down)
    masks = (np.array(bits, bool).reshape(shape) for bits in itertools.product((False, True), repeat=background.size))
    best = min(slow_energy(mask, background, foreground, right, down) for mask in masks)
    rounding = 3 * background.size / SCALE
    assert slow_energy(cut.mask, background, foreground, right, down) == pytest.approx(best, abs=rounding)
    assert cut.energy == pytest.approx(best, abs=rounding)


def test_infinite_cost_fixes_a_pixel():
    background, foreground = np.zeros((1, 3)), np.zeros((1, 3))
    background[0, 0] = foreground[0, 2] = np.inf
    cut = minimum_cut(background, foreground, np.array([[100.0, 1.0]]), np.zeros((0, 3)))
    assert cut.mask.tolist() == [[True, True, False]]
    assert cut.energy == 1


@pytest.mark.parametrize("spoil", [np.nan, "both", "edge"])
def test_energies_that_are_none_are_refused(spoil):
    background, foreground, right = np.zeros((1, 2)), np.zeros((1, 2)), np.ones((1, 1))
    if spoil == "edge":
        right[0, 0] = -1
    else:
        background[0, 0] = np.inf if spoil == "both" else spoil
        foreground[0, 0] = np.inf if spoil == "both" else 0
    with pytest.raises(DeepInsideError, match="expected costs"):
        minimum_cut(background, foreground, right, np.zeros((0, 2)))


def test_edges_equal_the_formula_pixel_by_pixel():
    image = np.random.default_rng(0).random((5, 6, 3)).astype(np.float32)
    right, down = contrast_edges(image, 150.0, 0.5)
    pairs = [((y, x), (y, x + 1)) for y in range(5) for x in range(5)]
    pairs += [((y, x), (y + 1, x)) for y in range(4) for x in range(6)]
    mean = np.mean([((image[a] - image[b]) ** 2).sum() for a, b in pairs])
    for a, b in pairs:
        ours = right[a] if a[0] == b[0] else down[a]
        assert ours == pytest.approx(150 * np.exp(-((image[a] - image[b]) ** 2).sum() / (0.5 * mean)), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 4, 3)])
def test_flat_images_have_edges_of_full_cost(shape):
    right, down = contrast_edges(np.full(shape, 0.3, np.float32), 150.0, 0.5)
    assert (right == 150).all()
    assert (down == 150).all()


def disc_scene():
    """A red disc on blue, with noise; seeds that know a part of each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    disc = (y - 30) ** 2 + (x - 35) ** 2 < 15**2
    image = np.where(disc[..., None], [0.8, 0.2, 0.1], [0.1, 0.3, 0.7]) + rng.normal(0, 0.05, (60, 80, 3))
    inner = (y - 30) ** 2 + (x - 35) ** 2 < 5**2
    corner = (y < 8) | (x > 70)
    return image.clip(0, 1).astype(np.float32), disc, inner, corner


def test_segment_finds_the_disc_that_its_seeds_only_hint_at():
    image, disc, inner, corner = disc_scene()
    nothing = np.zeros_like(disc)
    cut = segment(image, inner, corner, inner, corner)
    assert (cut.mask == disc).mean() > 0.998
    free = segment(image, inner, corner, nothing, nothing)
    assert (free.mask == disc).mean() > 0.998


def paper_energy(image, foreground, background, options):
    """The unary costs and edges of the paper's energy, written out once more."""
    pixels = image.reshape(-1, 3)
    costs = []
    for seeds in (background, foreground):
        mixture = fit_mixture(image[seeds], options.components, seed=options.seed)
        costs.append(-np.log(0.05 * 1 + 0.95 * mixture_density(mixture, pixels)).reshape(image.shape[:2]))
    return (*costs, *contrast_edges(image, 150.0, 0.5))


@pytest.mark.parametrize("name", ["cat", "coffee", "rocket", "astronaut"])
def test_real_photos_equal_scipy(photos, name):
    photo = read(photos / f"{name}.jpg").image.resize((96, 96))
    image = np.asarray(photo, np.float32) / 255
    map = np.random.default_rng(0).random((96, 96))
    map[30:70, 25:60] += 0.7
    low, high = np.quantile(map, [0.3, 0.95])
    nothing = np.zeros((96, 96), bool)
    cut = segment(image, map > high, map < low, nothing, nothing)
    energy = paper_energy(image, map > high, map < low, CutOptions())
    *graph, constant = capacities(*energy)
    assert capacity(*graph, cut.mask) == scipy_flow(*graph)
    assert cut.energy == pytest.approx(scipy_flow(*graph) / SCALE + constant)
    assert cut.energy == pytest.approx(slow_energy(cut.mask, *energy), rel=1e-3)


def test_largest_component():
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 1]], bool)
    assert largest_component(mask).tolist() == [[False] * 4, [False, False, True, False], [False, False, True, True]]
    assert not largest_component(np.zeros((3, 3), bool)).any()
