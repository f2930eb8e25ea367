"""Compiled kernels of `graphcut`: maximum flow on a grid, color mixtures, and contrast.

**Maximum flow.** Each pixel is a row of eight int32 (half a cache line): the residual capacities to its four neighbors,
its excess (positive: flow to pass on; negative: a deficit, flow that it can still absorb), and a list link. The grid is
padded by one pixel on each side, so that no kernel checks for borders. The algorithm is a push-relabel method that
computes a *preflow*, which is all that a minimum cut needs:

1. `match_chains` computes the exact maximum flow within each column, then within each row, in two sweeps each.
2. `drain` finishes in rounds. A breadth-first search computes the distance of each pixel to the nearest deficit. Waves
   then push all excess from larger to smaller distances, and a pixel with excess left is relabeled to just above its
   lowest neighbor. When the waves have visited a quarter as many pixels as the search, the distances are recomputed.
   Pixels that cannot reach a deficit at the end are on the other side of the cut.

The preflow depends on the order of the steps; the set of pixels that can reach a deficit does not.

Kernels share no global state, and all release the GIL. They are in one file because numba's cache notices changes in
the file of the compiled function only.
"""

import math
from collections.abc import Callable
from typing import Any, no_type_check  # the runtime type checker of the tests cannot wrap compiled functions

import numpy as np
from numba import njit

LEFT, RIGHT, UP, DOWN, EXCESS, LINK = range(6)  # the opposite of direction k is k ^ 1
WORDS = 8
NONE = -1  # the end of a list of pixels
FAR = 1 << 29  # the distance of a pixel that cannot reach a deficit

Kernel = Callable[..., Any]


def kernel(function: Kernel, **options: Any) -> Kernel:
    """Compile on first use, and cache the result on disk if numba finds a writable folder."""
    try:
        compiled: Kernel = njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba finds no writable folder
        compiled = njit(nogil=True, **options)(function)
    return compiled


def summing_kernel(function: Kernel) -> Kernel:
    """`kernel`, with sums that the compiler may reorder for vector registers; the order is fixed once compiled."""
    return kernel(function, fastmath={"reassoc", "contract"})


# ---------------------------------------------------------------------------------------------------------- the flow


@no_type_check
@kernel
def build(terminal, right, down):
    """The nodes of a grid from its excess (height, width) and its edges (height, width - 1) and (height - 1, width)."""
    height, width = terminal.shape
    stride = width + 2
    nodes = np.zeros(((height + 2) * stride, WORDS), np.int32)
    for y in range(height):
        for x in range(width):
            i = (y + 1) * stride + x + 1
            nodes[i, EXCESS] = terminal[y, x]
            if x + 1 < width:
                nodes[i, RIGHT] = right[y, x]
                nodes[i + 1, LEFT] = right[y, x]
            if y + 1 < height:
                nodes[i, DOWN] = down[y, x]
                nodes[i + stride, UP] = down[y, x]
    return nodes


@no_type_check
@kernel
def _beside(i, k, stride, steps):
    """The neighbor of node i in direction k, in a padded grid if there are no `steps`. Compiled for either case."""
    if steps is None:
        return i + np.uint64((-1, 1, -stride, stride)[k])
    return i + np.uint64(steps[i, k])


@no_type_check
@kernel
def _match(nodes, stride, steps, forth, flow):
    """The maximum flow within each chain of pixels in one direction; excess that meets no deficit returns."""
    first, last, back = stride + 1, len(nodes) - stride - 1, forth ^ 1
    for p in range(first, last):
        i = np.uint64(p)
        j = _beside(i, forth, stride, steps)
        f = min(max(nodes[i, EXCESS], -nodes[j, back]), nodes[i, forth])
        flow[i] = f
        nodes[i, EXCESS] -= f
        nodes[j, EXCESS] += f
    for p in range(last - 1, first - 1, -1):
        i = np.uint64(p)
        j = _beside(i, forth, stride, steps)
        f = flow[i]
        rest = nodes[j, EXCESS]
        undo = min(max(rest, 0), max(f, 0)) + max(min(rest, 0), min(f, 0))
        nodes[j, EXCESS] = rest - undo
        nodes[i, EXCESS] += undo
        nodes[i, forth] -= f - undo
        nodes[j, back] += f - undo


