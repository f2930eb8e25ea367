"""The rectifier rules against hand-written passes, the paper's statements and two other tools."""

import copy
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

from deepinside.core.errors import DeepInsideError
from deepinside.gradients import rectifiers
from deepinside.gradients.rectifiers import RULES, RectifierRule, check_interceptable

ZERO = torch.zeros(())

# How a rectifier can be written, and where it is clipped.
SPELLINGS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "nn.ReLU": (nn.ReLU(), np.inf),
    "nn.ReLU(inplace)": (nn.ReLU(inplace=True), np.inf),
    "nn.ReLU6": (nn.ReLU6(), 6),
    "nn.ReLU6(inplace)": (nn.ReLU6(inplace=True), 6),
    "nn.Hardtanh(0, 2)": (nn.Hardtanh(0, 2), 2),
    "nn.Threshold": (nn.Threshold(0, 0), np.inf),
    "nn.Threshold(inplace)": (nn.Threshold(0, 0, inplace=True), np.inf),
    "F.relu": (F.relu, np.inf),
    "F.relu(inplace)": (lambda x: F.relu(x, True), np.inf),
    "F.relu_": (F.relu_, np.inf),
    "F.relu6": (F.relu6, 6),
    "F.relu6(inplace)": (lambda x: F.relu6(x, inplace=True), 6),
    "F.hardtanh": (lambda x: F.hardtanh(x, min_val=0.0, max_val=6.0), 6),
    "F.hardtanh_": (lambda x: F.hardtanh_(x, 0, 6), 6),
    "F.threshold": (lambda x: F.threshold(x, 0.0, 0.0), np.inf),
    "F.threshold_": (lambda x: F.threshold_(x, 0, 0), np.inf),
    "torch.relu": (torch.relu, np.inf),
    "torch.relu(input=)": (lambda x: torch.relu(input=x), np.inf),
    "torch.relu_": (torch.relu_, np.inf),
    "torch.threshold": (lambda x: torch.threshold(x, 0, 0), np.inf),
    "torch.clamp(min)": (lambda x: torch.clamp(x, min=0), np.inf),
    "torch.clamp(0, 6)": (lambda x: torch.clamp(x, 0, 6), 6),
    "torch.clamp_": (lambda x: torch.clamp_(x, min=0), np.inf),
    "torch.clip": (lambda x: torch.clip(x, 0.0), np.inf),
    "torch.clamp_min": (lambda x: torch.clamp_min(x, 0), np.inf),
    "torch.clamp_min_": (lambda x: torch.clamp_min_(x, 0), np.inf),
    "torch.maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), np.inf),
    "torch.maximum(swapped)": (lambda x: torch.maximum(ZERO.to(x), x), np.inf),
    "torch.max": (lambda x: torch.max(x, ZERO.to(x)), np.inf),
    "x.relu": (lambda x: x.relu(), np.inf),
    "x.relu_": (lambda x: x.relu_(), np.inf),
    "x.clamp": (lambda x: x.clamp(min=0.0), np.inf),
    "x.clamp(tensor)": (lambda x: x.clamp(min=ZERO.to(x), max=torch.full_like(x, 6)), 6),
    "x.clamp_": (lambda x: x.clamp_(0, 6), 6),
    "x.clip": (lambda x: x.clip(min=0, max=None), np.inf),
    "x.clip_": (lambda x: x.clip_(0), np.inf),
    "x.clamp_min": (lambda x: x.clamp_min(0), np.inf),
    "x.clamp_min_": (lambda x: x.clamp_min_(0), np.inf),
    "x.max": (lambda x: x.max(ZERO.to(x)), np.inf),
    "x.maximum": (lambda x: x.maximum(ZERO.to(x)), np.inf),
    "aten.relu": (lambda x: torch.ops.aten.relu(x), np.inf),
    "aten.relu.default": (lambda x: torch.ops.aten.relu.default(x), np.inf),
    "aten.relu_.default": (lambda x: torch.ops.aten.relu_.default(x), np.inf),
    "aten.hardtanh.default": (lambda x: torch.ops.aten.hardtanh.default(x, 0.0, 6.0), 6),
    "aten.clamp_min.default": (lambda x: torch.ops.aten.clamp_min.default(x, 0), np.inf),
}

IN_PLACE = [n for n in SPELLINGS if "inplace" in n or n.removesuffix(".default").endswith("_")]

OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "leaky_relu_": lambda x: F.leaky_relu_(x, 0.2),
    "prelu": lambda x: F.prelu(x, torch.full((1,), 0.1)),
    "softplus": F.softplus,
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "hardswish": F.hardswish,
    "clamp(min=-1)": lambda x: x.clamp(min=-1),
    "clamp(max=1)": lambda x: x.clamp(max=1),
    "clamp_min(1e-6)": lambda x: x.clamp_min(1e-6),
    "clamp(min=tensor)": lambda x: x.clamp(min=torch.tensor([0.0, 0.1, 0, 0, 0, 0])),
    "clamp(wider)": lambda x: x[:1].clamp(min=torch.zeros(6)),
    "hardtanh": F.hardtanh,
    "threshold(0.5, 0)": lambda x: F.threshold(x, 0.5, 0),
    "threshold(0, 1)": lambda x: F.threshold(x, 0, 1),
    "threshold(1, 1)": lambda x: F.threshold(x, 1, 1),
    "maximum(x, 1)": lambda x: torch.maximum(x, torch.ones(())),
    "maxout": lambda x: torch.maximum(x, -x),
    "maxout of zeros": lambda x: torch.maximum(x, 0 * x),
    "max()": lambda x: x.max(),
    "max(dim 0)": lambda x: x.max(0).values,
    "max(dim, keepdim)": lambda x: torch.max(x, dim=0, keepdim=True)[0],
}

X = [-2.0, -0.5, 0.5, 3.0, 7.0, 9.0]
SIGNAL = [1.0, -1.0, -2.0, 3.0, 4.0, -5.0]


def pull(call, x: Tensor, signal: Tensor, rule: str) -> tuple[Tensor, Tensor, RectifierRule]:
    """Forward value, pulled-back signal and the rule, of one call."""
    leaf = x.clone().requires_grad_()
    with RectifierRule(rule) as mode:
        output = call(leaf * 1)  # not the leaf, which must not be written over
    return output.detach(), torch.autograd.grad(output, leaf, signal)[0], mode


