"""The stages of real architectures, by name; random weights do, since names and grids are what counts."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from conftest import state_of
from deepinside.layers import Stages, as_grid, find_stages, grid_side


def stages_of(network, size=224, larger=320):
    return find_stages(network, (size, size), (larger, larger))


@pytest.mark.parametrize(("make", "expected"), [
    (lambda: timm.create_model("tf_efficientnet_lite0"), Stages("blocks.2", "blocks.4", "bn2", True)),
    (lambda: torchvision.models.resnet18(), Stages("layer2", "layer3", "layer4", True)),
    (lambda: torchvision.models.squeezenet1_1(), Stages(None, None, None, True)),
    (lambda: timm.create_model("vit_tiny_patch16_224"), Stages(None, "blocks.5", "norm", False)),
])  # fmt: skip
def test_real_architectures(make, expected):
    found = stages_of(make())
    for name in ("fine", "middle", "last"):
        wanted = getattr(expected, name)
        if wanted is not None:
            assert (getattr(found, name) or "").startswith(wanted)
    assert found.any_size == expected.any_size
    assert found.last is not None


def test_network_without_a_grid_has_no_stages():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    assert find_stages(network, (8, 8), (12, 12)) == Stages(None, None, None, False)


def test_finding_stages_changes_nothing():
    network = torchvision.models.resnet18().train()
    before = state_of(network)
    stages_of(network, 64, 96)
    assert state_of(network) == before


@pytest.mark.parametrize(("shape", "side"), [
    ((1, 8, 14, 14), 14), ((1, 8, 3, 3), None), ((1, 8, 224, 224), None), ((1, 197, 16), 14), ((1, 196, 16), 14),
    ((1, 201, 16), 14), ((1, 10, 16), None), ((1, 1000), None),
])  # fmt: skip
def test_grid_side(shape, side):
    assert grid_side(torch.zeros(shape), 224) == side
    assert grid_side("no tensor", 224) is None


def test_tokens_become_the_grid_they_came_from():
    grid = torch.arange(2 * 3 * 25.0).view(2, 3, 5, 5)
    tokens = torch.cat([torch.zeros(2, 1, 3), grid.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(as_grid(tokens), grid)
    assert torch.equal(as_grid(grid), grid)
