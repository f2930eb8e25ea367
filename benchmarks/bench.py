"""`make bench`: our speed and memory beside the peers', each pair in one process on the same input.

Medians of several runs, ours and the peer's in turns, since machines are shared. Prints a table in Markdown. Names of
rows as arguments run these alone: saliency, live, stems, cut, path, memory, start, growth.
"""

from __future__ import annotations

import copy
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from threading import Event, Thread

import captum
import cv2
import numpy as np
import torch
import torchvision
from captum.attr import Saliency
from torch import Tensor, nn

import deepinside as di
from deepinside.core.geometry import Frame
from deepinside.core.images import view
from deepinside.cut.graphcut import segment
from deepinside.gradients.folded import folded
from deepinside.gradients.private import borrowed, private_view

REPOSITORY = Path(__file__).parents[1]
# The four that all figures are of: photos that came later are left out.
PHOTOS = [
    REPOSITORY / path
    for path in ("tests/photos/astronaut.jpg", *(f"photos/{name}.jpg" for name in ("cat", "coffee", "rocket")))
]
RUNS = 7
QUANTILES = (0.005, 0.30, 0.95, 0.995)


def in_turns(*functions: Callable[[], object], runs: int = RUNS) -> list[list[float]]:
    """Seconds of each run of each function, taken in turns after one run of each to warm up."""
    times: list[list[float]] = [[] for _ in functions]
    for run in range(runs + 1):
        for function, taken in zip(functions, times, strict=True):
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


def passes_of(
    classifier: di.Classifier, images: Tensor, targets: Tensor
) -> tuple[Callable[[], Tensor], Callable[[], Tensor], Callable[[], None]]:
    """`di.saliency` of a frozen classifier, Captum's `Saliency` and our forward pass alone, on the same images."""
    peer = Saliency(classifier.network.eval())
    classifier.freeze()

    def ours() -> Tensor:
        return di.saliency(classifier, images, targets)

    def theirs() -> Tensor:
        maps: Tensor = peer.attribute(images.clone().requires_grad_(), target=targets).amax(dim=1)
        return maps

    def forward() -> None:
        with borrowed(classifier.fast, images) as private, torch.no_grad():
            private(images.clone(memory_format=torch.channels_last))

    return ours, theirs, forward


def saliency_of(name: str, classifier: di.Classifier, batch: int) -> None:
    """Images a second of each of `passes_of`."""
    images = torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    passes = passes_of(classifier, images, torch.arange(batch) * 60)
    # Folding rounds differently, which turns a few of the rectifiers that stand at their kink: alike, not equal.
    alike = torch.corrcoef(torch.stack([maps().flatten() for maps in passes[:2]]))[0, 1]
    assert alike > 0.999, f"the maps differ: correlation {alike:.4f}"
    ours, theirs, floor = in_turns(*passes)
    row(f"saliency, {name}, batch {batch}, against Captum", "images/s", lambda t: batch / t, ours, theirs)
    row(f"saliency, {name}: our forward pass alone against it", "images/s", lambda t: batch / t, floor, ours)


def saliency() -> None:
    """The embedded network and one of torchvision's."""
    saliency_of("lite0", di.load("lite0"), 16)
    torch.manual_seed(0)
    saliency_of("ResNet-50", di.Classifier(torchvision.models.resnet50()), 8)


def live() -> None:
    """What it costs that a call answers for a module as it is: against the snapshot of a frozen classifier."""
    for batch in (1, 16):
        images = torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        frozen, network = di.load("lite0"), di.load("lite0").network
        mine, other = in_turns(lambda: di.saliency(frozen, images, 1), lambda: di.saliency(network, images, 1))  # noqa: B023
        row(
            f"saliency, lite0, batch {batch}: frozen, against a module that may change",
            "ms",
            lambda t: t * 1e3,
            mine,
            other,
        )
    ready, module = di.load("lite0"), di.Classifier(di.load("lite0").network.model, size=224)
    photo = di.read(PHOTOS[0])
    mine, other = in_turns(lambda: di.explain(ready, photo), lambda: di.explain(module, photo))
    row("explain, lite0, one photo: frozen, against a module that may change", "ms", lambda t: t * 1e3, mine, other)
    views, deep = in_turns(lambda: private_view(module.network), lambda: copy.deepcopy(module.network))
    row("a private view of lite0, against copy.deepcopy", "ms", lambda t: t * 1e3, views, deep)


