"""The command `deepinside`: parse, call, print. Everything heavy is imported by the command that needs it.

Exit status: 0 where all is well, 1 where photos failed, 2 for a mistake in the command, which is told once and before
the first photo, and 128 plus the number of a signal that ended it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepinside import cli_options as groups
from deepinside import cli_text as text
from deepinside.cli_archive import COMMANDS as ARCHIVE_COMMANDS
from deepinside.cli_archive import judged_of_run
from deepinside.cli_files import beside, kind_of, together
from deepinside.cli_options import OUT, RUN, JsonFile, OptionalOut, Out, Photos, among, listed, options
from deepinside.cli_portable import export_onnx
from deepinside.cli_shell import (
    Tally,
    classes_of,
    loaded,
    loaded_beside,
    progress,
    ready,
    ready_for,
    shown,
    tell,
    tell_glyphs,
)
from deepinside.cli_streams import Ended, StandardOutputError, complain, ended_by, remark, say, say_json, speaking
from deepinside.cli_studio import serve
from deepinside.core.errors import DeepInsideError, check_writable, check_writable_folder

if TYPE_CHECKING:
    from deepinside.core.images import Photo
    from deepinside.core.results import Contrast
    from deepinside.data.boxes import Sample
    from deepinside.evaluation.localization import Judging
    from deepinside.evaluation.results import Judged
    from deepinside.explanations.compare import Comparison
    from deepinside.explanations.results import Explanation
    from deepinside.gradients.targets import Target
    from deepinside.networks.classifier import Classifier

app = typer.Typer(
    help="What did the network look at, and why: saliency, boxes and class images from any image classifier.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The defaults of commands that differ from those of their groups.
SALIENCY = groups.Explained(top=1, preset="paper")
DECONVNET = "deconvnet"  # of `exciting`


def _print_version(wanted: bool) -> bool:
    if wanted:
        from deepinside import __version__

        say(f"deepinside {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def deepinside(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What did the network look at, and why: saliency, boxes and class images from any image classifier."""


@app.command()
@options
def localize(
    photos: Photos,
    network: groups.Network,
    asked: groups.Explained,
    objects: groups.Objects = "all",
    out: OptionalOut = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help=f"Also write labels into DIR/FORMAT, which must hold none: {listed(groups.FORMATS)}; may be repeated. "
            "With --top 1 --objects one there is one box per photo.",
            autocompletion=among(groups.FORMATS),
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object per photo on standard output; images only with --out."),
    ] = False,
) -> None:
    """What a photo shows and where: classes, the box and mask of each object, and an image of how they were found."""
    from deepinside.core.images import find_photos
    from deepinside.explanations import sheets
    from deepinside.explanations.explain import explain_each, most_objects
    from deepinside.explanations.export import exporting
    from deepinside.explanations.overview import Overview

    localizer = asked.localizer()
    most_objects(objects)
    folder = out or (None if as_json else OUT)
    check_writable_folder(out or OUT)
    names = dict(find_photos(photos))
    classifier, targets = ready_for(network, localizer, asked.target)
    own = (*asked.own("best"), groups.own_objects(objects), *_named(classifier, targets))
    kind = kind_of("localize", network, *own)
    tally, overview = Tally(as_json), Overview()
    with exporting(out or OUT, export or []) as add:
        files = progress(list(names))
        found = explain_each(classifier, files, targets, top=asked.top, preset=localizer, objects=objects)
        for path, photo, explanation in tally.explained(found):
            add(path, names[path], explanation)  # before it is printed: nobody is told of what is not there
            if as_json:
                say_json(explanation.to_dict())
            else:
                say(*text.boxes_text(path, explanation))
            if folder:
                sheet = sheets.localization_sheet(photo, explanation)
                tally.saved(sheet, beside(folder, names[path], kind), *_labels(explanation))
                overview.add(photo, explanation)
    for name in export or []:
        tell((out or OUT) / name, as_json)
    if folder and overview.count > 1:
        tally.saved(overview.sheet(), together(folder, kind), *overview.labels)
    raise typer.Exit(tally.status)


