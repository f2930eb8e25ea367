"""The compiled kernels one by one, against SciPy, NumPy and slow loops; `test_graphcut` tests what they make up."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from deepinside.cut import kernels
from deepinside.cut.kernels import DOWN, EXCESS, FAR, LEFT, RIGHT, UP, WORDS

STEP = {LEFT: (0, -1), RIGHT: (0, 1), UP: (-1, 0), DOWN: (1, 0)}


def grid(seed, height, width, largest=9):
    """Excess of both signs and capacities, some of them 0."""
    random = np.random.default_rng(seed)
    excess = random.integers(-20, 21, (height, width)).astype(np.int32)
    right = random.integers(0, largest + 1, (height, width - 1)).astype(np.int32)
    down = random.integers(0, largest + 1, (height - 1, width)).astype(np.int32)
    return excess, right, down


def inner(nodes, height, width):
    """The nodes without the padding, (height, width, words)."""
    return nodes.reshape(height + 2, width + 2, WORDS)[1:-1, 1:-1]


def flow_network(excess, right, down):
    """The graph of a grid for SciPy: a source that feeds excess, a sink that takes deficits."""
    height, width = excess.shape
    source, sink = height * width, height * width + 1
    edges = []
    for y in range(height):
        for x in range(width):
            i, e = y * width + x, int(excess[y, x])
            edges += [(source, i, e)] if e > 0 else [(i, sink, -e)] if e < 0 else []
            if x + 1 < width:
                edges += [(i, i + 1, int(right[y, x])), (i + 1, i, int(right[y, x]))]
            if y + 1 < height:
                edges += [(i, i + width, int(down[y, x])), (i + width, i, int(down[y, x]))]
    rows, columns, values = zip(*edges, strict=True)
    return coo_array((np.int32(values), (rows, columns)), shape=(sink + 1, sink + 1)).tocsr(), source, sink


# -------------------------------------------------------------------------------------------------------------- flow


def test_build_puts_each_capacity_at_both_ends_and_pads_with_zeros():
    excess, right, down = grid(0, 4, 5)
    nodes = kernels.build(excess, right, down)
    assert nodes.shape == (6 * 7, WORDS)
    assert nodes.dtype == np.int32
    found = inner(nodes, 4, 5)
    np.testing.assert_array_equal(found[..., EXCESS], excess)
    np.testing.assert_array_equal(found[:, :-1, RIGHT], right)
    np.testing.assert_array_equal(found[:, 1:, LEFT], right)
    np.testing.assert_array_equal(found[:-1, :, DOWN], down)
    np.testing.assert_array_equal(found[1:, :, UP], down)
    assert not found[:, 0, LEFT].any()
    assert not found[:, -1, RIGHT].any()
    assert not found[0, :, UP].any()
    assert not found[-1, :, DOWN].any()
    assert np.count_nonzero(nodes) == np.count_nonzero(found)


def check_preflow(nodes, excess, right, down):
    """Capacities are 0 or more and add up to those of both directions; what leaves a pixel arrives at another."""
    height, width = excess.shape
    found = inner(nodes, height, width)
    assert (found[..., :4] >= 0).all()
    np.testing.assert_array_equal(found[:, :-1, RIGHT] + found[:, 1:, LEFT], 2 * right)
    np.testing.assert_array_equal(found[:-1, :, DOWN] + found[1:, :, UP], 2 * down)
    sent = np.zeros_like(excess)
    sent[:, :-1] += right - found[:, :-1, RIGHT]
    sent[:, 1:] += right - found[:, 1:, LEFT]
    sent[:-1] += down - found[:-1, :, DOWN]
    sent[1:] += down - found[1:, :, UP]
    np.testing.assert_array_equal(found[..., EXCESS], excess - sent)


@pytest.mark.parametrize("seed", range(20))
def test_a_single_column_or_row_gets_its_maximum_flow(seed):
    for shape in ((17, 1), (1, 17)):
        excess, right, down = grid(seed, *shape)
        nodes = kernels.build(excess, right, down)
        kernels.match_chains(nodes, shape[1] + 2)
        check_preflow(nodes, excess, right, down)
        left = inner(nodes, *shape)[..., EXCESS]
        moved = excess[excess > 0].sum() - left[left > 0].sum()
        assert moved == maximum_flow(*flow_network(excess, right, down)).flow_value


@pytest.mark.parametrize("seed", range(5))
def test_chains_in_a_grid_keep_a_preflow_and_never_change_a_sign(seed):
    excess, right, down = grid(seed, 8, 9)
    nodes = kernels.build(excess, right, down)
    kernels.match_chains(nodes, 11)
    check_preflow(nodes, excess, right, down)
    left = inner(nodes, 8, 9)[..., EXCESS]
    assert (left * excess >= 0).all()
    assert (abs(left) <= abs(excess)).all()


@pytest.mark.parametrize("chains", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_drain_leaves_the_minimum_cut_that_scipy_finds(seed, chains):
    """With and without the first step, which only saves time: the mask is the set that reaches SciPy's sink."""
    excess, right, down = grid(seed, 9, 7)
    nodes = kernels.build(excess, right, down)
    if chains:
        kernels.match_chains(nodes, 9)
    mask = kernels.near_side(kernels.drain(nodes, 9), 9, 7)
    check_preflow(nodes, excess, right, down)
    graph, source, sink = flow_network(excess, right, down)
    residual = (graph - maximum_flow(graph, source, sink).flow).tocsr()
    residual.eliminate_zeros()
    reaching = breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)
    expected = np.zeros(9 * 7 + 2, bool)
    expected[reaching] = True
    np.testing.assert_array_equal(mask, expected[: 9 * 7].reshape(9, 7))
    left = inner(nodes, 9, 7)[..., EXCESS]
    assert not (mask & (left > 0)).any(), "no excess is left that could reach a deficit"
    assert not (~mask & (left < 0)).any(), "every deficit that is left is on its own side"


