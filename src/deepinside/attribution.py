"""Saliency in the shape that other tools expect, so that their metrics and pictures work on top of it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from deepinside.saliency import Targets, gradient


class Attribution:
    """An object with Captum's `attribute(inputs, target=...)`: the signed gradient under a rectifier rule.

    Args:
        network: any module that maps images to logits; it is left as it was.
        rule: one of `"gradient"`, `"deconvnet"`, `"guided"`.
        absolute: magnitudes, as Captum's `Saliency` gives by default, in place of signed values.

    Source: the convention of `captum.attr.Attribution`.

    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    >>> Attribution(network).attribute(torch.rand(2, 3, 4, 4), target=[1, 2]).shape
    torch.Size([2, 3, 4, 4])
    """

    def __init__(self, network: nn.Module, rule: str = "gradient", *, absolute: bool = False):
        self.network = network
        self.rule = rule
        self.absolute = absolute

    def attribute(
        self, inputs: Float[Tensor, "batch 3 height width"], target: Targets = 0
    ) -> Float[Tensor, "batch 3 height width"]:
        """One number for each number of the inputs. Arguments and errors as `deepinside.saliency`."""
        slopes = gradient(self.network, inputs, target, rule=self.rule)
        return slopes.abs() if self.absolute else slopes
