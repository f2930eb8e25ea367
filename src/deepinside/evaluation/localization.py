"""How well do the boxes sit on the objects? Localization as ILSVRC judges it (paper, Sect. 3.2), beside its floors.

Metrics are pure functions of arrays; one loop runs `explain`, the path that users take, over a data set. Each image is
asked about one class: the one of its ground truth that the network ranks highest, or else shows in its largest box.
Every method is judged under the same class predictions, those of the first preset. A (label, box) pair with another
label than the image's can never be right, so the box of the asked class is all that the challenge's rule needs.

Beside the presets stand methods that do not look at the image (`center_box`, `whole_image`), the classification error,
which no box can beat, and, with the extra `grad-cam`, maps of the class-activation family (`baselines`).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo, read
from deepinside.core.labels import Labels
from deepinside.core.results import Detection
from deepinside.core.terminal import print_table
from deepinside.data.boxes import Annotation, Sample, marked_pixels, read_samples
from deepinside.evaluation.baselines import cam_methods
from deepinside.evaluation.metrics import (
    STAGES,
    TOP,
    Map,
    center_box,
    faithfulness,
    mask_iou,
    pixel_counts,
    pointing_game,
    randomized,
    rank_correlation,
    threshold_boxes,
)
from deepinside.evaluation.results import Case, Evaluation, Found, tabulate
from deepinside.evaluation.tables import cases_sheet, notes, table, write_csv, write_json
from deepinside.explanations.explain import explain
from deepinside.explanations.presets import PRESETS, preset
from deepinside.networks.classifier import Classifier

# The pixels that are the object, and those that count neither way.
Marked = tuple[Bool[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]] | None


def evaluate(
    classifier: Classifier,
    samples: Iterable[Sample],
    presets: Sequence[str] = tuple(PRESETS),
    *,
    seed: int = 0,
    baselines: bool = True,
    faithful: bool = False,
    sanity: int = 0,
) -> Evaluation:
    """Judge presets, baselines and image-free boxes on photos with ground truth.

    Args:
        classifier: what to look into.
        samples: from `read_samples`; those with an error are counted and named.
        presets: recipes of `localize`, by name. The first one's class predictions count for all methods.
        seed: of the halves that thresholds are transferred between, the bootstrap and the sanity check.
        baselines: whether to run Grad-CAM and LayerCAM, where the package `grad-cam` is installed.
        faithful: whether to measure insertion and deletion, at 58 forward passes a map.
        sanity: on how many images to measure how far maps change when the network forgets, layer by layer.

    Raises `DeepInsideError` for an unknown preset, and where not one sample could be judged.
    """
    for name in presets:
        preset(name)
    if not presets:
        raise DeepInsideError(f"expected at least one preset ({', '.join(PRESETS)}), got none")
    judge = _Judge(
        classifier,
        tuple(presets),
        cam_methods(classifier) if baselines else {},
        faithful,
        _forgetful(classifier, sanity, seed),
    )
    cases: list[Case] = []
    failures: list[tuple[Path, str]] = []
    for sample in samples:
        try:
            if sample.error:
                raise sample.error
            cases.append(judge.case(sample, check=len(cases) < sanity))
        except DeepInsideError as error:
            failures.append((sample.path, _naming(sample.path, str(error))))
    if not cases:
        first = f"; the first: {failures[0][1]}" if failures else ""
        raise DeepInsideError(f"expected photos to judge, but none of {len(failures)} could be{first}")
    return Evaluation(classifier.name, seed, tuple(cases), tabulate(cases, seed), tuple(failures))


@dataclass(frozen=True, eq=False)
class _Scene:
    """One photo as the judge sees it: whole on the network's pixels, with the class asked about and its truth."""

    photo: Photo
    frame: Frame
    image: Float[Tensor, "1 3 height width"]
    asked: int
    truths: Float[np.ndarray, "m 4"]
    marked: Marked