for name, command in ARCHIVE_COMMANDS.items():
    app.command(name)(command)


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

    if how.neuron and (asked.target or how.layer or asked.constants or asked.preset != SALIENCY.preset):
        raise DeepInsideError("expected a neuron alone, got a class, a layer or a preset as well; give one of them")
    localizer = asked.localizer(how.layer, how.rule if how.neuron is None else "gradient")
    check_writable_folder(out)
    names = dict(find_photos(photos))
    if how.neuron:
        raise typer.Exit(_neuron_maps(network, names, how, out))
    classifier, targets = ready_for(network, localizer, asked.target)
    own = (*asked.own(SALIENCY.preset), *_named(classifier, targets), *how.own())
    tally = Tally()
    found = explain_each(classifier, progress(list(names)), targets, top=asked.top, preset=localizer, boxes=False)
    for path, photo, explanation in tally.explained(found):
        say(text.classes_text(path, explanation))
        for number, detection in enumerate(explanation.objects, start=1):
            kind = kind_of("map", network, *own) + (f"-{number}" if number > 1 else "")
            tell(sheets.save_map(detection.saliency, beside(out, names[path], kind)))
        sheet = sheets.saliency_sheet(photo, explanation)
        tally.saved(sheet, beside(out, names[path], kind_of("saliency", network, *own)), *_labels(explanation))
    raise typer.Exit(tally.status)


@app.command()
@options
def compare(
    photos: Photos,
    network: groups.Network,
    target: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Class to explain.", show_default="the likeliest"),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Another class: what speaks for the target and what for this one."),
    ] = None,
    neuron: groups.Neuron = None,
    objects: groups.Objects = "all",
    out: Out = OUT,
) -> None:
    """One sheet per photo: gradient, DeconvNet and guided maps, and what both presets find, side by side.

    Where the target is not the likeliest class, a second sheet shows why: the likeliest class against it.
    """
    from deepinside.core.images import find_photos
    from deepinside.explanations import sheets
    from deepinside.explanations.compare import compare
    from deepinside.explanations.contrast import contrast
    from deepinside.explanations.explain import most_objects
    from deepinside.gradients.targets import read_neuron

    most_objects(objects)
    if neuron and (target or against):
        raise DeepInsideError("expected a neuron or a class, got both; give one of them")
    if against and not target:
        raise DeepInsideError("expected two classes to compare, got one; give the other with --target")
    wanted: Target | None = read_neuron(neuron) if neuron else None
    check_writable_folder(out)
    names = dict(find_photos(photos))
    named = [each for each in (target, against) if each]
    classifier, targets = ready(network, named or None, neuron=neuron)
    wanted = targets[0] if targets else wanted
    kind = kind_of("compare", network, groups.own_objects(objects), *_named(classifier, targets), neuron)
    tally, files = Tally(), progress(list(names))
    if targets and against:
        for path, photo, pair in tally.seen(files, partial(contrast, classifier, first=targets[0], second=targets[1])):
            say(str(path))
            _save_contrast(tally, photo, pair, beside(out, names[path], kind))
        raise typer.Exit(tally.status)
    for path, photo, seen in tally.seen(files, partial(compare, classifier, target=wanted, objects=objects)):
        say(str(path), *(f"  {rule:<10} {text.rule_text(each)}" for rule, each in seen.rules.items()))
        sheet = sheets.compare_sheet(photo, seen.rules, seen.presets, classifier.name)
        tally.saved(sheet, beside(out, names[path], kind), *_targets(seen))
        if seen.contrast:
            other = kind_of("contrast", network, *_named(classifier, targets))
            _save_contrast(tally, photo, seen.contrast, beside(out, names[path], other))
    raise typer.Exit(tally.status)


