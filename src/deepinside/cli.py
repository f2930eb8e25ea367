"""The command `deepinside`: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from deepinside.core.errors import DeepInsideError

if TYPE_CHECKING:
    from deepinside.core.results import Explanation
    from deepinside.explanations.explain import Outcome
    from deepinside.explanations.reconstruct import Reconstruction
    from deepinside.networks.classifier import Classifier

Item = TypeVar("Item")
OUT = Path("deepinside-out")
RUN = Path("deepinside-run")

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
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where to run: cpu, cuda, cuda:1 or mps.  [default: cpu]")
]
Target = Annotated[
    list[str] | None,
    typer.Option(metavar="CLASS", help="Class to explain, by name, WordNet id or index; may be repeated."),
]
Rule = Annotated[str, typer.Option(help="How the signal passes rectifiers: gradient, deconvnet or guided.")]
NeuronOption = Annotated[
    str | None,
    typer.Option(
        "--neuron", metavar="LAYER:CHANNEL", help="A neuron in place of a class; @ROW,COLUMN picks its place."
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help=f"Where the pictures go.  [default: {OUT}]")]
TrainingRoot = Annotated[
    Path,
    typer.Argument(metavar="ROOT", help="An ILSVRC tree, train/CLASS and val/CLASS, CLASS folders, or .tar archives."),
]
RecipeName = Annotated[str, typer.Option(help="paper, or modern: fewer epochs, for small sets.")]
Side = Annotated[int | None, typer.Option(min=32, help="Pixels a side that the network sees.  [default: 224]")]
Full = Annotated[
    int | None,
    typer.Option(min=1, help="Units of a hidden fully connected layer.  [default: 4096; 1024 below 128 pixels]"),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Pictures a step, all processes together; likewise.")]
Rate = Annotated[float | None, typer.Option(help="The learning rate; likewise.")]
Dropout = Annotated[float, typer.Option(min=0, max=0.99, help="Share of hidden units left out in training.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that read pictures ahead.  [default: by the number of cores]")
]
TrainDevice = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Precision = Annotated[str, typer.Option(help="float32, bfloat16, or auto: bfloat16 where it is built in.")]


@app.command()
def localize(
    photos: Photos,
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    device: Device = None,
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
    from deepinside.core.images import find_photos
    from deepinside.explanations.explain import explain_each
    from deepinside.explanations.export import exporting
    from deepinside.explanations.presets import preset as preset_named

    preset_named(preset)  # an unknown one is a mistake in the command, not in every photo
    names = dict(find_photos(photos))
    classifier, targets = _classifier(model, weights, labels, target, device)
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
                from deepinside.explanations import sheets

                sheet = sheets.localization_sheet(outcome.photo, outcome.explanation)
                _tell(sheets.save(sheet, _beside(folder, names[outcome.path], "localize")), as_json)
    for name in export or []:
        _tell((out or OUT) / name, as_json)
    raise typer.Exit(1 if failures else 0)


@app.command()
def saliency(
    photos: Photos,
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    device: Device = None,
    target: Target = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest classes.")] = 1,
    preset: Annotated[str, typer.Option(help="paper: the gradient at the image; best: deep layers.")] = "paper",
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take the gradient there; `deepinside layers` lists names.")
    ] = None,
    rule: Rule = "gradient",
    neuron: NeuronOption = None,
    out: Out = None,
) -> None:
    """Which pixels decide: the saliency map of a photo, as a sheet and as a grey picture of the photo's size."""
    from deepinside.core.images import find_photos
    from deepinside.explanations import sheets
    from deepinside.explanations.explain import explain_each
    from deepinside.explanations.presets import preset as preset_named

    preset_named(preset)
    names = dict(find_photos(photos))
    classifier, targets = _classifier(model, weights, labels, target, device)
    if neuron:
        if targets or layer:
            raise DeepInsideError("expected a neuron alone, got a class or a layer as well; give one of them")
        raise typer.Exit(_neuron_maps(classifier, names, neuron, rule, out or OUT))
    failures = 0
    seen = explain_each(
        classifier, _progress(list(names)), targets, top=top, preset=preset, boxes=False, layer=layer, rule=rule
    )
    for outcome in seen:
        if outcome.photo is None or outcome.explanation is None:
            failures += 1
            _print_failure(outcome, False)
            continue
        name, folder = names[outcome.path], out or OUT
        print(_classes_text(outcome))
        for number, detection in enumerate(outcome.explanation.objects):
            suffix = "map" if number == 0 else f"map-{number + 1}"
            _tell(sheets.save_map(detection.saliency, _beside(folder, name, suffix)))
        sheet = sheets.saliency_sheet(outcome.photo, outcome.explanation)
        _tell(sheets.save(sheet, _beside(folder, name, "saliency")))
    raise typer.Exit(1 if failures else 0)


