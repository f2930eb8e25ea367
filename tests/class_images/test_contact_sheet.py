"""The contact sheet: every image in its position, every caption complete."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from deepinside.class_images.contact_sheet import _lettered, _wrapped, contact_sheet, sheet_columns


def test_pictures_stand_in_reading_order_and_keep_their_proportions():
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    pictures = [Image.new("RGB", (40, 20), color) for color in colors]
    sheet = np.asarray(contact_sheet(pictures, ["a"] * 5, side=60))
    places = [np.argwhere((sheet == color).all(axis=2)) for color in colors]
    for place in places:
        height, width = np.ptp(place, axis=0) + 1
        assert (height, width) == (30, 60)
    corners = [tuple(place.min(axis=0)) for place in places]
    assert corners == sorted(corners), "left to right, then down"
    assert len({top for top, _ in corners}) == 2


@pytest.mark.parametrize("caption", [
    "limousine",
    "computer keyboard, keypad and everything else that has keys",
    "model.blocks.4.1.a.very.long.layer.name:31@mean",
    "",
])  # fmt: skip
def test_captions_are_wrapped_never_cut(caption):
    font = ImageFont.load_default(size=12)
    text = _wrapped(caption, font, 100)
    assert text.replace("\n", "").replace(" ", "") == caption.replace(" ", "")
    assert all(font.getlength(line) <= 100 for line in text.split("\n"))
    sheet = np.asarray(contact_sheet([Image.new("RGB", (100, 100), "white")], [caption], side=100))
    edge = np.concatenate([sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1]])
    assert (edge == 255).all(), "no ink touches the edge"
    assert bool((sheet < 128).any()) == bool(caption)


def test_figure_1_has_rows_of_four():
    assert sheet_columns(12) == 4
    assert [sheet_columns(count) for count in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("caption", ["Äpfel, żółć", "Ελλάδα", "Привет", "שלום", "½ → ∞"])
def test_captions_are_in_a_font_that_has_their_letters(caption):
    shown, font = _lettered(caption, 16)
    assert shown == caption
    blank = font.getmask("\uffff").getbbox(), bytes(font.getmask("\uffff"))
    for letter in set(caption) - {" ", ","}:
        assert (font.getmask(letter).getbbox(), bytes(font.getmask(letter))) != blank, "not the box of a missing one"


def test_captions_are_shown_as_they_are():
    assert _lettered("$x^2$ [b]", 16)[0] == "$x^2$ [b]"
    assert _lettered("a\nb\x1b[2J\U0010fffd", 16)[0] == r"a\nb\x1b[2J\U0010fffd"