def plain(call, x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    output = call(leaf * 1)
    return output.detach(), torch.autograd.grad(output.sum(), leaf)[0]


def rule_of_the_paper(x, signal, rule: str, ceiling: float = np.inf):
    """Sect. 4, written out."""
    opened = (x > 0) & (x < ceiling)
    return {
        "gradient": signal * opened,
        "deconvnet": signal * (signal > 0),
        "guided": signal * opened * (signal > 0),
    }[rule]


# --- Each spelling alone


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_follows_the_rule_and_counts_once(spelling, rule):
    call, ceiling = SPELLINGS[spelling]
    x, signal = torch.tensor(X), torch.tensor(SIGNAL)
    output, pulled, mode = pull(call, x, signal, rule)
    assert torch.equal(output, plain(call, x)[0])
    assert torch.equal(output, x.clamp(0, ceiling))
    assert torch.equal(pulled, rule_of_the_paper(x, signal, rule, ceiling))
    assert mode.count == 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spelling", IN_PLACE)
def test_in_place_spellings_write_over_their_input(spelling, rule):
    call, ceiling = SPELLINGS[spelling]
    x, signal = torch.tensor(X), torch.tensor(SIGNAL)
    leaf = x.clone().requires_grad_()
    with RectifierRule(rule):
        inner = leaf * 1
        output = call(inner)
        total = inner + output  # both ways lead through the rectifier
    assert output is inner
    pulled = torch.autograd.grad(total, leaf, signal)[0]
    assert torch.equal(pulled, 2 * rule_of_the_paper(x, signal, rule, ceiling))


@pytest.mark.parametrize("rule", RULES)
def test_an_in_place_call_on_a_view_reaches_its_base(rule):
    x, signal = torch.tensor(X), torch.tensor(SIGNAL)
    leaf = x.clone().requires_grad_()
    with RectifierRule(rule):
        base = leaf * 1
        base[2:].relu_()
    pulled = torch.autograd.grad(base, leaf, signal)[0]
    assert torch.equal(pulled[:2], signal[:2])
    assert torch.equal(pulled[2:], rule_of_the_paper(x[2:], signal[2:], rule))


@pytest.mark.parametrize("rule", RULES)
def test_the_output_may_be_overwritten_before_the_backward_pass(rule):
    x, signal = torch.tensor(X), torch.tensor(SIGNAL)
    _, pulled, _ = pull(lambda x: x.clamp(min=0).mul_(2).add_(1), x, signal, rule)
    assert torch.equal(pulled, rule_of_the_paper(x, 2 * signal, rule))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_precision(dtype, rule):
    x, signal = torch.tensor(X, dtype=dtype), torch.tensor(SIGNAL, dtype=dtype)
    output, pulled, _ = pull(F.relu6, x, signal, rule)
    assert output.dtype == pulled.dtype == dtype
    assert torch.equal(pulled, rule_of_the_paper(x, signal, rule, 6))


@given(st.lists(st.tuples(*[st.floats(-8, 8, width=32)] * 2), min_size=1), st.sampled_from(list(RULES)))
@settings(max_examples=50, deadline=None)
def test_the_rule_holds_for_any_numbers_zero_included(pairs, rule):
    x, signal = torch.tensor(pairs).unbind(1)
    assert torch.equal(pull(torch.relu, x, signal, rule)[1], rule_of_the_paper(x, signal, rule))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_at_zero_and_at_the_ceiling_gradient_is_pytorchs_and_guided_is_shut(spelling):
    call, ceiling = SPELLINGS[spelling]
    x = torch.tensor([-0.0, 0.0, ceiling if np.isfinite(ceiling) else 0.0])
    assert torch.equal(pull(call, x, torch.ones(3), "gradient")[1], plain(call, x)[1])
    assert torch.equal(pull(call, x, torch.ones(3), "guided")[1], torch.zeros(3))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("hardtanh", [F.hardtanh, torch._C._nn.hardtanh])
def test_a_hardtanh_ends_at_one_by_default(rule, hardtanh):
    x, signal = torch.tensor([-1.0, 0.5, 1.5, 1.5, 3.0]), torch.tensor([1.0, 2.0, 3.0, -4.0, 5.0])
    output, pulled, mode = pull(lambda x: hardtanh(x, 0.0), x, signal, rule)
    assert torch.equal(output, x.clamp(0, 1))
    assert torch.equal(pulled, rule_of_the_paper(x, signal, rule, 1))
    assert mode.count == 1


def test_relu_passes_nothing_at_zero():
    assert pull(torch.relu, torch.zeros(1), torch.ones(1), "gradient")[1] == 0


@pytest.mark.parametrize("rule", RULES)
def test_a_nan_is_not_hidden(rule):
    signal = torch.tensor([torch.nan, torch.inf])
    pulled = pull(torch.relu, torch.ones(2), signal, rule)[1]
    assert pulled[0].isnan()
    assert pulled[1] == torch.inf


# --- What is no rectifier


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_rectifier_is_left_alone_bit_for_bit(name, rule):
    call, x = OTHERS[name], torch.tensor(X)
    leaf = x.clone().requires_grad_()
    with pytest.raises(DeepInsideError, match="met none"), RectifierRule(rule) as mode:
        output = call(leaf * 1)
    expected_output, expected_gradient = plain(call, x)
    assert torch.equal(output, expected_output)
    assert torch.equal(torch.autograd.grad(output.sum(), leaf)[0], expected_gradient)
    assert mode.count == 0


def test_integers_and_given_outputs_are_left_alone():
    numbers, buffer = torch.tensor([-1, 2]), torch.empty(2)
    with RectifierRule("gradient") as mode:
        assert numbers.clamp(min=0.5).dtype == torch.float32
        assert torch.clamp(torch.tensor([-1.0, 2.0]), min=0, out=buffer) is buffer
    assert mode.count == 0


# --- Whole networks, against a pass written by hand


class Mixed(nn.Module):
    """Convolution, max-pooling, a shared rectifier, then every spelling one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.shared = nn.ReLU(inplace=True)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in SPELLINGS)
        self.last = nn.Linear(16, 5)
        self.calls = nn.ModuleList(call for call, _ in SPELLINGS.values() if isinstance(call, nn.Module))

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(self.shared(self.first(images)), 2)
        x = F.max_pool2d(self.shared(self.second(x)), 2).flatten(1)
        for layer, (call, _) in zip(self.layers, SPELLINGS.values(), strict=True):
            x = layer(x)
            y = call(x)
            x = x + y  # a residual: what it adds depends on whether the call wrote over x
        return self.last(x)


@pytest.fixture(scope="module")
def mixed() -> Mixed:
    """In float64; scaled so that signals survive the depth and some units saturate."""
    torch.manual_seed(0)
    network = Mixed().double().eval()
    with torch.no_grad():
        network.first.weight.mul_(3)
        network.second.weight.mul_(3)
        for name, layer in zip(SPELLINGS, network.layers, strict=True):
            layer.weight.normal_(std=0.18 if name in IN_PLACE else 0.16)
            layer.bias.normal_(std=2)
    return network


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(in, h, w) with (out, in, 3, 3) -> (out, h, w), one number at a time."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    result = np.empty((len(kernel), height, width))
    for o, i, j in np.ndindex(*result.shape):
        result[o, i, j] = (padded[:, i : i + 3, j : j + 3] * kernel[o]).sum() + bias[o]
    return result


def convolve_back(signal: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The DeconvNet's reconstruction: convolution with the flipped kernel."""
    flipped = kernel[:, :, ::-1, ::-1].swapaxes(0, 1)
    return convolve(signal, flipped, np.zeros(len(flipped)))


def pool(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2 x 2 maxima, and the switches: a mask of where they were."""
    channels, height, width = x.shape
    result, switches = np.empty((channels, height // 2, width // 2)), np.zeros(x.shape, bool)
    for c, i, j in np.ndindex(*result.shape):
        window = x[c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        row, column = divmod(int(window.argmax()), 2)
        result[c, i, j] = window[row, column]
        switches[c, 2 * i + row, 2 * j + column] = True
    return result, switches


def unpool(signal: np.ndarray, switches: np.ndarray) -> np.ndarray:
    return signal.repeat(2, axis=1).repeat(2, axis=2) * switches


def by_hand(network: Mixed, image: np.ndarray, target: int, rule: str) -> np.ndarray:
    """Score to image under a rule, without PyTorch: forward, keeping the inputs, then all the way back."""
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    x, convolved = image, []
    for name in ("first", "second"):
        before = convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        x, switches = pool(np.maximum(before, 0))
        convolved.append((name, before, switches))
    x = x.reshape(-1)
    inputs = []
    for k, (name, (_, ceiling)) in enumerate(SPELLINGS.items()):
        x = weights[f"layers.{k}.weight"] @ x + weights[f"layers.{k}.bias"]
        inputs.append(x)
        y = np.clip(x, 0, ceiling)
        x = 2 * y if name in IN_PLACE else x + y

    signal = weights["last.weight"][target]
    for k, (name, (_, ceiling)) in reversed(list(enumerate(SPELLINGS.items()))):
        if name in IN_PLACE:
            signal = rule_of_the_paper(inputs[k], 2 * signal, rule, ceiling)
        else:
            signal = signal + rule_of_the_paper(inputs[k], signal, rule, ceiling)
        signal = weights[f"layers.{k}.weight"].T @ signal
    signal = signal.reshape(4, 2, 2)
    for name, before, switches in reversed(convolved):
        signal = rule_of_the_paper(before, unpool(signal, switches), rule)
        signal = convolve_back(signal, weights[f"{name}.weight"])
    return signal


def explain(network: nn.Module, images: Tensor, target: int, rule: str) -> Tensor:
    images = images.clone().requires_grad_()
    with RectifierRule(rule):
        scores = network(images)
    return torch.autograd.grad(scores[:, target].sum(), images)[0]


def image(seed: int, *shape: int, dtype=torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("rule", RULES)
def test_a_net_of_every_spelling_agrees_with_a_pass_by_hand(mixed, rule):
    for seed in range(3):
        picture = image(seed, 1, 3, 8, 8)
        ours = explain(mixed, picture, seed, rule)[0].numpy()
        theirs = by_hand(mixed, picture[0].numpy(), seed, rule)
        assert np.abs(theirs).max() > 1e-6
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12 * np.abs(theirs).max())


def test_the_three_rules_differ_on_it(mixed):
    maps = [explain(mixed, image(0, 1, 3, 8, 8), 0, rule) for rule in RULES]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert (maps[one] - maps[other]).abs().max() > 0.1 * maps[one].abs().max()


def test_every_spelling_of_it_is_counted_where_it_stands(mixed):
    with RectifierRule("guided") as rule:
        mixed(image(0, 1, 3, 8, 8))
    assert rule.count == len(SPELLINGS) + 2
    assert rule.rectifiers["F.hardtanh"] == 4  # nn.ReLU6 twice, nn.Hardtanh, F.hardtanh
    assert rule.rectifiers["aten.relu"] == 2


@pytest.mark.parametrize("rule", RULES)
def test_backward_inside_and_after_the_block_agree(mixed, rule):
    picture = image(0, 2, 3, 8, 8).requires_grad_()
    with RectifierRule(rule) as mode:
        scores = mixed(picture)
        met = mode.count
        inside = torch.autograd.grad(scores[:, 1].sum(), picture)[0]
    assert mode.count == met
    assert torch.equal(inside, explain(mixed, picture.detach(), 1, rule))


def test_the_gradient_rule_is_plain_autograd_to_the_bit(mixed):
    picture = image(3, 2, 3, 8, 8).requires_grad_()
    expected = torch.autograd.grad(mixed(picture)[:, 1].sum(), picture)[0]
    assert torch.equal(explain(mixed, picture.detach(), 1, "gradient"), expected)


@pytest.mark.parametrize("rule", RULES)
def test_the_second_call_answers_like_the_first(mixed, rule):
    first, other, second = (explain(mixed, image(0, 1, 3, 8, 8), 0, r) for r in (rule, "guided", rule))
    assert torch.equal(first, second)
    assert torch.equal(first, other) == (rule == "guided")


@pytest.mark.parametrize("rule", RULES)
def test_a_traced_fx_graph_answers_alike(mixed, rule):
    graph, picture = torch.fx.symbolic_trace(mixed), image(0, 1, 3, 8, 8)
    assert torch.equal(explain(graph, picture, 2, rule), explain(mixed, picture, 2, rule))


# --- The paper's three statements


def test_convolution_back_projection_is_convolution_with_the_flipped_kernel():
    kernel = image(0, 4, 3, 3, 3) - 0.5
    leaf, signal = (image(1, 1, 3, 6, 6) - 0.5).requires_grad_(), image(2, 1, 4, 6, 6) - 0.5
    with RectifierRule("deconvnet"):
        output = torch.relu(F.conv2d(leaf, kernel, padding=1))
    pulled = torch.autograd.grad(output, leaf, signal)[0]
    reconstruction = convolve_back(np.maximum(signal[0].numpy(), 0), kernel.numpy())
    np.testing.assert_allclose(pulled[0].numpy(), reconstruction, atol=1e-14)


def test_relu_gradient_masks_by_the_input_and_deconvnet_by_the_signal():
    x, signal = torch.tensor([1.0, 1.0, -1.0, -1.0]), torch.tensor([5.0, -5.0, 5.0, -5.0])
    expected = {"gradient": [5, -5, 0, 0], "deconvnet": [5, 0, 5, 0], "guided": [5, 0, 0, 0]}
    for rule, values in expected.items():
        assert pull(torch.relu, x, signal, rule)[1].tolist() == values


def test_max_pooling_goes_back_through_the_switches():
    leaf, signal = image(0, 1, 2, 6, 6).requires_grad_(), image(1, 1, 2, 3, 3) - 0.5
    with RectifierRule("deconvnet"):
        output = F.max_pool2d(torch.relu(leaf - 0.5), 2)
    pulled = torch.autograd.grad(output, leaf, signal)[0]
    _, switches = pool(np.maximum(leaf.detach()[0].numpy() - 0.5, 0))
    assert np.array_equal(pulled[0].numpy(), np.maximum(unpool(signal[0].numpy(), switches), 0))


# --- Two other tools, on the networks they are right for

SIDES = {"alexnet": 63, "vgg11": 32, "resnet18": 32}


@pytest.fixture(scope="module", params=SIDES)
def known(request) -> tuple[nn.Module, Tensor]:
    """A torchvision network with seeded random weights, and a small picture."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(request.param, weights=None, num_classes=10).eval()
    side = SIDES[request.param]
    return network.requires_grad_(False), image(0, 1, 3, side, side, dtype=torch.float32)


def assert_same_map(ours: Tensor, theirs: Tensor) -> None:
    scale = theirs.abs().max()
    assert scale > 0
    assert (ours - theirs).abs().max() <= 1e-6 * scale


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize(("rule", "method"), [("deconvnet", "Deconvolution"), ("guided", "GuidedBackprop")])
def test_captum_agrees(known, rule, method):
    attr = pytest.importorskip("captum.attr", reason="captum is not installed", exc_type=ImportError)
    network, pictures = known
    theirs = getattr(attr, method)(network).attribute(pictures.clone().requires_grad_(), target=3)
    assert_same_map(explain(network, pictures, 3, rule), theirs)


@pytest.mark.parametrize(("rule", "composite"), [("deconvnet", "DeconvNet"), ("guided", "GuidedBackprop")])
def test_zennit_agrees(known, rule, composite):
    composites = pytest.importorskip("zennit.composites", reason="zennit is not installed", exc_type=ImportError)
    network, pictures = known
    leaf = pictures.clone().requires_grad_()
    with getattr(composites, composite)().context(network) as hooked:
        theirs = torch.autograd.grad(hooked(leaf)[:, 3].sum(), leaf)[0]
    assert_same_map(explain(network, pictures, 3, rule), theirs)


# --- Nothing is left behind


def state_of(network: nn.Module) -> list:
    hooks = [value for m in network.modules() for key, value in vars(m).items() if "hook" in key]
    parameters = [(p.clone(), p._version, p.requires_grad, p.grad) for p in network.parameters()]
    return [[m.training for m in network.modules()], copy.copy(hooks), parameters]


@pytest.mark.parametrize("rule", RULES)
def test_the_network_is_untouched(mixed, rule):
    before = state_of(mixed)
    explain(mixed, image(0, 1, 3, 8, 8), 0, rule)
    assert repr(state_of(mixed)) == repr(before)


class Breaks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("in the middle")


@pytest.mark.parametrize("rule", RULES)
def test_an_exception_in_the_middle_leaves_no_trace(mixed, rule):
    before = state_of(mixed)
    with pytest.raises(ValueError, match="in the middle"):  # and not covered by an error of the rule
        explain(nn.Sequential(Breaks(), mixed), image(0, 1, 3, 8, 8), 0, rule)
    with pytest.raises(ValueError, match="in the middle"):
        explain(nn.Sequential(mixed, Breaks()), image(0, 1, 3, 8, 8), 0, rule)
    assert not _get_current_function_mode_stack()
    assert repr(state_of(mixed)) == repr(before)


def test_eight_threads_with_all_rules_on_one_network_never_disturb_each_other():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 16, 3), nn.ReLU6(),
        nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.Threshold(0, 0), nn.Linear(16, 3),
    )  # fmt: skip
    picture = image(0, 1, 3, 8, 8, dtype=torch.float32)

    def answer(rule: str) -> Tensor:
        if rule in RULES:
            return explain(network, picture, 1, rule)
        leaf = picture.clone().requires_grad_()
        return torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)[0]

    mixture = [*RULES, "none"]
    right = {rule: answer(rule) for rule in mixture}
    assert torch.equal(right["gradient"], right["none"])
    assert len({tuple(map.flatten().tolist()) for map in right.values()}) == 3
    wrong, done = [], []

    def work(offset: int) -> None:
        for turn in range(250):
            rule = mixture[(offset + turn * 7) % 4]
            (done if torch.equal(answer(rule), right[rule]) else wrong).append(rule)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(done) == 2000


