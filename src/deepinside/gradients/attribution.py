"""Saliency in the shape that other tools expect, so that their metrics and pictures work on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from deepinside.gradients.saliency import gradient
from deepinside.gradients.targets import Target


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

    def attribute(self, inputs: Any, target: Target | Sequence[int] | Tensor = 0) -> Any:
        """One number for each number of the inputs. Arguments and errors as `deepinside.saliency`.

        Args:
            inputs: images (batch, 3, height, width), RGB in [0, 1], or a tuple of one such tensor, as Captum's metrics
                pass them; the result has the same form.
            target: a class, one class per image, or a score.
        """
        (images,) = inputs if isinstance(inputs, tuple) else (inputs,)
        gradients: Tensor = gradient(self.network, images, target, rule=self.rule)
        gradients = gradients.abs() if self.absolute else gradients
        return (gradients,) if isinstance(inputs, tuple) else gradients
