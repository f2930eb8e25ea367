"""From cells to pixels: a mask on a small grid, in the pixels of a photo that are inside the grid's region.

Along an axis on which there are more pixels than cells, the mask is interpolated linearly between the centers of cells,
and what is above one half belongs to the object: outlines become lines in place of staircases, parts one cell wide
stay, and straight edges along the grid are where they were. A pixel of exactly one half takes the value of the cell
that its center falls into, as all pixels do along other axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

MANY = 2**20  # pixels along outlines that are looked at at a time
TIE = 1e-9  # what is so near to one half is one half but for rounding

Mask: TypeAlias = Bool[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Axis:
    """Where the pixels of a photo that are inside the region lie on the grid, along one axis.

    Pixel `i` of them is between the centers of the cells `low[i]` and `high[i]`, which are the same where cells are
    not larger than pixels, and the second one's share of its value is `weight[i]`. The pixels between the same two
    cells are a step: step `k` has the pixels from `starts[k]` to `starts[k + 1]`.
    """

    first: int  # of the photo's pixels along the axis, the one that is pixel 0 here
    low: Int[np.ndarray, " n"]
    high: Int[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    starts: Int[np.ndarray, " borders"]
    is_smooth: bool  # whether cells are larger than pixels, and values are interpolated

    @classmethod
    @lru_cache(16)  # boxes of many masks are asked for in one frame
    def of(cls, pixels: int, start: float, stop: float, count: int) -> Axis:
        """The axis of `pixels` pixels whose region from `start` to `stop` has `count` cells."""
        inside = inside_region(pixels, start, stop)
        positions = cell_positions(inside, start, stop - start, count)
        is_smooth = stop - start > count
        positions = np.clip(positions if is_smooth else np.floor(positions + 0.5), 0, count - 1)
        low = np.floor(positions).astype(np.int64)
        high = np.minimum(low + int(is_smooth), count - 1)
        starts = np.flatnonzero(np.diff(low, prepend=-1, append=-1))
        return cls(int(inside[0]) if inside.size else 0, low, high, positions - low, starts, is_smooth)

    @property
    def pixels(self) -> slice:
        """Those of the photo's pixels that are inside."""
        return slice(self.first, self.first + len(self.low))

    @property
    def step_ends(self) -> Int[np.ndarray, " ends"]:
        """The first and the last pixel of each step, which may be the same."""
        return np.concatenate([self.starts[:-1], self.starts[1:] - 1])


def enlarged(mask: Mask, x: Axis, y: Axis) -> Bool[np.ndarray, "rows columns"]:
    """A mask in the pixels of the region. Between cells that agree, nothing is computed."""
    left, right, top, bottom = (side[axis.starts[:-1]] for axis in (x, y) for side in (axis.low, axis.high))
    every, some = mask[top] & mask[bottom], mask[top] | mask[bottom]
    inside = every[:, left] & every[:, right]
    pixels = inside.repeat(np.diff(x.starts), axis=1).repeat(np.diff(y.starts), axis=0)
    for columns, rows in _pixels_of((some[:, left] | some[:, right]) & ~inside, x, y):
        pixels[rows, columns] = _values(mask, x, y, columns, rows)
    return np.asarray(pixels)


