"""The options of the command line, in groups that several commands share. Each default stands here once.

A group is a frozen dataclass whose fields are annotated as typer wants them. A command that is decorated with `options`
takes groups as parameters: typer sees one flat signature, and the command gets the groups. Imports nothing heavy.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache, partial, wraps
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from deepinside.archive.run import Engine as Answering
    from deepinside.class_images.drawn import Settings
    from deepinside.evaluation.localization import Judging as Asked
    from deepinside.evaluation.results import Evaluation
    from deepinside.explanations.presets import AnyLocalizer
    from deepinside.networks.classifier import Classifier
    from deepinside.training.train import Resources, Setup

OUT = Path("deepinside-out")
RUN = Path("deepinside-run")
ARCHIVE = Path("deepinside-archive")

# What a shell completes. The library's tables would have to be imported with PyTorch; a test holds them against these.
MODELS = ("lite0", "lite1", "lite2", "timm:", "torchvision:", "hf:")
PRESETS = ("best", "paper")
METHODS = ("smoothgrad", "integrated", "gradient-input", "gradcam", "layercam")
OBJECTS = ("one", "all")
RULES = ("gradient", "deconvnet", "guided")
FORMATS = ("coco", "voc", "yolo", "labelstudio", "masks", "csv", "fiftyone")
ENGINES = ("local", "ray")
CLASS_IMAGES = ("canonical", "paper")
ANIMATIONS = ("gif", "webp")
RECIPES = ("paper", "modern")
DEVICES = ("cpu", "cuda", "mps")


def among(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What typer asks for the names that begin as the user has begun.

    >>> among(RULES)("g")
    ['gradient', 'guided']
    """

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def listed(names: tuple[str, ...]) -> str:
    """Names for a sentence.

    >>> listed(RULES)
    'gradient, deconvnet or guided'
    """
    return f"{', '.join(names[:-1])} or {names[-1]}"


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take groups of options, which are parameters whose annotation is a dataclass.

    A parameter's default, if it has one, is a group whose values are this command's own defaults.

    >>> @dataclass(frozen=True)
    ... class Size:
    ...     width: int = 3
    ...     height: int = 2
    >>> @options
    ... def area(size: Size, unit: str = "px") -> None:
    ...     print(size.width * size.height, unit)
    >>> inspect.signature(area)
    <Signature (*, width: int = 3, height: int = 2, unit: str = 'px') -> None>
    >>> area(width=5)
    10 px
    """
    kinds = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters.values()
    flat = {each.name: list(_flat(each, kinds[each.name])) for each in parameters}

    @wraps(command)
    def flattened(**given: Any) -> None:
        values = {each.name: each.default for parts in flat.values() for each in parts} | given
        command(
            **{
                name: kinds[name](**{each.name: values[each.name] for each in parts})
                if is_dataclass(kinds[name])
                else values[name]
                for name, parts in flat.items()
            }
        )

    signature = inspect.Signature([each for parts in flat.values() for each in parts], return_annotation=None)
    flattened.__signature__ = signature  # type: ignore[attr-defined]
    flattened.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return flattened


def _flat(parameter: Parameter, kind: Any) -> Iterator[Parameter]:
    """The parameters that typer sees in place of one of a command: itself, or one for each field of its group."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        yield parameter.replace(annotation=kind, kind=Parameter.KEYWORD_ONLY)
        return
    for each in _of_group(kind):
        own = each.default if parameter.default is Parameter.empty else getattr(parameter.default, each.name)
        yield each.replace(default=own)


@cache
def _of_group(kind: type[DataclassInstance]) -> tuple[Parameter, ...]:
    """A parameter for each field of a group, read once however many commands take it."""
    kinds = get_type_hints(kind, include_extras=True)
    return tuple(
        Parameter(
            each.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if each.default is MISSING else each.default,
            annotation=kinds[each.name],
        )
        for each in fields(kind)
    )


