"""The page of a run: what waits for a person, page by page, and boxes to move, accept or reject."""

from __future__ import annotations

import shlex
from typing import Any

import gradio as gr

from deepinside.archive.corrections import ACCEPTED, MOVED, REJECTED, UNDONE, is_judged
from deepinside.core import html
from deepinside.core.errors import DeepInsideError
from deepinside.studio.parts import choices, complaints, plainly, viewer
from deepinside.studio.runs import PAGE, Runs
from deepinside.studio.views import list_view, run_view

WAITING, JUDGED, ALL = "Waiting", "Judged", "All"
EVERY = "All objects"  # of a photo
SAID = {ACCEPTED: "accepted", MOVED: "moved", REJECTED: "rejected", UNDONE: "as it was found"}


def run_tab(runs: Runs, page: gr.Blocks) -> None:
    """Build the page of the runs."""
    if not runs.folders:
        gr.Markdown("No run is open here. `deepinside serve --run DIR` opens the folder of one.")
        return
    key, number = gr.State(None), gr.State(0)
    status = complaints()
    with gr.Row():
        with gr.Column(scale=2, min_width=240):
            run = gr.Dropdown([(folder.name, each) for each, folder in enumerate(runs.folders)], value=0, label="Run")
            state = gr.Radio([WAITING, JUDGED, ALL], value=WAITING, label="Photos", elem_id="run-state")
            listed = choices("Photos of the run, those that need a person most first", elem_id="run-list")
            with gr.Row():
                before, after = gr.Button("Previous page"), gr.Button("Next page", elem_id="run-next")
                again = gr.Button("Read anew")
            where = gr.HTML("", apply_default_css=False)
        with gr.Column(scale=3, min_width=260):
            stage = viewer("boxes", "Choose a photo of the list.", elem_id="run-photo")
            told = gr.HTML("", elem_id="run-told", apply_default_css=False)
            which = gr.Radio([EVERY], value=EVERY, label="Object", elem_id="run-object")
            with gr.Row():
                accept = gr.Button("Right as it is", variant="primary", elem_id="run-accept")
                reject = gr.Button("No such object", elem_id="run-reject")
                undo = gr.Button("As it was found", elem_id="run-undo")

    handlers = _Handlers(runs)
    private: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 4, "concurrency_id": "run"}
    of_list = [status, number, listed, where]
    of_photo = [*of_list, key, stage, told, which]
    inputs = [run, state, number, key]
    page.load(handlers.listed, inputs, of_list, **private)
    for control in (run, state):
        control.input(handlers.first_page, inputs, of_list, **private)
    before.click(handlers.previous_page, inputs, of_list, **private)
    after.click(handlers.next_page, inputs, of_list, **private)
    again.click(handlers.read_anew, inputs, of_list, **private)
    listed.select(handlers.chosen, inputs, of_photo, **private)
    stage.input(handlers.moved, inputs, of_photo, **private)
    for button, handler in ((accept, handlers.accepted), (reject, handlers.rejected), (undo, handlers.undone)):
        button.click(handler, [*inputs, which], of_photo, **private)


class _Handlers:
    """What happens when somebody does something, with the runs at hand."""

    def __init__(self, runs: Runs):
        self.runs = runs

    @plainly(3)
    def listed(self, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        """The list as it is."""
        return self._list(run, state, page, key)

    @plainly(3)
    def first_page(self, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        """Another list, from its beginning."""
        return self._list(run, state, 0, key)

    @plainly(3)
    def previous_page(self, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        """The photos before these."""
        return self._list(run, state, page - 1, key)

    @plainly(3)
    def next_page(self, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        """The photos after these."""
        return self._list(run, state, page + 1, key)

    @plainly(3)
    def read_anew(self, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        """The list with what a run that goes on has found since."""
        self.runs.photos(run, anew=True)
        return self._list(run, state, page, key)

    @plainly(7)
    def chosen(self, event: gr.EventData, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        """A photo of the list."""
        return self._photo(run, state, page, int(event._data["key"]))

    @plainly(7)
    def moved(self, event: gr.EventData, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        """A box that somebody has moved."""
        number, box = int(event._data["object"]), [int(value) for value in event._data["box"]]
        self.runs.correct(run, _chosen(key), number, MOVED, box)
        return self._photo(run, state, page, _chosen(key))

    @plainly(7)
    def accepted(self, run: int, state: str, page: int, key: int | None, which: int | str) -> tuple[Any, ...]:
        """Objects that are right. A box that was moved stays where it is."""
        return self._judged(run, state, page, key, which, ACCEPTED)

    @plainly(7)
    def rejected(self, run: int, state: str, page: int, key: int | None, which: int | str) -> tuple[Any, ...]:
        """Objects that are none."""
        return self._judged(run, state, page, key, which, REJECTED)

    @plainly(7)
    def undone(self, run: int, state: str, page: int, key: int | None, which: int | str) -> tuple[Any, ...]:
        """Objects of which nothing shall be said any more."""
        return self._judged(run, state, page, key, which, UNDONE)

    def _judged(self, run: int, state: str, page: int, key: int | None, which: int | str, kind: str) -> tuple[Any, ...]:
        photo, said = self.runs.waiting(run, _chosen(key)), self.runs.said(run)
        objects = range(len(photo.objects)) if which == EVERY else [int(which)]
        for number in objects:
            before = self.runs.what(photo, number, said)
            if kind != ACCEPTED or before != MOVED:
                self.runs.correct(run, photo.key, number, kind)
        return self._photo(run, state, page, photo.key)

    def _list(self, run: int, state: str, page: int, key: int | None) -> tuple[Any, ...]:
        said = self.runs.said(run)
        pairs = [(each, is_judged(each.rows, said)) for each in self.runs.photos(run).values()]
        pairs = [pair for pair in pairs if state == ALL or pair[1] == (state == JUDGED)]
        pages = max(-(-len(pairs) // PAGE), 1)
        page = min(max(page, 0), pages - 1)
        shown = pairs[page * PAGE : (page + 1) * PAGE]
        write = shlex.join(["deepinside", "export", str(self.runs.folders[run]), "coco"])
        where = html.small(f"Page {page + 1} of {pages}, {len(pairs)} photos. {write} writes boxes as they are now.")
        return page, list_view([each for each, _ in shown], [judged for _, judged in shown], key), where

    def _photo(self, run: int, state: str, page: int, key: int) -> tuple[Any, ...]:
        photo, said = self.runs.waiting(run, key), self.runs.said(run)
        view = run_view(run, photo, said)
        objects = [(each["label"], number) for number, each in enumerate(view["objects"])]
        lines = [f"{each['label']}: {SAID[each['state']]}" for each in view["objects"] if each["state"]]
        told = html.page(html.heading(photo.name, photo.why), *(f"<div>{html.text(line)}</div>" for line in lines))
        which = gr.Radio([EVERY, *objects], value=EVERY)
        return *self._list(run, state, page, key), key, view, told, which


def _chosen(key: int | None) -> int:
    if key is None:
        raise DeepInsideError("expected a photo first; choose one of the list")
    return key
