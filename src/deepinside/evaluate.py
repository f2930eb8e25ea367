"""How well do the boxes sit on the objects? Localization as ILSVRC judges it (paper, Sect. 3.2), beside its floors.

Metrics are pure functions of arrays; one loop runs `explain`, the path that users take, over a data set. Each image is
asked about one class: the one of its ground truth that the network ranks highest, or else shows in its largest box.
Every method is judged under the same class predictions, those of the first preset. A (label, box) pair with another
label than the image's can never be right, so the box of the asked class is all that the challenge's rule needs.

Beside the presets stand methods that do not look at the image (`center_box`, `whole_image`), the classification error,
which no box can beat, and, with the extra `grad-cam`, maps of the class-activation family cut at a fraction of their
maximum. That fraction is chosen on the other half of the images (`grad_cam`, transferred) or on the very images that
it is judged on (`grad_cam_oracle`): the second is an upper bound, not a result. Grad-CAM is taken at the last
convolutional features, where it is CAM for a network that ends in global average pooling and one linear layer.

Shapes: n images, t thresholds, m ground-truth boxes (m, 4) as (x0, y0, x1, y1) in photo pixels, draws of a bootstrap.
"""

from __future__ import annotations

import copy
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from deepinside.classifier import Classifier
from deepinside.datasets import Sample, Thing, marked_pixels, read_samples
from deepinside.errors import DeepInsideError, writing
from deepinside.explain import explain
from deepinside.geometry import Box, Frame
from deepinside.images import Photo, read
from deepinside.labels import Labels
from deepinside.layers import list_layers
from deepinside.localize import PRESETS, preset
from deepinside.logits import logits_of
from deepinside.metrics import (
    BINS,
    ENOUGH,
    LEVELS,
    Estimate,
    Map,
    Statistic,
    average_precision_of,
    best_iou,
    best_of,
    center_box,
    estimate,
    faithfulness,
    localized,
    mask_iou,
    mean_of,
    oracle_choice,
    pixel_counts,
    pointing_game,
    randomized,
    rank_correlation,
    resamples,
    threshold_boxes,
    transferred_choice,
)
from deepinside.probe import frozen
from deepinside.results import Detection
from deepinside.terminal import print_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

TOP = 5  # guesses an image, by the challenge's rule
STAGES = (0.25, 0.5, 0.75, 1.0)  # shares of the layers, from the top, that the sanity check draws anew
CLASSIFICATION = "classification"
MAP_METHODS = ("grad_cam", "layer_cam")

# The pixels that are the object, and those that count neither way.
Marked = tuple[Bool[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]] | None


@dataclass(frozen=True, eq=False)
class Found:
    """What one method made of one image. A method of maps alone has no box yet: a threshold is chosen over all images.

    `sweep` holds the map's box at each threshold, `pixels` its histogram inside and outside the ground-truth mask,
    `scores` whatever is one number an image.
    """

    box: Box | None = None
    sweep: Float[np.ndarray, "t 4"] | None = None
    pixels: Int[np.ndarray, "2 bins"] | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Case:
    """One image: the class it is asked about, the place of that class among the predictions, what each method found.

    `rank` counts from 0; `TOP` means that the class is not among the likeliest.
    """

    path: Path
    label: str
    predicted: str
    rank: int
    truths: Float[np.ndarray, "m 4"]
    found: Mapping[str, Found]


