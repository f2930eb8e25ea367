"""The outline of an object at the photo's own resolution: an exact cut in a band around a coarse mask.

A network's maps are coarse, so that a mask made of them is off by several pixels. `trace` keeps the labels far from its
outline, and cuts the pixels near it by their colors, by contrast and by the coarse log odds. It goes from coarse to
fine: the wide band is cut at a fraction of the resolution, and each finer resolution moves the outline found so far
within a few pixels. Each of these cuts is exact:

    terms       image, odds, mixtures    -> costs and edges of the full grid, for any of the functions below
    band        mask, width              -> the pixels near the outline
    banded_cut  terms, free, mask        -> Cut, the exact minimum of all masks that differ from `mask` in `free` only
    energy_gap  mask, terms              -> by how much the minimum of all masks is cheaper; 0 where no band binds

Images are (height, width, 3) float32 RGB in [0, 1]; energies are in nats. Everything runs on the calling thread, and
the compiled functions of `kernels` release the GIL.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from deepinside.core.constants import COUNT, POSITIVE, Range, check_ranges
from deepinside.core.errors import DeepInsideError
from deepinside.cut import kernels
from deepinside.cut.graphcut import EDGE_LIMIT, TERMINAL_LIMIT, Cut, Mixture, energy, quantize, solve

Mixtures = tuple[Mixture, Mixture]  # of the background, of the foreground


@dataclass(frozen=True)
class OutlineOptions:
    """How far the outline may move, and what it follows. Costs are in nats per pixel of the image."""

    band: float = 0.2  # on each side of the coarse outline, in multiples of the square root of the mask's area
    coarsest: int = 128  # pixels a side at which the wide band is cut; larger images are halved until they fit
    narrow: float = 2.0  # pixels on each side of the outline found so far that are free at each finer resolution
    components: int = 5  # Gaussians in each of the two mixtures
    color: float = 1.0  # weight of the log odds by color
    prior: float = 0.3  # weight of the coarse log odds, which take the mask's side where color says nothing
    smoothness: float = 70.0  # cost of a border between two pixels of equal color
    contrast: float = 2.0  # squared color difference, in multiples of its mean, at which a border is e times cheaper
    rounds: int = 2  # cuts of the wide band, each but the first with mixtures of the labels before it (Rother 2004)
    clip: float = 20.0  # bound of a pixel's log odds by color, so that its neighbors may overrule it
    uniform: float = 1e-4  # weight of a uniform density in the likelihood of a color, so that none is impossible
    samples: int = 1024  # largest number of colors that a mixture is fitted to
    iterations: int = 5  # rounds of expectation-maximization at first
    updates: int = 2  # the same for each later cut, from the mixture before
    covariance_floor: float = 1e-4  # added to each variance: a standard deviation of 2.5 gray levels

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)


RANGES = {
    **dict.fromkeys(("components", "coarsest", "rounds", "samples"), COUNT),
    **dict.fromkeys(("narrow", "contrast", "clip", "covariance_floor"), POSITIVE),
    "uniform": Range(most=1, above=True, below=True),
}


@dataclass(frozen=True, eq=False)
class Outline:
    """The mask of the last cut, and what was cut. The energy counts the free pixels and the edges that end at one."""

    mask: Bool[np.ndarray, "height width"]
    energy: float
    free: Bool[np.ndarray, "height width"]  # the pixels whose labels the last cut chose
    mixtures: Mixtures | None  # None if no label was free


@dataclass(frozen=True, eq=False)
class _Level:
    """The problem at one resolution."""

    image: np.ndarray  # (height, width, 3)
    odds: np.ndarray  # (height, width)
    mask: np.ndarray  # (height, width), the coarse mask
    mixed: np.ndarray  # (height, width), where a pixel stands for pixels of both labels
    size: int  # of a pixel, in pixels of the image
    decay: float  # of the cost of a border per squared color difference


@dataclass(eq=False)
class _Band:
    """What does not change between cuts of the same n free pixels; see `kernels.pack`."""

    pixels: np.ndarray  # (n, 2)
    steps: np.ndarray  # (n + 2, 4)
    edges: np.ndarray  # (n, 4), in units, to the left, right, upper and lower neighbor
    scale: float  # units of a nat
    flow: _Flow | None = None  # of the cut before


@dataclass(frozen=True, eq=False)
class _Flow:
    """What a cut leaves behind. The next one starts from it, since any flow is a valid start of an exact cut."""

    nodes: np.ndarray  # (n + 2, words)
    excess: np.ndarray  # (n + 2,), what the nodes had before
    shift: int


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
    image, odds, mask, most = _checked(image, odds, mask)
    width = options.band * float(np.sqrt(np.count_nonzero(mask)))
    if mask.all() or not mask.any() or not width > 0:
        return Outline(mask.copy(), 0.0, np.zeros_like(mask), None)
    levels = _levels(_Level(image, odds, mask, np.zeros_like(mask), 1, _decay(image, options)), width, options)
    level, labels, fitted, energy = levels[-1], levels[-1].mask, None, 0.0
    wide = free = kernels.near(kernels.outline_of(labels) | level.mixed, (width + 0.5) / level.size - 0.5)
    for level in reversed(levels):
        height, width = level.mask.shape
        if level is not levels[-1]:
            free = kernels.near(kernels.outline_of(labels), options.narrow / 2) & wide
            labels, free, wide = (kernels.double(each, height, width) for each in (labels, free, wide))
        rounds = options.rounds if level is levels[-1] else 1
        labels, fitted, energy = _cuts(level, free, labels, fitted, rounds, most, options)
    return Outline(labels, energy, free, fitted)


def terms(
    image: Float[np.ndarray, "height width 3"],
    odds: Float[np.ndarray, "height width"],
    mixtures: Mixtures,
    options: OutlineOptions | None = None,
) -> tuple[
    Float[np.ndarray, "height width"],
    Float[np.ndarray, "height width"],
    Float[np.ndarray, "height width-1"],
    Float[np.ndarray, "height-1 width"],
]:
    """Background cost, foreground cost, right and down: what `trace` minimizes at full resolution, for all pixels.

    They are the integers that it cuts, divided by a power of two, so that energies can be compared exactly:
    `energy_gap(found.mask, *terms(image, odds, found.mixtures))` is 0 if no mask is better than the one it found.
    """
    options = options or OutlineOptions()
    height, width = odds.shape
    image, odds, everywhere, most = _checked(image, odds, np.ones((height, width), np.bool_))
    level = _Level(image, odds, everywhere, everywhere, 1, _decay(image, options))
    found = _band(level, everywhere, most, options)
    terminal = _terminal(level, found, mixtures, options).reshape(height, width)
    edges = found.edges.reshape(height, width, 4)
    return (
        np.maximum(terminal, 0) / found.scale,
        np.maximum(-terminal, 0) / found.scale,
        edges[:, :-1, kernels.RIGHT] / found.scale,
        edges[:-1, :, kernels.DOWN] / found.scale,
    )


def band(mask: Bool[np.ndarray, "height width"], width: float) -> Bool[np.ndarray, "height width"]:
    """The pixels nearer than `width` pixels to the outline: to a pixel with a neighbor of the other label.

    >>> band(np.arange(10)[None] < 5, 2.0).astype(int)
    array([[0, 0, 0, 1, 1, 1, 1, 0, 0, 0]])
    """
    return np.asarray(kernels.near(kernels.outline_of(mask), float(width)))


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

    The mask is the smallest of those of minimum energy, and that of `minimum_cut` where it agrees with the fixed
    labels. The energy is that of the full grid, in the same integers as that of `minimum_cut`, so that the two can be
    compared. (The flow is of integers that are coarser by a power of two if otherwise the edges to fixed pixels
    exceeded an int32.) Raises `DeepInsideError` as `minimum_cut` does, and for any infinite cost.

    >>> background, foreground, right = np.full((1, 5), 2.0), np.zeros((1, 5)), np.ones((1, 4))
    >>> free, mask = np.array([[0, 1, 1, 0, 0]], bool), np.zeros((1, 5), bool)  # all would rather be foreground
    >>> cut = banded_cut(background, foreground, right, np.zeros((0, 5)), free, mask)
    >>> cut.mask.astype(int), cut.energy
    (array([[0, 1, 1, 0, 0]]), 8.0)
    >>> energy_gap(cut.mask, background, foreground, right, np.zeros((0, 5)))
    8.0
    """
    full = quantize(background_cost, foreground_cost, right, down)
    if not np.isfinite(background_cost).all() or not np.isfinite(foreground_cost).all():
        raise DeepInsideError("expected finite costs, got an infinite one: fix labels by `free` and `mask` instead")
    if free.shape != full.terminal.shape or mask.shape != free.shape:
        raise DeepInsideError(f"expected free and mask {full.terminal.shape}, got {free.shape} and {mask.shape}")
    pixels, steps = kernels.pack(free)
    terminal, edges = kernels.gather(full.terminal, full.right, full.down, pixels)
    found = _solve(_Band(pixels, steps, edges, full.scale), terminal, mask)
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


