"""The same network, faster: batch norms folded into the convolutions before them, channels last.

In evaluation mode a batch norm is a scale and a shift, and a convolution can do both. Modules keep their names and
places, so layers can still be looked at; a convolution's output is then the batch norm's. Folding happens on a copy,
and only where it provably changes nothing: the result is compared with the original on the images at hand.
"""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from deepinside.logits import logits_of

# How far the largest output may move, relative to it: single precision rounds differently when sums are reordered.
TOLERANCE = 1e-4


def folded(private: nn.Module, example: Float[Tensor, "1 3 height width"]) -> nn.Module:
    """A copy of an evaluation-mode network that runs faster, or the network itself where that cannot be had.

    Args:
        private: a network in evaluation mode whose weights ask for no gradient.
        example: one image to find the order of layers with, and to compare the outputs on.
    """
    try:
        with torch.inference_mode(False), torch.no_grad():
            expected = logits_of(private(example.clone()), 1)
            fast = copy.deepcopy(private)
            _fold_pairs(fast, _pairs(fast, example))
            fast = fast.to(memory_format=torch.channels_last)
            came = logits_of(fast(example.clone(memory_format=torch.channels_last)), 1)
    except (RuntimeError, TypeError, NotImplementedError, AttributeError):
        return private  # scripted, quantized, weight-tied in odd ways: slower, and as right as before
    close = torch.allclose(came, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))
    return fast if close else private


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
        network(example.clone())
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
