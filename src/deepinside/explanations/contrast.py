"""Why this class and not that: what in a photo speaks for the one, and what for the other.

The difference of two scores is a score, too, and its gradient is the difference of their gradients. Times the
activation of a deep layer, and summed over channels, it tells what each place adds to the difference: positive for the
first class, negative for the second. Behind global average pooling and a linear layer, the places add up to the whole
difference, but for the biases.

Where the gradient differs from place to place, as in a transformer whose class token asks some of the others, nothing
adds up, and most of an activation may be what all places have in common, which says nothing of any of them. There, the
activation is measured from its mean over the places.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo
from deepinside.core.results import Detection, Saliency, Side
from deepinside.explanations.explain import explained
from deepinside.explanations.presets import DEFAULT, localizer_of
from deepinside.explanations.results import Contrast
from deepinside.gradients.grids import as_grid, is_even
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import IMAGE, look
from deepinside.networks.classifier import Classifier, as_classifier

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def contrast(
    classifier: Classifier | nn.Module,
    photo: Photo | Image.Image | ArrayLike | Tensor | str | os.PathLike[str],
    first: SupportsIndex | str,
    second: SupportsIndex | str | None = None,
) -> Contrast:
    """What in a photo speaks for one class rather than another.

    Args:
        classifier: as `explain` takes it.
        photo: as `explain` takes it.
        first: a class, by index, WordNet id or name.
        second: another one; by default the likeliest but for the first: for the right class of a photo that is
            predicted wrongly, what the network has seen in its place.

    Raises `DeepInsideError` as `explain` does, and for a class against itself.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> photo = np.random.default_rng(0).random((32, 32, 3))
    >>> seen = contrast(Classifier(network, labels=["cat", "dog"], size=32), photo, "cat")
    >>> seen.first.label, seen.second.label
    ('cat', 'dog')
    """
    classifier = as_classifier(classifier)
    index = classifier.labels.find(first)
    other = None if second is None else classifier.labels.find(second)
    if index == other:
        raise DeepInsideError(f"expected two classes, got {classifier.labels.name(index)} twice")

    def both(logits: Float[Tensor, " classes"]) -> list[int]:
        return [index, _likeliest_but(index, logits) if other is None else other]

    shown, found = explained(classifier, photo, both, localizer_of(DEFAULT))
    one, two = found.by_class
    frame, map = _signed(classifier, shown, (one[0].index, two[0].index))
    sides = _side(one, Saliency(frame, np.maximum(map, 0))), _side(two, Saliency(frame, np.maximum(-map, 0)))
    return Contrast(found.name, found.model, found.probabilities, *sides, found.predictions, found.photo)


def _side(objects: tuple[Detection, ...], saliency: Saliency) -> Side:
    first = objects[0]
    return Side(first.index, first.label, first.score, first.probability, saliency, objects)


def _likeliest_but(index: int, logits: Float[Tensor, " classes"]) -> int:
    if len(logits) < 2:
        raise DeepInsideError("expected a network with two classes at least, got one with a single class")
    first, second = map(int, logits.topk(2).indices)
    return second if first == index else first


def _signed(classifier: Classifier, photo: Photo, classes: Sequence[int]) -> tuple[Frame, Float[np.ndarray, "_ _"]]:
    """The evidence for the first class less that for the second on the layer's grid, and where that lies."""
    height, width = classifier.size
    _, image = classifier.whole(photo)
    layer = classifier.last_layer() or IMAGE

    def summary(_: str, gradient: Tensor, activation: Tensor) -> Float[Tensor, "1 1 _ _"]:
        if layer != IMAGE:
            gradient, activation = as_grid(gradient, (height, width)), as_grid(activation, (height, width))
        if not is_even(gradient).all():
            activation = activation - activation.mean(dim=(2, 3), keepdim=True)
        return (gradient * activation).sum(dim=1, keepdim=True)

    with borrowed(classifier.fast, image) as private:
        (evidence,) = look(private, image, torch.tensor([list(classes)]), (layer,), summary=summary).gradients
    signed = (evidence[0, 0, 0] - evidence[0, 1, 0]).float().cpu().numpy()
    rows, columns = signed.shape
    return Frame.whole(photo.width, photo.height, width=columns, height=rows), signed
