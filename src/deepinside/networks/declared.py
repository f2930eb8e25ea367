"""The pixels that a module says it wants, and its classes: timm and transformers keep that with their networks.

Whoever wraps such a network and forgets its normalization gets answers that are wrong without looking wrong.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from PIL.Image import Resampling
from torch import nn

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.labels import Labels, as_labels, imagenet
from deepinside.networks.processors import pixels

UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls a class that nobody named
LABELS_NOTE = "classes have the names that the network was published with; labels= changes that"


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


def declares_pixels(module: nn.Module) -> bool:
    """Whether a module says what pixels it wants; nothing is read for that."""
    return _config_of_timm(module) is not None or _is_of_transformers(module)


def declared(module: nn.Module) -> Declared | None:
    """What a module of timm or transformers says of its pixels, None for any other.

    Raises `DeepInsideError` for a module of transformers whose processor is not on this machine, or does more to pixels
    than to scale and shift each channel.
    """
    return _by_timm(module) or _by_transformers(module)


def declared_labels(module: nn.Module) -> Labels:
    """The classes of a module of timm or transformers as it was published.

    None of any other, nor where its head has other outputs, be it by the library or put in its place by hand.
    """
    published: Any = getattr(module, "pretrained_cfg", None)
    if isinstance(published, dict):
        make_head: Any = getattr(module, "get_classifier", lambda: None)
        return labels_of_timm(module) if _has_outputs(make_head(), published.get("num_classes")) else Labels()
    if _is_of_transformers(module):
        config: Any = module.config
        names = labels_of_transformers(config, config.num_labels)
        return names if _has_outputs(getattr(module, "classifier", None), len(names)) else Labels()
    return Labels()


def _has_outputs(head: object, count: object) -> bool:
    """Whether the last layer of a head, or of each of several, has so many outputs."""
    heads = [each for each in (head if isinstance(head, tuple) else (head,)) if isinstance(each, nn.Module)]
    layers = [[each for each in one.modules() if isinstance(each, nn.Linear | nn.Conv2d)] for one in heads]
    return bool(layers) and all(own and len(own[-1].weight) == count for own in layers)


def labels_of_timm(network: nn.Module) -> Labels:
    """The classes of a network of timm, which tells ImageNet and its larger versions by how many there are."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(network)
    if subset is None or subset == "imagenet-1k":
        return imagenet() if subset else Labels()
    info = ImageNetInfo(subset)
    return Labels.of([info.index_to_description(i) for i in range(info.num_classes())], info.label_names())


def labels_of_transformers(config: Any, classes: int) -> Labels:
    """The names that a configuration of transformers gives; a class that it does not name is a number."""
    named = {int(key): str(value) for key, value in (config.id2label or {}).items()}
    names = [named.get(index, "") for index in range(classes)]
    if classes != config.num_labels or all(not name.strip() or UNNAMED.fullmatch(name) for name in names):
        return Labels()
    return as_labels([name if name.strip() else f"class {index}" for index, name in enumerate(names)])


def _is_of_transformers(module: nn.Module) -> bool:
    return type(getattr(module, "config", None)).__module__.startswith("transformers.")


def _config_of_timm(module: nn.Module) -> dict[str, Any] | None:
    config = getattr(module, "pretrained_cfg", None)
    return config if isinstance(config, dict) and {"mean", "std", "input_size"} <= config.keys() else None


def _by_timm(module: nn.Module) -> Declared | None:
    config = _config_of_timm(module)
    if config is None:
        return None
    _, height, width = config["input_size"]
    resample = getattr(Resampling, str(config.get("interpolation")).upper(), Resampling.BICUBIC)
    return Declared((height, width), tuple(config["mean"]), tuple(config["std"]), resample, "timm")


def _by_transformers(module: nn.Module) -> Declared | None:
    if not _is_of_transformers(module):
        return None
    config: Any = module.config
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
