"""The same network, faster: less arithmetic, and above all less memory to go through.

In evaluation mode a batch norm is a scale and a shift, and the convolution before it can do both. A clipped rectifier
only has to keep its output. The uneven padding of a "same" convolution becomes a row and a column of zeros in its
kernel, in place of a padded copy of its input. A convolution that strides over the image back-propagates as one without
strides. Modules keep their names, so that layers can still be looked at; a convolution's output is then the batch
norm's. All this happens on a copy, channels last, and the copy's logits and gradient are compared with the original's
on one image: they agree up to rounding, which moves logits by less than `TOLERANCE` and, since rectifiers at their kink
may switch, gradients by up to about 1%.
"""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from deepinside.gradients.logits import logits_of
from deepinside.gradients.running import run, single

# How far the largest output may move, relative to it: single precision rounds differently when sums are reordered.
TOLERANCE = 1e-4
# How far the gradient may move, relative to its norm: rounding switches the few rectifiers that stand at their kink.
GRADIENT_TOLERANCE = 3e-2


def folded(private: nn.Module, example: Float[Tensor, "1 channels height width"]) -> nn.Module:
    """A copy of an evaluation-mode network that runs faster, or the network itself where that cannot be had.

    Args:
        private: a network in evaluation mode whose weights ask for no gradient.
        example: one image to find the order of layers with, and to compare the outputs on.
    """
    try:
        with torch.inference_mode(False), torch.no_grad():
            fast = copy.deepcopy(private)
            _fold_pairs(fast, _pairs(fast, example))
            spending = _Spending()
            fast.spending = spending  # type: ignore[assignment]
            _replace(fast, _is_clipped_in_place, lambda module: _Clipped(module, spending))
            _replace(fast, _is_unevenly_padded, _Evened)
            _replace(fast, _strides_over_an_image, _Strided)
            fast = fast.to(memory_format=torch.channels_last)
            alike = _alike(_answer(fast, example), _answer(private, example))
    except Exception:  # scripted, quantized, no classifier at all: slower, and as right as before
        return private
    return fast if alike else private


def _answer(network: nn.Module, example: Tensor) -> tuple[Tensor, Tensor]:
    """The logits, and the gradient of the largest, on a fresh copy of the example."""
    with torch.enable_grad():
        pixels = example.clone(memory_format=torch.channels_last).requires_grad_()
        logits = single(logits_of(run(network, pixels.clone()), 1))
        spend(network, once=True)
        (gradient,) = torch.autograd.grad(logits.max(), pixels)
    return logits.detach(), gradient


