"""Folding changes nothing but speed, keeps layer names, and steps back where it cannot be right."""

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn

from deepinside.gradients.folded import (
    TOLERANCE,
    _alike,
    _Clipped,
    _Evened,
    _is_unevenly_padded,
    _Spending,
    _Strided,
    _strides_over_an_image,
    folded,
)
from deepinside.gradients.private import private_view
from deepinside.gradients.probe import look


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
    network = private_view(shaken(make()).double())
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    fast = folded(network, images[:1])
    assert norms(network) > 5
    assert norms(fast) == 0
    assert not any(parameter.requires_grad for parameter in fast.parameters())
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
    from deepinside.core.images import view

    network = private_view(lite0.network)
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
    network = private_view(make())
    assert folded(network, torch.rand(1, 3, 16, 16)) is network or norms(folded(network, torch.rand(1, 3, 16, 16))) > 0
    images = torch.rand(2, 3, 16, 16)
    assert torch.allclose(folded(network, images[:1])(images), network(images), atol=1e-6)


def test_the_original_keeps_its_weights():
    network = shaken(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(private_view(network), torch.rand(1, 3, 16, 16))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("size", [64, 65, (64, 97), (33, 64)])
@pytest.mark.parametrize("side", [3, 5])
def test_an_even_kernel_does_what_uneven_padding_does(size, side):
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    original = private_view(Conv2dSame(4, 4, side, stride=2, groups=4).double())
    images = torch.rand(2, 4, *((size, size) if isinstance(size, int) else size), dtype=torch.float64)
    evened = _Evened(original)
    assert torch.allclose(evened(images), original(images), rtol=1e-12, atol=1e-12)
    signal = torch.rand_like(original(images))
    pulled = [
        torch.autograd.grad(f(x), x, signal)[0] for f in (evened, original) for x in [images.clone().requires_grad_()]
    ]
    assert torch.allclose(*pulled, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 64), (65, 98), (40, 67)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(7, 2, 3), (11, 4, 2), (11, 4, 0), (4, 4, 0), (16, 16, 0), ((5, 8), 3, (1, 2))]
)
def test_a_strided_convolution_goes_back_as_a_plain_one(size, kernel, stride, padding):
    torch.manual_seed(0)
    original = private_view(nn.Conv2d(3, 6, kernel, stride, padding).double())
    images = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    output, expected = _Strided(original)(images), original(images)
    assert torch.equal(output, expected)
    signal = torch.rand_like(output)
    came, slow = (torch.autograd.grad(value, images, signal)[0] for value in (output, expected))
    assert torch.allclose(came, slow, rtol=1e-12, atol=1e-12)


def test_the_first_layer_of_usual_networks_is_one():
    for name in ("resnet18", "vit_tiny_patch16_224", "convnext_atto"):
        torch.manual_seed(0)
        network = private_view(timm.create_model(name, num_classes=10))
        images = torch.rand(2, 3, 224, 224)
        fast = folded(network, images[:1])
        assert any(isinstance(module, _Strided) for module in fast.modules()), name
        targets = torch.tensor([[1], [3]])
        with torch.autocast("cpu", torch.bfloat16):
            assert look(fast, images[:1], targets[:1]).gradients[0].dtype == torch.float32
        ours, theirs = (look(each, images, targets).gradients[0] for each in (fast, network))
        assert float((ours - theirs).norm() / theirs.norm()) < 3e-2, name


@pytest.mark.parametrize("original", [nn.ReLU(True), nn.ReLU6(True), nn.Hardtanh(-0.5, 1.5, True)])
@pytest.mark.parametrize("once", [True, False])
def test_a_rectifier_that_keeps_its_output_is_the_same_to_the_bit(original, once):
    signal = torch.cat([torch.randn(500) * 4, torch.tensor([0.0, 6.0, -0.5, 1.5])])
    down = torch.randn(504)
    network = _Clipped(original, _Spending(once))
    expected, came = (f((x := signal.clone().requires_grad_()) * 1) for f in (original, network))
    values = expected.detach().clone()
    assert torch.equal(came, values)
    x = signal.clone().requires_grad_()
    assert torch.equal(
        torch.autograd.grad(network(x * 1), x, down)[0], torch.autograd.grad(original(x * 1), x, down)[0]
    )