@dataclass(frozen=True, eq=False)
class _Judge:
    """All that is the same for every image of a run."""

    classifier: Classifier
    presets: tuple[str, ...]
    cams: Mapping[str, Callable[[Tensor, int], Map]]
    faithful: bool
    forgetful: Mapping[str, Classifier]

    def case(self, sample: Sample, check: bool) -> Case:
        """The image seen by every method; `check` runs the sanity check, too."""
        photo = read(sample.path)
        predicted, annotations, detections = self._explained(photo, sample)
        asked = next(iter(detections.values())).index
        scene = self._scene(photo, sample, asked, annotations)
        found = {name: self._of_preset(scene, name, seen, check) for name, seen in detections.items()}
        for name, cam in self.cams.items():
            found[name] = self._of_map(scene, cam(scene.image, asked), scene.frame)
        for name, box in (("center_box", center_box(photo.width, photo.height)), ("whole_image", _whole(photo))):
            found[name] = _of_box(box, scene.marked)
        rank = predicted.index(asked) if asked in predicted else TOP
        labels = self.classifier.labels
        return Case(sample.path, labels.name(asked), labels.name(predicted[0]), rank, scene.truths, found)

    def _scene(self, photo: Photo, sample: Sample, asked: int, annotations: Sequence[Annotation]) -> _Scene:
        """The photo whole, squeezed to the network's size, as Choe et al. 2020 show it to class-activation maps."""
        frame, image = self.classifier.whole(photo)
        truths = np.array([_clipped(annotation.box, photo) for annotation in annotations], dtype=np.float64)
        return _Scene(photo, frame, image, asked, truths, marked_pixels(sample, annotations, photo.width, photo.height))

    def _explained(self, photo: Photo, sample: Sample) -> tuple[list[int], Sequence[Annotation], dict[str, Detection]]:
        """The likeliest classes, the annotations of the class asked about, and what each preset found of it.

        The first preset also predicts: its boxes are those of the call that a user makes.
        """
        known = _classes(sample, self.classifier)
        first = explain(self.classifier, photo, top=TOP, preset=self.presets[0], also=list(known)).objects
        predicted = [detection.index for detection in first[:TOP]]
        asked = _asked(predicted, known)
        detections = {self.presets[0]: next(detection for detection in first if detection.index == asked)}
        for name in self.presets[1:]:
            detections[name] = explain(self.classifier, photo, [asked], preset=name).objects[0]
        return predicted, known[asked], detections

    def _of_preset(self, scene: _Scene, name: str, seen: Detection, check: bool) -> Found:
        of_map = self._of_map(scene, seen.map, seen.frame)
        scores = dict(of_map.scores)
        if scene.marked:
            scores["mask_iou"] = mask_iou(seen.mask, *scene.marked)
        for share, forgetful in self.forgetful.items() if check else ():
            other = explain(forgetful, scene.photo, [scene.asked], preset=name, boxes=False).objects[0]
            scores[f"randomization_correlation_{share}"] = rank_correlation(seen.map, other.map)
        return Found(seen.box, of_map.sweep, of_map.pixels, scores)

    def _of_map(self, scene: _Scene, map: Map, frame: Frame) -> Found:
        scores: dict[str, float] = {"pointing_game": float(pointing_game(map, frame, scene.truths))}
        if self.faithful:
            shown = frame.resized(scene.frame.width, scene.frame.height).map_to_photo(map)
            insertion, deletion = faithfulness(self.classifier.network, scene.image, shown, scene.asked)
            scores |= {"insertion_auc": insertion, "deletion_auc": deletion}
        pixels = pixel_counts(frame.map_to_photo(map), *scene.marked) if scene.marked else None
        return Found(None, threshold_boxes(map, frame), pixels, scores)


def _classes(sample: Sample, classifier: Classifier) -> dict[int, list[Annotation]]:
    """The sample's annotations by the network's class; those of classes it does not know are left out."""
    known: dict[int, list[Annotation]] = {}
    for annotation in sample.annotations:
        index = class_of(annotation, classifier.labels)
        if index is not None:
            known.setdefault(index, []).append(annotation)
    if not known:
        names = ", ".join(sorted({annotation.label for annotation in sample.annotations}))
        raise DeepInsideError(f"{sample.path}: expected classes that {classifier.name} knows, got {names}")
    return known


