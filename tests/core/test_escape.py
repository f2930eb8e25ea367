"""Hostile text in each place, read back by the place's own reader: matplotlib, csv, XML, JSON and YAML parsers."""

import csv
import io
import json
import string
import unicodedata
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deepinside.core import escape

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ORDINARY = ["tabby, tabby cat", "柴犬", "Müller's “café”", "قط‏", "👩‍🔬🏴󠁧󠁢󠁥󠁮󠁧󠁿", "a\\b", "<b>&amp;"]
HOSTILE = ["\x1b[31m", "\x9b31m", "a\nb", "a\rb", "\x00", "\u202egpj.exe", "\u2066x", "caf\udce9", "\ud800", "\x7f\x08"]


@given(st.recursive(ANYTHING, lambda inside: st.lists(inside, max_size=3)))
def test_a_script_of_html_holds_whatever_it_is_given(value):
    content = escape.script([value, "</script><!--<script>"])
    assert content.isascii()
    assert "<" not in content
    assert json.loads(content)[0] == value


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text):
    for place in (escape.terminal, escape.figure, escape.cell, escape.encodable, escape.xml):
        assert place(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_acts_on_a_terminal(text):
    safe = escape.terminal(f"<{text}>")
    assert not {unicodedata.category(character) for character in safe} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(each) for each in safe} & {"LRO", "RLO", "LRE", "RLE", "LRI", "RLI", "FSI"}
    assert "\\" in safe


@given(ANYTHING)
def test_terminal_text_is_one_line_that_can_be_encoded(text):
    safe = escape.terminal(text)
    safe.encode()
    assert len(safe.splitlines()) <= 1


@pytest.mark.parametrize("text", ["$x$", "$", "$5 to $7", r"a\$b$", r"$\frac$", "_{a}^b", "$$", *HOSTILE])
def test_a_figure_shows_the_text_itself(text):
    """Matplotlib's own decision of what is mathematics, and a drawing, which fails for a broken formula."""
    figure = Figure()
    drawn = figure.text(0, 0, escape.figure(text))
    shown, is_math = drawn._preprocess_math(drawn.get_text())
    assert not is_math
    assert shown == escape.terminal(text)
    FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize(
    "text", ["=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "-", "-x"]
)
def test_a_cell_is_no_formula(text):
    assert escape.cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-3.5", "+4", "-1e-05", "-.5", "-inf", "7", "nan", "1-1", "a=b"])
def test_numbers_in_cells_stay_numbers(text):
    assert escape.cell(text) == text


@given(ANYTHING)
def test_cells_are_read_back(text):
    safe = escape.cell(text)
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow([safe, "next"])
    stream.seek(0)
    assert next(csv.reader(io.StringIO(stream.read().encode().decode(), newline=""))) == [safe, "next"]


@given(ANYTHING)
def test_json_and_files_take_encodable_text(text):
    safe = escape.encodable(text)
    assert json.loads(json.dumps(safe).encode()) == json.loads(json.dumps(safe, ensure_ascii=False).encode()) == safe


@given(ENCODABLE)
def test_encodable_text_stays(text):
    assert escape.encodable(text) == text


@given(ANYTHING)
def test_xml_is_read_back(text):
    safe = escape.xml(text)
    element = ElementTree.Element("name", value=safe)
    element.text = safe
    read = ElementTree.fromstring(ElementTree.tostring(element, encoding="unicode").encode())
    assert (read.text or "", read.get("value")) == (safe, safe)


@given(ENCODABLE)
def test_yaml_is_read_back_as_it_was(text):
    assert yaml.safe_load(f"names:\n  0: {escape.yaml(text)}\n") == {"names": {0: text}}


@given(ANYTHING)
def test_yaml_takes_what_cannot_be_encoded(text):
    assert yaml.safe_load(escape.yaml(text).encode()) == escape.encodable(text)


@given(ANYTHING)
def test_file_names_are_one_part_of_a_path(text):
    safe = escape.file_name(text)
    safe.encode()
    assert not set(safe) & set('<>:"/\\|?*\n\x00')
    assert safe not in (".", "..")
    assert not safe.endswith((".", " "))


@pytest.mark.parametrize("text", ["con", "NUL.txt", "Com1", "aux .x", "LPT²"])
def test_file_names_are_no_devices(text):
    assert escape.file_name(text).startswith("%")


@pytest.mark.parametrize("text", ["console", "common", "null", "a.con", "COM", string.ascii_letters, "柴犬"])
def test_ordinary_file_names_stay(text):
    assert escape.file_name(text) == text