@no_type_check
@kernel
def match_chains(nodes, stride, steps=None):
    """Cancel as much excess against deficits as paths within columns, then within rows, allow."""
    flow = np.empty(len(nodes), np.int32)
    _match(nodes, stride, steps, DOWN, flow)
    _match(nodes, stride, steps, RIGHT, flow)


@no_type_check
@kernel
def _find_inlets(nodes, stride, steps, inlets):
    """Set bit k of inlets[i] if the neighbor in direction k has residual capacity to pixel i."""
    inlets[:] = 0
    for i in range(stride + 1, len(nodes) - stride - 1):
        bits = 0
        for k in range(4):
            if nodes[_beside(np.uint64(i), k, stride, steps), k ^ 1] > 0:
                bits |= 1 << k
        inlets[i] = bits


@no_type_check
@kernel
def _list(nodes, sign, pixels):
    """Write the pixels whose excess has this sign to `pixels`; returns their number."""
    count = 0
    for i in range(len(nodes)):
        if nodes[i, EXCESS] * sign > 0:
            pixels[count] = i
            count += 1
    return count


@no_type_check
@kernel
def _measure(nodes, stride, steps, inlets, distances, deficits, count, queue):
    """Exact distances to the nearest of `deficits[:count]`, from which filled ones are removed.

    Returns the number of remaining deficits and of pixels that can reach one (in `queue`, by increasing distance).
    """
    distances[:] = FAR
    end = 0
    for p in range(count):
        i = np.uint64(deficits[p])
        if nodes[i, EXCESS] < 0:
            distances[i] = 0
            queue[end] = deficits[end] = i
            end += 1
    count = end
    begin = 0
    while begin < end:
        i = np.uint64(queue[begin])  # unsigned, since a signed index is checked for being negative at every access
        begin += 1
        distance, bits = distances[i] + 1, inlets[i]
        for k in range(4):
            j = _beside(i, k, stride, steps)
            old = distances[j]  # no branch from here on, since the processor could not predict it
            new = (bits >> k & 1) & (old == FAR)
            distances[j] = distance if new else old
            queue[end] = j
            end += new
    return count, end


@no_type_check
@kernel
def _wave(nodes, stride, steps, inlets, distances, heads, active, count, limit):
    """Push the excess of `active[:count]` from larger to smaller distances.

    Returns the number of pixels with excess afterwards (in `active`), and the number of visits.
    """
    top = visits = stay = 0
    for p in range(count):  # lists of pixels by distance
        i = np.uint64(active[p])
        d = distances[i]
        if d == FAR:
            active[stay] = i
            stay += 1
        else:
            nodes[i, LINK] = heads[d]
            heads[d] = i
            top = max(top, d)
    count = stay
    for d in range(top, 0, -1):
        while heads[d] != NONE:
            i = np.uint64(heads[d])
            heads[d] = nodes[i, LINK]
            visits += 1
            excess, lowest = nodes[i, EXCESS], np.int32(FAR)
            for k in range(4):
                capacity = nodes[i, k]
                if capacity == 0:
                    continue
                j = _beside(i, k, stride, steps)
                distance = distances[j]
                if distance == d - 1:
                    amount = min(excess, capacity)
                    had = nodes[j, EXCESS]
                    nodes[i, k] = capacity - amount
                    nodes[j, k ^ 1] += amount
                    inlets[i] |= 1 << k
                    nodes[j, EXCESS] = had + amount
                    excess -= amount
                    if had <= 0 and had + amount > 0:
                        if d > 1:
                            nodes[j, LINK] = heads[d - 1]
                            heads[d - 1] = j
                        else:  # a deficit has overflowed
                            distances[j] = 1
                            active[count] = j
                            count += 1
                    if amount == capacity:
                        inlets[j] &= ~(1 << (k ^ 1))
                    if excess == 0:
                        break
                    if amount == capacity:
                        continue
                lowest = min(lowest, distance)
            nodes[i, EXCESS] = excess
            if excess > 0:
                distances[i] = lowest + 1 if lowest < limit else FAR  # a guess, which the next search corrects
                active[count] = i
                count += 1
    return count, visits


