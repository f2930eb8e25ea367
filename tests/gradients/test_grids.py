"""Grids read from shapes alone, for pictures of any proportions, and against the grids of real architectures."""

import pytest
import timm
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.grids import Grid, as_grid, find_grid


@pytest.mark.parametrize(("shape", "picture", "grid"), [
    ((1, 8, 14, 14), (224, 224), Grid(14, 14)), ((1, 14, 14, 8), (224, 224), Grid(14, 14, True)),
    ((1, 7, 7, 7), (224, 224), Grid(7, 7)), ((1, 8, 7, 10), (224, 320), Grid(7, 10)),
    ((1, 7, 10, 768), (224, 320), Grid(7, 10, True)), ((1, 1, 1, 1), (224, 224), Grid(1, 1)),
    ((1, 197, 16), (224, 224), Grid(14, 14, prefix=1)), ((1, 196, 16), (224, 224), Grid(14, 14, prefix=0)),
    ((1, 198, 16), (224, 224), Grid(14, 14, prefix=2)), ((1, 201, 16), (224, 224), Grid(14, 14, prefix=5)),
    ((1, 1 + 14 * 20, 16), (224, 320), Grid(14, 20, prefix=1)), ((1, 10, 16), (224, 224), None),
    ((1, 8, 3, 14, 14), (224, 224), None), ((1, 1000), (224, 224), None), ((1, 13 * 14, 16), (224, 224), None),
    ((1, 196 + 8, 16), (224, 224), Grid(14, 14, prefix=8)), ((1, 196 + 9, 16), (224, 224), None),  # of 8 at most
    ((1, 1 + 16, 16), (224, 224), Grid(4, 4, prefix=1)), ((1, 3, 16), (224, 224), None),  # of 4 x 4 at least
    ((1, 7 * 10, 16), (100, 150), Grid(7, 10, prefix=0)), ((1, 8 * 11, 16), (100, 150), Grid(8, 11, prefix=0)),

    ((1, 10 * 7, 16), (150, 100), Grid(10, 7, prefix=0)), ((1, 11 * 8, 16), (150, 100), Grid(11, 8, prefix=0)),
    ((1, 7 * 14, 16), (100, 224), Grid(7, 14, prefix=0)),  # of 6.25 x 14 patches
    ((1, 6 * 12 + 6, 16), (96, 192), Grid(6, 12, prefix=6)),  # and not 6 x 13, which fits less
    ((1, 8 * 16 + 8, 16), (128, 256), Grid(8, 16, prefix=8)),
    ((1, 3, 1, 4), (224, 224), Grid(3, 1, True)), ((1, 4, 1, 3), (224, 224), Grid(1, 3)),  # the one nearer to a square
])  # fmt: skip
def test_shapes(shape, picture, grid):
    assert find_grid(shape, picture) == grid


def test_tokens_become_the_grid_they_came_from():
    grid = torch.arange(2 * 3 * 20.0).view(2, 3, 4, 5)
    tokens = torch.cat([torch.zeros(2, 1, 3), grid.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(as_grid(tokens, (64, 80)), grid)
    assert torch.equal(as_grid(grid, (64, 80)), grid)
    assert torch.equal(as_grid(grid.permute(0, 2, 3, 1), (64, 80)), grid)


@pytest.mark.parametrize(("name", "layer", "side"), [
    ("vit_tiny_patch16_224", "blocks.3", 14), ("deit_tiny_distilled_patch16_224", "blocks.3", 14),
    ("vit_small_patch16_dinov3", "blocks.3", 16), ("swin_tiny_patch4_window7_224", "layers.1", 28),
    ("convnext_atto", "stages.1", 28),
])  # fmt: skip
def test_real_architectures_see_a_patch_where_it_is(name, layer, side):
    """A bright patch moves the activations of its own place most, if places are read in the right order."""
    torch.manual_seed(0)
    depth = {"depth": 4} if "vit" in name or "deit" in name else {}
    network = timm.create_model(name, **depth).eval()
    size = network.pretrained_cfg["input_size"][1]
    outputs = []
    network.get_submodule(layer).register_forward_hook(lambda _, __, output: outputs.append(output))
    plain = torch.zeros(1, 3, size, size)
    marked = plain.clone()
    step = size // side
    marked[..., 4 * step : 6 * step, 9 * step : 11 * step] = 1
    with torch.no_grad():
        network(plain), network(marked)
    moved = (as_grid(outputs[1]) - as_grid(outputs[0])).norm(dim=1)[0]
    assert moved.shape == (side, side)
    row, column = divmod(int(moved.argmax()), side)
    assert 3 <= row <= 6
    assert 8 <= column <= 11


def test_output_without_a_grid_is_named():
    with pytest.raises(DeepInsideError, match=r"with a grid.*got \(2, 1000\)"):
        as_grid(torch.zeros(2, 1000))