# ---------------------------------------------------------------------------------------------------- single parameters

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO_OR_FOLDER", help="Photos, or folders of them.")]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run, finished or not.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="The folder that images are written to.")]
OptionalOut = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The folder that images are written to.", show_default=str(OUT))
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures.")]
TrainingRoot = Annotated[
    Path,
    typer.Argument(metavar="ROOT", help="An ILSVRC tree, train/CLASS and val/CLASS, CLASS folders, or .tar archives."),
]
Top = Annotated[int, typer.Option(min=1, help="How many of the likeliest classes to explain.")]
Rule = Annotated[
    str,
    typer.Option(
        help="How rectifiers pass the signal backwards: gradient, deconvnet or guided.", autocompletion=among(RULES)
    ),
]
Neuron = Annotated[
    str | None,
    typer.Option(
        "--neuron",
        metavar="LAYER:CHANNEL",
        help="A neuron in place of a class; @ROW,COLUMN selects its position on the layer's grid.",
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        help=f"best, or paper for the paper's own; or the maps of {listed(METHODS)}, cut as the paper cuts its own.",
        autocompletion=among((*PRESETS, *METHODS)),
    ),
]
Constants = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a constant of the preset, such as outline.smoothness=40 of best; may be repeated.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 or mps.", show_default="cpu", autocompletion=among(DEVICES)),
]
Objects = Annotated[
    str,
    typer.Option(
        metavar="one|all", help="Of each class: the surest object, or all of them.", autocompletion=among(OBJECTS)
    ),
]


# --------------------------------------------------------------------------------------------------------------- groups


@dataclass(frozen=True)
class Network:
    """The network of a command, and where it runs."""

    model: Annotated[
        str, typer.Option(help="The classifier; `deepinside models` lists them.", autocompletion=among(MODELS))
    ] = "lite0"
    weights: Annotated[Path | None, typer.Option(help="Local .safetensors or .pth in place of published weights.")] = (
        None
    )
    labels: Annotated[Path | None, typer.Option(help="Class names, one per line, in the network's order.")] = None
    device: Device = None

    def load(self) -> Classifier:
        """The classifier, on its device. Raises `DeepInsideError` where it cannot be had."""
        from deepinside.core.labels import read_labels
        from deepinside.networks.sources import load

        classifier = load(self.model, weights=self.weights, labels=read_labels(self.labels) if self.labels else None)
        return classifier.to(self.device) if self.device else classifier


@dataclass(frozen=True)
class Explained:
    """What to explain of a photo, and by which localizer."""

    target: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Class to explain, by name, WordNet id or index; may be repeated."),
    ] = None
    top: Top = 5
    preset: Preset = "best"
    constants: Constants = None

    def localizer(self, layer: str | None = None, rule: str = "gradient") -> AnyLocalizer:
        """How objects are found, with maps of a layer under a rule. Raises `DeepInsideError` for what is not there."""
        return localizer_of(self.preset, self.constants, layer, rule)

    def own(self, default: str) -> tuple[str | None, ...]:
        """What a run with these options has of its own, for the names of its files; None for the default."""
        return (None if self.preset == default else self.preset, *self._own_constants())

    def _own_constants(self) -> tuple[str, ...]:
        """Those that were changed, once each and in the order of their fields, so that equal runs have equal names."""
        if not self.constants:
            return ()
        from deepinside.explanations.presets import constants_of

        return tuple(f"{name}={value}" for name, value in constants_of(self.localizer()).items())


def localizer_of(
    preset: str, constants: Sequence[str] | None, layer: str | None = None, rule: str = "gradient"
) -> AnyLocalizer:
    """A preset by name, with maps of a layer under a rule, and with constants given as NAME=VALUE.

    Raises `DeepInsideError` for what is not there, and for a layer or a rule that is given twice.
    """
    from deepinside.core.errors import DeepInsideError
    from deepinside.explanations.presets import with_constants, with_maps_of

    values = values_of(constants)
    for name, is_given in (("layer", layer is not None), ("rule", rule != "gradient")):
        if is_given and name in values:
            raise DeepInsideError(f"expected --{name} or --set {name}=..., got both; give one of them")
    return with_constants(with_maps_of(preset, layer, rule), values)


def values_of(constants: Sequence[str] | None) -> dict[str, str]:
    """The values of constants by name, given as NAME=VALUE. Raises `DeepInsideError` for anything else.

    >>> values_of(["outline.smoothness=40", "scales=1,1.5"])
    {'outline.smoothness': '40', 'scales': '1,1.5'}
    """
    from deepinside.core.errors import DeepInsideError

    found: dict[str, str] = {}
    for text in constants or ():
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign):
            raise DeepInsideError(f"expected --set NAME=VALUE, such as outline.smoothness=40, got {text!r}")
        if name in found:
            raise DeepInsideError(f"expected --set {name} once, got {found[name]!r} and {value!r}")
        found[name] = value
    return found


def own_objects(objects: str) -> str | None:
    """The same for `--objects`."""
    return None if objects == "all" else f"{objects}-object"


