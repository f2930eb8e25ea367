"""The page in a real browser, against the server that the command starts, held against what the library says itself.

Nothing of it runs where neither Chromium nor Playwright is.
"""

import json
import re
import shutil
import subprocess
import sys
from itertools import chain

import pytest
from look_at_site import BROWSERS
from look_at_studio import FLAGS
from PIL import Image

from deepinside.archive.corrections import corrections
from deepinside.archive.folder import part_rows
from deepinside.archive.run import running
from deepinside.archive.wanted import wanted_of
from deepinside.explanations.contrast import contrast
from deepinside.explanations.explain import explain
from deepinside.explanations.presets import with_constants

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
REFUSED = "400 (Bad Request)"  # what a browser says of a photo that is none; the page tells it in its own words
PATIENCE = 60_000  # milliseconds; machines are shared


@pytest.fixture(scope="module")
def archive(tmp_path_factory, lite0, photos):
    """A finished run of four photos."""
    folder = tmp_path_factory.mktemp("studio") / "archive"
    with running(lite0, wanted_of([photos], lite0.labels), folder) as (_, answers):
        list(answers)
    return folder


@pytest.fixture(scope="module")
def address(archive, photos):
    """Where `deepinside serve` has said that it is."""
    command = [sys.executable, "-m", "deepinside", "serve", "--port", "0", "--photos", photos, "--run", archive]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().partition("-> ")[2].strip()
        server.terminate()


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, address):
    """Open the page; at the end, no request of any visit has left this machine, and no script has failed."""
    told, contexts = [], []

    def open_page(query="", **options):
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: told.append(request.url) if is_foreign(request.url, address) else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("console", lambda line: told.append(line.text) if is_fault(line) else None)
        page.goto(f"{address}/{query}")
        page.wait_for_selector(".di-examples button")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert told == []


def is_foreign(url, address):
    return not url.startswith((address, "data:", "blob:"))


def is_fault(line):
    return line.type == "error" and REFUSED not in line.text


def bring(page, path, objects=True):
    page.set_input_files("#photo .di-file", path)
    page.wait_for_function(f"document.querySelector('#photo .di-photo').alt.startsWith({path.name!r})")
    if objects:
        page.wait_for_selector("#objects td")


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def boxes(page):
    """The rows of the table below the photo: confidence, x0, y0, x1, y1."""
    rows = page.locator("#objects tbody tr").all_inner_texts()
    return [tuple(row.split("\t")[1:]) for row in rows]


