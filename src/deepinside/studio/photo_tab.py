"""The page of one photo: its classes, the saliency, outlines and boxes of the chosen one, and why.

Handlers turn the values of the controls into a `Wish`, ask the desk, and return views; nothing is computed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import gradio as gr

from deepinside.core.errors import DeepInsideError
from deepinside.core.labels import Labels
from deepinside.explanations.contrast import contrast
from deepinside.explanations.presets import DEFAULT, OTHERS, PRESETS, localizer_of
from deepinside.gradients.rectifiers import RULES
from deepinside.studio.desk import TOGETHER, Desk
from deepinside.studio.neurons import neurons_html
from deepinside.studio.parts import choices, complaint, complaints, examples, plainly, plainly_each, viewer
from deepinside.studio.views import classes_view, objects_table, photo_view
from deepinside.studio.wish import Wish, command_of, program_of

T = TypeVar("T")

MOST_SAMPLES = 12  # example photos that are shown
IMAGE = "the image"  # the layer of a gradient at the pixels
PLACES = "Click a place in the photo: the neurons of each layer that are most excited there, and their gradients."
INVITATION = "Drop a photo here, paste one, choose one above, or take an example."


class Knob(NamedTuple):
    """A constant of a preset that can be moved: its name, what it is called on the page, and its range."""

    constant: str
    label: str
    low: float
    high: float
    step: float


_QUANTILES = (
    Knob("foreground_quantile", "Seeds of the object: above this quantile of the map", 0.5, 0.99, 0.01),
    Knob("background_quantile", "Seeds of the background: below this quantile", 0.01, 0.49, 0.01),
    Knob("cut.smoothness", "Strength of the cut: cost of a border", 0, 400, 10),
)
# All of them act on the outline alone, so that it follows without the network.
KNOBS = {
    "best": (
        Knob("outline.smoothness", "Strength of the cut: cost of a border", 0, 200, 5),
        Knob("outline.prior", "Weight of the map beside the colors", 0, 2, 0.05),
        Knob("outline.band", "How far the outline may move, in sizes of the object", 0, 0.5, 0.01),
    ),
    "paper": _QUANTILES,
    **{name: tuple(each._replace(constant=f"cut.{each.constant}") for each in _QUANTILES) for name in OTHERS},
}
AT_LAYER = ("paper", "gradcam", "layercam")  # presets whose map is taken at a layer of one's choice


class Controls(NamedTuple):
    """What the handlers read, in their order: the photo, the class, and how to look at it."""

    photo: gr.State
    target: gr.State
    model: gr.Dropdown
    preset: gr.Radio
    layer: gr.Dropdown
    rule: gr.Radio
    knobs: tuple[gr.Slider, ...]

    @property
    def of_preset(self) -> list[gr.components.Component]:
        """Those that a preset brings with it."""
        return [self.layer, self.rule, *self.knobs]

    @property
    def inputs(self) -> list[gr.components.Component]:
        """All of them."""
        return [self.photo, self.target, self.model, self.preset, *self.of_preset]


class Shown(NamedTuple):
    """Where an answer is shown, in the order of the handlers' values."""

    status: gr.HTML
    photo: gr.State
    target: gr.State
    stage: gr.HTML
    classes: gr.HTML
    table: gr.HTML
    command: gr.Code
    program: gr.Code

    @property
    def look(self) -> dict[str, Any]:
        """How events ask for a look: those of several people at once, which go through the network together."""
        together = {"concurrency_limit": TOGETHER, "concurrency_id": "look"}
        return {**together, "show_progress_on": [self.stage], "api_visibility": "private"}


class Reasons(NamedTuple):
    """What asks why: another class to compare with, and the rule and the layers of a place."""

    against: gr.Dropdown
    compare: gr.Button
    pair: gr.HTML
    rule: gr.Radio
    layers: gr.HTML


# How events ask for what needs no network: at once, and only for the last of several moves.
AT_ONCE: dict[str, Any] = {
    "queue": False, "show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private",
}  # fmt: skip
FEW: dict[str, Any] = {"concurrency_limit": 2, "api_visibility": "private"}


def wish_of(photo: str, target: int | None, model: str, preset: str, layer: str, rule: str, *values: float) -> Wish:
    """What the controls say."""
    constants = [
        (knob.constant, f"{value:g}")
        for knob, value in zip(KNOBS[preset], values, strict=True)
        if value != default_of(preset, knob)
    ]
    if preset in AT_LAYER and layer != IMAGE:
        constants.append(("layer", layer))
    if preset == "paper" and rule != "gradient":
        constants.append(("rule", rule))
    return Wish(photo, model, preset, tuple(constants), target)


def default_of(preset: str, knob: Knob) -> float:
    """The value that the preset has itself."""
    return float(attrgetter(knob.constant)(localizer_of(preset)))


