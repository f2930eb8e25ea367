"""How fast a run is, what memory it takes, and whether it survives being killed.

    python benchmarks/archive.py scale --counts 1000 10000      # photos a second and peak memory
    python benchmarks/archive.py engines --count 200            # explain in a loop, and both engines
    python benchmarks/archive.py kill --engine ray --times 20   # killed at random moments, then compared
    python benchmarks/archive.py names --counts 200000          # what the names of photos take, before the first one

Photos are those of `--photos` (the repository's own), repeated under other names by links. Each run is a process of its
own, `deepinside run`, and takes whatever model `--model` names.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deepinside.archive.folder import part_rows
from deepinside.archive.wanted import wanted_of
from deepinside.core.labels import Labels

ROOT = Path(__file__).parents[1]
LOOP = """
import sys, time
from pathlib import Path
import deepinside
from deepinside.core.images import find_photos
classifier = deepinside.load(sys.argv[2])
began = time.perf_counter()
for path, _ in find_photos([sys.argv[1]]):
    deepinside.explain(classifier, path, top=1)
print(time.perf_counter() - began)
"""


def linked(folder: Path, photos: Path, count: int) -> Path:
    """A folder of so many links to the photos."""
    files = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    folder.mkdir()
    for number in range(count):
        source = files[number % len(files)]
        (folder / f"{number:06}{source.suffix}").symlink_to(source.resolve())
    return folder


def command(photos: Path, out: Path, options: list[str]) -> list[str]:
    return [sys.executable, "-m", "deepinside", "run", str(photos), "--out", str(out), *options]


def measured(arguments: list[str]) -> tuple[float, float, str]:
    """Seconds, peak memory of the largest process in MB, and what it printed."""
    began = time.perf_counter()
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    told = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with status {status}: {told}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024, told


def scale(asked: argparse.Namespace, folder: Path) -> None:
    for count in asked.counts:
        photos = linked(folder / f"photos-{count}", asked.photos, count)
        options = ["--model", asked.model, "--min-probability", str(asked.min_probability)]
        seconds, memory, told = measured(command(photos, folder / f"run-{count}", options))
        print(
            f"{count:>8,} photos  {count / seconds:6.2f} a second  {memory:6.0f} MB  {told.splitlines()[0]}", flush=True
        )


def engines(asked: argparse.Namespace, folder: Path) -> None:
    few, many = (linked(folder / f"photos-{count}", asked.photos, count) for count in (4, asked.count))
    ways = {"local": [], **{f"ray, {n}": ["--engine", "ray", "--workers", str(n)] for n in asked.workers}}
    likeliest = ["--model", asked.model, "--min-probability", "1"]  # one class a photo, as in the loop
    for turn in range(asked.rounds):
        loop = float(subprocess.check_output([sys.executable, "-c", LOOP, str(many), asked.model], text=True))
        print(f"loop over explain: {asked.count / loop:.2f} a second", flush=True)
        for name, options in ways.items():
            start, whole = (
                measured(command(photos, folder / f"{photos.name}-{name}-{turn}", [*likeliest, *options]))[0]
                for photos in (few, many)
            )
            rate = (asked.count - 4) / (whole - start)
            print(
                f"{name}: {rate:.2f} a second, {rate * loop / asked.count:.2f} x the loop; 4 photos {start:.1f} s",
                flush=True,
            )


def kill(asked: argparse.Namespace, folder: Path) -> None:
    """Kill a run at random moments, finish it, and compare it with one that nobody has touched.

    A run that ends before its moment comes is compared, and followed by another.
    """
    photos = linked(folder / "photos", asked.photos, asked.count)
    options = ["--model", asked.model, "--engine", asked.engine]
    seconds, *_ = measured(command(photos, folder / "whole", options))
    whole, draw = rows_in(folder / "whole"), random.Random(asked.seed)
    kills, runs = 0, 0
    while kills < asked.times:
        out = folder / f"killed-{runs}"
        child = subprocess.Popen(command(photos, out, options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.communicate(timeout=draw.uniform(0.1, seconds))
            runs += 1
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL if kills % 2 else signal.SIGTERM)
            child.communicate()
            kills += 1
    measured(command(photos, folder / f"killed-{runs}", options))
    same = [rows_in(folder / f"killed-{number}") == whole for number in range(runs + 1)]
    print(f"{asked.engine}: {kills} kills of {len(same)} runs; {sum(same)} have the same {len(whole)} rows")


def names(asked: argparse.Namespace, folder: Path) -> None:
    for count in asked.counts:
        paths = (f"/data/archive/photos/year-{number % 20:02}/holiday/IMG_{number:08}.jpg\n" for number in range(count))
        (folder / "list.txt").write_text("".join(paths))
        tracemalloc.start()
        wanted = wanted_of([folder / "list.txt"], Labels((("red",),)))
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{len(wanted):,} photos: {kept / count:.0f} bytes each, {peak / count:.0f} at the peak", flush=True)


def rows_in(run: Path) -> dict[Any, Any]:
    """The box of each object."""
    rows = list(chain.from_iterable(part_rows(run, ["photo", "class", "number", "x0", "y0", "x1", "y1"])))
    found = {(row["photo"], row["class"], row["number"]): (row["x0"], row["y0"], row["x1"], row["y1"]) for row in rows}
    assert len(found) == len(rows), "a photo stands twice in the run"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scale", "engines", "kill", "names"))
    parser.add_argument("--photos", type=Path, default=ROOT / "photos")
    parser.add_argument("--model", default="lite0")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--min-probability", type=float, default=0.1, help="of `scale`; 1 takes one class a photo")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        {"scale": scale, "engines": engines, "kill": kill, "names": names}[asked.what](asked, Path(folder))


if __name__ == "__main__":
    main()
