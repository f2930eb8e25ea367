"""The outline of an object at the photo's own resolution: an exact cut in a band around a coarse mask.

A network's maps are coarse, so that a mask from them is off by several pixels. `trace` keeps the labels far from its
outline and cuts the pixels near it by their colors, by contrast and by the coarse log odds:

    band         mask                  -> the pixels whose labels are free
    color_odds   image, mixtures       -> log odds of foreground by color
    banded_cut   costs, edges, band    -> Cut, the exact minimum of all masks that differ from the coarse one there only
    energy_gap   mask, costs, edges    -> how much cheaper the minimum without a band is; 0 where the band does not bind

Images are (height, width, 3) float32 RGB in [0, 1]; energies are in nats. Everything runs on the calling thread, and
the compiled functions of `kernels` release the GIL.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from deepinside.core.errors import DeepInsideError
from deepinside.cut.graphcut import (
    Cut,
    Mixture,
    contrast_edges,
    energy,
    fit_mixture,
    mixture_density,
    quantize,
    solve,
)


@dataclass(frozen=True)
class OutlineOptions:
    """How far the outline may move, and what it follows."""

    band: float = 0.2  # on each side of the coarse outline, in multiples of the square root of the mask's area
    components: int = 5  # Gaussians in each of the two mixtures
    color: float = 1.0  # weight of the log odds by color
    prior: float = 0.3  # weight of the coarse log odds
    smoothness: float = 20.0  # cost of a border between two pixels of equal color, in nats
    contrast: float = 2.0  # squared color difference, in multiples of its mean, at which a border is e times cheaper
    rounds: int = 2  # cuts; each but the first has mixtures of the previous one's labels, as in GrabCut (Rother 2004)
    clip: float = 6.0  # bound of a pixel's log odds by color, in nats, so that its neighbors may overrule it
    uniform: float = 0.05  # weight of a uniform density in the likelihood of a color, so that none is impossible
    samples: int = 1024  # largest number of colors that a mixture is fitted to
    iterations: int = 5  # rounds of expectation-maximization
    covariance_floor: float = 1e-4  # added to each variance: a standard deviation of 2.5 gray levels


@dataclass(frozen=True, eq=False)
class Outline:
    """The mask of the last cut, its energy in nats, and what that cut was of.

    The energy is that of the full grid, as `minimum_cut` would report it.
    """

    mask: Bool[np.ndarray, "height width"]
    energy: float
    free: Bool[np.ndarray, "height width"]
    mixtures: tuple[Mixture, Mixture] | None  # background, foreground; None if nothing was free


def trace(
    image: Float[np.ndarray, "height width 3"],
    odds: Float[np.ndarray, "height width"],
    mask: Bool[np.ndarray, "height width"],
    options: OutlineOptions | None = None,
) -> Outline:
    """Move the outline of a coarse mask to where colors change, within a band around it.

    Args:
        image: RGB in [0, 1].
        odds: coarse log odds of foreground, in nats, on the image's grid.
        mask: the coarse mask. A full or an empty one has no outline and is returned as it is.
        options: the constants.

    Raises:
        DeepInsideError: for a number that is not finite, and options out of their range.

    >>> image = np.zeros((8, 12, 3), np.float32)
    >>> image[:, :6] = 1, 0, 0  # six red columns on black
    >>> coarse = np.arange(12) < np.full((8, 1), 4)  # a mask that is two columns short
    >>> trace(image, np.zeros((8, 12)), coarse, OutlineOptions(band=0.5)).mask.sum(axis=0)
    array([8, 8, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0])
    """
    options = options or OutlineOptions()
    free = band(mask, options.band * np.sqrt(mask.sum()))
    edges = contrast_edges(image, options.smoothness, options.contrast)
    if not np.isfinite(odds).all():
        raise DeepInsideError("odds: expected finite log odds, got a NaN or an infinity")
    found = Outline(mask.copy(), 0.0, free, None)
    for _ in range(options.rounds):
        if not free.any() or found.mask.all() or not found.mask.any():
            break
        mixtures = _fit(image, ~found.mask, options), _fit(image, found.mask, options)
        total = options.color * color_odds(image, mixtures, options) + options.prior * odds
        cut = banded_cut(np.maximum(total, 0), np.maximum(-total, 0), *edges, free, mask)
        found = Outline(cut.mask, cut.energy, free, mixtures)
    return found


def band(mask: Bool[np.ndarray, "height width"], width: float) -> Bool[np.ndarray, "height width"]:
    """The pixels nearer than `width` pixels to the outline: to a pixel with a neighbor of the other label.

    >>> band(np.arange(10)[None] < 5, 2.0).astype(int)
    array([[0, 0, 0, 1, 1, 1, 1, 0, 0, 0]])
    """
    outline = np.zeros_like(mask)
    across, below = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    outline[:, 1:] |= across
    outline[:, :-1] |= across
    outline[1:] |= below
    outline[:-1] |= below
    if not outline.any():
        return outline
    return np.asarray(ndimage.distance_transform_edt(~outline) < width)


def color_odds(
    image: Float[np.ndarray, "height width 3"], mixtures: tuple[Mixture, Mixture], options: OutlineOptions
) -> Float[np.ndarray, "height width"]:
    """Log odds of foreground by color: the log ratio of the mixtures (background, foreground), bounded by `clip`."""
    colors = image.reshape(-1, 3)
    back, fore = (options.uniform + (1 - options.uniform) * mixture_density(m, colors) for m in mixtures)
    return np.asarray(np.log(fore / back).clip(-options.clip, options.clip).reshape(image.shape[:2]))


def banded_cut(
    background_cost: Float[np.ndarray, "height width"],
    foreground_cost: Float[np.ndarray, "height width"],
    right: Float[np.ndarray, "height width-1"],
    down: Float[np.ndarray, "height-1 width"],
    free: Bool[np.ndarray, "height width"],
    mask: Bool[np.ndarray, "height width"],
) -> Cut:
    """The exact minimum of the energy over all masks that equal `mask` where no label is free.

    Args:
        background_cost: finite cost of labeling a pixel background.
        foreground_cost: finite cost of labeling a pixel foreground.
        right: cost of different labels at (y, x) and (y, x + 1), 0 or more.
        down: cost of different labels at (y, x) and (y + 1, x), 0 or more.
        free: the pixels whose labels are free.
        mask: the labels of the others.

    The energy is that of the full grid, in the same integers as `minimum_cut`'s, so that the two can be compared.
    """
    full = quantize(background_cost, foreground_cost, right, down)
    costs = (
        np.where(~free & mask, np.inf, np.maximum(full.terminal, 0) / full.scale),
        np.where(~free & ~mask, np.inf, np.maximum(-full.terminal, 0) / full.scale),
    )
    clamped = quantize(*costs, full.right / full.scale, full.down / full.scale)
    found = solve(clamped)
    return Cut(found, energy(found, full))


def energy_gap(
    mask: Bool[np.ndarray, "height width"],
    background_cost: Float[np.ndarray, "height width"],
    foreground_cost: Float[np.ndarray, "height width"],
    right: Float[np.ndarray, "height width-1"],
    down: Float[np.ndarray, "height-1 width"],
) -> float:
    """By how many nats the energy of a mask exceeds the minimum of all masks: 0 where a band did not bind."""
    full = quantize(background_cost, foreground_cost, right, down)
    return energy(mask, full) - energy(solve(full), full)


def _fit(image: np.ndarray, seeds: np.ndarray, options: OutlineOptions) -> Mixture:
    return fit_mixture(
        image.reshape(-1, 3).take(np.flatnonzero(seeds), axis=0),
        options.components,
        samples=options.samples,
        iterations=options.iterations,
        covariance_floor=options.covariance_floor,
    )
