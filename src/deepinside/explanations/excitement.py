"""Which neurons of a network see what is at a point of a photo (Sect. 4: "any neuron in any layer").

One forward pass on the whole photo. What excites such a neuron, `reconstruct` shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, nearest
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo, as_photo
from deepinside.gradients.grids import as_grid
from deepinside.gradients.private import private_view
from deepinside.gradients.running import listen, single
from deepinside.gradients.targets import Neuron
from deepinside.networks.classifier import Classifier, as_classifier
from deepinside.networks.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

COARSEST = 5  # grids of the default layers, at most; finer ones see edges and colors
SPREAD = 4  # default layers where all grids are one size
# Attention weights, (heads, tokens, tokens), pass for maps, and modules of these kinds alone return them.
PASSING = frozenset({"Dropout", "Identity", "Softmax"})
NUMBERED = re.compile(r"(.*?)\d+")  # `blocks.3`, `encoder_layer_3`


@dataclass(frozen=True)
class Excitement:
    """A neuron and how far it is excited.

    `activation` is its own, and `excess` by how much that is above the mean of its channel over the grid. `cell` is the
    part of the photo that its position stands for, in photo pixels, not rounded; what it can see is larger.
    """

    neuron: Neuron
    activation: float
    excess: float
    cell: Box


def excited_at(
    classifier: Classifier | nn.Module,
    photo: Photo | Image.Image | ArrayLike | Tensor | str | os.PathLike[str],
    x: float,
    y: float,
    *,
    layers: Sequence[str] | None = None,
    count: int = 3,
) -> tuple[Excitement, ...]:
    """The neurons that are most excited at a point of a photo, layer by layer, and in a layer the most excited first.

    A channel counts by its activation there minus its mean over the layer's grid, so that one that is high everywhere
    comes after one that answers to this point. `reconstruct` and `deepinside saliency --neuron` take the neurons.

    Args:
        classifier: as `explain` takes it.
        photo: as `explain` takes it.
        x, y: the point in pixels of the upright photo, from its upper left corner.
        layers: names that `deepinside layers` lists with a grid; by default the last layer of each size of grid, the
            five coarsest at most, from fine to coarse, or four over the depth of a network with one size, as a ViT.
        count: how many neurons of each layer, or all where it has fewer channels.

    Raises `DeepInsideError` for a point outside of the photo, an unknown layer, one without a grid, and a network that
    fails on the photo.
    """
    classifier, shown = as_classifier(classifier), as_photo(photo)
    _check_asked(shown, x, y, count)
    known = {layer.name: layer for layer in classifier.layers()}
    names = default_layers(known.values()) if layers is None else _checked(layers, known)
    frame, image = classifier.whole(shown)
    heard: dict[str, list[Excitement]] = {}

    def hear(name: str, output: object) -> None:
        # At once, since the next layer may write over it. A layer that runs more than once counts as it ran last.
        assert isinstance(output, Tensor)
        maps = single(as_grid(output.detach(), classifier.size))[0]
        heard[name] = _strongest(name, maps, _cell(maps.shape[-2:], frame, x, y), frame, count)

    # Not the folded copy of a frozen classifier, in which a convolution returns what its batch norm makes of it.
    listen(private_view(classifier.fast), image, hear, names)
    for name in names:
        if name not in heard:
            raise DeepInsideError(f"the network did not run its layer {name!r}; look at one that it runs")
    return tuple(chain.from_iterable(heard[name] for name in names))


def default_layers(layers: Collection[Layer]) -> list[str]:
    """The layers that `excited_at` looks at, of those that a network has.

    Raises `DeepInsideError` where none has a grid of several cells.

    >>> default_layers([Layer("0", "Conv2d", (8, 6, 6), (6, 6)), Layer("1", "Conv2d", (8, 2, 2), (2, 2))])
    ['0', '1']
    """
    by_grid: dict[tuple[int, int], list[Layer]] = {}
    for layer in layers:
        if layer.grid is not None and layer.grid != (1, 1):
            by_grid.setdefault(layer.grid, []).append(layer)
    found = [mine for mine in by_grid.values() if any(layer.kind not in PASSING for layer in mine)]
    if not found:
        raise DeepInsideError(
            "expected a network that has a layer with a grid, got none; `deepinside layers` lists all"
        )
    if len(found) == 1:
        return _spread(found[0])
    lasts = {layer.grid: layer for layer in _blocks(list(chain.from_iterable(found)))}
    return [layer.name for layer in sorted(lasts.values(), key=_cells, reverse=True)[-COARSEST:]]


def _blocks(layers: Sequence[Layer]) -> Sequence[Layer]:
    """The numbered layers that span most grids, the outermost of such, as blocks are; else all.

    The last layer of all on a grid is often within the block that leads to the next grid, behind its first activation
    function, where a neuron may be saturated.
    """
    numbered = _numbered(layers)
    counts = {name: len({layer.grid for layer in mine}) for name, mine in numbered.items()}
    most = max(counts.values(), default=1)
    if most == 1:
        return layers
    return numbered[min((name for name in counts if counts[name] == most), key=lambda name: name.count("."))]


def _numbered(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """The layers whose names are equal but for a number at the end."""
    numbered: dict[str, list[Layer]] = {}
    for layer in layers:
        if match := NUMBERED.fullmatch(layer.name):
            numbered.setdefault(match[1], []).append(layer)
    return numbered


def _cells(layer: Layer) -> int:
    assert layer.grid is not None
    return layer.grid[0] * layer.grid[1]


def _spread(layers: Sequence[Layer]) -> list[str]:
    """A few layers on one grid, evenly over the depth: of the outermost ones that are numbered, as blocks are."""
    sequences = [[layer.name for layer in mine] for mine in _numbered(layers).values() if len(mine) > 1]
    outermost = min(sequences, key=lambda names: names[0].count("."), default=[layer.name for layer in layers])
    chosen = (outermost[-(-len(outermost) * part // SPREAD) - 1] for part in range(1, SPREAD + 1))
    return list(dict.fromkeys(chosen))


def _checked(layers: Sequence[str], known: Mapping[str, Layer]) -> list[str]:
    names = list(dict.fromkeys([layers] if isinstance(layers, str) else layers))
    placed = [name for name, layer in known.items() if layer.grid is not None]
    for name in names:
        if name not in known:
            raise DeepInsideError(f"expected the name of a layer, got {name!r}; {nearest(name, known)}")
        if name not in placed:
            raise DeepInsideError(
                f"expected a layer with a grid, got {name!r}, {known[name].shape}; {nearest(name, placed)}"
            )
    return names


def _check_asked(photo: Photo, x: float, y: float, count: int) -> None:
    if not (0 <= x < photo.width and 0 <= y < photo.height):
        raise DeepInsideError(
            f"expected a point inside of the photo's {photo.width} x {photo.height} pixels, got ({x}, {y})"
        )
    if count < 1:
        raise DeepInsideError(f"expected at least 1 neuron of each layer as the count, got {count}")


def _cell(grid: Sequence[int], frame: Frame, x: float, y: float) -> tuple[int, int]:
    """Row and column of the cell under a point; rounding may take one at the very edge beyond the last."""
    rows, columns = grid
    row, column = int(y * rows / frame.photo_height), int(x * columns / frame.photo_width)
    return min(row, rows - 1), min(column, columns - 1)


def _strongest(
    name: str, maps: Float[Tensor, "channels rows columns"], at: tuple[int, int], frame: Frame, count: int
) -> list[Excitement]:
    (row, column), (_, rows, columns) = at, maps.shape
    activations = maps[:, row, column]
    excess = activations - maps.mean(dim=(1, 2))
    if not excess.isfinite().all():
        raise DeepInsideError(f"expected finite activations of layer {name!r}, got NaN or infinity")
    width, height = frame.photo_width / columns, frame.photo_height / rows
    cell = Box(column * width, row * height, (column + 1) * width, (row + 1) * height)
    channels = excess.argsort(descending=True, stable=True)[:count].tolist()
    return [Excitement(Neuron(name, k, at), float(activations[k]), float(excess[k]), cell) for k in channels]
