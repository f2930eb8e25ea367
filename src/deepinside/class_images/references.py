"""Photos that a class image is drawn to: those of some in which the network finds the class most."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, as_photo, find_photos
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import look_at, read_logits
from deepinside.gradients.targets import Target
from deepinside.networks.classifier import Classifier

MOST = 16  # photos for each picture: what more of them have in common shows in these
LEAST = 0.5  # of the highest score: with less, a photo in a folder of many things shows something else


def best_photos(
    classifier: Classifier | nn.Module, targets: Sequence[Target], photos: Sequence[Any], most: int = MOST
) -> list[list[Any]]:
    """For each target, the photos in which it scores at least half as high as in any, the highest score first.

    Args:
        classifier: whose scores count.
        targets: classes by index, or scores.
        photos: each as `explain` takes it; no more than one of them is in memory at a time.
        most: how many photos, at most.

    Raises `DeepInsideError` for a module that is no classifier, since it does not say how it takes photos, and for a
    photo that cannot be read.
    """
    scores = [_scores(_checked(classifier), targets, photo) for photo in photos]
    return [_best(photos, of_target, most) for of_target in zip(*scores, strict=True)]


def listed_photos(like: Any) -> list[Any]:
    """Photos one by one: those of a folder, a single one, or some as they are.

    Raises `DeepInsideError` for a folder without photos.
    """
    if isinstance(like, (str, os.PathLike)):
        return [path for path, _ in find_photos([like])]
    is_one = isinstance(like, (Photo, Image.Image)) or getattr(like, "ndim", 4) < 4  # arrays and tensors
    return [like] if is_one else list(like)


def in_view(
    classifier: Classifier | nn.Module, photos: Sequence[Any], size: tuple[int, int] | None = None
) -> Float[Tensor, "n channels height width"]:
    """The middle of each photo, as large as fits, in [0, 1] and on the network's device.

    `size` is (height, width), by default the network's own. Errors as `best_photos`.
    """
    classifier = _checked(classifier)
    height, width = size or classifier.size
    views = []
    for photo in map(as_photo, photos):
        frame = Frame.center(photo.width, photo.height, width=width, height=height)
        views.append(classifier.view(photo, frame))
    return torch.cat(views).to(classifier.device)


def _best(photos: Sequence[Any], scores: Sequence[float], most: int) -> list[Any]:
    """The photos with the highest scores, but for those that are far below the highest one."""
    highest = max(scores)
    enough = LEAST * highest if highest > 0 else -inf
    order = sorted(range(len(photos)), key=lambda at: -scores[at])
    return [photos[at] for at in order[:most] if scores[at] >= enough]


def _checked(classifier: Classifier | nn.Module) -> Classifier:
    if isinstance(classifier, Classifier):
        return classifier
    raise DeepInsideError(
        f"expected a classifier, which knows how it takes photos, got {type(classifier).__name__}; wrap it as "
        "Classifier(module, mean=..., std=...)"
    )


def _scores(classifier: Classifier, targets: Sequence[Target], photo: Any) -> list[float]:
    shown = in_view(classifier, [photo])
    with borrowed(classifier.fast, shown) as private:
        logits = read_logits(private, shown)[0] if not all(map(callable, targets)) else shown
        return [
            float(look_at(private, shown, target).scores[0, 0] if callable(target) else logits[int(target)])
            for target in targets
        ]
