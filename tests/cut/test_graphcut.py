"""Oracles: every labeling of tiny grids, SciPy's maximum flow and densities, flood fill, formulas in plain NumPy."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_flow
from scipy.stats import multivariate_normal

from deepinside.core.errors import DeepInsideError
from deepinside.cut import kernels as kernels
from deepinside.cut.graphcut import (
    Cut,
    CutOptions,
    Mixture,
    clamp,
    color_costs,
    contrast_edges,
    energy,
    fit_mixture,
    largest_component,
    minimum_cut,
    mixture_density,
    quantize,
    segment,
    solve,
)
from helpers import disc_scene

property_test = settings(deadline=None, max_examples=150)  # the first example compiles


def photo_like(seed, height=60, width=80, noise=0.05):
    """A textured disc on a gradient, with noise; and a saliency that peaks inside the disc."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - height * 0.45, x - width * 0.55)
    disc = radius < height * 0.3
    image = np.stack([x / width, y / height, 0.3 + 0 * x], axis=2)
    image[disc] = np.stack([0.8 + 0.1 * np.sin(x), 0.3 + 0.1 * np.cos(y), 0.2 + 0 * x], axis=2)[disc]
    image = np.clip(image + noise * random.standard_normal(image.shape), 0, 1).astype(np.float32)
    return image, -radius + random.random((height, width)), disc


def seeds(saliency):
    low, lowest, high, highest = np.quantile(saliency, [0.3, 0.005, 0.95, 0.995])
    return saliency > high, saliency < low, saliency >= highest, saliency <= lowest


def recipe(image, saliency):
    """The integers that `segment` solves."""
    foreground, background, *clamps = seeds(saliency)
    return quantize(*clamp(*color_costs(image, foreground, background), *clamps), *contrast_edges(image))


def maximum_flow_value(capacities):
    """Value of the maximum flow of the same integers, by scipy."""
    height, width = capacities.terminal.shape
    pixel = np.arange(height * width).reshape(height, width)
    source, sink = height * width, height * width + 1
    terminal = capacities.terminal.ravel()
    surplus, deficit = np.flatnonzero(terminal > 0), np.flatnonzero(terminal < 0)
    left, above = pixel[:, :-1].ravel(), pixel[:-1].ravel()
    right, below = pixel[:, 1:].ravel(), pixel[1:].ravel()
    horizontal, vertical = capacities.right.ravel(), capacities.down.ravel()
    rows = [np.full(len(surplus), source), deficit, left, right, above, below]
    columns = [surplus, np.full(len(deficit), sink), right, left, below, above]
    values = [terminal[surplus], -terminal[deficit], horizontal, horizontal, vertical, vertical]
    graph = coo_array(
        (np.concatenate(values).astype(np.int32), (np.concatenate(rows), np.concatenate(columns))),
        shape=(sink + 1, sink + 1),
    )
    return maximum_flow(graph.tocsr(), source, sink).flow_value


def slow_energy(mask, background, foreground, right, down):
    total = 0.0
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            total += foreground[y, x] if mask[y, x] else background[y, x]
            if x + 1 < width and mask[y, x] != mask[y, x + 1]:
                total += right[y, x]
            if y + 1 < height and mask[y, x] != mask[y + 1, x]:
                total += down[y, x]
    return total


