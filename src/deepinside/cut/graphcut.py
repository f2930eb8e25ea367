"""Color segmentation by a minimum cut (paper, Sect. 3.2; Boykov & Jolly 2001): from an image and seeds to a mask.

Two Gaussian mixtures, one of the colors under the foreground seeds and one of those under the background seeds, give
the cost of each label of each pixel. An edge between two neighbors gives the cost of different labels, which is lower
where the colors differ. The mask of minimum energy is computed exactly. `segment` does all of it, and every step is
public, for recipes with terms of their own:

    color_costs  image, seeds         -> background cost, foreground cost     (height, width) each
    clamp        costs, masks         -> costs, infinite where a label is forbidden
    contrast_edges  image             -> right (height, width - 1), down (height - 1, width)
    minimum_cut  costs, edges         -> Cut

Images are (height, width, 3) float32 RGB in [0, 1]; costs and capacities are in nats. Everything runs on the calling
thread, and the compiled functions of `kernels` release the GIL: to cut several images at once, use several threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from deepinside.core.constants import COUNT, POSITIVE, SHARE, check_ranges
from deepinside.core.errors import DeepInsideError
from deepinside.cut import kernels

# Bounds of the sum of terminal capacities and of one edge after quantization, so that every flow fits an int32.
TERMINAL_LIMIT = 2.0**30
EDGE_LIMIT = 2.0**29


@dataclass(frozen=True)
class CutOptions:
    """The paper's recipe; constants that it does not give are those of its authors' code."""

    components: int = 5  # Gaussians in each of the two mixtures
    uniform: float = 0.05  # weight of a uniform density in the likelihood of a color, so that none is impossible
    smoothness: float = 150.0  # cost of different labels between equal colors, in nats
    contrast: float = 0.5  # squared color difference, in multiples of its mean, at which an edge is e times cheaper
    samples: int = 2048  # largest number of colors that a mixture is fitted to, sampled evenly from the seeds
    iterations: int = 10  # rounds of expectation-maximization
    covariance_floor: float = 1e-4  # added to each variance: a standard deviation of 2.5 gray levels
    seed: int = 0  # of the initialization of the mixtures

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)


RANGES = {
    **dict.fromkeys(("components", "samples"), COUNT),
    **dict.fromkeys(("contrast", "covariance_floor"), POSITIVE),
    "uniform": SHARE,
}


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians with full covariance over RGB; at most as many as there are distinct colors."""

    weights: Float[np.ndarray, " components"]
    means: Float[np.ndarray, "components 3"]
    covariances: Float[np.ndarray, "components 3 3"]


@dataclass(frozen=True, eq=False)
class Capacities:
    """The energy in integers, which `solve` minimizes and `energy` evaluates for a mask.

    A positive `terminal` is the extra cost of labeling the pixel background, and a negative one, with its sign changed,
    that of labeling it foreground. One nat is `scale` units, a power of two. `base` nats are added for every mask.
    """

    terminal: Int[np.ndarray, "height width"]
    right: Int[np.ndarray, "height width-1"]
    down: Int[np.ndarray, "height-1 width"]
    scale: float
    base: float


@dataclass(frozen=True, eq=False)
class Cut:
    """The mask of minimum energy, True for foreground and the smallest if there are several, and its energy in nats."""

    mask: Bool[np.ndarray, "height width"]
    energy: float