def extents(mask: Mask, x: Axis, y: Axis) -> tuple[slice, slice] | None:
    """The columns and the rows from the first to the last pixel of `enlarged(mask, x, y)`; None if there is none.

    Along a line between cells, values change linearly, so they are largest at the ends of a step: nothing else is
    computed, and only as far from the sides as the mask is, which must not be empty.
    """

    def columns(pixels: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        return np.asarray(_values(mask, x, y, pixels, y.step_ends[:, None]).any(axis=0))

    def rows(pixels: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        return np.asarray(_values(mask, x, y, x.step_ends, pixels[:, None]).any(axis=1))

    is_smooth = x.is_smooth and y.is_smooth
    across, down = _extent(mask.T, x, columns, is_smooth), _extent(mask, y, rows, is_smooth)
    return (across, down) if across and down else None


def inside_region(pixels: int, start: float, stop: float) -> Int[np.ndarray, " n"]:
    """The pixels whose centers are inside the region, along one axis."""
    centers = np.arange(pixels) + 0.5
    return np.flatnonzero((centers >= start) & (centers < stop))


def cell_positions(pixels: Int[np.ndarray, " n"], start: float, length: float, count: int) -> Float[np.ndarray, " n"]:
    """Where the centers of pixels are on the grid: 0 is the center of the first cell."""
    return np.asarray((pixels + 0.5 - start) * (count / length) - 0.5)


def interpolated(
    values: Float[np.ndarray, "rows columns"], positions: Float[np.ndarray, " n"], axis: int
) -> Float[np.ndarray, "..."]:
    """Values between cells, linear along one axis."""
    low = np.floor(positions).astype(np.int64)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    weight = (positions - low).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight[None, :]
    return np.asarray(values.take(low, axis) * (1 - weight) + values.take(high, axis) * weight)


def _values(
    mask: Mask, x: Axis, y: Axis, columns: Int[np.ndarray, "..."], rows: Int[np.ndarray, "..."]
) -> Bool[np.ndarray, "..."]:
    """Whether pixels are inside the outline."""
    up, down, left, right = y.low[rows], y.high[rows], x.low[columns], x.high[columns]
    across, along = x.weight[columns], y.weight[rows]
    upper = mask[up, left] * (1 - across) + mask[up, right] * across
    lower = mask[down, left] * (1 - across) + mask[down, right] * across
    share = upper * (1 - along) + lower * along
    inside, is_tie = share > 0.5, np.abs(share - 0.5) < TIE
    if is_tie.any():
        own = mask[np.where(along < 0.5 - TIE, up, down), np.where(across < 0.5 - TIE, left, right)]
        inside = np.where(is_tie, own, inside)
    return np.asarray(inside)


def _pixels_of(
    steps: Bool[np.ndarray, "rows columns"], x: Axis, y: Axis
) -> Iterator[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]]:
    """The columns and rows of all pixels of these steps, at most `MANY` at a time."""
    row, column = np.nonzero(steps)
    wide, high = np.diff(x.starts)[column], np.diff(y.starts)[row]
    edges = np.concatenate([[0], np.cumsum(wide * high)])
    for begin in range(0, int(edges[-1]), MANY):
        numbers = np.arange(begin, min(begin + MANY, int(edges[-1])))
        own = np.repeat(np.arange(len(row)), np.diff(np.clip(edges, begin, begin + MANY)))
        below, beside = np.divmod(numbers - edges[own], wide[own])
        yield x.starts[column[own]] + beside, y.starts[row[own]] + below


def _extent(
    lines: Bool[np.ndarray, "lines cells"],
    axis: Axis,
    values: Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n"]],
    is_smooth: bool,
) -> slice | None:
    """From the first to the last pixel along an axis for which there are values; `lines` of cells are across it."""
    has_cells = np.asarray(lines.any(axis=1))
    used = np.flatnonzero(has_cells)
    outer = lines[used[[0, -1]]]
    if is_smooth and (outer[:, 1:] & outer[:, :-1]).any(axis=1).all():
        # Where two cells side by side end, the mask does; only a part that is one cell wide may end a pixel earlier.
        ends = np.searchsorted(axis.low + axis.weight, [used[0] - 0.5 - TIE, used[-1] + 0.5 - TIE])
        return slice(axis.first + int(ends[0]), axis.first + int(ends[1]))
    begins = axis.starts[:-1]
    steps = np.flatnonzero(has_cells[axis.low[begins]] | has_cells[axis.high[begins]])
    bounds = []
    for order, which in ((steps, 0), (steps[::-1], -1)):
        for step in order:
            pixels = np.arange(axis.starts[step], axis.starts[step + 1])
            found = np.flatnonzero(values(pixels))
            if found.size:
                bounds.append(axis.first + int(pixels[found[which]]))
                break
    return slice(bounds[0], bounds[1] + 1) if bounds else None
