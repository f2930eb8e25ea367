"""Oracles: every labeling of tiny grids, the cut with clamped labels, SciPy's distances, outlines that are known."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from deepinside.core.errors import DeepInsideError
from deepinside.cut.graphcut import clamp, minimum_cut
from deepinside.cut.outline import OutlineOptions, band, banded_cut, energy_gap, trace


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def textured_disc(size=160, radius=48, seed=0):
    """A striped disc on noisy ground, and a coarse mask and log odds that are off by several pixels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2
    disc = np.hypot(y, x) < radius
    ground = np.stack([0.3 + 0.1 * np.sin(x / 3), 0.5 + 0.1 * np.cos(y / 4), 0.4 + 0 * x], axis=2)
    object_ = np.stack([0.7 + 0.1 * np.sin(y), 0.4 + 0.1 * np.sin(x / 2), 0.3 + 0 * x], axis=2)
    image = np.where(disc[..., None], object_, ground) + 0.08 * random.standard_normal((size, size, 3))
    odds = (radius - np.hypot(y - 6, x + 7)) / 8
    return np.clip(image, 0, 1).astype(np.float32), odds, odds > 0, disc


@st.composite
def problems(draw, most=12):
    """Costs, edges, free pixels and a mask on a small grid; integers, so floating sums are exact."""
    height = draw(st.integers(1, 4))
    width = draw(st.integers(1, most // height))
    shapes = (height, width), (height, width), (height, width - 1), (height - 1, width)
    kinds = [st.integers(-6, 6)] * 2 + [st.integers(0, 5)] * 2
    problem = [draw(arrays(float, s, elements=k.map(float))) for s, k in zip(shapes, kinds, strict=True)]
    return (*problem, draw(arrays(bool, shapes[0])), draw(arrays(bool, shapes[0])))


def all_masks(shape):
    size = shape[0] * shape[1]
    return (np.arange(2**size)[:, None] >> np.arange(size) & 1).astype(bool).reshape(-1, *shape)


def prices(masks, background, foreground, right, down):
    total = np.where(masks, foreground, background).sum(axis=(1, 2))
    total += (right * (masks[:, :, 1:] != masks[:, :, :-1])).sum(axis=(1, 2))
    return total + (down * (masks[:, 1:] != masks[:, :-1])).sum(axis=(1, 2))


# ------------------------------------------------------------------------------------------------------ the banded cut


@given(problems())
def test_banded_cut_is_the_smallest_of_the_cheapest_masks_that_agree_with_the_fixed_labels(problem):
    *terms, free, mask = problem
    masks = all_masks(mask.shape)
    masks = masks[((masks == mask) | free).all(axis=(1, 2))]
    price = prices(masks, *terms)
    cut = banded_cut(*problem)
    assert cut.energy == price.min()
    np.testing.assert_array_equal(cut.mask, masks[price == price.min()].all(axis=0))


@given(problems())
def test_gap_is_what_the_best_of_all_masks_would_save(problem):
    *terms, _, mask = problem
    assert energy_gap(mask, *terms) == prices(mask[None], *terms)[0] - prices(all_masks(mask.shape), *terms).min()


@given(problems(most=60))
def test_banded_cut_is_the_cut_with_clamped_labels(problem):
    background, foreground, right, down, free, mask = problem
    clamped = minimum_cut(*clamp(background, foreground, ~free & mask, ~free & ~mask), right, down)
    cut = banded_cut(*problem)
    assert cut.energy == clamped.energy
    np.testing.assert_array_equal(cut.mask, clamped.mask)


@given(problems(most=60))
def test_a_band_that_does_not_bind_changes_nothing(problem):
    *terms, free, _ = problem
    full = minimum_cut(*terms)
    cut = banded_cut(*terms, free, full.mask)
    assert cut.energy == full.energy
    np.testing.assert_array_equal(cut.mask, full.mask)
    assert energy_gap(cut.mask, *terms) == 0


# ------------------------------------------------------------------------------------------------------------ the band


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.floats(0, 8))
def test_band_is_within_scipys_distance_of_the_outline(mask, width):
    padded = np.pad(mask, 1, mode="edge")
    views = [padded[1 + y : 1 + y + mask.shape[0], 1 + x : 1 + x + mask.shape[1]] for y, x in
             ((-1, 0), (1, 0), (0, -1), (0, 1))]  # fmt: skip
    outline = np.any([view != mask for view in views], axis=0)
    expected = ndimage.distance_transform_edt(~outline) < width if outline.any() else np.zeros_like(mask)
    np.testing.assert_array_equal(band(mask, width), expected)


# ----------------------------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("seed", range(3))
def test_the_outline_of_a_textured_disc_is_found(seed):
    image, odds, coarse, disc = textured_disc(seed=seed)
    assert iou(coarse, disc) < 0.8
    assert iou(trace(image, odds, coarse).mask, disc) > 0.98


def test_labels_outside_of_the_band_are_kept():
    image, odds, coarse, _ = textured_disc()
    found = trace(image, odds, coarse, OutlineOptions(band=0.03))
    changed = found.mask != coarse
    assert changed.any()
    assert not (changed & ~band(coarse, 0.03 * np.sqrt(coarse.sum()))).any()


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_without_an_outline_is_returned(value):
    image = np.random.default_rng(0).random((9, 7, 3), np.float32)
    found = trace(image, np.zeros((9, 7)), np.full((9, 7), value))
    assert found.energy == 0
    assert (found.mask == value).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 30), (30, 1), (2, 2), (3, 5), (33, 2)])
@pytest.mark.parametrize("width", [0.0, 0.2, 100.0])
def test_images_of_any_shape(shape, width):
    random = np.random.default_rng(0)
    for image in (random.random((*shape, 3), np.float32), np.full((*shape, 3), 0.5, np.float32)):
        mask = random.random(shape) < 0.5
        found = trace(image, random.normal(size=shape), mask, OutlineOptions(band=width))
        assert found.mask.shape == shape
        if width == 0:
            np.testing.assert_array_equal(found.mask, mask)


def test_the_same_call_gives_the_same_bits_also_on_two_threads():
    image, odds, coarse, _ = textured_disc()
    alone = trace(image, odds, coarse)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: trace(image, odds, coarse), range(8)):
            assert found.energy == alone.energy
            np.testing.assert_array_equal(found.mask, alone.mask)


def test_arguments_are_left_alone():
    image, odds, coarse, _ = textured_disc(size=40, radius=12)
    before = image.copy(), odds.copy(), coarse.copy()
    trace(image, odds, coarse).mask[:] = False
    for array, copy in zip((image, odds, coarse), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_errors(value):
    image, odds, coarse, _ = textured_disc(size=20, radius=6)
    with pytest.raises(DeepInsideError, match="odds"):
        trace(image, np.where(coarse, odds, value), coarse)
    image[3, 4, 1] = value
    with pytest.raises(DeepInsideError, match="RGB"):
        trace(image, odds, coarse)
