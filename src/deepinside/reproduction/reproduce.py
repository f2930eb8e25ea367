"""The whole paper from one command: train its ConvNet, explain it, and set every figure beside the paper's.

`reproduce` trains, or continues, a run; `findings_of` examines whatever classifier it is given; `page` makes one page
of both. Under `torchrun`, all processes train, and the leading one does the rest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from deepinside.class_images.ascent import class_image
from deepinside.core.errors import DeepInsideError, check_writable
from deepinside.core.files import clear_leftovers
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, view
from deepinside.core.progress import Note, Progress
from deepinside.data.boxes import NoBoxesError, Sample, read_samples
from deepinside.data.classes import Entry
from deepinside.data.loading import open_entry
from deepinside.evaluation.localization import Judging, choose, judge_each, summarized
from deepinside.evaluation.results import Evaluation, Judged
from deepinside.evaluation.tables import write_json
from deepinside.explanations.explain import explain
from deepinside.gradients.rectifiers import RULES
from deepinside.gradients.saliency import saliency
from deepinside.networks.classifier import Classifier
from deepinside.networks.sources import load
from deepinside.reproduction.page import Findings, Looked, write_page
from deepinside.training.process_group import leads
from deepinside.training.train import Event, Resources, Setup, Trained, train

SHOWN = 6  # photos that are explained on the page
CLASS_IMAGES = ("paper", "canonical")  # presets


@dataclass(frozen=True)
class Extent:
    """How much of a network is examined. The page tells when figures are those of a part of the images."""

    judged: int | None = None  # images that localization is judged on, drawn by the seed; None for all
    shown: int = SHOWN  # photos that are explained on the page
    steps: int | None = None  # of the class images' ascent; None for the preset's own


@dataclass(frozen=True)
class Report:
    """A finished reproduction: its page, the run, and the localization figures where the data set has boxes."""

    path: Path
    trained: Trained
    evaluation: Evaluation | None


def reproduce(
    root: Path, out: Path, setup: Setup, extent: Extent | None = None, resources: Resources | None = None
) -> Iterator[Event | Report]:
    """Train on a data set, and write the report of the paper's experiments on it.

    Args:
        root: the data set, as for `train`. Where it has boxes, as for `read_samples`, localization is judged, too.
        out: the folder of the report `report.html`, the figures `localization.json` and the run itself, `run`.
        setup: the recipe and the network.
        extent: how much of the network is examined.
        resources: as for `train`.

    Yields the events of `train`, then notes and progress, and at last the `Report`; in processes that do not lead,
    nothing. Raises `DeepInsideError` as `train` does, and before the training for boxes that cannot be read and for
    files that cannot be written.
    """
    page, figures = out / "report.html", out / "localization.json"
    if leads():
        check_writable(page)
        check_writable(figures)
        clear_leftovers(out)
    samples: list[Sample] = []
    if leads():
        try:
            samples = _samples(root)
        except NoBoxesError as error:
            yield Note(f"without a localization figure: {error}")
    trained: Trained | None = None
    for event in train(root, out / "run", setup, resources):
        yield event
        if isinstance(event, Trained):
            trained = event
    if trained is None:  # in a process that does not lead
        return
    yield Note("examining the network")
    classifier = load(str(out / "run"))
    findings = yield from findings_of(classifier, trained.validation, samples, extent or Extent(), setup.seed)
    if findings.evaluation is not None:
        write_json(findings.evaluation, figures)
    write_page(page, setup, trained, classifier, findings)
    yield Report(page, trained, findings.evaluation)


def findings_of(
    classifier: Classifier, validation: Sequence[Entry], samples: Sequence[Sample], extent: Extent, seed: int
) -> Generator[Progress, None, Findings]:
    """What the paper shows of its network, for another one.

    Args:
        classifier: the trained network.
        validation: pictures, each with the index of its class.
        samples: pictures with boxes; without any, there are no localization figures.
        extent: how much is examined.
        seed: of the images that are judged, of their intervals, and of the ascent.

    Yields the progress, and returns the findings.
    """
    shown = _one_per_class(validation, extent.shown)
    looked: list[Looked] = []
    for entry in shown:
        looked.append(_looked(classifier, entry))
        yield Progress("explanations", len(looked), len(shown))
    evaluation = (yield from _evaluated(classifier, choose(samples, extent.judged, seed), seed)) if samples else None
    class_images: dict[str, Float[Tensor, "classes 3 height width"]] = {}
    for preset in CLASS_IMAGES:
        class_images[preset] = _class_images(classifier, preset, extent.steps, seed)
        yield Progress("class images", len(class_images), len(CLASS_IMAGES))
    return Findings(class_images, tuple(looked), evaluation)


def _evaluated(classifier: Classifier, samples: Sequence[Sample], seed: int) -> Generator[Progress, None, Evaluation]:
    """Sect. 3.2: the boxes of the paper's localizer and of ours, judged beside image-free baselines."""
    judging = Judging(("paper", "best"), seed=seed, baselines=False)
    judged: list[Judged] = []
    for one in judge_each(classifier, samples, judging):
        judged.append(one)
        yield Progress("localization", len(judged), len(samples))
    return summarized(classifier.name, seed, judged)


def _class_images(
    classifier: Classifier, preset: str, steps: int | None, seed: int
) -> Float[Tensor, "classes 3 height width"]:
    """Sect. 2, for every class."""
    classes = range(len(classifier.labels))
    return class_image(classifier.fast, classes, preset=preset, size=classifier.size, steps=steps, seed=seed)


def _one_per_class(validation: Sequence[Entry], count: int) -> list[Entry]:
    """The first picture of each of the first `count` classes, so that nobody has picked the good ones."""
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
    rules = {rule: saliency(classifier.fast, image, index, rule=rule)[0].cpu().numpy() for rule in RULES}
    return Looked(photo, classifier.labels.name(entry.label), explanation, image[0].cpu(), rules)


def _whole(classifier: Classifier, photo: Photo) -> Float[Tensor, "1 channels height width"]:
    height, width = classifier.size
    frame = Frame.center(photo.width, photo.height, width=width, height=height)
    return view(photo, frame, classifier.resample).to(classifier.device)


def _samples(root: Path) -> list[Sample]:
    """The pictures with boxes. Raises `NoBoxesError` where there are no boxes, `DeepInsideError` for broken ones."""
    samples = list(read_samples(root))
    broken = [sample.error for sample in samples if sample.error]
    if broken and len(broken) == len(samples):
        raise DeepInsideError(
            f"{root}: expected boxes that can be read, but none of {len(broken)} could be; first: {broken[0]}"
        )
    return samples
