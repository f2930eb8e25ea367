"""How long people wait at the page of `deepinside serve`, alone and several at once.

    python benchmarks/studio.py --people 1,10,50            # over HTTP, as the page's own scripts ask
    python benchmarks/studio.py --browser                   # one person in Chromium, with Playwright

Each number of people has a server of its own, which has explained one photo before anything is measured. In each round,
all of them bring a photo of their own at the same moment, and the seconds run from the first byte of the upload to the
answer with outlines and boxes, and to the map's picture. Once everybody has both, all of them move a slider
`--moves` times, each as soon as the outline of the move before is there, without a pause to think: this is more than
people do. As in the page, every answer is followed by a request for the map that it names, and a newer one replaces it.

Whoever gets another's photo or an error ends the benchmark. Rounds are pooled. The people share the machine with the
server; CPU seconds are those of the server alone, and depend less on what else runs. Photos are those of `--photos`,
cropped so that everybody's has another size, and enlarged to `--megapixels`.

In the browser, times run from the moment at which the page has the file, or the key, to the first frame with the new
outline in it. "Ready" is the page with its scripts, from an empty cache for the first round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import httpx
import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).parents[1]
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
# Each leaves a promise in `window.seen`: of the milliseconds until the outline and the map are there, or the outline.
WATCH_PHOTO = """() => {
  const map = document.querySelector("#photo .di-map"), [link, source] = [location.search, map.getAttribute("src")];
  window.seen = new Promise((resolve) => {
    let began = null, outline = null;
    document.addEventListener("change", () => { began = performance.now(); }, { capture: true, once: true });
    const look = () => {
      const isDrawn = location.search !== link && document.querySelector("#photo .di-shapes path[d^=M]");
      const isLoaded = map.getAttribute("src") !== source && map.complete && map.naturalWidth;
      if (isDrawn) outline ??= performance.now() - began;
      if (outline !== null && isLoaded) resolve([outline, performance.now() - began]);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}"""
WATCH_SLIDER = """() => {
  const shapes = document.querySelector("#photo .di-shapes"), [link, before] = [location.search, shapes.innerHTML];
  window.seen = new Promise((resolve) => {
    let began = null;
    document.addEventListener("keydown", () => { began = performance.now(); }, { capture: true, once: true });
    const look = () => {
      if (location.search !== link || shapes.innerHTML !== before) resolve(performance.now() - began);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}"""

EXAMPLES = "() => [...document.querySelectorAll('.di-examples img')].every((each) => each.complete)"


class Server(NamedTuple):
    """A server that runs: its address and process, and how many seconds it took to start."""

    address: str
    process: int
    start: float

    def cpu(self) -> float:
        """CPU seconds until now."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str) -> int:
        """`VmHWM` or `VmRSS` in MB."""
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024


@contextmanager
def serving(options: Sequence[str]) -> Iterator[Server]:
    command = [sys.executable, "-m", "deepinside", "serve", "--port", "0", *options]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            address = next((word for line in process.stdout for word in line.split() if word.startswith("http")), None)
            if address is None:
                raise SystemExit(f"{' '.join(command)} ended with status {process.wait()}")
            httpx.get(address, timeout=None).raise_for_status()
            yield Server(address, process.pid, time.perf_counter() - began)
        finally:
            process.terminate()


class Event(NamedTuple):
    """What the page sends to the server when something happens: as `/config` has it."""

    index: int
    trigger: int
    inputs: list[int]
    outputs: list[int]


class Page:
    """The components and events of the page that are needed here."""

    def __init__(self, config: dict[str, Any]):
        self.values = {each["id"]: each["props"].get("value") for each in config["components"]}
        ids = {each["props"].get("elem_id"): each["id"] for each in config["components"]}
        self.stage, self.knob = ids["photo"], ids["knob0"]
        props = next(each["props"] for each in config["components"] if each["id"] == self.knob)
        self.step, self.high = props["step"], props["maximum"]
        self.upload, self.slide = self._event(config, self.stage, "upload"), self._event(config, self.knob, "input")

    def _event(self, config: dict[str, Any], target: int, kind: str) -> Event:
        found = next(each for each in config["dependencies"] if [target, kind] in each["targets"])
        return Event(found["id"], target, found["inputs"], found["outputs"])


class Photo(NamedTuple):
    name: str
    width: int
    height: int
    content: bytes


def photos_of(folder: Path, count: int, megapixels: float | None) -> list[Photo]:
    """So many photos, each of another name and size."""
    paths, photos = sorted(folder.glob("*.jpg")), []
    for number in range(count):
        turn, index = divmod(number, len(paths))
        image = ImageOps.exif_transpose(Image.open(paths[index]).convert("RGB"))
        if megapixels:
            scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
            image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        image = image.crop((0, 0, image.width - turn, image.height - turn))
        if turn % 2:
            image = ImageOps.mirror(image)
        stream = BytesIO()
        image.save(stream, "JPEG", quality=90)
        photos.append(Photo(f"person-{number}.jpg", *image.size, stream.getvalue()))
    return photos


@dataclass
class Person:
    """Somebody with the page open, who speaks to the server as the page does."""

    client: httpx.AsyncClient
    page: Page
    photo: Photo
    session: str = field(default_factory=lambda: token_hex(5))
    id: str = ""
    outlines: float = 0  # seconds
    map: float = 0
    moves: list[float] = field(default_factory=list)
    ranks: list[tuple[int, int]] = field(default_factory=list)  # in the queue, and how many are in it

    async def look(self) -> None:
        """Bring the photo, and wait for outlines and map."""
        began = time.perf_counter()
        answer = await self.client.post(f"/studio/photos?name={self.photo.name}", content=self.photo.content)
        self.id = answer.raise_for_status().json()["photo"]
        data = await self._queued(self.page.upload, {"photo": self.id})
        self.outlines = time.perf_counter() - began
        view = self._view(self.page.upload, data)
        if not any(isinstance(each, dict) and each.get("classes") for each in data):
            raise RuntimeError(f"{self.photo.name}: expected classes, got none")

        async def load_map() -> None:
            await self._get(view["map"])
            self.map = time.perf_counter() - began

        await asyncio.gather(load_map(), self._get(view["photo"]))

    async def slide(self, moves: int) -> None:
        """Move the slider, one step after the other, back at its end."""
        page, loading = self.page, None
        value, step = page.values[page.knob], page.step
        for _ in range(moves):
            step = step if 0 <= value + step <= page.high else -step
            value += step
            began = time.perf_counter()
            asked = self._asked(page.slide, None) | {"data": self._data(page.slide, {page.knob: value})}
            answer = await self.client.post("/gradio_api/run/predict", json=asked)
            view = self._view(page.slide, answer.raise_for_status().json()["data"])
            self.moves.append(time.perf_counter() - began)
            if loading:
                loading.cancel()
            loading = asyncio.create_task(self._get(view["map"]))
        if loading:
            await loading

    async def _queued(self, event: Event, given: dict[str, Any]) -> list[Any]:
        asked = self._asked(event, given) | {"data": self._data(event, {})}
        joined = (await self.client.post("/gradio_api/queue/join?", json=asked)).raise_for_status().json()
        of_session = {"session_hash": self.session}
        async with self.client.stream("GET", "/gradio_api/queue/data", params=of_session) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line.removeprefix("data:")) if line else {}
                if message.get("event_id") != joined["event_id"]:
                    continue
                if message["msg"] == "estimation":
                    self.ranks.append((message["rank"], message["queue_size"]))
                elif message["msg"] == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(f"{self.photo.name}: {message}")
                    return message["output"]["data"]
        raise RuntimeError(f"{self.photo.name}: expected an answer, got none")

    def _asked(self, event: Event, given: dict[str, Any] | None) -> dict[str, Any]:
        names = {"fn_index": event.index, "trigger_id": event.trigger, "session_hash": self.session}
        return {"event_data": given, **names}

    def _data(self, event: Event, moved: dict[int, float]) -> list[Any]:
        return [moved.get(each, self.page.values[each]) for each in event.inputs]

    def _view(self, event: Event, data: list[Any]) -> dict[str, Any]:
        """What the answer shows. Raises an error unless it is this person's photo with at least one object."""
        view = data[event.outputs.index(self.page.stage)]
        is_mine = (
            view.get("objects")
            and (view["width"], view["height"]) == (self.photo.width, self.photo.height)
            and view["alt"].startswith(f"{self.photo.name}: ")
            and f"photo={self.id}&" in view["map"]
        )
        if not is_mine:
            raise RuntimeError(f"{self.photo.name} of {self.photo.width} x {self.photo.height}: got {data}")
        return view

    async def _get(self, address: str) -> None:
        (await self.client.get(f"/{address}")).raise_for_status()


@dataclass
class Figures:
    """What was measured with so many people: seconds, MB, and how many were in the queue."""

    people: int
    start: float
    first: float  # the first photo of the server
    outlines: list[float] = field(default_factory=list)
    maps: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    look_cpu: list[float] = field(default_factory=list)  # of a person, in each round
    move_cpu: list[float] = field(default_factory=list)  # of a move with its map
    rank: int = 0
    queue: int = 0
    peak: int = 0
    after: int = 0


async def crowd(server: Server, people: int, asked: argparse.Namespace) -> Figures:
    photos = photos_of(asked.photos, people * asked.rounds, asked.megapixels)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=server.address, limits=limits, timeout=None) as client:
        page = Page((await client.get("/config")).raise_for_status().json())
        first = Person(client, page, photos[0])
        await first.look()
        await first.slide(1)
        found = Figures(people, server.start, first.outlines)
        for turn in range(asked.rounds):
            together = [Person(client, page, photo) for photo in photos[turn * people : (turn + 1) * people]]
            async with AsyncExitStack() as open_pages:
                for each in together:
                    beat = client.stream("GET", f"/gradio_api/heartbeat/{each.session}")
                    await open_pages.enter_async_context(beat)
                before = server.cpu()
                await _all([each.look() for each in together])
                between = server.cpu()
                await _all([each.slide(asked.moves) for each in together])
                found.look_cpu.append((between - before) / people)
                if asked.moves:
                    found.move_cpu.append((server.cpu() - between) / people / asked.moves)
            found.outlines += [each.outlines for each in together]
            found.maps += [each.map for each in together]
            found.moves += [took for each in together for took in each.moves]
            found.rank = max([found.rank, *(rank for each in together for rank, _ in each.ranks)])
            found.queue = max([found.queue, *(size for each in together for _, size in each.ranks)])
    found.peak, found.after = server.memory("VmHWM"), server.memory("VmRSS")
    return found


async def _all(works: Sequence[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


def browser(server: Server, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds of one person in Chromium: a new photo in each round, then moves of the slider."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {"ready": [], "outline": [], "map": [], "slider": []}
    first, *photos = photos_of(asked.photos, asked.rounds + 1, asked.megapixels)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(asked.chromium), args=list(CHROMIUM))
        tab = chromium.new_page()

        def bring(photo: Photo) -> tuple[float, list[float]]:
            began = time.perf_counter()
            tab.goto(server.address)
            tab.wait_for_selector("#photo .di-file", state="attached", timeout=600_000)
            ready = (time.perf_counter() - began) * 1000
            tab.wait_for_function(EXAMPLES)  # they are asked for at the beginning, and are not what is measured
            tab.evaluate(WATCH_PHOTO)
            file = {"name": photo.name, "mimeType": "image/jpeg", "buffer": photo.content}
            tab.set_input_files("#photo .di-file", [file])
            return ready, tab.evaluate("() => window.seen")

        bring(first)
        for photo in photos:
            ready, (outline, map) = bring(photo)
            found["ready"].append(ready)
            found["outline"].append(outline)
            found["map"].append(map)
            tab.locator("#knob0 input[type=range]").focus()
            for _ in range(2 * asked.moves):
                tab.evaluate(WATCH_SLIDER)
                tab.keyboard.press("ArrowRight")
                found["slider"].append(tab.evaluate("() => window.seen"))
        chromium.close()
    return found


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Median and 95th percentile."""
    return " / ".join(form(value) for value in np.percentile(values, [50, 95])) if values else "–"


def seconds(value: float) -> str:
    return f"{value:.2f}"


def milliseconds(value: float) -> str:
    return f"{value * 1000:.0f}"


HEAD = (
    "people", "outlines, s", "map, s", "slider, ms", "CPU: look, s", "move, ms", "peak, MB", "after", "rank", "queue",
    "start, s", "first photo, s",
)  # fmt: skip


def row(found: Figures) -> str:
    cells = (
        str(found.people),
        spread(found.outlines, seconds),
        spread(found.maps, seconds),
        spread(found.moves, milliseconds),
        seconds(float(np.median(found.look_cpu))),
        milliseconds(float(np.median(found.move_cpu))) if found.move_cpu else "–",
        f"{found.peak:,}",
        f"{found.after:,}",
        str(found.rank),
        str(found.queue),
        f"{found.start:.1f}",
        seconds(found.first),
    )
    return f"| {' | '.join(cells)} |"


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=numbers, default=[1, 10, 50], metavar="N,N,...")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--moves", type=int, default=10, help="of the slider by each person; twice as many in a browser"
    )
    parser.add_argument("--photos", type=Path, default=ROOT / "photos")
    parser.add_argument("--megapixels", type=float, help="of each photo; as they are by default")
    parser.add_argument("--model", default="lite0")
    parser.add_argument("--device")
    parser.add_argument("--browser", action="store_true", help="one person in Chromium in place of many over HTTP")
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, in seconds and milliseconds")
    asked = parser.parse_args()
    options = ["--photos", str(asked.photos), "--model", asked.model]
    options += ["--device", asked.device] if asked.device else []
    told: Any
    if asked.browser:
        with serving(options) as server:
            told = browser(server, asked)
        for name, values in told.items():
            print(f"{name}: {spread(values, '{:.0f}'.format)} ms, {len(values)} times")
    else:
        print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
        told = []
        for people in asked.people:
            with serving(options) as server:
                found = asyncio.run(crowd(server, people, asked))
            told.append(vars(found))
            print(row(found), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
