"""The components of the page that Gradio does not have: HTML with a script of `assets`, which draws a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from importlib.resources import files
from typing import Any

import gradio as gr

from deepinside.core import html
from deepinside.core.errors import DeepInsideError
from deepinside.studio.desk import MOST_BYTES


def asset(name: str) -> str:
    """The text of a file of the page."""
    return (files("deepinside.studio") / "assets" / name).read_text(encoding="utf-8")


def viewer(mode: str, invitation: str, **options: Any) -> gr.HTML:
    """A photo with what was found in it; `mode` is `"photo"`, or `"boxes"` where boxes can be moved."""
    return gr.HTML(
        None,
        html_template=asset("viewer.html"),
        js_on_load=asset("viewer.js"),
        mode=mode,
        invitation=invitation,
        most_bytes=MOST_BYTES,
        apply_default_css=False,
        **options,
    )


def choices(label: str, **options: Any) -> gr.HTML:
    """A list of buttons, of which one is chosen."""
    template = f'<div class="di-choices" role="group" aria-label="{html.text(label)}"></div>'
    return gr.HTML({}, html_template=template, js_on_load=asset("choices.js"), apply_default_css=False, **options)


def examples(names: Sequence[str]) -> gr.HTML:
    """Small pictures of photos that anybody may open."""
    template = '<div class="di-examples" role="group" aria-label="Example photos"></div>'
    return gr.HTML(list(names), html_template=template, js_on_load=asset("examples.js"), apply_default_css=False)


def complaints() -> gr.HTML:
    """Where mistakes are told; it takes no room while there is none."""
    return gr.HTML("", elem_classes="di-complaints", apply_default_css=False)


def complaint(text: str) -> str:
    """A mistake as one sentence on the page, which is read out."""
    return f'<p class="di-error" role="alert">{html.text(text)}</p>' if text else ""


def plainly(count: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a handler of so many outputs tell a mistake on the page: a further output, before its own, has it.

    Where there is a mistake, the other outputs stay as they are.
    """

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(handler)
        def told(*given: Any) -> Any:
            try:
                found = handler(*given)
            except DeepInsideError as error:
                return (complaint(str(error)), *[gr.skip()] * count)
            return ("", *found) if count > 1 else ("", found)

        return told

    return decorate


def plainly_each(count: int) -> Callable[[Callable[..., Iterator[Any]]], Callable[..., Iterator[Any]]]:
    """The same for a handler that yields."""

    def decorate(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        @wraps(handler)
        def told(*given: Any) -> Iterator[Any]:
            try:
                for found in handler(*given):
                    yield ("", *found)
            except DeepInsideError as error:
                yield (complaint(str(error)), *[gr.skip()] * count)

        return told

    return decorate