def test_distances_mark_what_reaches_a_deficit():
    excess = np.int32([[5, 0, -3, 0, 4]])
    nodes = kernels.build(excess, np.int32([[2, 9, 9, 0]]), np.zeros((0, 5), np.int32))
    distances = kernels.drain(nodes, 7)
    # Two units pass from the left until that edge is full; one unit of the deficit remains. The right end is cut off.
    assert inner(nodes, 1, 5)[0, :, EXCESS].tolist() == [3, 0, -1, 0, 4]
    assert (distances.reshape(3, 7)[1, 1:-1] < FAR).tolist() == [False, True, True, True, False]


# -------------------------------------------------------------------------------------------------------------- band


def random_band(seed, height=9, width=23):
    random = np.random.default_rng(seed)
    return random.random((height, width)) < random.choice([0.1, 0.5, 0.9])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (9, 23), (5, 64)])
@pytest.mark.parametrize("seed", range(3))
def test_pack_lists_free_pixels_and_steps_to_their_free_neighbors(seed, shape):
    free = random_band(seed, *shape)
    pixels, steps = kernels.pack(free)
    assert [tuple(pixel) for pixel in pixels.tolist()] == list(
        zip(*map(np.ndarray.tolist, free.nonzero()), strict=True)
    )
    node = {(y, x): p + 1 for p, (y, x) in enumerate(pixels.tolist())}
    assert steps.shape == (len(node) + 2, 4)
    for (y, x), i in node.items():
        for k, (down, right) in STEP.items():
            assert i + steps[i, k] == node.get((y + down, x + right), 0)


