"""Which layers of a network still know where things are, and how to see their outputs as maps.

Convolutional layers return (batch, channels, height, width). Token networks return (batch, tokens, channels); a square
number of tokens after a few prefix tokens (class, registers) is a grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.probe import frozen

SMALLEST = 4  # a coarser grid places nothing
PREFIXES = range(9)  # class token, distillation token, registers
NEAR = 1.35  # a grid counts as one of stride s if it is within this factor of it


@dataclass(frozen=True)
class Stages:
    """The layers that localization looks at; None where a network has no such layer.

    `fine` is the last block at stride 8, `middle` the last at stride 16 (or the one halfway, where the network ends at
    that stride, as a ViT does), `last` the last layer with a grid. `any_size` says whether larger images fit too.
    """

    fine: str | None
    middle: str | None
    last: str | None
    any_size: bool

    def names(self) -> tuple[str, ...]:
        """The layers there are, each once, from the image to the scores."""
        return tuple(dict.fromkeys(name for name in (self.fine, self.middle, self.last) if name))


def find_stages(network: nn.Module, size: tuple[int, int], larger: tuple[int, int]) -> Stages:
    """The stages of a network for images of `size`, found by running it once, on a private copy."""
    private = frozen(network)
    parameter = next(iter([*private.parameters(), *private.buffers()]), torch.zeros(()))
    blank = torch.zeros(1, 3, *size, device=parameter.device, dtype=parameter.dtype)
    seen = _grids(private, blank)
    if not seen:
        return Stages(None, None, None, False)
    children = _children_of_sequences(private)
    blocks = [(name, side) for name, side in seen if name in children] or seen
    last, final = seen[-1]
    fine, _ = _at_stride(blocks, size[0] / 8)
    names, side = _at_stride(blocks, size[0] / 16)
    middle = None
    if names:
        middle = names[(len(names) - 1) // 2] if side == final else names[-1]
    return Stages(fine[-1] if fine else None, middle, last, _runs(private, blank, larger))


def as_grid(output: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channels height width"]:
    """A layer's output, or its gradient, as maps; only for outputs that `grid_side` knows."""
    if output.ndim == 4:
        return output
    side, prefix = _square(output.shape[1])
    grid: Tensor = output[:, prefix:].transpose(1, 2).unflatten(2, (side, side))
    return grid


def grid_side(output: object, width: int) -> int | None:
    """The height of the grid of a layer's output, or None where it has none, or none coarser than the image."""
    if not isinstance(output, Tensor):
        return None
    if output.ndim == 4 and SMALLEST <= output.shape[2] < width and SMALLEST <= output.shape[3] < width:
        return output.shape[2]
    if output.ndim == 3:
        side, _ = _square(output.shape[1])
        return side if side >= SMALLEST else None
    return None


def _square(tokens: int) -> tuple[int, int]:
    """(side, prefix) with side**2 + prefix tokens, or (0, 0)."""
    for prefix in PREFIXES:
        side = math.isqrt(max(tokens - prefix, 0))
        if side >= SMALLEST and side * side == tokens - prefix:
            return side, prefix
    return 0, 0


def _grids(private: nn.Module, blank: Tensor) -> list[tuple[str, int]]:
    """Names of layers in the order in which they finish, with the side of their grid."""
    seen: list[tuple[str, int]] = []

    def hook(name: str, output: object) -> None:
        side = grid_side(output, blank.shape[-1])
        if side:
            seen.append((name, side))

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: hook(name, output))
        for name, module in private.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            private(blank)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _children_of_sequences(network: nn.Module) -> set[str]:
    return {
        f"{name}.{child}" if name else child
        for name, module in network.named_modules()
        if isinstance(module, (nn.Sequential, nn.ModuleList))
        for child, _ in module.named_children()
    }


def _at_stride(blocks: list[tuple[str, int]], wanted: float) -> tuple[list[str], int | None]:
    """The blocks on the grid nearest to `wanted` pixels a side, if one is near."""
    near = {side for _, side in blocks if 1 / NEAR < side / wanted < NEAR}
    if not near:
        return [], None
    side = min(near, key=lambda each: abs(math.log(each / wanted)))
    return [name for name, each in blocks if each == side], side


def _runs(private: nn.Module, blank: Tensor, size: tuple[int, int]) -> bool:
    try:
        with torch.no_grad():
            private(blank.new_zeros(1, 3, *size))
    except Exception:  # networks of a fixed size say so in their own ways
        return False
    return True
