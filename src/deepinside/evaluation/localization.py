"""How well do boxes and masks fit the objects? Localization as ILSVRC judges it (paper, Sect. 3.2), beside baselines.

Photos take the same path as in `explain`, in batches and on all cores. Each photo is asked about one class, and every
method is judged under the same class predictions, those of the first localizer. A (label, box) pair with another label
than the photo's can never be right, so the box of the class asked about is all that the challenge's rule needs: that of
its surest object. Masks are judged as the union of all its objects, and objects one to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, pixel_count, read
from deepinside.core.results import Segmentation
from deepinside.core.threads import in_batches
from deepinside.data.boxes import Sample
from deepinside.evaluation.baselines import cam_maps
from deepinside.evaluation.cases import Annotated, Asked, annotated, failure
from deepinside.evaluation.masks import Mask
from deepinside.evaluation.metrics import (
    STAGES,
    TOP,
    Map,
    faithfulness,
    pixel_counts,
    randomized,
    rank_correlation,
    threshold_boxes,
)
from deepinside.evaluation.results import Case, Evaluation, Failure, Found, Judged, tabulate
from deepinside.explanations.explain import BATCH, MOST_PIXELS, see_each, segmentations, views_or_reason
from deepinside.explanations.localizer import Choice, Seen
from deepinside.explanations.presets import PRESETS, AnyLocalizer, localizer_of, name_of
from deepinside.networks.classifier import Classifier


@dataclass(frozen=True)
class Judging:
    """How localizers are judged. Raises `DeepInsideError` for an unknown preset, and for none."""

    presets: Sequence[str | AnyLocalizer] = tuple(PRESETS)  # the first one's class predictions count for all methods
    seed: int = 0  # of the halves that thresholds are transferred between, the bootstrap and the sanity check
    baselines: bool = True  # whether to judge Grad-CAM and LayerCAM as well
    faithful: bool = False  # whether to measure insertion and deletion, at 58 forward passes per map
    sanity: int = 0  # on how many photos to measure how far maps change as the network's layers are randomized

    def __post_init__(self) -> None:
        if not self.localizers:
            raise DeepInsideError(f"expected at least one preset ({', '.join(PRESETS)}), got none")

    @property
    def localizers(self) -> dict[str, AnyLocalizer]:
        """The localizers by the names of their rows."""
        localizers = [localizer_of(preset) for preset in self.presets]
        return {name_of(localizer): localizer for localizer in localizers}


def evaluate(classifier: Classifier, samples: Iterable[Sample], judging: Judging | None = None) -> Evaluation:
    """Judge localizers, class-activation maps and image-free boxes on photos with ground truth.

    Args:
        classifier: what to look into.
        samples: from `read_samples`; those with an error are counted and named.
        judging: which localizers, and what is measured.

    Raises `DeepInsideError` where not one sample could be judged.
    """
    judging = judging or Judging()
    return summarized(classifier.name, judging.seed, judge_each(classifier, samples, judging))


def judge_each(classifier: Classifier, samples: Iterable[Sample], judging: Judging) -> Iterator[Judged]:
    """What every method found in each photo, in the order of the samples, or why the photo could not be judged."""
    return judge_numbered(classifier, enumerate(samples), judging)


def judge_numbered(classifier: Classifier, samples: Iterable[tuple[int, Sample]], judging: Judging) -> Iterator[Judged]:
    """As `judge_each`, for a part of the samples with their numbers in the whole: the sanity check is of the first."""
    run = _Run(
        classifier,
        judging,
        judging.localizers,
        classifier.last_layer() if judging.baselines else None,
        _randomized(classifier, judging),
    )
    return in_batches(run.judged, samples, BATCH, lambda numbered: pixel_count(numbered[1].path), MOST_PIXELS)


def summarized(model: str, seed: int, judged: Iterable[Judged]) -> Evaluation:
    """The figures over all photos judged. Raises `DeepInsideError` where there are none."""
    cases: list[Case] = []
    failures: list[Failure] = []
    for one in judged:
        if isinstance(one, Case):
            cases.append(one)
        else:
            failures.append(one)
    if not cases:
        first = f"; the first: {failures[0].reason}" if failures else ""
        raise DeepInsideError(f"expected photos to judge, but none of {len(failures)} could be{first}")
    return Evaluation(model, seed, tuple(cases), tabulate(cases, seed), tuple(failures))


def choose(samples: Sequence[Sample], limit: int | None, seed: int) -> list[Sample]:
    """At most `limit` of the samples, drawn by `seed`, in their own order."""
    if limit is None or limit >= len(samples):
        return list(samples)
    if limit < 1:
        raise DeepInsideError(f"expected to judge at least one image, got a limit of {limit}")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(samples))[:limit])
    return [samples[number] for number in chosen]


@dataclass(eq=False)
class _Scene:
    """One photo on its way, and what is found out about it step by step."""

    number: int  # among the samples
    sample: Sample
    photo: Photo
    annotated: Annotated
    predicted: tuple[int, ...] = ()
    asked: int = -1
    seen: dict[str, Seen | DeepInsideError] = field(default_factory=dict)  # by localizer
    cams: dict[str, Map] = field(default_factory=dict)  # by class-activation method

    def choose(self, logits: Float[Tensor, " classes"]) -> list[int]:
        """The class to ask about, by the logits of the first localizer."""
        self.predicted = tuple(logits.topk(min(TOP, len(logits))).indices.tolist())
        self.asked = self.annotated.asked((*self.predicted, *logits.argsort(descending=True).tolist()))
        return [self.asked]


@dataclass(frozen=True, eq=False)
class _Run:
    """All that is the same for every batch."""

    classifier: Classifier
    judging: Judging
    localizers: Mapping[str, AnyLocalizer]
    cam: str | None  # the layer of the class-activation maps
    randomized: Mapping[str, Classifier]

    def judged(self, batch: Sequence[tuple[int, Sample]]) -> list[Judged]:
        """A batch of samples, from reading to figures."""
        judged: dict[int, Judged] = {}
        scenes: list[_Scene] = []
        for number, sample in batch:
            try:
                scenes.append(self._scene(number, sample))
            except DeepInsideError as error:
                judged[number] = failure(sample, error)
        for name in self.localizers if scenes else ():
            self._see(name, scenes)
        if answered := [scene for scene in scenes if scene.predicted]:
            self._see_class_activations(answered)
        for scene in scenes:
            try:
                judged[scene.number] = self._case(scene)
            except DeepInsideError as error:
                judged[scene.number] = failure(scene.sample, error)
        return [judged[number] for number, _ in batch]

    def _scene(self, number: int, sample: Sample) -> _Scene:
        if sample.error:
            raise sample.error
        photo = read(sample.path)
        known = annotated(sample, photo.width, photo.height, self.classifier.labels, self.classifier.name)
        return _Scene(number, sample, photo, known)

    def _see(self, name: str, scenes: Sequence[_Scene]) -> None:
        """One pass of a localizer for all scenes; the first localizer's also tells which class to ask about."""
        localizer = self.localizers[name]
        choices: list[Choice] = [partial(_that, scene.asked) if scene.seen else scene.choose for scene in scenes]
        views = [views_or_reason(self.classifier, localizer, scene.photo) for scene in scenes]
        for scene, seen in zip(scenes, see_each(self.classifier, localizer, views, choices), strict=True):
            scene.seen[name] = seen

    def _see_class_activations(self, scenes: Sequence[_Scene]) -> None:
        """One pass for all scenes, shown whole at the network's size (Choe et al. 2020)."""
        if self.cam is None:
            return
        images = torch.cat([self.classifier.whole(scene.photo)[1] for scene in scenes])
        for name, maps in cam_maps(self.classifier, self.cam, images, [scene.asked for scene in scenes]).items():
            for scene, map in zip(scenes, maps, strict=True):
                scene.cams[name] = map

    def _case(self, scene: _Scene) -> Case:
        """What every method found. Raises the error of a localizer that had no answer."""
        for seen in scene.seen.values():
            if isinstance(seen, DeepInsideError):
                raise seen
        asked = scene.annotated.about(scene.asked)
        return asked.case(scene.sample, scene.predicted, self.classifier.labels, self._found(scene, asked))

    def _found(self, scene: _Scene, asked: Asked) -> dict[str, Found]:
        found = {name: self._of_localizer(scene, asked, name) for name in scene.seen}
        height, width = self.classifier.size
        frame = Frame.whole(scene.photo.width, scene.photo.height, width=width, height=height)
        found |= {name: self._of_cam(scene, asked, map, frame) for name, map in scene.cams.items()}
        return found | asked.image_free()

    def _of_localizer(self, scene: _Scene, asked: Asked, name: str) -> Found:
        seen = scene.seen[name]
        assert not isinstance(seen, DeepInsideError)
        objects = segmentations(self.localizers[name], seen, 0, others=True)
        of_map = self._of_map(scene, asked, seen.maps[0], seen.frame)
        if scene.number < self.judging.sanity:
            of_map = replace(of_map, scores={**of_map.scores, **self._sanity(scene, name, seen.maps[0])})
        likely = float(self.classifier.posterior(seen.logits)[scene.asked])
        boxes = [
            (*each.frame.mask_box(each.mask).as_tuple(), likely if each.confidence is None else each.confidence)
            for each in objects
        ]
        return asked.of_objects(np.array(boxes, dtype=np.float64), partial(_union, objects), of_map)

    def _of_cam(self, scene: _Scene, asked: Asked, map: Map, frame: Frame) -> Found:
        """A map without objects of its own: a box at each threshold, and the pixels at each for its masks."""
        pixels = pixel_counts(frame.map_to_photo(map), *asked.marked) if asked.marked else None
        return replace(self._of_map(scene, asked, map, frame), sweep=threshold_boxes(map, frame), pixels=pixels)

    def _sanity(self, scene: _Scene, name: str, map: Map) -> dict[str, float]:
        """How much the map resembles that of the same network with some of its layers randomized."""
        scores = {}
        for share, classifier in self.randomized.items():
            views = self.localizers[name].views(classifier, scene.photo)
            (other,) = self.localizers[name].see(classifier, [views], [partial(_that, scene.asked)])
            scores[f"randomization_correlation_{share}"] = rank_correlation(map, other.maps[0])
        return scores

    def _of_map(self, scene: _Scene, asked: Asked, map: Map, frame: Frame) -> Found:
        found = asked.of_map(map, frame)
        if not self.judging.faithful:
            return found
        shown, image = self.classifier.whole(scene.photo)
        on_image = frame.resized(shown.width, shown.height).map_to_photo(map)
        insertion, deletion = faithfulness(
            self.classifier.fast, image, on_image, scene.asked, self.classifier.posterior
        )
        return replace(found, scores={**found.scores, "insertion_auc": insertion, "deletion_auc": deletion})


def _that(asked: int, logits: Float[Tensor, " classes"]) -> list[int]:
    """The choice of one class, whatever the logits."""
    return [asked]


def _union(objects: Sequence[Segmentation]) -> Mask:
    """The pixels of the photo that any of the objects has."""
    union = objects[0].frame.mask_to_photo(objects[0].mask)
    for each in objects[1:]:
        union |= each.frame.mask_to_photo(each.mask)
    return union


def _randomized(classifier: Classifier, judging: Judging) -> dict[str, Classifier]:
    """By the percentage of its layers that are drawn anew: the same classifier with a randomized network."""
    return {
        f"{100 * share:.0f}": classifier.around(randomized(classifier.fast, share, judging.seed))
        for share in (STAGES if judging.sanity else ())
    }
