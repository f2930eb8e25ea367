"""Color mixtures against SciPy's densities, closed forms, and data whose mixture is known."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from deepinside.errors import DeepInsideError
from deepinside.mixtures import FLOOR, Mixture, fit_mixture, mixture_density


def test_density_equals_scipy():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(4, 3, 3)) * 0.3
    mixture = Mixture(
        np.array([0.1, 0.2, 0.3, 0.4]), rng.random((4, 3)), roots @ roots.transpose(0, 2, 1) + 0.01 * np.eye(3)
    )
    colors = rng.random((500, 3))
    slow = sum(
        w * multivariate_normal(m, c).pdf(colors)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    )
    assert np.allclose(mixture_density(mixture, colors), slow, rtol=1e-9)


def test_one_component_is_the_mean_and_covariance():
    colors = np.random.default_rng(1).random((300, 3))
    mixture = fit_mixture(colors, components=1)
    assert np.allclose(mixture.means[0], colors.mean(0))
    assert np.allclose(mixture.covariances[0], np.cov(colors.T, bias=True) + FLOOR * np.eye(3))


def test_well_separated_clusters_are_found():
    rng = np.random.default_rng(2)
    centers = np.array([[0.1, 0.1, 0.1], [0.9, 0.1, 0.2], [0.2, 0.9, 0.9]])
    counts = [100, 200, 300]
    colors = np.concatenate([rng.normal(c, 0.02, (n, 3)) for c, n in zip(centers, counts, strict=True)])
    mixture = fit_mixture(rng.permutation(colors), components=3)
    order = np.argsort(mixture.weights)
    assert np.allclose(mixture.weights[order], np.array(counts) / 600, atol=1e-6)
    assert np.allclose(mixture.means[order], centers, atol=0.01)


def test_each_round_of_expectation_maximization_raises_the_likelihood(monkeypatch):
    colors = np.random.default_rng(3).beta(0.5, 2, (800, 3))
    likelihoods = []
    for rounds in range(8):
        monkeypatch.setattr("deepinside.mixtures.ROUNDS", rounds)
        likelihoods.append(np.log(mixture_density(fit_mixture(colors), colors)).mean())
    # The floor on the variance makes each round a little less than the maximizer.
    assert all(later > earlier - 1e-4 for earlier, later in pairwise(likelihoods))
    assert likelihoods[-1] > likelihoods[0]


@pytest.mark.parametrize("colors", [np.full((1, 3), 0.5), np.full((50, 3), 0.25), np.eye(3)[[0, 1] * 20]])
def test_fewer_colors_than_components_still_give_a_density(colors):
    mixture = fit_mixture(colors)
    density = mixture_density(mixture, colors)
    assert mixture.weights.sum() == pytest.approx(1)
    assert np.isfinite(density).all()
    assert (density > mixture_density(mixture, np.full((1, 3), 0.9))).all()


def test_same_seed_same_bits():
    colors = np.random.default_rng(4).random((5000, 3))
    first, second = fit_mixture(colors, seed=3), fit_mixture(colors, seed=3)
    assert (first.means == second.means).all()
    assert (first.covariances == second.covariances).all()
    assert not (first.means == fit_mixture(colors, seed=4).means).all()


def test_no_colors_is_an_error():
    with pytest.raises(DeepInsideError, match="at least one color"):
        fit_mixture(np.zeros((0, 3)))
