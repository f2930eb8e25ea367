"""Whether a layer's tokens lie as its grid is read: found by changing a part of a picture and seeing what answers.

Nothing in a shape tells whether tokens stand row by row. Hiera keeps them in the order of its pooling, NesT in blocks,
MobileViT v2 by their place within patches: read as rows and columns, their maps would be of scattered places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.grids import Grid, as_grid, find_grid
from deepinside.gradients.private import private_view
from deepinside.gradients.running import listen

# Correlation between where the picture was changed and where a layer has answered. In nine families of networks, random
# and trained, tokens in rows and columns have at least 0.57 wherever the answer varies, scattered ones at most 0.1, and
# attention heads that pass for rows at most 0.46.
PLACED = 0.5
# How much the answer has to vary over positions, relative to its mean, before it says anything: where every token
# attends to all alike, every token answers alike.
EVIDENT = 0.7
SKEWED = 1.5  # the factor up to which a grid's proportions may differ from the picture's without being looked at


class _Answer(NamedTuple):
    correlation: float
    positions: int
    is_evident: bool


# Of a layer that does not return one output for each picture, such as a table of relative positions.
_OF_NO_PICTURE = _Answer(0.0, positions=-1, is_evident=True)


def is_doubtful(shape: Sequence[int], size: tuple[int, int]) -> bool:
    """Whether an output of this shape has a grid that the shape alone does not vouch for.

    >>> is_doubtful((1, 64, 28, 28), (224, 224)), is_doubtful((1, 197, 192), (224, 224))
    (False, True)
    """
    grid = find_grid(shape, size)
    return grid is not None and (grid.prefix is not None or grid.channels_last or _is_skewed(grid, size))


def misplaced(private: nn.Module, images: Float[Tensor, "batch channels height width"]) -> set[str]:
    """The layers whose grid, as `as_grid` reads it, is not that of the picture.

    Where a layer's own answer says nothing, that of the nearest layer before it with as many positions counts.

    Args:
        private: a private view of the network.
        images: of the shape, device and precision that the network is run with.
    """
    wrong: set[str] = set()
    in_place: dict[int, bool] = {}  # by the number of positions, for the last layer that said something
    for name, answer in _answers(private, images).items():
        if answer.is_evident:
            in_place[answer.positions] = answer.correlation >= PLACED
        if not in_place.get(answer.positions, True):
            wrong.add(name)
    return wrong


def check_placed(
    network: nn.Module, name: str, shape: Sequence[int], images: Float[Tensor, "batch channels height width"]
) -> None:
    """Raise `DeepInsideError` for a layer whose grid, as `as_grid` reads it, is not that of the picture.

    Args:
        network: is left as it is, and run only where the shape does not vouch for the grid.
        name: of the layer.
        shape: of what it returned for the images.
        images: what the network was run with.
    """
    if not is_doubtful(shape, (images.shape[2], images.shape[3])):
        return
    private = private_view(network)
    answer = _answers(private, images, [name]).get(name)
    if answer is None or (answer.is_evident and answer.correlation >= PLACED):
        return
    if answer.is_evident or name in misplaced(private, images):
        raise DeepInsideError(
            f"expected layer {name!r} to have rows and columns as the picture has them, but its positions are others, "
            "or in another order; look at another layer, such as the last that `deepinside layers` lists with a grid"
        )


def _answers(private: nn.Module, images: Tensor, names: Iterable[str] | None = None) -> dict[str, _Answer]:
    """What the layers with a doubtful grid say, by name, in the order in which they finish; all layers by default."""
    size, changed = (images.shape[2], images.shape[3]), _changed(images)
    heard: dict[str, _Answer] = {}

    def hear(name: str, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim < 3:
            return
        if len(output) != len(changed):
            heard[name] = _OF_NO_PICTURE
        elif is_doubtful(output.shape, size):
            heard.pop(name, None)
            heard[name] = _answer(output.detach(), size)

    listen(private, changed, hear, names)
    return heard


def _changed(images: Tensor) -> Float[Tensor, "3 channels height width"]:
    """A picture of noise, then with other noise in its left half, then in its upper half."""
    _, channels, height, width = images.shape
    first, second = torch.rand((2, channels, height, width), generator=torch.Generator().manual_seed(0))
    left, upper = first.clone(), first.clone()
    left[..., : width // 2] = second[..., : width // 2]
    upper[..., : height // 2, :] = second[..., : height // 2, :]
    return torch.stack([first, left, upper]).to(images)


def _answer(output: Tensor, size: tuple[int, int]) -> _Answer:
    """How the answer to the left change, less that to the upper one, agrees with where they were."""
    maps = as_grid(output.float(), size)
    changes = (maps[1:] - maps[:1]).norm(dim=1)
    changes = changes / changes.mean(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    difference = changes[0] - changes[1]
    rows, columns = difference.shape
    x, y = (torch.arange(count, device=output.device) + 0.5 for count in (columns, rows))
    expected = (x < columns / 2).float()[None, :] - (y < rows / 2).float()[:, None]
    correlation = torch.corrcoef(torch.stack([difference.flatten(), expected.flatten()]))[0, 1]
    is_evident = bool(difference.std() > EVIDENT) or _is_skewed(Grid(rows, columns), size)
    return _Answer(float(correlation.nan_to_num()), rows * columns, is_evident)


def _is_skewed(grid: Grid, size: tuple[int, int]) -> bool:
    if grid.rows * grid.columns == 1:  # pooled over the picture, of whatever proportions: nothing to misplace
        return False
    ratio = grid.rows * size[1] / (max(grid.columns, 1) * size[0])
    return not 1 / SKEWED <= ratio <= SKEWED