@app.command()
@options
def exciting(
    photos: Photos,
    network: groups.Network,
    neuron: Annotated[
        str, typer.Option(metavar="LAYER:CHANNEL", help="The neuron, where it is strongest in each photo.")
    ],
    rule: groups.Rule = DECONVNET,
    count: Annotated[int, typer.Option(min=1, help="How many photos.")] = 9,
    out: Out = OUT,
) -> None:
    """The photos of a folder that excite a neuron most, each with its reconstruction from the neuron: one sheet."""
    from deepinside.core.images import find_photos, read
    from deepinside.explanations import sheets
    from deepinside.explanations.reconstruct import most_exciting, reconstruct
    from deepinside.gradients.targets import read_neuron

    wanted = read_neuron(neuron)
    check_writable_folder(out)
    names = dict(find_photos(photos))
    classifier, _ = ready(network, neuron=neuron, rule=rule)
    found, failures = most_exciting(classifier, progress(list(names)), wanted, count)
    complain(*failures)
    if not found:
        raise typer.Exit(1)
    shown = [(photo, reconstruct(classifier, photo, wanted, rule=rule)) for photo in (read(path) for _, path in found)]
    say(*(f"  {activation:8.3f}  {path}" for activation, path in found))
    kind = kind_of("exciting", network, None if rule == DECONVNET else rule)
    name = f"{neuron.replace(':', '-').replace('@', '-')}.photo"  # `beside` takes the last suffix for a photo's
    tell(sheets.save(sheets.exciting_sheet(shown, classifier.name), beside(out, Path(name), kind)))
    raise typer.Exit(1 if failures else 0)


@app.command()
@options
def layers(network: groups.Network) -> None:
    """The layers one can look at, in the order in which they run: name, kind, shape, and grid if there is one."""
    say(*text.layers_text(loaded(network).layers()))


@app.command()
@options
def evaluate(
    root: Annotated[Path, typer.Argument(help="An ILSVRC, VOC or COCO tree, or a table image,label,x0,y0,x1,y1.")],
    network: groups.Network,
    judging: groups.Judging,
    reports: groups.Reports,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Judge what `deepinside run` has found, in place of a network."),
    ] = None,
) -> None:
    """Localization error as ILSVRC measures it, masks and objects, beside baselines. Continues an interrupted run."""
    from deepinside.core.terminal import print_table
    from deepinside.data.boxes import read_samples
    from deepinside.evaluation.localization import choose, summarized
    from deepinside.evaluation.tables import notes, tables

    asked = judging.asked()
    reports.check()
    if run:
        judging.check_alone(network)
    else:
        check_writable_folder(OUT)  # where images already judged are kept
    samples = choose(list(read_samples(root)), judging.limit, judging.seed)
    model, judged = judged_of_run(run, samples, root) if run else _judged(network, samples, asked)
    try:
        evaluation = summarized(model, asked.seed, judged)
    except DeepInsideError as error:  # not one could be judged
        complain(error)
        raise typer.Exit(1) from None
    for table in tables(evaluation):
        print_table(table)
    say(*notes(evaluation, judging.baselines and not run).splitlines())
    for path in reports.written(evaluation):
        tell(path)
    for line in evaluation.failure_lines():
        remark(line)
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
    from deepinside.class_images.drawn import Drawn
    from deepinside.class_images.gallery import Gallery, chosen, draw_facets
    from deepinside.gradients.targets import read_neuron

    check_writable_folder(files.out)
    classifier = loaded(network)
    named: list[Target] = [*(classes_of(classifier, classes) or []), *map(read_neuron, files.neuron or [])]
    targets = chosen(classifier, named, every=files.gallery)
    gallery = Gallery(
        classifier,
        files.out,
        made.settings(),
        resume=files.gallery,
        animate=files.animate,
        others=tuple(loaded_beside(network, made.others)),
    )
    for event in shown(draw_facets(gallery, targets, files.facets)):
        if isinstance(event, Drawn):
            say(f"  {event.score:>9.4f}  {event.name:<32} -> {event.path}")
        else:
            tell(event.path)
            tell_glyphs(drawn.name for drawn in event.pictures)


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
    from deepinside.class_images.drawn import Settings
    from deepinside.core.images import find_photos
    from deepinside.core.terminal import print_table
    from deepinside.evaluation.appearance import Appearance, appearance, appearance_table, pictures_in
    from deepinside.evaluation.recognition import (
        Recognition,
        check_methods,
        classes_of_all,
        judged,
        spread,
        table,
        write_json,
    )

    methods, notes = check_methods(judging.methods, one_maker=not judging.others)
    if out:
        check_writable_folder(out)
    if json_file:
        check_writable(json_file)
    model = loaded(network)
    makers = [model, *loaded_beside(network, judging.others)]
    judges = loaded_beside(network, judging.judge or ["lite1"])
    classes = spread(judging.classes, classes_of_all(model, [*makers, *judges]), judging.first)
    settings = Settings(steps=judging.steps, seed=judging.seed)
    photos = dict(find_photos([judging.photos])) if judging.photos else {}
    of_photos = [appearance("photos", pictures_in(photos, model.size))] if photos else []
    found = list(shown(judged(makers, judges, methods, classes, settings, out)))
    rows = [each for each in found if isinstance(each, Recognition)]
    looks = [*(each for each in found if isinstance(each, Appearance)), *of_photos]
    names = [maker.name for maker in makers]
    print_table(table(names, rows))
    say("In percent of the classes, with 95% intervals, after rounding to 8-bit PNG.", *notes)
    print_table(appearance_table(looks))
    if json_file:
        tell(write_json(names, rows, looks, json_file))


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
    _check_run(out)
    for event in shown(train(root, out, setup, machine.resources(), tensorboard=tensorboard)):
        say(text.training_text(event, setup.recipe.epochs))


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
    _check_run(out)
    for event in shown(reproduce(root, out, setup, extent, machine.resources())):
        if isinstance(event, Report):
            say(text.report_text(event))
            tell(event.path)
        else:
            say(text.training_text(event, setup.recipe.epochs))


