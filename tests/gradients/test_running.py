"""Networks on their own device and in their own precision, and their failures in one line."""

import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.running import NetworkError, find_layer, home, outputs_of, run, single, telling


def test_a_modules_own_tensors_tell_before_those_of_the_modules_inside():
    inside = nn.Sequential(nn.Flatten(), nn.Linear(4, 2).double())
    assert home(inside) == (torch.device("cpu"), torch.float64)
    inside.register_buffer("mean", torch.zeros(3))
    assert home(inside)[1] == torch.float32
    assert home(nn.Linear(4, 2, device="meta"))[0] == torch.device("meta")
    counting = nn.Sequential(nn.Module(), nn.Linear(4, 2).half())
    counting[0].register_buffer("steps", torch.zeros((), dtype=torch.long))
    assert home(counting)[1] == torch.float16
    assert home(nn.ReLU()) == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_images_are_converted_and_gradients_come_back_as_the_images_are(precision):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).to(precision)
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    output = run(network, images)
    assert torch.equal(output, network(images.to(precision)))
    (gradient,) = torch.autograd.grad(output[:, 1].sum(), images)
    assert gradient.dtype == images.dtype
    weight = network[2].weight[1].view(1, 4, 6, 6)
    by_hand = nn.functional.conv_transpose2d(weight.float(), network[0].weight.float())
    assert torch.allclose(gradient, by_hand.expand_as(gradient), atol=2e-2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 2])
def test_batch_norms_before_tokens_have_their_closed_form_gradient(batch, layout):
    """With a batch of one, PyTorch's own is wrong for a gradient that comes in another layout (2.14)."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4).eval()
    norm.running_var.uniform_(0.5, 2)
    norm.weight.data.uniform_(0.5, 2)
    network = nn.Sequential(norm, nn.Flatten(2))
    images = torch.rand(batch, 4, 3, 3).contiguous(memory_format=layout).requires_grad_()
    weights = torch.rand(9, 4)
    score = (run(network, images).transpose(1, 2) * weights).sum()
    (gradient,) = torch.autograd.grad(score, images)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).view(4, 1, 1)
    assert torch.allclose(gradient, (weights.T.view(4, 3, 3) * scale).expand(batch, -1, -1, -1))
    assert not norm._forward_hooks


class Hooked(nn.Module):
    """Registers a hook on a tensor, which PyTorch refuses where no gradient is wanted."""

    def forward(self, images):
        images = 2 * images
        images.register_hook(lambda gradient: None)
        return images.mean((2, 3))


def test_a_network_that_needs_gradients_to_run_has_them():
    images = torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        assert torch.equal(outputs_of(Hooked(), images), 2 * images.mean((2, 3)))
    assert not outputs_of(nn.Flatten(), images).requires_grad


class Failing(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, images, other=None):
        raise self.error


class TwoInputs(nn.Module):
    def forward(self, images, ages):
        return images


@pytest.mark.parametrize(("network", "told"), [
    (nn.Conv2d(1, 2, 3), "on images of shape \\(1, 3, 4, 4\\) \\(RuntimeError: .*the number of channels"),
    (TwoInputs(), "missing 1 required .*ages.*supplies the rest"),
    (Failing(ValueError("two\nlines")), "\\(ValueError: two lines\\)"),
    (Failing(torch.OutOfMemoryError("no room")), "fewer or smaller images"),
])  # fmt: skip
def test_failures_are_told_in_one_line(network, told):
    with pytest.raises(NetworkError, match=told) as caught:
        run(network, torch.rand(1, 3, 4, 4))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert caught.value.is_exhausted == ("no room" in str(caught.value))


def test_errors_of_ours_are_passed_on_as_they_are():
    with pytest.raises(DeepInsideError, match=r"^ours$") as caught, telling(torch.rand(1, 3, 4, 4)):
        raise DeepInsideError("ours")
    assert not isinstance(caught.value, NetworkError)


def test_half_precision_becomes_single():
    assert [single(torch.zeros(1, dtype=kind)).dtype for kind in (torch.float16, torch.bfloat16, torch.float64)] == [
        torch.float32, torch.float32, torch.float64,
    ]  # fmt: skip


def test_layers_are_found_behind_the_normalization():
    inner = nn.Sequential(nn.ReLU())
    assert find_layer({"model.0": inner[0]}, "0") is inner[0]
    with pytest.raises(DeepInsideError, match="did you mean block1"):
        find_layer({"": inner, "model.block1": inner[0]}, "block2")
