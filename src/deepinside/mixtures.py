"""Gaussian mixtures of colors: what a foreground or a background looks like (paper, Sect. 3.2).

Full-covariance Gaussians, started by k-means++ (Arthur and Vassilvitskii 2007) and fitted by
expectation-maximization (Dempster, Laird and Rubin 1977). Colors are RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from deepinside.errors import DeepInsideError

# Variance added to every color channel: about one step of 8 bits, so that flat areas keep a finite density.
FLOOR = (1 / 255) ** 2
# A model of 15 Gaussian parameters a component does not get better from more colors than this.
SAMPLE = 2000
ROUNDS = 8  # of expectation-maximization; the cut no longer changes visibly after them


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians with their shares; components that nothing belongs to have weight 0."""

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k 3"]
    covariances: Float[np.ndarray, "k 3 3"]


def fit_mixture(colors: Float[np.ndarray, "n 3"], components: int = 5, *, seed: int = 0) -> Mixture:
    """The mixture that fits the colors; the same colors and seed give the same bits.

    Args:
        colors: RGB in [0, 1]; of more than 2000, evenly spread ones are used.
        components: at most so many Gaussians; fewer distinct colors leave some empty.
        seed: of the k-means++ draw.

    Raises `DeepInsideError` for no colors at all.

    >>> mixture = fit_mixture(np.repeat([[0.2, 0.4, 0.6]], 9, axis=0), components=1)
    >>> mixture.weights, mixture.means.round(3)
    (array([1.]), array([[0.2, 0.4, 0.6]]))
    """
    if not len(colors):
        raise DeepInsideError("expected at least one color to fit a mixture to, got none")
    step = -(-len(colors) // SAMPLE)
    sample = np.ascontiguousarray(colors[::step], dtype=np.float64)
    draws = np.random.default_rng(seed).random(components)
    return Mixture(*_fit(sample, draws, ROUNDS, FLOOR))


def mixture_density(mixture: Mixture, colors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """The density of each color, per unit of the RGB cube's volume."""
    factors, offsets = _whitening(mixture)
    density: Float[np.ndarray, " n"] = _density(
        np.ascontiguousarray(colors, dtype=np.float64), mixture.means, factors, offsets
    )
    return density


def _whitening(mixture: Mixture) -> tuple[Float[np.ndarray, "k 3 3"], Float[np.ndarray, " k"]]:
    """For each Gaussian the triangle that whitens a difference from its mean, and its weighted peak's logarithm."""
    triangles = np.linalg.cholesky(mixture.covariances)
    peaks = np.log(np.maximum(mixture.weights, 1e-300))
    peaks = peaks - np.log(np.diagonal(triangles, axis1=1, axis2=2)).sum(1) - 1.5 * np.log(2 * np.pi)
    return np.ascontiguousarray(np.linalg.inv(triangles)), peaks


@njit(cache=True, nogil=True)
@no_type_check
def _density(colors, means, factors, offsets):
    total = np.zeros(len(colors))
    for k in range(len(means)):
        m0, m1, m2 = means[k]
        f00, f10, f11 = factors[k, 0, 0], factors[k, 1, 0], factors[k, 1, 1]
        f20, f21, f22 = factors[k, 2, 0], factors[k, 2, 1], factors[k, 2, 2]
        offset = offsets[k]
        for n in range(len(colors)):
            a, b, c = colors[n, 0] - m0, colors[n, 1] - m1, colors[n, 2] - m2
            u, v, w = f00 * a, f10 * a + f11 * b, f20 * a + f21 * b + f22 * c
            exponent = offset - 0.5 * (u * u + v * v + w * w)
            if exponent > -40.0:  # below, nothing beside the uniform part of any likelihood
                total[n] += np.exp(exponent)
    return total


@njit(cache=True, nogil=True)
@no_type_check
def _fit(colors, draws, rounds, floor):
    count, components = len(colors), len(draws)
    shares = np.zeros((count, components))
    nearest = _plus_plus(colors, draws)
    for n in range(count):
        shares[n, nearest[n]] = 1.0
    weights, means, covariances = _maximize(colors, shares, floor)
    for _ in range(rounds):
        _expect(colors, weights, means, covariances, shares)
        weights, means, covariances = _maximize(colors, shares, floor)
    return weights, means, covariances


@njit(cache=True, nogil=True)
@no_type_check
def _plus_plus(colors, draws):
    """The nearest of k centers for each color; each center is drawn by its squared distance to those before."""
    count = len(colors)
    distance = np.full(count, np.inf)
    nearest = np.zeros(count, dtype=np.int64)
    center = min(int(draws[0] * count), count - 1)
    for k in range(len(draws)):
        if k:
            threshold = draws[k] * distance.sum()
            center = 0
            below = distance[0]
            while below <= threshold and center < count - 1:
                center += 1
                below += distance[center]
        for n in range(count):
            square = 0.0
            for c in range(3):
                square += (colors[n, c] - colors[center, c]) ** 2
            if square < distance[n]:
                distance[n] = square
                nearest[n] = k
    return nearest


@njit(cache=True, nogil=True)
@no_type_check
def _expect(colors, weights, means, covariances, shares):
    """The share of each component in each color, into `shares`."""
    components = len(weights)
    factors = np.zeros((components, 3, 3))
    offsets = np.full(components, -np.inf)
    for k in range(components):
        if weights[k] > 0:
            triangle = np.linalg.cholesky(covariances[k])
            factors[k] = np.linalg.inv(triangle)
            offsets[k] = np.log(weights[k]) - np.log(triangle[0, 0] * triangle[1, 1] * triangle[2, 2])
    exponents = np.empty(components)
    for n in range(len(colors)):
        largest = -np.inf
        for k in range(components):
            a, b, c = colors[n, 0] - means[k, 0], colors[n, 1] - means[k, 1], colors[n, 2] - means[k, 2]
            u = factors[k, 0, 0] * a
            v = factors[k, 1, 0] * a + factors[k, 1, 1] * b
            w = factors[k, 2, 0] * a + factors[k, 2, 1] * b + factors[k, 2, 2] * c
            exponents[k] = offsets[k] - 0.5 * (u * u + v * v + w * w)
            largest = max(largest, exponents[k])
        total = 0.0
        for k in range(components):
            shares[n, k] = np.exp(exponents[k] - largest) if exponents[k] - largest > -40.0 else 0.0
            total += shares[n, k]
        for k in range(components):
            shares[n, k] /= total


@njit(cache=True, nogil=True)
@no_type_check
def _maximize(colors, shares, floor):
    """Weights, means and covariances of the components, given their shares in each color."""
    count, components = shares.shape
    weights = np.zeros(components)
    means = np.zeros((components, 3))
    covariances = np.zeros((components, 3, 3))
    for n in range(count):
        for k in range(components):
            share = shares[n, k]
            if share > 0:
                weights[k] += share
                for i in range(3):
                    means[k, i] += share * colors[n, i]
    for k in range(components):
        if weights[k] > 0:
            means[k] /= weights[k]
    for n in range(count):
        for k in range(components):
            share = shares[n, k]
            if share > 0:
                a, b, c = colors[n, 0] - means[k, 0], colors[n, 1] - means[k, 1], colors[n, 2] - means[k, 2]
                covariances[k, 0, 0] += share * a * a
                covariances[k, 1, 0] += share * a * b
                covariances[k, 1, 1] += share * b * b
                covariances[k, 2, 0] += share * a * c
                covariances[k, 2, 1] += share * b * c
                covariances[k, 2, 2] += share * c * c
    for k in range(components):
        for i in range(3):
            for j in range(i + 1):
                if weights[k] > 0:
                    covariances[k, i, j] /= weights[k]
                covariances[k, j, i] = covariances[k, i, j]
            covariances[k, i, i] += floor
    return weights / count, means, covariances
