"""How long the report of a run takes to write, and a browser to open it.

    deepinside run PHOTOS --out small
    python benchmarks/report.py repeat small large --photos 10000
    python benchmarks/report.py write large
    python benchmarks/report.py open large/report.html --browser /usr/bin/chromium [--runs 5]

`repeat` makes the folder of a run with so many photos out of a smaller one, whose rows stand in it again and again
under other names, since explaining ten thousand photos takes hours. `write` tells the time, the size and the peak
memory.
`open` needs Playwright and a browser, and nothing of this package. It starts a new browser each time, with an empty
cache of its own, and prints the median over the runs, in milliseconds since the start of the navigation:

    first paint     of anything
    thumbnails      all photos in the window are loaded, and two frames have been drawn since
    end             the browser has read the page to its end

The system's own cache holds the file, as it does for a page that has just been written.
"""

import argparse
import resource
import statistics
import time
from itertools import cycle, islice
from pathlib import Path

PART = 256  # photos, as in a run
SEEN = """
const look = () => {
  const isSeen = (tile) => tile.getBoundingClientRect().top < innerHeight;
  const tiles = [...document.querySelectorAll(".tile")].filter(isSeen);
  const images = tiles.flatMap((tile) => [...tile.querySelectorAll("img")]);
  const isDrawn = images.length && tiles.every((tile) => tile.querySelector("img, svg, p"));
  if (!isDrawn || !images.every((image) => image.complete && image.naturalWidth)) return requestAnimationFrame(look);
  requestAnimationFrame(() => requestAnimationFrame(() => {
    window.seen = [performance.getEntriesByType("paint")[0]?.startTime ?? 0, performance.now(), images.length];
  }));
};
requestAnimationFrame(look);
"""


def repeat(small, large, photos):
    from deepinside.archive.folder import about_run, opened_run, part_rows
    from deepinside.archive.rows import photos_of

    originals = [photo for rows in part_rows(small) for photo in photos_of(rows)]
    with opened_run(large, about_run(small)) as opened:
        rows = []
        for number, photo in enumerate(islice(cycle(originals), photos), start=1):
            name = f"{number // 1000:03}/{number:07} {photo[0]['photo']}"
            rows += [row | {"key": number, "file_key": number, "photo": name} for row in photo]
            if number % PART == 0 or number == photos:
                opened.append(rows)
                rows = []


def write(folder):
    from deepinside.archive.report import Report, report

    began = time.perf_counter()
    *_, written = report(folder)
    assert isinstance(written, Report)
    took, size = time.perf_counter() - began, written.path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{written.photos} photos in {took:.0f} s, {size / 2**20:.1f} MB, peak memory {peak:.0f} MB")


def opened(page, browser, runs):
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    times = []
    with sync_playwright() as playwright:
        for _ in range(runs):
            chromium = playwright.chromium.launch(executable_path=browser, args=arguments)
            tab = chromium.new_page(viewport={"width": 1280, "height": 860})
            tab.add_init_script(SEEN)
            began = time.monotonic()
            tab.goto(page.resolve().as_uri(), wait_until="commit")
            while not (told := tab.evaluate("window.seen")):  # the page allows no `eval`, which Playwright waits with
                time.sleep(0.02)
                assert time.monotonic() < began + 60, "no thumbnail within a minute"
            first, seen, images = told
            tab.wait_for_load_state("load", timeout=120_000)
            end = tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
            times.append((first, seen, end))
            print(f"first paint {first:.0f}, {images} thumbnails {seen:.0f}, end {end:.0f} ms")
            chromium.close()
    first, seen, end = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"median of {runs}: first paint {first:.0f}, thumbnails {seen:.0f}, end {end:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    repeating = commands.add_parser("repeat")
    repeating.add_argument("small", type=Path)
    repeating.add_argument("large", type=Path)
    repeating.add_argument("--photos", type=int, default=10_000)
    commands.add_parser("write").add_argument("folder", type=Path)
    opening = commands.add_parser("open")
    opening.add_argument("page", type=Path)
    opening.add_argument("--browser", default="/usr/bin/chromium")
    opening.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    if asked.command == "repeat":
        repeat(asked.small, asked.large, asked.photos)
    elif asked.command == "write":
        write(asked.folder)
    else:
        opened(asked.page, asked.browser, asked.runs)


if __name__ == "__main__":
    main()