@dataclass(frozen=True, eq=False)
class Row:
    """One method over all images: its boxes and their IoU where it has any, and its figures."""

    boxes: Float[np.ndarray, "n 4"] | None
    ious: Float[np.ndarray, " n"] | None
    figures: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came of a run. `failures` names every image that could not be judged, and why."""

    model: str
    seed: int
    cases: tuple[Case, ...]
    rows: Mapping[str, Row]
    failures: tuple[tuple[Path, str], ...]


# ------------------------------------------------------------------------------------------------------------ the loop


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
        _cam_methods(classifier) if baselines else {},
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
        predicted, things, detections = self._explained(photo, sample)
        asked = next(iter(detections.values())).index
        scene = self._scene(photo, sample, asked, things)
        found = {name: self._of_preset(scene, name, seen, check) for name, seen in detections.items()}
        for name, cam in self.cams.items():
            found[name] = self._of_map(scene, cam(scene.image, asked), scene.frame)
        for name, box in (("center_box", center_box(photo.width, photo.height)), ("whole_image", _whole(photo))):
            found[name] = _of_box(box, scene.marked)
        rank = predicted.index(asked) if asked in predicted else TOP
        labels = self.classifier.labels
        return Case(sample.path, labels.name(asked), labels.name(predicted[0]), rank, scene.truths, found)

    def _scene(self, photo: Photo, sample: Sample, asked: int, things: Sequence[Thing]) -> _Scene:
        """The photo whole, squeezed to the network's size, as Choe et al. 2020 show it to class-activation maps."""
        frame, image = self.classifier.whole(photo)
        truths = np.array([_clipped(thing.box, photo) for thing in things], dtype=np.float64)
        return _Scene(photo, frame, image, asked, truths, marked_pixels(sample, things, photo.width, photo.height))

    def _explained(self, photo: Photo, sample: Sample) -> tuple[list[int], Sequence[Thing], dict[str, Detection]]:
        """The likeliest classes, the things of the class asked about, and what each preset found of it.

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
            shown = frame.on_copy(scene.frame.width, scene.frame.height).map_to_photo(map)
            insertion, deletion = faithfulness(self.classifier.network, scene.image, shown, scene.asked)
            scores |= {"insertion_auc": insertion, "deletion_auc": deletion}
        pixels = pixel_counts(frame.map_to_photo(map), *scene.marked) if scene.marked else None
        return Found(None, threshold_boxes(map, frame), pixels, scores)


def _classes(sample: Sample, classifier: Classifier) -> dict[int, list[Thing]]:
    """The sample's things by the network's class; those of classes it does not know are left out."""
    known: dict[int, list[Thing]] = {}
    for thing in sample.things:
        index = class_of(thing, classifier.labels)
        if index is not None:
            known.setdefault(index, []).append(thing)
    if not known:
        names = ", ".join(sorted({thing.label for thing in sample.things}))
        raise DeepInsideError(f"{sample.path}: expected classes that {classifier.name} knows, got {names}")
    return known


def class_of(thing: Thing, labels: Labels) -> int | None:
    """The network's class of a thing: by WordNet id, then by name; by number only where nothing else can be had."""
    for wanted in (thing.wnid, thing.name):
        try:
            if wanted:
                return labels.find(wanted)
        except DeepInsideError:
            continue
    return thing.index if not labels or not (thing.wnid or thing.name) else None


def _naming(path: Path, reason: str) -> str:
    return reason if str(path) in reason else f"{path}: {reason}"


def _asked(predicted: Sequence[int], known: Mapping[int, Sequence[Thing]]) -> int:
    """The class of the ground truth that is predicted first, or else the one of the largest box."""
    ranked = [index for index in predicted if index in known]
    return ranked[0] if ranked else max(known, key=lambda index: max(thing.box.area for thing in known[index]))


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


# ----------------------------------------------------------------------------------------------------------- baselines


class _Logits(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.network(images), len(images))


def _cam_methods(classifier: Classifier) -> dict[str, Callable[[Tensor, int], Map]]:
    """Grad-CAM and LayerCAM of the package `grad-cam`, on a private copy; none without it or without a feature map."""
    if not find_spec("pytorch_grad_cam"):
        return {}
    from pytorch_grad_cam import GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network = _Logits(frozen(classifier.network))
    layer = _last_feature_map(network, classifier.size)
    if layer is None or next(network.parameters(), None) is None:
        return {}

    def method(cam: GradCAM | LayerCAM) -> Callable[[Tensor, int], Map]:
        def map(image: Tensor, target: int) -> Map:
            with torch.inference_mode(False), torch.enable_grad():
                # The weights are frozen, so the picture has to ask for the gradient.
                return np.asarray(cam(image.clone().requires_grad_(), [ClassifierOutputTarget(target)])[0])

        return map

    return dict(zip(MAP_METHODS, (method(cam(network, [layer])) for cam in (GradCAM, LayerCAM)), strict=True))


def _last_feature_map(network: nn.Module, size: tuple[int, int]) -> nn.Module | None:
    """The last layer without layers in it whose output still has height and width."""
    for layer in reversed(list_layers(network, size)):
        module = network.get_submodule(layer.name)
        if len(layer.shape) == 3 and min(layer.shape[1:]) > 1 and not any(module.children()):
            return module
    return None


# ------------------------------------------------------------------------------------------------------------- figures