# --- The block


def test_of_nested_blocks_the_innermost_decides():
    x, signal = torch.tensor(X), torch.tensor(SIGNAL)
    for inner in RULES:
        with RectifierRule("guided") as outer:
            torch.relu(x.clone().requires_grad_())
            pulled = pull(torch.relu, x, signal, inner)[1]
        assert torch.equal(pulled, rule_of_the_paper(x, signal, inner))
        assert outer.count == 1


def test_a_block_counts_from_zero():
    mode = RectifierRule("guided")
    for _ in range(2):
        with mode:
            F.gelu(torch.relu(torch.ones(1, requires_grad=True)))
        assert (mode.count, mode.rectifiers, mode.others) == (1, {"torch.relu": 1}, {"gelu": 1})
    with pytest.raises(DeepInsideError, match="met none"), mode:
        pass


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("rule", RULES)
def test_inside_no_grad_a_caller_can_turn_gradients_on(mixed, rule, outside):
    expected = explain(mixed, image(0, 1, 3, 8, 8), 0, rule)
    with outside(), torch.inference_mode(False), torch.enable_grad():
        assert torch.equal(explain(mixed, image(0, 1, 3, 8, 8), 0, rule), expected)


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
def test_without_gradients_values_are_right_and_a_rule_says_that_it_could_not_act(mixed, outside):
    expected = mixed(image(0, 1, 3, 8, 8))
    with outside(), RectifierRule("gradient") as mode:
        assert torch.equal(mixed(image(0, 1, 3, 8, 8)), expected)
    assert mode.count >= len(SPELLINGS)
    with pytest.raises(DeepInsideError, match="ran without"), outside(), RectifierRule("guided"):
        scores = mixed(image(0, 1, 3, 8, 8))
    assert torch.equal(scores, expected)


