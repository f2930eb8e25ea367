"""Weakly supervised localization (paper, Sect. 3.2): saliency -> seeds -> minimum cut -> one component -> mask.

A map says where the class's evidence is, which is the most telling part of the object and not the whole of it; a cut
spreads it to the rest. The paper's cut spreads by color (`by_color`); ours by the network's own features too
(`by_features`). Both take a map and return a `Segmentation` on the map's grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from deepinside.core.errors import DeepInsideError, named
from deepinside.core.results import Segmentation
from deepinside.cut.continuity import Continuity, log_odds
from deepinside.cut.graphcut import CutOptions, largest_component, minimum_cut, segment


@dataclass(frozen=True)
class Paper:
    """The paper's recipe: ten crops, the gradient at the image, a cut by color."""

    # Photo: its central square, this many times the network's size, as the authors' code had it (256 / 224).
    enlarge: float = 256 / 224
    # Color models: pixels above and below these quantiles of the map (Sect. 3.2).
    foreground_quantile: float = 0.95
    background_quantile: float = 0.30
    # Pixels whose label is fixed: only the extreme ones, so that the colors may overrule the rest of the seeds.
    foreground_clamp: float = 0.995
    background_clamp: float = 0.005
    cut: CutOptions = field(default_factory=CutOptions)


@dataclass(frozen=True)
class Best:
    """Our recipe: the whole photo at two sizes, the gradient at two deep layers, a cut by features and color.

    What each choice is worth is in `docs/localization.md`.
    """

    # Times the network's size. The second size has finer grids; networks of a fixed size are shown the first only.
    scales: tuple[float, ...] = (1.0, 10 / 7)
    continuity: Continuity = field(default_factory=Continuity)


Recipe = Paper | Best
PRESETS: dict[str, Recipe] = {"best": Best(), "paper": Paper()}
DEFAULT = "best"


def preset(name: str) -> Recipe:
    """The recipe of a preset's name. Raises `DeepInsideError` for an unknown one."""
    return named(name, PRESETS, "a preset")


def by_color(
    image: Float[np.ndarray, "height width 3"], map: Float[np.ndarray, "height width"], recipe: Paper
) -> Segmentation:
    """The largest component of the color cut that a saliency map seeds: the paper's own way.

    Args:
        image: RGB in [0, 1], at the map's size.
        map: saliency, never negative, in any unit: only its order counts.
        recipe: the constants.

    Raises `DeepInsideError` for a map that is the same everywhere: it points nowhere.
    """
    low, high = np.quantile(map, [recipe.background_quantile, recipe.foreground_quantile])
    _check_contrast(map)
    lowest, highest = np.quantile(map, [recipe.background_clamp, recipe.foreground_clamp])
    if low == high:  # most of the map is one value, such as 0: what stands out of it is a seed, on whichever side
        low, high = (low, np.nextafter(low, np.inf)) if map.max() > low else (np.nextafter(low, -np.inf), low)
    foreground, background = map >= high, map <= low
    sure, never = map >= max(highest, high), map <= min(lowest, low)
    cut = segment(image, foreground, background, sure, never, recipe.cut)
    return Segmentation(largest_component(cut.mask), foreground, background, cut.energy)


def by_features(
    seed: Float[np.ndarray, "height width"],
    kernel: Float[np.ndarray, "nodes nodes"],
    nodes: tuple[int, int],
    edges: tuple[Float[np.ndarray, "height right"], Float[np.ndarray, "below width"]],
    how: Continuity,
) -> Segmentation:
    """The heaviest component of the cut that a seed starts and features and color shape.

    Args:
        seed: what `seed_map` made of the class's maps, between 0 and 1.
        kernel: likeness of nodes, from `feature_kernel`; the same for all classes.
        nodes: the nodes' grid.
        edges: what borders between cells cost, from `continuity_edges`; the same for all classes.
        how: the constants.

    Raises `DeepInsideError` for a seed that is the same everywhere.
    """
    _check_contrast(seed)
    odds = log_odds(seed, kernel, nodes, how)
    cut = minimum_cut(np.maximum(odds, 0), np.maximum(-odds, 0), *edges)
    # An empty cut is no answer to the question where the object is: then its likeliest places are.
    mask = cut.mask if cut.mask.any() else odds >= np.quantile(odds, 0.95)
    sure = 1 / (1 + np.exp(-odds))
    return Segmentation(largest_component(mask, sure), odds > how.slope, odds < -how.slope, cut.energy)


def whole_view(map: Float[np.ndarray, "height width"]) -> Segmentation:
    """For a class whose score depends on no place in particular: all that the network saw, without seeds."""
    nowhere = np.zeros(map.shape, dtype=bool)
    return Segmentation(~nowhere, nowhere, nowhere, 0.0)


def is_flat(map: Float[np.ndarray, "height width"]) -> bool:
    """Whether a map is the same everywhere, so that it points nowhere."""
    return bool(map.min() == map.max())


def _check_contrast(map: Float[np.ndarray, "height width"]) -> None:
    if is_flat(map):
        raise DeepInsideError(
            "expected a saliency map with high and low values, got a flat one: the class score does not depend on "
            "where one looks, so there is nothing to localize"
        )