@st.composite
def problems(draw, most=12):
    """(background cost, foreground cost, right, down) of a small grid; integers, so floating sums are exact."""
    height = draw(st.integers(1, 4))
    width = draw(st.integers(1, most // height))
    shapes = (height, width), (height, width), (height, width - 1), (height - 1, width)
    kinds = [st.integers(-6, 6)] * 2 + [st.integers(0, 5)] * 2
    return tuple(draw(arrays(float, s, elements=k.map(float))) for s, k in zip(shapes, kinds, strict=True))


# -------------------------------------------------------------------------------------------------------------- cut


@property_test
@given(problems(), st.data())
def test_cut_is_the_smallest_of_the_cheapest_masks(problem, data):
    background, foreground, right, down = problem
    forced = data.draw(arrays(np.int8, background.shape, elements=st.sampled_from([0, 0, 0, 1, 2])))
    costs = clamp(background, foreground, forced == 1, forced == 2)
    cut = minimum_cut(*costs, right, down)

    size = background.size
    masks = (np.arange(2**size)[:, None] >> np.arange(size) & 1).astype(bool).reshape(-1, *background.shape)
    prices = np.where(masks, costs[1], costs[0]).sum(axis=(1, 2))
    prices += (right * (masks[:, :, 1:] != masks[:, :, :-1])).sum(axis=(1, 2))
    prices += (down * (masks[:, 1:] != masks[:, :-1])).sum(axis=(1, 2))
    assert cut.energy == prices.min()
    np.testing.assert_array_equal(cut.mask, masks[prices == prices.min()].all(axis=0))


@pytest.mark.parametrize("noise", [0, 0.05, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_value_is_scipys_maximum_flow(seed, noise):
    image, saliency, _ = photo_like(seed, noise=noise)
    if seed == 2:
        saliency = np.random.default_rng(0).random(saliency.shape)  # seeds that mean nothing: the hardest cuts
    capacities = recipe(image, saliency)
    value = round((energy(solve(capacities), capacities) - capacities.base) * capacities.scale)
    assert value == maximum_flow_value(capacities)


def test_value_is_scipys_maximum_flow_on_photos(photos):
    paths = sorted(photos.glob("*.jpg"))
    assert len(paths) == 4
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB").resize((112, 112)), np.float32) / 255
        y, x = np.mgrid[-1:1:112j, -1:1:112j]
        capacities = recipe(image, image.std(axis=2) - np.hypot(x, y))
        value = round((energy(solve(capacities), capacities) - capacities.base) * capacities.scale)
        assert value == maximum_flow_value(capacities), path


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (23, 1), (2, 2), (31, 7)])
def test_random_integers_of_any_shape_against_scipy(shape):
    random = np.random.default_rng(shape)
    height, width = shape
    for largest in (1, 5, 300):
        problem = [random.integers(0, 100, shape), random.integers(0, 100, shape)]
        problem += [random.integers(0, largest, (height, width - 1)), random.integers(0, largest, (height - 1, width))]
        capacities = quantize(*(array.astype(float) for array in problem))
        cut = minimum_cut(*(array.astype(float) for array in problem))
        assert (cut.energy - capacities.base) * capacities.scale == maximum_flow_value(capacities)


@property_test
@given(problems(most=40))
def test_swapped_labels_and_turned_grids_cost_the_same(problem):
    background, foreground, right, down = problem
    cut = minimum_cut(*problem)
    swapped = minimum_cut(foreground, background, right, down)
    assert swapped.energy == cut.energy
    assert not (cut.mask & swapped.mask).any()  # both are the smallest: no pixel is needed by both
    mirrored = minimum_cut(background[:, ::-1], foreground[:, ::-1], right[:, ::-1], down[:, ::-1])
    transposed = minimum_cut(background.T, foreground.T, down.T, right.T)
    assert mirrored.energy == transposed.energy == cut.energy
    np.testing.assert_array_equal(mirrored.mask[:, ::-1], cut.mask)
    np.testing.assert_array_equal(transposed.mask.T, cut.mask)


def test_energy_is_the_sum_of_its_terms():
    random = np.random.default_rng(1)
    problem = [random.normal(size=s) for s in [(9, 7), (9, 7)]] + [random.random((9, 6)), random.random((8, 7))]
    capacities = quantize(*problem)
    for _ in range(20):
        mask = random.random((9, 7)) < 0.5
        assert energy(mask, capacities) == pytest.approx(slow_energy(mask, *problem), abs=1e-5)
    cut = minimum_cut(*problem)
    assert cut.energy == energy(cut.mask, capacities)


def test_quantization_is_harmless_on_a_photo():
    image, saliency, _ = photo_like(0, 224, 224)
    capacities = recipe(image, saliency)
    assert capacities.scale >= 1000
    total = np.abs(capacities.terminal.astype(np.int64)).sum()
    assert 2**28 < total < 2**31  # fine, and within int32


def test_the_scale_is_as_fine_as_an_int32_allows():
    """Costs add up to at most 2^30 units, and an edge has at most 2^29, whichever is reached first."""
    costs, none = np.full((2, 4), 0.01), np.zeros((2, 4))
    by_edges = quantize(costs, none, np.full((2, 3), 1.0), np.full((1, 4), 0.5))
    assert (by_edges.scale, by_edges.right.max(), by_edges.down.max()) == (2.0**29, 2**29, 2**28)
    by_costs = quantize(100 * costs, none, np.full((2, 3), 1.0), np.full((1, 4), 0.5))
    assert (by_costs.scale, by_costs.terminal.sum()) == (2.0**27, 2**30)
    tiny = quantize(1e-3 * costs, none, np.full((2, 3), 1e-3), np.full((1, 4), 1e-3))
    assert 2**28 < tiny.right.max() <= 2**29


@pytest.mark.parametrize("factor", [1e-300, 1e-9, 1.0, 1e9])
def test_units_do_not_matter(factor):
    image, saliency, _ = photo_like(3)
    foreground, background, *_ = seeds(saliency)
    problem = [*color_costs(image, foreground, background), *contrast_edges(image)]
    cut, scaled = minimum_cut(*problem), minimum_cut(*(factor * array for array in problem))
    assert scaled.energy / factor == pytest.approx(cut.energy, rel=1e-6)


def test_costs_may_be_float32():
    problem = np.float32([[3, 0]]), np.float32([[0, 1]]), np.float32([[2]]), np.zeros((0, 2), np.float32)
    cut = minimum_cut(*problem)
    assert cut.energy == 1  # paying for the second pixel's label is cheaper than the border
    assert cut.mask.tolist() == [[True, True]]


def test_no_costs_at_all():
    cut = minimum_cut(np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 2)), np.zeros((2, 3)))
    assert cut.energy == 0
    assert not cut.mask.any()


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (([[np.inf]], [[np.inf]], [[]], []), "clamped to both"),
        (([[np.nan]], [[0.0]], [[]], []), "NaN"),
        (([[0.0, 1]], [[0.0, 1]], [[-1.0]], []), "0 or more"),
        (([[0.0, 1]], [[0.0, 1]], [[np.inf]], []), "finite edge"),
    ],
)
def test_impossible_costs_are_errors(problem, message):
    background, foreground, right, _ = map(np.array, problem)
    with pytest.raises(DeepInsideError, match=message):
        minimum_cut(background, foreground, right, np.zeros((0, background.shape[1])))


