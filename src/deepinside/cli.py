"""The command `deepinside`: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from deepinside.errors import DeepInsideError

if TYPE_CHECKING:
    from deepinside.classifier import Classifier
    from deepinside.explain import Outcome
    from deepinside.results import Explanation

Item = TypeVar("Item")
OUT = Path("deepinside-out")

app = typer.Typer(
    help="What did the network look at, and why: saliency, boxes and class images from any image classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO_OR_FOLDER...", help="Photos, or folders of them.")]
Model = Annotated[str, typer.Option(help="The classifier; `deepinside models` lists them.")]
Weights = Annotated[Path | None, typer.Option(help="Local .safetensors or .pth in place of published weights.")]
LabelFile = Annotated[Path | None, typer.Option("--labels", help="Class names, one a line, in the network's order.")]
Target = Annotated[
    list[str] | None,
    typer.Option(metavar="CLASS", help="Class to explain, by name, WordNet id or index; may be repeated."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help=f"Where the pictures go.  [default: {OUT}]")]


@app.command()
def localize(
    photos: Photos,
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    target: Target = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest classes.")] = 5,
    preset: Annotated[str, typer.Option(help="The recipe: best, or paper for the paper's own.")] = "best",
    out: Out = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help="Also write labels into DIR/FORMAT, which must be new: coco, voc, yolo, labelstudio or masks; may be "
            "repeated. With --top 1 there is one box a photo.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object a photo on standard output; pictures only with --out."),
    ] = False,
) -> None:
    """What a photo shows and where: classes, boxes, masks, and a picture of how they were found."""
    from deepinside.explain import explain_each
    from deepinside.export import exporting
    from deepinside.images import find_photos
    from deepinside.localize import preset as preset_named

    preset_named(preset)  # an unknown one is a mistake in the command, not in every photo
    names = dict(find_photos(photos))
    classifier, targets = _classifier(model, weights, labels, target)
    folder = out or (None if as_json else OUT)
    failures = 0
    with exporting(out or OUT, export or []) as add:
        for outcome in explain_each(classifier, _progress(list(names)), targets, top=top, preset=preset):
            if outcome.photo is None or outcome.explanation is None:
                failures += 1
                _print_failure(outcome, as_json)
                continue
            print(_json_line(outcome.path, outcome.explanation) if as_json else _boxes_text(outcome), flush=True)
            add(outcome.path, names[outcome.path], outcome.explanation)
            if folder:
                from deepinside import report

                sheet = report.localization_sheet(outcome.photo, outcome.explanation)
                _tell(report.save(sheet, _beside(folder, names[outcome.path], "localize")), as_json)
    for name in export or []:
        _tell((out or OUT) / name, as_json)
    raise typer.Exit(1 if failures else 0)


@app.command()
def saliency(
    photos: Photos,
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    target: Target = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest classes.")] = 1,
    preset: Annotated[str, typer.Option(help="paper: the gradient at the image; best: deep layers.")] = "paper",
    out: Out = None,
) -> None:
    """Which pixels decide: the saliency map of a photo, as a sheet and as a grey picture of the photo's size."""
    from deepinside import report
    from deepinside.explain import explain_each
    from deepinside.images import find_photos
    from deepinside.localize import preset as preset_named

    preset_named(preset)
    names = dict(find_photos(photos))
    classifier, targets = _classifier(model, weights, labels, target)
    failures = 0
    for outcome in explain_each(classifier, _progress(list(names)), targets, top=top, preset=preset, boxes=False):
        if outcome.photo is None or outcome.explanation is None:
            failures += 1
            _print_failure(outcome, False)
            continue
        name, folder = names[outcome.path], out or OUT
        print(_classes_text(outcome))
        for number, detection in enumerate(outcome.explanation.objects):
            suffix = "map" if number == 0 else f"map-{number + 1}"
            _tell(report.save_map(detection.saliency, _beside(folder, name, suffix)))
        sheet = report.saliency_sheet(outcome.photo, outcome.explanation)
        _tell(report.save(sheet, _beside(folder, name, "saliency")))
    raise typer.Exit(1 if failures else 0)


