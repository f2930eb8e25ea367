"""One photo against its ground truth, whoever has found something in it: a localizer just now, or a run long ago.

Each photo is asked about one class: of the classes of its ground truth, the one that the network ranks highest, or else
the one with the largest box.

Shapes: k objects found, m boxes of the ground truth (m, 4) as (x0, y0, x1, y1) in photo pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.labels import Labels
from deepinside.data.boxes import Annotation, Sample, marked_pixels
from deepinside.evaluation.baselines import center_box, whole_image
from deepinside.evaluation.classes import asked_of, by_class
from deepinside.evaluation.masks import Mask, boundary_f, mask_iou, share_of
from deepinside.evaluation.metrics import TOP, Map, pointing_game
from deepinside.evaluation.objects import Truth
from deepinside.evaluation.results import Case, Failure, Found
from deepinside.evaluation.score_maps import judged_center, judged_map

# The pixels that are the object, and those that count neither way.
Marked: TypeAlias = tuple[Mask, Mask] | None


@dataclass(frozen=True, eq=False)
class Annotated:
    """A photo's objects and crowds by the network's classes, of which there is at least one."""

    sample: Sample
    width: int
    height: int
    known: Mapping[int, list[Annotation]]
    crowds: Mapping[int, list[Annotation]]

    def asked(self, ranking: Sequence[int]) -> int:
        """The class that the photo is asked about, by the network's classes, the likeliest first."""
        return asked_of(ranking, self.known)

    def about(self, asked: int) -> Asked:
        """The ground truth of a class. Raises `DeepInsideError` for a mask that cannot be read."""
        objects, crowds = self.known[asked], self.crowds.get(asked, [])
        counted = np.array([not annotation.difficult for annotation in objects])
        sample = replace(self.sample, ignored=tuple(crowds))
        marked = marked_pixels(sample, objects, self.width, self.height)
        return Asked(asked, Truth(_boxes_of(objects), counted, _boxes_of(crowds)), marked, self.width, self.height)


def annotated(sample: Sample, width: int, height: int, labels: Labels, model: str) -> Annotated:
    """The annotations of a photo of so many pixels.

    Raises `DeepInsideError` for a sample that cannot be used, and where the network knows none of its classes.
    """
    if sample.error:
        raise sample.error
    sample = sample.on_photo(width, height)
    known = by_class(sample.annotations, labels)
    if not known:
        names = ", ".join(sorted({annotation.label for annotation in sample.annotations}))
        raise DeepInsideError(f"{sample.path}: expected classes that {model} knows, got {names}")
    return Annotated(sample, width, height, known, by_class(sample.ignored, labels))


@dataclass(frozen=True, eq=False)
class Asked:
    """The ground truth of the class asked about, in a photo of `width` x `height` pixels."""

    index: int
    truth: Truth
    marked: Marked
    width: int
    height: int

    def case(self, sample: Sample, predicted: Sequence[int], labels: Labels, found: Mapping[str, Found]) -> Case:
        """What every method has found, under the likeliest classes."""
        rank = list(predicted[:TOP]).index(self.index) if self.index in predicted[:TOP] else TOP
        share = share_of(self.truth.boxes, self.marked and self.marked[0], self.width, self.height)
        return Case(sample.path, labels.name(self.index), labels.name(predicted[0]), rank, self.truth, share, found)

    def of_objects(self, objects: Float[np.ndarray, "k 5"], union: Callable[[], Mask], of_map: Found) -> Found:
        """What was found by a map of the class and its objects, box and confidence each, with all their pixels."""
        own = self._mask_scores(union()) if self.marked else {}
        return replace(of_map, objects=objects, scores={**of_map.scores, **own})

    def of_map(self, map: Map, frame: Frame) -> Found:
        """What a map says by itself."""
        scores = {"pointing_game": float(pointing_game(map, frame, self.truth.boxes))}
        return Found(scores=scores, score_map=judged_map(map, frame, self.truth.boxes, self.marked))

    def image_free(self) -> dict[str, Found]:
        """The baselines that do not look at the image."""
        boxes = {"center_box": center_box, "whole_image": whole_image}
        gaussian = judged_center(self.width, self.height, self.truth.boxes, self.marked)
        return {
            **{name: self._of_box(box_of(self.width, self.height)) for name, box_of in boxes.items()},
            "center_gaussian": Found(score_map=gaussian),
        }

    def _of_box(self, box: Box) -> Found:
        def filled() -> Mask:
            mask = np.zeros((self.height, self.width), dtype=bool)
            mask[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)] = True
            return mask

        return self.of_objects(np.array([(*box.as_tuple(), 1.0)]), filled, Found())

    def _mask_scores(self, mask: Mask) -> dict[str, float]:
        assert self.marked
        return {"mask_iou": mask_iou(mask, *self.marked), "boundary_f": boundary_f(mask, *self.marked)}


def failure(sample: Sample, error: DeepInsideError) -> Failure:
    """Why a sample could not be judged, with its path."""
    reason = str(error)
    return Failure(sample.path, reason if str(sample.path) in reason else f"{sample.path}: {reason}")


def _boxes_of(annotations: Sequence[Annotation]) -> Float[np.ndarray, "m 4"]:
    return np.array([annotation.box.as_tuple() for annotation in annotations], dtype=np.float64).reshape(-1, 4)
