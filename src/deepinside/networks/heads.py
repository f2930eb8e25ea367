"""How many classes a state dict is for, read at the entries of an architecture that grow with the number of classes.

The architecture is built twice, with two numbers of classes and without memory for its weights; the entries whose
shapes differ are its heads, however many it has and whatever they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FEW, MORE = 7, 11  # two numbers of classes, neither of them the size of a layer


class _Weightless(TorchFunctionMode):
    """Parameters on the meta device; numbers that a constructor computes with tensors stay real."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **{**(kwargs or {}), **({"device": "meta"} if func is torch.empty else {})})


def outline(make: Callable[[], nn.Module]) -> Mapping[str, Tensor]:
    """The state dict of what `make` builds, without memory for its values where the architecture allows it.

    >>> {name: (entry.shape, entry.device.type) for name, entry in outline(lambda: nn.Linear(9, 2, bias=False)).items()}
    {'weight': (torch.Size([2, 9]), 'meta')}
    """
    with torch.random.fork_rng(devices=[]):  # random weights that nobody sees leave the caller's generator as it was
        try:
            with _Weightless():
                return make().state_dict()
        except (RuntimeError, NotImplementedError, TypeError, ValueError):  # it computes with the values of its weights
            return make().state_dict()


def count_classes(make: Callable[[int], nn.Module], state: Mapping[str, Tensor]) -> int | None:
    """The number of classes of a state dict, or None where it lacks the heads of the architecture, or they disagree.

    >>> count_classes(lambda classes: nn.Linear(9, classes), {"weight": torch.zeros(5, 9), "bias": torch.zeros(5)})
    5
    """
    few, more = (outline(lambda count=count: make(count)) for count in (FEW, MORE))  # type: ignore[misc]
    counts = set()
    for name in few.keys() & state.keys():
        for axis, (low, high) in enumerate(zip(few[name].shape, more[name].shape, strict=True)):
            if low != high and axis < state[name].ndim:
                counts.add(FEW + (state[name].shape[axis] - low) * (MORE - FEW) / (high - low))
    count = counts.pop() if len(counts) == 1 else 0
    return int(count) if count >= 1 and count == int(count) else None
