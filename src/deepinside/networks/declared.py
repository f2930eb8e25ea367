"""The pixels that a module says it wants: timm and transformers keep that with their networks.

Whoever wraps such a network and forgets its normalization gets answers that are wrong without looking wrong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from PIL.Image import Resampling
from torch import nn

from deepinside.core.errors import DeepInsideError, brief
from deepinside.networks.processors import pixels


class Declared(NamedTuple):
    """The size (height, width), mean and std that a module declares, for pixels in [0, 1], and who says so."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: Resampling
    by: str

    @property
    def note(self) -> str:
        """What is worth knowing where nobody has given them."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"pixels are normalized as {self.by} says, with mean {mean} and std {std}; mean= and std= change that"


def declared(module: nn.Module) -> Declared | None:
    """What a module of timm or transformers says of its pixels, None for any other.

    Raises `DeepInsideError` for a module of transformers whose processor is not on this machine, or does more to pixels
    than to scale and shift each channel.
    """
    return _by_timm(module) or _by_transformers(module)


def _by_timm(module: nn.Module) -> Declared | None:
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, dict) or not {"mean", "std", "input_size"} <= config.keys():
        return None
    _, height, width = config["input_size"]
    resample = getattr(Resampling, str(config.get("interpolation")).upper(), Resampling.BICUBIC)
    return Declared((height, width), tuple(config["mean"]), tuple(config["std"]), resample, "timm")


def _by_transformers(module: nn.Module) -> Declared | None:
    config: Any = getattr(module, "config", None)
    if not type(config).__module__.startswith("transformers."):
        return None
    source = getattr(config, "name_or_path", "")
    try:
        from transformers import AutoImageProcessor

        made = pixels(
            AutoImageProcessor.from_pretrained(source, local_files_only=True), getattr(config, "num_channels", 3), None
        )
    except Exception as error:  # transformers raises many families on what is missing
        raise DeepInsideError(
            f"expected mean and std for {type(module).__name__}, whose processor is not at hand ({brief(error)}); give "
            "mean=... and std=..., or load it as hf:NAME"
        ) from None
    if made.order != tuple(range(len(made.order))):
        raise DeepInsideError(
            f"expected a network that takes RGB, but {type(module).__name__} takes its channels in another order; load "
            "it as hf:NAME"
        )
    return Declared(made.size, made.mean, made.std, made.resample, "its processor")