@app.command()
def evaluate(
    root: Annotated[Path, typer.Argument(help="An ILSVRC, VOC or COCO tree, or a table image,label,x0,y0,x1,y1.")],
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    preset: Annotated[str, typer.Option(help="Recipes, separated by commas.")] = "best",
    limit: Annotated[int | None, typer.Option(min=1, help="Judge only so many images, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draws, the bootstrap and the transferred thresholds.")] = 0,
    baselines: Annotated[bool, typer.Option(help="Grad-CAM and LayerCAM, where grad-cam is installed.")] = True,
    faithful: Annotated[bool, typer.Option("--faithful", help="Insertion and deletion, 58 more passes a map.")] = False,
    sanity: Annotated[int, typer.Option(min=0, metavar="N", help="Randomize the network's layers for N images.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write every image.")] = None,
    sheet: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the best and worst cases.")] = None,
) -> None:
    """Localization error as ILSVRC measures it, beside boxes that no network drew."""
    from deepinside.evaluate import evaluate_command
    from deepinside.localize import preset as preset_named

    presets = [name.strip() for name in preset.split(",")]
    for name in presets:
        preset_named(name)
    classifier, _ = _classifier(model, weights, labels, None)
    evaluate_command(
        root,
        classifier,
        presets,
        limit=limit,
        seed=seed,
        baselines=baselines,
        faithful=faithful,
        sanity=sanity,
        json_file=json_file,
        csv_file=csv_file,
        sheet=sheet,
        progress=_progress,
    )


@app.command()
def models() -> None:
    """The classifiers one can name after --model."""
    from deepinside.classifier import listings

    for line in listings():
        print(f"{line.spec:<18} {line.about}")


def main() -> None:
    """The entry point: what the user can mend is told in one line on standard error, with exit status 2."""
    try:
        app()
    except DeepInsideError as error:
        print(f"deepinside: {error}", file=sys.stderr)
        sys.exit(2)


def _classifier(
    model: str, weights: Path | None, labels: Path | None, target: Sequence[str] | None
) -> tuple[Classifier, list[int] | None]:
    """The network asked for, and the targets as class indices."""
    from deepinside.classifier import load
    from deepinside.labels import read_labels

    classifier = load(model, weights=weights, labels=read_labels(labels) if labels else None)
    return classifier, [classifier.labels.find(wanted) for wanted in target] if target else None


def _progress(items: Sequence[Item]) -> Iterable[Item]:
    """A progress bar on standard error while the items are gone through, where somebody can see it."""
    if len(items) < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, description="photos", console=Console(stderr=True), transient=True)


def _beside(folder: Path, name: Path, what: str) -> Path:
    """Where a picture goes: never the photo's own name, so that `--out .` cannot overwrite it."""
    return folder / name.with_name(f"{name.stem}.{what}.png")


def _print_failure(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps({"path": str(outcome.path), "error": str(outcome.error)}, ensure_ascii=False),
            flush=True,
        )
    else:
        print(f"deepinside: {outcome.error}", file=sys.stderr)


def _json_line(path: Path, explanation: Explanation) -> str:
    objects = [
        {
            "index": detection.index,
            "label": detection.label,
            "probability": round(detection.probability, 6),
            "box": detection.box.as_tuple(),
        }
        for detection in explanation.objects
    ]
    photo = {"path": str(path), "width": explanation.width, "height": explanation.height, "objects": objects}
    return json.dumps(photo, ensure_ascii=False)


def _boxes_text(outcome: Outcome) -> str:
    assert outcome.explanation is not None
    lines = [f"{outcome.path}  {outcome.explanation.width} x {outcome.explanation.height}"]
    for detection in outcome.explanation.objects:
        corners = " ".join(f"{corner:>5}" for corner in detection.box.as_tuple())
        lines.append(f"  {detection.probability:>6.1%}  {detection.label:<32} box {corners}")
    return "\n".join(lines)


def _classes_text(outcome: Outcome) -> str:
    assert outcome.explanation is not None
    classes = ", ".join(f"{seen.label} {seen.probability:.1%}" for seen in outcome.explanation.objects)
    return f"{outcome.path}  {classes}"


def _tell(path: Path, as_json: bool = False) -> None:
    print(f"  -> {path}", file=sys.stderr if as_json else sys.stdout)


if __name__ == "__main__":
    main()
