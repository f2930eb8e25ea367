"""Exact minimum cut of a 4-connected pixel grid: Boykov and Kolmogorov's algorithm (PAMI 2004) on an implicit graph.

Two search trees grow from the terminals; where they meet, flow is pushed along the path, edges saturate, and the
subtrees cut off by that look for new parents instead of starting anew. The grid is never built as a graph: a pixel's
neighbors are at fixed offsets of a grid with a border of one pixel, across which no edge has capacity.

Capacities are whole numbers, so that the flow is exact. The kernels release the GIL and share nothing, so images
may be cut in parallel threads.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

# A node's tree, and the way to its parent: one of the four directions, or one of these.
_FREE, _SOURCE, _SINK = 0, 1, 2
_TERMINAL, _NONE, _ORPHAN = 4, 5, 6


@njit(cache=True, nogil=True)
@no_type_check
def cut_grid(terminal, right, down):
    """The side of each pixel in a minimum cut, and the flow.

    Args:
        terminal: int32 (height, width), the capacity from the source less the capacity to the sink.
        right: int32 (height, width - 1), between (y, x) and (y, x + 1), the same both ways; not negative.
        down: int32 (height - 1, width), between (y, x) and (y + 1, x).

    Returns:
        bool (height, width), True on the source's side; pixels that both sides could have go to the sink.
        int64, the flow, equal to the capacity of the cut.
    """
    height, width = terminal.shape
    row = width + 2
    size = row * (height + 2)
    residual, excess = _padded(terminal, right, down, row, size)
    steps = np.array([1, -1, row, -row], dtype=np.int64)  # the way back from direction d is d ^ 1

    tree = np.zeros(size, dtype=np.uint8)
    parent = np.full(size, _NONE, dtype=np.uint8)
    stamp = np.zeros(size, dtype=np.int32)  # when `distance` was last known to be right
    distance = np.zeros(size, dtype=np.int32)
    queue = np.empty(size, dtype=np.int32)  # ring of active nodes, each at most once
    queued = np.zeros(size, dtype=np.uint8)
    head, count = 0, 0
    orphans = np.empty(size, dtype=np.int32)

    flow = _push_to_neighbors(residual, excess, steps, row, height, width)
    for y in range(height):
        for x in range(width):
            node = (y + 1) * row + x + 1
            if excess[node] != 0:
                tree[node] = _SOURCE if excess[node] > 0 else _SINK
                parent[node] = _TERMINAL
                distance[node] = 1
                queue[count] = node
                queued[node] = 1
                count += 1

    time = 0
    node = -1
    while True:
        if node < 0:
            if count == 0:
                break
            node = queue[head]
            head = head + 1 if head + 1 < size else 0
            count -= 1
            queued[node] = 0
            if tree[node] == _FREE:
                node = -1
                continue
        # Grow the tree of `node` until it touches the other one.
        meeting = -1
        own = tree[node]
        for d in range(4):
            other = node + steps[d]
            capacity = residual[node, d] if own == _SOURCE else residual[other, d ^ 1]
            if capacity == 0:
                continue
            if tree[other] == _FREE:
                tree[other] = own
                parent[other] = d ^ 1
                stamp[other] = stamp[node]
                distance[other] = distance[node] + 1
                if not queued[other]:
                    tail = head + count
                    queue[tail if tail < size else tail - size] = other
                    queued[other] = 1
                    count += 1
            elif tree[other] != own:
                meeting = d
                break
            elif stamp[other] <= stamp[node] and distance[other] > distance[node]:
                parent[other] = d ^ 1  # a shorter way to the terminal
                stamp[other] = stamp[node]
                distance[other] = distance[node] + 1
        if meeting < 0:
            node = -1
            continue
        time += 1
        # `node` stays active: it may touch the other tree elsewhere.
        first, way = node, meeting
        if own == _SINK:
            first, way = node + steps[meeting], meeting ^ 1
        pushed, waiting = _augment(first, way, residual, excess, steps, parent, orphans)
        flow += pushed
        head, count = _adopt(
            waiting,
            orphans,
            residual,
            excess,
            steps,
            tree,
            parent,
            stamp,
            distance,
            queue,
            queued,
            head,
            count,
            time,
        )
        if tree[node] == _FREE:
            node = -1

    side = np.empty((height, width), dtype=np.bool_)
    for y in range(height):
        for x in range(width):
            side[y, x] = tree[(y + 1) * row + x + 1] == _SOURCE
    return side, flow


@njit(cache=True, nogil=True)
@no_type_check
def _padded(terminal, right, down, row, size):
    """Residual capacities by node and direction, and terminal capacities, on the grid with its border."""
    height, width = terminal.shape
    residual = np.zeros((size, 4), dtype=np.int32)
    excess = np.zeros(size, dtype=np.int32)
    for y in range(height):
        for x in range(width):
            node = (y + 1) * row + x + 1
            excess[node] = terminal[y, x]
            if x + 1 < width:
                residual[node, 0] = right[y, x]
                residual[node + 1, 1] = right[y, x]
            if y + 1 < height:
                residual[node, 2] = down[y, x]
                residual[node + row, 3] = down[y, x]
    return residual, excess


@njit(cache=True, nogil=True)
@no_type_check
def _push_to_neighbors(residual, excess, steps, row, height, width):
    """Flow along the paths source -> pixel -> neighbor -> sink, which need no search."""
    flow = 0
    for y in range(height):
        for x in range(width):
            node = (y + 1) * row + x + 1
            for d in range(4):
                if excess[node] <= 0:
                    break
                other = node + steps[d]
                if excess[other] < 0 and residual[node, d] > 0:
                    amount = min(excess[node], -excess[other], residual[node, d])
                    excess[node] -= amount
                    excess[other] += amount
                    residual[node, d] -= amount
                    residual[other, d ^ 1] += amount
                    flow += amount
    return flow


@njit(cache=True, nogil=True)
@no_type_check
def _augment(first, way, residual, excess, steps, parent, orphans):
    """Push what fits through source ... first -> way ... sink; nodes whose edge to the parent fills are orphans."""
    last = first + steps[way]
    amount = residual[first, way]
    node = first
    while parent[node] != _TERMINAL:
        d = parent[node]
        node += steps[d]
        amount = min(amount, residual[node, d ^ 1])
    amount = min(amount, excess[node])
    node = last
    while parent[node] != _TERMINAL:
        d = parent[node]
        amount = min(amount, residual[node, d])
        node += steps[d]
    amount = min(amount, -excess[node])

    waiting = 0
    residual[first, way] -= amount
    residual[last, way ^ 1] += amount
    node = first
    while parent[node] != _TERMINAL:
        d = parent[node]
        above = node + steps[d]
        residual[node, d] += amount
        residual[above, d ^ 1] -= amount
        if residual[above, d ^ 1] == 0:
            parent[node] = _ORPHAN
            orphans[waiting] = node
            waiting += 1
        node = above
    excess[node] -= amount
    if excess[node] == 0:
        parent[node] = _ORPHAN
        orphans[waiting] = node
        waiting += 1
    node = last
    while parent[node] != _TERMINAL:
        d = parent[node]
        above = node + steps[d]
        residual[node, d] -= amount
        residual[above, d ^ 1] += amount
        if residual[node, d] == 0:
            parent[node] = _ORPHAN
            orphans[waiting] = node
            waiting += 1
        node = above
    excess[node] += amount
    if excess[node] == 0:
        parent[node] = _ORPHAN
        orphans[waiting] = node
        waiting += 1
    return amount, waiting


@njit(cache=True, nogil=True)
@no_type_check
def _adopt(waiting, orphans, residual, excess, steps, tree, parent, stamp, distance, queue, queued, head, count, time):
    """Give every orphan the nearest parent of its own tree that leads to the terminal, or set it free."""
    size = tree.shape[0]
    taken = 0
    ring = orphans.shape[0]
    while waiting > 0:
        node = orphans[taken]
        taken = taken + 1 if taken + 1 < ring else 0
        waiting -= 1
        own = tree[node]
        best, best_distance = _NONE, 2**30
        for d in range(4):
            other = node + steps[d]
            if tree[other] != own or parent[other] == _NONE:
                continue
            capacity = residual[other, d ^ 1] if own == _SOURCE else residual[node, d]
            if capacity == 0:
                continue
            length = _origin(other, steps, parent, stamp, distance, time)
            if 0 < length < best_distance:
                best, best_distance = d, length
        if best != _NONE:
            parent[node] = best
            stamp[node] = time
            distance[node] = best_distance + 1
            continue
        for d in range(4):
            other = node + steps[d]
            if tree[other] != own:
                continue
            capacity = residual[other, d ^ 1] if own == _SOURCE else residual[node, d]
            if capacity > 0 and not queued[other]:
                tail = head + count
                queue[tail if tail < size else tail - size] = other
                queued[other] = 1
                count += 1
            if parent[other] == d ^ 1:
                parent[other] = _ORPHAN
                place = taken + waiting
                orphans[place if place < ring else place - ring] = other
                waiting += 1
        tree[node] = _FREE
        parent[node] = _NONE
    return head, count


@njit(cache=True, nogil=True)
@no_type_check
def _origin(start, steps, parent, stamp, distance, time):
    """The number of edges from `start` to its terminal, or 0 if its way up ends at an orphan."""
    node, length = start, 0
    while True:
        if stamp[node] == time and parent[node] != _ORPHAN and parent[node] != _NONE:
            length += distance[node]
            break
        d = parent[node]
        if d == _TERMINAL:
            stamp[node] = time
            distance[node] = 1
            length += 1
            break
        if d in (_ORPHAN, _NONE):
            return 0
        length += 1
        node += steps[d]
    # What was learned holds for every node on the way.
    node, below = start, length
    while stamp[node] != time:
        stamp[node] = time
        distance[node] = below
        below -= 1
        node += steps[parent[node]]
    return length