app.command()(serve)
app.command("export-onnx")(export_onnx)


@app.command()
def models() -> None:
    """The classifiers one can name after --model."""
    from deepinside.networks.sources import listings

    say(*(f"{line.spec:<18} {line.about}" for line in listings()))


def main() -> None:
    """The entry point. What ends a command early is told in one line, and by its exit status; see above."""
    try:
        with speaking():
            app()
    except (DeepInsideError, StandardOutputError, Ended) as error:
        sys.exit(ended_by(error))


def _labels(explanation: Explanation) -> Iterator[str]:
    return (detection.label for detection in explanation.objects)


def _save_contrast(tally: Tally, photo: Photo, seen: Contrast, path: Path) -> None:
    from deepinside.explanations.sheets import contrast_sheet

    say(*text.contrast_text(seen))
    tally.saved(contrast_sheet(photo, seen), path, *seen.labels)


def _targets(seen: Comparison) -> Iterator[str]:
    return (each.target for each in seen.rules.values() if not isinstance(each, DeepInsideError))


def _judged(network: groups.Network, samples: Sequence[Sample], asked: Judging) -> tuple[str, list[Judged]]:
    """The network's name, and every sample as it is judged now or was before an interruption."""
    from deepinside.core.terminal import track
    from deepinside.evaluation.journal import judge_on, kept_count

    classifier, _ = ready(network)
    if kept := kept_count(classifier, samples, asked, OUT):
        complain(f"going on after {kept} of {len(samples)} images")
    return classifier.name, list(track(judge_on(classifier, samples, asked, OUT), len(samples), "images"))


def _named(classifier: Classifier, targets: Sequence[int] | None) -> list[str]:
    """The names of the classes asked for, for the names of files."""
    return [classifier.labels.name(index) for index in targets or ()]


def _neuron_maps(network: groups.Network, names: dict[Path, Path], how: groups.Pass, folder: Path) -> int:
    """A sheet and a map of a neuron for every photo; the exit status."""
    from deepinside.explanations import sheets
    from deepinside.explanations.reconstruct import reconstruct
    from deepinside.gradients.targets import read_neuron

    assert how.neuron
    wanted = read_neuron(how.neuron)
    classifier, _ = ready(network, neuron=how.neuron, rule=how.rule)
    tally = Tally()
    look = partial(reconstruct, classifier, target=wanted, rule=how.rule)
    for path, photo, seen in tally.seen(progress(list(names)), look):
        say(f"{path}  {seen.target} {seen.score:.3f}, {text.rule_text(seen)}")
        map, sheet = (beside(folder, names[path], kind_of(what, network, *how.own())) for what in ("map", "saliency"))
        tell(sheets.save_map(seen.frame.map_to_photo(seen.map), map))
        tell(sheets.save(sheets.neuron_sheet(photo, seen, classifier.name), sheet))
    return tally.status


def _check_run(folder: Path) -> None:
    """As `check_writable_folder`, by the process that writes the run: under torchrun they are several."""
    if os.environ.get("RANK", "0") == "0":
        check_writable_folder(folder)


if __name__ == "__main__":
    main()