def class_of(annotation: Annotation, labels: Labels) -> int | None:
    """The network's class of an annotation: by WordNet id, then by name; by index only if it has neither."""
    for wanted in (annotation.wnid, annotation.name):
        try:
            if wanted:
                return labels.find(wanted)
        except DeepInsideError:
            continue
    return annotation.index if not labels or not (annotation.wnid or annotation.name) else None


def _naming(path: Path, reason: str) -> str:
    return reason if str(path) in reason else f"{path}: {reason}"


def _asked(predicted: Sequence[int], known: Mapping[int, Sequence[Annotation]]) -> int:
    """The class of the ground truth that is predicted first, or else the one of the largest box."""
    ranked = [index for index in predicted if index in known]
    return ranked[0] if ranked else max(known, key=lambda index: max(each.box.area for each in known[index]))


def _of_box(box: Box, marked: Marked) -> Found:
    if not marked:
        return Found(box)
    filled = np.zeros(marked[0].shape, dtype=bool)
    filled[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)] = True
    return Found(box, scores={"mask_iou": mask_iou(filled, *marked)})


def _whole(photo: Photo) -> Box:
    return Box(0.0, 0.0, float(photo.width), float(photo.height))


def _clipped(box: Box, photo: Photo) -> tuple[float, float, float, float]:
    """Annotators' boxes may end a pixel outside the photo."""
    return box.intersection(_whole(photo)).as_tuple()


def _forgetful(classifier: Classifier, sanity: int, seed: int) -> dict[str, Classifier]:
    """By the percentage of its layers that it forgot: the same classifier, its network a randomized copy."""
    copies = {}
    for share in STAGES if sanity else ():
        forgetful = copy.copy(classifier)
        forgetful.network = randomized(classifier.network, share, seed)  # type: ignore[assignment]
        copies[f"{100 * share:.0f}"] = forgetful
    return copies


def choose(samples: Sequence[Sample], limit: int | None, seed: int) -> list[Sample]:
    """At most `limit` of the samples, drawn by `seed`, in their own order."""
    if limit is None or limit >= len(samples):
        return list(samples)
    if limit < 1:
        raise DeepInsideError(f"expected to judge at least one image, got a limit of {limit}")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(samples))[:limit])
    return [samples[number] for number in chosen]


def evaluate_command(
    root: Path,
    classifier: Classifier,
    presets: Sequence[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    baselines: bool = True,
    faithful: bool = False,
    sanity: int = 0,
    json_file: Path | None = None,
    csv_file: Path | None = None,
    sheet: Path | None = None,
    progress: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
) -> Evaluation:
    """The command `evaluate`: read, judge, print the table, write the files asked for.

    Args:
        root: a data set, as for `read_samples`.
        classifier: what to look into.
        presets: recipes of `localize`, by name.
        limit: judge so many images, drawn by `seed`.
        seed, baselines, faithful, sanity: as for `evaluate`.
        json_file, csv_file, sheet: where to write `as_json`, `write_csv` and `cases_sheet` of the first preset.
        progress: what goes through the samples, showing how far it is.
    """
    samples = choose(list(read_samples(root)), limit, seed)
    evaluation = evaluate(
        classifier, progress(samples), presets, seed=seed, baselines=baselines, faithful=faithful, sanity=sanity
    )
    print_table(table(evaluation))
    print(notes(evaluation, presets[0], baselines))
    _tell_failures(evaluation)
    if json_file:
        write_json(evaluation, json_file)
    if csv_file:
        write_csv(evaluation, csv_file)
    if sheet:
        from deepinside.explanations import sheets

        sheets.save(cases_sheet(evaluation, presets[0]), sheet)
    for path in (json_file, csv_file, sheet):
        if path:
            print(f"  -> {path}")
    return evaluation


def _tell_failures(evaluation: Evaluation, most: int = 20) -> None:
    failures = evaluation.failures
    if not failures:
        return
    print(f"{len(failures)} of {len(failures) + len(evaluation.cases)} images could not be judged:", file=sys.stderr)
    for _, reason in failures[:most]:
        print(f"  {reason}", file=sys.stderr)
    if len(failures) > most:
        print(f"  and {len(failures) - most} more, all named in the JSON file", file=sys.stderr)