def tabulate(cases: Sequence[Case], seed: int) -> dict[str, Row]:
    """Every method's figures over all images, and the classification error as the best that any of them can do."""
    weights = resamples(len(cases), seed)
    rows: dict[str, Row] = {}
    for name in cases[0].found:
        found = [case.found[name] for case in cases]
        if found[0].box is not None:
            boxes = np.array([one.box.as_tuple() for one in found if one.box], dtype=np.float64)
            rows[name] = _row(cases, found, boxes, weights, seed, transferred=None)
            continue
        sweeps = _sweeps(found)
        hits = (_sweep_ious(cases, sweeps) >= ENOUGH).astype(np.float64)
        for row, choice, transferred in (
            (name, transferred_choice(hits, seed), True),
            (f"{name}_oracle", oracle_choice(hits), False),
        ):
            boxes = sweeps[np.arange(len(cases)), choice].astype(np.float64)
            rows[row] = _row(cases, found, boxes, weights, seed, transferred)
    errors = {f"top{top}_error": (_ranks(cases) >= top).astype(np.float64) for top in (1, TOP)}
    rows[CLASSIFICATION] = Row(None, None, {key: estimate(mean_of(column), weights) for key, column in errors.items()})
    return rows


def _row(
    cases: Sequence[Case],
    found: Sequence[Found],
    boxes: Float[np.ndarray, "n 4"],
    weights: UInt8[np.ndarray, "draws n"],
    seed: int,
    transferred: bool | None,
) -> Row:
    """`transferred` says how a method of maps alone came by its threshold; None for a method that has boxes."""
    ranks = _ranks(cases)
    ious = np.array([best_iou(box, case.truths) for box, case in zip(boxes, cases, strict=True)], dtype=np.float64)
    columns: dict[str, np.ndarray] = {f"top{top}_error": ~localized(ranks, ious, top) for top in (1, TOP)}
    columns |= {"gt_known_accuracy": ious >= ENOUGH, "mean_iou": ious}
    columns |= {f"box_accuracy_{level}": ious >= level for level in LEVELS}
    columns |= {key: _column(found, key) for key in sorted({key for one in found for key in one.scores})}
    statistics = {key: mean_of(column.astype(np.float64)) for key, column in columns.items()}
    if found[0].sweep is not None:
        statistics |= _sweep_statistics(_sweep_ious(cases, _sweeps(found)), seed)
    if any(one.pixels is not None for one in found):
        statistics |= _pixel_statistics(found, seed, transferred)
    return Row(boxes, ious, {key: estimate(statistic, weights) for key, statistic in statistics.items()})


def _sweep_statistics(ious: Float[np.ndarray, "n t"], seed: int) -> dict[str, Statistic]:
    """MaxBoxAcc of the map, its threshold transferred or the oracle's, for each level on its own (Choe et al. 2020)."""
    statistics: dict[str, Statistic] = {}
    for level in LEVELS:
        hits = (ious >= level).astype(np.float64)
        choice = transferred_choice(hits, seed)
        statistics[f"max_box_accuracy_{level}"] = mean_of(hits[np.arange(len(hits)), choice])
        statistics[f"max_box_accuracy_oracle_{level}"] = best_of(hits)
    return statistics


def _pixel_statistics(found: Sequence[Found], seed: int, transferred: bool | None) -> dict[str, Statistic]:
    """PxAP, and for a method of maps alone the mask IoU at a threshold of its own."""
    counts = np.array(
        [one.pixels if one.pixels is not None else np.zeros((2, BINS)) for one in found], dtype=np.float64
    )
    statistics = {"pxap": average_precision_of(counts)}
    if transferred is None:
        return statistics
    inside, outside = np.moveaxis(np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1], 1, 0)
    union = inside[:, :1] + outside
    ious = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    known = np.array([one.pixels is not None for one in found])
    choice = transferred_choice(ious[known], seed) if transferred else oracle_choice(ious[known])
    chosen = np.full(len(found), np.nan)
    chosen[known] = ious[known][np.arange(known.sum()), choice]
    return statistics | {"mask_iou": mean_of(chosen)}


def _ranks(cases: Sequence[Case]) -> Int[np.ndarray, " n"]:
    return np.array([case.rank for case in cases])


def _column(found: Sequence[Found], key: str) -> Float[np.ndarray, " n"]:
    return np.array([one.scores.get(key, np.nan) for one in found], dtype=np.float64)


def _sweeps(found: Sequence[Found]) -> Float[np.ndarray, "n t 4"]:
    return np.stack([one.sweep for one in found if one.sweep is not None])


def _sweep_ious(cases: Sequence[Case], sweeps: Float[np.ndarray, "n t 4"]) -> Float[np.ndarray, "n t"]:
    return np.array([best_iou(sweep, case.truths) for sweep, case in zip(sweeps, cases, strict=True)])


# -------------------------------------------------------------------------------------------------------------- output


