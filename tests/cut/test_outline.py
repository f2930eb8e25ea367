"""Oracles: every labeling of tiny grids, the cut with clamped labels, SciPy's distances, outlines that are known."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from deepinside.core.errors import DeepInsideError
from deepinside.cut.graphcut import clamp, contrast_edges, fit_mixture, minimum_cut, mixture_density
from deepinside.cut.outline import OutlineOptions, band, banded_cut, energy_gap, terms, trace


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


def photo_scene(path, size=120):
    """A photo with log odds that are high near its center where it has detail, and the mask of those above 0."""
    image = np.asarray(Image.open(path).convert("RGB").resize((size, size)), np.float32) / 255
    y, x = np.mgrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j]
    detail = ndimage.gaussian_filter(np.abs(image - ndimage.gaussian_filter(image, (3, 3, 0))).mean(axis=2), size / 14)
    evidence = np.log(detail * np.exp(-(x * x + y * y) / 0.16))
    odds = (3 * (evidence - np.quantile(evidence, 0.7))).clip(-3, 3)
    return image, odds, odds > 0


@st.composite
def problems(draw, most=10):
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


def test_edges_to_fixed_pixels_may_exceed_an_int32():
    """Each free pixel of a checkerboard has four edges to fixed ones, each nearly as large as an int32 allows."""
    random = np.random.default_rng(0)
    free = np.indices((4, 4)).sum(axis=0) % 2 == 0
    for _ in range(20):
        problem = [random.integers(0, 3, (4, 4)) / 1024, random.integers(0, 3, (4, 4)) / 1024]
        problem += [random.integers(1, 1025, (4, 3)) / 1024, random.integers(1, 1025, (3, 4)) / 1024]
        mask = random.random((4, 4)) < 0.5
        masks = all_masks((4, 4))
        price = prices(masks[((masks == mask) | free).all(axis=(1, 2))], *problem)
        assert banded_cut(*problem, free, mask).energy == price.min()


def test_stripes_with_large_edges_are_cut_as_well():
    """Every other row is fixed: the excess of the free rows adds up to more than an int32 holds."""
    random = np.random.default_rng(0)
    shape = 3, 4
    free = np.array([[True], [False], [True]]) & np.ones(shape, bool)
    for _ in range(20):
        problem = [random.integers(0, 3, shape) / 256, random.integers(0, 3, shape) / 256]
        problem += [random.integers(1, 257, (3, 3)) / 256, random.integers(1, 257, (2, 4)) / 256]
        mask = random.random(shape) < 0.5
        masks = all_masks(shape)
        price = prices(masks[((masks == mask) | free).all(axis=(1, 2))], *problem)
        assert banded_cut(*problem, free, mask).energy == price.min()


def test_impossible_bands_are_errors(unchecked):
    costs, none = np.ones((2, 3)), np.zeros((2, 3), bool)
    edges = np.ones((2, 2)), np.ones((1, 3))
    with pytest.raises(DeepInsideError, match="finite costs"):
        banded_cut(costs, np.full((2, 3), np.inf), *edges, ~none, none)
    with pytest.raises(DeepInsideError, match="free and mask"):
        banded_cut(costs, costs, *edges, ~none[:1], none)
    with pytest.raises(DeepInsideError, match="NaN"):
        banded_cut(costs, np.full((2, 3), np.nan), *edges, ~none, none)


# ------------------------------------------------------------------------------------------------------------ the band


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.floats(0, 8))
def test_band_is_within_scipys_distance_of_the_outline(mask, width):
    padded = np.pad(mask, 1, mode="edge")
    views = [padded[1 + y : 1 + y + mask.shape[0], 1 + x : 1 + x + mask.shape[1]] for y, x in
             ((-1, 0), (1, 0), (0, -1), (0, 1))]  # fmt: skip
    outline = np.any([view != mask for view in views], axis=0)
    expected = ndimage.distance_transform_edt(~outline) < width if outline.any() else np.zeros_like(mask)
    np.testing.assert_array_equal(band(mask, width), expected)


# ----------------------------------------------------------------------------------------------- the energy on photos


@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee", "rocket"])
@pytest.mark.parametrize("smoothness", [5.0, 40.0])
def test_the_cut_of_a_photo_is_that_of_the_full_grid_wherever_its_band_does_not_bind(photos, name, smoothness):
    image, odds, coarse = photo_scene(photos / f"{name}.jpg")
    options = OutlineOptions(smoothness=smoothness, prior=1.0)
    found = trace(image, odds, coarse, options)
    problem = terms(image, odds, found.mixtures, options)
    full = minimum_cut(*problem)
    bound = set()
    for width in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 200.0):
        for mask in (coarse, full.mask):
            free = band(mask, width)
            cut = banded_cut(*problem, free, mask)
            clamped = minimum_cut(*clamp(*problem[:2], ~free & mask, ~free & ~mask), *problem[2:])
            np.testing.assert_array_equal(cut.mask, clamped.mask)
            assert energy_gap(cut.mask, *problem) == cut.energy - full.energy
            binds = bool(((full.mask != mask) & ~free).any())
            bound.add(binds)
            np.testing.assert_array_equal(cut.mask[~free], mask[~free])
            if binds:
                assert cut.energy >= full.energy
                assert (cut.energy > full.energy) == (energy_gap(cut.mask, *problem) > 0)
            else:
                assert cut.energy == full.energy
                np.testing.assert_array_equal(cut.mask, full.mask)
    assert bound == {True, False}


@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee", "rocket"])
@pytest.mark.parametrize("coarsest", [30, 1000])
def test_trace_ends_with_the_exact_cut_of_its_band(photos, name, coarsest):
    """The last cut, on packed pixels, against the cut of the full grid with the other labels clamped."""
    image, odds, coarse = photo_scene(photos / f"{name}.jpg")
    options = OutlineOptions(coarsest=coarsest, prior=1.0)
    found = trace(image, odds, coarse, options)
    background, foreground, right, down = terms(image, odds, found.mixtures, options)
    kept = found.mask & ~found.free, ~found.mask & ~found.free
    full = minimum_cut(*clamp(background, foreground, *kept), right, down)
    np.testing.assert_array_equal(found.mask, full.mask)
    own = np.where(found.mask, foreground, background)[found.free].sum()
    for edges, one, other in (
        (right, (slice(None), slice(1, None)), (slice(None), slice(-1))),
        (down, (slice(1, None),), (slice(-1),)),
    ):
        own += edges[(found.mask[one] != found.mask[other]) & (found.free[one] | found.free[other])].sum()
    assert found.energy == own


def test_where_every_label_is_free_trace_has_no_gap(photos):
    for path in sorted(photos.glob("*.jpg")):
        image, odds, coarse = photo_scene(path, size=60)
        options = OutlineOptions(band=100.0, coarsest=1000)
        found = trace(image, odds, coarse, options)
        assert found.free.all()
        problem = terms(image, odds, found.mixtures, options)
        np.testing.assert_array_equal(found.mask, minimum_cut(*problem).mask)
        assert energy_gap(found.mask, *problem) == 0
        narrow = trace(image, odds, coarse, OutlineOptions(band=0.02, coarsest=1000))
        assert energy_gap(narrow.mask, *problem) > 0


def test_terms_are_mixtures_contrast_and_coarse_odds():
    image, odds, coarse, _ = textured_disc(size=40, radius=12)
    options = OutlineOptions(color=0.7, prior=0.4, smoothness=7.0, contrast=1.3, clip=2.0, uniform=0.1)
    colors = image.reshape(-1, 3)
    mixtures = fit_mixture(colors[~coarse.ravel()]), fit_mixture(colors[coarse.ravel()])
    background, foreground, right, down = terms(image, odds, mixtures, options)
    back, fore = (0.1 + 0.9 * mixture_density(mixture, colors).reshape(odds.shape) for mixture in mixtures)
    expected = 0.7 * np.log(fore / back).clip(-2, 2) + 0.4 * odds
    np.testing.assert_allclose(background - foreground, expected, atol=1e-4)
    assert (np.minimum(background, foreground) == 0).all()
    for ours, theirs in zip((right, down), contrast_edges(image, 7.0, 1.3), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


# ----------------------------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("seed", range(3))
def test_the_outline_of_a_textured_disc_is_found(seed):
    image, odds, coarse, disc = textured_disc(seed=seed)
    assert iou(coarse, disc) < 0.8
    assert iou(trace(image, odds, coarse).mask, disc) > 0.98


@pytest.mark.parametrize("size", [97, 160, 300])
def test_the_outline_is_found_coarse_to_fine(size):
    image, odds, coarse, disc = textured_disc(size, radius=0.3 * size)
    for coarsest in (size // 4, size // 2, size):
        assert iou(trace(image, odds, coarse, OutlineOptions(coarsest=coarsest)).mask, disc) > 0.98


def test_a_coarse_mask_that_is_too_small_or_too_large_is_mended():
    image, odds, _, disc = textured_disc()
    for off in (-1.0, 1.0):
        coarse = odds + off > 0
        assert iou(coarse, disc) < 0.8
        assert iou(trace(image, odds + off, coarse, OutlineOptions(coarsest=160)).mask, disc) > 0.98


def test_specks_and_holes_of_a_few_pixels_are_cleaned_by_the_energy():
    image, _, _, disc = textured_disc()
    coarse = disc.copy()
    for y, x in ((80, 36), (44, 84), (110, 90)):  # holes inside, near the outline
        coarse[y : y + 3, x : x + 3] = False
    for y, x in ((30, 40), (130, 60), (80, 26)):  # specks outside
        coarse[y : y + 3, x : x + 3] = True
    assert ndimage.label(coarse)[1] > 1
    found = trace(image, np.where(coarse, 1.0, -1.0), coarse, OutlineOptions(band=0.4)).mask
    assert ndimage.label(found)[1] == 1
    assert ndimage.label(~found)[1] == 1
    assert iou(found, disc) > 0.98


def test_labels_outside_of_the_band_are_kept():
    image, odds, coarse, _ = textured_disc()
    coarse[2, 3] = coarse[100, 155] = True  # specks of one pixel, far from the outline
    for share in (0.01, 0.03, 0.1):
        found = trace(image, odds, coarse, OutlineOptions(band=share, coarsest=1000))
        changed = found.mask != coarse
        assert changed.any()
        assert not (changed & ~found.free).any()
        assert not (changed & ~band(coarse, share * np.sqrt(coarse.sum()))).any()


def test_labels_outside_of_the_band_are_kept_coarse_to_fine():
    image, odds, coarse, _ = textured_disc()
    coarse[2, 3] = True  # a speck of one pixel lies in its own band
    found = trace(image, odds, coarse, OutlineOptions(coarsest=40))
    allowed = band(coarse, 0.2 * np.sqrt(coarse.sum()) + 3 * 4)  # as far as a pixel of the coarsest image is wide
    assert (found.mask != coarse).any()
    assert not ((found.mask != coarse) & ~allowed).any()


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


def test_colors_need_not_be_contiguous_nor_single():
    image, odds, coarse, _ = textured_disc(size=60, radius=18)
    expected = trace(image, odds, coarse)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))[1:-1, 1:-1]
    turned = trace(padded, np.asfortranarray(odds), np.asfortranarray(coarse))
    np.testing.assert_array_equal(turned.mask, expected.mask)
    doubled = trace(image.astype(float), odds.astype(np.float32), coarse)
    np.testing.assert_array_equal(doubled.mask, expected.mask)


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
    with pytest.raises(DeepInsideError, match="RGB"):
        trace(image[3:4, 4:5], odds[:1, :1], coarse[:1, :1])


def test_sizes_that_differ_are_errors(unchecked):
    image, odds, coarse, _ = textured_disc(size=20, radius=6)
    for arguments in ((image, odds[1:], coarse), (image, odds, coarse[:, 1:]), (image[..., :2], odds, coarse)):
        with pytest.raises(DeepInsideError, match="resize the odds and the mask"):
            trace(*arguments)


@pytest.mark.parametrize(
    "options",
    [
        *({"band": -0.1}, {"band": np.nan}, {"components": 0}, {"rounds": 0}, {"contrast": 0.0}, {"clip": np.inf}),
        *({"smoothness": -1.0}, {"uniform": 0.0}, {"uniform": 1.0}, {"narrow": 0.0}, {"covariance_floor": 0.0}),
    ],
)
def test_options_out_of_their_range_are_errors(options):
    with pytest.raises(DeepInsideError, match=f"expected {next(iter(options))} to be"):
        OutlineOptions(**options)