def test_memory_is_spent_only_where_nobody_holds_it():
    """Two classes go back through one graph, and layers that are read keep what they returned."""
    torch.manual_seed(0)
    network = private_view(timm.create_model("tf_efficientnet_lite0", num_classes=10).double())
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    fast = folded(network, images[:1])
    assert any(isinstance(module, _Clipped) for module in fast.modules())
    look(fast, images, torch.tensor([[1], [3]]))
    assert fast.spending.once
    assert copy.deepcopy(fast).spending is not fast.spending
    for classes, layers in (
        (torch.tensor([[1, 2], [3, 4]]), ("",)),
        (torch.tensor([[1], [3]]), ("", "blocks.1.0.bn1")),
    ):
        slow, quick = look(network, images, classes, layers), look(fast, images, classes, layers)
        for ours, theirs in zip(
            (*quick.gradients, *quick.activations), (*slow.gradients, *slow.activations), strict=True
        ):
            assert torch.allclose(ours, theirs, rtol=1e-7, atol=1e-9 * float(theirs.abs().max()))


class Overwrites(nn.Module):
    """Adds into what a clipped rectifier returned, which PyTorch's own way back allows."""

    def __init__(self):
        super().__init__()
        self.convolution, self.act = nn.Conv2d(3, 3, 1), nn.ReLU6(inplace=True)

    def forward(self, images):
        features = self.act(self.convolution(images))
        features += images
        return features.mean((2, 3))


def test_a_network_that_writes_over_a_rectifier_is_left_as_it_is():
    network = private_view(Overwrites())
    assert folded(network, torch.rand(1, 3, 8, 8)) is network


def same(*arguments, **options):
    from timm.layers import Conv2dSame

    return Conv2dSame(*arguments, **options)


@pytest.mark.parametrize(("make", "expected"), [
    (lambda: same(3, 3, 3, stride=2, groups=3), _Evened), (lambda: same(3, 3, 5, stride=2, groups=3), _Evened),
    (lambda: same(3, 3, 3, stride=2), None), (lambda: same(3, 3, 3, stride=1, groups=3), None),
    (lambda: same(3, 3, 3, stride=2, groups=3, dilation=2), None), (lambda: same(3, 3, 4, stride=2, groups=3), None),
    (lambda: same(3, 3, (3, 5), stride=2, groups=3), None), (lambda: same(3, 3, 3, stride=(2, 3), groups=3), None),
    (lambda: nn.Conv2d(3, 6, 7, 2, 3), _Strided), (lambda: nn.Conv2d(3, 6, 4, 4), _Strided),
    (lambda: nn.Conv2d(3, 6, 3, 2), None), (lambda: nn.Conv2d(3, 6, (7, 3), 2), None),
    (lambda: nn.Conv2d(3, 6, 7), None),
    (lambda: nn.Conv2d(3, 6, 7, (2, 3)), None), (lambda: nn.Conv2d(3, 6, 7, 2, dilation=2), None),
    (lambda: nn.Conv2d(3, 6, 7, 2, groups=3), None), (lambda: nn.Conv2d(3, 6, 7, padding="valid", stride=2), None),
    (lambda: nn.Conv2d(3, 6, 7, 2, 3, padding_mode="reflect"), None),
])  # fmt: skip
def test_layers_are_replaced_where_it_is_right_and_pays(make, expected):
    network = private_view(nn.Sequential(make(), nn.AdaptiveAvgPool2d(1), nn.Flatten())).double()
    fast = folded(network, torch.rand(1, 3, 32, 32, dtype=torch.float64))
    assert type(fast[0]) is (expected or type(network[0]))
    # Not only because a copy that would stray is refused afterwards:
    assert _strides_over_an_image(network[0]) == (expected is _Strided)
    assert _is_unevenly_padded(network[0]) == (expected is _Evened)


@pytest.mark.parametrize(("channels", "expected"), [(1, True), (4, True), (5, False)])
def test_few_channels_are_an_image(channels, expected):
    assert _strides_over_an_image(nn.Conv2d(channels, 6, 7, 2)) == expected


@pytest.mark.parametrize(("logits", "gradient", "alike"), [
    (0.8e-4, 0, True), (1.2e-4, 0, False), (-1.2e-4, 0, False), (0, 2.9e-2, True), (0, 3.1e-2, False),
])  # fmt: skip
def test_a_copy_that_strays_too_far_is_told(logits, gradient, alike):
    """By a share of the largest logit in magnitude, and of the norm of the gradient."""
    answer = torch.tensor([[1.0, -40, 3]]), torch.randn(1, 3, 4, 4)
    strayed = answer[0] + torch.tensor([[0, 0, 40 * logits]]), answer[1] * (1 + gradient)
    assert _alike(strayed, answer) == alike


def test_a_norm_of_each_batch_stays():
    """Without running statistics there is nothing that a convolution could do for it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    assert norms(folded(private_view(network), torch.rand(1, 3, 8, 8))) == 1
