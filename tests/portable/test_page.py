"""The page of an exported network: a folder of files, in a real browser, and the module that it shares with Node.

Nothing of it runs where the page has not been built (`make web`). All of lite0 is one test, since its export takes a
minute.
"""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from look_at_site import BROWSERS
from look_at_studio import FLAGS
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read
from deepinside.explanations.explain import explain
from deepinside.portable import page
from deepinside.portable.page import BUILT, check_page, write_page

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
NODE = shutil.which("node")
PATIENCE = 180_000  # milliseconds; machines are shared
built = pytest.mark.skipif(not BUILT.is_dir(), reason="the page is not built: make web")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def visited(address):
    """The page, which asks for nothing from elsewhere."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab, faults = browser.new_page(), []
        tab.set_default_timeout(PATIENCE)
        tab.on(
            "request",
            lambda request: None if request.url.startswith((address, "data:", "blob:")) else faults.append(request.url),
        )
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(address)
        yield tab
        browser.close()
        assert faults == []


@built
def test_lite0_in_browser_and_node_is_what_python_says(tmp_path, lite0, photos):
    file, folder = tmp_path / "lite0.onnx", tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "deepinside",
        "export-onnx",
        file,
        "--page",
        folder,
        "--photos",
        photos / "cat.jpg",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "rank correlation, lowest    1.0000" in done.stdout
    found = explain(lite0, photos / "cat.jpg")
    if CHROMIUM:
        with served(folder) as address, visited(address) as tab:
            check_example(tab, lite0, photos / "cat.jpg", found)
            check_mistake(tab, tmp_path)
    if NODE and (ROOT / "web/node_modules/sharp").is_dir():
        check_node(tmp_path, file, photos / "cat.jpg", found)


def check_example(tab, lite0, path, found):
    """Scores, saliency to 1e-4 of its largest value, and boxes to two pixels."""
    tab.wait_for_selector("#status[data-state=done]")
    last = tab.evaluate(
        "() => { const one = deepinside.last; return {"
        " logits: [...one.logits], classes: [...one.classes], boxes: one.boxes,"
        " saliency: [...one.saliency].map(([index, map]) => [index, [...map.data]]) } }"
    )
    _, pixels = lite0.whole(read(path))
    logits = lite0.network(pixels)[0].detach().numpy()
    np.testing.assert_allclose(last["logits"], logits, atol=1e-4 * np.abs(logits).max())
    assert last["classes"] == [each.index for each in found.predictions]
    from deepinside.gradients.saliency import saliency

    for index, values in last["saliency"]:
        wanted = saliency(lite0.network, pixels, index)[0].numpy().ravel()
        assert np.quantile(np.abs(values - wanted), 0.9) < 1e-4 * wanted.max()
        assert np.linalg.norm(values - wanted) < 0.02 * np.linalg.norm(wanted)  # rectifiers at zero, see `check`
    shown = [(each["index"], *(each["box"][side] for side in ("x0", "y0", "x1", "y1"))) for each in last["boxes"]]
    wanted = [(each.index, *each.box.as_tuple()) for each in found.objects]
    assert [each[0] for each in shown] == [each[0] for each in wanted]
    np.testing.assert_allclose(np.array(shown)[:, 1:], np.array(wanted)[:, 1:], atol=2)


def check_mistake(tab, folder):
    """A file that is no photo is told, and what was there stays."""
    before = tab.evaluate("() => deepinside.last.boxes.length")
    wrong = folder / "notes.txt"
    wrong.write_text("no photo")
    tab.set_input_files("#file", wrong)
    tab.wait_for_selector("#status[data-state=error]")
    assert "notes.txt" in tab.locator("#status").inner_text()
    assert tab.evaluate("() => deepinside.last.boxes.length") == before


def check_node(folder, file, path, found):
    """The example program prints the class and the boxes that the command does."""
    for each in (ROOT / "examples/onnx/localize.mjs", BUILT / "deepinside.mjs"):
        shutil.copy(each, folder)
    (folder / "node_modules").symlink_to(ROOT / "web/node_modules")
    done = subprocess.run([NODE, "localize.mjs", file, path], cwd=folder, capture_output=True, text=True, check=True)
    best = [each for each in found.objects if each.index == found.objects[0].index]
    lines = [line.rsplit(" ", 4) for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [each.label for each in best]
    numbers = np.array([line[1:] for line in lines], float)
    np.testing.assert_allclose(numbers, [each.box.as_tuple() for each in best], atol=2)


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """A page that has been built, of two files."""
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<title>page</title>")
    (folder / "assets" / "a.js").write_text("1")
    monkeypatch.setattr(page, "BUILT", folder)
    return folder


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"model")
    return path


def test_a_page_is_a_folder_with_everything(pretended, model, tmp_path):
    Image.new("RGB", (9, 7)).save(tmp_path / "own.PNG")
    folder = tmp_path / "a" / "site"
    entry = write_page(model, folder, "Löwen", tmp_path / "own.PNG")
    assert entry == folder / "index.html"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["assets/a.js", "example.png", "index.html", "model.onnx", "page.json"]
    assert json.loads((folder / "page.json").read_text()) == {
        "model": "model.onnx",
        "example": "example.png",
        "title": "Löwen",
    }
    assert (folder / "model.onnx").read_bytes() == b"model"
    write_page(model, folder, "again")  # over the one before
    assert (folder / "example.jpg").stat().st_size > 10_000


def test_a_page_that_is_not_built_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "BUILT", tmp_path / "nothing")
    with pytest.raises(DeepInsideError, match=r"expected the built page in the package, got none.*make web"):
        check_page(tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_folder_that_cannot_be_written_is_told(pretended, model):
    with pytest.raises(DeepInsideError, match="expected a folder to write into"):
        write_page(model, Path("/dev/null/site"), "x")