# ----------------------------------------------------------------------------------------------------------- helpers


def _checked(image: np.ndarray, odds: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """All three as the kernels take them, and the largest magnitude of the odds."""
    if image.shape != (*mask.shape, 3) or odds.shape != mask.shape:
        raise DeepInsideError(
            "expected image (height, width, 3), odds (height, width) and mask (height, width), got "
            f"{image.shape}, {odds.shape} and {mask.shape}: resize the odds and the mask to the image"
        )
    image, odds = (np.ascontiguousarray(array, np.float32) for array in (image, odds))
    if not np.isfinite(kernels.largest(image)):
        raise DeepInsideError("image: expected RGB in [0, 1], got a NaN or an infinity; replace such pixels first")
    most = float(kernels.largest(odds))
    if not np.isfinite(most):
        raise DeepInsideError("odds: expected finite log odds, got a NaN or an infinity; clip them first")
    return image, odds, np.ascontiguousarray(mask, np.bool_), most


def _levels(finest: _Level, width: float, options: OutlineOptions) -> list[_Level]:
    """The problem at full resolution and at halves of it, while a band of that width is worth it."""
    levels = [finest]
    while max(levels[-1].mask.shape) > options.coarsest and width >= 4 * options.narrow * levels[-1].size:
        finer = levels[-1]
        image, odds, mask, mixed = kernels.halve(finer.image, finer.odds, finer.mask, finer.mixed)
        if mask.all() or not mask.any():
            break
        levels.append(_Level(image, odds, mask, mixed, 2 * finer.size, _decay(image, options)))
    return levels


def _decay(image: np.ndarray, options: OutlineOptions) -> float:
    mean = kernels.mean_step(image)
    return 1 / (options.contrast * mean) if mean > 0 else 0.0


def _cuts(
    level: _Level,
    free: np.ndarray,
    labels: np.ndarray,
    mixtures: Mixtures | None,
    rounds: int,
    most: float,
    options: OutlineOptions,
) -> tuple[np.ndarray, Mixtures | None, float]:
    """Fit the mixtures to the labels found so far and choose the free ones anew, some times; and the last energy."""
    band, energy = _band(level, free, most, options), 0.0
    for _ in range(rounds):
        if len(band.pixels) == 0 or labels.all() or not labels.any():
            break
        mixtures = _mixtures(level.image, labels, mixtures, options)
        terminal = _terminal(level, band, mixtures, options)
        labels = _solve(band, terminal, labels)
        units = kernels.band_units(terminal, band.edges, band.pixels, band.steps, labels)
        energy = float(units) / band.scale
    return labels, mixtures, energy


def _mixtures(image: np.ndarray, labels: np.ndarray, before: Mixtures | None, options: OutlineOptions) -> Mixtures:
    """Of the colors of each label; from the mixtures before, if there are any."""
    found = []
    for label in (False, True):
        colors = kernels.sample(image, labels, label, options.samples)
        if before is None:
            draws = np.random.default_rng(0).random(options.components)
            centers = kernels.spread_centers(colors, draws)
            fitted = kernels.expectation_maximization(colors, centers, options.iterations, options.covariance_floor)
        else:
            old = before[label]
            fitted = old.weights.copy(), old.means.copy(), old.covariances.copy()
            kernels.improve(colors, *fitted, options.updates, options.covariance_floor)
        found.append(Mixture(*fitted))
    return found[0], found[1]


def _band(level: _Level, free: np.ndarray, most: float, options: OutlineOptions) -> _Band:
    """The free pixels, and what borders between them and to others cost."""
    pixels, steps = kernels.pack(free)
    # The cost of a border grows with its length, and that of labels with their area.
    smoothness = options.smoothness / level.size
    scale = _scale(free.size * (options.color * options.clip + options.prior * most), smoothness)
    return _Band(
        pixels, steps, kernels.border_units(level.image, pixels, steps, smoothness * scale, level.decay), scale
    )


def _terminal(level: _Level, band: _Band, mixtures: Mixtures, options: OutlineOptions) -> np.ndarray:
    """What labeling each free pixel background costs more than foreground, in units."""
    colors = kernels.colors_at(level.image, band.pixels)
    densities = [kernels.mixture_density(colors, each.weights, each.means, each.covariances) for each in mixtures]
    by_color = kernels.log_ratio(*densities, options.uniform, options.clip)
    color, prior = options.color * band.scale, options.prior * band.scale
    return np.asarray(kernels.label_units(level.odds, by_color, band.pixels, color, prior))


def _scale(largest_total: float, largest_edge: float) -> float:
    """Units of a nat, a power of two, so that the costs of all pixels and each edge fit an int32."""
    limits = TERMINAL_LIMIT / max(largest_total, 1e-298), EDGE_LIMIT / max(largest_edge, 1e-298)
    return float(2.0 ** np.floor(np.log2(min(limits))))


def _solve(band: _Band, terminal: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The labels of minimum energy of the free pixels, and of the mask for the others."""
    found = mask.copy()
    if len(band.pixels) == 0:
        return found
    # Half of what fits, since the flow of the cut before may bring as much again.
    nodes, shift = kernels.build_band(terminal, band.edges, band.pixels, band.steps, mask, TERMINAL_LIMIT / 2)
    excess = nodes[:, kernels.EXCESS].copy()
    if band.flow is not None and band.flow.shift == shift:
        nodes = band.flow.nodes
        nodes[:, kernels.EXCESS] += excess - band.flow.excess
    kernels.match_chains(nodes, 0, band.steps)
    kernels.label(found, band.pixels, kernels.drain(nodes, 0, band.steps))
    band.flow = _Flow(nodes, excess, shift)
    return found
