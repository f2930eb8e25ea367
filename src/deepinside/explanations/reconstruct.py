"""What excites a neuron: its gradient at the image, under each rectifier rule, as an image (Sect. 4).

The whole photo is shown to the network, so that the gradient lies on it. Where a DeconvNet starts from one neuron of a
convolutional layer, this starts from any neuron in any layer, or from a class.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import Photo, as_photo, read
from deepinside.explanations.originals import file_of, kept
from deepinside.explanations.results import Reconstruction
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import look, look_at
from deepinside.gradients.rectifiers import RULES
from deepinside.gradients.targets import Neuron, Target
from deepinside.networks.classifier import Classifier, as_classifier

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def reconstruct(
    classifier: Classifier | nn.Module,
    photo: Photo | Image.Image | ArrayLike | Tensor | str | os.PathLike[str],
    target: Target | None = None,
    *,
    rule: str = "deconvnet",
) -> Reconstruction:
    """The gradient of a class or a neuron at a photo, under a rectifier rule.

    Args:
        classifier: as `explain` takes it.
        photo: as `explain` takes it.
        target: a `Neuron`, or a class by index, WordNet id or name; by default the likeliest class.
        rule: how the backward pass goes through rectifiers: `"gradient"`, `"deconvnet"` or `"guided"`.

    Raises `DeepInsideError` for an unknown class, layer or rule, and for a rule that cannot act on this network.
    """
    classifier, shown = as_classifier(classifier), as_photo(photo)
    frame, image = classifier.whole(shown)
    with borrowed(classifier.fast, image, rule) as private:
        if callable(target):
            passes, name = look_at(private, image, target, rule=rule), str(target)
        else:
            index = None if target is None else classifier.labels.find(target)
            seen = look(private, image, lambda logits: _class(logits, index), rule=rule)
            passes, name = seen, classifier.labels.name(int(seen.classes))
    return Reconstruction(
        name,
        rule,
        passes.scores.item(),
        frame,
        passes.gradients[0][0, 0].float().cpu().numpy(),
        passes.rectifiers,
        passes.others,
        shown.name,
        classifier.name,
        kept(shown, file_of(photo)),
    )


def reconstruct_by_rules(
    classifier: Classifier, photo: Photo, target: Target | None = None
) -> dict[str, Reconstruction | DeepInsideError]:
    """`reconstruct` under every rule; where DeconvNet's or the guided one has no meaning, why."""
    plain = reconstruct(classifier, photo, target, rule="gradient")
    found: dict[str, Reconstruction | DeepInsideError] = {"gradient": plain}
    for rule in list(RULES)[1:]:
        try:
            found[rule] = reconstruct(classifier, photo, target, rule=rule)
        except DeepInsideError as error:
            found[rule] = error
    return found


def most_exciting(
    classifier: Classifier, paths: Iterable[Path], neuron: Neuron, count: int = 9
) -> tuple[list[tuple[float, Path]], list[DeepInsideError]]:
    """The photos that excite a neuron most, strongest first with its activation, and why others could not be read.

    Raises `DeepInsideError` for a neuron that the network does not have.
    """
    excited: list[tuple[float, Path]] = []
    failures: list[DeepInsideError] = []
    for path in paths:
        try:
            photo = read(path)
        except DeepInsideError as error:
            failures.append(error)
            continue
        _, image = classifier.whole(photo)
        with borrowed(classifier.fast, image) as private:
            passes = look_at(private, image, neuron, (neuron.layer,))  # so that the backward pass is empty
        excited.append((passes.scores.item(), path))
    return nlargest(count, excited, key=lambda pair: pair[0]), failures


def _class(logits: torch.Tensor, index: int | None) -> torch.Tensor:
    chosen: Sequence[int] = [int(logits.argmax()) if index is None else index]
    return torch.tensor([chosen], device=logits.device)