def segment(
    image: Float[np.ndarray, "height width 3"],
    foreground_seeds: Bool[np.ndarray, "height width"],
    background_seeds: Bool[np.ndarray, "height width"],
    foreground_clamp: Bool[np.ndarray, "height width"],
    background_clamp: Bool[np.ndarray, "height width"],
    options: CutOptions | None = None,
) -> Cut:
    """Segment an image by the minimum cut of the paper's recipe.

    Args:
        image: RGB in [0, 1].
        foreground_seeds: pixels whose colors the foreground mixture is fitted to; their labels stay free.
        background_seeds: the same for the background.
        foreground_clamp: pixels whose label is fixed to foreground.
        background_clamp: pixels whose label is fixed to background.
        options: the constants of the recipe; the paper's by default.

    Raises:
        DeepInsideError: if a label has no seeds, a pixel is clamped to both labels, or a number is not finite.

    >>> image = np.zeros((4, 6, 3), np.float32)
    >>> image[:, :2] = 1, 0, 0  # two red columns on black
    >>> red, black, nowhere = image[..., 0] > 0.5, image[..., 0] < 0.5, np.zeros((4, 6), bool)
    >>> segment(image, red, black, nowhere, nowhere).mask.sum(axis=0)
    array([4, 4, 0, 0, 0, 0])
    """
    options = options or CutOptions()
    costs = color_costs(image, foreground_seeds, background_seeds, options)
    edges = contrast_edges(image, options.smoothness, options.contrast)
    return minimum_cut(*clamp(*costs, foreground_clamp, background_clamp), *edges)


# --------------------------------------------------------------------------------------------------------- the costs


def fit_mixture(
    colors: Float[np.ndarray, "pixels 3"],
    components: int = 5,
    *,
    samples: int = 2048,
    iterations: int = 10,
    covariance_floor: float = 1e-4,
    seed: int = 0,
) -> Mixture:
    """Fit a Gaussian mixture to colors by expectation-maximization, initialized by k-means++.

    Args:
        colors: RGB in [0, 1], at least one.
        components: number of Gaussians; the result has fewer if there are fewer distinct colors.
        samples: largest number of colors to use; more are sampled evenly in their order.
        iterations: rounds of expectation-maximization.
        covariance_floor: added to each variance, so that a constant color has a finite density.
        seed: of sampling and initialization; the same seed gives the same bits.

    Raises:
        DeepInsideError: for no colors, colors that are not finite, and a count or floor that is not positive.

    >>> mixture = fit_mixture(np.array([[1.0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]))
    >>> sorted(mixture.weights.round(3).tolist())
    [0.25, 0.75]
    """
    if len(colors) == 0:
        raise DeepInsideError(
            "expected colors to fit a mixture to, got none: give at least one seed pixel of each kind"
        )
    if min(components, samples) < 1 or iterations < 0 or not covariance_floor > 0:
        raise DeepInsideError(
            "expected at least one component and one sample, no negative count of iterations and a covariance floor "
            f"above 0, got {components}, {samples}, {iterations} and {covariance_floor}"
        )
    random = np.random.default_rng(seed)
    if len(colors) > samples:  # one from each of `samples` equal intervals
        colors = colors[((np.arange(samples) + random.random(samples)) * (len(colors) / samples)).astype(int)]
    planes = _planes(colors)
    centers = kernels.spread_centers(planes, random.random(components))
    return Mixture(*kernels.expectation_maximization(planes, centers, iterations, float(covariance_floor)))


def mixture_density(mixture: Mixture, colors: Float[np.ndarray, "pixels 3"]) -> Float[np.ndarray, " pixels"]:
    """Probability density of each color per unit of RGB volume; at least e^-600 per Gaussian, so that it is never 0."""
    density: np.ndarray = kernels.mixture_density(_planes(colors), mixture.weights, mixture.means, mixture.covariances)
    return density


