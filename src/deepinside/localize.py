"""Weakly supervised localization (paper, Sect. 3.2): saliency map -> seeds -> graph cut -> one component -> mask.

The map says where the class's evidence is, which is the most telling part of the object and not the whole of it.
Color spreads it: pixels of high and low saliency teach a foreground and a background color model, and the
minimum cut finds the mask that fits both and runs along edges of the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from deepinside.errors import DeepInsideError, nearest
from deepinside.graphcut import CutOptions, largest_component, segment
from deepinside.results import Segmentation


@dataclass(frozen=True)
class Recipe:
    """Everything that makes up a preset."""

    name: str
    # Photo: its central square, this many times the network's size, as the authors' later code had it (256 / 224).
    enlarge: float = 256 / 224
    # Color models: pixels above and below these quantiles of the map (Sect. 3.2).
    foreground_quantile: float = 0.95
    background_quantile: float = 0.30
    # Pixels whose label is fixed: only the extreme ones, so that the colors may overrule the rest of the seeds.
    foreground_clamp: float = 0.995
    background_clamp: float = 0.005
    cut: CutOptions = field(default_factory=CutOptions)


PAPER = Recipe("paper")
PRESETS = {recipe.name: recipe for recipe in (PAPER,)}


def preset(name: str) -> Recipe:
    """The recipe of a preset's name. Raises `DeepInsideError` for an unknown one."""
    if name not in PRESETS:
        raise DeepInsideError(f"expected a preset ({', '.join(PRESETS)}), got {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name]


def localize(
    image: Float[np.ndarray, "height width 3"], map: Float[np.ndarray, "height width"], recipe: Recipe = PAPER
) -> Segmentation:
    """The object that a saliency map points at: the largest connected component of the color cut it seeds.

    Args:
        image: RGB in [0, 1], at the map's size.
        map: saliency, never negative, in any unit: only its order counts.
        recipe: the constants.

    Raises `DeepInsideError` for a map that is the same everywhere: it points nowhere.
    """
    low, high = np.quantile(map, [recipe.background_quantile, recipe.foreground_quantile])
    if not low < high:
        raise DeepInsideError(
            "expected a saliency map with high and low values, got a flat one: the class score does not depend on "
            "where one looks, so there is nothing to localize"
        )
    foreground, background = map >= high, map <= low
    lowest, highest = np.quantile(map, [recipe.background_clamp, recipe.foreground_clamp])
    cut = segment(image, foreground, background, map >= highest, map <= lowest, recipe.cut)
    return Segmentation(largest_component(cut.mask), foreground, background, cut.energy)