@no_type_check
@kernel
def drain(nodes, stride, steps=None):
    """Push excess to deficits until none can reach one; pixels with distances < FAR are on the side of the deficits."""
    size = len(nodes)
    queue, active, deficits = np.empty(size + 1, np.int32), np.empty(size, np.int32), np.empty(size, np.int32)
    distances, inlets = np.empty(size, np.int32), np.empty(size, np.uint8)
    heads = np.full(size + 1, NONE, np.int32)
    _find_inlets(nodes, stride, steps, inlets)
    count, wanting = _list(nodes, 1, active), _list(nodes, -1, deficits)
    while True:
        wanting, reached = _measure(nodes, stride, steps, inlets, distances, deficits, wanting, queue)
        alive = 0
        for p in range(count):  # a pixel that cannot reach a deficit now never will
            active[alive] = active[p]
            alive += distances[active[p]] < FAR
        if alive == 0:
            return distances
        count, more, visits = alive, 1, 0
        limit = distances[queue[reached - 1]] + 1
        while more > 0 and 4 * visits <= reached:  # the fastest of the fractions tried, from 1/8 to 1
            count, more = _wave(nodes, stride, steps, inlets, distances, heads, active, count, limit)
            visits += more


@no_type_check
@kernel
def near_side(distances, height, width):
    """The mask (height, width) of the pixels that can reach a deficit."""
    mask = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            mask[y, x] = distances[(y + 1) * (width + 2) + x + 1] < FAR
    return mask


# ------------------------------------------------------------------------------------------------------- the mixture


@no_type_check
@kernel
def _exp(x):
    """e^x for -600 <= x <= 600, to a relative error of 1e-8, without branches or calls, so that loops are vectorized.

    e^x = 2^n e^r: n goes into the exponent bits, and e^r is a Taylor polynomial for |r| <= ln(2) / 2.
    """
    shifted = x * 1.4426950408889634 + 6755399441055744.0  # + 1.5 * 2^52: rounds to an integer in the low bits
    n = shifted - 6755399441055744.0
    r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    tail = 1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040)))
    power = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)
    return power * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * tail))))


@no_type_check
@kernel
def _density(planes, weight, mean, covariance, out):
    """Write the weighted Gaussian density of each color to `out` (n,); planes (3, n)."""
    a = math.sqrt(covariance[0, 0])  # the Cholesky factor, [a, 0, 0], [b, c, 0], [d, e, f]
    b, d = covariance[1, 0] / a, covariance[2, 0] / a
    c = math.sqrt(covariance[1, 1] - b * b)
    e = (covariance[2, 1] - d * b) / c
    f = math.sqrt(covariance[2, 2] - d * d - e * e)
    constant = math.log(max(weight, 1e-300)) - math.log(a * c * f) - 1.5 * math.log(2 * math.pi)
    a, c, f = 1 / a, 1 / c, 1 / f
    r, g, s = mean[0], mean[1], mean[2]
    for i in range(planes.shape[1]):
        x = (planes[0, i] - r) * a
        y = (planes[1, i] - g - b * x) * c
        z = (planes[2, i] - s - d * x - e * y) * f
        out[i] = _exp(min(max(constant - 0.5 * (x * x + y * y + z * z), -600.0), 600.0))


@no_type_check
@kernel
def mixture_density(planes, weights, means, covariances):
    """Density of each color under the mixture; planes (3, n) -> (n,)."""
    total, one = np.zeros(planes.shape[1]), np.empty(planes.shape[1])
    for k in range(len(weights)):
        _density(planes, weights[k], means[k], covariances[k], one)
        total += one
    return total


@no_type_check
@kernel
def spread_centers(planes, draws):
    """k-means++: up to len(draws) distinct colors (k, 3), each drawn by its squared distance to the previous ones."""
    n = planes.shape[1]
    centers = np.empty((len(draws), 3))
    squared = np.full(n, np.inf)
    chosen = min(int(draws[0] * n), n - 1)
    for k in range(len(draws)):
        centers[k] = planes[:, chosen]
        for i in range(n):
            d = (planes[0, i] - centers[k, 0]) ** 2
            d += (planes[1, i] - centers[k, 1]) ** 2 + (planes[2, i] - centers[k, 2]) ** 2
            squared[i] = min(squared[i], d)
        total = squared.sum()
        if k + 1 == len(draws) or total == 0:
            return centers[: k + 1]
        rest, chosen = draws[k + 1] * total, -1
        for i in range(n):
            if squared[i] > 0:
                chosen = i
                rest -= squared[i]
                if rest < 0:
                    break
    return centers


