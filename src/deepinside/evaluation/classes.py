"""Which class of the network an annotation is, and which class a photo is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.core.labels import Labels, imagenet
from deepinside.data.boxes import Annotation
from deepinside.evaluation.metrics import TOP


def class_of(annotation: Annotation, labels: Labels) -> int | None:
    """The network's class of an annotation: by WordNet id, then by name, and by number if it has neither.

    A name that is a number is an index only where no class is called by a number.
    """
    for wanted in (annotation.wnid, annotation.name):
        try:
            if wanted:
                return labels.named(wanted) if labels.has_numbers else labels.find(wanted)
        except DeepInsideError:
            continue
    return annotation.index if not labels or not (annotation.wnid or annotation.name) else None


def classes_of(annotation: Annotation, labels: Labels) -> tuple[int, ...]:
    """The network's classes that count as that of an annotation: those that it lists of ImageNet, or else its own."""
    if annotation.imagenet and (listed := _of_imagenet(annotation.imagenet, labels)):
        return listed
    index = class_of(annotation, labels)
    return () if index is None else (index,)


@lru_cache
def _of_imagenet(listed: tuple[int, ...], labels: Labels) -> tuple[int, ...]:
    """The network's classes among some of ImageNet's; of a network without labels they are taken to be the same."""
    names, nowhere = imagenet(), Box(0, 0, 0, 0)
    found = (class_of(Annotation(nowhere, names.wnid(each), names.name(each), each), labels) for each in listed)
    return tuple(dict.fromkeys(index for index in found if index is not None))


def by_class(annotations: Iterable[Annotation], labels: Labels) -> dict[int, list[Annotation]]:
    """Annotations by the network's class; those of classes that it does not know are left out."""
    known: dict[int, list[Annotation]] = {}
    for annotation in annotations:
        for index in classes_of(annotation, labels):
            known.setdefault(index, []).append(annotation)
    return known


def asked_of(ranking: Sequence[int], known: Mapping[int, Sequence[Annotation]]) -> int:
    """The class of the ground truth that is predicted first, or else of those of the largest box the likeliest."""
    largest = {index: max(each.box.area for each in annotations) for index, annotations in known.items()}
    most = max(largest.values())
    best = [index for index, area in largest.items() if area == most]
    predicted = (index for index in ranking[:TOP] if index in known)
    return (*predicted, *(index for index in ranking if index in best), *best)[0]
