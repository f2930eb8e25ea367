"""What is asked of a network, tried once on noise before the first photo, so that a mistake in it is told once.

A name that the network does not have, a rule that cannot act on it, labels of another network: each fails on every
photo in the same way. One small pass finds out; a look at a photo costs ten or more of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepinside.core.errors import DeepInsideError, named
from deepinside.core.images import Photo, as_photo
from deepinside.explanations.reconstruct import reconstruct
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import read_logits
from deepinside.gradients.rectifiers import RULES
from deepinside.gradients.saliency import saliency
from deepinside.gradients.targets import Neuron
from deepinside.networks.classifier import Classifier


def try_out(
    classifier: Classifier,
    targets: Sequence[int] = (),
    *,
    layer: str | None = None,
    rule: str = "gradient",
    neuron: Neuron | None = None,
) -> None:
    """Raise the `DeepInsideError` that every photo would, for what is asked of all of them.

    Args:
        classifier: the network, with its labels.
        targets: the classes to explain, by index.
        layer: where the gradient is to be taken; None for a layer that a localizer chooses itself.
        rule: how it is to go through rectifiers.
        neuron: what is to be explained in place of a class.
    """
    named(rule, RULES, "a rule")
    noise = _noise(classifier.channels)
    _, image = classifier.whole(noise)
    with borrowed(classifier.fast, image) as private:
        count = read_logits(private, image).shape[1]
    classifier.check_labels(count)
    for index in targets:
        if not 0 <= index < count:
            raise DeepInsideError(f"expected a class index from 0 to {count - 1}, got {index}")
    if neuron is not None:
        reconstruct(classifier, noise, neuron, rule=rule)
    elif layer is not None or rule != "gradient":
        saliency(classifier.fast, image, targets[0] if targets else 0, layer=layer, rule=rule)


def _noise(channels: int) -> Photo:
    """Not a blank image, on which a network that divides by the image's contrast has no scores."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, channels), dtype=np.uint8)
    return as_photo(pixels)
