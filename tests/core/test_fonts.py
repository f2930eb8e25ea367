"""Text in figures: its glyphs, its width, and nothing that is read as markup; drawn, and looked at."""

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from deepinside.core import fonts

UNKNOWN = "\U0010fffd"  # for private use: no font has it


def drawn(lettering, width=3.0):
    """The ink of a text on a canvas."""
    figure = Figure(figsize=(width, 1), dpi=fonts.RESOLUTION)
    figure.text(0.5, 0.5, lettering.text, ha="center", va="center", **lettering.style)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0] < 128


@pytest.mark.parametrize(
    "text", ["$x^2$", "from $5 to $7", "\\$", "a_b^c", "\\frac{1}{0}", "$", "$$", "[bold]x[/]", "<b>"]
)
def test_text_is_drawn_as_it_is_written(text):
    """The same ink as where matplotlib is told not to look for formulas."""
    lettering = fonts.fitted(text, 12, 3)
    plain = Figure(figsize=(3, 1), dpi=fonts.RESOLUTION)
    plain.text(0.5, 0.5, text, ha="center", va="center", parse_math=False, **lettering.style)
    canvas = FigureCanvasAgg(plain)
    canvas.draw()
    np.testing.assert_array_equal(drawn(lettering), np.asarray(canvas.buffer_rgba())[..., 0] < 128)


def test_the_default_font_has_many_alphabets():
    assert fonts.families("tabby ÄéñøŁ Ελλάδα Привет שלום مرحبا → ½") == (fonts.DEFAULT,)
    assert fonts.missing("tabby\u200d\ufe0f\u202f") == "", "joiners and selectors have no glyph of their own"


def test_fonts_may_be_links_to_files_elsewhere(monkeypatch, tmp_path):
    """As in an environment whose packages are linked, where matplotlib finds fonts by the files behind the links."""
    path = findfont(fonts.DEFAULT)
    (tmp_path / "linked.ttf").symlink_to(path)
    entry = replace(fonts._default(), fname=str(tmp_path / "linked.ttf"))
    monkeypatch.setattr(fonts.font_manager.fontManager, "ttflist", [entry])
    assert fonts._default() == entry
    assert fonts.missing(f"a{UNKNOWN}") == UNKNOWN


def test_what_no_font_has_is_its_code_point():
    assert fonts.missing(f"a{UNKNOWN}b{UNKNOWN}") == UNKNOWN
    assert fonts.drawable(f"a{UNKNOWN}b") == r"a\U0010fffdb"
    assert fonts.in_one_font(f"é{UNKNOWN}")[0] == r"é\U0010fffd"
    glyphs = get_font(findfont(fonts.DEFAULT)).get_charmap()
    assert all(ord(each) in glyphs for each in fonts.fitted(f"a{UNKNOWN}", 9, 3).text)


def test_other_fonts_are_found_by_their_glyphs(monkeypatch):
    """Here the fonts of the machine are two that come with matplotlib, and the text is for one of them."""
    default = set(map(chr, get_font(findfont(fonts.DEFAULT)).get_charmap()))
    general = set(map(chr, get_font(findfont("STIXGeneral")).get_charmap()))
    letters = sorted(each for each in general - default if unicodedata.category(each) in ("Lo", "Sm", "So"))
    assert letters
    monkeypatch.setattr(
        fonts, "_candidates", lambda: [each for each in fonts.font_manager.fontManager.ttflist if each.name in known]
    )
    known = {"cmr10"}
    fonts._chosen.cache_clear()
    assert fonts.missing(letters[0]) == letters[0]
    known = {"cmr10", "STIXGeneral"}
    fonts._chosen.cache_clear()
    assert fonts.families(f"a{letters[0]}") == (fonts.DEFAULT, "STIXGeneral")
    assert fonts.missing(letters[0]) == ""
    text, path, index = fonts.in_one_font(letters[0] * 3)
    assert (text, index) == (letters[0] * 3, 0)
    assert ord(letters[0]) in get_font(path).get_charmap()
    fonts._chosen.cache_clear()


def test_the_last_resort_is_no_font():
    assert not any(each.name.startswith("Last Resort") for each in fonts._candidates())


@pytest.mark.parametrize("text", ["W" * 100, "i" * 100, "a long label of many words that goes on " * 5, "x"])
@pytest.mark.parametrize("lines", [1, 2, 3])
def test_no_line_is_wider_than_its_room(text, lines):
    lettering = fonts.fitted(text, 9, 1.5, lines)
    font = FontProperties(family=list(lettering.family), size=9)
    shown = lettering.text.split("\n")
    assert len(shown) <= lines
    assert all(fonts.width_of(line, font) <= 72 * 1.5 for line in shown)
    complete = lettering.text.replace("\n", "").replace(" ", "") == text.replace(" ", "")
    assert complete != lettering.text.endswith("…")
    ink = np.argwhere(drawn(lettering))
    assert np.ptp(ink[:, 1]) <= 1.5 * fonts.RESOLUTION


def test_lines_break_at_spaces_and_inside_what_is_too_long():
    assert fonts.fitted("tiger cat and tabby cat", 9, 1.0, 3).text == "tiger cat and\ntabby cat"
    lines = fonts.fitted("x" * 30, 9, 1.0, 5).text.split("\n")
    assert "".join(lines) == "x" * 30
    assert fonts.fitted("", 9, 1.0).text == ""


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\u202eevil", "\udce9", "\x00"])
def test_what_acts_on_text_is_visible(text):
    shown = fonts.fitted(text, 9, 3).text
    assert "\n" not in shown
    assert all(each.isprintable() for each in shown)
    assert "\\" in shown
