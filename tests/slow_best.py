"""The preset `best` a second time, in the most obvious way: the oracle that its tests compare with, stage by stage.

One photo, one class, plain autograd on a plain copy of the network in float64, loops over cells, every constant written
out as `docs/localization.md` states it. Nothing here is imported from `deepinside`, and no stage shares code with it:

    views                the photo at the network's size and at 10/7 of it
    activations_and_gradients, class_maps      each view -> the maps of the middle and the last layer
    seed_map             all maps -> the seed, on cells of 4 x 4 pixels
    small_photo          the photo itself on the cells
    feature_kernel       features -> how alike any two nodes are, nodes of 8 x 8 pixels
    log_odds             seed, kernel -> log odds of foreground
    edges                small photo, features -> cost of a border between neighbors
    cut, component       log odds, edges -> mask on the cells
    mask_in_photo, box_of                      mask on the cells -> mask and box in photo pixels
    find                 all of it
"""

import copy
import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_flow


@dataclass
class Found:
    maps: list
    seed: np.ndarray
    odds: np.ndarray
    edges: tuple
    cells: np.ndarray  # the mask on the grid of cells
    energy: float  # of that mask, in nats
    mask: np.ndarray  # in photo pixels
    box: tuple


def find(network, image, index, size, *, fine, middle, last, any_size=True):
    """What `best` finds of class `index` in a Pillow image, with the layers that it should look at named (or None)."""
    gradient_layers = list(dict.fromkeys(name for name in (middle, last) if name))
    feature_layers = list(dict.fromkeys(name for name in (fine, middle) if name))
    maps, features = [], None
    for view in views(image, size)[: None if any_size else 1]:
        activations, gradients = activations_and_gradients(
            network, view, index, [*gradient_layers, *feature_layers] or ["the image"]
        )
        maps += class_maps(activations, gradients, middle, last)
        if features is None:  # those of the network's own size
            features = [activations[name] for name in feature_layers]
    cells, nodes = (size[0] // 4, size[1] // 4), (size[0] // 8, size[1] // 8)
    seed = seed_map(maps, cells)
    small = small_photo(image, cells)
    kernel = feature_kernel(features or [np.moveaxis(lab(small), 2, 0)], nodes)
    odds = log_odds(seed, kernel, nodes)
    finer = None
    if features:
        finer = np.moveaxis(np.stack([resized(channel, cells, linear) for channel in features[0]]), 0, 2)
    right, down = edges(small, finer)
    mask = cut(odds, right, down)
    energy = energy_of(mask, odds, right, down)
    chosen = component(mask if mask.any() else most_likely(odds), 1 / (1 + np.exp(-odds)))
    in_photo = mask_in_photo(chosen, image.width, image.height)
    return Found(maps, seed, odds, (right, down), chosen, energy, in_photo, box_of(in_photo))


# ------------------------------------------------------------------------------------------------ what the network sees


def views(image, size):
    """The whole photo, squeezed to the network's size, and to 10/7 of it in multiples of 32 pixels."""
    sizes = [size, tuple(32 * round(side * 10 / 7 / 32) for side in size)]
    found = []
    for height, width in sizes:
        pixels = np.array(image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0))
        found.append(torch.from_numpy(pixels / 255.0).permute(2, 0, 1)[None])
    return found


def activations_and_gradients(network, view, index, layers):
    """Each layer's activations (channels, rows, columns) and the gradient of the class's logit with respect to them."""
    plain = copy.deepcopy(network).double().eval()
    pixels = view.clone().requires_grad_()
    kept = {"the image": pixels}

    def keep(name):
        def hook(_module, _inputs, output):
            output.retain_grad()
            kept[name] = output
            return output.clone()  # a layer that works in place must not change what was kept

        return hook

    for name in layers:
        if name != "the image":
            plain.get_submodule(name).register_forward_hook(keep(name))
    plain(pixels)[0, index].backward()
    return (
        {name: kept[name].detach()[0].numpy() for name in layers},
        {name: kept[name].grad[0].numpy() for name in layers},
    )


