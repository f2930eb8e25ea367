"""Classifiers of torchvision, with its weights or a local file, which is loaded as its own builders load theirs."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.labels import imagenet
from deepinside.networks.classifier import Classifier
from deepinside.networks.downloads import from_torch_hub
from deepinside.networks.heads import count_classes, outline
from deepinside.networks.weights import Match, fill, matching, read_weights

# Heads that only training uses: a file may have them or not, and with another number of classes.
AUXILIARY = re.compile(r"(aux1|aux2|AuxLogits)\.")
# The published DenseNets are older than the rule that names have no dots.
DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
TRANSFORMED = ("googlenet", "inception_v3")
TRANSFORM_NOTE = (
    "{name}: its input is transformed to Inception's normalization, as with published weights; for weights that were "
    "trained without (transform_input=False), write FILE.py:NAME"
)


def load_torchvision(name: str, weights: Path | None) -> Classifier:
    """The classifier of a name such as `resnet50`, with published weights or those of a file.

    Raises `DeepInsideError` for an unknown name, and for weights that cannot be had or do not fit.
    """
    return _published(name) if weights is None else _from_file(name, weights)


def _published(name: str) -> Classifier:
    from torchvision import models

    published = models.get_model_weights(name).DEFAULT
    spec = f"torchvision:{name}"
    network = from_torch_hub(spec, published.url, lambda: models.get_model(name, weights=published, progress=False))
    return _classifier(network, published, None, len(published.meta["categories"]))


def _from_file(name: str, path: Path) -> Classifier:
    published = published_as(name, path)
    match = matching(read_weights(path), outline(lambda: _build(name, 1000)))
    match = Match(path, _as_today(match.state), match.notes)
    size = _image_size(match.state)
    count = count_classes(lambda classes: _build(name, classes, size), match.state)
    network = _build(name, count or len(published.meta["categories"]), size)
    fill(network, match)
    classifier = _classifier(network, published, size, count)
    classifier.notes = (*match.notes, *([TRANSFORM_NOTE.format(name=name)] if name in TRANSFORMED else []))
    return classifier


def published_as(name: str, path: Path) -> Any:
    """The published weights that a file holds, by its name, since they differ in size; torchvision's default else."""
    from torchvision import models

    entries = models.get_model_weights(name)
    return next((entry for entry in entries if Path(entry.url).name == path.name), entries.DEFAULT)


def list_torchvision() -> list[str]:
    """The names of all classifiers of torchvision."""
    from torchvision import models

    return list(models.list_models(module=models))


def _build(name: str, classes: int, size: int | None = None) -> nn.Module:
    """The architecture as its builder makes it for published weights, without the heads that only training uses."""
    from torchvision import models

    options: dict[str, Any] = {"image_size": size} if size else {}
    if name in TRANSFORMED:
        options |= {"transform_input": True, "aux_logits": False, "init_weights": False}
    network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
    return network


def _as_today(state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Entries by the names of today's architectures, without auxiliary heads."""
    renamed = OrderedDict((DENSENET.sub(r"\1\2", k), v) for k, v in state.items() if not AUXILIARY.match(k))
    renamed._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    return renamed


def _image_size(state: Mapping[str, Tensor]) -> int | None:
    """The side of the images of a vision transformer, whose positions are learned one by one; None for others."""
    positions, patches = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    if positions is None or patches is None or positions.ndim != 3 or patches.ndim != 4:
        return None
    return int((positions.shape[1] - 1) ** 0.5 + 0.5) * patches.shape[-1]


def _classifier(network: nn.Module, published: Any, size: int | None, classes: int | None) -> Classifier:
    preset = published.transforms()
    return Classifier(
        network,
        labels=imagenet() if classes == len(published.meta["categories"]) else (),
        size=size or preset.crop_size[0],
        mean=preset.mean,
        std=preset.std,
        resample=getattr(Resampling, preset.interpolation.value.upper()),
    ).freeze()
