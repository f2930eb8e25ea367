"""Saliency against finite differences, a backward pass written by hand, and slow loops."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.question import CHUNK, chunk_size
from deepinside.gradients.rectifiers import RectifierRule
from deepinside.gradients.saliency import gradient, largest_magnitude, put_back, saliency, ten_crops
from deepinside.gradients.targets import At, Neuron
from helpers import state_of


def images_of(count, size=8, seed=0):
    return torch.rand(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gradient_equals_finite_differences(small_network):
    images = images_of(2)
    targets = [1, 4]
    ours = gradient(small_network, images, targets)
    network, step = small_network.eval(), 1e-6
    slow = torch.zeros_like(images)
    with torch.no_grad():
        for image, channel, row, column in np.ndindex(*images.shape):
            moved = images[image : image + 1].clone()
            moved[0, channel, row, column] += step
            above = network(moved)[0, targets[image]]
            moved[0, channel, row, column] -= 2 * step
            below = network(moved)[0, targets[image]]
            slow[image, channel, row, column] = (above - below) / (2 * step)
    assert torch.allclose(ours, slow, rtol=1e-5, atol=1e-8)


def test_gradient_equals_a_backward_pass_written_by_hand():
    generator = torch.Generator().manual_seed(3)
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=True).double()
    head = nn.Linear(4 * 16, 5).double()
    network = nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), head)
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=generator)
    before = convolution(image).detach()
    # From the score downwards: the head's row, to the winner of each pool, through the active, flipped kernel.
    at_pool = head.weight[2].detach().view(1, 4, 4, 4)
    active = before.clamp(min=0)
    _, winners = F.max_pool2d(active, 2, return_indices=True)
    at_relu = torch.zeros(1, 4, 64, dtype=torch.float64)
    at_relu.scatter_(2, winners.flatten(2), at_pool.flatten(2))
    at_convolution = at_relu.view(1, 4, 8, 8) * (before > 0)
    flipped = convolution.weight.detach().flip(2, 3).transpose(0, 1)
    by_hand = F.conv2d(at_convolution, flipped, padding=1)
    assert torch.allclose(gradient(network, image, 2), by_hand, rtol=1e-12)
    assert torch.allclose(saliency(network, image, 2), by_hand.abs().amax(1), rtol=1e-12)


def test_saliency_is_the_magnitude_not_the_signed_maximum():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, -5.0, 2.0]]))
    assert saliency(network, torch.rand(1, 3, 1, 1), 0).item() == 5


def test_softmax_is_not_in_the_score(small_network):
    """The map is that of the unnormalized score: lowering the other classes does not raise it (Sect. 3.1)."""
    image = images_of(1).requires_grad_()
    logits = small_network.eval()(image)
    (unnormalized,) = torch.autograd.grad(logits[0, 3], image, retain_graph=True)
    (posterior,) = torch.autograd.grad(logits.log_softmax(dim=1)[0, 3], image)
    ours = saliency(small_network, image.detach(), 3)
    assert torch.allclose(ours, unnormalized.abs().amax(1), rtol=1e-9)
    assert not torch.allclose(ours, posterior.abs().amax(1), rtol=0.1)


def test_forms_of_targets_agree(small_network):
    images = images_of(3)
    table = torch.tensor([[1, 2], [3, 0], [4, 4]])
    several = saliency(small_network, images, table)
    assert several.shape == (3, 2, 8, 8)
    for k in range(2):
        assert torch.allclose(several[:, k], saliency(small_network, images, table[:, k]))
        assert torch.allclose(several[:, k], saliency(small_network, images, table[:, k].tolist()))
    assert torch.equal(saliency(small_network, images, 2), saliency(small_network, images, [2, 2, 2]))


def test_many_images_equal_one_by_one(small_network):
    images = images_of(CHUNK + 3)
    targets = torch.arange(CHUNK + 3) % 5
    slow = torch.cat([saliency(small_network, images[i : i + 1], int(targets[i])) for i in range(len(images))])
    assert torch.allclose(saliency(small_network, images, targets), slow, rtol=1e-12)


def test_larger_images_go_in_smaller_chunks_and_get_the_same_maps():
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))

        def forward(self, images):
            seen.append(len(images))
            return self.features(images)

    torch.manual_seed(0)
    images = torch.rand(5, 3, 448, 640)
    network = Watched()
    network(images[:1])
    maps = saliency(network, images, torch.arange(5))
    assert max(seen) * 448 * 640 <= CHUNK * 224 * 224
    for number in range(5):
        alone = saliency(network, images[number : number + 1], number)[0]
        assert torch.allclose(maps[number], alone, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("size", "images"), [
    ((224, 224), 16), ((8, 8), 16), ((448, 224), 8), ((320, 320), 7), ((640, 640), 1), ((4000, 3000), 1),
])  # fmt: skip
def test_a_chunk_has_as_many_pixels_as_sixteen_images_of_the_usual_size(size, images):
    assert chunk_size(torch.empty(1, 3, *size, device="meta")) == images


@pytest.mark.parametrize(("targets", "message"), [
    ([1], "one target for all 3 images"), ([0, 2, 5], "from 0 to 4.*got 5"), ([-1, 0, 0], "got -1"),
    (1.5, "class numbers"),
    (torch.zeros(3, 1, 1, dtype=torch.long), "got \\(3, 1, 1\\)"),
])  # fmt: skip
def test_targets_that_do_not_fit_are_named(unchecked, small_network, targets, message):
    with pytest.raises(DeepInsideError, match=message):
        saliency(small_network, images_of(3), targets)


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 3, 8, 8)])
def test_images_that_are_none_are_named(unchecked, small_network, images):
    with pytest.raises(DeepInsideError, match="expected float images"):
        saliency(small_network, images, 0)


def test_the_network_is_as_before_bit_for_bit(small_network):
    before = state_of(small_network)
    saliency(small_network, images_of(2), 1)
    with pytest.raises(DeepInsideError):
        saliency(small_network, images_of(2), 99)
    assert state_of(small_network) == before


def test_same_call_same_bits(small_network):
    assert torch.equal(saliency(small_network, images_of(2), 1), saliency(small_network, images_of(2), 1))


def test_ten_crops_put_back_equal_a_slow_loop_over_pixels():
    image = images_of(1, size=9)
    crops = ten_crops(image, (6, 5))
    maps = torch.rand(10, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    ours = put_back(maps, (9, 9))
    starts = [(0, 0), (0, 4), (3, 0), (3, 4), (1, 2)]
    for number, (top, left) in enumerate(starts):
        for row, column in np.ndindex(6, 5):
            assert torch.equal(crops[number, :, row, column], image[0, :, top + row, left + column])
            assert torch.equal(crops[5 + number, :, row, 4 - column], image[0, :, top + row, left + column])
    for y, x in np.ndindex(9, 9):
        seen = [
            value
            for number, (top, left) in enumerate(starts)
            if 0 <= y - top < 6 and 0 <= x - left < 5
            for value in (maps[number, :, y - top, x - left], maps[5 + number, :, y - top, 4 - (x - left)])
        ]
        assert torch.allclose(ours[:, y, x], torch.stack(seen).mean(0))


def test_crops_themselves_put_back_are_the_image():
    image = images_of(1, size=12)
    assert torch.allclose(put_back(ten_crops(image, (10, 10)), (12, 12)), image[0])


def test_largest_magnitude_equals_a_loop():
    values = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    ours = largest_magnitude(values)
    for image, row, column in np.ndindex(2, 4, 5):
        assert ours[image, row, column] == max(abs(v) for v in values[image, :, row, column].tolist())


# ---------------------------------------------------------------------------------- layers, neurons and rules (Sect. 4)


class Mixed(nn.Module):
    """A rectifier in every way of writing one, between convolutions and max-pooling with switches."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList([nn.Conv2d(3 if k == 0 else 4, 4, 3, padding=1) for k in range(9)])
        self.shared = nn.ReLU(inplace=True)
        self.head = nn.Linear(4 * 16, 5)

    def forward(self, x):
        spellings = (
            self.shared, F.relu, torch.relu, lambda x: x.relu(), lambda x: x.relu_(), lambda x: x.clamp(min=0),
            lambda x: F.threshold(x, 0.0, 0.0), lambda x: F.relu6(x * 0.1), self.shared,
        )  # fmt: skip
        for convolution, rectify in zip(self.convolutions, spellings, strict=True):
            x = rectify(convolution(x))
        return self.head(F.max_pool2d(x, 2).flatten(1))


