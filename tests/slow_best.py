"""The preset `best` a second time, in the most obvious way: the oracle that its tests compare with, stage by stage.

One photo, one class, one object, plain autograd on a plain copy of the network in float64, loops over cells, SciPy's
maximum flow and densities, and every constant in one table below. Nothing here is imported from `deepinside`, and no
stage shares code with it:

    find                 all of it: a look at the whole photo, closer looks, the outline
    look                 one region of the photo -> seed, log odds and mask on cells of 4 x 4 network pixels:
        views                the region at each size of the network
        activations_and_gradients, class_maps      each view -> the maps of the seed's and the last layer
        seed_map             all maps -> the seed
        shown                the region on the cells
        feature_kernel       features -> how alike any two nodes are, nodes of 8 x 8 network pixels
        sides                less weight at the sides that cut through the photo
        log_odds             seed, kernel -> log odds of foreground
        edges                small photo, features -> cost of a border between neighbors
        cut, component       log odds, edges -> mask
    closer, grown, is_filled, is_doubtful          from one look to the next
    outline              pixels of the last region, log odds, mask -> the mask of the pixels:
        pyramid              all three at halves of the resolution
        mixtures, color_odds, borders, cut         one cut at one resolution
    mask_in_photo, box_of                      mask of the region -> mask and box in photo pixels
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
from scipy.stats import multivariate_normal

# The constants that `docs/localization.md` and the package's own dataclasses state, by the dataclass.
TABLE = {
    "Best": {
        "scales": (1.0, 10 / 7), "closer": 2, "margin": 0.3, "filled": 0.9,
        "doubt": math.exp(2), "resolution": 512,
    },
    "Continuity": {
        "floor": 0.02, "blur": 1.0, "level": 1.0, "sharpness": 4.0, "temperature": 0.25, "slope": 1.5, "clip": 3.0,
        "node": 8, "cell": 4, "edge": 1.0, "side": 0.7, "fade": 0.05,
    },
    "OutlineOptions": {
        "band": 0.2, "coarsest": 128, "narrow": 2.0, "components": 5, "color": 1.0, "prior": 0.3, "smoothness": 70.0,
        "contrast": 2.0, "rounds": 2, "clip": 20.0, "uniform": 1e-4, "samples": 1024, "iterations": 5, "updates": 2,
        "covariance_floor": 1e-4,
    },
}  # fmt: skip
BEST, CONTINUITY, OUTLINE = TABLE.values()
UNITS = 2**18  # a nat of the coarse cut, in integers


@dataclass
class Layers:
    """Where to look, by name, or None; whether the network takes images of other sizes; and its own size."""

    fine: str
    middle: str
    seed: str
    last: str
    any_size: bool
    size: tuple

    @property
    def gradients(self):
        return list(dict.fromkeys(name for name in (self.seed, self.last) if name))

    @property
    def features(self):
        return list(dict.fromkeys(name for name in (self.fine, self.middle) if name))


@dataclass
class Seen:
    """One look at a region (x0, y0, x1, y1) of the photo."""

    region: tuple
    probability: float
    maps: list
    seed: np.ndarray
    odds: np.ndarray
    foreground: np.ndarray  # all that the cut called so, on the grid of cells
    cells: np.ndarray  # the component of it with the most evidence


@dataclass
class Found:
    """All looks that were taken in, the last one the closest, and what is cut out of the pixels there."""

    looks: list
    refused: list  # closer looks that did not see the object any more
    odds: np.ndarray  # on the pixels of the last region, as are those below
    coarse: np.ndarray
    pixels: np.ndarray
    energy: float  # of the last cut, in nats: of the free pixels, and of the edges that end at one
    mask: np.ndarray  # in photo pixels
    box: tuple


def find(network, image, index, size, *, fine, middle, seed, last, any_size=True):
    """What `best` finds of class `index` in a Pillow image, with the layers that it should look at named (or None)."""
    layers = Layers(fine, middle, seed, last, any_size, size)
    whole = (0, 0, image.width, image.height)
    looks, refused = [look(network, image, whole, index, layers, BEST["scales"])], []
    while len(looks) <= BEST["closer"] and not refused:
        region = grown(box_in_photo(looks[-1]), image.size)
        if is_filled(region, looks[-1].region):
            break
        closer = look(network, image, region, index, layers, (1.0,))
        (refused if is_doubtful(closer, looks[-1]) else looks).append(closer)
    odds, coarse, pixels, energy = outline_of_look(image, looks[-1])
    in_photo = mask_in_photo(pixels, looks[-1].region, image.size)
    return Found(looks, refused, odds, coarse, pixels, energy, in_photo, box_of(in_photo))


def look(network, image, region, index, layers, scales):
    """One region of the photo at each of the scales, or at the network's own size if it takes no other."""
    maps, features, logits = [], None, None
    for view in views(image, region, sizes_of(layers.size, scales if layers.any_size else (1.0,))):
        names = [*layers.gradients, *layers.features] or ["the image"]
        activations, gradients, scores = activations_and_gradients(network, view, index, names)
        maps += class_maps(activations, gradients, layers.seed, layers.last)
        if features is None:  # those of the first size
            features, logits = [activations[name] for name in layers.features], scores
    cells, nodes = (tuple(side // CONTINUITY[each] for side in layers.size) for each in ("cell", "node"))
    seed = seed_map(maps, cells)
    probability = math.exp(logits[index] - np.logaddexp.reduce(logits))
    if seed is None:
        return Seen(region, probability, maps, None, None, None, None)
    small = shown(image, region, cells)
    kernel = feature_kernel(features or [np.moveaxis(lab(small), 2, 0)], nodes)
    odds = log_odds(seed * sides(region, image.size, cells), kernel, nodes)
    finer = None
    if features:
        finer = np.moveaxis(np.stack([resized(channel, cells, linear) for channel in features[0]]), 0, 2)
    foreground, cells = coarse_mask(odds, *edges(small, finer))
    return Seen(region, probability, maps, seed, odds, foreground, cells)


def coarse_mask(odds, right, down):
    """What the cut calls foreground, or the likeliest cells if it finds nothing; and the component that counts."""
    mask = cut(units(odds), units(right), units(down))
    mask = mask if mask.any() else most_likely(odds)
    return mask, component(mask, 1 / (1 + np.exp(-odds)))


def units(nats):
    return np.rint(np.asarray(nats, float) * UNITS).astype(int)


# -------------------------------------------------------------------------------------------------------- closer looks


def box_in_photo(seen):
    """The box around the mask on the cells, in photo pixels, not rounded."""
    (x0, y0, x1, y1), box = seen.region, box_of(seen.cells)
    wide, high = (x1 - x0) / seen.cells.shape[1], (y1 - y0) / seen.cells.shape[0]
    return x0 + box[0] * wide, y0 + box[1] * high, x0 + box[2] * wide, y0 + box[3] * high


def grown(box, photo):
    """A margin of 0.3 of the box's own sides on each side, outwards onto whole pixels, but not out of the photo."""
    x, y = BEST["margin"] * (box[2] - box[0]), BEST["margin"] * (box[3] - box[1])
    return (
        max(0, math.floor(box[0] - x)), max(0, math.floor(box[1] - y)),
        min(photo[0], math.ceil(box[2] + x)), min(photo[1], math.ceil(box[3] + y)),
    )  # fmt: skip


def is_filled(region, before):
    """The next region would be hardly smaller."""
    return area_of(region) > BEST["filled"] * area_of(before)


def area_of(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def is_doubtful(closer, before):
    """The class is seven times less likely than in the look before, or its map points nowhere."""
    return closer.seed is None or closer.probability * BEST["doubt"] < before.probability


def sides(region, photo, cells):
    """A weight for each cell: 0.3 at the sides that cut through the photo, and e times nearer to 1 each twentieth."""
    weights = np.ones(cells)
    for y, x in np.ndindex(*cells):
        across, down = (x + 0.5) / cells[1], (y + 0.5) / cells[0]
        near = [
            math.exp(-across / CONTINUITY["fade"]) * (region[0] > 0)
            + math.exp(-(1 - across) / CONTINUITY["fade"]) * (region[2] < photo[0]),
            math.exp(-down / CONTINUITY["fade"]) * (region[1] > 0)
            + math.exp(-(1 - down) / CONTINUITY["fade"]) * (region[3] < photo[1]),
        ]
        weights[y, x] = 1 - CONTINUITY["side"] * min(max(near), 1)
    return weights


# ------------------------------------------------------------------------------------------------ what the network sees


def sizes_of(size, scales):
    """The network's own size, and multiples of 32 pixels for other scales."""
    return [size if scale == 1 else tuple(32 * round(side * scale / 32) for side in size) for scale in scales]


def views(image, region, sizes):
    """A region of the photo, squeezed to each size."""
    found = []
    for height, width in sizes:
        pixels = np.array(image.resize((width, height), Image.Resampling.BICUBIC, box=region, reducing_gap=3.0))
        found.append(torch.from_numpy(pixels / 255.0).permute(2, 0, 1)[None])
    return found


def shown(image, region, size):
    """A region of the photo on a grid, each cell the average of its pixels.

    Numbers are of 32 bits, as in the package: of two Gaussians that are equally near to a color, rounding decides.
    """
    height, width = size
    pixels = image.resize((width, height), Image.Resampling.BOX, box=region, reducing_gap=3.0)
    return (np.array(pixels, np.float32) / np.float32(255)).astype(float)


def activations_and_gradients(network, view, index, layers):
    """Each layer's activations (channels, rows, columns), the gradient of the class's logit by them, and all logits."""
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
    logits = plain(pixels)[0]
    logits[index].backward()
    return (
        {name: kept[name].detach()[0].numpy() for name in layers},
        {name: kept[name].grad[0].numpy() for name in layers},
        logits.detach().numpy(),
    )


def class_maps(activations, gradients, seed, last):
    """One view's maps: the gradient's norm at the seed's layer; gradient times activation, rectified, at the last."""
    if seed is None and last is None:
        return [np.abs(gradients["the image"]).max(axis=0)]
    maps = [np.sqrt((gradients[seed] ** 2).sum(axis=0))] if seed else []
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


def linear(old, new, tie=0.0):
    """Weights (new, old): between the centers of the two nearest cells; the border's value goes on outside.

    A `tie` in the middle between two belongs to the second one.
    """
    weights = np.zeros((new, old))
    for i in range(new):
        at = min(max((i + 0.5) * old / new - 0.5 + tie, 0), old - 1)
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


def blurred(values, border, width=1.0):
    """A Gaussian, cut off at four widths; outside, the border's value (nearest) or its mirror image (reflect)."""
    reach = round(4 * width)
    line = np.array([math.exp(-((k / width) ** 2) / 2) for k in range(-reach, reach + 1)])
    return ndimage.correlate(values, np.outer(line, line) / line.sum() ** 2, mode=border)


# ------------------------------------------------------------------------------------------------------ seeds and odds


def seed_map(maps, cells):
    """The geometric mean of the maps over their means, blurred, from 0 to 1; a floor of 2% keeps each from a veto.

    None if it is the same everywhere, up to rounding.
    """
    product = np.ones(cells)
    for values in maps:
        values = np.asarray(values, np.float64) / (np.mean(values) or 1)  # a map of zeros stays one, and says nothing
        values = np.maximum(resized(values, cells, cubic), 0.001)
        product *= values / values.mean() + CONTINUITY["floor"]
    seed = blurred(product ** (1 / len(maps)), "nearest", CONTINUITY["blur"])
    spread = seed.max() - seed.min()
    return (seed - seed.min()) / spread if spread > 1e-5 * seed.max() else None


def feature_kernel(features, nodes):
    """exp(4 cosine) for any two nodes, the cosine of their centered features averaged over the layers."""
    total = np.zeros((nodes[0] * nodes[1],) * 2)
    for layer in features:
        grid = np.stack([resized(channel, nodes, linear) for channel in np.asarray(layer, np.float64)])
        vectors = [grid[:, y, x] for y, x in np.ndindex(nodes)]
        center = sum(vectors) / len(vectors)
        directions = [(vector - center) / (np.sqrt(((vector - center) ** 2).sum()) + 1e-6) for vector in vectors]
        others = np.array(directions)
        for node, direction in enumerate(directions):
            total[node] += others @ direction
    return np.exp(total / len(features) / CONTINUITY["temperature"])


def log_odds(seed, kernel, nodes):
    """Log odds of foreground on the cells: the seed over Otsu's threshold, and the density twice."""
    share = np.clip(resized(seed, nodes, cubic), 0, 1).ravel()
    share = share / share.max()
    own = np.log(np.maximum(share, 0.01) / (CONTINUITY["level"] * otsu(seed)))
    power, clip = CONTINUITY["sharpness"], CONTINUITY["clip"]
    first = CONTINUITY["slope"] * (own + density_ratio(kernel, share**power, (1 - share) ** power))
    first = np.minimum(np.maximum(first, -clip), clip)
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
            right[place] += CONTINUITY["edge"] * math.exp(-step / mean) / len(layers)
        for place, step in below.items():
            down[place] += CONTINUITY["edge"] * math.exp(-step / mean) / len(layers)
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


def cut(odds, right, down, free=None, labels=None):
    """The smallest mask of the lowest energy: what SciPy's maximum flow leaves within reach of the source.

    All costs are integers. Where no label is free, it is that of `labels`, and only the other pixels become nodes.
    """
    free = np.ones(odds.shape, bool) if free is None else free
    mask = free.copy() if labels is None else labels.copy()
    numbers = np.full(odds.shape, -1)
    numbers[free] = range(free.sum())
    source, sink = free.sum(), free.sum() + 1
    pairs, own = between(numbers, mask, odds, right, down)
    for pixel, cost in enumerate(own.tolist()):
        if cost:
            pairs[(source, pixel) if cost > 0 else (pixel, sink)] = abs(cost)
    if not pairs:
        mask[free] = False
        return mask
    assert min(own.clip(0).sum(), (-own).clip(0).sum()) < 2**31, "SciPy's flow is of 32 bits"
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
    mask[free] = [pixel in reached for pixel in range(source)]
    return mask


def between(numbers, labels, odds, right, down):
    """The capacities between free pixels, and what each of them costs more as background than as foreground.

    A pixel whose label is fixed pulls its free neighbors to its own side. More than its own edges need not be charged.
    """
    pairs = {}
    own, around = odds.astype(int).copy(), np.zeros(odds.shape, int)
    for edges_, (dy, dx) in ((right, (0, 1)), (down, (1, 0))):
        for y, x in np.ndindex(edges_.shape):
            here, there, cost = (y, x), (y + dy, x + dx), int(edges_[y, x])
            if numbers[here] >= 0 and numbers[there] >= 0:
                pairs[numbers[here], numbers[there]] = pairs[numbers[there], numbers[here]] = cost
                around[here] += cost
                around[there] += cost
            elif numbers[here] >= 0:
                own[here] += cost if labels[there] else -cost
            elif numbers[there] >= 0:
                own[there] += cost if labels[here] else -cost
    own = np.clip(own, -around - 1, around + 1)[numbers >= 0]
    return {pair: cost for pair, cost in pairs.items() if cost}, own


def energy_of(mask, odds, right, down, free=None):
    """What a mask costs: the log odds that free pixels go against, and the edges along its border that end at one."""
    free = np.ones(mask.shape, bool) if free is None else free
    total = 0.0
    for y, x in zip(*np.nonzero(free), strict=True):
        total += max(-odds[y, x], 0) if mask[y, x] else max(odds[y, x], 0)
    for y, x in np.ndindex(right.shape):
        total += right[y, x] * (mask[y, x] != mask[y, x + 1] and bool(free[y, x] or free[y, x + 1]))
    for y, x in np.ndindex(down.shape):
        total += down[y, x] * (mask[y, x] != mask[y + 1, x] and bool(free[y, x] or free[y + 1, x]))
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


# --------------------------------------------------------------------------------------------------------- the outline


def outline_of_look(image, seen):
    """The log odds, the coarse mask and the mask on the pixels of a region, at most 512 a side; and the energy."""
    wide, high = seen.region[2] - seen.region[0], seen.region[3] - seen.region[1]
    share = min(BEST["resolution"] / max(wide, high), 1)
    size = max(1, round(high * share)), max(1, round(wide * share))
    odds, soft = (between_centers(values, size) for values in (seen.odds, seen.cells.astype(float)))
    coarse = soft >= min(0.5, soft.max()) - 1e-6
    mask, energy = outline(shown(image, seen.region, size), odds, coarse)
    return odds, coarse, component(mask, 1 / (1 + np.exp(-odds))) if mask.any() else coarse, energy


def between_centers(values, size):
    """Bilinear, whether the grid grows or shrinks."""
    return linear(values.shape[0], size[0]) @ values @ linear(values.shape[1], size[1]).T


@dataclass
class Level:
    """The problem at one resolution, where a pixel is `size` of the finest a side."""

    image: np.ndarray
    odds: np.ndarray
    mask: np.ndarray
    mixed: np.ndarray  # where a pixel stands for both labels
    size: int


def outline(image, odds, mask):
    """The mask whose outline was moved to edges of color, coarse to fine, and the energy of the last cut."""
    width = OUTLINE["band"] * math.sqrt(mask.sum())
    if mask.all() or not mask.any():
        return mask, 0.0
    most = np.abs(odds).max()
    levels = pyramid(image, odds, mask, width)
    coarsest, labels, fitted = levels[-1], levels[-1].mask, None
    wide = free = near(border(labels) | coarsest.mixed, (width + 0.5) / coarsest.size - 0.5)
    for level in reversed(levels):
        if level is not coarsest:
            free = near(border(labels), OUTLINE["narrow"] / 2) & wide
            labels, free, wide = (doubled(each, level.mask.shape) for each in (labels, free, wide))
        for _ in range(OUTLINE["rounds"] if level is coarsest else 1):
            fitted = mixtures(level.image, labels, fitted)
            labels, energy = cut_of_level(level, free, labels, fitted, most)
    return labels, energy


def pyramid(image, odds, mask, width):
    """Halves of the resolution while a side is longer than 128 pixels and the band is at least 8 pixels wide."""
    levels = [Level(image, odds, mask, np.zeros_like(mask), 1)]
    while max(levels[-1].mask.shape) > OUTLINE["coarsest"] and width / levels[-1].size >= 4 * OUTLINE["narrow"]:
        level = halved(levels[-1])
        if level.mask.all() or not level.mask.any():
            break
        levels.append(level)
    return levels


def halved(level):
    """The means of 2 x 2 pixels and the label of most of them; a last odd row or column counts twice."""
    blocks = [
        np.pad(values, [(0, values.shape[0] % 2), (0, values.shape[1] % 2), *[(0, 0)] * (values.ndim - 2)], "edge")
        for values in (level.image, level.odds, level.mask, level.mixed)
    ]
    image, odds, mask, mixed = (np.stack([b[::2, ::2], b[::2, 1::2], b[1::2, ::2], b[1::2, 1::2]]) for b in blocks)
    count = mask.sum(axis=0)
    return Level(
        image.mean(axis=0), odds.mean(axis=0), count >= 2, ((count > 0) & (count < 4)) | mixed.any(axis=0),
        2 * level.size,
    )  # fmt: skip


def doubled(mask, shape):
    return mask.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]


def border(mask):
    """The pixels with a neighbor of the other label."""
    found = np.zeros_like(mask)
    across, below = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= below
    found[:-1] |= below
    return found


def near(seeds, radius):
    """The pixels nearer than that to a seed."""
    return ndimage.distance_transform_edt(~seeds) < radius if seeds.any() else seeds


def cut_of_level(level, free, labels, fitted, most):
    """The best labels of the free pixels, and what they cost. `most` bounds the coarse log odds."""
    odds = OUTLINE["color"] * color_odds(level.image, fitted) + OUTLINE["prior"] * level.odds
    right, down = (edges_ * OUTLINE["smoothness"] / level.size for edges_ in contrasts(level.image))
    # Integers as coarse as those of the package, a power of two to a nat, so that ties are broken alike.
    bound = free.size * (OUTLINE["color"] * OUTLINE["clip"] + OUTLINE["prior"] * most)
    scale = 2 ** math.floor(math.log2(min(2**30 / bound, 2**29 / (OUTLINE["smoothness"] / level.size))))
    odds, right, down = (np.floor(nats * scale + 0.5).astype(int) for nats in (odds, right, down))
    mask = cut(odds, right, down, free, labels)
    return mask, energy_of(mask, odds, right, down, free) / scale


def contrasts(image):
    """exp(-step / (contrast * mean step)) for neighbors across and below, steps squared and in RGB."""
    across, below = ((np.diff(image, axis=axis) ** 2).sum(axis=2) for axis in (1, 0))
    mean = (across.sum() + below.sum()) / max(across.size + below.size, 1)
    return [
        np.exp(-steps / (OUTLINE["contrast"] * mean)) if mean > 0 else np.ones(steps.shape) for steps in (across, below)
    ]


def color_odds(image, fitted):
    """The log odds of the two mixtures, each with a small share of colors of any kind."""
    share = OUTLINE["uniform"]
    background, foreground = (share + (1 - share) * np.exp(log_densities(image, one)).sum(axis=0) for one in fitted)
    return np.clip(np.log(foreground / background), -OUTLINE["clip"], OUTLINE["clip"])


def log_densities(colors, mixture):
    """(component, ...): of each color, weighed, and none below e^-600."""
    return np.stack([
        np.maximum(math.log(weight) + multivariate_normal(mean, covariance).logpdf(colors), -600)
        for weight, mean, covariance in mixture
    ])  # fmt: skip


def mixtures(image, labels, before):
    """Five Gaussians of the colors of each label, background first: anew, or on from those before."""
    found = []
    for label in (False, True):
        colors = sampled(image, labels == label)
        if before is None:
            found.append(improved(colors, first_mixture(colors), OUTLINE["iterations"]))
        else:
            found.append(improved(colors, before[label], OUTLINE["updates"]))
    return found


def sampled(image, where):
    """At most 1024 colors, evenly spaced in reading order; of a large image, those of some rows if they are enough."""
    step = max(1, where.size // (16 * OUTLINE["samples"]))
    if where[::step].sum() < OUTLINE["samples"]:
        step = 1
    colors = image[::step][where[::step]]
    count = min(len(colors), OUTLINE["samples"])
    return colors[[(2 * k + 1) * len(colors) // (2 * count) for k in range(count)]]


def first_mixture(colors):
    """k-means++: each center a color drawn by its squared distance to those before it; then one Gaussian for each."""
    draws = np.random.default_rng(0).random(OUTLINE["components"])
    centers = [colors[int(draws[0] * len(colors))]]
    for draw in draws[1:]:
        squared = np.min([((colors - center) ** 2).sum(axis=1) for center in centers], axis=0)
        if squared.sum() == 0:
            break
        centers.append(colors[np.searchsorted(squared.cumsum(), draw * squared.sum(), side="right")])
    nearest = np.argmin([((colors - center) ** 2).sum(axis=1) for center in centers], axis=0)
    return gaussians(colors, np.stack([nearest == k for k in range(len(centers))]).astype(float), None)


def improved(colors, mixture, rounds):
    """Expectation-maximization."""
    for _ in range(rounds):
        density = np.exp(log_densities(colors, mixture))
        mixture = gaussians(colors, density / density.sum(axis=0), mixture)
    return mixture


def gaussians(colors, shares, before):
    """(weight, mean, covariance) of each component, whose share of each color is given; one without any stays."""
    found = []
    for k, share in enumerate(shares):
        if share.sum() < 1e-6:
            found.append((share.sum(), *before[k][1:]))
            continue
        mean = (share[:, None] * colors).sum(axis=0) / share.sum()
        off = colors - mean
        covariance = (share[:, None] * off).T @ off / share.sum() + OUTLINE["covariance_floor"] * np.eye(3)
        found.append((share.sum(), mean, covariance))
    total = sum(weight for weight, *_ in found)
    return [(weight / total, mean, covariance) for weight, mean, covariance in found]


# --------------------------------------------------------------------------------------------------- back in the photo


def mask_in_photo(mask, region, photo):
    """The mask of a region in the photo's pixels: its own, or interpolated between fewer, and more than half."""
    x0, y0, x1, y1 = region
    found = np.zeros((photo[1], photo[0]), bool)
    rows, columns = linear(mask.shape[0], y1 - y0, 1e-9), linear(mask.shape[1], x1 - x0, 1e-9)
    found[y0:y1, x0:x1] = rows @ mask @ columns.T > 0.5
    return found


def box_of(mask):
    """Half-open, (x0, y0, x1, y1)."""
    ys, xs = np.nonzero(mask)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1