@no_type_check
@kernel
def _nearest(planes, centers, shares):
    """Set shares (k, n) to 1 for the nearest center of each color, and to 0 for the others."""
    shares[:] = 0
    for i in range(planes.shape[1]):
        best, least = 0, np.inf
        for k in range(len(centers)):
            d = (planes[0, i] - centers[k, 0]) ** 2
            d += (planes[1, i] - centers[k, 1]) ** 2 + (planes[2, i] - centers[k, 2]) ** 2
            if d < least:
                best, least = k, d
        shares[best, i] = 1


@no_type_check
@summing_kernel
def _moments(planes, share, floor, mean, covariance):
    """Update mean and covariance of one Gaussian in place, weighting each color by its share; returns their sum."""
    w = r = g = b = rr = gg = bb = rg = rb = gb = 0.0
    for i in range(planes.shape[1]):
        p, x, y, z = share[i], planes[0, i] - mean[0], planes[1, i] - mean[1], planes[2, i] - mean[2]
        w += p
        r += p * x
        g += p * y
        b += p * z
        rr += p * x * x
        gg += p * y * y
        bb += p * z * z
        rg += p * x * y
        rb += p * x * z
        gb += p * y * z
    if w < 1e-6:  # no colors left: keep the old one
        return w
    r, g, b = r / w, g / w, b / w
    covariance[0, 0] = max(rr / w - r * r, 0.0) + floor
    covariance[1, 1] = max(gg / w - g * g, 0.0) + floor
    covariance[2, 2] = max(bb / w - b * b, 0.0) + floor
    covariance[0, 1] = covariance[1, 0] = rg / w - r * g
    covariance[0, 2] = covariance[2, 0] = rb / w - r * b
    covariance[1, 2] = covariance[2, 1] = gb / w - g * b
    mean[0] += r
    mean[1] += g
    mean[2] += b
    return w


@no_type_check
@kernel
def improve(planes, weights, means, covariances, iterations, floor):
    """Rounds of expectation-maximization from a mixture that is given, in place."""
    components = len(weights)
    shares = np.empty((components, planes.shape[1]))
    for _ in range(iterations):
        for k in range(components):
            _density(planes, weights[k], means[k], covariances[k], shares[k])
        total = shares[0].copy()
        for k in range(1, components):
            total += shares[k]
        for k in range(components):
            shares[k] /= total
            weights[k] = _moments(planes, shares[k], floor, means[k], covariances[k])
        weights /= weights.sum()


@no_type_check
@kernel
def expectation_maximization(planes, centers, iterations, floor):
    """Weights (k,), means (k, 3) and covariances (k, 3, 3) of a mixture that starts as a Gaussian at each center."""
    components, n = len(centers), planes.shape[1]
    weights, means = np.empty(components), centers.copy()
    covariances = np.zeros((components, 3, 3))
    for k in range(components):
        for c in range(3):
            covariances[k, c, c] = floor
    shares = np.empty((components, n))
    _nearest(planes, centers, shares)
    for k in range(components):
        weights[k] = _moments(planes, shares[k], floor, means[k], covariances[k])
    weights /= weights.sum()
    improve(planes, weights, means, covariances, iterations, floor)
    return weights, means, covariances


# ------------------------------------------------------------------------------------------------------ the contrast


@no_type_check
@kernel
def color_steps(image):
    """Squared color differences to the right (height, width - 1) and to the lower neighbor (height - 1, width)."""
    height, width = image.shape[:2]
    right, down = np.empty((height, width - 1)), np.empty((height - 1, width))
    for y in range(height):
        for x in range(width):
            r, g, b = image[y, x, 0], image[y, x, 1], image[y, x, 2]
            if x + 1 < width:
                right[y, x] = (r - image[y, x + 1, 0]) ** 2 + (g - image[y, x + 1, 1]) ** 2
                right[y, x] += (b - image[y, x + 1, 2]) ** 2
            if y + 1 < height:
                down[y, x] = (r - image[y + 1, x, 0]) ** 2 + (g - image[y + 1, x, 1]) ** 2
                down[y, x] += (b - image[y + 1, x, 2]) ** 2
    return right, down


