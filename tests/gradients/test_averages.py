"""SmoothGrad, integrated gradients and gradient x input against Captum, closed forms, and slow loops."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read
from deepinside.gradients import question
from deepinside.gradients.averages import gradient_times_input, integrated_gradients, smooth_grad
from deepinside.gradients.question import CHUNK
from deepinside.gradients.saliency import gradient
from deepinside.gradients.targets import At, Neuron
from helpers import state_of

METHODS = [partial(smooth_grad, samples=5), partial(integrated_gradients, steps=5), gradient_times_input]


def images_of(count, size=8, seed=0):
    return torch.rand(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(classes=5):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, classes)).double()


def noise_of(count, size=8, seed=0):
    """Standard normal numbers as they are documented: one draw a sample, in turn, on the processor."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, size, size, generator=generator).double() for _ in range(count)]


def half_size(classifier, photos):
    """The network and a photo of half its size, in double precision, so that no rectifier flips by rounding."""
    _, image = classifier.whole(read(photos / "cat.jpg"))
    return deepcopy(classifier.network).eval().double(), image[:, :, ::2, ::2].double()


def close(ours, theirs, tolerance=1e-5):
    """Agreement to a share of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max()) < tolerance


def test_on_a_linear_network_all_are_closed_forms():
    network, images, classes = linear(), images_of(2), [1, 4]
    weights = network[1].weight[classes].view(2, 3, 8, 8).detach()
    start = images_of(2, seed=1)
    assert torch.allclose(smooth_grad(network, images, classes, samples=3, noise=0.5), weights, rtol=1e-12)
    for steps in (1, 2, 50):
        found = integrated_gradients(network, images, classes, baseline=start, steps=steps)
        assert torch.allclose(found, weights * (images - start), rtol=1e-10, atol=1e-14)
    assert torch.allclose(gradient_times_input(network, images, classes, baseline=start), weights * (images - start))


def test_the_rule_of_gauss_and_legendre_is_exact_for_polynomials():
    """Two nodes integrate cubics exactly: of the logit sum x^4 a gradient is 4x^3, and its integral x^4."""

    class Fourth(nn.Module):
        def __init__(self):
            super().__init__()
            self.power = nn.Parameter(torch.tensor(4, dtype=torch.float64))

        def forward(self, images):
            return images.pow(self.power).sum((2, 3))

    images = images_of(1)
    found = integrated_gradients(Fourth(), images, 1, steps=2)
    assert torch.allclose(found[:, 1], images[:, 1] ** 4, rtol=1e-12)
    assert not found[:, [0, 2]].any()
    assert not torch.allclose(integrated_gradients(Fourth(), images, 1, steps=1)[:, 1], images[:, 1] ** 4, rtol=0.01)


def test_contributions_sum_to_the_rise_of_the_score(small_network):
    images, start = images_of(3), images_of(3, seed=1)
    table = torch.tensor([[1, 2], [3, 0], [4, 4]])
    found = integrated_gradients(small_network, images, table, baseline=start, steps=300).sum((2, 3, 4))
    network = small_network.eval()
    rise = (network(images) - network(start)).gather(1, table)
    assert torch.allclose(found, rise, rtol=1e-2, atol=1e-4)


def test_a_photo_of_a_trained_network_is_complete_from_its_mean_color(lite0, photos):
    _, image = lite0.whole(read(photos / "cat.jpg"))
    network, image = lite0.network.eval(), image[:, :, ::4, ::4]  # as small as possible, since many steps are needed
    found = integrated_gradients(network, image, 281, baseline=network.mean, steps=100)
    with torch.no_grad():
        logits = network(torch.cat([image, network.mean.expand_as(image)]))[:, 281]
    assert float(found.sum()) == pytest.approx(float(logits[0] - logits[1]), rel=0.05)


def test_smooth_grad_is_the_mean_of_noisy_gradients(small_network):
    images = images_of(2) * torch.tensor([1.0, 0.3])[:, None, None, None].double()
    slow = torch.zeros_like(images)
    for n, image in enumerate(images):
        deviation = 0.2 * (image.max() - image.min())
        for noise in noise_of(7, seed=5):
            slow[n] += gradient(small_network, (image + deviation * noise)[None], [1, 4][n])[0] / 7
    found = smooth_grad(small_network, images, [1, 4], samples=7, noise=0.2, seed=5)
    assert torch.allclose(found, slow, rtol=1e-10, atol=1e-14)
    assert torch.equal(smooth_grad(small_network, images, 1, samples=2, noise=0), gradient(small_network, images, 1))


@pytest.mark.filterwarnings("ignore:Setting forward:UserWarning")
def test_captum_agrees_on_a_random_network(small_network, monkeypatch):
    attr = pytest.importorskip("captum.attr")
    images, start, classes = images_of(2), images_of(2, seed=1), [1, 4]
    network = small_network.eval()
    network[2] = nn.ReLU()  # Captum's hooks cannot stand one in place

    def theirs(method, **options):
        return method.attribute(images.clone().requires_grad_(), target=classes, **options).detach()

    ours = integrated_gradients(network, images, classes, baseline=start)
    assert close(ours, theirs(attr.IntegratedGradients(network), baselines=start)), "by their defaults and ours"
    ours = integrated_gradients(network, images, classes, steps=7)
    assert close(ours, theirs(attr.IntegratedGradients(network), n_steps=7))
    assert close(gradient_times_input(network, images, classes), theirs(attr.InputXGradient(network)))
    span = images.amax((1, 2, 3)) - images.amin((1, 2, 3))
    images = (images - images.amin((1, 2, 3), keepdim=True)) / span[:, None, None, None]  # since theirs has one noise
    drawn = torch.stack(noise_of(6)).repeat(2, 1, 1, 1)
    monkeypatch.setattr(torch, "normal", lambda mean, std: mean + std * drawn)
    smooth = theirs(attr.NoiseTunnel(attr.Saliency(network)), nt_samples=6, stdevs=0.2, abs=False)
    assert close(smooth_grad(network, images, classes, samples=6, noise=0.2), smooth)


def test_captum_agrees_on_a_trained_network_that_gets_normalized_images(lite0, photos):
    """With the mean color as baseline, gradient x input is that of the network's own input."""
    attr = pytest.importorskip("captum.attr")
    network, image = half_size(lite0, photos)
    inner, normalized = network.model, ((image - network.mean) / network.std).requires_grad_()
    theirs = attr.InputXGradient(inner).attribute(normalized, target=281).detach()
    assert close(gradient_times_input(network, image, 281, baseline=network.mean), theirs)
    theirs = attr.IntegratedGradients(inner).attribute(normalized, target=281, n_steps=4).detach()
    assert close(integrated_gradients(network, image, 281, baseline=network.mean, steps=4), theirs)