@pytest.fixture
def mixed():
    torch.manual_seed(1)
    return Mixed().double().eval()


def by_hand(network, image, target, rule):
    """The network backwards, one layer after the other: flipped kernels, switches, and the rule's masks."""
    befores, x = [], image
    for number, convolution in enumerate(network.convolutions):
        before = convolution(x) * (0.1 if number == 7 else 1)
        befores.append(before.detach())
        x = before.clamp(0, 6) if number == 7 else before.clamp(min=0)
    _, switches = F.max_pool2d(x, 2, return_indices=True)
    at_pool = network.head.weight[target].detach().view(1, 4, 4, 4)
    signal = F.max_unpool2d(at_pool, switches, 2)
    for number in reversed(range(9)):
        before = befores[number]
        active = (before > 0) & (before < 6) if number == 7 else before > 0
        mask = {"gradient": active, "deconvnet": signal > 0, "guided": active & (signal > 0)}[rule]
        signal = signal * mask * (0.1 if number == 7 else 1)
        kernel = network.convolutions[number].weight.detach().flip(2, 3).transpose(0, 1)
        signal = F.conv2d(signal, kernel, padding=1)
    return signal


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_rules_equal_a_deconvnet_written_by_hand(mixed, rule):
    image = images_of(1)
    expected = by_hand(mixed, image, 2, rule)
    assert expected.abs().max() > 0
    before = state_of(mixed)
    first, second = (gradient(mixed, image, 2, rule=rule) for _ in range(2))
    assert torch.allclose(first, expected, rtol=1e-6, atol=1e-12)
    assert torch.equal(first, second)
    assert state_of(mixed) == before


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_neurons_channels_and_functions_as_targets(mixed, rule):
    images = images_of(2)
    neuron = Neuron("convolutions.4", 1, at=(3, 5))
    maps = gradient(mixed, images, neuron, rule=rule)
    reached = (maps.abs().amax(1) > 0).nonzero()
    assert len(reached), "something came back"
    # Five 3 x 3 convolutions see five pixels to every side.
    assert (reached[:, 1] - 3).abs().max() <= 5
    assert (reached[:, 2] - 5).abs().max() <= 5
    same = gradient(mixed, images, At("convolutions.4", lambda a: a[:, 1, 3, 5]), rule=rule)
    assert torch.equal(maps, same)