@app.command()
def compare(
    photos: Photos,
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    target: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Class to explain; the likeliest if left out.")
    ] = None,
    neuron: NeuronOption = None,
    out: Out = None,
) -> None:
    """One sheet a photo: gradient, DeconvNet and guided maps, and the boxes of both presets, side by side."""
    from deepinside.core.images import find_photos, read
    from deepinside.explanations import sheets
    from deepinside.explanations.compare import compare
    from deepinside.gradients.targets import read_neuron

    if neuron and target:
        raise DeepInsideError("expected a neuron or a class, got both; give one of them")
    names = dict(find_photos(photos))
    classifier, targets = _classifier(model, weights, labels, [target] if target else None)
    wanted = read_neuron(neuron) if neuron else targets[0] if targets else None
    failures = 0
    for path in _progress(list(names)):
        try:
            photo = read(path)
            seen = compare(classifier, photo, wanted)
        except DeepInsideError as error:
            failures += 1
            _complain(error)
            continue
        print(path)
        for rule, each in seen.rules.items():
            print(f"  {rule:<10} {_rule_text(each)}")
        sheet = sheets.compare_sheet(photo, seen.rules, seen.presets)
        _tell(sheets.save(sheet, _beside(out or OUT, names[path], "compare")))
    raise typer.Exit(1 if failures else 0)


@app.command()
def exciting(
    photos: Photos,
    neuron: Annotated[
        str, typer.Option(metavar="LAYER:CHANNEL", help="The neuron; its strongest place in each photo.")
    ],
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    rule: Rule = "deconvnet",
    count: Annotated[int, typer.Option(min=1, help="How many photos.")] = 9,
    out: Out = None,
) -> None:
    """The photos of a folder that excite a neuron most, each with what comes back from it: one sheet."""
    from deepinside.core.images import find_photos, read
    from deepinside.explanations import sheets
    from deepinside.explanations.reconstruct import most_exciting, reconstruct
    from deepinside.gradients.targets import read_neuron

    names = dict(find_photos(photos))
    classifier, _ = _classifier(model, weights, labels, None)
    wanted = read_neuron(neuron)
    found, failures = most_exciting(classifier, _progress(list(names)), wanted, count)
    for error in failures:
        _complain(error)
    if not found:
        raise DeepInsideError("expected photos to look at, got none that can be read")
    shown = [(photo, reconstruct(classifier, photo, wanted, rule=rule)) for photo in (read(path) for _, path in found)]
    for activation, path in found:
        print(f"  {activation:8.3f}  {path}")
    name = Path(f"{neuron.replace(':', '-').replace('@', '-')}.exciting.png")
    _tell(sheets.save(sheets.exciting_sheet(shown), (out or OUT) / name))
    raise typer.Exit(1 if failures else 0)


@app.command()
def layers(model: Model = "lite0", weights: Weights = None, labels: LabelFile = None) -> None:
    """The layers one can look at, in the order in which they run: name, kind, shape, and grid if there is one."""
    from deepinside.networks.layers import list_layers

    classifier, _ = _classifier(model, weights, labels, None)
    listed = list_layers(classifier.network.model, classifier.size)
    width = max(len(layer.name) for layer in listed)
    for layer in listed:
        shape = " x ".join(map(str, layer.shape))
        grid = f"grid {layer.grid[0]} x {layer.grid[1]}" if layer.grid else ""
        print(f"{layer.name:<{width}}  {layer.kind:<22} {shape:<18} {grid}".rstrip())


