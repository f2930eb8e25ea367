"""Classifiers of the Hugging Face hub, or of a local folder, with the pixels that their own processors make."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.escape import terminal
from deepinside.core.labels import Labels
from deepinside.networks.classifier import Classifier
from deepinside.networks.declared import labels_of_transformers
from deepinside.networks.downloads import from_hugging_face
from deepinside.networks.heads import count_classes, outline
from deepinside.networks.processors import Reordered, pixels
from deepinside.networks.weights import Match, fill, fits, matching, misfit, read_weights

Parts = tuple[Any, Any, Any, tuple[str, ...]]  # network, processor, configuration, notes


def load_hugging_face(name: str, weights: Path | None) -> Classifier:
    """The classifier of a hub id or a folder, with published weights or those of a file.

    Raises `DeepInsideError` where it cannot be had, and for a processor whose pixels cannot be reproduced.
    """
    try:
        from transformers import AutoConfig, AutoImageProcessor
    except ImportError:
        raise DeepInsideError("models from Hugging Face need an extra: pip install 'deepinside[hf]'") from None
    folder = Path(name).expanduser()
    source = str(folder) if folder.is_dir() else name

    @_quietly()
    def parts() -> Parts:
        processor, config = AutoImageProcessor.from_pretrained(source), AutoConfig.from_pretrained(source)
        network, notes = (_published(source), ()) if weights is None else _from_file(config, weights)
        return network, processor, config, notes

    if folder.is_dir():
        network, processor, config, notes = _local(folder, parts)
    else:
        network, processor, config, notes = from_hugging_face(f"hf:{name}", parts)
    classifier = _classifier(network, processor, labels_of_transformers(config, network.config.num_labels))
    classifier.notes = notes
    return classifier


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress bars and remarks of transformers, which it prints to standard error."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _local(folder: Path, parts: Callable[[], Parts]) -> Parts:
    try:
        return parts()
    except DeepInsideError:
        raise
    except Exception as error:  # transformers raises many families on what is missing or edited
        raise DeepInsideError(
            f"hf:{folder}: expected a folder with a classifier and its processor, as `save_pretrained` writes them "
            f"({terminal(brief(error))})"
        ) from None


def _published(source: str) -> nn.Module:
    from transformers import AutoModelForImageClassification

    network, told = AutoModelForImageClassification.from_pretrained(source, output_loading_info=True)
    missing = sorted({*told["missing_keys"], *(entry[0] for entry in told.get("mismatched_keys", ()))})
    if missing:  # transformers makes these up at random
        raise DeepInsideError(
            f"hf:{source}: expected the weights of a whole classifier, found none for {terminal(missing[0])} "
            f"({len(missing)} in all); give the ones of a network that was trained on classes"
        )
    return network  # type: ignore[no-any-return]


def _from_file(config: Any, path: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with a file's weights: as they are where all names fit, or as transformers converts them."""
    match = matching(read_weights(path), outline(lambda: _built(config, config.num_labels)))
    count = count_classes(lambda classes: _built(config, classes), match.state)
    network = _built(config, count or config.num_labels)
    if fits(network.state_dict(), match.state):
        fill(network, match)
        return network, match.notes
    return _converted(network, match), match.notes


def _converted(plain: nn.Module, match: Match) -> nn.Module:
    """What transformers makes of a state dict by older names; `plain` is the same network without weights."""
    kind: Any = type(plain)
    try:
        network, told = kind.from_pretrained(
            None, config=plain.config, state_dict=dict(match.state), output_loading_info=True
        )
    except Exception as error:  # it raises whatever its conversions meet
        raise misfit(kind.__name__, plain.state_dict(), match, error) from None
    missing = sorted(told["missing_keys"])
    if missing or any(told.get(key) for key in ("unexpected_keys", "mismatched_keys", "error_msgs")):
        raise misfit(kind.__name__, plain.state_dict(), match, KeyError(*missing[:1]))
    return network  # type: ignore[no-any-return]


def _built(config: Any, classes: int) -> nn.Module:
    from transformers import AutoModelForImageClassification

    other = copy.deepcopy(config)
    other.num_labels = classes
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = AutoModelForImageClassification.from_config(other)
    return network


def _classifier(network: nn.Module, processor: Any, labels: Labels) -> Classifier:
    config: Any = network.config
    channels = getattr(config, "num_channels", 3)
    made = pixels(processor, channels, _pair(getattr(config, "image_size", None)))
    ordered = made.order == tuple(range(channels))
    return Classifier(
        network if ordered else Reordered(network, made.order),
        labels=labels,
        size=made.size,
        mean=made.mean,
        std=made.std,
        resample=made.resample,
        probabilities="sigmoid" if config.problem_type == "multi_label_classification" else None,
    ).freeze()


def _pair(size: object) -> tuple[int, int] | None:
    """(height, width) of what a configuration calls its image size, or None.

    >>> _pair(224), _pair([192, 256]), _pair(None)
    ((224, 224), (192, 256), None)
    """
    if isinstance(size, int):
        return (size, size)
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return (int(size[0]), int(size[1]))
    return None
