r"""Text in images: a font that has its glyphs, the room that it takes, and escapes for what no font can show.

DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic, Arabic, Hebrew and many symbols. For others, such
as 柴犬, the fonts of the system are searched; a character that none of them has is shown as its code point, `\u67f4`,
which can be looked up, and not as the empty box that all missing characters share.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from matplotlib import font_manager
from matplotlib.font_manager import FontEntry, FontProperties
from matplotlib.textpath import text_to_path

from deepinside.core.escape import figure, terminal

DEFAULT = "DejaVu Sans"
LAST_RESORT = "Last Resort"  # a font with a box for every character
REGULAR = ("normal", "regular", "book", "roman", 400)
RESOLUTION = 150  # of figures, in dots per inch
LONGEST = 400  # characters of a text that are looked at
ELLIPSIS = "…"
LEADING = 1.35 / 72  # inches from one line to the next, per point of size


@dataclass(frozen=True)
class Lettering:
    """A text as matplotlib draws it: its lines, and the fonts in which each character is looked for in turn."""

    text: str
    family: tuple[str, ...]
    size: float  # in points

    @property
    def style(self) -> dict[str, Any]:
        """The same as keywords of matplotlib's text functions."""
        return {"fontfamily": list(self.family), "fontsize": self.size}

    @property
    def height(self) -> float:
        """In inches, of all lines."""
        return (self.text.count("\n") + 1) * self.size * LEADING


def fitted(text: str, size: float, width: float, lines: int = 1) -> Lettering:
    r"""A text in as many lines as it needs, at most `lines`; what does not fit ends in an ellipsis.

    Args:
        text: anything; line breaks, `$` and other characters with a meaning of their own are drawn as they are.
        size: in points.
        width: of a line, in inches.
        lines: the most.

    >>> fitted("a tabby, $5", 9, width=2).text, fitted("tabby " * 9, 9, width=1, lines=2).text
    ('a tabby, \\$5', 'tabby tabby\ntabby tabby…')
    """
    shown = drawable(text[:LONGEST])
    family = families(shown)
    wrapped = _wrapped(shown, FontProperties(family=list(family), size=size), 72 * width, lines)
    return Lettering("\n".join(map(figure, wrapped)), family, size)


def drawable(text: str) -> str:
    r"""A text whose every character some font has; others become escapes.

    >>> print(drawable("tabby\n\U0010fffd"))
    tabby\n\U0010fffd
    """
    lacking = set(missing(text))
    return "".join(_code_point(each) if each in lacking else each for each in terminal(text))


def missing(text: str) -> str:
    """The characters of a text that no font of this machine has, each once.

    >>> missing("Ελλάδα, a tabby")
    ''
    """
    needed = _needed(terminal(text))
    return "".join(sorted(needed - glyphs_of(_chosen(needed)))) if needed else ""


def families(text: str) -> tuple[str, ...]:
    """The names of fonts that have the characters of a text together, as far as any have: the default one first.

    >>> families("tabby")
    ('DejaVu Sans',)
    """
    return (DEFAULT, *(entry.name for entry in _chosen(_needed(text))))


def in_one_font(text: str) -> tuple[str, str, int]:
    """A text for a library that draws in one font: with escapes for what it lacks, and the font's file and face."""
    shown = drawable(text)
    visible = _visible(shown)
    chosen = max([_default(), *_chosen(_needed(shown))], key=lambda entry: len(visible & _glyphs(entry)))
    lacking = visible - _glyphs(chosen)
    return "".join(_code_point(each) if each in lacking else each for each in shown), *_face(chosen)


def glyphs_of(entries: Iterable[FontEntry]) -> frozenset[str]:
    """The characters that some of the fonts have."""
    return frozenset().union(*map(_glyphs, entries))


def _needed(text: str) -> frozenset[str]:
    """The characters that need another font than the default one."""
    return _visible(text) - _glyphs(_default())


def _visible(text: str) -> frozenset[str]:
    """The characters with a glyph of their own, which joiners, spaces and variation selectors have not."""
    none = ("Cf", "Cc", "Zs")
    return frozenset(each for each in text if unicodedata.category(each) not in none and not _selects(each))


def _selects(character: str) -> bool:
    """Whether a character is a variation selector, which chooses among the glyphs of the one before it."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


@lru_cache(1024)
def _chosen(needed: frozenset[str]) -> tuple[FontEntry, ...]:
    """Fonts that have the characters, as few as a greedy choice gives; none for what no font has."""
    if not needed:
        return ()
    chosen: list[FontEntry] = []
    candidates, rest = _candidates(), needed
    while candidates and rest:
        best = max(candidates, key=lambda entry: len(rest & _glyphs(entry)))
        if not rest & _glyphs(best):
            break
        chosen.append(best)
        rest -= _glyphs(best)
    return tuple(chosen)


@lru_cache(1)
def _candidates() -> Sequence[FontEntry]:
    """The regular fonts of this machine with outlines, also those installed after matplotlib last looked."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                font_manager.fontManager.addfont(path)
            except Exception:  # no font, or one that FreeType cannot read
                continue
    regular = [each for each in font_manager.fontManager.ttflist if each.style == "normal" and each.weight in REGULAR]
    return [each for each in regular if not each.name.startswith(LAST_RESORT)]


def _default() -> FontEntry:
    path = font_manager.findfont(DEFAULT)  # without links, which an environment of linked packages has
    return next(each for each in font_manager.fontManager.ttflist if _without_links(each.fname) == path)


_without_links = lru_cache(4096)(os.path.realpath)


@lru_cache(4096)
def _glyphs_in(path: str, index: int) -> frozenset[str]:
    try:
        face = font_manager.get_font(font_manager.FontPath(path, index) if index else path)
    except Exception:  # a font that FreeType cannot read has no glyphs
        return frozenset()
    return frozenset(map(chr, face.get_charmap())) if face.scalable else frozenset()


def _glyphs(entry: FontEntry) -> frozenset[str]:
    return _glyphs_in(*_face(entry))


def _face(entry: FontEntry) -> tuple[str, int]:
    """The file of a font, and which font of the file it is; before matplotlib 3.11, always the first."""
    return entry.fname, getattr(entry, "index", 0)


def _code_point(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _wrapped(text: str, font: FontProperties, width: float, most: int) -> list[str]:
    """Lines of at most `width` points, broken at spaces, or inside a word that is wider."""
    lines: list[str] = []
    rest = text.strip()
    while rest and len(lines) < most:
        count = _fitting(rest, font, width)
        if count < len(rest) and len(lines) == most - 1:
            return [*lines, rest[: _fitting(rest, font, width, ELLIPSIS)].rstrip() + ELLIPSIS]
        if count < len(rest) and " " in rest[: count + 1].strip():
            count = rest.rindex(" ", 0, count + 1)
        lines.append(rest[:count].rstrip())
        rest = rest[count:].lstrip()
    return lines or [""]


def _fitting(text: str, font: FontProperties, width: float, end: str = "") -> int:
    """How many characters fit into a line with `end` after them, and at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(text[:middle] + end, font) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def width_of(text: str, font: FontProperties) -> float:
    """The width of a line in points, at most: hinting rounds each glyph to a whole pixel."""
    exact = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return float(exact) + len(text) * 0.5 * 72 / RESOLUTION
