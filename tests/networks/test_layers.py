"""The stages of real architectures, by name; random weights do, since names and grids are what counts."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from deepinside.networks.layers import Stages, find_stages, last_layer, list_layers
from helpers import state_of


def stages_of(network, size=224, larger=320):
    return find_stages(network, (size, size), (larger, larger))


@pytest.mark.parametrize(("make", "expected"), [
    (lambda: timm.create_model("tf_efficientnet_lite0"), Stages("blocks.2", "blocks.4", "blocks.4", "bn2", True)),
    (lambda: torchvision.models.resnet18(), Stages("layer2.1", "layer3.1", "layer3.1", "layer4", True)),
    # Its last grid, 13 x 13, is that of stride 16: the middle is the block halfway on it. Stride 8 ends before a pool.
    (lambda: torchvision.models.squeezenet1_1(),
     Stages("features.7", "features.11", "features.11", "classifier.2", True)),
    # It has one grid only: two thirds of the way.
    (lambda: timm.create_model("vit_tiny_patch16_224"), Stages(None, "blocks.7", "blocks.7", "norm", False)),
    # Its blocks widen before they halve the grid: the wide layer tells things apart, but is no block.
    (lambda: torchvision.models.mobilenet_v2(),
     Stages("features.7.conv.0", "features.14.conv.0", "features.13", "features", True)),
    # However a network is wrapped.
    (lambda: nn.Sequential(torchvision.models.mobilenet_v2().features, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
     Stages("0.7.conv.0", "0.14.conv.0", "0.13", "0", True)),
])  # fmt: skip
def test_real_architectures(make, expected):
    assert stages_of(make()) == expected


def test_network_without_a_grid_has_no_stages():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    assert find_stages(network, (8, 8), (12, 12)) == Stages(None, None, None, None, False)


def test_finding_stages_changes_nothing():
    network = torchvision.models.resnet18().train()
    before = state_of(network)
    stages_of(network, 64, 96)
    assert state_of(network) == before


@pytest.mark.parametrize(("make", "size", "expected"), [
    (lambda: timm.create_model("tf_efficientnet_lite0"), 224, "bn2"),
    (lambda: torchvision.models.resnet18(), 224, "layer4"),
    # A grid of 2 x 2 is too coarse to place an object.
    (lambda: torchvision.models.resnet18(), 64, "layer3"),
    # The scores are read of the class token, so that nothing reaches the other tokens of the last block.
    (lambda: timm.create_model("vit_tiny_patch16_224", depth=3), 224, "blocks.1"),
    (lambda: timm.create_model("vit_tiny_patch16_224", depth=3, global_pool="avg"), 224, "norm"),
    (lambda: timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1)), 224, "norm"),
    # A grid as fine as the image, where there is no other.
    (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 8, "1"),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)), 8, None),
])  # fmt: skip
def test_the_last_layer_is_one_that_the_scores_depend_on(make, size, expected):
    torch.manual_seed(0)
    network = make().train()
    before = state_of(network)
    assert last_layer(network, (size, size)) == expected
    assert state_of(network) == before


def test_a_layer_that_leads_elsewhere_is_not_the_last():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.beside = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 1)

        def forward(self, images):
            features = self.features(images)
            self.beside(features)
            return features.mean((2, 3))

    torch.manual_seed(0)
    assert last_layer(Beside(), (16, 16)) == "features"


def test_layers_are_listed_as_they_ran_with_shapes_and_grids():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    before = state_of(network)
    layers = list_layers(network, (10, 12))
    assert [(layer.name, layer.kind, layer.shape, layer.grid) for layer in layers] == [
        ("0", "Conv2d", (8, 8, 10), (8, 10)), ("1", "ReLU", (8, 8, 10), (8, 10)),
        ("2", "AdaptiveAvgPool2d", (8, 1, 1), (1, 1)), ("3", "Flatten", (8,), None), ("4", "Linear", (2,), None),
    ]  # fmt: skip
    assert state_of(network) == before


def test_every_listed_layer_can_be_looked_at():
    network = timm.create_model("vit_tiny_patch16_224", depth=2)
    shapes = {
        name: tuple(output.shape[1:]) for name, output in outputs_of(network, torch.zeros(1, 3, 224, 224)).items()
    }
    layers = list_layers(network, (224, 224))
    assert {layer.name: layer.shape for layer in layers} == shapes
    assert {layer.name: layer.grid for layer in layers}["blocks.1"] == (14, 14)


def outputs_of(network, images):
    outputs = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
        for name, module in network.eval().named_modules() if name
    ]  # fmt: skip
    network(images)
    for handle in handles:
        handle.remove()
    return outputs


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_scripted_networks_have_no_layers_to_look_at():
    body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert list_layers(torch.jit.script(body), (8, 8)) == []
    mixed = nn.Sequential(torch.jit.script(body[:2]), body[2:])
    assert [layer.name for layer in list_layers(mixed, (8, 8))] == ["1.2", "1.3", "1"]