@pytest.mark.parametrize("method", METHODS)
def test_a_result_depends_neither_on_the_batch_nor_on_how_many_go_at_a_time(method, small_network, monkeypatch):
    images, classes = images_of(CHUNK + 3), torch.arange(CHUNK + 3) % 5
    together = method(small_network, images, classes)
    for number in (0, CHUNK + 2):
        alone = method(small_network, images[number : number + 1], int(classes[number]))
        assert torch.allclose(alone[0], together[number], rtol=1e-10, atol=1e-14)
    monkeypatch.setattr(question, "CHUNK", 3)
    assert torch.allclose(method(small_network, images[:4], classes[:4]), together[:4], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [16, 16, 16, 2]), (5, [15] * 16 + [10]), (17, [16] * 50 + [16, 16, 16, 2])]
)
@pytest.mark.parametrize("method", [smooth_grad, integrated_gradients])
def test_as_many_variants_go_at_a_time_as_images_for_saliency(method, count, sizes):
    seen = []

    class Watched(nn.Module):
        def forward(self, images):
            seen.append(len(images))
            return images.square().mean((2, 3))  # without weights, so that it computes in single precision

    method(Watched(), images_of(count), 0)
    assert seen == sizes
    seen.clear()
    method(Watched(), images_of(1), torch.tensor([[0, 1, 2, 1, 0]]))
    assert seen == [3] * 16 + [2], "fewer where every one has several gradients"


@pytest.mark.parametrize("method", METHODS)
def test_every_form_of_targets_goes_through(method, small_network):
    images = images_of(2)
    table = torch.tensor([[1, 2], [3, 0]])
    several = method(small_network, images, table)
    assert several.shape == (2, 2, 3, 8, 8)
    for k in range(2):
        assert torch.allclose(several[:, k], method(small_network, images, table[:, k].tolist()))
    margin = method(small_network, images, lambda logits: logits[:, 1] - logits[:, 2])
    assert torch.allclose(margin, method(small_network, images, 1) - method(small_network, images, 2))
    neuron = method(small_network, images, Neuron("5", 2, at=(1, 0)))
    assert torch.allclose(neuron, method(small_network, images, At("5", lambda maps: maps[:, 2, 1, 0])))
    weights = torch.tensor([1.0, 2.0]).double()
    own = method(small_network, images, lambda logits: weights * logits[:, 1])  # a score that knows its images
    assert torch.allclose(own, weights[:, None, None, None] * method(small_network, images, 1))