def test_a_contrast_of_two_classes_is_the_difference_of_their_gradients(mixed):
    images = images_of(3)
    contrast = gradient(mixed, images, lambda logits: logits[:, 1] - logits[:, 4])
    apart = gradient(mixed, images, torch.tensor([[1, 4]] * 3))
    assert torch.allclose(contrast, apart[:, 0] - apart[:, 1], rtol=1e-10, atol=1e-14)


def test_any_output_can_be_a_target():
    class Segments(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, images):
            return {"out": self.convolution(images), "aux": None}

    network = Segments().double()
    maps = saliency(network, images_of(1), lambda output: output["out"][:, 2, 4, 4])
    assert (maps[0] > 0).nonzero().tolist() == [[y, x] for y in (3, 4, 5) for x in (3, 4, 5)]


def test_gradient_at_a_layer_equals_autograd_by_hand(mixed):
    images = images_of(2)
    ours = gradient(mixed, images, [0, 3], layer="convolutions.8")
    kept = []
    handle = mixed.convolutions[8].register_forward_hook(lambda _, __, output: kept.append(output) or output.clone())
    logits = mixed(images)
    handle.remove()
    (expected,) = torch.autograd.grad(logits[0, 0] + logits[1, 3], kept)
    assert torch.allclose(ours, expected, rtol=1e-12)
    assert torch.equal(saliency(mixed, images, [0, 3], layer="convolutions.8"), ours.abs().amax(1))
    several = saliency(mixed, images, torch.tensor([[0, 3], [1, 2]]), layer="convolutions.8")
    assert several.shape == (2, 2, 8, 8)


def test_tokens_of_a_real_vit_become_maps():
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", depth=3, num_classes=5).eval()
    images = torch.rand(2, 3, 224, 224)
    raw = gradient(network, images, 1, layer="blocks.1")
    maps = saliency(network, images, 1, layer="blocks.1")
    assert raw.shape == (2, 197, 192)
    assert torch.equal(maps, raw[:, 1:].abs().amax(2).view(2, 14, 14))


@pytest.mark.parametrize(("call", "message"), [
    (lambda n, x: saliency(n, x, 0, layer="nowhere"), "name of a layer.*'nowhere'"),
    (lambda n, x: saliency(n, x, 0, layer="head"), "with a grid"),
    (lambda n, x: saliency(n, x, 0, rule="deconv"), "gradient, deconvnet, guided"),
    (lambda n, x: gradient(n, x, Neuron("convolutions.2", 0), layer="convolutions.5"), "depends on layer"),
    (lambda n, x: gradient(n, x, Neuron("convolutions.0", 0), rule="guided"), "met none"),
    (lambda n, x: gradient(n, x, 0, layer="head", rule="guided"), "met none"),
    (lambda n, x: gradient(n, x, lambda logits: logits), "one number for each of 2 images"),
    (lambda n, x: gradient(torch.compile(nn.Sequential(nn.Flatten(), nn.ReLU())), x, 0, rule="guided"), "compiled"),
    (lambda n, x: gradient(nn.Sequential(nn.Flatten(), nn.GELU()), x, 0, rule="guided"), "gelu"),
])  # fmt: skip
def test_what_cannot_be_answered_is_told_and_leaves_no_trace(unchecked, mixed, call, message):
    before = state_of(mixed)
    with pytest.raises(DeepInsideError, match=message):
        call(mixed, images_of(2))
    assert state_of(mixed) == before


