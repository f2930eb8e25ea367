"""Pictures of the page of `deepinside serve` as a browser shows it: wide and narrow, light and dark.

    python tools/look_at_studio.py docs/images [--all]

It runs the page with the demo's photos and a run of them, and needs Chromium and Playwright (`make test` installs the
latter). Without `--all`, it writes the pictures that the documents show; with it, every tab in every manner, to be
looked at.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from look_at_site import browser
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
PHOTOS = REPOSITORY / "photos"
WIDE, NARROW = (1280, 860), (390, 844)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 120_000  # milliseconds
QUALITY = 88  # of WebP, of 100


@contextmanager
def served() -> Iterator[str]:
    """The address of the page, with a run of the demo's photos."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "deepinside"]
        subprocess.run([*command, "run", PHOTOS, "--out", "archive"], check=True, capture_output=True, cwd=folder)
        serve = [*command, "serve", "--port", "0", "--photos", PHOTOS, "--run", "archive"]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, cwd=folder) as server:
            assert server.stdout
            yield server.stdout.readline().partition("-> ")[2].strip()
            server.terminate()


def photo(page: Any) -> None:
    """A photo with two objects, with the reason why it is no other class."""
    page.set_input_files("#photo .di-file", PHOTOS / "hens.jpg")
    page.wait_for_selector("#objects td")
    page.wait_for_function("document.querySelector('#photo .di-map').complete")


def layers(page: Any) -> None:
    """What speaks for two classes, and what the layers see at a place."""
    page.set_input_files("#photo .di-file", PHOTOS / "rocket.jpg")
    page.wait_for_selector("#objects td")
    page.get_by_role("button", name="Why this class, and not that").click()
    page.click("#compare")
    page.wait_for_selector("#contrast img")
    page.get_by_role("button", name="What the layers see at a place").click()
    page.locator("#photo .di-stage").click(position={"x": 320, "y": 220})
    page.wait_for_function("document.querySelectorAll('#neurons img').length === 15")


def drawn(page: Any) -> None:
    """Two class images, and photos that excite the class."""
    page.get_by_role("tab", name="One class").click()
    page.locator("#drawn-class input").fill("macaw")
    page.get_by_role("option", name="macaw").first.click()
    page.locator("input[aria-label*='How many']").first.fill("2")
    page.click("#make")
    page.wait_for_selector("#class-photos img")
    page.wait_for_selector("#class-images a", timeout=10 * PATIENCE)


def run(page: Any) -> None:
    """A photo of a run with its boxes, one of which was moved."""
    page.get_by_role("tab", name="One folder").click()
    page.locator("#run-list .di-choice", has_text="hens.jpg").click()
    page.locator("#run-photo [data-object='2'][data-corner='3']").press("ArrowDown")
    page.get_by_text("moved").wait_for()


TABS = {"photo": photo, "layers": layers, "class": drawn, "run": run}
# What the documents show -> tab, size, colors, and whether it is the whole page.
SHOWN = {
    "studio": ("photo", WIDE, "light", False),
    "studio-dark": ("photo", WIDE, "dark", False),
    "studio-narrow": ("photo", NARROW, "light", True),
    "studio-layers": ("layers", WIDE, "light", True),
    "studio-class": ("class", WIDE, "light", True),
    "studio-run": ("run", WIDE, "light", True),
}
ALL = {
    f"{tab}-{size[0]}-{scheme}": (tab, size, scheme, True)
    for tab, size, scheme in product(TABS, (WIDE, NARROW), ("light", "dark"))
}


def main() -> None:
    """Write the pictures, and name each."""
    from playwright.sync_api import sync_playwright

    out, wanted = Path(sys.argv[1]), ALL if "--all" in sys.argv[2:] else SHOWN
    out.mkdir(parents=True, exist_ok=True)
    with served() as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=FLAGS)
        for name, (tab, (width, height), scheme, is_whole) in wanted.items():
            context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            page.wait_for_selector(".di-examples button")
            TABS[tab](page)
            page.mouse.move(0, 0)
            page.wait_for_timeout(800)  # until nothing fades any more
            path = out / f"{name}.webp"
            with Image.open(BytesIO(page.screenshot(full_page=is_whole))) as image:
                image.convert("RGB").save(path, quality=QUALITY, method=6)
            print(path)
            context.close()


if __name__ == "__main__":
    main()