def color_costs(
    image: Float[np.ndarray, "height width 3"],
    foreground_seeds: Bool[np.ndarray, "height width"],
    background_seeds: Bool[np.ndarray, "height width"],
    options: CutOptions | None = None,
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """Background and foreground cost of each pixel: -log of the mixture density plus a share of the uniform density.

    Raises `DeepInsideError` if a label has no seeds.
    """
    options = options or CutOptions()
    planes = _planes(image.reshape(-1, 3))
    background = _color_cost(image, planes, background_seeds, options)
    return background, _color_cost(image, planes, foreground_seeds, options)


def clamp(
    background_cost: Float[np.ndarray, "height width"],
    foreground_cost: Float[np.ndarray, "height width"],
    foreground_clamp: Bool[np.ndarray, "height width"],
    background_clamp: Bool[np.ndarray, "height width"],
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """The costs, with infinity for each label that a clamp forbids."""
    return (
        np.where(foreground_clamp, np.inf, background_cost),
        np.where(background_clamp, np.inf, foreground_cost),
    )


def contrast_edges(
    image: Float[np.ndarray, "height width 3"], smoothness: float = 150.0, contrast: float = 0.5
) -> tuple[Float[np.ndarray, "height width-1"], Float[np.ndarray, "height-1 width"]]:
    """Capacities to the right and to the lower neighbor: smoothness · exp(−‖Δrgb‖² / (contrast · mean ‖Δrgb‖²)).

    The mean is over all pairs of neighbors. In an image of one color, every edge has the capacity `smoothness`.
    """
    _require_finite("image", image)
    if not smoothness >= 0 or not contrast > 0:
        raise DeepInsideError(f"expected smoothness of 0 or more and contrast above 0, got {smoothness}, {contrast}")
    right, down = kernels.color_steps(image)
    mean = (right.sum() + down.sum()) / max(right.size + down.size, 1)
    decay = 1 / (contrast * mean) if mean > 0 else 0.0
    kernels.fade(right, float(smoothness), decay)
    kernels.fade(down, float(smoothness), decay)
    return right, down


# ----------------------------------------------------------------------------------------------------------- the cut


def minimum_cut(
    background_cost: Float[np.ndarray, "height width"],
    foreground_cost: Float[np.ndarray, "height width"],
    right: Float[np.ndarray, "height width-1"],
    down: Float[np.ndarray, "height-1 width"],
) -> Cut:
    """The exact minimum of the energy: the costs of all pixels plus the capacities of edges between different labels.

    Args:
        background_cost: cost of labeling a pixel background, of any sign; infinity fixes the label to foreground.
        foreground_cost: cost of labeling a pixel foreground, of any sign; infinity fixes the label to background.
        right: cost of different labels at (y, x) and (y, x + 1), 0 or more.
        down: cost of different labels at (y, x) and (y + 1, x), 0 or more.

    Raises:
        DeepInsideError: for a pixel with two infinite costs, a NaN, and an edge that is negative or infinite.

    >>> background, foreground = np.array([[5.0, 0, 0]]), np.array([[0.0, 0, 3]])
    >>> minimum_cut(background, foreground, np.array([[9.0, 1]]), np.zeros((0, 3)))
    Cut(mask=array([[ True,  True, False]]), energy=1.0)
    """
    capacities = quantize(background_cost, foreground_cost, right, down)
    mask = solve(capacities)
    return Cut(mask, energy(mask, capacities))


def quantize(
    background_cost: Float[np.ndarray, "height width"],
    foreground_cost: Float[np.ndarray, "height width"],
    right: Float[np.ndarray, "height width-1"],
    down: Float[np.ndarray, "height-1 width"],
) -> Capacities:
    """The energy in integers, in the smallest unit (1 over a power of two) at which every flow fits an int32.

    At 224 x 224 pixels the unit is a thousandth of a nat or less. An infinite cost becomes one unit more than the sum
    of the pixel's edges, which is enough to fix its label. Raises as `minimum_cut` does.
    """
    with np.errstate(invalid="ignore"):  # infinity minus infinity is a NaN, which is reported below
        difference = background_cost - foreground_cost
    edges = _edge_sums(right, down)
    if np.isnan(difference).any():
        raise DeepInsideError(
            "expected a finite cost for at least one label of each pixel, got a NaN or two infinite ones: "
            "check that no pixel is clamped to both foreground and background"
        )
    if not np.isfinite(edges).all() or min(right.min(initial=0), down.min(initial=0)) < 0:
        raise DeepInsideError("expected finite edge capacities of 0 or more, got a negative, infinite or NaN one")
    free = np.isfinite(difference)
    total = float(np.where(free, np.abs(difference), edges).sum(dtype=float))
    largest = float(max(right.max(initial=0), down.max(initial=0)))
    # In double precision, which holds the scale of costs that are nearly nothing, too.
    scale = np.float64(_power_of_two_below(min(_ratio(TERMINAL_LIMIT, total), _ratio(EDGE_LIMIT, largest))))
    units_right, units_down = (np.rint(edge * scale).astype(np.int32) for edge in (right, down))
    hold = np.copysign(_edge_sums(units_right, units_down) + 1, difference)
    terminal = np.where(free, np.rint(difference * scale), hold).astype(np.int32)
    base = float(np.minimum(background_cost, foreground_cost).sum(dtype=float))
    return Capacities(terminal, units_right, units_down, float(scale), base)


def solve(capacities: Capacities) -> Bool[np.ndarray, "height width"]:
    """The smallest mask of minimum energy: the pixels that the source reaches in the residual graph.

    It is the same for every maximum flow, so it depends on the energy and not on the algorithm.
    """
    height, width = capacities.terminal.shape
    # The kernels push excess to deficits and return the pixels that can still reach a deficit. With the signs reversed,
    # as here, these are the foreground, which is the smaller part of most photos.
    nodes = kernels.build(-capacities.terminal, capacities.right, capacities.down)
    kernels.match_chains(nodes, width + 2)
    mask: np.ndarray = kernels.near_side(kernels.drain(nodes, width + 2), height, width)
    return mask


def energy(mask: Bool[np.ndarray, "height width"], capacities: Capacities) -> float:
    """Energy of a mask in nats, from the integers that `solve` minimizes; only the final conversion is rounded."""
    terminal = capacities.terminal
    units = np.maximum(terminal, 0).sum(where=~mask, dtype=np.int64)
    units -= np.minimum(terminal, 0).sum(where=mask, dtype=np.int64)
    units += capacities.right.sum(where=mask[:, 1:] != mask[:, :-1], dtype=np.int64)
    units += capacities.down.sum(where=mask[1:] != mask[:-1], dtype=np.int64)
    return capacities.base + float(units) / capacities.scale


def largest_component(
    mask: Bool[np.ndarray, "height width"], weights: Float[np.ndarray, "height width"] | None = None
) -> Bool[np.ndarray, "height width"]:
    """The connected component with the largest area, or with the largest sum of weights; an empty mask stays empty.

    Pixels are connected to their four neighbors, as in the cut, where regions that touch at a corner share no edge. Of
    equal components, the first in reading order is returned.

    >>> largest_component(np.array([[True, False, True], [False, True, True]])).astype(int)
    array([[0, 0, 1],
           [0, 1, 1]])
    """
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask.copy()
    sizes = np.bincount(labels.ravel(), None if weights is None else weights.ravel())
    component: np.ndarray = labels == 1 + sizes[1:].argmax()
    return component


# ----------------------------------------------------------------------------------------------------------- helpers


def _color_cost(image: np.ndarray, planes: np.ndarray, seeds: np.ndarray, options: CutOptions) -> np.ndarray:
    mixture = fit_mixture(
        image.reshape(-1, 3).take(np.flatnonzero(seeds), axis=0),  # much faster than image[seeds]
        options.components,
        samples=options.samples,
        iterations=options.iterations,
        covariance_floor=options.covariance_floor,
        seed=options.seed,
    )
    density = kernels.mixture_density(planes, mixture.weights, mixture.means, mixture.covariances)
    # The uniform density over the RGB cube is 1.
    cost: np.ndarray = -np.log(options.uniform + (1 - options.uniform) * density).reshape(image.shape[:2])
    return cost


def _planes(colors: np.ndarray) -> np.ndarray:
    """Colors (n, 3) as three contiguous float64 planes."""
    _require_finite("colors", colors)
    return np.ascontiguousarray(colors.T, np.float64)


def _require_finite(name: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        raise DeepInsideError(f"{name}: expected RGB in [0, 1], got a NaN or an infinity; replace such pixels first")


def _edge_sums(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Sum of the edges of each pixel, in float64."""
    sums = np.zeros((right.shape[0], down.shape[1]))
    sums[:, :-1] += right
    sums[:, 1:] += right
    sums[:-1] += down
    sums[1:] += down
    return sums


def _ratio(limit: float, value: float) -> float:
    return limit / max(value, 1e-298)  # avoids an infinite ratio


def _power_of_two_below(value: float) -> float:
    return float(2.0 ** np.floor(np.log2(value)))