@dataclass(frozen=True)
class Pass:
    """Where the gradient is taken, and how it is back-propagated."""

    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Take the gradient at this layer; `deepinside layers` lists names.",
            show_default="the image",
        ),
    ] = None  # fmt: skip
    rule: Rule = "gradient"
    neuron: Neuron = None

    def own(self) -> tuple[str | None, ...]:
        """What a run with these options has of its own, for the names of its files; None for the default."""
        return (self.neuron, self.layer, None if self.rule == "gradient" else self.rule)


@dataclass(frozen=True)
class Judging:
    """What `evaluate` judges, and by which measures."""

    preset: Annotated[
        str,
        typer.Option(
            help="Presets, separated by commas.", autocompletion=among((*PRESETS, ",".join(PRESETS), *METHODS))
        ),
    ] = "best"
    limit: Annotated[int | None, typer.Option(min=1, help="Judge only so many images, drawn by --seed.")] = None
    seed: Annotated[int, typer.Option(help="Of the draws, the bootstrap and the transferred thresholds.")] = 0
    baselines: Annotated[bool, typer.Option(help="Judge Grad-CAM and LayerCAM as well.")] = True
    faithful: Annotated[
        bool, typer.Option("--faithful", help="Insertion and deletion, 58 more forward passes per map.")
    ] = False
    sanity: Annotated[int, typer.Option(min=0, metavar="N", help="Randomize the network's layers for N images.")] = 0

    def asked(self) -> Asked:
        """The same for `judge_each`. Raises `DeepInsideError` for an unknown preset."""
        from deepinside.evaluation.localization import Judging

        presets = [name.strip() for name in self.preset.split(",")]
        return Judging(presets, self.seed, self.baselines, self.faithful, self.sanity)

    def check_alone(self, network: Network) -> None:
        """Raise `DeepInsideError` where more is asked than a run can tell."""
        from deepinside.core.errors import DeepInsideError

        if network != Network() or replace(self, limit=None, seed=0) != Judging():
            raise DeepInsideError(
                "expected --limit and --seed at most beside --run, since a run has a network and a preset of its own; "
                "leave the other options of networks and presets out"
            )


@dataclass(frozen=True)
class Reports:
    """The files that `evaluate` writes besides its table."""

    json_file: JsonFile = None
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write every image.")] = None
    sheet: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the best and worst cases.")] = None

    def check(self) -> None:
        """Raise `DeepInsideError`, before hours of work, for a place that cannot be written."""
        from deepinside.core.errors import check_writable

        for path in (self.json_file, self.csv_file, self.sheet):
            if path:
                check_writable(path)

    def written(self, evaluation: Evaluation) -> Iterator[Path]:
        """Write the files that were asked for, and name each. The sheet shows the first preset's cases."""
        from deepinside.evaluation.tables import cases_sheet, write_csv, write_json
        from deepinside.explanations import sheets

        if self.json_file:
            yield write_json(evaluation, self.json_file)
        if self.csv_file:
            yield write_csv(evaluation, self.csv_file)
        if self.sheet:
            yield sheets.save(cases_sheet(evaluation, next(iter(evaluation.rows))), self.sheet)


Others = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="MODEL",
        help="A network to which an image has to show its class as well; may be repeated.",
        show_default=False,
        autocompletion=among(MODELS),
    ),
]


@dataclass(frozen=True)
class ClassImages:
    """How class images are made."""

    preset: Annotated[
        str, typer.Option(help="canonical, or paper for the paper's own.", autocompletion=among(CLASS_IMAGES))
    ] = "canonical"
    steps: Annotated[int | None, typer.Option(min=1, help="Of gradient ascent.", show_default="the preset's")] = None
    seed: Annotated[int, typer.Option(help="Another seed shows other facets of a class.")] = 0
    posterior: Annotated[bool, typer.Option("--posterior", help="Raise the posterior in place of the score.")] = False
    like: Annotated[
        Path | None,
        typer.Option(metavar="PHOTOS", help="Show what the network sees in these photos, a folder or one of them."),
    ] = None
    others: Others = None

    def settings(self) -> Settings:
        """The same for a gallery. Raises `DeepInsideError` for a folder without photos."""
        from deepinside.class_images.drawn import Settings
        from deepinside.core.images import find_photos

        photos = tuple(path for path, _ in find_photos([self.like])) if self.like else ()
        return Settings(self.preset, self.steps, self.seed, self.posterior or None, photos)