@pytest.mark.parametrize("around", [
    torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", enabled=False), torch.enable_grad,
])  # fmt: skip
def test_modes_around_a_rule_do_not_matter(mixed, around):
    mixed.train().requires_grad_(False)
    expected = gradient(mixed, images_of(1), 2, rule="guided")
    with around():
        assert torch.equal(gradient(mixed, images_of(1), 2, rule="guided"), expected)


def test_eight_threads_mixing_rules_on_one_network(mixed):
    images, rules = images_of(1), ("gradient", "deconvnet", "guided")
    expected = {rule: gradient(mixed, images, 2, rule=rule) for rule in rules}
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda k: torch.equal(gradient(mixed, images, 2, rule=rules[k % 3]), expected[rules[k % 3]]), range(600)
        )
        assert sum(not right for right in answers) == 0


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_under_autocast_the_answer_is_that_of_the_network_under_autocast(mixed, rule):
    mixed, images = mixed.float(), images_of(2).float()
    exact = gradient(mixed, images, 2, rule=rule)
    with torch.autocast("cpu", torch.bfloat16):
        rough = gradient(mixed, images, 2, rule=rule)
        pixels = images.clone(memory_format=torch.channels_last).requires_grad_()
        with RectifierRule(rule):
            scores = mixed(pixels * 1)[:, 2]
        (expected,) = torch.autograd.grad(scores.sum(), pixels)
    assert torch.allclose(rough, expected, rtol=1e-6, atol=0)
    assert not torch.equal(rough, exact), "autocast was on"
    assert torch.equal(gradient(mixed, images, 2, rule=rule), exact), "and leaves no trace"


def by_autograd(network, images, score):
    """The map as anybody would compute it, on the network itself, in evaluation mode."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    moving = images.clone().requires_grad_()
    (gradients,) = torch.autograd.grad(score(network(moving)).sum(), moving)
    for module, mode in modes.items():
        module.training = mode
    return gradients.abs().amax(1)


class Viewing(nn.Module):
    """Flattens with `view`, which refuses images whose channels come last."""

    def __init__(self, *layers, count):
        super().__init__()
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(count, 5)

    def forward(self, images):
        return self.head(self.layers(images).view(images.size(0), -1))


VIEWING = {
    "LeNet": lambda: Viewing(nn.Conv2d(3, 6, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(6, 16, 5), count=16 * 9),
    "pixels": lambda: Viewing(count=3 * 18 * 18),
    "batch norm": lambda: Viewing(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), count=4 * 256),
    "pooled": lambda: Viewing(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), count=32),
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", VIEWING)
def test_networks_that_flatten_with_view_have_maps(kind, count):
    torch.manual_seed(0)
    network, images = VIEWING[kind](), torch.rand(count, 3, 18, 18)
    before = state_of(network)
    assert torch.allclose(saliency(network, images, 1), by_autograd(network, images, lambda z: z[:, 1]), atol=1e-6)
    assert state_of(network) == before


class Registering(nn.Module):
    """A Grad-CAM made at home: a hook on a tensor of the forward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, images):
        maps = torch.relu(self.first(images))
        maps.register_hook(self.keep)
        return self.head(self.second(maps).mean((2, 3)))

    def keep(self, gradient):
        self.kept = gradient.detach()


