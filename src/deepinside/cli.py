"""The command `deepinside`: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deepinside import cli_options as groups
from deepinside.cli_options import OUT, RUN, JsonFile, OptionalOut, Out, Photos, options
from deepinside.core.errors import DeepInsideError

if TYPE_CHECKING:
    from deepinside.core.progress import Note
    from deepinside.core.results import Explanation
    from deepinside.explanations.explain import Outcome
    from deepinside.explanations.reconstruct import Reconstruction
    from deepinside.gradients.targets import Target
    from deepinside.networks.classifier import Classifier
    from deepinside.reproduction.reproduce import Report
    from deepinside.training.train import Epoch, Trained

Item = TypeVar("Item")

app = typer.Typer(
    help="What did the network look at, and why: saliency, boxes and class images from any image classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The defaults of commands that differ from those of their groups.
SALIENCY = groups.Explained(top=1, preset="paper")


@app.command()
@options
def localize(
    photos: Photos,
    network: groups.Network,
    asked: groups.Explained,
    out: OptionalOut = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help="Also write labels into DIR/FORMAT, which must be new: coco, voc, yolo, labelstudio or masks; may be "
            "repeated. With --top 1 there is one box per photo.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object per photo on standard output; images only with --out."),
    ] = False,
) -> None:
    """What a photo shows and where: classes, boxes, masks, and an image of how they were found."""
    from deepinside.core.images import find_photos
    from deepinside.explanations.explain import explain_each
    from deepinside.explanations.export import exporting
    from deepinside.explanations.presets import localizer_of

    localizer = localizer_of(asked.preset)  # an unknown one is a mistake in the command, not in every photo
    names = dict(find_photos(photos))
    classifier = _loaded(network)
    targets = _classes(classifier, asked.target)
    folder = out or (None if as_json else OUT)
    failures = 0
    with exporting(out or OUT, export or []) as add:
        for outcome in explain_each(classifier, _progress(list(names)), targets, top=asked.top, preset=localizer):
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
@options
def saliency(
    photos: Photos,
    network: groups.Network,
    how: groups.Pass,
    asked: groups.Explained = SALIENCY,
    out: Out = OUT,
) -> None:
    """Which pixels decide: the saliency map of a photo, as a sheet and as a gray image of the photo's size."""
    from deepinside.core.images import find_photos
    from deepinside.explanations import sheets
    from deepinside.explanations.explain import explain_each
    from deepinside.explanations.presets import with_maps_of

    localizer = with_maps_of(asked.preset, how.layer, how.rule if how.neuron is None else "gradient")
    names = dict(find_photos(photos))
    classifier = _loaded(network)
    targets = _classes(classifier, asked.target)
    if how.neuron:
        if targets or how.layer:
            raise DeepInsideError("expected a neuron alone, got a class or a layer as well; give one of them")
        raise typer.Exit(_neuron_maps(classifier, names, how.neuron, how.rule, out))
    failures = 0
    for outcome in explain_each(
        classifier, _progress(list(names)), targets, top=asked.top, preset=localizer, boxes=False
    ):
        if outcome.photo is None or outcome.explanation is None:
            failures += 1
            _print_failure(outcome, False)
            continue
        name = names[outcome.path]
        print(_classes_text(outcome))
        for number, detection in enumerate(outcome.explanation.objects):
            suffix = "map" if number == 0 else f"map-{number + 1}"
            _tell(sheets.save_map(detection.saliency, _beside(out, name, suffix)))
        sheet = sheets.saliency_sheet(outcome.photo, outcome.explanation)
        _tell(sheets.save(sheet, _beside(out, name, "saliency")))
    raise typer.Exit(1 if failures else 0)


@app.command()
@options
def compare(
    photos: Photos,
    network: groups.Network,
    target: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Class to explain.", show_default="the likeliest"),
    ] = None,
    neuron: groups.Neuron = None,
    out: Out = OUT,
) -> None:
    """One sheet per photo: gradient, DeconvNet and guided maps, and the boxes of both presets, side by side."""
    from deepinside.core.images import find_photos, read
    from deepinside.explanations import sheets
    from deepinside.explanations.compare import compare
    from deepinside.gradients.targets import read_neuron

    if neuron and target:
        raise DeepInsideError("expected a neuron or a class, got both; give one of them")
    names = dict(find_photos(photos))
    classifier = _loaded(network)
    targets = _classes(classifier, [target] if target else None)
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
        _tell(sheets.save(sheet, _beside(out, names[path], "compare")))
    raise typer.Exit(1 if failures else 0)


