"""Which layers of a network still know where things are, and how to see their outputs as maps.

`list_layers` names all that one can look at; `find_stages` the few that localization does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.grids import SMALLEST, as_grid, find_grid
from deepinside.gradients.logits import logits_of
from deepinside.gradients.placement import is_doubtful, misplaced
from deepinside.gradients.private import private_view
from deepinside.gradients.probe import look_at
from deepinside.gradients.running import NetworkError, listen, outputs_of

Shapes: TypeAlias = list[tuple[str, Sequence[int]]]  # of layers, by name


NEAR = 1.35  # a grid counts as one of stride s if it is within this factor of it


@dataclass(frozen=True)
class Layer:
    """A layer as `named_modules` calls it: its kind, its output's shape for one image, its grid if it has one."""

    name: str
    kind: str
    shape: tuple[int, ...]
    grid: tuple[int, int] | None


@dataclass(frozen=True)
class Stages:
    """The layers that localization looks at; None where a network has no such layer.

    `fine` is the last block at stride 8 (or, without one, the last layer between the strides 4 and 16), `middle` the
    last at stride 16: both tell things apart by their activations. `seed` is the last block at stride 16 that is no
    part of a block with another grid, and `last` the last layer with a grid: their gradients tell where a class is.
    Where a network ends at stride 16 or before it, `middle` and `seed` are the block halfway on its last grid, or two
    thirds of the way if that is its only one, as in a ViT. `any_size` says whether larger images fit too.
    """

    fine: str | None
    middle: str | None
    seed: str | None
    last: str | None
    any_size: bool

    def with_gradients(self) -> tuple[str, ...]:
        """The layers where gradients are wanted, each once, from the image to the scores."""
        return tuple(dict.fromkeys(name for name in (self.seed, self.last) if name))

    def features(self) -> tuple[str, ...]:
        """The layers whose activations tell things apart, each once, from the image to the scores."""
        return tuple(dict.fromkeys(name for name in (self.fine, self.middle) if name))


def find_stages(network: nn.Module, size: tuple[int, int], larger: tuple[int, int], channels: int = 3) -> Stages:
    """The stages of a network for images of `size`, found by running it, on a private copy."""
    private = private_view(network)
    blank = torch.zeros(1, channels, *size)
    seen = [(name, side) for name, shape in _placed(private, blank) if (side := _coarse(shape, size))]
    if not seen:
        return Stages(None, None, None, None, False)
    children = _children_of_sequences(private)
    blocks = [(name, side) for name, side in seen if name in children] or seen
    last, final = seen[-1]
    fine, _ = _at_stride(blocks, size[0] / 8)
    if not fine:
        fine = [name for name, side in seen if size[0] / 16 * NEAR < side < size[0] / 4 * NEAR]
    names, side = _at_stride(blocks, size[0] / 16)
    if not names:  # a network for small pictures
        names, side = [name for name, each in blocks if each == final], final
    if side == final:
        middle = seed = names[(len(names) - 1) // 2 if fine else 2 * (len(names) - 1) // 3] if names else None
    else:
        middle, seed = names[-1], _outermost(names, blocks)[-1]
    any_size = _runs(private, blank.new_zeros(1, channels, *larger))
    return Stages(fine[-1] if fine else None, middle, seed, last, any_size)


def last_layer(network: nn.Module, size: tuple[int, int], channels: int = 3) -> str | None:
    """The last layer with a grid whose positions the scores depend on, or None: where class-activation maps are taken.

    That is `find_stages`'s last one, unless nothing but a class token is read of it, as of a transformer's last block;
    then it is the last block before. In a network without a grid of that kind, all maps of more than one row and column
    count.

    >>> last_layer(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (8, 8))
    '1'
    """
    private = private_view(network)
    placed = _placed(private, torch.zeros(1, channels, *size))
    coarse = [name for name, shape in placed if _coarse(shape, size)]
    names = coarse or [name for name, shape in placed if _is_map(shape, size)]
    children = _children_of_sequences(private)
    blocks = [name for name in reversed(names) if name in children]
    candidates = dict.fromkeys([*names[-1:], *blocks, *reversed(names)])
    noise = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    return next((name for name in candidates if _decides(private, name, noise)), None)


def list_layers(network: nn.Module, size: tuple[int, int], channels: int = 3) -> list[Layer]:
    """The layers that run for an image of (height, width), in the order in which they finish, on a private copy.

    Layers that return no tensor are left out. One that runs more than once stands where it ran last. A grid is named
    only where its rows and columns are those of the picture (`placement`).

    >>> list_layers(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (8, 8))[0]
    Layer(name='0', kind='Conv2d', shape=(8, 6, 6), grid=(6, 6))
    """
    private = private_view(network)
    blank = torch.zeros(1, channels, *size)
    kinds = {name: type(module).__name__ for name, module in private.named_modules()}
    shapes = _shapes(private, blank)
    placed = {name for name, _ in _placed(private, blank, shapes)}
    layers: dict[str, Layer] = {}
    for name, shape in shapes:
        grid = find_grid(shape, size) if name in placed else None
        layers.pop(name, None)
        layers[name] = Layer(name, kinds[name], tuple(shape[1:]), grid and (grid.rows, grid.columns))
    return list(layers.values())


def input_channels(network: nn.Module, size: tuple[int, int]) -> int:
    """How many channels a network takes, as far as its layers tell: 3 unless no layer fits that.

    The first convolution tells, or else a first dense layer that takes exactly the pixels of a gray image.

    >>> input_channels(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU()), (8, 8))
    1
    """
    convolutions = [module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d)]
    if convolutions:
        return 3 if 3 in convolutions else convolutions[0]
    inputs = next((module.in_features for module in network.modules() if isinstance(module, nn.Linear)), 0)
    return 1 if inputs == size[0] * size[1] else 3