def stems(batch: int = 16) -> None:
    """Milliseconds of the way back through the first layers of usual networks, and of PyTorch's own."""
    images = torch.rand(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last).requires_grad_()
    layers = {
        "ResNet": nn.Conv2d(3, 64, 7, stride=2, padding=3),
        "AlexNet": nn.Conv2d(3, 64, 11, stride=4, padding=2),
        "ConvNeXt": nn.Conv2d(3, 96, 4, stride=4),
        "ViT": nn.Conv2d(3, 384, 16, stride=16),
    }
    for name, layer in layers.items():
        network = private_view(nn.Sequential(OrderedDict(stem=layer, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())))
        network = network.to(memory_format=torch.channels_last)
        mine, other = in_turns(*(way_back(each.stem, images) for each in (folded(network, images[:1]), network)))
        row(f"back through the stem of {name}, batch {batch}", "ms", lambda t: t * 1e3, mine, other)


def way_back(layer: nn.Module, images: Tensor) -> Callable[[], object]:
    """The backward pass of a layer that has run."""
    output = layer(images)
    signal = torch.rand_like(output)
    return lambda: torch.autograd.grad(output, images, signal, retain_graph=True)


def seeds_of(map: np.ndarray) -> tuple[np.ndarray, ...]:
    """The paper's seeds of a map, as `segment` takes them: foreground, background, and those that are fixed."""
    fixed_low, low, high, fixed_high = np.quantile(map, QUANTILES)
    return map >= high, map <= low, map >= fixed_high, map <= fixed_low


def grabcut(pixels: np.ndarray, seeds: tuple[np.ndarray, ...]) -> np.ndarray:
    """OpenCV's mask from the same seeds, one iteration."""
    foreground, _, fixed, fixed_background = seeds
    labels = np.full(foreground.shape, cv2.GC_PR_BGD, np.uint8)
    labels[foreground] = cv2.GC_PR_FGD
    labels[fixed], labels[fixed_background] = cv2.GC_FGD, cv2.GC_BGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    mask, *_ = cv2.grabCut(pixels, labels, None, *models, 1, cv2.GC_INIT_WITH_MASK)
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


def cut() -> None:
    """Milliseconds of color models, energy and cut at 224 x 224, and of one iteration of `cv2.grabCut`."""
    network = di.load("lite0").network.eval()
    ours_all, theirs_all = [], []
    for path in PHOTOS:
        photo = di.read(path)
        image = view(photo, Frame.whole(photo.width, photo.height, width=224, height=224))
        map = di.saliency(network, image, int(network(image).argmax()))[0].numpy()
        pixels, seeds = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy()), seeds_of(map)
        as_bytes = (pixels * 255).round().astype(np.uint8)
        mine, other = in_turns(
            lambda pixels=pixels, seeds=seeds: segment(pixels, *seeds),
            lambda pixels=as_bytes, seeds=seeds: grabcut(pixels, seeds),
        )
        row(f"cut, {path.stem}, against cv2.grabCut", "ms", lambda t: t * 1e3, mine, other)
        ours_all += mine
        theirs_all += other
    row("cut, all photos", "ms", lambda t: t * 1e3, ours_all, theirs_all)