def checkpointed(network: nn.Module, picture: Tensor, reentrant: bool) -> Tensor:
    return torch.utils.checkpoint.checkpoint(network, picture, use_reentrant=reentrant)


def test_recomputed_forward_passes_are_never_a_plain_gradient_in_silence(mixed):
    picture = image(0, 1, 3, 8, 8).requires_grad_()
    with pytest.raises(DeepInsideError, match="re-entrant checkpoint"), RectifierRule("guided"):
        checkpointed(mixed, picture, reentrant=True)
    with RectifierRule("guided"):
        scores = checkpointed(mixed, picture, reentrant=False)
    with pytest.raises(torch.utils.checkpoint.CheckpointError):
        torch.autograd.grad(scores[:, 0].sum(), picture)


@pytest.mark.parametrize("rule", RULES)
def test_under_autocast(rule):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU6(True), nn.Linear(32, 4))
    pictures = image(0, 4, 16, dtype=torch.float32)
    exact = explain(network, pictures, 0, rule)
    with torch.autocast("cpu", torch.bfloat16):
        ours = explain(network, pictures, 0, rule)
    assert ours.dtype == torch.float32
    assert (ours - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("rule", RULES)
def test_function_transforms(rule):
    x, signal = torch.tensor([X, X[::-1]]), torch.tensor([SIGNAL, SIGNAL])

    def score(row: Tensor, weight: Tensor) -> Tensor:
        return (F.relu6(row) * weight).sum()

    with RectifierRule(rule):
        pulled = torch.func.vmap(torch.func.grad(score))(x, signal)
    assert torch.equal(pulled, rule_of_the_paper(x, signal, rule, 6))


def test_a_learned_ceiling_clips_and_gets_no_signal():
    ceiling = torch.tensor(6.0, requires_grad=True)
    x, signal = torch.tensor(X), torch.tensor(SIGNAL)
    output, pulled, _ = pull(lambda x: x.clamp(min=ZERO, max=ceiling), x, signal, "guided")
    assert torch.equal(output, x.clamp(0, 6))
    assert torch.equal(pulled, rule_of_the_paper(x, signal, "guided", 6))


# --- Errors


def test_an_unknown_rule_is_an_error_that_names_the_known_ones():
    with pytest.raises(DeepInsideError, match=r"gradient, deconvnet, guided\), got 'guide'; did you mean guided"):
        RectifierRule("guide")


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_a_rule_without_rectifiers_names_what_it_met_instead(rule):
    smooth = nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2), nn.GELU(), nn.SiLU())
    with pytest.raises(DeepInsideError, match=r"only gelu \(2x\), silu \(1x\).*rule='gradient'"):
        explain(smooth, torch.ones(1, 2), 0, rule)
    assert not _get_current_function_mode_stack()


