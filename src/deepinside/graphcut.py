"""GraphCut color segmentation (paper, Sect. 3.2; Boykov and Jolly 2001): energy in, mask of least energy out.

The energy of a mask is the sum over pixels of what it costs to call them foreground or background, and over pairs of
neighbors with different labels of how much they look alike. `segment` builds the paper's energy from seeds;
`minimum_cut` solves any. Images are RGB in [0, 1], (height, width, 3); masks are True on the foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int32
from scipy import ndimage

from deepinside.errors import DeepInsideError
from deepinside.mincut import cut_grid
from deepinside.mixtures import fit_mixture, mixture_density

# Costs become whole numbers of this fraction, so that the cut is exact: a thousandth of a nat decides nothing.
SCALE = 1000
# No capacity is larger, in the energy's own unit: enough to outweigh any pixel's neighbors and data together.
LARGEST = 1500.0


@dataclass(frozen=True)
class CutOptions:
    """Constants of the paper's energy, as the authors' code was later published; see `docs/localization.md`."""

    components: int = 5  # Gaussians of the foreground's colors, and of the background's
    uniform: float = 0.05  # share of the uniform density in a pixel's likelihood: no color is impossible
    smoothness: float = 150.0  # what a border between two pixels of the same color costs, in nats
    contrast: float = 0.5  # edges fade with ||difference||^2 over this times its mean in the image
    seed: int = 0  # of the mixtures' start


@dataclass(frozen=True, eq=False)
class Cut:
    """A mask of least energy, and that energy."""

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
    """The paper's segmentation: seeds teach two color models, the minimum cut finds the mask that fits them.

    Args:
        image: RGB in [0, 1].
        foreground_seeds, background_seeds: pixels that the color models learn from; at least one of each.
        foreground_clamp, background_clamp: pixels whose label is fixed; where both are set, the foreground's wins.
        options: the energy's constants.

    Raises `DeepInsideError` for seeds without a pixel.
    """
    options = options or CutOptions()
    pixels = image.reshape(-1, 3)
    costs = []
    for seeds in (background_seeds, foreground_seeds):
        mixture = fit_mixture(image[seeds], options.components, seed=options.seed)
        likelihood = options.uniform + (1 - options.uniform) * mixture_density(mixture, pixels)
        costs.append(-np.log(likelihood).reshape(image.shape[:2]))
    background_cost, foreground_cost = costs
    foreground_cost[background_clamp] = np.inf
    background_cost[background_clamp] = 0
    background_cost[foreground_clamp] = np.inf
    foreground_cost[foreground_clamp] = 0
    right, down = contrast_edges(image, options.smoothness, options.contrast)
    return minimum_cut(background_cost, foreground_cost, right, down)


def contrast_edges(
    image: Float[np.ndarray, "height width channels"], smoothness: float, contrast: float
) -> tuple[Float[np.ndarray, "height right"], Float[np.ndarray, "below width"]]:
    """What a border between neighbors costs: smoothness * exp(-||difference||^2 / (contrast * its mean)).

    Returns the edges to the right neighbor and to the one below. An image of one color has edges of full cost.
    """
    right = np.square(np.diff(image, axis=1)).sum(axis=2)
    down = np.square(np.diff(image, axis=0)).sum(axis=2)
    mean = (right.sum() + down.sum()) / max(right.size + down.size, 1)
    falloff = -1 / max(contrast * float(mean), 1e-12)
    return smoothness * np.exp(right * falloff), smoothness * np.exp(down * falloff)


def minimum_cut(
    background_cost: Float[np.ndarray, "height width"],
    foreground_cost: Float[np.ndarray, "height width"],
    right: Float[np.ndarray, "height edges_right"],
    down: Float[np.ndarray, "edges_down width"],
) -> Cut:
    """The mask of least energy, exact on capacities rounded to a thousandth.

    Args:
        background_cost, foreground_cost: what each pixel costs under either label; infinite fixes the other label.
        right, down: what different labels of neighbors cost, not negative.

    Of several masks with the least energy, the smallest foreground is returned.

    >>> background, foreground = np.array([[9.0, 1.0, 0.0]]), np.array([[0.0, 2.0, 9.0]])
    >>> cut = minimum_cut(background, foreground, np.full((1, 2), 0.5), np.zeros((0, 3)))
    >>> cut.mask, cut.energy
    (array([[ True, False, False]]), 1.5)
    """
    terminal, right_capacity, down_capacity, constant = capacities(background_cost, foreground_cost, right, down)
    mask, flow = cut_grid(terminal, right_capacity, down_capacity)
    return Cut(mask, float(flow / SCALE + constant))


def capacities(
    background_cost: Float[np.ndarray, "height width"],
    foreground_cost: Float[np.ndarray, "height width"],
    right: Float[np.ndarray, "height edges_right"],
    down: Float[np.ndarray, "edges_down width"],
) -> tuple[
    Int32[np.ndarray, "height width"],
    Int32[np.ndarray, "height edges_right"],
    Int32[np.ndarray, "edges_down width"],
    float,
]:
    """The whole-numbered graph of an energy, and the constant by which its cuts are cheaper than its masks.

    Only the difference of a pixel's two costs matters to the cut; what both labels cost anyway is the constant.
    """
    with np.errstate(invalid="ignore"):
        difference = background_cost - foreground_cost
        shared = np.minimum(background_cost, foreground_cost)
    if not np.isfinite(shared).all() or np.isnan(difference).any() or min(_lowest(right), _lowest(down)) < 0:
        raise DeepInsideError(
            "expected costs that are numbers, finite for at least one label of each pixel, and edges that are not "
            "negative; got something else"
        )
    terminal = (np.clip(difference, -LARGEST, LARGEST) * SCALE).round().astype(np.int32)
    edges = [(np.minimum(edge, LARGEST) * SCALE).round().astype(np.int32) for edge in (right, down)]
    return terminal, edges[0], edges[1], float(shared.sum())


def largest_component(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The 4-connected component with the most pixels, as the cut's own neighborhood has it; empty stays empty."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _lowest(edges: Float[np.ndarray, ...]) -> float:
    return float(edges.min()) if edges.size else 0.0
