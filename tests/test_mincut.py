"""The minimum cut against brute force on tiny grids and SciPy's maximum flow on larger ones and real photos."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow

from deepinside.mincut import cut_grid


def random_grid(height, width, largest_terminal, largest_edge, seed):
    rng = np.random.default_rng(seed)
    terminal = rng.integers(-largest_terminal, largest_terminal + 1, (height, width))
    right = rng.integers(0, largest_edge + 1, (height, width - 1))
    down = rng.integers(0, largest_edge + 1, (height - 1, width))
    return tuple(part.astype(np.int32) for part in (terminal, right, down))


def capacity(terminal, right, down, mask):
    """What the cut between the masked pixels with the source and the rest with the sink severs."""
    edges = right[mask[:, :-1] != mask[:, 1:]].sum() + down[mask[:-1] != mask[1:]].sum()
    return np.maximum(terminal, 0)[~mask].sum() + np.maximum(-terminal, 0)[mask].sum() + edges


def scipy_flow(terminal, right, down):
    height, width = terminal.shape
    count = height * width
    pixel = np.arange(count).reshape(height, width)
    source, sink = np.full_like(pixel, count), np.full_like(pixel, count + 1)
    edges = [
        (pixel[:, :-1], pixel[:, 1:], right),
        (pixel[:, 1:], pixel[:, :-1], right),
        (pixel[:-1], pixel[1:], down),
        (pixel[1:], pixel[:-1], down),
        (source, pixel, np.maximum(terminal, 0)),
        (pixel, sink, np.maximum(-terminal, 0)),
    ]
    heads, tails, values = (np.concatenate([edge[part].ravel() for edge in edges]) for part in range(3))
    graph = coo_matrix((values, (heads, tails)), shape=(count + 2, count + 2)).tocsr().astype(np.int32)
    return maximum_flow(graph, count, count + 1).flow_value


@given(
    st.sampled_from([(1, 1), (1, 6), (4, 1), (2, 3), (3, 3), (3, 4)]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 10**6),
)
def test_tiny_grids_equal_brute_force(shape, largest_terminal, largest_edge, seed):
    grid = random_grid(*shape, largest_terminal, largest_edge, seed)
    mask, flow = cut_grid(*grid)
    masks = (
        np.array(bits, bool).reshape(shape) for bits in itertools.product((False, True), repeat=shape[0] * shape[1])
    )
    best = min(capacity(*grid, every) for every in masks)
    assert flow == best
    assert capacity(*grid, mask) == best


@given(
    st.integers(1, 25),
    st.integers(1, 25),
    st.sampled_from([1, 20, 10**6]),
    st.sampled_from([1, 20, 10**6]),
    st.integers(0, 10**6),
)
def test_grids_equal_scipy(height, width, largest_terminal, largest_edge, seed):
    grid = random_grid(height, width, largest_terminal, largest_edge, seed)
    mask, flow = cut_grid(*grid)
    assert flow == scipy_flow(*grid) == capacity(*grid, mask)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_mirrored_grids_and_swapped_terminals_have_the_same_flow(height, width, seed):
    terminal, right, down = random_grid(height, width, 30, 20, seed)
    _, flow = cut_grid(terminal, right, down)
    mirrored = (np.ascontiguousarray(part[:, ::-1]) for part in (terminal, right, down))
    turned = (np.ascontiguousarray(part.T) for part in (terminal, down, right))
    assert flow == cut_grid(*mirrored)[1] == cut_grid(*turned)[1] == cut_grid(-terminal, right, down)[1]


def test_many_threads_cut_alike():
    grids = [random_grid(60, 60, 100, 80, seed) for seed in range(12)]
    alone = [cut_grid(*grid) for grid in grids]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda grid: cut_grid(*grid), grids))
    for (mask, flow), (same_mask, same_flow) in zip(alone, together, strict=True):
        assert flow == same_flow
        assert (mask == same_mask).all()


@pytest.mark.parametrize("largest_edge", [0, 50, 5000])
def test_full_size_grid_equals_scipy(largest_edge):
    grid = random_grid(224, 224, 1000, largest_edge, 0)
    mask, flow = cut_grid(*grid)
    assert flow == scipy_flow(*grid) == capacity(*grid, mask)