def as_json(evaluation: Evaluation) -> dict[str, object]:
    """Plain values: `{"images", "model", "seed", "methods": {name: {figure: value, "intervals": ...}}, "failures"}`."""
    methods = {
        name: {key: round(figure.value, 6) for key, figure in row.figures.items()}
        | {"intervals": {key: [round(figure.low, 6), round(figure.high, 6)] for key, figure in row.figures.items()}}
        for name, row in evaluation.rows.items()
    }
    return {
        "images": len(evaluation.cases),
        "model": evaluation.model,
        "seed": evaluation.seed,
        "methods": methods,
        "failures": [{"path": str(path), "error": reason} for path, reason in evaluation.failures],
    }


def write_json(evaluation: Evaluation, path: Path) -> Path:
    """`as_json` in a file. Raises `DeepInsideError` where it cannot be written."""
    return _write(
        path, lambda stream: stream.write(json.dumps(as_json(evaluation), indent=2, ensure_ascii=False) + "\n")
    )


def write_csv(evaluation: Evaluation, path: Path) -> Path:
    """A line an image and method. Raises `DeepInsideError` where it cannot be written."""
    return _write(path, lambda stream: csv.writer(stream, lineterminator="\n").writerows(_lines(evaluation)))


def _lines(evaluation: Evaluation) -> Iterator[Sequence[object]]:
    head = (
        "image",
        "label",
        "predicted",
        "rank",
        "method",
        "iou",
        "top1_correct",
        "top5_correct",
        "x0",
        "y0",
        "x1",
        "y1",
    )
    scores = sorted({key for case in evaluation.cases for found in case.found.values() for key in found.scores})
    yield (*head, *scores)
    for number, case in enumerate(evaluation.cases):
        rank = case.rank + 1 if case.rank < TOP else ""
        for name, row in evaluation.rows.items():
            if row.boxes is None or row.ious is None:
                continue
            iou = float(row.ious[number])
            right = [int(case.rank < top and iou >= ENOUGH) for top in (1, TOP)]
            own = case.found[name.removesuffix("_oracle")].scores
            box = [round(float(side), 2) for side in row.boxes[number]]
            fixed = (case.path, case.label, case.predicted, rank, name, round(iou, 4), *right, *box)
            yield (*fixed, *(round(own[key], 6) if key in own else "" for key in scores))


def cases_sheet(evaluation: Evaluation, method: str, count: int = 6) -> Figure:
    """The photos where a method's box fits best, above those where it fits worst; ground truth green, the box red."""
    from matplotlib.figure import Figure

    ious = _known_row(evaluation, method).ious
    assert ious is not None
    order = np.argsort(-ious, kind="stable")
    count = min(count, (len(order) + 1) // 2)
    figure = Figure(figsize=(2.4 * count + 0.4, 5.6), dpi=150, layout="constrained")
    grid = figure.subplots(2, count, squeeze=False)
    figure.suptitle(f"{method}, {evaluation.model}: the best and the worst of {len(order)}", fontsize=10)
    for axes, number in zip(grid.flat, (*order[:count], *order[::-1][:count]), strict=True):
        _show_case(axes, evaluation, method, int(number))
    return figure


def _show_case(axes: Axes, evaluation: Evaluation, method: str, number: int) -> None:
    case, row = evaluation.cases[number], evaluation.rows[method]
    assert row.boxes is not None
    assert row.ious is not None
    photo = read(case.path)
    scale = min(480 / max(photo.width, photo.height), 1.0)
    size = (max(round(photo.width * scale), 1), max(round(photo.height * scale), 1))
    axes.imshow(np.asarray(photo.image.resize(size)))
    for truth in case.truths:
        _outline(axes, truth * scale, "#2a9d3f")
    _outline(axes, row.boxes[number] * scale, "#e63946")
    axes.set_title(f"{case.label[:24]}  IoU {row.ious[number]:.2f}", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def _outline(axes: Axes, box: Float[np.ndarray, 4], color: str) -> None:
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = (float(side) for side in box)
    for edge, width in (("white", 3.5), (color, 2.0)):
        axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=edge, linewidth=width))


def _known_row(evaluation: Evaluation, method: str) -> Row:
    row = evaluation.rows.get(method)
    if row is None or row.ious is None:
        known = [name for name, row in evaluation.rows.items() if row.ious is not None]
        raise DeepInsideError(f"expected a method with boxes ({', '.join(known)}), got {method!r}")
    return row


