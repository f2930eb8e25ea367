"""Backward operators of PyTorch, written out as ordinary ones that any runtime has.

A trace of a gradient contains operators such as `convolution_backward`, which ONNX does not know. Each has a closed
form in operators that it does know: a convolution goes back as a transposed convolution, a maximum as a scatter to
where it was found, an average as a spread over what was averaged. PyTorch has such forms for most operators; these are
the others. Only the gradient with respect to a layer's input is needed, since weights are fixed.

Heights and widths are numbers, and the batch may be any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

aten = torch.ops.aten

Gradients = tuple[Tensor, None, None]  # with respect to the input, and none for weight and bias


class PlainMeans(TorchFunctionMode):
    """A block in which pooling to a single value is a mean, as PyTorch computes it, too.

    PyTorch then arranges the result in memory by strides of its own, and those have no counterpart elsewhere.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (F.adaptive_avg_pool2d, torch._C._nn.adaptive_avg_pool2d) and not kwargs:
            images, size = args
            if size in (1, (1, 1), [1, 1]):
                return images.mean((-2, -1), keepdim=True)
        return function(*args, **(kwargs or {}))


def decompositions() -> dict[Any, Callable[..., Any]]:
    """What to write in place of an operator, by operator."""
    return {
        **core_aten_decompositions(),
        aten.convolution_backward.default: _convolution,
        aten.native_batch_norm_backward.default: _batch_norm,
        aten.max_pool2d_with_indices_backward.default: _max_pool,
        aten.avg_pool2d_backward.default: _average_pool,
        aten._adaptive_avg_pool2d_backward.default: _adaptive_average_pool,
    }


def _convolution(
    gradient: Float[Tensor, "batch channels *out"],
    input: Float[Tensor, "batch others *size"],
    weight: Tensor,
    _bias: object,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    is_transposed: bool,
    _output_padding: object,
    groups: int,
    _wanted: object,
) -> Gradients:
    """The other kind of convolution; its output padding restores the size that a stride has rounded down."""
    if is_transposed:
        back = aten.convolution(gradient, weight, None, stride, padding, dilation, False, [0] * len(stride), groups)
        return back, None, None
    sizes = zip(input.shape[2:], gradient.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    rest = [int(size - ((out - 1) * s - 2 * p + d * (kernel - 1) + 1)) for size, out, kernel, s, p, d in sizes]
    back = aten.convolution(gradient, weight, None, stride, padding, dilation, True, rest, groups)
    return back, None, None


def _batch_norm(
    gradient: Float[Tensor, "batch channels *size"],
    _input: object,
    weight: Float[Tensor, " channels"] | None,
    _mean: object,
    variance: Float[Tensor, " channels"],
    _saved_mean: object,
    _saved_scale: object,
    _is_training: object,
    epsilon: float,
    _wanted: object,
) -> Gradients:
    """In evaluation mode, a batch norm multiplies each channel by a number."""
    scale = torch.rsqrt(variance + epsilon)
    scale = scale if weight is None else scale * weight
    return gradient * scale.view(-1, *[1] * (gradient.ndim - 2)), None, None


def _max_pool(
    gradient: Float[Tensor, "batch channels rows columns"],
    input: Float[Tensor, "batch channels height width"],
    _kernel: object,
    _stride: object,
    _padding: object,
    _dilation: object,
    _ceil_mode: object,
    indices: Int[Tensor, "batch channels rows columns"],
) -> Float[Tensor, "batch channels height width"]:
    """Back to where each maximum was found; what was found several times gets the sum."""
    batch, channels, height, width = input.shape
    flat = gradient.new_zeros((batch, channels, height * width))
    return flat.scatter_add(2, indices.flatten(2), gradient.flatten(2)).view(batch, channels, height, width)


def _average_pool(
    gradient: Float[Tensor, "batch channels rows columns"],
    input: Float[Tensor, "batch channels height width"],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    counts_padding: bool,
    divisor: int | None,
) -> Float[Tensor, "batch channels height width"]:
    """Each axis goes back on its own, unless a window's share of the padding makes the divisor depend on both."""
    rules = kernel, list(stride) or kernel, padding
    sizes = input.shape[2:], gradient.shape[2:]
    down, across = (_windows(*(each[axis] for each in (*sizes, *rules))) for axis in (0, 1))
    if divisor:
        weights = torch.full((len(down), len(across)), float(divisor))
    else:
        rows, columns = (
            _counted(*(each[axis] for each in (*sizes, *rules)), counts_padding=counts_padding) for axis in (0, 1)
        )
        weights = rows[:, None] * columns[None]
    return _spread(gradient / weights.to(gradient), down.to(gradient), across.to(gradient))


def _adaptive_average_pool(
    gradient: Float[Tensor, "batch channels rows columns"], input: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch channels height width"]:
    """Every value goes, in equal shares, to the cells that it is the mean of."""
    down, across = (_adaptive(*sides) for sides in zip(input.shape[2:], gradient.shape[2:], strict=True))
    down, across = down / down.sum(1, keepdim=True), across / across.sum(1, keepdim=True)
    return _spread(gradient, down.to(gradient), across.to(gradient))


def _spread(
    gradient: Float[Tensor, "batch channels rows columns"],
    down: Float[Tensor, "rows height"],
    across: Float[Tensor, "columns width"],
) -> Float[Tensor, "batch channels height width"]:
    return torch.matmul(torch.matmul(down.T, gradient), across)


def _windows(size: int, out: int, kernel: int, stride: int, padding: int) -> Float[Tensor, "out size"]:
    """Which of the cells each window of a pooling covers, along one axis: 1 or 0."""
    starts = torch.arange(out)[:, None] * stride - padding
    at = torch.arange(size)[None]
    return ((at >= starts) & (at < starts + kernel)).float()


def _counted(
    size: int, out: int, kernel: int, stride: int, padding: int, *, counts_padding: bool
) -> Float[Tensor, " out"]:
    """How many cells each window is divided by, along one axis: never those beyond the padding."""
    starts = torch.arange(out) * stride - padding
    ends = (starts + kernel).clamp(max=size + padding)
    return ((ends - starts) if counts_padding else (ends.clamp(max=size) - starts.clamp(min=0))).float()


def _adaptive(size: int, out: int) -> Float[Tensor, "out size"]:
    """Which cells an adaptive pooling averages for each of its outputs, along one axis: 1 or 0."""
    return torch.stack(
        [
            F.pad(torch.ones(end - start, dtype=torch.float64), (start, size - end))
            for start, end in (_range(i, size, out) for i in range(out))
        ]
    )


def _range(i: int, size: int, out: int) -> tuple[int, int]:
    return i * size // out, math.ceil((i + 1) * size / out)
