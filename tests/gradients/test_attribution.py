"""Metrics of other tools run on top of the adapter and tell a map from noise."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from deepinside import saliency
from deepinside.gradients.attribution import Attribution
from deepinside.gradients.saliency import gradient


def images_of(count, size):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_attribute_is_the_gradient():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    images = images_of(2, 8)
    network(images)
    expected = gradient(network, images, [1, 2], rule="guided")
    assert torch.equal(Attribution(network, "guided").attribute(images, target=[1, 2]), expected)
    assert torch.equal(Attribution(network, "guided", absolute=True).attribute(images, [1, 2]), expected.abs())
    assert torch.equal(Attribution(network).attribute(images), gradient(network, images, 0)), "the first, by default"


def test_agrees_with_captum_on_a_network_of_modules():
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    network = torchvision.models.alexnet(num_classes=10).eval().double()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # Captum's hooks cannot stand it
    images = images_of(2, 128).double()
    ours = Attribution(network, absolute=True).attribute(images, target=[3, 4])
    theirs = attr.Saliency(network).attribute(images.clone().requires_grad_(), target=[3, 4])
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-15)
    with pytest.warns(UserWarning, match="hooks"):
        theirs = attr.GuidedBackprop(network).attribute(images.clone().requires_grad_(), target=[3, 4])
    assert torch.allclose(
        Attribution(network, "guided").attribute(images, target=[3, 4]), theirs, rtol=1e-9, atol=1e-15
    )


def test_captums_infidelity_prefers_the_gradient_to_noise():
    """On a linear network a gradient explains every perturbation exactly, so its infidelity is zero."""
    metrics = pytest.importorskip("captum.metrics")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5)).double()
    images = images_of(2, 8).double()

    def perturb(inputs):
        noise = torch.randn(inputs.shape, dtype=inputs.dtype, generator=torch.Generator().manual_seed(1)) * 0.1
        return noise, inputs - noise

    def infidelity(maps):
        return metrics.infidelity(network, perturb, images, maps, target=torch.tensor([1, 2]))

    maps = Attribution(network).attribute(images, target=[1, 2])
    assert infidelity(maps).max() < 1e-20
    assert infidelity(torch.randn_like(maps)).min() > 1e-6
    sensitivity = metrics.sensitivity_max(Attribution(network).attribute, images, target=[1, 2])
    assert sensitivity.max() < 1e-12, "the gradient of a linear network does not depend on the image"


def test_a_metric_of_quantus_runs_on_saliency():
    """Where the images are zero there is no evidence: Quantus' sparseness must tell a peaked map from a flat one."""
    quantus = pytest.importorskip("quantus")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 256, 5)).eval()

    def explain_func(model, inputs, targets, **_):
        maps = saliency(model, torch.as_tensor(inputs), torch.as_tensor(targets))
        return maps[:, None].numpy()

    sparseness = quantus.Sparseness(disable_warnings=True)
    images, classes = images_of(3, 16).numpy(), np.array([0, 1, 2])
    scores = sparseness(model=network, x_batch=images, y_batch=classes, a_batch=None, explain_func=explain_func)
    peaked = np.zeros((3, 1, 16, 16), dtype=np.float32)
    peaked[:, :, 3, 4] = 1
    highest = sparseness(model=network, x_batch=images, y_batch=classes, a_batch=peaked)
    assert all(0 < score < best for score, best in zip(scores, highest, strict=True))
