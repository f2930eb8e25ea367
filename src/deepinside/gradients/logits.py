"""Find the class scores in the output of any network."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError


def logits_of(output: object, batch: int) -> Float[Tensor, "batch classes"]:
    """The logits in a network's output: a tensor, the first item of a tuple, `.logits`, or the `"logits"` of a dict.

    Raises `DeepInsideError` unless they are a finite tensor of shape (batch, classes).
    """
    logits = _unwrap(output)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != batch:
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
        raise DeepInsideError(
            f"expected the network to return logits of shape ({batch}, classes), got {came}; wrap it in a module "
            "that returns logits"
        )
    if not logits.isfinite().all():
        raise DeepInsideError(
            "expected finite class scores, got NaN or infinity; check the network's weights and its mean and std"
        )
    return logits


def _unwrap(output: object) -> object:
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, Mapping) and output:
        return output.get("logits", next(iter(output.values())))
    if isinstance(output, (tuple, list)) and output:
        return output[0]
    return output
