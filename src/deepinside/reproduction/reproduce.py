"""The whole paper from one command: train its ConvNet, look inside it, and set every figure beside the paper's own.

`reproduce` trains, or goes on with, a run; `findings_of` looks inside whatever classifier it is given; `paperpage`
makes one page of both. Under `torchrun` all processes train, and the leading one does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from deepinside.class_images.ascent import class_image
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, view
from deepinside.data.boxes import Sample, read_samples
from deepinside.data.classes import Entry, read_training_set
from deepinside.data.loading import open_entry
from deepinside.evaluation.localization import choose, evaluate
from deepinside.evaluation.results import Evaluation
from deepinside.evaluation.tables import write_json
from deepinside.explanations.explain import explain
from deepinside.gradients.rectifiers import RULES
from deepinside.gradients.saliency import saliency
from deepinside.networks.classifier import Classifier, load
from deepinside.reproduction.page import Findings, Looked, write_page
from deepinside.training.process_group import leads
from deepinside.training.train import Setup, Trained, train

SHOWN = 6  # photos of a sheet


@dataclass(frozen=True)
class Extent:
    """How much is looked at: figures on a part of the images say so.

    `steps` of the class images' ascent: None for the preset's own.
    """

    judged: int | None = None  # images of the localization figure, drawn by the seed; None for all
    shown: int = SHOWN
    steps: int | None = None


def reproduce(
    root: Path,
    out: Path,
    setup: Setup,
    extent: Extent | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    workers: int = 0,
    tell: Callable[[str], object] = print,
    progress: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
) -> Path | None:
    """Train on a data set and write the report of the paper's experiments on it.

    Args:
        root: the data set, as for `train`; with boxes, as for `read_samples`, localization is judged, too.
        out: the folder of the report `report.html`, the figures `localization.json` and the run itself, `run`.
        setup: the recipe and the network.
        extent: how much is looked at.
        device, precision, workers, tell: as for `train`.
        progress: what goes through the images judged, showing how far it is.

    Returns the report's path, or None in a process that does not lead. Raises `DeepInsideError` as `train` does.
    """
    trained = train(root, out / "run", setup, device=device, precision=precision, workers=workers, tell=tell)
    if not leads():
        return None
    classifier = load(str(out / "run"))
    data = read_training_set(root, setup.seed)
    tell("looking inside")
    findings = findings_of(classifier, data.validation, _samples(root), extent or Extent(), setup.seed, progress)
    if findings.evaluation is not None:
        write_json(findings.evaluation, out / "localization.json")
    page = write_page(out / "report.html", setup, trained, classifier, findings)
    tell(_last_line(trained, findings.evaluation))
    tell(f"  -> {page}")
    return page


def findings_of(
    classifier: Classifier,
    validation: Sequence[Entry],
    samples: Sequence[Sample],
    extent: Extent,
    seed: int,
    progress: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
) -> Findings:
    """What the paper shows of its network, of this one.

    Args:
        classifier: the trained network.
        validation: pictures with their class's place.
        samples: pictures with boxes, which may be none: then there is no localization figure.
        extent: how much is looked at.
        seed: of the images judged, their intervals, and the ascent.
        progress: what goes through the images judged.
    """
    looked = tuple(_looked(classifier, entry) for entry in _one_a_class(validation, extent.shown))
    judged = choose(samples, extent.judged, seed) if samples else []
    evaluation = (
        evaluate(classifier, progress(judged), ("paper", "best"), seed=seed, baselines=False) if judged else None
    )
    return Findings(
        class_images={
            preset: _class_images(classifier, preset, extent.steps, seed) for preset in ("paper", "canonical")
        },
        looked=looked,
        evaluation=evaluation,
    )


def _class_images(
    classifier: Classifier, preset: str, steps: int | None, seed: int
) -> Float[Tensor, "classes 3 height width"]:
    """Sect. 2, for every class."""
    classes = range(len(classifier.labels))
    return class_image(classifier.network, classes, preset=preset, size=classifier.size, steps=steps, seed=seed)


def _one_a_class(validation: Sequence[Entry], count: int) -> list[Entry]:
    """The first picture of each of the first classes: nobody picked the good ones."""
    first: dict[int, Entry] = {}
    for entry in sorted(validation, key=lambda entry: (entry.path, entry.name)):
        first.setdefault(entry.label, entry)
    return [first[label] for label in sorted(first)][:count]


def _looked(classifier: Classifier, entry: Entry) -> Looked:
    """Sect. 3 and 4 on one picture: the likeliest class's map and mask, and its map under each rectifier rule."""
    photo = open_entry(entry)
    explanation = explain(classifier, photo, top=1, preset="paper")
    index = explanation.objects[0].index
    image = _whole(classifier, photo)
    rules = {rule: saliency(classifier.network, image, index, rule=rule)[0].cpu().numpy() for rule in RULES}
    return Looked(photo, classifier.labels.name(entry.label), explanation, image[0].cpu(), rules)


def _whole(classifier: Classifier, photo: Photo) -> Float[Tensor, "1 3 height width"]:
    height, width = classifier.size
    frame = Frame.center(photo.width, photo.height, width=width, height=height)
    return view(photo, frame, classifier.resample).to(classifier.device)


def _samples(root: Path) -> list[Sample]:
    """The data set's pictures with boxes; none where it has no boxes."""
    try:
        return list(read_samples(root))
    except DeepInsideError:
        return []


def _last_line(trained: Trained, evaluation: Evaluation | None) -> str:
    line = f"top-1 error {1 - trained.curve[-1].top1:.1%}, ten crops {1 - trained.ten_crop[0]:.1%}"
    if evaluation is None:
        return f"{line}; no boxes, so no localization figure"
    rows = {name: evaluation.rows[name].figures["top5_error"].value for name in ("paper", "center_box", "whole_image")}
    told = ", ".join(f"{name} {value:.1%}" for name, value in rows.items())
    return f"{line}; top-5 localization error: {told}"
