"""The page of one class: its class image as it forms, from several seeds, beside the photos that excite it most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from time import monotonic
from typing import Any

import gradio as gr

from deepinside.class_images.ascent import Ascent, ascend
from deepinside.class_images.picture_files import as_image
from deepinside.class_images.recipes import PRESETS
from deepinside.core import html
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read
from deepinside.studio.desk import Desk
from deepinside.studio.parts import complaints, plainly, plainly_each
from deepinside.studio.photo_tab import class_names
from deepinside.studio.pictures import png
from deepinside.studio.wish import drawing_command, drawing_program

PAUSE = 0.5  # seconds between two pictures of an ascent on the page
MOST_FACETS = 4
WIDTH = 300  # CSS pixels of an image


def class_tab(desk: Desk, page: gr.Tab) -> None:
    """Build the page of one class, which is asked for photos once it is chosen."""
    first = desk.models[0]
    names = class_names(desk.classifier(first).labels)
    begun = names[min(1, len(names) - 1)][1] if names else None  # a goldfish, where classes are ImageNet's
    # What is still on its way when somebody stops may write into the first, and so not over the second.
    status, note = complaints(), complaints()
    with gr.Row(equal_height=True):
        index = gr.Dropdown(names, value=begun, label="Class", elem_id="drawn-class")
        model = gr.Dropdown(list(desk.models), value=first, label="Network", interactive=len(desk.models) > 1)
        preset = gr.Radio(list(PRESETS), value="canonical", label="Preset")
    with gr.Row(equal_height=True):
        facets = gr.Slider(1, MOST_FACETS, value=1, step=1, label="How many, from as many seeds", buttons=[])
        seed = gr.Number(0, precision=0, label="Seed of the first", minimum=0)
    with gr.Row():
        make = gr.Button("Make the image", variant="primary", elem_id="make", scale=0, min_width=180)
        stop = gr.Button("Stop", elem_id="stop", scale=0, min_width=120)
    pictures = gr.HTML("", elem_id="class-images", apply_default_css=False)
    photos = gr.HTML("", elem_id="class-photos", apply_default_css=False)
    with gr.Accordion("The same on the command line and in Python", open=False):
        command = gr.Code("", language=None, label="Command", interactive=False)
        program = gr.Code("", language=None, label="Python", interactive=False)

    handlers = _Handlers(desk)
    private: dict[str, Any] = {"api_visibility": "private"}
    # A stopped ascent may pass for one that goes on, and "once" would then take no further click.
    clicked = make.click(str, None, note, queue=False, trigger_mode="multiple", **private)
    making = clicked.then(
        handlers.drawn, [index, model, preset, facets, seed], [status, pictures, command, program],
        concurrency_limit=1, concurrency_id="ascent", show_progress_on=[pictures], trigger_mode="multiple", **private,
    )  # fmt: skip
    # Not with the click: Gradio begins the second event of a click when the first has ended.
    for event in (index.input, page.select):
        event(handlers.excited, [index, model], [status, photos], show_progress_on=[photos], **private)
    stop.click(stopped, None, note, cancels=[making], queue=False, **private)
    model.input(handlers.classes_of, model, [status, index], **private)


def stopped() -> str:
    """What the page says once an ascent was stopped."""
    return f'<p role="status">{html.small("Stopped.")}</p>'


class _Handlers:
    """What happens when somebody does something, with the desk at hand."""

    def __init__(self, desk: Desk):
        self.desk = desk

    @plainly_each(3)
    def drawn(self, index: int | None, model: str, preset: str, facets: int, seed: int) -> Iterator[tuple[Any, ...]]:
        """The image of a class as it forms. Whoever closes this iterator stops it within a step."""
        if index is None:
            raise DeepInsideError("expected a class; choose one")
        classifier = self.desk.classifier(model)
        name = classifier.labels.name(index)
        seeds = range(int(seed or 0), int(seed or 0) + int(facets))
        told = (
            drawing_command(model, classifier, index, preset, seeds),
            drawing_program(model, classifier, index, preset, seeds),
        )
        shown = 0.0
        states: Sequence[Ascent | None] = ()
        for states in _together([ascend(classifier, [index], preset=preset, seed=each) for each in seeds]):
            if monotonic() < shown + PAUSE:
                yield (gr.skip(),) * 3  # so that it can be stopped between any two steps
                continue
            shown = monotonic()
            yield (pictures_html(name, states, seeds), *told)
        yield (pictures_html(name, states, seeds), *told)

    @plainly(1)
    def excited(self, index: int | None, model: str) -> str:
        """The photos of the page's folder that excite a class most."""
        if index is None:
            return ""
        found = self.desk.exciting(model, index)
        return photos_html(self.desk.classifier(model).labels.name(index), found) if found else ""

    @plainly(1)
    def classes_of(self, model: str) -> Any:
        """The classes of another network."""
        return gr.Dropdown(class_names(self.desk.classifier(model).labels), value=None)


def pictures_html(name: str, states: Sequence[Ascent | None], seeds: Sequence[int]) -> str:
    """Each image as it is, with its step and the score of its views; once it is done, a link to save it."""
    figures = [_figure(name, state, seed) for state, seed in zip(states, seeds, strict=True) if state]
    return f'<div class="di-pictures">{"".join(figures)}</div>'


def photos_html(name: str, paths: Sequence[Path]) -> str:
    """The photos that excite a class most, the strongest first. Raises `DeepInsideError` for one that is damaged."""
    figures = [html.picture(read(path).image, f"photo {path.name}", path.name, side=WIDTH // 2) for path in paths]
    return html.page(html.heading(f"The photos at hand that excite {name} most"), html.row(figures))


def _figure(name: str, state: Ascent, seed: int) -> str:
    address = html.png_uri(png(as_image(state.images[0])))
    step = "done" if state.done else f"step {state.step} of {state.steps}"
    link = f' <a class="di-button di-small" download="{html.text(name)}-{seed}.png" href="{address}">Save</a>'
    caption = html.text(f"{name}, seed {seed}: {step}, score of its views {float(state.scores[0]):.2f}")
    shown = f'<img src="{address}" alt="{html.text(f"class image of {name}, {step}")}" width="{WIDTH}">'
    return f"<figure>{shown}<figcaption>{caption}{link * state.done}</figcaption></figure>"


def _together(ascents: Sequence[Iterator[Ascent]]) -> Iterator[list[Ascent | None]]:
    """The states of all ascents after each step; of one that has ended, its last."""
    last: list[Ascent | None] = [None] * len(ascents)
    for states in zip_longest(*ascents):
        last = [new or old for new, old in zip(states, last, strict=True)]
        yield last
