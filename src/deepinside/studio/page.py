"""The page: three tabs, for one photo, one class and one run."""

from __future__ import annotations

import gradio as gr

from deepinside.studio.class_tab import class_tab
from deepinside.studio.desk import Desk
from deepinside.studio.photo_tab import photo_tab
from deepinside.studio.run_tab import run_tab
from deepinside.studio.runs import Runs

TITLE = "deepinside"
MOST_WAITING = 200  # requests in the queue of one kind, all people together
# System fonts, so that nothing is fetched; colors with a contrast of 4.5 to 1 at least, light and dark.
FONTS = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")
THEME = gr.themes.Default(
    primary_hue="blue", neutral_hue="slate", font=FONTS[0], font_mono=FONTS[1]
).set(
    button_primary_background_fill="#1d4ed8", button_primary_background_fill_dark="#1d4ed8",
    button_primary_background_fill_hover="#1e40af", button_primary_background_fill_hover_dark="#1e40af",
    button_primary_text_color="white", block_label_text_color="#1e293b", block_label_text_color_dark="#e2e8f0",
    block_title_text_color="#1e293b", block_title_text_color_dark="#e2e8f0",
    body_text_color_subdued="#475569", body_text_color_subdued_dark="#cbd5e1",
)  # fmt: skip


def page(desk: Desk, runs: Runs) -> gr.Blocks:
    """The whole page, without the addresses of `routes`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=False) as blocks:
        gr.Markdown("# deepinside\nWhat did the network look at, and why?")
        with gr.Tab("One photo", id="photo"):
            photo_tab(desk, blocks)
        with gr.Tab("One class", id="class") as of_class:
            class_tab(desk, of_class)
        with gr.Tab("One folder", id="run"):
            run_tab(runs, blocks)
    blocks.queue(max_size=MOST_WAITING, api_open=False)
    result: gr.Blocks = blocks
    return result
