"""Find the class scores in the output of any network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError

# What networks call their scores in a dict or a named tuple, the plainest first.
NAMES = ("logits", "out", "output", "outputs", "scores", "pred", "preds", "prediction", "predictions")


def logits_of(output: object, batch: int) -> Float[Tensor, "batch classes"]:
    """The logits in a network's output: one tensor, or the one of several that its name or its history tells.

    A name of `NAMES` decides, as an attribute, a key or a field. Otherwise what another output was computed from is not
    the scores, nor is what sums to one beside a tensor that does not. Of several heads with as many classes, the first
    counts.

    Args:
        output: what the network returned. A tensor may be (batch, classes), or (batch, classes, 1, 1); one score for
            each image, (batch,), is one class.
        batch: the number of images.

    Raises `DeepInsideError` where that leaves none or several of different widths, and for scores that are not finite.
    """
    logits = _found(output, batch)
    if not logits.isfinite().all():
        raise DeepInsideError(
            "expected finite class scores, got NaN or infinity; check the network's weights and its mean and std"
        )
    return logits


def _found(output: object, batch: int) -> Tensor:
    by_name = _named(output)
    several = tensors_in(output if by_name is None else by_name)
    fitting = [(tensor, table) for tensor in several if (table := _as_table(tensor, batch)) is not None]
    left = [table for _, table in (fitting if len(fitting) < 2 else _scores_among(fitting))]
    if not left:
        came = ", ".join(str(tuple(tensor.shape)) for tensor in several) or type(output).__name__
        raise DeepInsideError(
            f"expected the network to return logits of shape ({batch}, classes), got {came}; wrap it in a module "
            "that returns logits"
        )
    if len({table.shape[1] for table in left}) > 1:
        widths = ", ".join(str(tuple(table.shape)) for table in left)
        raise DeepInsideError(
            f"expected one tensor of logits, got several that may be them ({widths}); wrap the network in a module "
            "that returns the logits alone"
        )
    return left[0]


def _named(output: object) -> Any:
    """What stands under a name that says that it is the scores; None where nothing does."""
    if isinstance(output, Tensor):
        return None
    for name in NAMES:
        value = output.get(name) if isinstance(output, Mapping) else _field(output, name)
        if isinstance(value, (Tensor, tuple, list)):
            return value
    return None


def _field(output: object, name: str) -> object:
    """An attribute of an object, such as a named tuple; plain tuples have methods only."""
    return None if type(output) in (tuple, list) else getattr(output, name, None)


def tensors_in(output: object) -> list[Tensor]:
    """The tensors in an output, in order."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return [tensor for each in output for tensor in tensors_in(each)]
    return []


def _as_table(tensor: Tensor, batch: int) -> Float[Tensor, "batch classes"] | None:
    """The tensor as (batch, classes), or None where it is something else."""
    if not tensor.is_floating_point() or (tensor.ndim == 0 and batch != 1):
        return None
    if tensor.ndim < 2:
        return tensor.reshape(batch, 1) if tensor.numel() == batch else None
    flat = len(tensor) == batch and all(side == 1 for side in tensor.shape[2:])
    return tensor.flatten(1) if flat else None


def _scores_among(outputs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Those outputs that may be the scores, each as it was returned and as a table."""
    shares = [bool((table >= 0).all() and (table.sum(dim=1) - 1).abs().max() < 1e-3) for _, table in outputs]
    if not all(shares):
        outputs = [each for each, is_share in zip(outputs, shares, strict=True) if not is_share]
    if any(tensor.requires_grad for tensor, _ in outputs):  # detached ones are kept for something else
        outputs = [each for each in outputs if each[0].requires_grad]
    return [each for each in outputs if not any(_leads_to(each[0], other[0]) for other in outputs)]


def _leads_to(first: Tensor, second: Tensor) -> bool:
    """Whether the second was computed from the first."""
    if first is second or not (first.requires_grad and second.requires_grad):
        return False
    (gradient,) = torch.autograd.grad(second.sum(), first, retain_graph=True, allow_unused=True)
    return gradient is not None