def test_the_gradient_rule_needs_no_rectifier():
    with RectifierRule("gradient") as mode:
        F.silu(torch.ones(1, requires_grad=True))
    assert (mode.count, mode.others) == (0, {"silu": 1})


def test_check_on_demand():
    with RectifierRule("guided") as mode:
        torch.relu(torch.ones(1, requires_grad=True))
        mode.check()
    with pytest.raises(DeepInsideError, match="run the network inside the block"):
        RectifierRule("guided").check()


def test_calls_that_nothing_comes_back_through_do_not_count():
    image = torch.ones(1, requires_grad=True)
    with RectifierRule("guided") as mode:
        F.gelu(torch.relu(torch.ones(1)))
        torch.relu(image)
    assert (mode.count, mode.others) == (1, {})
    with pytest.raises(DeepInsideError, match="met none"), RectifierRule("guided"):
        torch.relu(torch.ones(1))


@pytest.mark.parametrize("make", [nn.RNN, nn.RNNCell])
def test_a_rectifier_inside_a_kernel_is_an_error(make):
    recurrent, x = make(3, 3, nonlinearity="relu"), torch.ones(2, 3, requires_grad=True)
    with pytest.raises(DeepInsideError, match="rnn_relu"), RectifierRule("guided"):
        recurrent(torch.relu(x))


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU())