@pytest.mark.parametrize("seed", range(20))
def test_a_packed_band_has_the_minimum_cut_of_the_grid_with_fixed_labels(seed):
    """The grid's fixed pixels have an excess or a deficit that no edges can carry; SciPy solves the whole grid."""
    free, mask = random_band(seed), np.random.default_rng(seed + 100).random((9, 23)) < 0.5
    excess, right, down = grid(seed, 9, 23)
    pixels, steps = kernels.pack(free)
    terminal, edges = kernels.gather(-excess, right, down, pixels)
    nodes, _ = kernels.build_band(terminal, edges, pixels, steps, mask, 2.0**30)
    kernels.match_chains(nodes, 0, steps)
    found = mask.copy()
    kernels.label(found, pixels, kernels.drain(nodes, 0, steps))
    graph, source, sink = flow_network(np.where(free, excess, np.where(mask, -1000, 1000)), right, down)
    flow = maximum_flow(graph, source, sink)
    residual = (graph - flow.flow).tocsr()
    residual.eliminate_zeros()
    expected = np.zeros(9 * 23 + 2, bool)
    expected[breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)] = True
    np.testing.assert_array_equal(found, expected[: 9 * 23].reshape(9, 23))

    def units(labels):
        total = np.where(labels, np.maximum(excess, 0), np.maximum(-excess, 0))[free].sum()
        total += right[(labels[:, 1:] != labels[:, :-1]) & (free[:, 1:] | free[:, :-1])].sum()
        return total + down[(labels[1:] != labels[:-1]) & (free[1:] | free[:-1])].sum()

    assert kernels.band_units(terminal, edges, pixels, steps, found) == units(found)


def test_excess_that_exceeds_its_limit_is_divided_by_a_power_of_two():
    free, mask = np.array([[0, 1, 1, 0]], bool), np.array([[1, 0, 0, 0]], bool)
    pixels, steps = kernels.pack(free)
    terminal, edges = kernels.gather(
        np.int32([[0, 8, 8, 0]]), np.int32([[64, 96, 80]]), np.zeros((0, 4), np.int32), pixels
    )
    whole, none = kernels.build_band(terminal, edges, pixels, steps, mask, 1e9)
    assert whole[1:3, EXCESS].tolist() == [-72, 72], "8 + 64 for foreground on the left, 8 - 80 on the right"
    assert (whole[1, RIGHT], whole[2, LEFT]) == (96, 96)
    assert none == 0
    halved, one = kernels.build_band(terminal, edges, pixels, steps, mask, 100.0)
    assert one == 1
    np.testing.assert_array_equal(halved, whole // 2)
    held, _ = kernels.build_band(np.int32([1000, -1000]), edges, pixels, steps, mask, 1e9)
    assert held[1:3, EXCESS].tolist() == [-97, 97], "one more than the free edge fixes a label"


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (12, 17)])
def test_outline_is_where_a_neighbor_differs(shape):
    mask = random_band(1, *shape)
    expected = np.zeros(shape, bool)
    for y, x in np.ndindex(shape):
        for down, right in STEP.values():
            if 0 <= y + down < shape[0] and 0 <= x + right < shape[1]:
                expected[y, x] |= mask[y + down, x + right] != mask[y, x]
    np.testing.assert_array_equal(kernels.outline_of(mask), expected)


@pytest.mark.parametrize(
    "radius", [0.0, 1e-200, 0.5, 1.0, 1.2, math.sqrt(2), 2.0, math.sqrt(5), 3.7, 50.0, math.inf, math.nan]
)
def test_near_is_scipys_distance(radius):
    for density in (0.0, 0.01, 0.1):
        seeds = np.random.default_rng(0).random((19, 31)) < density
        expected = distance_transform_edt(~seeds) < radius if seeds.any() else np.zeros_like(seeds)
        np.testing.assert_array_equal(kernels.near(seeds, radius), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (7, 1), (6, 4), (7, 5)])