# ------------------------------------------------------------------------------------------------------- the recipe


def test_segment_finds_the_disc():
    image, saliency, disc = photo_like(0)
    cut = segment(image, *seeds(saliency))
    assert (cut.mask & disc).sum() / (cut.mask | disc).sum() > 0.95


def test_segment_finds_the_disc_that_its_seeds_only_hint_at():
    image, disc, inner, corner = disc_scene()
    nowhere = np.zeros_like(disc)
    assert (segment(image, inner, corner, inner, corner).mask == disc).mean() > 0.998
    assert (segment(image, inner, corner, nowhere, nowhere).mask == disc).mean() > 0.998


def test_segment_is_its_pieces():
    image, saliency, _ = photo_like(1)
    options = CutOptions(components=3, smoothness=20.0, contrast=2.0, uniform=0.2, seed=4)
    foreground, background, *clamps = seeds(saliency)
    whole = segment(image, foreground, background, *clamps, options)
    edges = contrast_edges(image, 20.0, 2.0)
    costs = []
    for chosen in (background, foreground):
        density = mixture_density(fit_mixture(image[chosen], 3, seed=4), image.reshape(-1, 3))
        costs.append(-np.log(0.2 + 0.8 * density).reshape(chosen.shape))
    pieces = minimum_cut(*clamp(*costs, *clamps), *edges)
    np.testing.assert_array_equal(whole.mask, pieces.mask)
    assert whole.energy == pieces.energy


def test_clamps_hold_against_all_color():
    image, saliency, disc = photo_like(2)
    foreground, background, *_ = seeds(saliency)
    inside, outside = np.zeros_like(disc), np.zeros_like(disc)
    inside[0, 0] = True
    outside[27, 44] = True
    mask = segment(image, foreground, background, inside, outside).mask
    assert mask[0, 0]
    assert not mask[27, 44]


def test_flat_image_and_single_pixel():
    flat = np.full((5, 6, 3), 0.4, np.float32)
    left = np.zeros((5, 6), bool)
    left[:, 0] = True
    nowhere = np.zeros_like(left)
    assert not segment(flat, left, ~left, nowhere, nowhere).mask.any()
    np.testing.assert_array_equal(segment(flat, left, ~left, left, ~left).mask, left)
    one = np.ones((1, 1), bool)
    assert segment(flat[:1, :1], one, one, one, ~one).mask.all()


def test_missing_seeds_and_conflicting_clamps_are_errors():
    image, saliency, disc = photo_like(0)
    foreground, background, *_ = seeds(saliency)
    nowhere = np.zeros_like(disc)
    with pytest.raises(DeepInsideError, match="at least one seed"):
        segment(image, nowhere, background, nowhere, nowhere)
    with pytest.raises(DeepInsideError, match="clamped to both"):
        segment(image, foreground, background, disc, disc)
    with pytest.raises(DeepInsideError, match="NaN"):
        segment(image * np.float32(np.nan), foreground, background, nowhere, nowhere)