@app.command()
def evaluate(
    root: Annotated[Path, typer.Argument(help="An ILSVRC, VOC or COCO tree, or a table image,label,x0,y0,x1,y1.")],
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    device: Device = None,
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
    from deepinside.evaluation.localization import evaluate_command
    from deepinside.explanations.presets import preset as preset_named

    presets = [name.strip() for name in preset.split(",")]
    for name in presets:
        preset_named(name)
    classifier, _ = _classifier(model, weights, labels, None, device)
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


@app.command("class-image")
def class_image(
    classes: Annotated[
        list[str] | None,
        typer.Argument(metavar="CLASS...", help="By name, WordNet id or index.  [default: the paper's Figure 1]"),
    ] = None,
    model: Model = "lite0",
    weights: Weights = None,
    labels: LabelFile = None,
    preset: Annotated[str, typer.Option(help="canonical, or paper for the paper's own.")] = "canonical",
    neuron: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER:CHANNEL", help="Also a neuron or channel of any layer; may be repeated."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of gradient ascent.  [default: the preset's]")] = None,
    seed: Annotated[int, typer.Option(help="Another seed shows other facets of a class.")] = 0,
    facets: Annotated[int, typer.Option(min=1, help="So many pictures of each, from as many seeds.")] = 1,
    posterior: Annotated[bool, typer.Option("--posterior", help="Raise the posterior in place of the score.")] = False,
    gallery: Annotated[bool, typer.Option("--gallery", help="All classes, from where the last run stopped.")] = False,
    animate: Annotated[str | None, typer.Option(metavar="KIND", help="Also the ascent, as gif or webp.")] = None,
    out: Out = None,
) -> None:
    """What a class looks like to the network: pictures that raise its score, and a sheet of them."""
    from deepinside.class_images.gallery import Settings, class_images_command
    from deepinside.gradients.targets import read_neuron

    classifier, indices = _classifier(model, weights, labels, classes)
    class_images_command(
        classifier,
        [*(indices or []), *(read_neuron(text) for text in neuron or [])],
        out or OUT,
        Settings(preset, steps, seed, posterior),
        facets=facets,
        gallery=gallery,
        animate=animate,
    )


@app.command("evaluate-class-images")
def evaluate_class_images(
    model: Model = "lite0",
    weights: Weights = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Who has to recognize the pictures; may be repeated.  [default: lite1]"),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="How many, evenly spread over all.")] = 200,
    preset: Annotated[str, typer.Option(help="Whose pictures, separated by commas.")] = "canonical,paper,lucent",
    steps: Annotated[int | None, typer.Option(min=1, help="Of gradient ascent.  [default: each preset's]")] = None,
    seed: Annotated[int, typer.Option(help="Of the ascent.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the pictures here, and use those of an earlier run.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures.")] = None,
) -> None:
    """Whether networks that never saw a class image made recognize it."""
    from deepinside.class_images.gallery import Settings
    from deepinside.evaluation.recognition import evaluate_class_images_command
    from deepinside.networks.classifier import load

    evaluate_class_images_command(
        load(model, weights=weights),
        [load(name) for name in judge or ["lite1"]],
        [name.strip() for name in preset.split(",")],
        classes=classes,
        settings=Settings(steps=steps, seed=seed),
        folder=out,
        json_file=json_file,
    )


@app.command()
def train(
    root: TrainingRoot,
    out: Annotated[Path, typer.Option(metavar="RUN", help="The folder of the run; what is there is continued.")] = RUN,
    recipe: RecipeName = "paper",
    size: Side = None,
    full: Full = None,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    dropout: Dropout = 0.5,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    workers: Workers = None,
    device: TrainDevice = "auto",
    precision: Precision = "auto",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard's files.")] = False,
) -> None:
    """Train the paper's ConvNet on pictures by class; under torchrun, with several processes or machines."""
    from deepinside.training.recipe import recipe as recipe_named
    from deepinside.training.train import Setup, train

    chosen = recipe_named(recipe, epochs=epochs, batch=batch, rate=rate)
    setup = Setup(chosen, size=size or 224, full=full, dropout=dropout, seed=seed)
    train(
        root,
        out,
        setup,
        device=device,
        precision=precision,
        workers=_workers(workers),
        tensorboard=tensorboard,
        tell=_say,
    )