def class_maps(activations, gradients, middle, last):
    """One view's maps: the gradient's norm at the middle layer; gradient times activation, rectified, at the last."""
    if middle is None and last is None:
        return [np.abs(gradients["the image"]).max(axis=0)]
    maps = [np.sqrt((gradients[middle] ** 2).sum(axis=0))] if middle else []
    if last and (is_even(gradients[last]) or not maps):
        maps.append(np.maximum((gradients[last] * activations[last]).sum(axis=0), 0))
    return maps


def is_even(gradient):
    """Whether a gradient is the same at all places, up to 1% of its size, as before global average pooling."""
    mean = gradient.mean(axis=(1, 2), keepdims=True)
    return np.sqrt(((gradient - mean) ** 2).sum()) <= 0.01 * np.sqrt((gradient**2).sum())


# ------------------------------------------------------------------------------------------------------------- resizing


def resized(values, size, interpolation):
    """A map on another grid: the average of the cells below where it shrinks, interpolated where it grows."""
    weigh = area if size[0] < values.shape[0] else interpolation
    rows, columns = weigh(values.shape[0], size[0]), weigh(values.shape[1], size[1])
    return rows @ values @ columns.T


def area(old, new):
    """Weights (new, old): the average of every old cell that a new one touches."""
    weights = np.zeros((new, old))
    for i in range(new):
        first, end = math.floor(i * old / new), math.ceil((i + 1) * old / new)
        weights[i, first:end] = 1 / (end - first)
    return weights


def linear(old, new):
    """Weights (new, old): between the centers of the two nearest cells; the border's value goes on outside."""
    weights = np.zeros((new, old))
    for i in range(new):
        at = max((i + 0.5) * old / new - 0.5, 0)
        low = math.floor(at)
        weights[i, min(low, old - 1)] += 1 - (at - low)
        weights[i, min(low + 1, old - 1)] += at - low
    return weights


def cubic(old, new):
    """Weights (new, old): Keys' convolution with a = -0.75 over the four nearest centers."""
    weights = np.zeros((new, old))
    for i in range(new):
        at = (i + 0.5) * old / new - 0.5
        for j in range(math.floor(at) - 1, math.floor(at) + 3):
            weights[i, min(max(j, 0), old - 1)] += keys(abs(at - j))
    return weights


def keys(t, a=-0.75):
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def small_photo(image, size):
    """The photo on the grid of cells: averages across, then down, in 8 bits. Its sides are multiples of the grid's."""
    pixels = np.asarray(image, dtype=np.float64)
    high, wide = pixels.shape[0] // size[0], pixels.shape[1] // size[1]
    assert (high * size[0], wide * size[1]) == pixels.shape[:2]
    across, small = np.zeros((len(pixels), size[1], 3)), np.zeros((*size, 3))
    for x in range(size[1]):
        across[:, x] = np.floor(pixels[:, x * wide : (x + 1) * wide].mean(axis=1) + 0.5)
    for y in range(size[0]):
        small[y] = np.floor(across[y * high : (y + 1) * high].mean(axis=0) + 0.5)
    return small / 255


def blurred(values, border):
    """A Gaussian of one cell, cut off at four; outside, the border's value (nearest) or its mirror image (reflect)."""
    line = np.array([math.exp(-(k**2) / 2) for k in range(-4, 5)])
    return ndimage.correlate(values, np.outer(line, line) / line.sum() ** 2, mode=border)


# ------------------------------------------------------------------------------------------------------ seeds and odds


