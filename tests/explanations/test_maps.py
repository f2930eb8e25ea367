"""`saliency` and `gradient` of a classifier are those of its module, asked for by name or by number."""

import pytest
import torch

import deepinside as di
from deepinside.core.errors import DeepInsideError
from deepinside.gradients.saliency import saliency as formula


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("named", "numbered"), [("blue", 2), (["green", 0], [1, 0]), (1, 1)])
def test_classes_by_name_and_by_number_agree(colors, images, named, numbered):
    expected = formula(colors.network, images, numbered)
    assert torch.equal(di.saliency(colors, images, named), expected)
    assert torch.equal(di.gradient(colors, images, named).abs().amax(dim=1), expected)
    assert torch.equal(di.saliency(colors.network, images, numbered), expected)


def test_several_targets_scores_layers_and_rules_go_through(colors, images):
    table = torch.tensor([[0, 1], [2, 0]])
    assert torch.equal(di.saliency(colors, images, table), formula(colors.network, images, table))
    neuron = di.Neuron("features", 1)
    assert torch.equal(di.saliency(colors, images, neuron), formula(colors.network, images, neuron))
    at_layer = di.saliency(colors, images, 0, layer="features")
    assert torch.equal(at_layer, formula(colors.network, images, 0, layer="model.features"))
    with pytest.raises(DeepInsideError, match="guided"):
        di.saliency(colors, images, 0, rule="guided")  # no rectifier in this network


def test_what_cannot_be_asked_for_is_told(unchecked, colors, images):
    with pytest.raises(DeepInsideError, match="did you mean blue"):
        di.saliency(colors, images, "blu")
    with pytest.raises(DeepInsideError, match=r"a module has no class names, got 'blue'"):
        di.saliency(colors.network, images, "blue")


def test_a_frozen_classifier_lends_its_fast_form_until_the_network_is_taken(lite0, photos):
    classifier = di.load("lite0")
    _, image = classifier.whole(di.read(photos / "cat.jpg"))
    fast = di.saliency(classifier, image, "tabby")
    network = classifier.network  # from here on anybody may change it
    plain = di.saliency(classifier, image, "tabby")
    assert not torch.equal(fast, plain), "folded arithmetic rounds differently"
    assert float((fast - plain).norm() / plain.norm()) < 3e-2
    with torch.no_grad():
        network.model.conv_stem.weight.mul_(0.5)
    assert float((di.saliency(classifier, image, "tabby") - plain).norm() / plain.norm()) > 0.1


def test_a_snapshot_asked_for_by_name_stays_as_it_was(images):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2))
    frozen = di.Classifier(module, size=32, frozen=True)
    live = di.Classifier(module, size=32)
    before = di.saliency(frozen, images, 1)
    with torch.no_grad():
        module[1].weight.mul_(3)
    assert torch.equal(di.saliency(frozen, images, 1), before)
    assert torch.allclose(di.saliency(live, images, 1), 3 * before)