@app.command()
def reproduce(
    root: TrainingRoot,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the report and the run go.")] = OUT,
    recipe: RecipeName = "paper",
    size: Side = None,
    full: Full = None,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    dropout: Dropout = 0.5,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    workers: Workers = None,
    device: TrainDevice = "auto",
    precision: Precision = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Judge boxes on so many images only.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of the class images, in place of the presets'.")] = None,
) -> None:
    """The whole paper: train its ConvNet, look inside it, and write one page with every figure beside the paper's."""
    from deepinside.reproduction.reproduce import Extent, reproduce
    from deepinside.training.recipe import recipe as recipe_named
    from deepinside.training.train import Setup

    chosen = recipe_named(recipe, epochs=epochs, batch=batch, rate=rate)
    reproduce(
        root,
        out,
        Setup(chosen, size=size or 224, full=full, dropout=dropout, seed=seed),
        Extent(judged=limit, steps=steps),
        device=device,
        precision=precision,
        workers=_workers(workers),
        tell=_say,
        progress=_progress,
    )


@app.command()
def models() -> None:
    """The classifiers one can name after --model."""
    from deepinside.networks.classifier import listings

    for line in listings():
        print(f"{line.spec:<18} {line.about}")


def main() -> None:
    """The entry point: what the user can mend is told in one line on standard error, with exit status 2."""
    try:
        app()
    except DeepInsideError as error:
        _complain(error)
        sys.exit(2)


def _complain(error: DeepInsideError | None) -> None:
    print(f"deepinside: {error}", file=sys.stderr)


def _classifier(
    model: str, weights: Path | None, labels: Path | None, target: Sequence[str] | None, device: str | None = None
) -> tuple[Classifier, list[int] | None]:
    """The network asked for, and the targets as class indices."""
    from deepinside.core.labels import read_labels
    from deepinside.networks.classifier import load

    classifier = load(model, weights=weights, labels=read_labels(labels) if labels else None)
    if device:
        classifier.to(device)
    return classifier, [classifier.labels.find(wanted) for wanted in target] if target else None


def _neuron_maps(classifier: Classifier, names: dict[Path, Path], neuron: str, rule: str, folder: Path) -> int:
    """A sheet and a map of a neuron for every photo; the exit status."""
    from deepinside.core.images import read
    from deepinside.explanations import sheets
    from deepinside.explanations.reconstruct import reconstruct
    from deepinside.gradients.targets import read_neuron

    wanted = read_neuron(neuron)
    failures = 0
    for path in _progress(list(names)):
        try:
            photo = read(path)
            seen = reconstruct(classifier, photo, wanted, rule=rule)
        except DeepInsideError as error:
            failures += 1
            _complain(error)
            continue
        print(f"{path}  {seen.target} {seen.score:.3f}, {_rule_text(seen)}")
        _tell(sheets.save_map(seen.frame.map_to_photo(seen.map), _beside(folder, names[path], "map")))
        _tell(sheets.save(sheets.neuron_sheet(photo, seen), _beside(folder, names[path], "saliency")))
    return 1 if failures else 0


def _rule_text(seen: Reconstruction | DeepInsideError) -> str:
    """How many rectifiers a rule acted on, or why it could not."""
    if isinstance(seen, DeepInsideError):
        return str(seen)
    if seen.rule == "gradient":
        return "back-propagation as it is"
    others = ", ".join(f"{count} {name}" for name, count in seen.others.items())
    return f"acted on {sum(seen.rectifiers.values())} rectifiers" + (f"; plain gradient at {others}" if others else "")


def _progress(items: Sequence[Item]) -> Iterable[Item]:
    """A progress bar on standard error while the items are gone through, where somebody can see it."""
    from deepinside.core.terminal import track

    return track(items, len(items), "photos")


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
        _complain(outcome.error)


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


def _say(line: str) -> None:
    print(line, flush=True)


def _workers(asked: int | None) -> int:
    """Each training process on a machine gets its part of the cores; with two cores or less nothing is gained."""
    if asked is not None:
        return asked
    each = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return 0 if each <= 2 else min(each - 1, 16)


def _tell(path: Path, as_json: bool = False) -> None:
    print(f"  -> {path}", file=sys.stderr if as_json else sys.stdout)


if __name__ == "__main__":
    main()