def test_threads_do_not_disturb_each_other():
    jobs = [photo_like(seed, 90, 70, 0.1)[:2] for seed in range(12)]
    alone = [segment(image, *seeds(saliency)) for image, saliency in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: segment(job[0], *seeds(job[1])), jobs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.energy == other.energy


# ------------------------------------------------------------------------------------------------------------ edges


def test_contrast_edges_follow_the_formula():
    image, *_ = photo_like(0)
    image = image.astype(np.float64)
    across, along = np.diff(image, axis=1), np.diff(image, axis=0)
    squares = [(step**2).sum(axis=2) for step in (across, along)]
    beta = 1 / (0.5 * np.concatenate([s.ravel() for s in squares]).mean())
    for edges, square in zip(contrast_edges(image.astype(np.float32)), squares, strict=True):
        np.testing.assert_allclose(edges, 150 * np.exp(-beta * square), rtol=1e-4)


def test_contrast_edges_without_contrast():
    right, down = contrast_edges(np.full((3, 4, 3), 0.7, np.float32), 20.0)
    assert (right == 20).all()
    assert (down == 20).all()
    assert [edges.size for edges in contrast_edges(np.zeros((1, 1, 3), np.float32))] == [0, 0]
    with pytest.raises(DeepInsideError, match="contrast above 0"):
        contrast_edges(np.zeros((2, 2, 3), np.float32), contrast=0.0)
    with pytest.raises(DeepInsideError, match="0 or more"):
        contrast_edges(np.zeros((2, 2, 3), np.float32), -0.5)


# ---------------------------------------------------------------------------------------------------------- mixture


def scipy_density(mixture, colors):
    return sum(
        weight * multivariate_normal(mean, covariance).pdf(colors)
        for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    )


def test_density_is_scipys():
    random = np.random.default_rng(0)
    colors = random.random((3000, 3))
    mixture = fit_mixture(colors**2, seed=1)
    np.testing.assert_allclose(mixture_density(mixture, colors), scipy_density(mixture, colors), rtol=1e-7)
    narrow = fit_mixture(0.5 + 0.01 * random.random((500, 3)), 2)
    near = 0.45 + 0.1 * random.random((500, 3))
    np.testing.assert_allclose(mixture_density(narrow, near), scipy_density(narrow, near), rtol=1e-7)


def test_fit_recovers_known_gaussians():
    random = np.random.default_rng(0)
    means = np.array([[0.2, 0.2, 0.8], [0.7, 0.3, 0.2], [0.5, 0.9, 0.6]])
    counts = [1000, 600, 400]
    factors = 0.02 * random.normal(size=(3, 3, 3))
    colors = np.concatenate(
        [m + random.normal(size=(n, 3)) @ f.T for m, n, f in zip(means, counts, factors, strict=True)]
    )
    mixture = fit_mixture(colors, 3, iterations=100, covariance_floor=1e-8)
    for mean, count, factor in zip(means, counts, factors, strict=True):
        k = np.abs(mixture.means - mean).sum(axis=1).argmin()
        assert mixture.weights[k] == pytest.approx(count / 2000, abs=0.01)
        np.testing.assert_allclose(mixture.means[k], mean, atol=0.02)
        np.testing.assert_allclose(mixture.covariances[k], factor @ factor.T, atol=5e-4)


def test_one_gaussian_is_mean_and_covariance():
    colors = np.random.default_rng(0).random((700, 3))
    mixture = fit_mixture(colors, 1, covariance_floor=1e-3)
    np.testing.assert_allclose(mixture.means[0], colors.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(mixture.covariances[0], np.cov(colors.T, bias=True) + 1e-3 * np.eye(3), rtol=1e-9)


def test_more_rounds_explain_the_colors_better():
    image, *_ = photo_like(0)
    colors = image.reshape(-1, 3)[:2000]
    likelihood = [
        np.log(mixture_density(fit_mixture(colors, iterations=rounds, covariance_floor=1e-9), colors)).mean()
        for rounds in range(12)
    ]
    assert (np.diff(likelihood) > -1e-6).all()
    assert likelihood[-1] > likelihood[0] + 0.01


def test_samples_are_enough():
    image, *_ = photo_like(0, 224, 224)
    colors = image.reshape(-1, 3)
    some, every = (fit_mixture(colors, samples=samples) for samples in (2048, len(colors)))
    gain = np.log(mixture_density(every, colors)).mean() - np.log(mixture_density(some, colors)).mean()
    assert abs(gain) < 0.1  # nats a pixel, of a contrast of several


def test_same_seed_same_bits():
    colors = np.random.default_rng(0).random((5000, 3)).astype(np.float32)
    one, same, other = (fit_mixture(colors, seed=seed) for seed in (7, 7, 8))
    assert one.means.tobytes() == same.means.tobytes()
    assert one.covariances.tobytes() == same.covariances.tobytes()
    assert one.means.tobytes() != other.means.tobytes()


def test_seed_zero_is_the_default():
    colors = np.random.default_rng(0).random((300, 3)).astype(np.float32)
    assert fit_mixture(colors).means.tobytes() == fit_mixture(colors, seed=0).means.tobytes()
    image, saliency, _ = photo_like(0)
    foreground, background, *_ = seeds(saliency)
    costs = color_costs(image, foreground, background)
    assert np.array_equal(costs, color_costs(image, foreground, background, CutOptions(seed=0)))


def test_what_is_computed_is_a_value():
    capacities = quantize(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 1)), np.zeros((1, 2)))
    for value, name in ((capacities, "scale"), (Cut(np.ones((1, 1), bool), 0.0), "mask"), (CutOptions(), "seed")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


@pytest.mark.parametrize("distinct", [1, 2, 4])
@pytest.mark.parametrize("count", [4, 3000])
def test_fewer_colors_than_components(distinct, count):
    palette = np.random.default_rng(1).random((distinct, 3))
    colors = palette[np.arange(count) % distinct]
    mixture = fit_mixture(colors)
    assert len(mixture.weights) == distinct
    assert mixture.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.sort(mixture.means, axis=0), np.sort(palette, axis=0), atol=1e-6)
    np.testing.assert_allclose(mixture_density(mixture, colors), scipy_density(mixture, colors), rtol=1e-7)


