"""Classifiers of timm, with its weights or a local file, which is loaded as its own builder loads published ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, nearest
from deepinside.networks.classifier import Classifier
from deepinside.networks.declared import labels_of_timm
from deepinside.networks.downloads import from_hugging_face, from_torch_hub
from deepinside.networks.heads import count_classes, outline
from deepinside.networks.weights import Match, fill, fill_in_order, fits, matching, misfit, read_weights

SEED = 0x6A09_E667_F3BC_C908  # one that nobody trains with, since random weights are told by being equal


def load_timm(name: str, weights: Path | None) -> Classifier:
    """The classifier of a name such as `resnet50` or `resnet50.a1_in1k`, with published weights or those of a file.

    Raises `DeepInsideError` for weights that cannot be had or do not fit.
    """
    if weights is None:
        return _classifier(_published(name))
    import timm

    _config(name)
    match = matching(read_weights(weights), outline(lambda: timm.create_model(name, num_classes=1000)))
    classifier = _classifier(_filled(name, match))
    classifier.notes = match.notes
    return classifier


def load_timm_in_order(name: str, state: Mapping[str, Tensor]) -> Classifier:
    """The classifier of an architecture with weights that have other names, but the same order."""
    import timm

    network = timm.create_model(name)
    fill_in_order(network, state)
    return _classifier(network)


def list_timm() -> list[str]:
    """The names of all architectures of timm."""
    import timm

    return list(timm.list_models())


def is_timm(name: str) -> bool:
    """Whether timm has an architecture of this name, with or without the tag of its weights."""
    import timm

    return bool(timm.is_model(name))


def _published(name: str) -> nn.Module:
    import timm

    spec, config = f"timm:{name}", _config(name)
    if config is None or not config.has_weights:
        raise DeepInsideError(f"{spec}: timm publishes no weights of this name; give a local file with --weights")
    if not config.num_classes:
        raise DeepInsideError(f"{spec}: expected a classifier, but its published weights have features and no classes")

    def make() -> nn.Module:
        network: nn.Module = timm.create_model(name, pretrained=True)
        return network

    return from_hugging_face(spec, make) if config.hf_hub_id else from_torch_hub(spec, config.url, make)


def _config(name: str) -> Any:
    """What timm knows of published weights, or None. Raises `DeepInsideError` for an unknown tag."""
    import timm

    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        tagged = [f"timm:{known}" for known in timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)]
        raise DeepInsideError(f"timm has no weights {name!r}; {nearest(f'timm:{name}', tagged)}") from None


def _filled(name: str, match: Match) -> nn.Module:
    """The network with a file's weights: as they are where all names fit, or as timm's own builder converts them."""
    refused: list[DeepInsideError] = []
    for classes in _counts(name, match.state):
        plain = _built(name, classes)
        if fits(plain.state_dict(), match.state):
            fill(plain, match)
            return plain
        try:
            return _converted(name, classes, match.state, plain)
        except Exception as error:  # the builder's conversions raise whatever they meet
            refused.append(misfit(type(plain).__name__, plain.state_dict(), match, error))
    raise refused[0]


def _counts(name: str, state: Mapping[str, Tensor]) -> list[int]:
    """The numbers of classes to try: the file's, or two guesses where it calls its heads by other names."""
    import timm

    config = _config(name)
    published = (config.num_classes if config else 0) or 1000
    count = count_classes(lambda classes: timm.create_model(name, num_classes=classes), state)
    if count is not None:
        return [count]
    heads = [value for key, value in state.items() if re.search(r"(head|fc|classifier)\b.*weight$", key)]
    return list(dict.fromkeys([published, *(len(head) for head in heads[-1:] if head.ndim)]))


def _converted(name: str, classes: int, state: Mapping[str, Tensor], plain: nn.Module) -> nn.Module:
    """What timm's builder makes of a state dict in a form of its authors; `plain` is the same without weights.

    Raises whatever the builder raises, and `KeyError` where it leaves a random weight as it was.
    """
    overlay = {"state_dict": dict(state), "num_classes": classes}
    network = _built(name, classes, pretrained=True, pretrained_cfg_overlay=overlay)
    network.pretrained_cfg.pop("state_dict", None)  # type: ignore[operator, union-attr]
    for (key, value), before in zip(network.named_parameters(), plain.parameters(), strict=True):
        is_random = not bool((before == before.flatten()[0]).all())
        if is_random and torch.equal(value, before):
            raise KeyError(key)
    return network


def _built(name: str, classes: int, **options: Any) -> nn.Module:
    """An architecture whose random weights are the same every time."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network: nn.Module = timm.create_model(name, num_classes=classes, **options)
    return network


def _classifier(network: nn.Module) -> Classifier:
    from timm.data.config import resolve_model_data_config

    config = resolve_model_data_config(network)
    return Classifier(
        network,
        labels=labels_of_timm(network),
        size=config["input_size"][1:],
        mean=config["mean"],
        std=config["std"],
        resample=getattr(Resampling, config["interpolation"].upper(), Resampling.BICUBIC),
    ).freeze()