@app.command()
@options
def exciting(
    photos: Photos,
    network: groups.Network,
    neuron: Annotated[
        str, typer.Option(metavar="LAYER:CHANNEL", help="The neuron, where it is strongest in each photo.")
    ],
    rule: groups.Rule = "deconvnet",
    count: Annotated[int, typer.Option(min=1, help="How many photos.")] = 9,
    out: Out = OUT,
) -> None:
    """The photos of a folder that excite a neuron most, each with its reconstruction from the neuron: one sheet."""
    from deepinside.core.images import find_photos, read
    from deepinside.explanations import sheets
    from deepinside.explanations.reconstruct import most_exciting, reconstruct
    from deepinside.gradients.targets import read_neuron

    names = dict(find_photos(photos))
    classifier = _loaded(network)
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
    _tell(sheets.save(sheets.exciting_sheet(shown), out / name))
    raise typer.Exit(1 if failures else 0)


@app.command()
@options
def layers(network: groups.Network) -> None:
    """The layers one can look at, in the order in which they run: name, kind, shape, and grid if there is one."""
    classifier = _loaded(network)
    listed = classifier.layers()
    width = max(len(layer.name) for layer in listed)
    for layer in listed:
        shape = " x ".join(map(str, layer.shape))
        grid = f"grid {layer.grid[0]} x {layer.grid[1]}" if layer.grid else ""
        print(f"{layer.name:<{width}}  {layer.kind:<22} {shape:<18} {grid}".rstrip())


@app.command()
@options
def evaluate(
    root: Annotated[Path, typer.Argument(help="An ILSVRC, VOC or COCO tree, or a table image,label,x0,y0,x1,y1.")],
    network: groups.Network,
    judging: groups.Judging,
    reports: groups.Reports,
) -> None:
    """Localization error as ILSVRC measures it, beside image-free baselines. An interrupted run is continued."""
    from deepinside.core.terminal import print_table, track
    from deepinside.data.boxes import read_samples
    from deepinside.evaluation.journal import judge_on, kept_count
    from deepinside.evaluation.localization import choose, summarized
    from deepinside.evaluation.tables import notes, table

    asked = judging.asked()
    reports.check()
    samples = choose(list(read_samples(root)), judging.limit, judging.seed)
    classifier = _loaded(network)
    if kept := kept_count(classifier, samples, asked, OUT):
        print(f"deepinside: going on after {kept} of {len(samples)} images", file=sys.stderr)
    judged = track(judge_on(classifier, samples, asked, OUT), len(samples), "images")
    evaluation = summarized(classifier, asked, judged)
    print_table(table(evaluation))
    print(notes(evaluation, judging.baselines))
    for path in reports.written(evaluation):
        _tell(path)
    for line in evaluation.failure_lines():
        print(line, file=sys.stderr)
    raise typer.Exit(1 if evaluation.failures else 0)


@app.command("class-image")
@options
def class_image(
    network: groups.Network,
    made: groups.ClassImages,
    files: groups.ImageFiles,
    classes: Annotated[
        list[str] | None,
        typer.Argument(metavar="CLASS...", help="By name, WordNet id or index.", show_default="the paper's Figure 1"),
    ] = None,
) -> None:
    """What a class looks like to the network: images that raise its score, and a sheet of them."""
    from deepinside.class_images.gallery import Drawn, Gallery, chosen, draw_facets
    from deepinside.gradients.targets import read_neuron

    classifier = _loaded(network)
    named: list[Target] = [*(_classes(classifier, classes) or []), *map(read_neuron, files.neuron or [])]
    targets = chosen(classifier, named, every=files.gallery)
    settings = made.settings(restart=files.gallery)
    gallery = Gallery(classifier, files.out, settings, resume=files.gallery, animate=files.animate)
    for event in _shown(draw_facets(gallery, targets, files.facets)):
        if isinstance(event, Drawn):
            _say(f"  {event.score:>9.4f}  {event.name:<32} -> {event.path}")
        else:
            _tell(event.path)