def seed_map(maps, cells):
    """The geometric mean of the maps over their means, blurred, from 0 to 1; a floor of 2% keeps each from a veto."""
    product = np.ones(cells)
    for values in maps:
        values = np.asarray(values, np.float64) / (np.mean(values) or 1)  # a map of zeros stays one, and says nothing
        values = np.maximum(resized(values, cells, cubic), 0.001)
        product *= values / values.mean() + 0.02
    seed = blurred(product ** (1 / len(maps)), "nearest")
    return (seed - seed.min()) / (seed.max() - seed.min())


def feature_kernel(features, nodes):
    """exp(4 cosine) for any two nodes, the cosine of their centered features averaged over the layers."""
    total = np.zeros((nodes[0] * nodes[1],) * 2)
    for layer in features:
        grid = np.stack([resized(channel, nodes, linear) for channel in np.asarray(layer, np.float64)])
        vectors = [grid[:, y, x] for y, x in np.ndindex(nodes)]
        center = sum(vectors) / len(vectors)
        directions = [(vector - center) / (np.sqrt(((vector - center) ** 2).sum()) + 1e-6) for vector in vectors]
        for node, direction in enumerate(directions):
            total[node] += [(direction * other).sum() for other in directions]
    return np.exp(total / len(features) / 0.25)


def log_odds(seed, kernel, nodes):
    """Log odds of foreground on the cells: the seed over 0.85 of Otsu's threshold, and the density twice."""
    share = np.clip(resized(seed, nodes, cubic), 0, 1).ravel()
    share = share / share.max()
    own = np.log(np.maximum(share, 0.01) / (0.85 * otsu(seed)))
    first = 1.5 * (own + density_ratio(kernel, share**4, (1 - share) ** 4))
    first = np.minimum(np.maximum(first, -3), 3)
    likely = 1 / (1 + np.exp(-first))
    second = first + density_ratio(kernel, likely, 1 - likely)
    return blurred(resized(second.reshape(nodes), seed.shape, cubic), "reflect")


def density_ratio(kernel, foreground, background):
    """For each node: log of its mean likeness to the foreground over that to the background, at unit mean square."""
    ratio = np.zeros(len(kernel))
    for node in range(len(kernel)):
        inside = (kernel[node] * foreground).sum() / foreground.sum()
        outside = (kernel[node] * background).sum() / background.sum()
        ratio[node] = math.log(inside / outside)
    return ratio / (math.sqrt((ratio**2).mean()) + 1e-9)  # where all are alike, no ratio at all


def otsu(values):
    """The center of the bin, of 64, after which a cut leaves the largest variance between the two sides."""
    counts, borders = np.histogram(values, 64)
    centers = [(low + high) / 2 for low, high in pairwise(borders)]
    best, threshold = -1.0, 0.0
    for k in range(63):
        low, high = counts[: k + 1], counts[k + 1 :]
        if low.sum() == 0 or high.sum() == 0:
            continue
        gap = np.average(centers[: k + 1], weights=low) - np.average(centers[k + 1 :], weights=high)
        between = low.sum() * high.sum() / counts.sum() ** 2 * gap**2
        if between > best * (1 + 1e-12):
            best, threshold = between, centers[k]
    return threshold


# --------------------------------------------------------------------------------------------------------------- edges


def edges(small, features):
    """Costs (rows, columns - 1) and (rows - 1, columns) of borders: half by CIELAB, half by features if any."""
    layers = [lab(small)] if features is None else [lab(small), features]
    rows, columns = small.shape[:2]
    right, down = np.zeros((rows, columns - 1)), np.zeros((rows - 1, columns))
    for values in layers:
        across = {(y, x): ((values[y, x + 1] - values[y, x]) ** 2).sum() for y, x in np.ndindex(right.shape)}
        below = {(y, x): ((values[y + 1, x] - values[y, x]) ** 2).sum() for y, x in np.ndindex(down.shape)}
        mean = (sum(across.values()) + sum(below.values())) / (rows * columns)
        for place, step in across.items():
            right[place] += math.exp(-step / mean) / len(layers)
        for place, step in below.items():
            down[place] += math.exp(-step / mean) / len(layers)
    return right, down