def test_hooks_on_tensors_of_the_forward_pass_are_no_obstacle_at_any_layer():
    torch.manual_seed(0)
    network, images = Registering(), torch.rand(2, 3, 10, 10)
    found = saliency(network, images, 2)
    assert not hasattr(network, "kept")
    assert torch.allclose(found, by_autograd(network, images, lambda z: z[:, 2]), atol=1e-7)
    rows = network.head.weight[2].detach() / 36
    at_layer = gradient(network, images, 2, layer="second")
    assert torch.allclose(at_layer, rows.view(1, 8, 1, 1).expand(2, 8, 6, 6), atol=1e-7)


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_weights_that_change_between_forward_and_backward_are_no_error(rule):
    """As another thread's training step changes them: in place, under the graph."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    images = torch.rand(2, 3, 8, 8)

    def score(logits):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(2)
        return logits[:, 0]

    before = saliency(network, images, 0, rule=rule)
    # Both weights are twice as large on the way back, and the rectifiers are as on the way there.
    assert torch.allclose(saliency(network, images, score, rule=rule), 4 * before, rtol=1e-4)


def test_a_score_of_ones_own_is_called_with_the_whole_batch(small_network):
    images = images_of(CHUNK + 4).float()
    wanted = torch.arange(len(images)) % 5
    network = small_network.float()
    for score in (
        lambda logits: (logits * F.one_hot(wanted, 5)).sum(1),
        lambda logits: logits.gather(1, wanted[:, None])[:, 0],
    ):
        assert torch.allclose(saliency(network, images, score), saliency(network, images, wanted), atol=1e-6)


def test_a_score_that_fails_is_told(small_network):
    with pytest.raises(DeepInsideError, match=r"score failed on the output \(2, 5\) of 2 images \(IndexError"):
        saliency(small_network, images_of(2), lambda logits: logits[:, 99])


@pytest.mark.parametrize("targets", [
    np.int64(3), torch.tensor(3), np.array([3, 3]), [np.int64(3), 3], [torch.tensor(3), torch.tensor(3)], (3, 3),
    np.uint8(3),
])  # fmt: skip
def test_class_numbers_of_numpy_and_pytorch(small_network, targets):
    images = images_of(2)
    assert torch.equal(saliency(small_network, images, targets), saliency(small_network, images, 3))


@pytest.mark.parametrize("targets", [np.float32(3), torch.tensor([1.0, 2.0]), True, np.array([True, False]), "dog",
                                     ["dog", "cat"], [[1], [1, 2]], None])  # fmt: skip
def test_targets_that_are_no_class_numbers_are_refused(small_network, unchecked, targets):
    with pytest.raises(DeepInsideError, match="expected class numbers"):
        saliency(small_network, images_of(2), targets)


@pytest.mark.parametrize(("precision", "tolerance"), [
    (torch.float16, 2e-2), (torch.bfloat16, 1e-1), (torch.float64, 1e-5),
])  # fmt: skip
@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_networks_of_other_precisions(rule, precision, tolerance):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    images = torch.rand(2, 3, 12, 12)
    expected = saliency(network, images, 2, rule=rule)
    found = saliency(network.to(precision), images, 2, rule=rule)
    assert found.dtype == images.dtype
    assert (found - expected).norm() <= tolerance * expected.norm()
    assert saliency(network, images, 2, rule=rule, layer="0").dtype in (torch.float32, torch.float64)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_any_number_of_channels(channels):
    network = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    images = torch.rand(2, channels, 8, 8)
    assert torch.allclose(saliency(network, images, 1), by_autograd(network, images, lambda z: z[:, 1]), atol=1e-6)
    with pytest.raises(DeepInsideError, match="number of channels that it takes"):
        saliency(network, torch.rand(2, channels + 1, 8, 8), 1)


class Scattered(nn.Module):
    """Patches as tokens, column by column."""

    def __init__(self):
        super().__init__()
        self.patches, self.tokens, self.head = nn.Conv2d(3, 6, 4, stride=4), nn.Identity(), nn.Linear(6, 5)

    def forward(self, images):
        return self.head(self.tokens(self.patches(images).flatten(2).unflatten(2, (6, 6)).mT.flatten(2).mT).mean(1))


def test_maps_of_tokens_in_another_order_are_refused_and_what_needs_no_order_is_not():
    network, images = Scattered(), torch.rand(2, 3, 24, 24)
    for asked in (
        {"targets": 1, "layer": "tokens"},
        {"targets": torch.tensor([[1, 2], [0, 1]]), "layer": "tokens"},
        {"targets": Neuron("tokens", 2, at=(1, 3))},
    ):
        with pytest.raises(DeepInsideError, match="layer 'tokens' to have rows and columns"):
            saliency(network, images, **asked)
    assert gradient(network, images, 1, layer="tokens").shape == (2, 36, 6)
    assert saliency(network, images, Neuron("tokens", 2, at="mean")).shape == (2, 24, 24)
    assert saliency(network, images, 1, layer="patches").shape == (2, 6, 6)


@pytest.mark.parametrize("images", ["cat.jpg", np.zeros((1, 3, 8, 8), np.float32), Image.new("RGB", (8, 8)),
                                    [Image.new("RGB", (8, 8))], None])  # fmt: skip
def test_what_is_no_tensor_is_told_which_call_takes_it(small_network, unchecked, images):
    for function in (saliency, gradient):
        with pytest.raises(DeepInsideError, match=r"as a float tensor .* call explain\(classifier, photo"):
            function(small_network, images, 1)
