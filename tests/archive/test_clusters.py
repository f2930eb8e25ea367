"""Spectral clustering: known groups are found, whatever the order of the maps."""

import numpy as np
import pytest

from deepinside.archive.clusters import NEIGHBORS, clusters


def points(random, sizes, spread=0.1):
    """Groups around the corners of a simplex."""
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return np.eye(len(sizes) + 3)[truth] + random.normal(0, spread, (len(truth), len(sizes) + 3)), truth


@pytest.mark.parametrize("sizes", [(30, 20), (40, 25, 12), (30, 25, 20, 15)])
def test_known_groups_are_found_the_largest_first(sizes):
    values, truth = points(np.random.default_rng(0), sizes)
    assert clusters(values).tolist() == truth.tolist()


def test_the_order_of_the_photos_does_not_matter():
    random = np.random.default_rng(1)
    values, _ = points(random, (30, 20), spread=0.5)  # groups that touch
    order = random.permutation(len(values))
    assert (clusters(values[order]) == clusters(values)[order]).all()


@pytest.mark.filterwarnings("error")
def test_equal_and_few_maps_are_one_group():
    assert (clusters(np.ones((50, 4))) == 0).all()
    assert (clusters(np.random.default_rng(0).random((2 * NEIGHBORS - 1, 4))) == 0).all()
    assert clusters(np.ones((1, 4))).tolist() == [0]