def changed_since(page, archive, before):
    """The one correction of a run, as soon as it is another one than before."""
    for _ in range(PATIENCE // 100):
        (said,) = corrections(archive).values()
        if said != before:
            return said
        page.wait_for_timeout(100)
    raise AssertionError(f"expected another correction than {before}")


def rows_of(explanation):
    return [
        (f"{each.confidence:.1%}", *(str(round(value)) for value in each.box.as_tuple()))
        for each in explanation.objects
    ]


def is_near(shown, wanted):
    """Photos that are looked at in other company may have other roundings: a box differs by a pixel now and then."""
    assert len(shown) == len(wanted)
    for one, other in zip(chain.from_iterable(shown), chain.from_iterable(wanted), strict=True):
        assert float(one.rstrip("%")) == pytest.approx(float(other.rstrip("%")), abs=1.01)


def test_a_photo_is_explained_as_in_python_and_a_link_shows_it_again(visit, lite0, photos):
    page = visit()
    bring(page, photos / "rocket.jpg")
    explanation = explain(lite0, photos / "rocket.jpg", top=1)
    names = page.locator("#classes .di-name").all_inner_texts()
    shares = page.locator("#classes .di-share").all_inner_texts()
    assert names == [each.label for each in explanation.predictions]
    assert shares == [f"{each.probability:.1%}" for each in explanation.predictions]
    is_near(boxes(page), rows_of(explanation))
    assert page.locator("#photo .di-shapes path").count() == 2 * len(explanation.objects)  # with their white casing

    page.locator("#classes .di-choice", has_text="missile").click()
    page.wait_for_function("document.querySelector('#objects caption').textContent.startsWith('missile')")
    found = explain(lite0, photos / "rocket.jpg", "missile")
    is_near(boxes(page), rows_of(found))
    assert page.locator("#classes [aria-pressed=true] .di-name").inner_text() == "missile"
    page.get_by_role("button", name="The same on the command line and in Python").click()
    assert "deepinside localize rocket.jpg --model lite0 --target missile" in page.locator("#command").inner_text()

    again = visit(page.url[page.url.index("?") :])
    again.wait_for_selector("#objects td")
    assert boxes(again) == boxes(page)
    shown, before = (each.locator("#photo .di-photo").get_attribute("alt") for each in (again, page))
    assert shown == before


def test_sliders_and_presets_change_what_is_seen(visit, lite0, photos):
    page = visit()
    bring(page, photos / "coffee.jpg")
    before = page.locator("#photo .di-shapes path").first.get_attribute("d")
    page.locator("#knob0 input[type=number]").fill("5")
    page.locator("#knob0 input[type=number]").press("Enter")
    path = "document.querySelector('#photo .di-shapes path').getAttribute('d')"
    page.wait_for_function(f"before => {path} !== before", arg=before)
    constants = {"outline.smoothness": "5"}
    wanted = explain(lite0, photos / "coffee.jpg", top=1, preset=with_constants("best", constants))
    is_near(boxes(page), rows_of(wanted))
    assert "set.outline.smoothness=5" in page.url

    page.locator("#preset").get_by_label("gradcam").check()
    page.wait_for_function("location.search.includes('preset=gradcam')")
    is_near(boxes(page), rows_of(explain(lite0, photos / "coffee.jpg", top=1, preset="gradcam")))
    page.locator("#photo .di-opacity").fill("0")
    assert page.locator("#photo .di-map").evaluate("image => getComputedStyle(image).opacity") == "0"


def test_two_classes_and_a_place(visit, lite0, photos):
    page = visit()
    bring(page, photos / "rocket.jpg")
    page.get_by_role("button", name="Why this class, and not that").click()
    page.click("#compare")
    page.wait_for_selector("#contrast img")
    (first, second) = explain(lite0, photos / "rocket.jpg", top=2).by_class
    seen = contrast(lite0, photos / "rocket.jpg", first[0].index)
    assert page.locator("#contrast strong").first.inner_text() == f"{first[0].label} against {second[0].label}"
    assert f"difference of the scores: {seen.difference:.2f}" in page.locator("#contrast").inner_text()

    page.get_by_role("button", name="What the layers see at a place").click()
    stage = page.locator("#photo .di-stage")
    stage.focus()
    stage.press("ArrowRight")
    stage.press("Enter")
    page.wait_for_function("document.querySelectorAll('#neurons img').length === 15")  # three neurons of five layers


def test_a_class_image_forms_and_stops(visit):
    page = visit()
    tab(page, "One class")
    page.wait_for_selector("#class-photos img")  # of the class that is there at first
    page.locator("input[aria-label*='How many']").first.fill("4")  # so that it takes longer than all of this
    page.click("#make")
    step = "document.querySelector('#class-images figcaption')?.textContent.match(/step (\\d+)/)?.[1]"
    page.wait_for_function(f"{step} > 3")
    page.click("#stop")
    page.get_by_text("Stopped.").wait_for()
    at = page.evaluate(step)
    page.wait_for_timeout(1500)
    assert page.evaluate(step) == at
    page.get_by_label("Seed of the first").fill("7")
    page.click("#make")  # the network is free at once
    page.locator("#class-images").get_by_text("seed 7: step").wait_for()
    other = visit()
    tab(other, "One class")
    other.click("#make")
    other.locator("#class-images").get_by_text("queue: 1/1").wait_for()  # where the next one stands
    page.close()  # which stops the first: otherwise the next one would wait for minutes
    other.wait_for_function(f"{step} > 0")


def test_boxes_of_a_run_are_corrected_beside_it(visit, archive):
    found = {row["photo"]: row for row in chain.from_iterable(part_rows(archive))}
    parts = {path: path.read_bytes() for path in archive.rglob("*.parquet")}
    page = visit()
    tab(page, "One folder")
    page.locator("#run-list .di-choice", has_text="cat.jpg").click()
    handle = page.locator("#run-photo [data-object='1'][data-corner='3']")
    handle.press("ArrowLeft")
    page.get_by_text("moved").wait_for()
    (said,) = corrections(archive).values()
    row = found["cat.jpg"]
    assert said.box == (row["x0"], row["y0"], row["x1"] - 1, row["y1"])

    area = page.locator("#run-photo [data-object='1'][data-corner='0']").bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    page.mouse.down()
    page.mouse.move(area["x"] + 60, area["y"] + 60, steps=5)
    page.mouse.up()
    said = changed_since(page, archive, said)  # the page shows the new corner while it is dragged, before it is kept
    assert said.box[0] > row["x0"]
    assert said.box[1] > row["y0"]
    assert said.box[2:] == (row["x1"] - 1, row["y1"])

    page.locator("#run-state").get_by_label("All").check()
    page.locator("#run-list .di-choice", has_text="coffee.jpg").click()
    page.locator("#run-photo .di-photo[alt^='coffee.jpg']").wait_for()
    page.click("#run-reject")
    page.get_by_text("rejected").wait_for()
    assert sorted(each.kind for each in corrections(archive).values()) == ["moved", "rejected"]
    assert {path: path.read_bytes() for path in archive.rglob("*.parquet")} == parts


def test_what_is_taken_along_is_what_python_writes(visit, lite0, photos):
    page = visit()
    bring(page, photos / "cat.jpg")
    found = explain(lite0, photos / "cat.jpg", top=1)
    with page.expect_download() as download:
        page.locator("#photo [data-kind=coco]").click()
    assert download.value.suggested_filename == "cat.coco.json"
    coco = json.loads(download.value.path().read_text())
    x, y, width, height = coco["annotations"][0]["bbox"]
    is_near([(str(v) for v in (x, y, x + width, y + height))], [rows_of(found)[0][1:]])
    with page.expect_download() as download:
        page.locator("#photo [data-kind=mask]").click()
    with Image.open(download.value.path()) as mask:
        assert mask.size == (found.width, found.height)


def test_mistakes_are_told_and_two_people_do_not_meet(visit, photos, tmp_path):
    bad = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    bad.write_bytes(b"no photo")
    one, two = visit(), visit()
    one.set_input_files("#photo .di-file", bad)
    one.wait_for_function("document.querySelector('#photo .di-told').textContent.includes('unknown format')")
    assert one.locator("#photo .di-told img").count() == 0
    one.set_input_files("#photo .di-file", photos / "cat.jpg")
    two.set_input_files("#photo .di-file", photos / "astronaut.jpg")
    for page, name in ((one, "cat.jpg"), (two, "astronaut.jpg")):
        page.wait_for_function(f"document.querySelector('#photo .di-photo').alt.startsWith({name!r})")
    gone = visit("?photo=nobody-has-brought-it&model=lite0")
    gone.get_by_text("this photo is not kept any more; open it again").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_everybody_can_use_it(visit, photos, width, scheme):
    """No serious finding of axe-core, in any tab, and nothing that is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    bring(page, photos / "coffee.jpg")
    for number, name in enumerate(("One photo", "One class", "One folder")):
        tab(page, name)
        if number == 2:
            page.locator("#run-list .di-choice").first.click()
            page.wait_for_selector("#run-photo .di-handle")
        page.wait_for_timeout(500)  # until nothing fades any more
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = axe.Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []


def test_addresses_below_a_page_are_relative():
    """So that the page may be served below any path."""
    from deepinside.studio.parts import asset

    for name in ("viewer.js", "choices.js", "examples.js", "viewer.html"):
        assert not re.search(r"""["'`]/(?!\d)""", asset(name))
