"""The spatial layout of a layer's output: maps, maps with the channels last, or a grid of tokens.

Convolutional layers return (batch, channels, rows, columns); some networks, such as Swin, return (batch, rows, columns,
channels). Transformers return (batch, tokens, channels), where a few prefix tokens (class token, registers) precede the
tokens of the grid. The layout is inferred from the shape; where several fit, the aspect ratio of the input decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError

SMALLEST = 4  # tokens on a side: with fewer, too many shapes would pass for a grid
PREFIXES = range(9)  # class token, distillation token, registers
SQUARE = (1, 1)
EVEN = 1e-2  # how far a gradient may vary over positions, relative to its norm, and still count as the same everywhere


class Grid(NamedTuple):
    """Rows and columns of a layer's output; `prefix` is the number of tokens before the grid, or None for maps."""

    rows: int
    columns: int
    channels_last: bool = False
    prefix: int | None = None


def find_grid(shape: Sequence[int], size: tuple[int, int] = SQUARE) -> Grid | None:
    """The grid in an output of this shape for inputs of `size` (height, width), or None if there is none.

    >>> find_grid((1, 197, 384))
    Grid(rows=14, columns=14, channels_last=False, prefix=1)
    """
    aspect = size[0] / size[1]
    if len(shape) == 4:
        first, last = Grid(shape[2], shape[3]), Grid(shape[1], shape[2], channels_last=True)
        return min(first, last, key=lambda grid: abs(math.log(max(grid.rows, 1) / max(grid.columns, 1) / aspect)))
    return _token_grid(shape[1], size) if len(shape) == 3 else None


def as_grid(
    output: Float[Tensor, "batch ..."], size: tuple[int, int] = SQUARE
) -> Float[Tensor, "batch channels rows columns"]:
    """A layer's output, or its gradient, as maps.

    Args:
        output: a layer's output, batch first.
        size: height and width of the network's input, in any unit, since only their ratio is used.

    Raises `DeepInsideError` for an output without a grid.

    >>> import torch
    >>> as_grid(torch.zeros(2, 1 + 14 * 14, 384)).shape
    torch.Size([2, 384, 14, 14])
    """
    grid = find_grid((1, *output.shape[1:]), size)  # a trace has no number for the batch
    if grid is None:
        raise DeepInsideError(
            f"expected a layer with a grid, (batch, channels, rows, columns) or (batch, tokens, channels), got "
            f"{tuple(output.shape)}; `deepinside layers` lists them"
        )
    if grid.prefix is not None:
        tokens = output[:, grid.prefix :].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], grid.rows, grid.columns)
    return output.permute(0, 3, 1, 2) if grid.channels_last else output


def is_even(gradient: Float[Tensor, "batch channels rows columns"]) -> Bool[Tensor, " batch"]:
    """Whether the gradient is the same at every position, as it is before global average pooling.

    >>> import torch
    >>> is_even(torch.tensor([[[[2.0, 2.0]]], [[[2.0, 0.0]]]]))
    tensor([ True, False])
    """
    varies: Tensor = (gradient - gradient.mean(dim=(2, 3), keepdim=True)).flatten(1).norm(dim=1)
    return varies.le(EVEN * gradient.flatten(1).norm(dim=1))


def _token_grid(tokens: int, size: tuple[int, int]) -> Grid | None:
    """The grid with the fewest tokens before it; one that has the picture's proportions exactly goes first."""
    found = []
    for prefix in PREFIXES:
        count = tokens - prefix
        rows = round(math.sqrt(max(count, 0) * size[0] / size[1]))
        columns = count // max(rows, 1)
        if min(rows, columns) >= SMALLEST and rows * columns == count and _tiles(rows, columns, size):
            found.append(Grid(rows, columns, prefix=prefix))
    exact = [grid for grid in found if grid.rows * size[1] == grid.columns * size[0]]
    return next(iter(exact or found), None)


def _tiles(rows: int, columns: int, size: tuple[int, int]) -> bool:
    """Whether patches of some size, as high as wide, make this grid, with both sides rounded up or both down."""
    if size[0] == size[1]:
        return rows == columns
    (height, width), counts = size, (rows, columns)
    up = [(side / count, side / (count - 1)) for side, count in zip((height, width), counts, strict=True)]
    down = [(side / (count + 1), side / count) for side, count in zip((height, width), counts, strict=True)]
    return rows * width == columns * height or any(
        max(low for low, _ in ends) < min(high for _, high in ends) for ends in (up, down)
    )