def scripted() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.script(small())


def traced() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.trace(small(), torch.ones(1, 2))


def compiled_in_place() -> nn.Module:
    network = small()
    network.compile(backend="eager")
    return network


def compiled_forward() -> nn.Module:
    network = small()
    network.forward = torch.compile(network.forward, backend="eager")
    return network


OUT_OF_REACH = {
    "scripted or traced": scripted,
    "scripted or traced; pass the nn.Module": traced,
    "compiled by torch.compile; pass its ._orig_mod": lambda: torch.compile(small(), backend="eager"),
    r"compiled in place by .compile\(\); pass copy.deepcopy\(network\)": compiled_in_place,
    "compiled through its forward": compiled_forward,
}


@pytest.mark.parametrize("message", OUT_OF_REACH)
def test_what_python_does_not_run_is_an_error_that_says_what_to_do(message):
    network = OUT_OF_REACH[message]()
    with pytest.raises(DeepInsideError, match=f"the network is {message}"):
        check_interceptable(network)
    with pytest.raises(DeepInsideError, match=f"its part '1' is {message}"):
        check_interceptable(nn.Sequential(nn.Identity(), network))


def test_the_remedies_work():
    check_interceptable(copy.deepcopy(compiled_in_place()))
    check_interceptable(torch.compile(small(), backend="eager")._orig_mod)
    check_interceptable(torch.fx.symbolic_trace(small()))


