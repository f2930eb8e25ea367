"""The report of a reproduction: one self-contained HTML page that follows the paper section by section.

Images are embedded, there is no script, and nothing is fetched, so the page can be opened anywhere. Every figure stands
beside the paper's, and says on which data it was measured, since those are not the paper's data.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from deepinside.core import escape
from deepinside.core.errors import writing
from deepinside.core.files import atomic_write
from deepinside.core.images import Photo, as_photo
from deepinside.core.results import Explanation
from deepinside.evaluation.metrics import Estimate
from deepinside.evaluation.results import Evaluation
from deepinside.explanations.sheets import localization_sheet, saliency_sheet
from deepinside.networks.classifier import Classifier
from deepinside.training.train import Epoch, Setup, Trained

# The paper's own figures, in fractions.
TOP1, TOP5, LOCALIZATION = 0.397, 0.177, 0.464
METHODS = {
    "paper": "The paper's recipe: color graph cut seeded by the image-level map",
    "best": "This package's default: deeper maps, the network's own features",
    "center_box": "A centered box of half the area, the same for every image",
    "whole_image": "The whole image",
    "classification": "Classification error: a lower bound for every method",
}


@dataclass(frozen=True, eq=False)
class Looked:
    """One validation picture, its explanation, and the saliency map of the image under each rectifier rule."""

    photo: Photo
    truth: str
    explanation: Explanation
    image: Float[Tensor, "3 height width"]
    rules: Mapping[str, Float[np.ndarray, "height width"]]


@dataclass(frozen=True, eq=False)
class Findings:
    """What Sections 2 to 4 show: class images by preset, explained pictures, and localization where there are boxes."""

    class_images: Mapping[str, Float[Tensor, "classes 3 _ _"]]
    looked: tuple[Looked, ...]
    evaluation: Evaluation | None


def write_page(path: Path, setup: Setup, trained: Trained, classifier: Classifier, findings: Findings) -> Path:
    """Write the report. Raises `DeepInsideError` where that cannot be done."""
    content = escape.xml(page(setup, trained, classifier, findings))  # HTML forbids about what XML forbids
    with writing(path, "the report"), atomic_write(path) as part:
        part.write_text(content, encoding="utf-8")
    return path


def page(setup: Setup, trained: Trained, classifier: Classifier, findings: Findings) -> str:
    """The report as HTML."""
    environment = Environment(
        loader=PackageLoader("deepinside.reproduction"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = lambda fraction: f"{100 * fraction:.1f}%"
    names = [escape.terminal(classifier.labels.name(index)) for index in range(len(classifier.labels))]
    return environment.get_template("reproduction.html").render(
        setup=setup,
        recipe=setup.recipe,
        trained=trained,
        last=trained.curve[-1],
        parameters=classifier.parameter_count,
        chance=1 / len(names),
        paper={"top1": TOP1, "top5": TOP5, "localization": LOCALIZATION},
        curve=_inlined(curve_figure(trained.curve)),
        class_images={
            preset: [(name, _picture(image)) for name, image in zip(names, images, strict=True)]
            for preset, images in findings.class_images.items()
        },
        saliency=[(_caption(one), _inlined(saliency_sheet(one.photo, one.explanation))) for one in findings.looked],
        segmentation=[
            (_caption(one), _inlined(localization_sheet(one.photo, one.explanation))) for one in findings.looked
        ],
        localization=_localization(findings.evaluation),
        judged=len(findings.evaluation.cases) if findings.evaluation else 0,
        rules=_inlined(rules_figure(findings.looked)),
    )


def curve_figure(curve: Sequence[Epoch]) -> Figure:
    """The loss, the errors and the learning rate of each epoch."""
    figure = Figure(figsize=(9, 2.8), dpi=150, layout="constrained")
    loss, error, learning_rate = figure.subplots(1, 3)
    epochs = [epoch.epoch for epoch in curve]
    loss.plot(epochs, [epoch.loss for epoch in curve], color="#1d4e89")
    loss.set_title("training loss", fontsize=10)
    lines = (
        ("training, top-1", "#9aa5b1", [1 - epoch.training_top1 for epoch in curve]),
        ("validation, top-1", "#c8553d", [1 - epoch.top1 for epoch in curve]),
        ("validation, top-5", "#e9a23b", [1 - epoch.top5 for epoch in curve]),
    )
    for label, color, values in lines:
        error.plot(epochs, [100 * value for value in values], label=label, color=color)
    error.set_title("error, %", fontsize=10)
    error.legend(fontsize=7, frameon=False)
    learning_rate.plot(epochs, [epoch.learning_rate for epoch in curve], color="#5b8c5a")
    learning_rate.set_title("learning rate", fontsize=10)
    for axes in (loss, error, learning_rate):
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def rules_figure(looked: Sequence[Looked]) -> Figure:
    """One row per picture: the image that the network got, and the map of its likeliest class under each rule."""
    rules = list(looked[0].rules)
    figure = Figure(figsize=(2.0 * (1 + len(rules)), 2.05 * len(looked) + 0.2), dpi=110, layout="constrained")
    grid = figure.subplots(len(looked), 1 + len(rules), squeeze=False)
    for axes, title in zip(grid[0], ("image", *rules), strict=True):
        axes.set_title(title, fontsize=10)
    for row, one in zip(grid, looked, strict=True):
        row[0].imshow(one.image.permute(1, 2, 0).numpy())
        row[0].set_ylabel(escape.figure(one.explanation.objects[0].label[:20]), fontsize=8)
        for axes, rule in zip(row[1:], rules, strict=True):
            map = one.rules[rule]
            axes.imshow(map, cmap="gray", vmin=0, vmax=max(float(np.quantile(map, 0.995)), 1e-12))
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _localization(evaluation: Evaluation | None) -> list[dict[str, Any]]:
    """One line per method: its errors, each with half the width of its 95% interval."""
    rows = evaluation.rows if evaluation else {}
    return [
        {
            "name": name,
            "about": about,
            "top5": _estimate(rows[name].figures.get("top5_error")),
            "top1": _estimate(rows[name].figures.get("top1_error")),
            "known": _estimate(rows[name].figures.get("gt_known_accuracy")),
            "iou": _estimate(rows[name].figures.get("mean_iou")),
        }
        for name, about in METHODS.items()
        if name in rows
    ]


def _estimate(figure: Estimate | None) -> str:
    return f"{100 * figure.value:.1f} ± {50 * (figure.high - figure.low):.1f}" if figure else ""


def _caption(one: Looked) -> str:
    seen = one.explanation.objects[0]
    return escape.terminal(f"labeled {one.truth}; the network says {seen.label}, {seen.probability:.0%}")


def _inlined(figure: Figure) -> str:
    stream = BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    return _data(Image.open(stream, formats=["PNG"]).convert("RGB"))


def _picture(image: Float[Tensor, "3 height width"]) -> str:
    small = as_photo(image).image
    larger = max(round(160 / small.width), 1)
    return _data(small.resize((small.width * larger, small.height * larger), Image.Resampling.BICUBIC))


def _data(picture: Image.Image) -> str:
    """The picture as a data URL."""
    stream = BytesIO()
    picture.save(stream, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