def table(evaluation: Evaluation) -> Table:
    """Methods as rows, figures in percent, the first four with half the width of their 95% interval."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    result = Table(title=f"{evaluation.model}, {len(evaluation.cases)} images", title_justify="left", box=SIMPLE_HEAD)
    used = {key for row in evaluation.rows.values() for key in row.figures}
    intervals = [(title, key) for title, key in _WITH_INTERVAL if key in used]
    plain = [(title, keys) for title, keys in _PLAIN if used.intersection(keys)]
    result.add_column("method", no_wrap=True)
    for title in (*(title for title, _ in intervals), _BOXES, *(title for title, _ in plain)):
        result.add_column(title, justify="right", no_wrap=True)
    for name, row in evaluation.rows.items():
        with_interval = [_percent(row.figures.get(key)) for _, key in intervals]
        result.add_row(name, *with_interval, _levels(name, row), *(_slashed(row, keys) for _, keys in plain))
    return result


_BOXES = "boxes right at\nIoU " + " / ".join(map(str, LEVELS))
_WITH_INTERVAL = (
    ("top-1\nerror", "top1_error"),
    ("top-5\nerror", "top5_error"),
    ("GT-known\naccuracy", "gt_known_accuracy"),
    ("mean\nIoU", "mean_iou"),
)
_PLAIN = (
    ("pointing\ngame", ("pointing_game",)),
    ("PxAP /\nmask IoU", ("pxap", "mask_iou")),
    ("insertion /\ndeletion", ("insertion_auc", "deletion_auc")),
    (
        "map kept with layers new\n" + " / ".join(f"{share:.0%}" for share in STAGES),
        tuple(f"randomization_correlation_{100 * share:.0f}" for share in STAGES),
    ),
)

_NOTES = """In percent, ± half of the 95% bootstrap interval; class predictions are those of {first} for every method.
center_box and whole_image do not look at the image; no box can beat the classification error."""

_CAM_NOTES = """Grad-CAM, which is CAM here if the network ends in average pooling and one linear layer, and LayerCAM: \
cut at a
fraction of the maximum that is best on the other half of the images; _oracle: on these very images, an upper bound."""


def _percent(figure: Estimate | None) -> str:
    return "" if figure is None else f"{100 * figure.value:.1f} ±{50 * (figure.high - figure.low):.1f}"


def _levels(name: str, row: Row) -> str:
    """Boxes as they are; for a method of maps alone MaxBoxAcc, each level with a threshold of its own."""
    oracle = name.endswith("_oracle")
    is_map = oracle or name in MAP_METHODS
    key = "max_box_accuracy_oracle_" if oracle else "max_box_accuracy_" if is_map else "box_accuracy_"
    return _slashed(row, [f"{key}{level}" for level in LEVELS])


def _slashed(row: Row, keys: Sequence[str]) -> str:
    figures = [row.figures.get(key) for key in keys]
    return " / ".join(f"{100 * figure.value:.1f}" if figure else "–" for figure in figures) if any(figures) else ""


def _write(path: Path, write: Callable[[TextIO], object]) -> Path:
    with writing(path, "a file"), path.open("w", encoding="utf-8", newline="") as stream:
        write(stream)
    return path


# --------------------------------------------------------------------------------------------------------- the command


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
    print_whole(table(evaluation))
    print(_notes(evaluation, presets[0], baselines))
    _tell_failures(evaluation)
    if json_file:
        write_json(evaluation, json_file)
    if csv_file:
        write_csv(evaluation, csv_file)
    if sheet:
        from deepinside import report

        report.save(cases_sheet(evaluation, presets[0]), sheet)
    for path in (json_file, csv_file, sheet):
        if path:
            print(f"  -> {path}")
    return evaluation


def _notes(evaluation: Evaluation, first: str, baselines: bool) -> str:
    notes = [_NOTES.format(first=first)]
    if MAP_METHODS[0] in evaluation.rows:
        notes.append(_CAM_NOTES)
    elif baselines and not find_spec("pytorch_grad_cam"):
        notes.append("Grad-CAM and LayerCAM are left out; to have them: pip install 'deepinside[cam]'")
    elif baselines:
        notes.append("Grad-CAM and LayerCAM are left out: the network has no layer with height and width.")
    return "\n".join(notes)


def _tell_failures(evaluation: Evaluation, most: int = 20) -> None:
    failures = evaluation.failures
    if not failures:
        return
    print(f"{len(failures)} of {len(failures) + len(evaluation.cases)} images could not be judged:", file=sys.stderr)
    for _, reason in failures[:most]:
        print(f"  {reason}", file=sys.stderr)
    if len(failures) > most:
        print(f"  and {len(failures) - most} more, all named in the JSON file", file=sys.stderr)
