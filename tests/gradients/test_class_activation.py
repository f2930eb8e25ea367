"""Grad-CAM and LayerCAM against loops, plain autograd with hooks, Captum, and the closed form of CAM."""

from copy import deepcopy

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn.functional import interpolate

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read
from deepinside.gradients.class_activation import (
    FORMULAS,
    by_channel,
    by_position,
    class_activations,
    grad_cam,
    layer_cam,
)
from deepinside.gradients.question import CHUNK
from deepinside.gradients.targets import Neuron
from helpers import state_of

METHODS = {grad_cam: by_channel, layer_cam: by_position}


def images_of(count, size=8, seed=0):
    return torch.rand(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hooks(network, images, classes, layer, method, tokens=None):
    """The formulas as the papers write them, with hooks on a network of one's own; tokens are rows x columns."""
    kept = []
    module = network.get_submodule(layer)
    handle = module.register_forward_hook(lambda _, __, output: kept.append(output) or output.clone())
    logits = network(images)
    handle.remove()
    (gradients,) = torch.autograd.grad(logits[torch.arange(len(images)), classes].sum(), kept[0])
    activations = kept[0].detach()
    if tokens:
        activations, gradients = (
            each[:, -tokens[0] * tokens[1] :].transpose(1, 2).unflatten(2, tokens) for each in (activations, gradients)
        )
    weights = gradients.mean((2, 3), keepdim=True) if method is grad_cam else gradients.relu()
    maps = (weights * activations).sum(1, keepdim=True).relu()
    return interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def test_both_formulas_equal_loops():
    generator = torch.Generator().manual_seed(0)
    activations, gradients = (torch.randn(2, 4, 3, 5, generator=generator) for _ in range(2))
    for formula, weight in (
        (by_channel, lambda n, c, y, x: gradients[n, c].mean()),
        (by_position, lambda n, c, y, x: max(gradients[n, c, y, x], torch.tensor(0.0))),
    ):
        found = formula(activations, gradients)
        for n, y, x in np.ndindex(2, 3, 5):
            total = sum(weight(n, c, y, x) * activations[n, c, y, x] for c in range(4))
            assert float(found[n, y, x]) == pytest.approx(max(float(total), 0), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "5", "6"])
def test_both_are_those_of_plain_autograd_at_every_layer(method, layer, small_network):
    """Layer 1 is overwritten by the rectifier after it, which works in place."""
    images, classes = images_of(3), [1, 4, 0]
    found = method(small_network, images, classes, layer)
    slow = by_hooks(small_network.eval(), images, classes, layer, method)
    assert torch.allclose(found, slow, rtol=1e-10, atol=1e-14)
    assert found.any()


@pytest.mark.parametrize("method", METHODS)
def test_a_grid_of_tokens_is_read_as_rows_and_columns(method):
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=(64, 96), patch_size=16, depth=2, num_classes=5, embed_dim=24
    ).double()
    images = torch.rand(2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = method(network, images, [1, 4], "blocks.0")
    slow = by_hooks(network.eval(), images, [1, 4], "blocks.0", method, tokens=(4, 6))
    assert torch.allclose(found, slow, rtol=1e-8, atol=1e-14)
    assert found.any()


@pytest.mark.parametrize("method", METHODS)
def test_maps_with_the_channels_last_are_turned(method):
    class Last(nn.Module):
        def forward(self, images):
            return images.permute(0, 2, 3, 1)

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Last(), nn.GELU(), nn.Flatten(), nn.Linear(4 * 36, 5)).double()
    images = images_of(2)
    assert torch.allclose(method(network, images, 1, "1"), by_hooks(network, images, [1, 1], "0", method), rtol=1e-8)


@pytest.mark.filterwarnings("ignore:Setting forward:UserWarning")
def test_captum_agrees_on_a_trained_network(lite0, photos):
    attr = pytest.importorskip("captum.attr")
    _, image = lite0.whole(read(photos / "cat.jpg"))
    network, image = deepcopy(lite0.network).eval().double(), image[:, :, ::2, ::2].double()
    for layer in ("model.blocks.4", "model.bn2"):
        theirs = attr.LayerGradCam(network, network.get_submodule(layer)).attribute(
            image, target=281, relu_attributions=True
        )
        theirs = interpolate(theirs.detach(), image.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        found = grad_cam(network, image, 281, layer)
        assert float((found - theirs).abs().max() / theirs.max()) < 1e-5
        slow = by_hooks(network, image, [281], layer, layer_cam)
        assert float((layer_cam(network, image, 281, layer) - slow).abs().max() / slow.max()) < 1e-5


def test_grad_cam_is_cam_before_average_pooling_and_one_linear_layer():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
    ).double()
    images = images_of(2)
    weights, features = network[4].weight.detach(), network[1](network[0](images)).detach()
    for target in range(5):
        cam = (weights[target, :, None, None] * features).sum(1, keepdim=True).relu() / 36
        expected = interpolate(cam, (8, 8), mode="bilinear", align_corners=False)[:, 0]
        assert torch.allclose(grad_cam(network, images, target, "1"), expected, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_every_form_of_targets_goes_through(method, small_network):
    images = images_of(2)
    table = torch.tensor([[1, 2], [3, 0]])
    several = method(small_network, images, table, "3")
    assert several.shape == (2, 2, 8, 8)
    for k in range(2):
        assert torch.allclose(several[:, k], method(small_network, images, table[:, k].tolist(), "3"))
    own = method(small_network, images, lambda logits: 2 * logits[:, 1], "3")
    assert torch.allclose(own, 2 * method(small_network, images, 1, "3"))
    assert method(small_network, images, Neuron("5", 2, at=(1, 0)), "3").shape == (2, 8, 8)


def test_both_from_one_pass_in_chunks_equal_each_alone(small_network):
    images, classes = images_of(CHUNK + 2), torch.arange(CHUNK + 2) % 5
    both = class_activations(small_network, images, classes, "3", [*FORMULAS.values()])
    for maps, method in zip(both, METHODS, strict=True):
        for number in (0, CHUNK + 1):
            alone = method(small_network, images[number : number + 1], int(classes[number]), "3")
            assert torch.allclose(maps[number], alone[0], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_alone_in_every_mode(method, small_network):
    images = images_of(2).requires_grad_()
    small_network.train()
    before = state_of(small_network)
    expected = method(small_network, images, 1, "3")
    assert not expected.requires_grad
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(method(small_network, images, 1, "3"), expected)
    with pytest.raises(DeepInsideError, match=r"expected a layer with a grid.*got \(2, 8\)"):
        method(small_network, images, 1, "8")
    with pytest.raises(DeepInsideError, match="expected the name of a layer, got 'features'"):
        method(small_network, images, 1, "features")
    with pytest.raises(DeepInsideError, match="depends on layer '5'"):
        method(small_network, images, Neuron("3", 0), "5")
    assert state_of(small_network) == before


def test_a_layer_whose_positions_are_not_those_of_the_picture_is_refused():
    class Shuffled(nn.Module):
        def forward(self, images):
            tokens = images.flatten(2).transpose(1, 2)
            return tokens[:, torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))]

    network = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), Shuffled(), nn.Flatten(), nn.Linear(6 * 64, 5)).double()
    with pytest.raises(DeepInsideError, match="expected layer '1' to have rows and columns as the picture has them"):
        grad_cam(network, images_of(1, 32), 0, "1")
