"""Folding changes nothing but speed, keeps layer names, and steps back where it cannot be right."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from deepinside.folded import TOLERANCE, folded
from deepinside.probe import frozen, look


def norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def shaken(network):
    """Random statistics, as a trained network has them; those of a new one fold to nothing."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return network


@pytest.mark.parametrize("make", [
    lambda: torchvision.models.resnet18(num_classes=10), lambda: torchvision.models.mobilenet_v3_small(num_classes=10),
    lambda: timm.create_model("tf_efficientnet_lite0", num_classes=10),
    lambda: timm.create_model("regnety_002", num_classes=10),
])  # fmt: skip
def test_real_architectures_fold_completely_and_agree(make):
    torch.manual_seed(0)
    network = frozen(shaken(make()).double())
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    fast = folded(network, images[:1])
    assert norms(network) > 5
    assert norms(fast) == 0
    classes = torch.tensor([[1, 2], [3, 4]])
    slow, quick = look(network, images, classes), look(fast, images, classes)
    assert torch.allclose(quick.logits, slow.logits, rtol=1e-9, atol=1e-12)
    scale = slow.gradients[0].abs().max()
    assert torch.allclose(quick.gradients[0], slow.gradients[0], rtol=1e-7, atol=1e-9 * float(scale))
    assert dict(network.named_modules()).keys() >= dict(fast.named_modules()).keys()
    gone = dict(network.named_modules()).keys() - dict(fast.named_modules()).keys()
    assert not gone, "every layer can still be looked at"


def test_embedded_network_stays_within_the_tolerance(lite0, photos):
    from deepinside import Frame, read
    from deepinside.images import view

    network = frozen(lite0.network)
    photo = read(photos / "cat.jpg")
    image = view(photo, Frame.whole(photo.width, photo.height, width=224, height=224))
    fast = folded(network, image)
    assert norms(fast) == 0
    assert (fast(image) - network(image)).abs().max() <= TOLERANCE * network(image).abs().max()


class Shared(nn.Module):
    """The convolution's output is used beside the batch norm, so the norm must stay."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), shaken(nn.BatchNorm2d(4))

    def forward(self, images):
        features = self.convolution(images)
        return (self.norm(features) * features).mean((2, 3))


class Twice(nn.Module):
    """One convolution before two batch norms."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norms = shaken(nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)]))

    def forward(self, images):
        return sum(norm(self.convolution(images)).mean((2, 3)) * (k + 1) for k, norm in enumerate(self.norms))


@pytest.mark.parametrize("make", [Shared, Twice])
def test_networks_that_use_an_output_twice_are_left_as_they_are(make):
    torch.manual_seed(0)
    network = frozen(make())
    assert folded(network, torch.rand(1, 3, 16, 16)) is network or norms(folded(network, torch.rand(1, 3, 16, 16))) > 0
    images = torch.rand(2, 3, 16, 16)
    assert torch.allclose(folded(network, images[:1])(images), network(images), atol=1e-6)


def test_the_original_keeps_its_weights():
    network = shaken(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(frozen(network), torch.rand(1, 3, 16, 16))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