@app.command("evaluate-class-images")
@options
def evaluate_class_images(
    network: groups.Network,
    judging: groups.Recognition,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the images here, and use those of an earlier run.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Whether networks that a class image was not made with recognize it."""
    from deepinside.class_images.gallery import Settings
    from deepinside.core.terminal import print_table
    from deepinside.evaluation.recognition import check_methods, classes_of_all, judged, spread, table, write_json

    methods, notes = check_methods(judging.methods)
    model = _loaded(network)
    judges = [_loaded(groups.Network(name, device=network.device)) for name in judging.judge or ["lite1"]]
    classes = spread(judging.classes, classes_of_all(model, judges))
    settings = Settings(steps=judging.steps, seed=judging.seed)
    rows = list(_shown(judged(model, judges, methods, classes, settings, out)))
    print_table(table(model.name, rows))
    print("In percent of the classes, with 95% intervals, after rounding to 8-bit PNG.")
    for note in notes:
        print(note)
    if json_file:
        _tell(write_json(model.name, rows, json_file))


@app.command()
@options
def train(
    root: groups.TrainingRoot,
    training: groups.Training,
    machine: groups.Machine,
    out: Annotated[
        Path, typer.Option(metavar="RUN", help="The folder of the run; a run that is in it is continued.")
    ] = RUN,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard's files.")] = False,
) -> None:
    """Train the paper's ConvNet on pictures by class; under torchrun, with several processes or machines."""
    from deepinside.training.train import train

    setup = training.setup()
    for event in _shown(train(root, out, setup, machine.resources(), tensorboard=tensorboard)):
        _say(_training_text(event, setup.recipe.epochs))


@app.command()
@options
def reproduce(
    root: groups.TrainingRoot,
    training: groups.Training,
    machine: groups.Machine,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the report and the run.")] = OUT,
    limit: Annotated[int | None, typer.Option(min=1, help="Judge boxes on so many images only.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of the class images' ascent.", show_default="the presets'")
    ] = None,
) -> None:
    """The whole paper: train its ConvNet, explain it, and write one page with every figure beside the paper's."""
    from deepinside.reproduction.reproduce import Extent, Report, reproduce

    setup, extent = training.setup(), Extent(judged=limit, steps=steps)
    for event in _shown(reproduce(root, out, setup, extent, machine.resources())):
        if isinstance(event, Report):
            _say(_report_text(event))
            _tell(event.path)
        else:
            _say(_training_text(event, setup.recipe.epochs))


@app.command()
def models() -> None:
    """The classifiers one can name after --model."""
    from deepinside.networks.sources import listings

    for line in listings():
        print(f"{line.spec:<18} {line.about}")


def main() -> None:
    """The entry point: an error that the user can fix is one line on standard error, with exit status 2."""
    try:
        app()
    except DeepInsideError as error:
        _complain(error)
        sys.exit(2)


def _loaded(network: groups.Network) -> Classifier:
    """The classifier of a command; what is worth knowing about it goes to standard error."""
    classifier = network.load()
    for note in classifier.notes:
        print(f"deepinside: {note}", file=sys.stderr)
    return classifier


def _complain(error: DeepInsideError | None) -> None:
    print(f"deepinside: {error}", file=sys.stderr)


def _classes(classifier: Classifier, names: Sequence[str] | None) -> list[int] | None:
    """The indices of the classes with these names; None where no names are given."""
    return [classifier.labels.find(name) for name in names] if names else None


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
    """Iterate over photos with a progress bar on standard error, if that is a terminal."""
    from deepinside.core.terminal import track

    return track(items, len(items), "photos")


def _shown(events: Iterable[object]) -> Iterator[Any]:
    """The events but for the progress, which is drawn as a bar on standard error, if that is a terminal."""
    from deepinside.core.progress import Progress
    from deepinside.core.terminal import bar

    with ExitStack() as stack:
        advance = None
        for event in events:
            if not isinstance(event, Progress):
                yield event
                continue
            advance = advance or stack.enter_context(bar(event.what))
            advance(event.done, event.total, event.what)


def _training_text(event: Note | Epoch | Trained, epochs: int) -> str:
    """What the leading process prints of a training event; `epochs` is the number of all epochs."""
    from deepinside.core.progress import Note
    from deepinside.training.train import Trained

    if isinstance(event, Note):
        return event.text
    if isinstance(event, Trained):
        return f"ten-crop test: top-1 {event.ten_crop[0]:.1%}, top-5 {event.ten_crop[1]:.1%}"
    return (
        f"epoch {event.epoch:>3}/{epochs}  learning rate {event.learning_rate:.2e}  loss {event.loss:.4f}  "
        f"training top-1 {event.training_top1:.1%}  validation top-1 {event.top1:.1%}  top-5 {event.top5:.1%}  "
        f"{event.images_per_second:.0f} images/s"
    )


def _report_text(report: Report) -> str:
    """The errors of a reproduction on one line."""
    trained = report.trained
    line = f"top-1 error {1 - trained.curve[-1].top1:.1%}, ten crops {1 - trained.ten_crop[0]:.1%}"
    if report.evaluation is None:
        return f"{line}; no boxes, so no localization figure"
    rows = report.evaluation.rows
    methods = ("paper", "center_box", "whole_image")
    told = ", ".join(f"{name} {rows[name].figures['top5_error'].value:.1%}" for name in methods)
    return f"{line}; top-5 localization error: {told}"


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


def _tell(path: Path, as_json: bool = False) -> None:
    print(f"  -> {path}", file=sys.stderr if as_json else sys.stdout)


if __name__ == "__main__":
    main()
