"""Speed on an accelerator: `python benchmarks/gpu.py [cuda|mps]`. Prints a table in Markdown.

Saliency in single precision, with TensorFloat-32 and with bfloat16, each with the rank correlation of its maps to those
of single precision, and the whole path from photos to boxes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from captum.attr import Saliency
from scipy.stats import spearmanr

import deepinside as di

PHOTOS = sorted((Path(__file__).parents[1] / "photos").glob("*.jpg"))
RUNS = 7


def seconds(function: Callable[[], object], device: str) -> float:
    """The median time of a call, everything on the device done."""
    wait = getattr(torch, device.split(":")[0]).synchronize
    times = []
    for _ in range(RUNS + 1):
        wait()
        begin = time.perf_counter()
        function()
        wait()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def saliency(device: str, batch: int = 128) -> None:
    """Captum's, ours, and ours in the faster number formats."""
    network = di.load("lite0").to(device).network.eval()
    images, targets = torch.rand(batch, 3, 224, 224, device=device), torch.arange(batch, device=device)
    peer = Saliency(network)
    theirs = seconds(lambda: peer.attribute(images.clone().requires_grad_(), target=targets), device)
    print(f"| Captum | {batch / theirs:.0f} images/s | |")
    exact = di.saliency(network, images, targets)
    kinds = {
        "single precision": ("highest", nullcontext()),
        "TensorFloat-32": ("high", nullcontext()),
        "bfloat16": ("high", torch.autocast(device.split(":")[0], torch.bfloat16)),
    }
    for name, (precision, context) in kinds.items():
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = precision == "high"
        with context:
            maps = di.saliency(network, images, targets)
            took = seconds(lambda: di.saliency(network, images, targets), device)
        ranks = spearmanr(exact.flatten().float().cpu(), maps.flatten().float().cpu()).statistic
        print(f"| ours, {name} | {batch / took:.0f} images/s ({theirs / took:.2f}x) | {ranks:.4f} |")


def path(device: str) -> None:
    """Photos to boxes; the cuts run on the processor."""
    classifier = di.load("lite0").to(device)
    took = seconds(lambda: [di.explain(classifier, photo) for photo in PHOTOS], device) / len(PHOTOS)
    print(f"| photo to five boxes | {took * 1e3:.0f} ms | |")


def main() -> None:
    """The table, for the device that was named."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    if not getattr(torch, device.split(":")[0]).is_available():
        sys.exit(f"expected an accelerator, but {device} is not available")
    print("| what | speed | rank correlation with single precision |\n|---|---|---|")
    saliency(device)
    path(device)


if __name__ == "__main__":
    main()
