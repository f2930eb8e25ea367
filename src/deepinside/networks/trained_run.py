"""The network of a training run: the folder that `deepinside train` wrote, which its owner may have edited."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deepinside.core.errors import DeepInsideError
from deepinside.core.escape import terminal
from deepinside.core.labels import Labels
from deepinside.networks.checkpoint import Checkpoint, newest
from deepinside.networks.classifier import Classifier
from deepinside.networks.convnet2013 import ConvNet2013
from deepinside.networks.heads import outline
from deepinside.networks.weights import Match, StateDict, fill, fits, misfit


class Description(NamedTuple):
    """What a checkpoint tells of its network: labels, side of the images in pixels, hidden units, scale of pixels."""

    labels: Labels
    size: int
    units: int | None  # None for the default of a network of this size
    std: float


def load_run(run: Path) -> Classifier:
    """The newest whole checkpoint of a run, with its mean image and labels.

    Raises `DeepInsideError` where there is none, or where its description makes no sense or does not fit its weights.
    """
    damaged: list[str] = []
    checkpoint = newest(run, damaged.append)
    if checkpoint is None:
        raise DeepInsideError(f"{run}: expected a whole checkpoint of a training run, found only damaged ones")
    told = _told(checkpoint)
    match = Match(checkpoint.path, StateDict(checkpoint.tensors("network")))
    wanted = _outline(told, checkpoint)
    if not fits(wanted, match.state):  # before anything is allocated, since a size may be any number
        raise misfit("Normalized", wanted, match)
    classifier = Classifier(
        ConvNet2013(len(told.labels), size=told.size, hidden_units=told.units),
        labels=told.labels,
        size=told.size,
        mean=torch.zeros(3, told.size, told.size),
        std=(told.std,) * 3,
    )
    fill(classifier.network, match)
    classifier.notes = tuple(damaged)
    return classifier.freeze()


def _told(checkpoint: Checkpoint) -> Description:
    try:
        return _described(checkpoint.facts["model"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise DeepInsideError(
            f"{checkpoint.path}: expected the description of a network under 'model' ({terminal(reason)})"
        ) from None


def _described(told: Any) -> Description:
    """The description, after its types are checked. Raises `KeyError`, `TypeError` or `ValueError`."""
    synonyms, wnids = told["synonyms"], told["wnids"]
    if not isinstance(synonyms, list) or not all(names and _are_texts(names) for names in synonyms):
        raise ValueError("expected a list of one or more names for each class as 'synonyms'")
    if not _are_texts(wnids) or len(wnids) not in (0, len(synonyms)):
        raise ValueError(f"expected none or {len(synonyms)} WordNet ids as 'wnids'")
    for key in ("size", "full"):
        if key == "full" and told[key] is None:
            continue
        if type(told[key]) is not int or told[key] < 1:
            raise ValueError(f"expected a positive whole number as {key!r}, got {told[key]!r}")
    std = told["std"]
    if type(std) not in (int, float) or not isfinite(std) or std <= 0:
        raise ValueError(f"expected a positive number as 'std', got {std!r}")
    return Description(Labels(tuple(map(tuple, synonyms)), tuple(wnids)), told["size"], told["full"], float(std))


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _outline(told: Description, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """The entries that a network of this description has, without their values."""
    try:
        inner = outline(lambda: ConvNet2013(len(told.labels), size=told.size, hidden_units=told.units))
        mean = torch.empty(3, told.size, told.size, device="meta")
    except (RuntimeError, OverflowError, TypeError, ValueError):
        raise DeepInsideError(
            f"{checkpoint.path}: expected a network that fits into memory, got {told.size} pixels a side and "
            f"{told.units} hidden units"
        ) from None
    return {"mean": mean, "std": torch.empty(3, 1, 1)} | {f"model.{name}": entry for name, entry in inner.items()}
