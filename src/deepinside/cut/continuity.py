"""Continuity measured in the network's own features: the data term and the edges of the `best` preset's cut.

The paper spreads a saliency map over the object by color. But colors change within an object and recur outside of it;
the network's features at a position say more about which object the position belongs to. Here positions are nodes of a
grid, similar where their features are, and confident nodes of foreground and background are the seeds for the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from deepinside.core.constants import COUNT, POSITIVE, SHARE, Range, check_ranges

Map = Float[np.ndarray, "_ _"]

ROUNDING = 1e-5  # of a map's maximum: less than that is what resizing does to a map of one value


@dataclass(frozen=True)
class Continuity:
    """How far and along what a seed spreads. Shares of the grid sizes hold for any network and photo."""

    floor: float = 0.02  # of a map's mean, added before the logarithm, so that no single layer can rule a cell out
    blur: float = 1.0  # cells; removes the ripple of interpolating from a coarse grid
    level: float = 1.0  # of the seed's Otsu threshold: even odds; a share of its maximum does not carry over
    sharpness: float = 4.0  # s^4 and (1 - s)^4 weigh the seeds: confident nodes count, as in the 95% and 30% seeds
    temperature: float = 0.25  # of exp(cosine / temperature), how similar features must be
    slope: float = 1.5  # log odds per unit of evidence
    clip: float = 3.0  # no cell is surer than e^3 to 1, so that its neighbors may still overrule it
    node: int = 8  # pixels of a node of the feature graph
    cell: int = 4  # pixels of a cell of the cut
    edge: float = 1.0  # what a border between equal neighbors costs, half by color and half by features
    side: float = 0.7  # of the evidence, taken away at the sides of a crop, where a margin was left
    fade: float = 0.05  # of the crop, how far from its sides that has fallen e times

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)


RANGES = {
    "cell": COUNT,
    "node": Range(2),  # the similarity of any two single pixels would fill the memory
    "fade": POSITIVE,
    "side": SHARE,
    "temperature": Range(0.02),  # exp(1 / temperature) has to be a float32
}


def seed_map(maps: list[Map], cells: tuple[int, int], how: Continuity) -> Map:
    """The geometric mean of several maps on the cells' grid, between 0 and 1: high where every layer says so.

    All zeros where they are the same everywhere, up to rounding.
    """
    logs = np.zeros(cells, dtype=np.float64)
    for map in maps:
        resized = np.maximum(resize(map / (map.mean() + 1e-30), cells), 1e-3)
        logs += np.log(resized / resized.mean() + how.floor)
    seed = ndimage.gaussian_filter(np.exp(logs / len(maps)), how.blur, mode="nearest")
    low, high = seed.min(), seed.max()
    if high - low <= ROUNDING * high:
        return np.zeros(cells, dtype=np.float32)
    return np.asarray((seed - low) / (high - low), dtype=np.float32)


def feature_kernel(
    features: list[Float[Tensor, "_ _ _"]], nodes: tuple[int, int], how: Continuity
) -> Float[np.ndarray, "nodes nodes"]:
    """How similar any two nodes are: exp of the layers' mean cosine of centered features, over the temperature."""
    similarity = 0.0
    for layer in features:
        vectors = resize_channels(layer, nodes).flatten(1).T
        vectors = vectors - vectors.mean(0)
        vectors = vectors / (vectors.norm(dim=1, keepdim=True) + 1e-6)
        similarity = similarity + vectors @ vectors.T
    return np.asarray(torch.exp(torch.as_tensor(similarity) / (len(features) * how.temperature)))


def log_odds(seed: Map, kernel: Float[np.ndarray, "nodes nodes"], nodes: tuple[int, int], how: Continuity) -> Map:
    """The log odds of foreground in each cell, from its own seed value and from the nodes with similar features.

    The kernel density of confident foreground nodes is divided by that of confident background nodes, twice: the
    second time, the first result weighs the nodes.
    """
    share = resize(seed, nodes).clip(0, 1)
    share /= share.max() + 1e-12
    even = max(how.level * otsu(seed), 1e-3)
    evidence = np.log(np.maximum(share, 0.01) / even).ravel()
    confidence = share.ravel()
    evidence += _density_ratio(kernel, confidence**how.sharpness, (1 - confidence) ** how.sharpness)
    first = np.clip(how.slope * evidence, -how.clip, how.clip)
    foreground = 1 / (1 + np.exp(-first))
    both = first + _density_ratio(kernel, foreground, 1 - foreground)
    return np.asarray(ndimage.gaussian_filter(resize(both.reshape(nodes), (seed.shape[0], seed.shape[1])), 1.0))