@no_type_check
@kernel
def fade(steps, strength, decay):
    """Replace steps by strength * exp(-decay * steps), in place."""
    flat = steps.reshape(-1)
    for i in range(len(flat)):
        flat[i] = strength * _exp(max(-decay * flat[i], -600.0))


# ---------------------------------------------------------------------------------------------------------- the band


@no_type_check
@kernel
def outline_of(mask):
    """The pixels (height, width) with a neighbor of the other label."""
    height, width = mask.shape
    found = np.empty((height, width), np.bool_)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            found[y, x] = (mask[y, x] != mask[above, x]) | (mask[y, x] != mask[below, x])
        for x in range(width - 1):
            found[y, x] |= mask[y, x] != mask[y, x + 1]
        for x in range(1, width):
            found[y, x] |= mask[y, x] != mask[y, x - 1]
    return found


@no_type_check
@kernel
def near(seeds, radius):
    """The pixels nearer than `radius` pixels to one of the seeds, in exact Euclidean distance.

    The vertical distance of each pixel to the seeds of its column says how far to the sides it reaches.
    """
    height, width = seeds.shape
    if not radius > 1:  # the seeds, or none
        return seeds & (radius > 0)
    radius = min(radius, np.float64(height + width))
    found = np.empty((height, width), np.bool_)
    limit = min(math.ceil(radius), height)  # a column reaches no pixel from there on
    reach = np.empty(limit + 1, np.int32)
    reach[limit] = -1
    for d in range(limit):
        reach[d] = min(math.ceil(math.sqrt(max(radius * radius - d * d, 0.0))), width)
        while math.sqrt(np.float64(reach[d]) ** 2 + d * d) >= radius:
            reach[d] -= 1
    vertical = np.empty((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            above = limit if y == 0 else min(vertical[y - 1, x] + 1, limit)
            vertical[y, x] = 0 if seeds[y, x] else above
    for y in range(height - 2, -1, -1):
        for x in range(width):
            vertical[y, x] = min(vertical[y, x], vertical[y + 1, x] + 1)
    for y in range(height):
        left = right = -1
        for x in range(width):
            left = max(left - 1, reach[vertical[y, x]])
            found[y, x] = left >= 0
        for x in range(width - 1, -1, -1):
            right = max(right - 1, reach[vertical[y, x]])
            found[y, x] |= right >= 0
    return found


@no_type_check
@kernel
def pack(free):
    """The free pixels (n, 2), as y and x in reading order, and the steps (n + 2, 4) between their nodes.

    Pixel p is node p + 1. Nodes 0 and n + 1 are padding: steps to pixels that are not free, or beyond the border, lead
    to node 0.
    """
    height, width = free.shape
    count = 0
    for y in range(height):
        for x in range(width):
            count += free[y, x]
    pixels, steps = np.empty((count, 2), np.int32), np.zeros((count + 2, 4), np.int32)
    lowest, rows = np.zeros(width, np.int32), np.full(width, -2, np.int32)  # of each column, the last node and its row
    i = 0
    for y in range(height):
        for start in range(0, width, 16):
            end, some = min(start + 16, width), False
            for x in range(start, end):
                some |= free[y, x]
            if not some:  # most of a large image
                continue
            for x in range(start, end):
                if free[y, x]:
                    i += 1
                    left = i - 1 if x > 0 and rows[x - 1] == y else 0
                    up = lowest[x] if rows[x] == y - 1 else 0
                    pixels[i - 1, 0], pixels[i - 1, 1] = y, x
                    steps[i, LEFT], steps[i, RIGHT], steps[i, UP], steps[i, DOWN] = left - i, -i, up - i, -i
                    if left > 0:
                        steps[left, RIGHT] = 1
                    if up > 0:
                        steps[up, DOWN] = i - up
                    lowest[x], rows[x] = i, y
    return pixels, steps


@no_type_check
@kernel
def gather(terminal, right, down, pixels):
    """The terminal capacities (n,) of pixels and their edges (n, 4) to all neighbors, from those of a grid."""
    height, width = terminal.shape
    own, edges = np.empty(len(pixels), np.int32), np.zeros((len(pixels), 4), np.int32)
    for p in range(len(pixels)):
        y, x = pixels[p, 0], pixels[p, 1]
        own[p] = terminal[y, x]
        if x > 0:
            edges[p, LEFT] = right[y, x - 1]
        if x + 1 < width:
            edges[p, RIGHT] = right[y, x]
        if y > 0:
            edges[p, UP] = down[y - 1, x]
        if y + 1 < height:
            edges[p, DOWN] = down[y, x]
    return own, edges


@no_type_check
@kernel
def build_band(terminal, edges, pixels, steps, mask, limit):
    """The nodes of the free pixels; edges to fixed pixels of `mask` are added to the excess.

    Excess beyond what a pixel's edges can carry is cut off. Where the sum of excess still exceeds `limit`, all is
    divided by a power of two, whose exponent is returned as well.
    """
    moves = ((0, -1), (0, 1), (-1, 0), (1, 0))
    nodes = np.zeros((len(steps), WORDS), np.int32)
    costs = np.empty(len(pixels), np.int64)
    total = 0
    for p in range(len(pixels)):
        i, own, out = p + 1, np.int64(terminal[p]), np.int64(0)
        for k in range(4):
            capacity = np.int64(edges[p, k])
            if steps[i, k] != -i:
                nodes[i, k] = capacity
                out += capacity
            elif capacity > 0:
                own += capacity if mask[pixels[p, 0] + moves[k][0], pixels[p, 1] + moves[k][1]] else -capacity
        costs[p] = own
        total += min(abs(own), out + 1)
    shift = 0
    while total >> shift > limit:
        shift += 1
    half = (1 << shift) >> 1
    for p in range(len(pixels)):
        i, out = p + 1, np.int64(0)
        for k in range(4):
            nodes[i, k] = np.int64(nodes[i, k]) + half >> shift
            out += nodes[i, k]
        amount = min(abs(costs[p]) + half >> shift, out + 1)  # one more than its edges fixes a label
        nodes[i, EXCESS] = -amount if costs[p] > 0 else amount
    return nodes, shift


@no_type_check
@kernel
def label(mask, pixels, distances):
    """Set the free pixels of a mask to True where they can reach a deficit, and to False elsewhere."""
    for p in range(len(pixels)):
        mask[pixels[p, 0], pixels[p, 1]] = distances[p + 1] < FAR


@no_type_check
@kernel
def band_units(terminal, edges, pixels, steps, mask):
    """The energy of a mask in integer units: the free pixels and the edges that end at one, each edge once."""
    moves = ((0, -1), (0, 1), (-1, 0), (1, 0))
    total = np.int64(0)
    for p in range(len(pixels)):
        i, y, x = p + 1, pixels[p, 0], pixels[p, 1]
        own = np.int64(terminal[p])
        total += max(-own, 0) if mask[y, x] else max(own, 0)
        for k in range(4):
            if edges[p, k] > 0 and (k in (RIGHT, DOWN) or steps[i, k] == -i):
                total += edges[p, k] if mask[y, x] != mask[y + moves[k][0], x + moves[k][1]] else 0
    return total


# ------------------------------------------------------------------------------------------- the terms within the band


@no_type_check
@kernel
def largest(array):
    """The largest magnitude in a contiguous float32 array; infinity or a NaN if it holds either."""
    bits = array.reshape(-1).view(np.int32)
    most = np.int32(0)
    for i in range(len(bits)):  # without its sign, a number is the larger, the larger its bits
        most = max(most, bits[i] & np.int32(0x7FFFFFFF))
    return np.int32(most).view(np.float32)


@no_type_check
@summing_kernel
def mean_step(image):
    """The mean squared color difference of all neighbors; 0 for a single pixel."""
    height, width = image.shape[:2]
    total = 0.0
    for y in range(height):
        row, below, across = image[y].reshape(-1), image[min(y + 1, height - 1)].reshape(-1), np.float32(0)
        for x in range(len(row) - 3):
            across += (row[x + 3] - row[x]) * (row[x + 3] - row[x])
        for x in range(len(row)):
            across += (below[x] - row[x]) * (below[x] - row[x])
        total += across
    return total / max(height * (width - 1) + (height - 1) * width, 1)


@no_type_check
@kernel
def halve(image, odds, mask, mixed):
    """Image and odds at half the size, averaged, the label of most of each 2 x 2 pixels, and where labels are mixed.

    At the border of an odd size, the last row or column counts twice.
    """
    height, width = mask.shape
    size = (height + 1) // 2, (width + 1) // 2
    colors, means = np.empty((*size, 3), np.float32), np.empty(size, np.float32)
    labels, both = np.empty(size, np.bool_), np.empty(size, np.bool_)
    quarter, sums = np.float32(0.25), np.empty(3 * width, np.float32)
    for y in range(size[0]):
        a, b = 2 * y, min(2 * y + 1, height - 1)
        one, other = image[a].reshape(-1), image[b].reshape(-1)
        for x in range(3 * width):
            sums[x] = quarter * (one[x] + other[x])
        for x in range(size[1]):
            c, d = 2 * x, min(2 * x + 1, width - 1)
            for k in range(3):
                colors[y, x, k] = sums[3 * c + k] + sums[3 * d + k]
        for x in range(size[1]):
            c, d = 2 * x, min(2 * x + 1, width - 1)
            means[y, x] = (odds[a, c] + odds[a, d] + odds[b, c] + odds[b, d]) * quarter
            count = int(mask[a, c]) + int(mask[a, d]) + int(mask[b, c]) + int(mask[b, d])
            labels[y, x], both[y, x] = count >= 2, (count > 0) & (count < 4)
            both[y, x] |= mixed[a, c] | mixed[a, d] | mixed[b, c] | mixed[b, d]
    return colors, means, labels, both


@no_type_check
@kernel
def double(mask, height, width):
    """A mask at twice the size, cropped to height and width."""
    found = np.empty((height, width), np.bool_)
    for y in range(0, height, 2):
        for x in range(width // 2):
            found[y, 2 * x] = found[y, 2 * x + 1] = mask[y >> 1, x]
        if width % 2 == 1:
            found[y, width - 1] = mask[y >> 1, width >> 1]
        if y + 1 < height:
            found[y + 1] = found[y]
    return found


@no_type_check
@kernel
def _count(mask, value, stride):
    """How many pixels of every `stride`-th row have a label."""
    total = 0
    for y in range(0, mask.shape[0], stride):
        for x in range(mask.shape[1]):
            total += mask[y, x] == value
    return total


@no_type_check
@kernel
def sample(image, mask, value, most):
    """The colors of at most that many pixels with a label, evenly spaced in reading order, as planes (3, n).

    Where pixels abound, only some rows are looked at.
    """
    height, width = mask.shape
    stride = max(1, height * width // (16 * most))
    total = _count(mask, value, stride)
    if total < most and stride > 1:
        stride = 1
        total = _count(mask, value, stride)
    n = min(total, most)
    planes = np.empty((3, n))
    rank, k, chosen = 0, 0, total // (2 * n) if n > 0 else -1
    for y in range(0, height, stride):
        for x in range(width):
            if mask[y, x] == value:
                if rank == chosen:
                    planes[0, k], planes[1, k], planes[2, k] = image[y, x, 0], image[y, x, 1], image[y, x, 2]
                    k += 1
                    chosen = (2 * k + 1) * total // (2 * n)
                rank += 1
    return planes


@no_type_check
@kernel
def colors_at(image, pixels):
    """The colors of pixels (n, 2) as planes (3, n)."""
    planes = np.empty((3, len(pixels)))
    for p in range(len(pixels)):
        y, x = pixels[p, 0], pixels[p, 1]
        planes[0, p], planes[1, p], planes[2, p] = image[y, x, 0], image[y, x, 1], image[y, x, 2]
    return planes


@no_type_check
@kernel
def _log(x):
    """The natural logarithm of a normal x > 0 to an error of 1e-11, as `_exp` without branches or calls.

    x = 2^n m with m from sqrt(1/2) to sqrt(2), and log(m) is the series of 2 artanh(s), s = (m - 1) / (m + 1).
    """
    bits = np.float64(x).view(np.int64)
    n = (bits - 0x3FE6A09E667F3BCD) >> 52  # the bits of sqrt(1/2)
    m = np.int64(bits - (n << 52)).view(np.float64)
    s = (m - 1) / (m + 1)
    q = s * s
    series = 1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13)))))
    return n * 0.6931471805599453 + 2 * s * (1 + q * series)


