"""One photo under every rectifier rule and every preset, all of them about the same class (Sect. 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import Photo
from deepinside.core.results import Contrast, Detection
from deepinside.explanations.contrast import contrast
from deepinside.explanations.explain import explain
from deepinside.explanations.presets import DEFAULT, PRESETS
from deepinside.explanations.reconstruct import reconstruct_by_rules
from deepinside.explanations.results import Reconstruction
from deepinside.gradients.targets import Target
from deepinside.networks.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Comparison:
    """By rule, the gradient, or why the rule has no meaning here; by preset, the objects found, none for a neuron.

    `contrast` is the likeliest class against the one asked for, where they differ.
    """

    rules: dict[str, Reconstruction | DeepInsideError]
    presets: dict[str, tuple[Detection, ...]]
    contrast: Contrast | None = None


def compare(classifier: Classifier, photo: Photo, target: Target | None = None, *, objects: str = "all") -> Comparison:
    """A photo under all rules and presets.

    Args:
        classifier: from `load` or `Classifier(...)`.
        photo: what to look at.
        target: a `Neuron` or another score, or a class by index, WordNet id or name; by default the likeliest class, as
            the default preset has it.
        objects: which objects of the class: `"all"`, or `"one"`, the surest.

    Raises `DeepInsideError` as `explain` and `reconstruct` do.
    """
    if callable(target):
        return Comparison(reconstruct_by_rules(classifier, photo, target), {})
    explanation = explain(classifier, photo, target, top=1, objects=objects)
    first, likeliest = explanation.objects, explanation.predictions[0].index
    index = first[0].index
    others = [name for name in PRESETS if name != DEFAULT]
    presets = {name: explain(classifier, photo, index, preset=name, objects=objects).objects for name in others}
    against = None if index == likeliest else contrast(classifier, photo, likeliest, index)
    return Comparison(reconstruct_by_rules(classifier, photo, index), {DEFAULT: first, **presets}, against)
