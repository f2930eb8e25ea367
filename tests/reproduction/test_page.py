"""The page of a reproduction: self-contained, section by section, every figure beside the paper's."""

import base64
import io
import re

from PIL import Image

from deepinside.reproduction.page import write_page
from helpers import Page


def test_everything_is_inside_the_page(made):
    _, path, _ = made
    content = path.read_text()
    page = Page(content)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base"}
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in page.fetched)
    assert {address[1:] for address in page.fetched if address.startswith("#")} <= page.ids
    assert not re.search(r"url\(|@import|https?:", content.partition("<body>")[0])
    pictures = [address for address in page.fetched if address.startswith("data:")]
    for address in pictures:
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
        assert len(picture.getcolors(1 << 24)) > 20, "a picture, not a blank"
    assert len(pictures) >= 2 * 2 + 1 + 2 + 2 + 1, "class images of both presets, and what came before"


def test_every_section_of_the_paper_stands_beside_the_papers_figures(made):
    page = Page(made[1].read_text())
    for section in ("Section 1", "Section 2", "Section 3.1", "Section 3.2", "Section 4"):
        assert section in page.text
    for figure in ("39.7%", "17.7%", "46.4"):
        assert figure in page.text
    for floor in ("A centered box of half the area", "The whole image"):
        assert floor in page.text
    assert "ant <small> $x_{y$" in page.text, "names are text, not markup"


def test_the_page_is_written_whatever_names_hold(tmp_path, monkeypatch, unchecked):
    monkeypatch.setattr("deepinside.reproduction.page.page", lambda *_: "<p>a\x00b \udce9 \x1b[31m 柴犬</p>\n")
    path = write_page(tmp_path / "report.html", None, None, None, None)
    assert path.read_text(encoding="utf-8") == "<p>a\\x00b \\xe9 \\x1b[31m 柴犬</p>\n"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