def _alike(came: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> bool:
    difference = (came[0] - expected[0]).abs().max()
    drift = (came[1] - expected[1]).norm()
    return bool(difference <= TOLERANCE * expected[0].abs().max() and drift <= GRADIENT_TOLERANCE * expected[1].norm())


def _pairs(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms that ran, once, directly on what they returned."""
    made: dict[int, str] = {}
    alive: list[Tensor] = []  # an id is only unique while its tensor lives
    runs: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []
    handles = []

    def after(name: str, output: Tensor) -> None:
        runs[name] = runs.get(name, 0) + 1
        made[id(output)] = name
        alive.append(output)

    def before(name: str, received: Tensor) -> None:
        runs[name] = runs.get(name, 0) + 1
        if id(received) in made:
            pairs.append((made[id(received)], name))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(lambda _, __, output, name=name: after(name, output)))
        elif _is_foldable(module):
            handles.append(module.register_forward_pre_hook(lambda _, inputs, name=name: before(name, inputs[0])))
    try:
        run(network, example.clone())
    finally:
        for handle in handles:
            handle.remove()
    return [(convolution, norm) for convolution, norm in pairs if runs[convolution] == runs[norm] == 1]


def _is_foldable(module: nn.Module) -> bool:
    plain = type(module) is nn.BatchNorm2d
    with_activation = isinstance(module, nn.BatchNorm2d) and hasattr(module, "act") and hasattr(module, "drop")
    return (plain or with_activation) and module.running_mean is not None


def _fold_pairs(network: nn.Module, pairs: list[tuple[str, str]]) -> None:
    for convolution_name, norm_name in pairs:
        convolution = network.get_submodule(convolution_name)
        norm = network.get_submodule(norm_name)
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        fused = fuse_conv_bn_eval(convolution, norm).requires_grad_(False)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        # timm's batch norm carries its activation with it, under these names.
        kept = OrderedDict((part, child) for part, child in norm.named_children() if part in ("drop", "act"))
        rest = nn.Sequential(kept) if kept else nn.Identity()
        parent, _, name = norm_name.rpartition(".")
        setattr(network.get_submodule(parent), name, rest.eval())


def _replace(network: nn.Module, wanted: Callable[[nn.Module], bool], make: Callable[[Any], nn.Module]) -> None:
    for parent in network.modules():
        for name, child in list(parent.named_children()):
            if wanted(child):
                setattr(parent, name, make(child))


def spend(private: nn.Module, once: bool) -> None:
    """Whether the next backward pass through a folded network is the only one, and nobody holds its activations.

    Then the memory of a rectifier's output, which no layer before it needs, takes the gradient that goes on.
    """
    spending = getattr(private, "spending", None)
    if isinstance(spending, _Spending):
        spending.once = once


@dataclass
class _Spending:
    """Shared by all rectifiers of one folded copy; copies of the copy have their own."""

    once: bool = False


def _is_clipped_in_place(module: nn.Module) -> bool:
    return isinstance(module, (nn.ReLU, nn.Hardtanh)) and module.inplace  # ReLU6 is a Hardtanh


class _Clipped(nn.Module):
    """An in-place rectifier that keeps its output; for clipped ones PyTorch keeps a copy of the input."""

    def __init__(self, original: nn.ReLU | nn.Hardtanh, spending: _Spending):
        super().__init__()
        self.low, self.high = 0.0, float("inf")
        if isinstance(original, nn.Hardtanh):
            self.low, self.high = float(original.min_val), float(original.max_val)
        self.spending = spending

    def forward(self, signal: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return signal.clamp_(self.low, self.high)
        output: Tensor = _Clip.apply(signal, self)
        return output


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, owner: _Clipped) -> Tensor:
        output = signal.clamp_(owner.low, owner.high)
        ctx.mark_dirty(output)
        ctx.save_for_backward(output)
        ctx.owner = owner
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (output,) = ctx.saved_tensors
        # Strictly between the bounds is where the input was, too, so the output will do.
        back, bounds = torch.ops.aten.hardtanh_backward, (ctx.owner.low, ctx.owner.high)
        if ctx.owner.spending.once:  # every reader of the output has already back-propagated
            return back.grad_input(gradient, output, *bounds, grad_input=output.detach()), None
        return back(gradient, output, *bounds), None


def _is_unevenly_padded(module: nn.Module) -> bool:
    """A depthwise "same" convolution that halves its input; of others, the larger kernel would cost what it saves."""
    same: Any = getattr(sys.modules.get("timm.layers"), "Conv2dSame", ())
    return (
        isinstance(module, same)
        and module.groups == module.in_channels
        and module.stride == (2, 2)
        and module.dilation == (1, 1)
        and module.kernel_size[0] == module.kernel_size[1]
        and module.kernel_size[0] % 2 == 1
    )


class _Evened(nn.Module):
    """A "same" convolution of stride 2 without a padded copy of its input.

    An input of odd size is padded alike on both sides. One of even size gets one more row and column after it than
    before it; a kernel with zeros in front, padded alike on both sides, does the same.
    """

    weight: Tensor
    larger: Tensor

    def __init__(self, original: nn.Conv2d):
        super().__init__()
        self.register_buffer("weight", original.weight.detach())
        self.register_buffer("larger", F.pad(original.weight.detach(), (1, 0, 1, 0)))
        self.bias = original.bias
        self.side = original.kernel_size[0] // 2
        self.groups = original.groups

    def forward(self, images: Tensor) -> Tensor:
        odd = images.shape[2] % 2, images.shape[3] % 2
        if odd[0] != odd[1]:
            padded = F.pad(images, (self.side - 1 + odd[1], self.side, self.side - 1 + odd[0], self.side))
            return F.conv2d(padded, self.weight, self.bias, 2, 0, 1, self.groups)
        kernel = self.weight if odd[0] else self.larger
        return F.conv2d(images, kernel, self.bias, 2, self.side, 1, self.groups)


def _strides_over_an_image(module: nn.Module) -> bool:
    """The first layer of most networks. At 3 x 3, or with many channels, PyTorch's own gradient is as fast."""
    return (
        type(module) is nn.Conv2d
        and module.in_channels <= 4
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.stride[0] == module.stride[1] > 1
        and min(module.kernel_size) > 3
    )


class _Strided(nn.Module):
    """A convolution of stride s whose gradient is a convolution of stride 1, followed by a shuffle of its channels.

    Pixels whose positions differ by multiples of s meet the same weights of the kernel, so that the gradient at each of
    the s x s phases is one channel of a plain convolution (the sub-pixel convolution of Shi et al. 2016).
    """

    weight: Tensor
    phases: Tensor

    def __init__(self, original: nn.Conv2d):
        super().__init__()
        self.stride = int(original.stride[0])
        self.padding = (int(original.padding[0]), int(original.padding[1]))
        self.bias = original.bias
        self.register_buffer("weight", original.weight.detach())
        self.register_buffer("phases", _phases(original.weight.detach(), self.stride))

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "cpu":  # other backends have fast kernels for it
            return F.conv2d(images, self.weight, self.bias, self.stride, self.padding)
        output: Tensor = _Stride.apply(images, self)
        return output


class _Stride(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, owner: _Strided) -> Tensor:
        ctx.owner, ctx.size = owner, images.shape[2:]
        return F.conv2d(images, owner.weight, owner.bias, owner.stride, owner.padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        phases, (top, left), (height, width) = ctx.owner.phases, ctx.owner.padding, ctx.size
        reach = phases.shape[2] - 1, phases.shape[3] - 1
        signal = F.conv2d(gradient, phases.to(gradient.dtype), padding=reach)
        signal = F.pixel_shuffle(signal, ctx.owner.stride)[:, :, top : top + height, left : left + width]
        # No gradient reaches the pixels behind the kernel's last position.
        return F.pad(signal, (0, width - signal.shape[3], 0, height - signal.shape[2])), None


def _phases(
    kernel: Float[Tensor, "out channels height width"], stride: int
) -> Float[Tensor, "phases out rows columns"]:
    """The kernel of the backward pass: every stride-th weight, flipped, for each phase."""
    out, channels, *size = kernel.shape
    rows, columns = (-(-side // stride) for side in size)
    whole = F.pad(kernel, (0, columns * stride - size[1], 0, rows * stride - size[0]))
    split = whole.reshape(out, channels, rows, stride, columns, stride).flip(2, 4)
    return split.permute(1, 3, 5, 0, 2, 4).reshape(channels * stride**2, out, rows, columns)
