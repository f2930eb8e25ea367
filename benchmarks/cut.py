"""How long a color cut takes, against OpenCV's GrabCut with the same seeds, and an outline against it in a band.

    python benchmarks/cut.py [PHOTO...] [--size 224] [--outline 256 512] [--runs 7]

Photos are squeezed to size x size; without any, the four of `bench.py` are taken, and noise. Each is seeded four ways:
`blob` and `saliency` are smooth maps, `gradient` is a grainy one like a raw gradient, `random` means nothing (the
hardest cuts). Foreground seeds are the top 5%, background seeds the bottom 30% of the map. GrabCut gets them as
"probable" labels, for one iteration: it fits and cuts on all pixels then, as we do. It is asked with the threads it
likes; we use one. Times are medians, in milliseconds.

For the outlines, the 30% of pixels with the largest values of the smooth maps are the coarse mask, and their logarithm
is the coarse log odds. GrabCut gets the mask with "probable" labels within the same band, and two iterations. Runs are
in turns; the ratio is the median of theirs to ours in the same turn. `gap` is by how much the energy of our outline is
above the minimum of all masks, and `in band` above that of the masks within the wide band, in percent of the minimum of
all: what going coarse to fine costs.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from bench import PHOTOS
from PIL import Image
from scipy.ndimage import gaussian_filter

from deepinside.cut.graphcut import clamp, color_costs, contrast_edges, minimum_cut, segment
from deepinside.cut.outline import OutlineOptions, band, banded_cut, energy_gap, terms, trace

try:
    import cv2
except ImportError:
    sys.exit("This benchmark compares with OpenCV: pip install opencv-python-headless")


HEADS = ["mixtures", "edges", "cut", "total", "grabCut", "ratio"]
OUTLINE_HEADS = ["trace", "grabCut", "ratio", "free %", "gap %", "in band %"]


def milliseconds(function, runs):
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def maps(image):
    """Saliency-like maps (size, size) by name."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-0.5 : 0.5 : image.shape[0] * 1j, -0.5 : 0.5 : image.shape[1] * 1j]
    gray, center = image.mean(axis=2), np.exp(-(x * x + y * y) / 0.08)
    detail = np.abs(gaussian_filter(gray, 1) - gaussian_filter(gray, 4))
    grain = random.random(gray.shape)
    return {
        "blob": center + 1e-6 * grain,
        "saliency": gaussian_filter(detail, 3) * center + 1e-6 * grain,
        "gradient": gaussian_filter(detail, 2) * center * np.abs(random.standard_normal(gray.shape)),
        "random": grain,
    }


def grab_cut(image, foreground, background):
    labels = np.full(foreground.shape, cv2.GC_PR_BGD, np.uint8)
    labels[foreground] = cv2.GC_PR_FGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, labels, None, *models, 1, cv2.GC_INIT_WITH_MASK)


def measure(image, saliency, runs):
    """Milliseconds of mixtures, edges, cut, the whole, GrabCut."""
    low, lowest, high, highest = np.quantile(saliency, [0.3, 0.005, 0.95, 0.995])
    labels = saliency >= high, saliency <= low, saliency >= highest, saliency <= lowest
    costs, edges = color_costs(image, *labels[:2]), contrast_edges(image)
    pixels = np.ascontiguousarray((255 * image[..., ::-1]).astype(np.uint8))
    return [
        milliseconds(lambda: color_costs(image, *labels[:2]), runs),
        milliseconds(lambda: contrast_edges(image), runs),
        milliseconds(lambda: minimum_cut(*clamp(*costs, *labels[2:]), *edges), runs),
        milliseconds(lambda: segment(image, *labels), runs),
        milliseconds(lambda: grab_cut(pixels, *labels[:2]), runs),
    ]


def in_turns(ours, theirs, runs):
    """Median milliseconds of each, and the median of their ratios."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        times.append((middle - start, time.perf_counter() - middle))
    ours, theirs = np.transpose(times[1:])
    return 1000 * np.median(ours), 1000 * np.median(theirs), np.median(theirs / ours)


def grab_outline(image, mask, free):
    labels = np.where(mask, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    labels[free] = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD)[free]
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, labels, None, *models, 2, cv2.GC_INIT_WITH_MASK)


def measure_outline(image, saliency, runs):
    """Milliseconds of an outline and of GrabCut, their ratio, the share of free pixels, and the energy gaps."""
    evidence = np.log(saliency)
    odds = (3 * (evidence - np.quantile(evidence, 0.7))).clip(-3, 3)
    mask, options = odds > 0, OutlineOptions()
    free = band(mask, options.band * np.sqrt(mask.sum()))
    pixels = np.ascontiguousarray((255 * image[..., ::-1]).astype(np.uint8))
    times = in_turns(lambda: trace(image, odds, mask), lambda: grab_outline(pixels, mask, free), runs)
    found = trace(image, odds, mask)
    problem = terms(image, odds, found.mixtures)
    least, gap = minimum_cut(*problem).energy, energy_gap(found.mask, *problem)
    wide = banded_cut(*problem, free, mask).energy - least
    return [*times, 100 * free.mean(), 100 * gap / least, 100 * (gap - wide) / least]


def outlines(paths, sizes, runs):
    print(f"\n{'outline':20}{'size, mask':16}" + "".join(f"{head:>10}" for head in OUTLINE_HEADS))
    for size in sizes:
        rows = []
        for path in paths:
            image = np.asarray(Image.open(path).convert("RGB").resize((size, size)), np.float32) / 255
            every = maps(image)
            for kind in ("blob", "saliency"):
                rows.append(measure_outline(image, every[kind], runs))
                cells = "".join(f"{value:10.2f}" for value in rows[-1])
                print(f"{path.stem[:19]:20}{f'{size}, {kind}':16}{cells}", flush=True)
        print(f"{'median':20}{size:<16}" + "".join(f"{value:10.2f}" for value in np.median(rows, axis=0)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--outline", type=int, nargs="*", default=[256, 512], help="sizes; none leaves them out")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    shape = arguments.size, arguments.size
    paths = arguments.photos or PHOTOS
    images = {p.stem: np.asarray(Image.open(p).convert("RGB").resize(shape), np.float32) / 255 for p in paths}
    if not arguments.photos:
        images["noise"] = np.random.default_rng(0).random((*shape, 3), np.float32)
        images |= {f"{name}, faint": 0.5 + (image - 0.5) / 50 for name, image in list(images.items())[:1]}

    print(f"{'':20}{'seeds':10}" + "".join(f"{head:>10}" for head in HEADS))
    rows = []
    for name, image in images.items():
        for kind, saliency in maps(image).items():
            row = measure(image, saliency, arguments.runs)
            rows.append([*row, row[4] / row[3]])
            print(f"{name[:19]:20}{kind:10}" + "".join(f"{value:10.2f}" for value in rows[-1]), flush=True)
    print(f"{'median':30}" + "".join(f"{value:10.2f}" for value in np.median(rows, axis=0)))
    outlines(paths, arguments.outline, arguments.runs)


if __name__ == "__main__":
    main()
