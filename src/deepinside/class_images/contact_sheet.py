"""Contact sheets: many images on one, each with its caption below, as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from deepinside.core.fonts import in_one_font

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    images: Sequence[Image.Image], captions: Sequence[str], *, side: int = 224, columns: int | None = None
) -> Image.Image:
    """The images in rows, each with its caption below, as in the paper's Figure 1.

    Args:
        images: of any size; each is resized to fit into a square, with its aspect ratio kept.
        captions: one per image, wrapped into as many lines as needed; any text, drawn in a font that has its glyphs.
        side: of a square, in pixels.
        columns: images in a row; by default as many as make the sheet a little wider than high.
    """
    columns = columns or sheet_columns(len(images))
    height = max(side // 14, 9)
    gap = side // 20 + 2
    lettered = [_lettered(caption, height) for caption in captions]
    texts = [_wrapped(text, font, side) for text, font in lettered]
    leading = round(height * 0.3)
    line = height + leading
    row_height = side + gap + max(text.count("\n") + 1 for text in texts) * line + gap
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * row_height + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (image, text, (_, font)) in enumerate(zip(images, texts, lettered, strict=True)):
        row, column = divmod(number, columns)
        left, top = gap + column * (side + gap), gap + row * row_height
        small = image.convert("RGB")
        small = small.resize(_fitted(small.size, side), Image.Resampling.BICUBIC)
        sheet.paste(small, (left + (side - small.width) // 2, top + (side - small.height) // 2))
        middle = (left + side / 2, top + side + gap // 2)
        draw.multiline_text(middle, text, fill="black", font=font, anchor="ma", align="center", spacing=leading)
    return sheet


def sheet_columns(count: int) -> int:
    """The number of images in a row, such that the sheet is a little wider than high.

    >>> sheet_columns(12), sheet_columns(2), sheet_columns(1000)
    (4, 2, 37)
    """
    return max(round((count * 1.4) ** 0.5), 1) if count > 3 else count


def _lettered(text: str, height: int) -> tuple[str, Font]:
    """A caption in Pillow's own font, or, where that lacks a character, in the one that has most of them."""
    shown, path, index = in_one_font(text)
    return shown, ImageFont.load_default(height) if shown.isascii() else ImageFont.truetype(path, height, index)


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _wrapped(text: str, font: Font, width: float) -> str:
    """Wrap a text at spaces, and inside words that are wider than a line, so that nothing is cut off."""
    lines = [""]
    for word in text.split():
        if lines[-1] and font.getlength(f"{lines[-1]} {word}") > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
        while font.getlength(lines[-1]) > width and len(lines[-1]) > 1:
            fits = next(n for n in range(len(lines[-1]) - 1, 0, -1) if n == 1 or font.getlength(lines[-1][:n]) <= width)
            lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
    return "\n".join(lines)