def test_one_color():
    mixture = fit_mixture(np.array([[0.1, 0.5, 0.9]]))
    assert mixture.weights.tolist() == [1]
    np.testing.assert_allclose(mixture.covariances[0], 1e-4 * np.eye(3), rtol=1e-9)


@pytest.mark.parametrize("options", [{"components": 0}, {"samples": 0}, {"iterations": -1}, {"covariance_floor": 0.0}])
def test_impossible_mixtures_are_errors(options):
    with pytest.raises(DeepInsideError, match="expected at least one component"):
        fit_mixture(np.zeros((4, 3)), **options)


def test_far_colors_have_a_density_above_zero():
    mixture = Mixture(np.ones(1), np.zeros((1, 3)), 1e-6 * np.eye(3)[None])
    assert mixture_density(mixture, np.ones((1, 3)))[0] > 0


# -------------------------------------------------------------------------------------------------------- component


@property_test
@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))), st.booleans())
def test_largest_component_is_a_flood_fill(mask, weighted):
    weights = np.random.default_rng(0).random(mask.shape) if weighted else None
    best, left = set(), {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}

    def size(pixels):
        return len(pixels) if weights is None else sum(weights[pixel] for pixel in pixels)

    for start in sorted(left):
        pixels, edge = set(), [start]
        while edge:
            y, x = edge.pop()
            if (y, x) in left:
                left.remove((y, x))
                pixels.add((y, x))
                edge += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        if size(pixels) > size(best):
            best = pixels
    found = largest_component(mask, weights)
    assert {(int(y), int(x)) for y, x in zip(*np.nonzero(found), strict=True)} == best


def test_largest_component_does_not_alias_its_mask():
    mask = np.ones((2, 2), bool)
    largest_component(mask)[0, 0] = False
    assert mask.all()


@pytest.mark.parametrize(
    "options",
    [
        *({"components": 0}, {"uniform": -0.1}, {"uniform": 1.1}, {"smoothness": np.nan}, {"contrast": 0.0}),
        *({"samples": 0}, {"iterations": -1}, {"covariance_floor": 0.0}, {"seed": -1}, {"smoothness": np.inf}),
    ],
)
def test_options_out_of_their_range_are_errors(options):
    with pytest.raises(DeepInsideError, match=f"CutOptions: expected {next(iter(options))} to be"):
        CutOptions(**options)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_no_costs_at_all_are_cut_without_a_word(kind):
    nothing = np.zeros((3, 4), kind)
    cut = minimum_cut(nothing, nothing, nothing[:, 1:], nothing[1:])
    assert not cut.mask.any()
    assert cut.energy == 0