def lab(image):
    """sRGB in [0, 1] -> CIELAB under D65, color by color."""
    found = np.zeros(image.shape)
    for y, x in np.ndindex(image.shape[:2]):
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in image[y, x].tolist())
        xyz = (
            (0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.950456,
            0.212671 * r + 0.715160 * g + 0.072169 * b,
            (0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754,
        )
        fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz)
        found[y, x] = 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)
    return found


# ------------------------------------------------------------------------------------------------------------- the cut


def cut(odds, right, down):
    """The smallest mask of the lowest energy: what SciPy's maximum flow leaves within reach of the source."""
    scale = 2**20  # units a nat
    rows, columns = odds.shape
    source, sink = rows * columns, rows * columns + 1
    pairs = {}
    for y, x in np.ndindex(rows, columns):
        pixel, units = y * columns + x, round(float(odds[y, x]) * scale)
        pairs[(source, pixel) if units > 0 else (pixel, sink)] = abs(units)
        if x + 1 < columns:
            pairs[pixel, pixel + 1] = pairs[pixel + 1, pixel] = round(float(right[y, x]) * scale)
        if y + 1 < rows:
            pairs[pixel, pixel + columns] = pairs[pixel + columns, pixel] = round(float(down[y, x]) * scale)
    tails, heads = zip(*pairs, strict=True)
    capacity = coo_array((np.array(list(pairs.values()), np.int32), (tails, heads)), shape=(sink + 1, sink + 1)).tocsr()
    residual = (capacity - maximum_flow(capacity, source, sink).flow).tolil()
    reached, waiting = {source}, deque([source])
    while waiting:
        pixel = waiting.popleft()
        for other, left in zip(residual.rows[pixel], residual.data[pixel], strict=True):
            if left > 0 and other not in reached:
                reached.add(other)
                waiting.append(other)
    mask = np.zeros(rows * columns, bool)
    mask[[pixel for pixel in reached if pixel < source]] = True
    return mask.reshape(rows, columns)


def energy_of(mask, odds, right, down):
    """What a mask costs in nats: the log odds that it goes against, and the edges along its border."""
    total = 0.0
    for y, x in np.ndindex(mask.shape):
        total += max(-odds[y, x], 0) if mask[y, x] else max(odds[y, x], 0)
        if x + 1 < mask.shape[1] and mask[y, x] != mask[y, x + 1]:
            total += right[y, x]
        if y + 1 < mask.shape[0] and mask[y, x] != mask[y + 1, x]:
            total += down[y, x]
    return total


def most_likely(odds):
    """For an empty cut: the likeliest twentieth of the cells."""
    return odds >= np.quantile(odds, 0.95)


def component(mask, evidence):
    """Of the regions that hang together by edges the one with the most evidence."""
    left = {(y, x) for y, x in np.ndindex(mask.shape) if mask[y, x]}
    best, most = set(), -1.0
    while left:
        region, border = set(), [min(left)]
        while border:
            y, x = border.pop()
            if (y, x) in left:
                left.remove((y, x))
                region.add((y, x))
                border += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        weight = sum(evidence[place] for place in region)
        if weight > most:
            best, most = region, weight
    chosen = np.zeros(mask.shape, bool)
    for place in best:
        chosen[place] = True
    return chosen


# --------------------------------------------------------------------------------------------------- back in the photo


def mask_in_photo(mask, width, height):
    """Each photo pixel has the value of the cell that its center lies in."""
    found = np.zeros((height, width), bool)
    for y, x in np.ndindex(height, width):
        found[y, x] = mask[int((y + 0.5) * mask.shape[0] / height), int((x + 0.5) * mask.shape[1] / width)]
    return found


def box_of(mask):
    """Half-open, (x0, y0, x1, y1)."""
    inside = [(x, y) for y, x in np.ndindex(mask.shape) if mask[y, x]]
    xs, ys = zip(*inside, strict=True)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1