def photo_tab(desk: Desk, page: gr.Blocks) -> None:
    """Build the page of one photo."""
    names = class_names(desk.classifier(desk.models[0]).labels)
    photo, target, status = gr.State(None), gr.State(None), complaints()
    with gr.Row():
        with gr.Column(scale=3, min_width=260):
            stage = viewer("photo", INVITATION, elem_id="photo")
            sample = examples(list(desk.examples)[:MOST_SAMPLES])
        with gr.Column(scale=2, min_width=240):
            classes = choices("Likeliest classes", elem_id="classes")
            table = gr.HTML("", elem_id="objects", apply_default_css=False)
            other = gr.Dropdown(names, value=None, label="Another class", elem_id="other")
            controls = _controls(desk, photo, target)
    reasons = _reasons(names)
    with gr.Accordion("The same on the command line and in Python", open=False):
        command = gr.Code("", language=None, label="Command", interactive=False, elem_id="command")
        program = gr.Code("", language=None, label="Python", interactive=False, elem_id="program")
    shown = Shown(status, photo, target, stage, classes, table, command, program)
    handlers = _Handlers(desk)
    for opened in (stage.upload, sample.select):
        opened(handlers.opened, controls.inputs, [*shown], **shown.look)
    classes.select(handlers.chosen, controls.inputs, [*shown], **shown.look)
    other.input(handlers.another, [other, *controls.inputs], [*shown], **shown.look)
    page.load(handlers.restored, None, [*shown, controls.model, controls.preset, *controls.of_preset], **shown.look)
    of_model = [status, other, reasons.against, controls.layer, target]
    changed = controls.model.input(handlers.classes_of, controls.model, of_model, **shown.look)
    changed.then(handlers.shown, controls.inputs, [*shown], **shown.look)
    _follow(handlers, controls, shown)
    _ask_why(handlers, controls, shown, reasons)


def _controls(desk: Desk, photo: gr.State, target: gr.State) -> Controls:
    first = desk.models[0]
    model = gr.Dropdown(list(desk.models), value=first, label="Network", interactive=len(desk.models) > 1)
    preset = gr.Radio([*PRESETS, *OTHERS], value=DEFAULT, label="Preset", elem_id="preset")
    knobs = tuple(slider(DEFAULT, number) for number in range(len(KNOBS[DEFAULT])))
    with gr.Row():
        layer = gr.Dropdown(layers_of(desk, first), value=IMAGE, label="Layer", visible=False)
        rule = gr.Radio(list(RULES), value="gradient", label="Rule of the rectifiers", visible=False)
    return Controls(photo, target, model, preset, layer, rule, knobs)


def _reasons(names: list[tuple[str, int]]) -> Reasons:
    with gr.Accordion("Why this class, and not that", open=False):
        against = gr.Dropdown(names, value=None, label="The chosen class against (empty: the likeliest other one)")
        with gr.Row():
            compare = gr.Button("Compare", variant="primary", elem_id="compare", scale=0, min_width=160)
        pair = gr.HTML("", elem_id="contrast", apply_default_css=False)
    with gr.Accordion("What the layers see at a place", open=False):
        gr.Markdown(PLACES)
        rule = gr.Radio(list(RULES), value="gradient", label="Rule")
        layers = gr.HTML("", elem_id="neurons", apply_default_css=False)
    return Reasons(against, compare, pair, rule, layers)


def _follow(handlers: _Handlers, controls: Controls, shown: Shown) -> None:
    """Let the answer follow the controls."""
    changed = controls.preset.input(handlers.settings, [controls.preset, controls.model], controls.of_preset, **AT_ONCE)
    changed.then(handlers.shown, controls.inputs, [*shown], **shown.look)
    for control in (controls.layer, controls.rule):
        control.input(handlers.shown, controls.inputs, [*shown], **shown.look)
    outlines = [shown.status, shown.stage, shown.table, shown.command, shown.program]
    for knob in controls.knobs:
        knob.input(handlers.followed, controls.inputs, outlines, **AT_ONCE)


def _ask_why(handlers: _Handlers, controls: Controls, shown: Shown, reasons: Reasons) -> None:
    reasons.compare.click(
        handlers.contrasted, [reasons.against, *controls.inputs], [shown.status, reasons.pair],
        concurrency_id="contrast", **FEW,
    )  # fmt: skip
    shown.stage.select(
        handlers.placed, [reasons.rule, *controls.inputs], [shown.status, reasons.layers],
        concurrency_id="place", show_progress_on=[reasons.layers], **FEW,
    )  # fmt: skip


