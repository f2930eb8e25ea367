"""Pieces of HTML, read back by Python's parser and by Pillow."""

from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from deepinside.core import html

HOSTILE = ['<script>alert("1")</script>', "a\" onerror='b' & c", "</div></table>", "\x1b[31m\u202e\udce9", "柴犬 ünï"]


class Read(HTMLParser):
    """The tags that are open, the text, and the attributes of images and cells."""

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.tags = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_text_is_read_back_as_it_is_or_as_an_escape(name):
    page = html.page(html.heading(name, name), html.picture(Image.new("RGB", (3, 2)), name, name), html.small(name))
    page += html.table(name, [name, name], [[name, name]]) + html.folded(name, [])
    read = Read(page)
    shown = name.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e").replace("\udce9", r"\xe9")
    assert [each.strip("\u2002") for each in read.words if each.strip("\u2002")] == [shown] * 10
    ((_, image),) = (each for each in read.tags if each[0] == "img")
    assert image["alt"] == shown
    assert set(image) == {"src", "alt", "width", "height", "style"}
    assert "script" not in dict(read.tags)
    page.encode()


@pytest.mark.parametrize(("size", "shown"), [((400, 100), (360, 90)), ((20, 40), (180, 360)), ((5000, 1), (360, 1))])
def test_a_picture_is_inside_of_the_page_as_wide_and_high_as_the_image(size, shown):
    image = Image.effect_noise(size, 50).convert("RGB")
    ((_, attributes),) = (each for each in Read(html.picture(image, "a")).tags if each[0] == "img")
    assert (attributes["width"], attributes["height"]) == tuple(map(str, shown))
    kind, _, content = attributes["src"].partition(";base64,")
    assert kind == "data:image/jpeg"
    inside = Image.open(BytesIO(b64decode(content)))
    assert inside.size == (size if max(size) <= 720 else (720, 1))
    if inside.size == size:
        assert np.abs(np.asarray(inside, float) - np.asarray(image, float)).mean() < 6


@pytest.mark.parametrize(("share", "width"), [(0, "0%"), (1, "100%"), (1 / 3, "33.33%"), (1e-7, "1e-05%")])
def test_a_bar_is_as_long_as_its_share(share, width):
    outer, inner = Read(html.bar(share)).tags
    assert outer[1]["aria-hidden"] == "true"
    assert f"width: {width};" in inner[1]["style"]


def test_a_table_has_a_cell_for_each_text():
    read = Read(html.table("errors", ["method", "top-1"], [["best", "41.2"], ["paper", "—"]]))
    assert [word for word in read.words if word.strip()] == ["errors", "method", "top-1", "best", "41.2", "paper", "—"]
    assert [tag for tag, _ in read.tags].count("tr") == 3


def test_nothing_fixes_the_color_of_the_text():
    page = html.page(html.heading("a", "b"), html.small("c"), html.bar(0.5), html.table("d", ["e"], [["f"]]))
    for _, attributes in Read(page).tags:
        styles = [each.split(":")[0].strip() for each in attributes.get("style", "").split(";")]
        assert "color" not in styles or "color: inherit" in attributes["style"]
