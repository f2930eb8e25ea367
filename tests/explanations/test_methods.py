"""The usual methods of a classifier are those of its module, with its mean color and its last layer."""

import pytest
import torch
from torch import nn

import deepinside as di
from deepinside.core.errors import DeepInsideError
from deepinside.gradients import averages, class_activation
from deepinside.gradients.targets import At, Together
from helpers import state_of

COLOR = [0.2, 0.5, 0.7]
FORMULAS = {
    di.smooth_grad: (averages.smooth_grad, {"samples": 3, "noise": 0.1, "seed": 2}),
    di.integrated_gradients: (averages.integrated_gradients, {"baseline": 0.1, "steps": 3}),
    di.gradient_times_input: (averages.gradient_times_input, {"baseline": 0.1}),
    di.grad_cam: (class_activation.grad_cam, {"layer": "features"}),
    di.layer_cam: (class_activation.layer_cam, {"layer": "features"}),
}
WITH_BASELINE, CAMS = [di.integrated_gradients, di.gradient_times_input], [di.grad_cam, di.layer_cam]


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def module_of(classes=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.LazyLinear(classes))


@pytest.mark.parametrize("method", FORMULAS, ids=lambda method: method.__name__)
def test_classes_by_name_and_by_number_agree(method, colors, images):
    formula, options = FORMULAS[method]
    before = state_of(colors.network)
    for named, numbered in (("blue", 2), (["green", 0], [1, 0]), (torch.tensor([[0, 1], [2, 2]]),) * 2):
        expected = formula(colors.network, images, numbered, **options)
        assert torch.equal(method(colors, images, named, **options), expected)
        assert torch.equal(method(colors.network, images, numbered, **options), expected)
    with pytest.raises(DeepInsideError, match="did you mean blue"):
        method(colors, images, "blu", **options)
    assert state_of(colors.network) == before


@pytest.mark.parametrize("method", WITH_BASELINE)
@pytest.mark.parametrize("frozen", [False, True])
def test_the_baseline_of_a_classifier_is_its_mean_color(method, frozen, images):
    module = module_of()
    module(images)
    classifier = di.Classifier(module, size=32, mean=COLOR, std=[0.5, 0.25, 0.125], frozen=frozen)
    found = method(classifier, images, 1)
    assert torch.allclose(found, method(classifier, images, 1, baseline=COLOR), atol=1e-7)
    assert torch.allclose(found, method(classifier.fast, images, 1), atol=1e-7), "wherever its normalization is"
    normalized = (images - torch.tensor(COLOR).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 0.125]).view(3, 1, 1)
    assert torch.allclose(found, method(module, normalized, 1, baseline=0), rtol=1e-4, atol=1e-6)
    assert torch.equal(method(module, images, 1), method(module, images, 1, baseline=0.0)), "black for a module"


def test_a_frozen_classifier_keeps_its_fast_form(lite0, photos):
    classifier = di.load("lite0")
    fast = classifier.fast
    _, image = classifier.whole(di.read(photos / "cat.jpg"))
    image = image[:, :, ::4, ::4].contiguous()
    for method, (_, options) in FORMULAS.items():
        method(classifier, image, "tabby", **{name: value for name, value in options.items() if name != "layer"})
    assert classifier.fast is fast


@pytest.mark.parametrize("method", CAMS)
def test_the_layer_is_the_last_with_a_grid(method, colors, images):
    for network in (colors, colors.network, colors.network.model):
        assert torch.equal(method(network, images, 1), method(network, images, 1, layer="rectify"))
    wide = torch.rand(1, 3, 16, 48)
    assert method(colors, wide, "red").shape == (1, 16, 48)


@pytest.mark.parametrize("method", CAMS)
def test_what_has_no_layer_is_told(method, unchecked, images):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    with pytest.raises(DeepInsideError, match="expected a network with a layer that has rows and columns, got none"):
        method(flat, images, 1)
    module = module_of()
    module(images)
    for score in (di.Neuron("0", 1), At("0", lambda maps: maps.sum((1, 2, 3))), Together((None, "0"), max)):
        with pytest.raises(DeepInsideError, match="give layer=, the name of one before that"):
            method(module, images, score)
    with pytest.raises(DeepInsideError, match="expected images as a float tensor"):
        method(module, "photo.jpg", 1)


@pytest.mark.parametrize("method", FORMULAS, ids=lambda method: method.__name__)
def test_what_a_network_cannot_take_is_one_line(method, unchecked, colors, images):
    for wrong in (images[0], (255 * images).byte(), images[:, :2]):
        with pytest.raises(DeepInsideError) as told:
            method(colors, wrong, "red")
        assert "\n" not in str(told.value)