@no_type_check
@kernel
def log_ratio(background, foreground, uniform, clip):
    """The log ratio of two densities (n,), each with a share of a uniform one, within -clip and clip."""
    ratio = np.empty(len(background))
    for i in range(len(ratio)):
        one, other = uniform + (1 - uniform) * foreground[i], uniform + (1 - uniform) * background[i]
        ratio[i] = min(max(_log(one / other), -clip), clip)
    return ratio


@no_type_check
@kernel
def label_units(odds, by_color, pixels, color, prior):
    """What labeling each pixel background costs more than foreground, in integer units (n,)."""
    units = np.empty(len(pixels), np.int32)
    for p in range(len(pixels)):
        units[p] = math.floor(0.5 + color * by_color[p] + prior * odds[pixels[p, 0], pixels[p, 1]])
    return units


@no_type_check
@kernel
def _step(image, y, x, below, beside):
    """The squared color difference of two pixels."""
    r, g = image[y, x, 0] - image[below, beside, 0], image[y, x, 1] - image[below, beside, 1]
    b = image[y, x, 2] - image[below, beside, 2]
    return np.float64(r * r + g * g + b * b)


@no_type_check
@kernel
def border_units(image, pixels, steps, strength, decay):
    """What a border to each of four neighbors costs, in integer units (n, 4), less where colors differ; as `fade`."""
    height, width = image.shape[:2]
    n = len(pixels)
    costs = np.zeros((2, n))  # to the right and to the lower neighbor
    for p in range(n):
        y, x = pixels[p, 0], pixels[p, 1]
        if x + 1 < width:
            costs[0, p] = _step(image, y, x, y, x + 1)
        if y + 1 < height:
            costs[1, p] = _step(image, y, x, y + 1, x)
    fade(costs, strength, decay)
    edges = np.zeros((n, 4), np.int32)
    for p in range(n):
        i, y, x = p + 1, pixels[p, 0], pixels[p, 1]
        if x + 1 < width:
            edges[p, RIGHT] = math.floor(0.5 + costs[0, p])
        if y + 1 < height:
            edges[p, DOWN] = math.floor(0.5 + costs[1, p])
        if steps[i, LEFT] != -i:
            edges[p, LEFT] = edges[p + steps[i, LEFT], RIGHT]
        elif x > 0:
            faded = strength * _exp(max(-decay * _step(image, y, x - 1, y, x), -600.0))
            edges[p, LEFT] = math.floor(0.5 + faded)
        if steps[i, UP] != -i:
            edges[p, UP] = edges[p + steps[i, UP], DOWN]
        elif y > 0:
            faded = strength * _exp(max(-decay * _step(image, y - 1, x, y, x), -600.0))
            edges[p, UP] = math.floor(0.5 + faded)
    return edges


# --------------------------------------------------------------------------------------------------------- the peaks


@no_type_check
@kernel
def flood(values, order, persistence):
    """The peak whose basin each cell is in, by flooding (height, width) values in descending `order`.

    A basin that meets a higher one at more than `persistence` times its own height becomes a part of it. Returns the
    flat index of the peak for each cell, (height * width,).
    """
    height, width = values.shape
    flat = values.reshape(-1)
    owner = np.full(height * width, NONE, np.int64)
    for i in order:
        y, x = i // width, i % width
        owner[i] = i
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                v, u = y + dy, x + dx
                if (dy == 0 and dx == 0) or v < 0 or u < 0 or v >= height or u >= width:
                    continue
                if owner[v * width + u] == NONE:
                    continue
                one, other = _root(owner, i), _root(owner, v * width + u)
                if one == other:
                    continue
                if flat[one] < flat[other] or (flat[one] == flat[other] and one > other):
                    one, other = other, one
                if other == i or flat[i] > persistence * flat[other]:
                    owner[other] = one
    for i in order:
        owner[i] = _root(owner, i)
    return owner


@no_type_check
@kernel
def _root(owner, i):
    while owner[i] != i:
        i = owner[i]
    return i
