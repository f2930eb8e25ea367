"""`make bench`: our speed beside the peers', each pair in one process on the same input.

Medians of several runs, ours and the peer's in turns, since machines are shared. Prints a table in Markdown.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import captum
import cv2
import numpy as np
import torch
from captum.attr import Saliency

import deepinside as di
from deepinside.geometry import Frame
from deepinside.graphcut import segment
from deepinside.images import view

PHOTOS = sorted((Path(__file__).parents[1] / "photos").glob("*.jpg"))
RUNS = 7


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of each run of both, taken in turns after one run of each to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(RUNS + 1):
        for function, taken in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            function()
            if run:
                taken.append(time.perf_counter() - start)
    return times


def row(what: str, unit: str, scale: Callable[[float], float], ours: list[float], theirs: list[float]) -> None:
    """One line of the table; the spread is the ratio of the fastest and the slowest pair of runs."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(
        f"| {what} | {scale(statistics.median(ours)):.1f} {unit} | {scale(statistics.median(theirs)):.1f} {unit} "
        f"| {statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}) |",
        flush=True,
    )


def saliency(batch: int = 16) -> None:
    """Images a second of `di.saliency` and of Captum's `Saliency`, the same module and images."""
    network = di.load("lite0").network.eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, 224, 224, generator=generator)
    targets = torch.arange(batch) * 60
    peer = Saliency(network)

    def theirs() -> torch.Tensor:
        return peer.attribute(images.clone().requires_grad_(), target=targets).amax(dim=1)

    # Folding rounds differently, which turns a few of the rectifiers that stand at their kink: alike, not equal.
    alike = torch.corrcoef(torch.stack([di.saliency(network, images, targets).flatten(), theirs().flatten()]))[0, 1]
    assert alike > 0.999, f"the maps differ: correlation {alike:.4f}"
    ours, other = in_turns(lambda: di.saliency(network, images, targets), theirs)
    row(f"saliency, lite0, batch {batch}, against Captum", "images/s", lambda t: batch / t, ours, other)


def cut() -> None:
    """Milliseconds of color models, energy and cut at 224 x 224, and of one iteration of `cv2.grabCut`."""
    classifier = di.load("lite0")
    ours_all, theirs_all = [], []
    for path in PHOTOS:
        photo = di.read(path)
        image = view(photo, Frame.whole(photo.width, photo.height, width=224, height=224))
        map = di.saliency(classifier.network, image, int(classifier.network.eval()(image).argmax()))[0].numpy()
        pixels = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
        levels = np.quantile(map, [0.005, 0.30, 0.95, 0.995])
        fixed_background, background, foreground, fixed = (
            map <= levels[0],
            map <= levels[1],
            map >= levels[2],
            map >= levels[3],
        )
        labels = np.full(map.shape, cv2.GC_PR_BGD, np.uint8)
        labels[foreground] = cv2.GC_PR_FGD
        labels[fixed], labels[fixed_background] = cv2.GC_FGD, cv2.GC_BGD
        bytes_ = (pixels * 255).round().astype(np.uint8)

        def ours(pixels=pixels, seeds=(foreground, background, fixed, fixed_background)) -> object:
            return segment(pixels, *seeds)

        def theirs(bytes_=bytes_, labels=labels) -> object:
            models = np.zeros((1, 65)), np.zeros((1, 65))
            return cv2.grabCut(bytes_, labels.copy(), None, *models, 1, cv2.GC_INIT_WITH_MASK)

        mine, other = in_turns(ours, theirs)
        row(f"cut, {path.stem}, against cv2.grabCut", "ms", lambda t: t * 1e3, mine, other)
        ours_all += mine
        theirs_all += other
    row("cut, all photos", "ms", lambda t: t * 1e3, ours_all, theirs_all)


def main() -> None:
    """The machine, the versions, and the table."""
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}")
    print(f"torch {torch.__version__}, captum {captum.__version__}, opencv {cv2.__version__}, numpy {np.__version__}\n")
    print("| what | ours | theirs | ratio (over runs) |\n|---|---|---|---|")
    saliency()
    cut()


if __name__ == "__main__":
    main()