class _Handlers:
    """What happens when somebody does something, with the desk at hand."""

    def __init__(self, desk: Desk):
        self.desk = desk

    @plainly(7)
    def opened(self, event: gr.EventData, _: str | None, target: int | None, *how: Any) -> tuple[Any, ...]:
        """A photo that somebody has brought, or an example: its likeliest class."""
        return self._answer(wish_of(str(event._data["photo"]), None, *how))

    @plainly(7)
    def chosen(self, event: gr.EventData, photo: str, target: int | None, *how: Any) -> tuple[Any, ...]:
        """Another one of the likeliest classes."""
        return self._answer(wish_of(photo, int(event._data["index"]), *how))

    @plainly(7)
    def another(self, index: int | None, *controls: Any) -> tuple[Any, ...]:
        """A class that need not be likely."""
        photo, target, *how = controls
        return self._answer(wish_of(opened(photo), target if index is None else index, *how))

    @plainly(7)
    def shown(self, *controls: Any) -> tuple[Any, ...]:
        """The same class by other means."""
        photo, *rest = controls
        return self._answer(wish_of(photo, *rest)) if photo else (gr.skip(),) * 7

    @plainly(4)
    def followed(self, *controls: Any) -> tuple[Any, ...]:
        """The outline under constants that the network need not be asked for."""
        photo, *rest = controls
        if not photo:
            return (gr.skip(),) * 4
        _, _, view, _, *told = self._answer(wish_of(photo, *rest))
        return (view, *told)

    def settings(self, preset: str, model: str) -> tuple[Any, ...]:
        """The controls that a preset has, at its own values."""
        return self._controls(model, preset, {})

    @plainly(4)
    def classes_of(self, model: str) -> tuple[Any, ...]:
        """The classes and layers of another network; the likeliest class is shown first."""
        names = class_names(self.desk.classifier(model).labels)
        layers = gr.Dropdown(layers_of(self.desk, model), value=IMAGE)
        return gr.Dropdown(names, value=None), gr.Dropdown(names, value=None), layers, None

    @plainly(1)
    def contrasted(self, other: int | None, *controls: Any) -> str:
        """What speaks for the chosen class, and what for the other one."""
        photo, target, *how = controls
        wish = wish_of(opened(photo), target, *how)
        found = contrast(self.desk.classifier(wish.model), self.desk.photo(photo), opened(target), other)
        return found._repr_html_()

    @plainly_each(1)
    def placed(self, event: gr.EventData, rule: str, photo: str, target: int | None, *how: Any) -> Iterator[tuple[str]]:
        """What the layers see at a place."""
        wish = wish_of(opened(photo), target, *how)
        x, y = (float(event._data[name]) for name in ("x", "y"))
        for part in neurons_html(self.desk.classifier(wish.model), self.desk.photo(photo), x, y, rule):
            yield (part,)

    def restored(self, request: gr.Request) -> tuple[Any, ...]:
        """What a link says: the photo, if it is still kept, and all controls."""
        given = dict(request.query_params)
        rest = (gr.skip(),) * (2 + 2 + len(KNOBS[DEFAULT]))
        if "photo" not in given:
            return ("", *(gr.skip(),) * 7, *rest)
        try:
            wish = Wish.read(given)
            answer = self._answer(wish)
            controls = self._controls(wish.model, wish.preset, dict(wish.constants))
            return ("", *answer, wish.model, wish.preset, *controls)
        except DeepInsideError as error:
            return (complaint(str(error)), *(gr.skip(),) * 7, *rest)

    def _controls(self, model: str, preset: str, constants: Mapping[str, str]) -> tuple[Any, ...]:
        """The layer, the rule and the sliders of a preset, at its own values or at those of a link."""
        layers, at = layers_of(self.desk, model), constants.get("layer", IMAGE)
        layer = gr.Dropdown(layers, value=at, visible=preset in AT_LAYER)
        rule = gr.Radio(value=constants.get("rule", "gradient"), visible=preset == "paper")
        knobs = [slider(preset, number, constants.get(knob.constant)) for number, knob in enumerate(KNOBS[preset])]
        return layer, rule, *knobs

    def _answer(self, wish: Wish) -> tuple[Any, ...]:
        """The photo, the class, their views, and the same as a command and in Python."""
        classifier, name = self.desk.classifier(wish.model), self.desk.name(wish.photo)
        found = self.desk.explanation(wish)
        index = found.objects[0].index
        wish = replace(wish, target=index)
        told = command_of(wish, classifier, name), program_of(wish, classifier, name)
        return wish.photo, index, photo_view(wish, found, name), classes_view(found, index), objects_table(found), *told


def opened(value: T | None) -> T:
    """What there is once a photo is open. Raises `DeepInsideError` before."""
    if value is None:
        raise DeepInsideError("expected a photo first; open one")
    return value


def slider(preset: str, number: int, value: str | None = None) -> gr.Slider:
    """The slider of a constant, at the preset's own value or another one."""
    knob = KNOBS[preset][number]
    at = default_of(preset, knob) if value is None else float(value)
    low, high = min(knob.low, at), max(knob.high, at)  # a link may go beyond
    options: dict[str, Any] = {"elem_id": f"knob{number}", "buttons": []}
    return gr.Slider(low, high, value=at, step=knob.step, label=knob.label, **options)


def class_names(labels: Labels) -> list[tuple[str, int]]:
    """The classes for a list to choose from, each name once."""
    names = [labels.name(index) for index in range(len(labels))]
    often = Counter(names)
    return [(name if often[name] == 1 else f"{name} ({index})", index) for index, name in enumerate(names)]


def layers_of(desk: Desk, model: str) -> list[str]:
    """The layers of a network at which a map can be taken."""
    return [IMAGE, *(layer.name for layer in desk.classifier(model).layers() if layer.grid)]
