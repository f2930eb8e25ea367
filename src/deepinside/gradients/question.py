"""What is asked of images, in the forms that callers write it: classes or a score, and how many images go at a time.

Whatever computes a map asks its question here first, so that all of them take the same targets, tell the same mistakes
and need as little memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.probe import IMAGE, Passes, look, look_at
from deepinside.gradients.targets import Neuron, Score, Target

# Images of 224 x 224 pixels that go through the network at a time: beyond this, CPU throughput no longer grows but
# memory does. Of larger ones fewer go, so that the memory stays the same.
CHUNK = 16


@dataclass(frozen=True, eq=False)
class Question:
    """The classes of each image, or a score; and how many of the images go through the network at a time.

    `are_several` says whether the caller asked for several classes of each image, so that the answer has an axis of
    them.
    """

    asked: Int[Tensor, "batch k"] | Score
    are_several: bool
    batch: int
    at_once: int

    @property
    def knows_its_images(self) -> bool:
        """Whether the score may compute with its images, so that they go all at once, each once and in order."""
        return callable(self.asked) and not isinstance(self.asked, Neuron)

    @property
    def targets(self) -> int:
        """How many gradients there are of each image."""
        return 1 if callable(self.asked) else self.asked.shape[1]

    def parts(self) -> Iterator[slice]:
        """Which images go at a time."""
        return (slice(first, min(first + self.at_once, self.batch)) for first in range(0, self.batch, self.at_once))

    def passes(
        self,
        private: nn.Module,
        images: Float[Tensor, "some channels height width"],
        part: slice,
        layers: Sequence[str] = (IMAGE,),
        rule: str = "gradient",
    ) -> Passes:
        """The passes of a part of the images, or of several variants of that part, one after the other."""
        if callable(self.asked):
            return look_at(private, images, self.asked, layers, rule)
        classes = self.asked[part]
        return look(private, images, classes.repeat(len(images) // len(classes), 1), layers, rule)

    def answer(self, found: Float[Tensor, "batch k ..."]) -> Float[Tensor, "batch ..."]:
        """What was found, in the form that was asked for: without an axis of classes unless there are several."""
        return found if self.are_several else found[:, 0]


def question_of(images: object, targets: Target | Sequence[SupportsIndex] | Tensor) -> Question:
    """The question that `saliency` is asked with these arguments. Raises `DeepInsideError` for what makes no sense.

    >>> question_of(torch.rand(2, 3, 8, 8), [3, 7]).asked.tolist()
    [[3], [7]]
    """
    checked = _checked_images(images)
    if callable(targets):
        size = chunk_size(checked) if isinstance(targets, Neuron) else len(checked)
        return Question(targets, False, len(checked), size)
    classes = _as_tensor(targets)
    return Question(_class_table(classes, len(checked)), classes.ndim == 2, len(checked), chunk_size(checked))


def chunk_size(images: Float[Tensor, "batch channels height width"]) -> int:
    """How many of the images to send through a network at a time, by their size.

    >>> chunk_size(torch.empty(64, 3, 224, 224)), chunk_size(torch.empty(64, 3, 640, 640))
    (16, 1)
    """
    pixels = images.shape[2] * images.shape[3]
    return max(min(CHUNK, CHUNK * 224 * 224 // pixels), 1)


def _checked_images(images: object) -> Tensor:
    if not isinstance(images, Tensor):
        raise DeepInsideError(
            "expected images as a float tensor (batch, channels, height, width) in [0, 1], got "
            f"{type(images).__name__}; for photos, as files or images, call explain(classifier, photo, boxes=False)"
        )
    if images.ndim != 4 or not images.is_floating_point() or not images.numel():
        raise DeepInsideError(
            "expected float images of shape (batch, 3, height, width), RGB in [0, 1]; got "
            f"{images.dtype} {tuple(images.shape)}"
        )
    return images


def _as_tensor(targets: object) -> Tensor:
    """Class numbers of Python, NumPy or PyTorch. Raises `DeepInsideError` for names and for unequal lists."""
    try:
        return torch.as_tensor(np.asarray(targets) if isinstance(targets, (list, tuple)) else targets)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise DeepInsideError(f"expected class numbers, since a module has no class names, got {targets!r}")


def _class_table(table: Tensor, batch: int) -> Int[Tensor, "batch k"]:
    """Class numbers in any accepted form -> (batch, k)."""
    if table.is_floating_point() or table.dtype == torch.bool:
        raise DeepInsideError(f"expected class numbers as targets, got values of type {table.dtype}")
    if table.ndim == 0:
        table = table.expand(batch)
    if table.ndim not in (1, 2) or len(table) != batch:
        raise DeepInsideError(
            f"expected one target for all {batch} images, one for each ({batch},) or several for each "
            f"({batch}, k); got {tuple(table.shape)}"
        )
    return table.long() if table.ndim == 2 else table.long()[:, None]