def _placed(private: nn.Module, blank: Tensor, shapes: Shapes | None = None) -> Shapes:
    """The layers and shapes but for those whose grid is not that of the picture."""
    size = (blank.shape[2], blank.shape[3])
    shapes = _shapes(private, blank) if shapes is None else shapes
    doubtful = any(is_doubtful(shape, size) for _, shape in shapes)
    wrong = misplaced(private, blank) if doubtful else set()
    return [(name, shape) for name, shape in shapes if name not in wrong]


def _coarse(shape: Sequence[int], size: tuple[int, int]) -> int | None:
    """The rows of the grid of a layer's output, or None where it has none that is fit to place an object."""
    grid = find_grid(shape, size)
    if grid is None or min(grid.rows, grid.columns) < SMALLEST:
        return None
    return grid.rows if grid.rows < size[0] and grid.columns < size[1] else None


def _is_map(shape: Sequence[int], size: tuple[int, int]) -> bool:
    grid = find_grid(shape, size)
    return grid is not None and min(grid.rows, grid.columns) > 1


def _decides(private: nn.Module, name: str, image: Float[Tensor, "1 channels height width"]) -> bool:
    """Whether the logits depend on any position of a layer's grid."""
    try:
        passes = look_at(private, image, lambda output: logits_of(output, 1).norm(dim=1), (name,))
    except NetworkError:
        raise
    except DeepInsideError:  # it leads elsewhere
        return False
    return bool(as_grid(passes.gradients[0][:, 0], (image.shape[2], image.shape[3])).any())


def _shapes(private: nn.Module, blank: Tensor) -> Shapes:
    """The shapes that layers return for one image, in the order in which they finish."""
    seen: Shapes = []

    def hear(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim > 1 and len(output) == 1:
            seen.append((name, output.shape))

    listen(private, blank, hear)
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


def _outermost(names: list[str], blocks: list[tuple[str, int]]) -> list[str]:
    """Of blocks on one grid, those inside the fewest blocks with another grid: not the parts of one that halves it."""
    sides = dict(blocks)

    def depth(name: str) -> int:
        return sum(name.startswith(f"{each}.") and side != sides[name] for each, side in blocks)

    least = min(map(depth, names))
    return [name for name in names if depth(name) == least]


def _runs(private: nn.Module, blank: Tensor) -> bool:
    try:
        outputs_of(private, blank)
    except DeepInsideError:  # networks of a fixed size say so in their own ways
        return False
    return True