def test_the_seed_decides_the_noise_and_nothing_else_does(small_network):
    images = images_of(2)
    state = torch.get_rng_state()
    first = smooth_grad(small_network, images, 1, samples=4)
    torch.manual_seed(99)
    assert torch.equal(first, smooth_grad(small_network, images, 1, samples=4, seed=0))
    assert not torch.allclose(first, smooth_grad(small_network, images, 1, samples=4, seed=1))
    torch.set_rng_state(state)
    smooth_grad(small_network, images, 1, samples=4)
    assert torch.equal(torch.get_rng_state(), state), "the caller's generator is left alone"


def test_smooth_grad_takes_a_rule():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 5)).double()
    images = images_of(1)
    spread = 0.1 * (images.max() - images.min())
    slow = sum(gradient(network, images + spread * noise, 1, rule="guided") for noise in noise_of(3)) / 3
    assert torch.allclose(smooth_grad(network, images, 1, samples=3, noise=0.1, rule="guided"), slow)


@pytest.mark.parametrize("method", METHODS)
def test_the_network_and_the_images_are_left_alone_in_every_mode(method, small_network):
    images = images_of(2).requires_grad_()
    small_network.train()
    before, pixels = state_of(small_network), images.detach().clone()
    expected = method(small_network, images, 1)
    assert not expected.requires_grad
    for mode in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with mode:
            assert torch.equal(method(small_network, images, 1), expected)
            assert torch.equal(method(small_network, images * 1, 1), expected)
    with pytest.raises(DeepInsideError):
        method(small_network, images, 99)
    assert state_of(small_network) == before
    assert torch.equal(images, pixels)
    assert images.grad is None


@pytest.mark.parametrize("baseline", [0.25, [0.1, 0.2, 0.3], torch.tensor([0.1, 0.2, 0.3]), np.full((3, 1, 1), 0.5)])
def test_forms_of_a_baseline(unchecked, baseline):
    network, images = linear(), images_of(2)
    values = torch.as_tensor(baseline, dtype=torch.float64)
    full = (values.view(-1, 1, 1) if values.ndim else values).expand_as(images)
    for method in (integrated_gradients, gradient_times_input):
        found = method(network, images, 1, baseline=baseline)
        assert torch.allclose(found, method(network, images, 1, baseline=full), atol=1e-8)


@pytest.mark.parametrize(("method", "options", "told"), [
    (smooth_grad, {"samples": 0}, "expected a whole number of samples from 1, got 0"),
    (smooth_grad, {"samples": 2.5}, r"expected a whole number of samples from 1, got 2\.5"),
    (smooth_grad, {"noise": -0.1}, r"expected noise as a share of the image's range, such as 0\.15, got -0\.1"),
    (smooth_grad, {"noise": float("nan")}, "such as 0.15, got nan"),
    (integrated_gradients, {"steps": 0}, "expected a whole number of steps from 1, got 0"),
    (integrated_gradients, {"baseline": torch.zeros(3, 7, 7)}, r"\(3, 8, 8\) or \(2, 3, 8, 8\); got \(3, 7, 7\)"),
    (gradient_times_input, {"baseline": [0.0, 1.0]}, r"one for each of 3 channels.*; got \[0\.0, 1\.0\]"),
    (gradient_times_input, {"baseline": "black"}, "expected a baseline as a number.*got 'black'"),
    (gradient_times_input, {"baseline": float("inf")}, "got values that are not finite"),
])  # fmt: skip
def test_what_makes_no_sense_is_told(unchecked, method, options, told):
    with pytest.raises(DeepInsideError, match=told):
        method(linear(), images_of(2), 1, **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("method", METHODS)
def test_images_of_other_precision_get_maps_in_single_precision(method, dtype):
    network, images = linear().float(), images_of(1).to(dtype)
    found = method(network, images, 1)
    assert found.dtype == torch.float32
    assert torch.allclose(found, method(network, images.float(), 1), atol=1e-4)