def path() -> None:
    """From photo files to the boxes of five classes: ours, and Captum's maps with OpenCV's cuts."""
    classifier, network = di.load("lite0"), di.load("lite0").network.eval()
    peer = Saliency(network)

    def theirs() -> None:
        for file in PHOTOS:
            photo = di.read(file)
            image = view(photo, Frame.whole(photo.width, photo.height, width=224, height=224))
            pixels = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            with torch.no_grad():
                classes = network(image).topk(5).indices[0].tolist()
            for index in classes:
                map = peer.attribute(image.clone().requires_grad_(), target=index).amax(dim=1)[0].numpy()
                mask = grabcut(np.ascontiguousarray(pixels), seeds_of(map))
                cv2.boundingRect(mask.astype(np.uint8))

    def ours(*groups: list[Path]) -> None:
        for outcome in chain.from_iterable(di.explain_each(classifier, group) for group in groups):
            assert outcome.explanation is not None
            assert len({found.index for found in outcome.explanation.objects if found.mask.any()}) == 5

    together, alone, other = in_turns(lambda: ours(PHOTOS), lambda: ours(*([file] for file in PHOTOS)), theirs)
    for what, mine in (("four photos", together), ("one photo at a time", alone)):
        name = f"photo to five boxes, {what}, best, against Captum and grabCut"
        row(name, "ms", lambda t: t * 1e3 / len(PHOTOS), mine, other)


def resident() -> float:
    """Megabytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def peak(which: str, batch: int = 64) -> float:
    """Megabytes by which this process grows at its peak for one call; to be run in a process of its own."""
    classifier, network = di.load("lite0"), di.load("lite0").network.eval()
    images, targets = torch.rand(batch, 3, 224, 224), torch.arange(batch)
    calls = {
        "ours": lambda count: di.saliency(classifier, images[:count], targets[:count]),
        "theirs": lambda count: Saliency(network).attribute(
            images[:count].clone().requires_grad_(), target=targets[:count]
        ),
    }
    calls[which](1)
    before, seen, done = resident(), [], Event()

    def watch() -> None:
        while not done.wait(0.002):
            seen.append(resident())

    watcher = Thread(target=watch)
    watcher.start()
    calls[which](batch)
    done.set()
    watcher.join()
    return max(seen) - before


def memory() -> None:
    """Peak memory of a batch of 64, each in processes of their own."""
    sizes: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(5):
        for which, taken in sizes.items():
            taken.append(float(subprocess.check_output([sys.executable, __file__, "peak", which], text=True)))
    ours, theirs = (statistics.median(taken) for taken in sizes.values())
    shares = [mine / other for mine, other in zip(*sizes.values(), strict=True)]
    ratio = f"{statistics.median(shares):.2f} of it ({min(shares):.2f} to {max(shares):.2f})"
    print(f"| peak memory, lite0, batch 64, against Captum | {ours:.0f} MB | {theirs:.0f} MB | {ratio} |")


def start() -> None:
    """Seconds until the command shows its help, and until the package is imported."""
    command = str(Path(sys.executable).with_name("deepinside"))
    for what, arguments in (
        ("`deepinside --help`", [command, "--help"]),
        ("`import deepinside`", [sys.executable, "-c", "import deepinside"]),
    ):
        (times,) = in_turns(lambda arguments=arguments: subprocess.check_output(arguments))
        print(f"| {what} | {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f}) | | |")


def growth(counts: tuple[int, ...] = (100, 1000, 10000)) -> None:
    """Images a second and memory as the number of images in one process grows."""
    classifier = di.load("lite0")
    images = torch.rand(100, 3, 224, 224)
    di.saliency(classifier, images, 1)
    for count in counts:
        speeds = []
        for _ in range(count // 100):
            begin = time.perf_counter()
            di.saliency(classifier, images, 1)
            speeds.append(100 / (time.perf_counter() - begin))
        spread = f"{statistics.mean(speeds):.1f} images/s ({min(speeds):.1f} to {max(speeds):.1f} by hundreds)"
        print(f"| saliency, {count} images in one process | {spread} | {resident():.0f} MB held | |", flush=True)


def main() -> None:
    """The machine, the versions, and the table."""
    if sys.argv[1:2] == ["peak"]:
        print(peak(sys.argv[2]))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}")
    print(f"torch {torch.__version__}, captum {captum.__version__}, opencv {cv2.__version__}, numpy {np.__version__}\n")
    print("| what | ours | theirs | ratio (over runs) |\n|---|---|---|---|")
    rows = {
        "saliency": saliency,
        "live": live,
        "stems": stems,
        "cut": cut,
        "path": path,
        "memory": memory,
        "start": start,
        "growth": growth,
    }
    for name in sys.argv[1:] or rows:
        rows[name]()


if __name__ == "__main__":
    main()
