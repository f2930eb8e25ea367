"""What excites a neuron: its gradient at the image, under each rectifier rule, as an image (Sect. 4).

The whole photo is shown to the network, so that the gradient lies on it. Where a DeconvNet starts from one neuron of a
convolutional layer, this starts from any neuron in any layer, or from a class.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo, as_photo, read
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import look, look_at
from deepinside.gradients.rectifiers import RULES
from deepinside.gradients.targets import Neuron, Target
from deepinside.networks.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The gradient of one score of one photo at the image.

    `gradient` is signed, one number per pixel and color channel, on the grid of `frame`; under DeconvNet's rule it is
    Zeiler and Fergus' reconstruction. `rectifiers` counts the calls that the rule acted on, `others` those of other
    activation functions, on which no rule acts.
    """

    target: str
    rule: str
    score: float
    frame: Frame
    gradient: Float[np.ndarray, "channels height width"] = field(repr=False)
    rectifiers: Mapping[str, int]
    others: Mapping[str, int]

    @property
    def map(self) -> Float[np.ndarray, "height width"]:
        """The paper's single map: the largest magnitude over the color channels."""
        return np.asarray(np.abs(self.gradient).max(axis=0))

    @property
    def field(self) -> Box:
        """The part of the photo where the gradient is not zero, in photo pixels: what the neuron could see."""
        reached = self.map > 0
        return self.frame.mask_box(reached if reached.any() else ~reached)


def reconstruct(
    classifier: Classifier,
    photo: Photo | str | os.PathLike[str],
    target: Target | None = None,
    *,
    rule: str = "deconvnet",
) -> Reconstruction:
    """The gradient of a class or a neuron at a photo, under a rectifier rule.

    Args:
        classifier: from `load` or `Classifier(...)`.
        photo: a `Photo` or a path.
        target: a `Neuron`, or a class by index, WordNet id or name; by default the likeliest class.
        rule: how the backward pass goes through rectifiers: `"gradient"`, `"deconvnet"` or `"guided"`.

    Raises `DeepInsideError` for an unknown class, layer or rule, and for a rule that cannot act on this network.
    """
    photo = as_photo(photo)
    frame, image = classifier.whole(photo)
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
