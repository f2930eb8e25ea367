"""Pieces of HTML that notebooks show: escaped text, pictures that are inside the page, bars and tables. No scripts.

Text has the colors of the page around it, and all else is half transparent or of a middle tone, so that it can be read
in light and dark themes. Styles stand in the elements, since notebooks drop style sheets where they trust nobody.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

from PIL import Image

from deepinside.core.escape import terminal

QUALITY = 85  # of JPEG, of 100
SIDE = 360  # CSS pixels of the longer side of a picture
MOST_PIXELS = 2 * SIDE  # of an image, for screens with two of them in one of CSS
BAR, TRACK = "#4a90d9", "rgba(128, 128, 128, 0.25)"  # of the bar of a share, and of what is left of it
RULE = "1px solid rgba(128, 128, 128, 0.4)"  # the line below the heads of a table
PAGE = "font-size: 14px; line-height: 1.5; max-width: 56em; overflow-wrap: anywhere; text-align: left"


def page(*parts: str) -> str:
    """All of what a value shows: its parts, one below the other."""
    return f'<div style="{PAGE}">{"".join(parts)}</div>'


def text(value: str) -> str:
    r"""Any text as an element or an attribute may hold it; characters that act on the text around them become visible.

    >>> text("<script> & \x1b")
    '&lt;script&gt; &amp; \\x1b'
    """
    return escape(terminal(value))


def heading(name: str, *facts: str) -> str:
    """A name, and what is to be said of it in smaller letters."""
    return f"<div><strong>{text(name)}</strong>{small(' · '.join(facts), before='&ensp;') if facts else ''}</div>"


def small(value: str, before: str = "") -> str:
    """A text that is less important than the one around it."""
    return f'{before}<span style="opacity: 0.75; font-size: 12px">{text(value)}</span>'


def bar(share: float) -> str:
    """A share, in [0, 1], as a bar. What it stands for is to be told in words beside it.

    >>> "width: 12.5%" in bar(0.125)
    True
    """
    inner = f'<span style="display: block; height: 100%; width: {100 * share:.4g}%; background: {BAR}"></span>'
    style = f"display: block; height: 0.7em; border-radius: 0.2em; overflow: hidden; background: {TRACK}"
    return f'<span aria-hidden="true" style="{style}">{inner}</span>'


def picture(image: Image.Image, alt: str, caption: str = "", side: int = SIDE) -> str:
    """An image with a line below it. `alt` says what is to be seen to those who do not see it.

    `side` is that of the longer side, in CSS pixels.
    """
    scale = side / max(image.size)
    width, height = (max(round(side * scale), 1) for side in image.size)
    style = f"display: block; margin: 0; width: {width}px; max-width: 100%; height: auto"
    shown = f'<img src="{data_uri(image)}" alt="{text(alt)}" width="{width}" height="{height}" style="{style}">'
    below = f"<figcaption>{small(caption)}</figcaption>" if caption else ""
    return f'<figure style="margin: 0; max-width: {width}px">{shown}{below}</figure>'


def row(parts: Iterable[str]) -> str:
    """Parts beside each other, as far as there is room."""
    return f'<div style="display: flex; flex-wrap: wrap; gap: 0.5em 1em; margin: 0.3em 0">{"".join(parts)}</div>'


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts under its title: the first column is left-aligned, and the others are numbers."""
    top = "".join(_cell("th", head, number) for number, head in enumerate(heads))
    lines = ("".join(_cell("td", each, number) for number, each in enumerate(cells)) for cells in rows)
    below = "".join(f"<tr>{line}</tr>" for line in lines)
    style = "border-collapse: collapse; margin: 0.6em 0; font-variant-numeric: tabular-nums; border: 0"
    caption = f'<caption style="text-align: left; padding: 0; color: inherit">{text(title)}</caption>'
    return f'<table style="{style}">{caption}<thead><tr>{top}</tr></thead><tbody>{below}</tbody></table>'


def folded(title: str, parts: Iterable[str]) -> str:
    """Parts that are shown once their title is chosen."""
    return f'<details><summary style="cursor: pointer">{text(title)}</summary>{"".join(parts)}</details>'


def data_uri(image: Image.Image) -> str:
    """An RGB image as a JPEG inside of a link, with its colors as sharp as its brightness: outlines are thin.

    A larger one is reduced to `MOST_PIXELS`.
    """
    stream, image = BytesIO(), image.convert("RGB")
    image.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.BICUBIC, reducing_gap=3.0)
    image.save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}"


def png_uri(content: bytes) -> str:
    """A PNG file inside of a link, bit by bit."""
    return f"data:image/png;base64,{b64encode(content).decode()}"


def _cell(tag: str, value: str, column: int) -> str:
    side = "right" if column else "left"
    line = f"; border-bottom: {RULE}" if tag == "th" else ""
    return f'<{tag} style="text-align: {side}; padding: 0.1em 1.2em 0.1em 0{line}">{text(value)}</{tag}>'