def test_halve_averages_two_by_two(shape):
    random = np.random.default_rng(0)
    image, odds = random.random((*shape, 3), np.float32), random.normal(size=shape).astype(np.float32)
    mask, mixed = random.random(shape) < 0.5, random.random(shape) < 0.1
    even = [(0, shape[0] % 2), (0, shape[1] % 2)]

    def blocks(array):
        padded = np.pad(array, [*even, (0, 0)][: array.ndim], mode="edge").astype(float)
        return np.stack([padded[y::2, x::2] for y in (0, 1) for x in (0, 1)])

    halves = kernels.halve(image, odds, mask, mixed)
    np.testing.assert_allclose(halves[0], blocks(image).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(halves[1], blocks(odds).mean(axis=0), atol=1e-6)
    share = blocks(mask).mean(axis=0)
    np.testing.assert_array_equal(halves[2], share >= 0.5)
    np.testing.assert_array_equal(halves[3], ((share > 0) & (share < 1)) | blocks(mixed).any(axis=0))
    np.testing.assert_array_equal(
        kernels.double(halves[2], *shape), np.kron(share >= 0.5, np.ones((2, 2), bool))[: shape[0], : shape[1]]
    )


def test_sample_takes_evenly_spaced_colors_of_a_label():
    random = np.random.default_rng(0)
    image, mask = random.random((40, 30, 3), np.float32), random.random((40, 30)) < 0.3
    for label in (True, False):
        colors = image[mask == label]
        np.testing.assert_array_equal(kernels.sample(image, mask, label, 5000).T, colors)
        some = kernels.sample(image, mask, label, 100).T
        n = len(colors)
        np.testing.assert_array_equal(some, colors[[(2 * k + 1) * n // 200 for k in range(100)]])
    assert kernels.sample(image, np.zeros_like(mask), True, 10).shape == (3, 0)


def test_sample_looks_at_all_rows_if_the_label_is_rare():
    image, mask = np.random.default_rng(0).random((200, 20, 3), np.float32), np.zeros((200, 20), bool)
    mask[101, 3:5] = True
    np.testing.assert_array_equal(kernels.sample(image, mask, True, 8).T, image[101, 3:5])
    assert kernels.sample(image, mask, False, 8).shape == (3, 8)


def test_largest_is_the_maximum_magnitude_or_not_finite():
    values = np.float32([[0.5, -3.25, 1e-40], [2, 0, -0.0]])
    assert kernels.largest(values) == 3.25
    for spoiled in (np.nan, np.inf, -np.inf):
        values[1, 1] = spoiled
        assert not np.isfinite(kernels.largest(values))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (7, 4)])
def test_mean_step_is_numpys(shape):
    image = np.random.default_rng(0).random((*shape, 3), np.float32)
    steps = [(np.diff(image, axis=axis) ** 2).sum(axis=2).ravel() for axis in (0, 1)]
    expected = np.concatenate(steps).mean() if shape != (1, 1) else 0
    assert kernels.mean_step(image) == pytest.approx(expected, rel=1e-5)


def test_logarithm_is_within_1e_11_of_the_true_one():
    random = np.random.default_rng(0)
    x = np.concatenate([np.exp(random.uniform(-600, 600, 3000)), random.uniform(0.5, 2, 2000), [1.0, math.sqrt(0.5)]])
    ours = np.array([kernels._log(value) for value in x])
    np.testing.assert_allclose(ours, [math.log(value) for value in x], rtol=1e-14, atol=1e-11)


def test_border_units_are_faded_steps_to_all_four_neighbors():
    image, free = np.random.default_rng(0).random((9, 23, 3), np.float32), random_band(1)
    pixels, steps = kernels.pack(free)
    edges = kernels.border_units(image, pixels, steps, 1000.0, 3.0)
    for (y, x), found in zip(pixels.tolist(), edges.tolist(), strict=True):
        for k, (down, right) in STEP.items():
            inside = 0 <= y + down < 9 and 0 <= x + right < 23
            squared = float(((image[y, x] - image[y + down, x + right]) ** 2).sum()) if inside else math.inf
            assert abs(found[k] - 1000 * math.exp(-3 * squared)) < 0.501


# ----------------------------------------------------------------------------------------------------------- mixture


def test_exponential_is_within_1e_8_of_the_true_one():
    x = np.concatenate([np.linspace(-600, 600, 4001), np.random.default_rng(0).uniform(-40, 40, 2000), [0.0, -0.0]])
    ours = np.array([kernels._exp(value) for value in x])
    np.testing.assert_allclose(ours, [math.exp(value) for value in x], rtol=1e-8)


def random_mixture(seed, components=3):
    random = np.random.default_rng(seed)
    factors = random.normal(0, 0.2, (components, 3, 3))
    return (
        random.dirichlet(np.ones(components)),
        random.random((components, 3)),
        factors @ factors.transpose(0, 2, 1) + 0.01 * np.eye(3),
    )


@pytest.mark.parametrize("seed", range(3))
def test_mixture_density_is_scipys(seed):
    weights, means, covariances = random_mixture(seed)
    colors = np.random.default_rng(seed + 10).random((500, 3))
    ours = kernels.mixture_density(np.ascontiguousarray(colors.T), weights, means, covariances)
    parts = zip(weights, means, covariances, strict=True)
    scipys = sum(weight * multivariate_normal(mean, covariance).pdf(colors) for weight, mean, covariance in parts)
    np.testing.assert_allclose(ours, scipys, rtol=1e-7)


def slow_spread_centers(colors, draws):
    """k-means++ (Arthur & Vassilvitskii 2007): each center is drawn with the squared distances as weights."""
    chosen = [int(draws[0] * len(colors))]
    for draw in draws[1:]:
        squared = cdist(colors, colors[chosen], "sqeuclidean").min(axis=1)
        if squared.sum() == 0:
            break
        chosen.append(int(np.searchsorted(squared.cumsum(), draw * squared.sum(), side="right")))
    return colors[chosen]


@pytest.mark.parametrize("seed", range(10))
def test_spread_centers_are_those_of_a_slow_k_means_plus_plus(seed):
    random = np.random.default_rng(seed)
    colors, draws = random.random((60, 3)), random.random(5)
    ours = kernels.spread_centers(np.ascontiguousarray(colors.T), draws)
    np.testing.assert_array_equal(ours, slow_spread_centers(colors, draws))


def test_spread_centers_are_distinct_and_no_more_than_there_are_colors():
    colors = np.repeat(np.array([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]), 10, axis=0)
    centers = kernels.spread_centers(np.ascontiguousarray(colors.T), np.full(5, 0.999))
    assert sorted(map(tuple, centers)) == [(0.1, 0.2, 0.3), (0.9, 0.8, 0.7)]


def test_nearest_gives_each_color_to_its_nearest_center():
    random = np.random.default_rng(0)
    colors, centers, shares = random.random((200, 3)), random.random((4, 3)), np.full((4, 200), 7.0)
    kernels._nearest(np.ascontiguousarray(colors.T), centers, shares)
    np.testing.assert_array_equal(shares, np.eye(4)[cdist(colors, centers).argmin(axis=1)].T)


def test_moments_are_numpys_weighted_mean_and_covariance():
    random = np.random.default_rng(0)
    colors, shares = random.random((300, 3)), random.random(300)
    mean, covariance = random.random(3), np.zeros((3, 3))  # any mean will do: it is only where the sums are taken from
    weight = kernels._moments(np.ascontiguousarray(colors.T), shares, 0.25, mean, covariance)
    assert weight == pytest.approx(shares.sum())
    np.testing.assert_allclose(mean, np.average(colors, axis=0, weights=shares), rtol=1e-12)
    expected = np.cov(colors.T, aweights=shares, bias=True) + 0.25 * np.eye(3)
    np.testing.assert_allclose(covariance, expected, rtol=1e-10)


def test_a_gaussian_without_colors_keeps_its_moments():
    mean, covariance = np.full(3, 0.5), np.eye(3)
    assert kernels._moments(np.random.default_rng(0).random((3, 9)), np.zeros(9), 1e-4, mean, covariance) == 0
    assert (mean == 0.5).all()
    assert (covariance == np.eye(3)).all()


def slow_expectation_maximization(colors, centers, iterations, floor):
    shares = np.eye(len(centers))[cdist(colors, centers).argmin(axis=1)]
    for iteration in range(iterations + 1):
        if iteration > 0:
            parts = zip(weights, means, covariances, strict=True)
            shares = np.stack([w * multivariate_normal(m, c).pdf(colors) for w, m, c in parts], axis=1)
            shares /= shares.sum(axis=1, keepdims=True)
        weights = shares.mean(axis=0)
        means = [np.average(colors, axis=0, weights=share) for share in shares.T]
        covariances = [np.cov(colors.T, aweights=share, bias=True) + floor * np.eye(3) for share in shares.T]
    return weights, np.array(means), np.array(covariances)


@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_expectation_maximization_is_that_of_numpy_and_scipy(iterations):
    random = np.random.default_rng(1)
    colors = np.concatenate([random.normal(mean, 0.1, (80, 3)) for mean in (0.3, 0.5, 0.8)])
    planes = np.ascontiguousarray(colors.T)
    ours = kernels.expectation_maximization(planes, colors[[0, 100, 200]], iterations, 1e-3)
    slow = slow_expectation_maximization(colors, colors[[0, 100, 200]], iterations, 1e-3)
    for one, other in zip(ours, slow, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("iterations", [0, 3])
def test_improve_goes_on_where_expectation_maximization_ended(iterations):
    random = np.random.default_rng(1)
    planes = np.ascontiguousarray(np.concatenate([random.normal(m, 0.1, (80, 3)) for m in (0.3, 0.5, 0.8)]).T)
    centers = planes.T[[0, 100, 200]]
    mixture = kernels.expectation_maximization(planes, centers, 4, 1e-3)
    kernels.improve(planes, *mixture, iterations, 1e-3)
    for one, other in zip(
        mixture, kernels.expectation_maximization(planes, centers, 4 + iterations, 1e-3), strict=True
    ):
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------------------------------------------------- contrast


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (7, 4)])
def test_color_steps_are_squared_differences(shape):
    image = np.random.default_rng(0).random((*shape, 3))
    right, down = kernels.color_steps(image)
    np.testing.assert_allclose(right, (np.diff(image, axis=1) ** 2).sum(axis=2), rtol=1e-12)
    np.testing.assert_allclose(down, (np.diff(image, axis=0) ** 2).sum(axis=2), rtol=1e-12)


def test_fade_is_an_exponential_that_ends_at_e_to_the_minus_600():
    steps = np.array([[0.0, 0.5], [2.0, 1e9]])
    kernels.fade(steps, 150.0, 3.0)
    expected = [[150, 150 * math.exp(-1.5)], [150 * math.exp(-6), 150 * math.exp(-600)]]
    np.testing.assert_allclose(steps, expected, rtol=1e-8)


# ---------------------------------------------------------------------------------------------------------- compiler


def test_import_compiles_nothing():
    program = (
        "from deepinside.cut import kernels as k; from numba.core.registry import CPUDispatcher;"
        "kernels = [v for v in vars(k).values() if isinstance(v, CPUDispatcher)];"
        "assert len(kernels) > 10 and not any(kernel.signatures for kernel in kernels)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_a_writable_folder_kernels_are_compiled_all_the_same(monkeypatch):
    compile = kernels.njit

    def refuse(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile(**options)

    monkeypatch.setattr(kernels, "njit", refuse)
    assert kernels.kernel(lambda x: x + 1)(2) == 3
