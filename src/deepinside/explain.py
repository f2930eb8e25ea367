"""The one path from a photo to what the network saw in it: the command, the evaluation and the reports all call it.

photo -> frame -> what the network is shown -> scores -> gradients -> maps -> cuts -> masks and boxes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from deepinside.classifier import Classifier
from deepinside.errors import DeepInsideError
from deepinside.geometry import Frame
from deepinside.images import Photo, as_photo, read, view
from deepinside.localize import Recipe, localize
from deepinside.localize import preset as preset_named
from deepinside.probe import Choice, borrowed, look
from deepinside.results import Detection, Explanation
from deepinside.saliency import largest_magnitude, put_back, ten_crops

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Wanted = Sequence[int | str] | int | str | None


@dataclass(frozen=True)
class Outcome:
    """What became of one photo file: its explanation, or the reason why there is none."""

    path: Path
    photo: Photo | None = None
    explanation: Explanation | None = None
    error: DeepInsideError | None = None


def explain(
    classifier: Classifier,
    photo: Photo | Image.Image | ArrayLike | Tensor | str | os.PathLike[str],
    targets: Wanted = None,
    *,
    top: int = 5,
    preset: str = "paper",
    boxes: bool = True,
) -> Explanation:
    """What the classifier saw in a photo: its likeliest classes, each with saliency, mask and box in photo pixels.

    Args:
        classifier: from `load` or `Classifier(...)`.
        photo: a `Photo`, a path, a Pillow image, uint8 RGB (height, width, 3) or a float tensor (3, height, width).
        targets: the classes to explain, by index, WordNet id or name; by default the `top` likeliest.
        top: how many of the likeliest classes, at most as many as there are.
        preset: the recipe of maps and cuts; `"paper"` is the paper's own (Sect. 3.1 and 3.2).
        boxes: whether to segment; without, the result carries saliency alone.

    Raises `DeepInsideError` for a photo that cannot be read, unknown classes, or scores that are not finite.
    """
    recipe = preset_named(preset)
    photo = as_photo(photo)
    frame, image = _shown(classifier, photo, recipe)
    logits, classes, maps = _maps(classifier, image, _choice(classifier, targets, top))
    probabilities = logits.softmax(dim=0)
    pixels = np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())
    found = []
    for index, values in zip(classes.tolist(), maps.cpu().numpy(), strict=True):
        found.append(
            Detection(
                index=index,
                label=classifier.labels.name(index),
                wnid=classifier.labels.wnid(index),
                score=logits[index].item(),
                probability=probabilities[index].item(),
                frame=frame,
                map=values,
                segmentation=localize(pixels, values, recipe) if boxes else None,
            )
        )
    return Explanation(photo.name, photo.width, photo.height, classifier.name, recipe.name, tuple(found))


def explain_each(
    classifier: Classifier,
    paths: Iterable[Path],
    targets: Wanted = None,
    *,
    top: int = 5,
    preset: str = "paper",
    boxes: bool = True,
) -> Iterator[Outcome]:
    """`explain` for every file, in order; a photo that fails gives its reason and the run goes on."""
    for path in paths:
        try:
            photo = read(path)
            explanation = explain(classifier, photo, targets, top=top, preset=preset, boxes=boxes)
        except DeepInsideError as error:
            yield Outcome(path, error=error)
        else:
            yield Outcome(path, photo, explanation)


def _shown(classifier: Classifier, photo: Photo, recipe: Recipe) -> tuple[Frame, Float[Tensor, "1 3 height width"]]:
    height, width = (round(side * recipe.enlarge) for side in classifier.size)
    frame = Frame.center(photo.width, photo.height, width=width, height=height)
    return frame, view(photo, frame, classifier.resample).to(classifier.device)


def _maps(
    classifier: Classifier, image: Float[Tensor, "1 3 height width"], choice: Choice
) -> tuple[Float[Tensor, " classes"], Int[Tensor, " k"], Float[Tensor, "k height width"]]:
    """Mean logits over the ten crops, the classes chosen by them, and the crops' averaged maps."""
    crops = ten_crops(image, classifier.size)
    with borrowed(classifier.network, crops) as private:
        seen = look(private, crops, choice)
    _check_labels(classifier, seen.logits.shape[1])
    maps = put_back(largest_magnitude(seen.gradients[0]), (image.shape[-2], image.shape[-1]))
    return seen.logits.mean(dim=0), seen.classes[0], maps


def _choice(classifier: Classifier, targets: Wanted, top: int) -> Choice:
    """The same classes for every crop of a photo: those asked for, or the likeliest of the crops' mean."""
    if targets is None:
        if top < 1:
            raise DeepInsideError(f"expected at least one class to explain, got top={top}")
        return lambda logits: logits.mean(dim=0).topk(min(top, logits.shape[1])).indices.expand(len(logits), -1)
    wanted = [targets] if isinstance(targets, (int, str)) else list(targets)
    if not wanted:
        raise DeepInsideError("expected at least one target class, got none; leave targets out for the likeliest")
    classes = torch.tensor([classifier.labels.find(target) for target in wanted])
    return lambda logits: classes.to(logits.device).expand(len(logits), -1)


def _check_labels(classifier: Classifier, classes: int) -> None:
    if len(classifier.labels) not in (0, classes):
        raise DeepInsideError(
            f"expected as many labels as the network has classes ({classes}), got {len(classifier.labels)}"
        )