def continuity_edges(
    image: Float[np.ndarray, "height width 3"], features: Float[np.ndarray, "height width channels"] | None, edge: float
) -> tuple[Float[np.ndarray, "height right"], Float[np.ndarray, "below width"]]:
    """What a border between neighbor cells costs: less where color (in CIELAB) or features change."""
    layers = [lab(image)] if features is None else [lab(image), features]
    right, down = 0.0, 0.0
    for values in layers:
        across, below = (np.square(np.diff(values, axis=axis)).sum(-1) for axis in (1, 0))
        mean = (across.sum() + below.sum()) / (values.shape[0] * values.shape[1]) + 1e-9
        right = right + np.exp(-across / mean) / len(layers)
        down = down + np.exp(-below / mean) / len(layers)
    return np.asarray(edge * right, dtype=np.float32), np.asarray(edge * down, dtype=np.float32)


def otsu(values: Map, bins: int = 64) -> float:
    """The threshold that separates values into the two most distinct groups (Otsu 1979)."""
    counts, borders = np.histogram(values, bins)
    share, centers = counts / counts.sum(), (borders[1:] + borders[:-1]) / 2
    weight, mean = share.cumsum(), (share * centers).cumsum()
    between = (mean[-1] * weight - mean) ** 2 / (weight * (1 - weight) + 1e-9)
    return float(centers[between.argmax()])


def lab(image: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    """sRGB in [0, 1] -> CIELAB under D65, where equal distances look about equally different."""
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    xyz = linear @ to_xyz.T / np.array([0.950456, 1.0, 1.088754])
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = roots[..., 0], roots[..., 1], roots[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def resize(map: Map, size: tuple[int, int]) -> Map:
    """A map on another grid: averages when it shrinks, bicubic when it grows."""
    tensor = torch.as_tensor(np.ascontiguousarray(map, dtype=np.float32))
    if size[0] < map.shape[0]:
        return np.asarray(F.interpolate(tensor[None, None], size, mode="area")[0, 0])
    return np.asarray(F.interpolate(tensor[None, None], size, mode="bicubic", align_corners=False)[0, 0])


def resize_smoothly(map: Map, size: tuple[int, int]) -> Map:
    """A map on another grid, bilinear between the centers of its cells: never beyond its own values."""
    tensor = torch.as_tensor(np.ascontiguousarray(map, dtype=np.float32))
    return np.asarray(F.interpolate(tensor[None, None], size, mode="bilinear", align_corners=False)[0, 0])


def resize_channels(features: Float[Tensor, "channels _ _"], size: tuple[int, int]) -> Float[Tensor, "channels _ _"]:
    """Feature maps on another grid: averages when they shrink, bilinear when they grow."""
    mode = "area" if features.shape[-1] > size[1] else "bilinear"
    return F.interpolate(features[None].float(), size, mode=mode, align_corners=None if mode == "area" else False)[0]


def _density_ratio(
    kernel: Float[np.ndarray, "nodes nodes"],
    foreground: Float[np.ndarray, " nodes"],
    background: Float[np.ndarray, " nodes"],
) -> Float[np.ndarray, " nodes"]:
    weights = [torch.from_numpy(weight / (weight.sum() + 1e-12)) for weight in (foreground, background)]
    # PyTorch's product, since the threads of NumPy's BLAS spin on after theirs and slow the network that runs next.
    densities = [torch.from_numpy(kernel) @ weight + 1e-12 for weight in weights]
    ratio = np.asarray(torch.log(densities[0] / densities[1]))
    return np.asarray(ratio / (np.sqrt(np.square(ratio).mean()) + 1e-9))