def test_data_parallel_over_several_devices_is_out_of_reach():
    network = nn.DataParallel(small())
    check_interceptable(network)
    network.device_ids = [0, 1]
    with pytest.raises(DeepInsideError, match=r"DataParallel; pass its \.module"):
        check_interceptable(network)


def test_checkpointed_networks_are_out_of_reach():
    network = timm.create_model("resnet10t")
    check_interceptable(network)
    network.set_grad_checkpointing()
    with pytest.raises(DeepInsideError, match="checkpointed; turn that off"):
        check_interceptable(network)
    with pytest.raises(DeepInsideError, match="checkpointed"):
        check_interceptable(torchvision.models.DenseNet(4, (1,), 4, memory_efficient=True))


# --- One more rule


def test_a_rule_is_one_entry_of_the_table(monkeypatch):
    """Passes what is negative, where the unit was open: no published rule, but one that can be worked out by hand."""
    entry = rectifiers.Rule("inverted", "", lambda signal, closed: (signal >= 0) | closed)
    monkeypatch.setattr(rectifiers, "RULES", {**RULES, "inverted": entry})
    x = torch.tensor([-1.0, 2.0, 3.0, 7.0], requires_grad=True)
    with RectifierRule("inverted"):
        y = F.relu6(x)
    (gradient,) = torch.autograd.grad(y, x, torch.tensor([-1.0, 5.0, -5.0, -9.0]))
    assert gradient.tolist() == [0, 0, -5, 0]


@pytest.mark.parametrize("rule", RULES)
def test_the_table_says_what_the_rules_do(rule):
    """The mask in the table, also that of "gradient", which runs PyTorch's own pass."""
    x = torch.tensor([-1.0, -1.0, 2.0, 2.0, 9.0, 9.0], requires_grad=True)
    signal = torch.tensor([3.0, -3.0, 3.0, -3.0, 3.0, -3.0])
    with RectifierRule(rule):
        y = F.relu6(x)
    (gradient,) = torch.autograd.grad(y, x, signal)
    closed = torch.tensor([True, True, False, False, True, True])
    assert gradient.tolist() == signal.masked_fill(RULES[rule].blocks(signal, closed), 0).tolist()


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_no_gradient_is_not_a_gradient_of_zero(rule):
    """Behind a layer that sends none back, such as a quantized one."""
    moving = torch.rand(3, requires_grad=True)
    with RectifierRule(rule):
        rectified = torch.relu(moving)

    class Silent(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return None

    (gradient,) = torch.autograd.grad(Silent.apply(rectified).sum(), moving, allow_unused=True)
    assert gradient is None