@dataclass(frozen=True)
class ImageFiles:
    """Which class images are drawn, and what is written of them."""

    neuron: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER:CHANNEL", help="Also a neuron or channel of any layer; may be repeated."),
    ] = None
    facets: Annotated[int, typer.Option(min=1, help="So many images of each, from as many seeds.")] = 1
    gallery: Annotated[bool, typer.Option("--gallery", help="All classes; those of an interrupted run are kept.")] = (
        False
    )
    animate: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Also the ascent, as gif or webp.", autocompletion=among(ANIMATIONS)),
    ] = None
    out: Out = OUT


@dataclass(frozen=True)
class Recognition:
    """Whose class images are judged, and by whom."""

    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A network that has to recognize the images; may be repeated.",
            show_default="lite1",
            autocompletion=among(MODELS),
        ),
    ] = None
    classes: Annotated[int, typer.Option(min=1, help="How many, evenly spread over all.")] = 200
    first: Annotated[int, typer.Option(min=0, help="The index of the first.")] = 0
    preset: Annotated[str, typer.Option(help="Whose images, separated by commas.")] = "canonical,paper,lucent"
    steps: Annotated[int | None, typer.Option(min=1, help="Of gradient ascent.", show_default="each preset's")] = None
    seed: Annotated[int, typer.Option(help="Of the ascent.")] = 0
    others: Others = None
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos to hold grain and colors of the images against.")
    ] = None

    @property
    def methods(self) -> list[str]:
        """The names of those whose images are judged."""
        return [name.strip() for name in self.preset.split(",")]


@dataclass(frozen=True)
class Training:
    """The recipe and the network of a training run."""

    recipe: Annotated[
        str,
        typer.Option(help="paper, or modern: fewer epochs, for small data sets.", autocompletion=among(RECIPES)),
    ] = "paper"
    size: Annotated[int, typer.Option(min=32, help="Height and width of what the network sees, in pixels.")] = 224
    hidden_units: Annotated[
        int | None,
        typer.Option(min=1, help="Of each hidden fully connected layer.", show_default="4096; 1024 below 128 pixels"),
    ] = None
    epochs: Annotated[int | None, typer.Option(min=1, show_default="the recipe's")] = None
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures per step, all processes together.", show_default="the recipe's"),
    ] = None
    learning_rate: Annotated[float | None, typer.Option(show_default="the recipe's")] = None
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Share of hidden units dropped in training.")] = 0.5
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0

    def setup(self) -> Setup:
        """The same for `train`. Raises `DeepInsideError` for an unknown recipe and numbers that are not positive."""
        from deepinside.training.recipe import recipe
        from deepinside.training.train import Setup

        chosen = recipe(self.recipe, epochs=self.epochs, batch=self.batch, learning_rate=self.learning_rate)
        return Setup(chosen, self.size, self.hidden_units, self.dropout, self.seed)


@dataclass(frozen=True)
class Engine:
    """What computes the answers of a run."""

    engine: Annotated[
        str, typer.Option(help="local, in this process, or ray, on Ray Data.", autocompletion=among(ENGINES))
    ] = "local"
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="With ray: networks at work at a time.", show_default="one a GPU, or else one for two cores"
        ),
    ] = None
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="With ray: a cluster that is running.", show_default="this machine"),
    ] = None

    def answers(self) -> Answering:
        """The engine of `running`. Raises `DeepInsideError` for an unknown one, and options of the other one."""
        from deepinside.archive.on_ray import answers_on_ray
        from deepinside.archive.stages import answers_here
        from deepinside.core.errors import DeepInsideError, named

        on_ray = partial(answers_on_ray, workers=self.workers, address=self.ray_address)
        engines: dict[str, Answering] = {"local": answers_here, "ray": on_ray}
        found = named(self.engine, engines, "an engine")
        if self.engine == "local" and (self.workers is not None or self.ray_address is not None):
            raise DeepInsideError("--workers and --ray-address are of the engine ray; add --engine ray")
        return found


@dataclass(frozen=True)
class Machine:
    """What a training run computes with."""

    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that read pictures ahead.", show_default="by the number of cores"),
    ] = None
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto"
    precision: Annotated[str, typer.Option(help="float32, bfloat16, or auto: bfloat16 where the hardware has it.")] = (
        "auto"
    )

    def resources(self) -> Resources:
        """The same for `train`. Each process on a machine gets its share of the cores for reading."""
        from deepinside.training.train import Resources

        share = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        by_cores = 0 if share <= 2 else min(share - 1, 16)  # with two cores or fewer, nothing is gained
        return Resources(self.device, self.precision, by_cores if self.workers is None else self.workers)
