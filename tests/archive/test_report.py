"""The page of a run: everything is in it, it says what the rows say, and nothing in a name acts on it."""

import base64
import json
import os
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from itertools import chain
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image

from deepinside import Classifier
from deepinside.archive import report as module
from deepinside.archive.folder import opened_run, part_rows
from deepinside.archive.report import Report, report
from deepinside.archive.review import need
from deepinside.archive.rows import photos_of
from deepinside.archive.run import running
from deepinside.archive.small_maps import read_map
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError
from deepinside.core.progress import Progress
from helpers import Colors, Page

LABELS = ["</script><script>alert(1)</script>", "<!-- قطة & 猫 🐈", "blue\u202e\x1b[31m\u2028?"]


class Scripts(HTMLParser):
    """The content of each script, by its id, and those without one in a list; and the text outside."""

    def __init__(self, content):
        super().__init__()
        self.data, self.code, self.current = {}, [], None
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag == "script":
            self.current = dict(attributes).get("id", "")

    def handle_endtag(self, tag):
        if tag == "script":
            self.current = None

    def handle_data(self, data):
        if self.current:
            self.data[self.current] = self.data.get(self.current, "") + data
        elif self.current is not None:
            self.code.append(data)


def square(path, color, **options):
    image = Image.new("RGB", (40, 30), "gray")
    image.paste(color, (8, 6, 26, 22))
    image.save(path, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run over photos of strange names and labels, of which one has failed, one is labeled and one has vanished."""
    tmp_path = tmp_path_factory.mktemp("archive")
    (tmp_path / "photos").mkdir()
    names = ["<b>&.png", "صورة.png", "caf\udce9.png", "#100%?.png", "gone.png", "given.png"]
    for number, name in enumerate(names):
        square(tmp_path / "photos" / name, ("red", "lime", "blue")[number % 3])
    (tmp_path / "photos" / "broken <b>.png").write_bytes(b"")
    wanted = [Wanted.named(path, path.relative_to(tmp_path)) for path in sorted((tmp_path / "photos").iterdir())]
    wanted = [Wanted.named(each.path, each.name, (1,) if "given" in each.path.name else ()) for each in wanted]
    network = Classifier(Colors(), labels=LABELS, size=32, name="a <model>")
    with running(network, wanted, tmp_path / "a run", min_probability=0.05) as (_, outcomes):
        assert sum(outcome.error is not None for outcome in outcomes) == 1
    (tmp_path / "photos" / "gone.png").unlink()
    return tmp_path / "a run"


def written(folder, out=None):
    *progress, last = report(folder, out)
    assert all(isinstance(event, Progress) for event in progress)
    assert [event.done for event in progress] == list(range(last.photos))
    return last


def read_back(path):
    """The index, and the details of each photo in its order."""
    found = Scripts(path.read_text(encoding="utf-8"))
    index = json.loads(found.data.pop("index"))
    blocks = [json.loads(found.data[f"block{number}"]) for number in range(len(found.data))]
    assert all(len(block) <= index["block"] for block in blocks)
    return index, list(chain.from_iterable(blocks))


def test_the_page_says_what_the_rows_say(folder):
    told = written(folder)
    assert told == Report(folder / "report.html", 7, 1, 1)
    index, details = read_back(told.path)
    photos = {photo[0]["photo"]: photo for rows in part_rows(folder) for photo in photos_of(rows)}
    assert sorted(entry[0] for entry in index["photos"]) == sorted(photos)
    for (name, score, predicted, probability, found, reason), detail in zip(index["photos"], details, strict=True):
        rows = photos[name]
        if rows[0]["error"]:
            assert (score, predicted, found, detail) == (None, None, [], None)
            assert index["reasons"][reason] == "expected a photo, got an empty file (0 bytes)"
            continue
        assert (score, reason) == (round(need(rows), 4), None)
        assert (predicted, probability) == (rows[0]["top"][0], round(rows[0]["top_probability"][0], 4))
        objects = [row for row in rows if row["class"] is not None]
        assert sum(each[2] for each in found) == len(objects)
        for index_of, chance, count, given in found:
            mine = [row for row in objects if row["class"] == index_of]
            assert (chance, count, given) == (round(mine[0]["probability"], 4), len(mine), mine[0]["given"])
        check_details(detail, rows, objects)


def check_details(detail, rows, objects):
    width, height, picture, shown, chances, maps, _ = detail
    assert (width, height) == (40, 30)
    if rows[0]["photo"] == "photos/gone.png":
        assert picture == ""
    else:
        image = Image.open(BytesIO(base64.b64decode(picture)))
        original = Image.open(os.fsdecode(rows[0]["file"]))
        assert image.size == original.size
        assert np.abs(np.asarray(image, float) - np.asarray(original)).mean() < 12
    for each, row in zip(shown, objects, strict=True):
        assert each[:2] == [row["class"], row["number"]]
        assert each[3:8] == [row["x0"], row["y0"], row["x1"], row["y1"], row["given"]]
        points = np.array(re.findall(r"M(\d+),(\d+)", each[8]), float) * 40 / 640
        assert ((points >= [row["x0"] - 1, row["y0"] - 1]) & (points <= [row["x1"] + 1, row["y1"] + 1])).all()
    assert [chance[0] for chance in chances] == rows[0]["top"]
    assert {*map(int, maps)} == {row["class"] for row in objects}
    for row in (row for row in objects if row["number"] == 1):
        shown = np.asarray(Image.open(BytesIO(base64.b64decode(maps[str(row["class"])]))).convert("L"), float)
        assert np.abs(shown - read_map(row["map"])).mean() < 8


def test_those_who_need_a_person_come_first_and_failures_last(folder):
    index, _ = read_back(written(folder).path)
    scores = [photo[1] for photo in index["photos"]]
    assert scores[-1] is None
    assert scores[:-1] == sorted(scores[:-1], reverse=True)


def test_nothing_is_fetched_and_no_name_acts_on_the_page(folder):
    content = written(folder).path.read_text(encoding="utf-8")
    scripts, page = Scripts(content), Page(content)
    assert len(scripts.code) == 1, "our own"
    assert "alert(1)" not in scripts.code[0]
    assert all(address.startswith("#") for address in page.fetched)
    assert not page.tags & {"link", "iframe", "object", "embed", "base"}
    assert not re.search(r"url\(|@import|https?:(?!//www\.w3\.org/2000/svg)", content)
    assert "innerHTML" not in content
    assert "default-src 'none'" in content
    assert all(data.isascii() for data in scripts.data.values())
    assert "a &lt;model&gt;" in content
    names = json.loads(scripts.data["index"])["names"]
    assert names["0"] == LABELS[0]
    assert names["1"] == LABELS[1]
    assert names["2"] == r"blue\u202e\x1b[31m\u2028?"


def test_links_lead_to_the_photos_from_where_the_page_is(folder):
    tmp_path = folder.parent
    for out in (folder / "report.html", tmp_path / "elsewhere" / "deep" / "page.html"):
        _, details = read_back(written(folder, out).path)
        links = [os.fsdecode(unquote_to_bytes(detail[6])) for detail in details if detail]
        assert all(re.fullmatch(r"[\w./~%-]+", detail[6], re.ASCII) for detail in details if detail)
        found = {(out.parent / link).resolve() for link in links}
        assert found == {path for path in (tmp_path / "photos").iterdir() if "broken" not in path.name} | {
            (tmp_path / "photos" / "gone.png")
        }


def test_blocks_follow_the_script_and_only_the_first_comes_before(folder, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)
    content = written(folder).path.read_text(encoding="utf-8")
    marks = ['id="index"', 'id="block0"', "grid.draw = ", 'id="block1"', 'id="block2"']
    assert sorted(marks, key=content.index) == marks
    index, details = read_back(folder / "report.html")
    assert (index["block"], len(details)) == (3, 7)


def test_the_same_run_has_the_same_page_and_no_other_file_is_left(folder):
    before = written(folder).path.read_bytes()
    assert written(folder).path.read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {".lock", "parts", "report.html", "run.json"}


def test_a_run_that_has_just_begun_has_an_empty_page(folder, tmp_path):
    about = json.loads((folder / "run.json").read_text())
    with opened_run(tmp_path / "new", about):
        pass
    assert written(tmp_path / "new").photos == 0
    index, details = read_back(tmp_path / "new" / "report.html")
    assert (index["photos"], details) == ([], [])


def test_many_reasons_are_summed_up(folder, monkeypatch):
    monkeypatch.setattr(module, "MOST_REASONS", 0)
    assert "for other reasons" in written(folder).path.read_text(encoding="utf-8")


def test_where_there_is_no_run_or_no_place_nothing_is_written(folder, tmp_path):
    with pytest.raises(DeepInsideError, match="expected the folder of a run"):
        list(report(tmp_path))
    with pytest.raises(DeepInsideError, match="expected a place to write the report"):
        list(report(folder, Path("/dev/null/report.html")))


# ------------------------------------------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def opened(folder):
    """Open the page at an address in a new tab of Chromium: `opened("#class=1", width=390)`; see `Tab`."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    path = written(folder, folder.parent / "opened.html").path
    with playwright.sync_playwright() as running_playwright:
        browser = running_playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield lambda address="", width=1280: Tab(browser, path, address, width)
        finally:
            browser.close()


class Tab:
    """A tab, and everything in it that went wrong or that it asked for."""

    def __init__(self, browser, path, address, width):
        self.page = browser.new_page(viewport={"width": width, "height": 800})
        self.index, _ = read_back(path)
        self.asked, self.wrong = [], []
        self.page.on("request", lambda request: self.asked.append(request.url.partition(":")[0]))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.goto(path.as_uri() + address)
        self.page.wait_for_selector(".tile img, .tile p, #none:not([hidden])")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def wait_for(self, expression):
        """Playwright's own waiting needs `eval`, which the page does not allow."""
        deadline = monotonic() + 20
        while not self.page.evaluate(expression):
            assert monotonic() < deadline, expression
            sleep(0.02)

    def names(self):
        """The names of the photos in the grid, in the order in which they are shown."""
        return [label.split(",")[0] for label in self.page.eval_on_selector_all(
            ".tile", "tiles => tiles.sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map((tile) => tile.ariaLabel)"
        )]  # fmt: skip

    def expected(self, keep=lambda photo: True, key=lambda photo: 0):
        return [photo[0] for photo in sorted(filter(keep, self.index["photos"]), key=key)]

    def current(self):
        return int(self.page.get_attribute(".tile[aria-selected=true]", "aria-posinset"))

    def is_large(self):
        return self.page.evaluate("document.getElementById('large').open")


def test_in_a_browser_filters_and_orders_are_those_of_the_rows(opened):
    tab = opened()
    page, failed = tab.page, lambda photo: photo[5] is not None
    assert tab.names() == tab.expected()
    page.select_option("#sort", "name")
    assert sorted(tab.names()) == sorted(tab.expected())
    page.select_option("#sort", "likely")
    likely = [photo for photo in tab.index["photos"] if not failed(photo)]
    chances = {photo[0]: max([each[1] for each in photo[4]], default=photo[3]) for photo in likely}
    shown = [chances[name] for name in tab.names()[:-1]]
    given = next(place for place, name in enumerate(tab.names()) if "given" in name)
    assert [*shown[:given], *shown[given + 1 :]] == sorted([*shown[:given], *shown[given + 1 :]], reverse=True)
    page.select_option("#sort", "review")
    page.select_option("#show", "failed")
    assert tab.names() == tab.expected(failed)
    page.select_option("#show", "differs")
    assert tab.names() == tab.expected(lambda photo: "given" in photo[0])
    page.select_option("#show", "")
    page.fill("#text", "GONE")
    assert tab.names() == ["photos/gone.png"]
    page.fill("#text", "no such name")
    assert (tab.names(), page.is_visible("#none")) == ([], True)
    page.fill("#text", "")
    middle = sorted(photo[1] for photo in likely)[len(likely) // 2]
    page.fill("#review", f"{100 * middle:.2f}")
    assert tab.names() == tab.expected(lambda photo: photo[1] is not None and photo[1] >= round(middle, 4))
    page.fill("#review", "")
    page.fill("#most", "0")
    assert tab.names() == tab.expected(lambda photo: photo[0] in chances and chances[photo[0]] == 0)
    assert "most=0" in page.url
    assert (tab.wrong, {*tab.asked} - {"file", "data"}) == ([], set())


def test_in_a_browser_each_class_has_its_page(opened):
    for address in ("", "#class=1"):
        tab = opened(address)
        if not address:
            tab.page.click("#classes a[data-class='1']")
        tab.wait_for("location.hash == '#class=1'")
        assert tab.page.inner_text("#heading") == LABELS[1]
        assert tab.names() == tab.expected(lambda photo: any(each[0] == 1 for each in photo[4]))
        assert tab.page.get_attribute("#classes a[aria-current]", "data-class") == "1"
    tab.page.evaluate("location.hash = '#class=99&show=nonsense&sort=nonsense'")
    tab.wait_for("document.querySelectorAll('.tile').length > 6")
    assert tab.wrong == []


def test_in_a_browser_the_keys_step_and_open(opened):
    tab = opened()
    tab.press("j")
    assert tab.current() == 1, "the first key shows where one is"
    for key, place in [("j", 2), ("ArrowRight", 3), ("k", 2), ("ArrowLeft", 1), ("k", 1), ("End", 7), ("Home", 1)]:
        tab.press(key)
        assert tab.current() == place
    tab.press("ArrowDown")
    assert tab.current() == 1 + tab.page.evaluate("grid.columns")
    tab.press("ArrowUp", "Enter")
    assert tab.is_large()
    assert tab.page.inner_text("#name") == tab.index["photos"][0][0]
    tab.press("j", "ArrowRight", "k")
    assert tab.page.inner_text("#name") == tab.index["photos"][1][0]
    tab.press("Escape")
    assert (tab.is_large(), tab.current()) == (False, 2)
    tab.press(" ")
    assert tab.is_large()
    tab.press(" ", "/")
    assert not tab.is_large()
    assert tab.page.evaluate("document.activeElement.id") == "text"
    tab.page.keyboard.type("jj?")
    assert tab.page.input_value("#text") == "jj?"
    tab.press("Escape", "?")
    assert tab.page.is_visible("#keys")
    tab.press("Escape")
    assert not tab.page.is_visible("#keys")
    assert tab.wrong == []


def test_in_a_browser_the_large_view_shows_objects_and_heatmaps(opened):
    tab = opened("#class=0")
    tab.press("j", "Enter", "h")
    painted = (
        "[...document.querySelector('#heat').getContext('2d').getImageData(0, 0, 640, 480).data].some((x) => x > 200)"
    )
    tab.wait_for(painted)
    assert tab.page.is_visible("#heat")
    rows = tab.page.locator("#chances tr")
    assert rows.count() == 3
    assert tab.page.locator("#objects tbody tr").count() == tab.page.locator("#outlines .over").count() > 0
    tab.wait_for("document.querySelector('#photo').src.startsWith('file:')")
    tab.press("h", "o")
    assert not tab.page.is_visible("#heat")
    assert not tab.page.is_visible("#outlines")
    tab.press("c")
    assert tab.page.is_visible("#heat")
    tab.press("Escape")
    assert tab.wrong == []


def test_in_a_browser_what_is_not_there_is_told(opened):
    tab = opened("#show=failed")
    tab.press("j", "Enter")
    assert "expected a photo" in tab.page.inner_text("#missing")
    tab = opened()
    tab.page.fill("#text", "gone.png")
    tab.press("Enter", "Enter")
    assert "not where it was" in tab.page.inner_text("#missing")
    assert tab.page.locator("#outlines .over").count() > 0, "its outlines all the same"
    assert tab.wrong == []


def test_in_a_browser_a_phone_has_no_sideways_scroll(opened):
    tab = opened(width=360)
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
    tab.page.locator(".tile").first.click()
    box = tab.page.locator("#large").bounding_box()
    assert (box["x"], box["width"]) == (0, 360)
