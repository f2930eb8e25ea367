"""The paper's network: its size counted by hand, its normalization against PyTorch's."""

import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.networks.convnet2013 import ConvNet2013, LocalResponseNorm, gaussian_, he_


def counted(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_network_has_as_many_parameters_as_counted_by_hand():
    by_hand = (
        (64 * 3 * 11 * 11 + 64)
        + (256 * 64 * 5 * 5 + 256)
        + 3 * (256 * 256 * 3 * 3 + 256)
        + (6 * 6 * 256 * 4096 + 4096)  # 224 -> 54 -> 27 -> 13 -> 6
        + (4096 * 4096 + 4096)
        + (4096 * 1000 + 1000)
    )
    assert counted(ConvNet2013()) == by_hand == 60_834_536


def test_the_small_variant_too():
    by_hand = (
        (64 * 3 * 7 * 7 + 64)
        + (256 * 64 * 5 * 5 + 256)
        + 3 * (256 * 256 * 3 * 3 + 256)
        + (3 * 3 * 256 * 1024 + 1024)  # 64 -> 29 -> 14 -> 7 -> 3
        + (1024 * 1024 + 1024)
        + (1024 * 20 + 20)
    )
    assert counted(ConvNet2013(20, size=64)) == by_hand
    assert counted(ConvNet2013(20, size=64, hidden_units=256)) < by_hand


@pytest.mark.parametrize(("size", "places"), [
    (224, [54, 27, 27, 13, 13, 13, 13, 6]),
    (64, [29, 14, 14, 7, 7, 7, 7, 3]),
])  # fmt: skip
def test_grids_of_the_layers(size, places):
    network = ConvNet2013(5, size=size, hidden_units=8)
    image, seen = torch.zeros(1, 3, size, size), []
    for name, layer in network.features.named_children():
        image = layer(image)
        if name.startswith(("conv", "pool")):
            seen.append(image.shape[-1])
    assert seen == places


def test_response_normalization_is_the_sum_of_five_neighbors():
    x = torch.randn(2, 9, 4, 3, dtype=torch.float64)
    by_hand = torch.empty_like(x)
    for channel in range(9):
        near = x[:, max(channel - 2, 0) : channel + 3]
        by_hand[:, channel] = x[:, channel] / (1 + 0.5 * (near**2).sum(dim=1)) ** 0.75
    torch.testing.assert_close(LocalResponseNorm(9, alpha=0.5)(x), by_hand, rtol=1e-6, atol=0)
    torch.testing.assert_close(nn.LocalResponseNorm(5, alpha=2.5, beta=0.75, k=1.0)(x), by_hand)


def test_weights_are_gaussian_of_a_hundredth_and_biases_zero():
    torch.manual_seed(0)
    network = ConvNet2013(20, size=64)
    assert network.features.conv3.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not network.features.conv3.bias.any()
    he_(network)
    assert network.features.conv3.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert network.classifier.full8.weight.std().item() == pytest.approx(0.01, rel=0.05)
    gaussian_(network)
    assert network.classifier.full6.weight.std().item() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(("classes", "size"), [(1, 64), (20, 31)])
def test_nothing_to_tell_apart_and_nothing_to_see_are_refused(classes, size):
    with pytest.raises(DeepInsideError, match="at least 2 classes and 32 pixels"):
        ConvNet2013(classes, size=size)
