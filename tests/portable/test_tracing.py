"""The traced graph against autograd in double precision, where nothing hides behind rounding."""

import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.saliency import saliency
from deepinside.networks.classifier import Classifier
from deepinside.portable.tracing import traced
from portable.networks import Looking, Small, Tiny, Tokens, seeded

SIZE = (64, 64)


def images_of(count, *sides):
    """Numbers that single precision has, since a classifier's normalization is of single precision."""
    return torch.rand(count, 3, *sides).double()


def graph_of(network, rule="gradient", size=SIZE):
    classifier = Classifier(network.double(), size=64)
    classifier.network.double()  # the normalization as well, which otherwise rounds images to single precision
    found = traced(classifier, classifier.stages((96, 96)), size, rule)
    return classifier, lambda images, classes: dict(zip(found.outputs, found.graph(images, classes), strict=True))


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_saliency_is_that_of_autograd_for_any_batch(rule):
    classifier, graph = graph_of(seeded(Small), rule)
    for count in (1, 2, 5):
        images = images_of(count, *SIZE)
        classes = torch.arange(count) % 6
        wanted = saliency(classifier.network, images, classes, rule=rule)
        found = graph(images, classes)
        torch.testing.assert_close(found["saliency"], wanted, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(found["logits"], classifier.network(images).detach())


def test_a_transformer_and_its_scores_among_other_outputs():
    classifier, graph = graph_of(seeded(Tokens))
    images, classes = images_of(2, *SIZE), torch.tensor([1, 4])
    found = graph(images, classes)
    wanted = saliency(classifier.network, images, classes)
    torch.testing.assert_close(found["saliency"], wanted, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(found["logits"], classifier.network(images)["logits"].detach())


def test_maps_of_layers_are_of_the_gradient_under_any_rule():
    images, classes = images_of(2, *SIZE), torch.tensor([1, 4])
    plain, guided = (graph_of(seeded(Small), rule)[1](images, classes) for rule in ("gradient", "guided"))
    assert not torch.equal(plain["saliency"], guided["saliency"])
    for name in ("seed", "evidence", "fine", "middle"):
        torch.testing.assert_close(plain[name], guided[name])


def test_another_size_has_no_saliency():
    _, graph = graph_of(seeded(Tiny), size=(97, 97))
    found = graph(images_of(1, 97, 97), torch.tensor([0]))
    assert "saliency" not in found
    assert found["evidence"].shape == (1, 48, 48)


def test_a_network_that_looks_at_its_own_values_is_told():
    with pytest.raises(DeepInsideError, match="Looking cannot be exported, since it does not run without"):
        graph_of(seeded(Looking))


def test_the_network_stays_as_it_was():
    network = seeded(Tiny)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    graph_of(network.train())
    assert network.training
    assert all(torch.equal(before[name].double(), tensor.double()) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
