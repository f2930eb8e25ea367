"""Speed on an accelerator: `python benchmarks/gpu.py [cuda|mps] [--batch 128]`. Prints a table in Markdown.

For EfficientNet-Lite0 and ResNet-50: saliency in single precision, with TensorFloat-32 and with bfloat16, against
Captum's, each with the rank correlation of its maps to those of single precision; our forward pass alone; the peak of
the device's memory. Then the whole path from photo files to boxes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torchvision
from bench import PHOTOS, RUNS, passes_of
from scipy.stats import spearmanr
from torch import nn

import deepinside as di

FORMATS = ("single precision", "TensorFloat-32", "bfloat16")


@contextmanager
def numbers(name: str, device: torch.device) -> Iterator[None]:
    """Products in one of `FORMATS` within the block."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if name == FORMATS[0] else "high")
    torch.backends.cudnn.allow_tf32 = name != FORMATS[0]
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=name == FORMATS[2]):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def seconds(function: Callable[[], object], device: torch.device) -> float:
    """The median time of a call, everything on the device done."""
    wait = getattr(torch, device.type).synchronize
    times = []
    for _ in range(RUNS + 1):
        wait()
        begin = time.perf_counter()
        function()
        wait()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def megabytes(function: Callable[[], object], device: torch.device) -> str:
    """How much memory of the device a call takes at its peak, where that can be asked."""
    if device.type != "cuda":
        return "not known"
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    return f"{(torch.cuda.max_memory_allocated(device) - before) / 2**20:.0f} MB"


def saliency_of(name: str, network: nn.Module, batch: int, device: torch.device) -> None:
    """Captum's, ours, ours in the faster number formats, and our forward pass alone."""
    images = torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(device)
    targets = torch.arange(batch, device=device)
    ours, theirs, forward = passes_of(network, images, targets)
    with numbers(FORMATS[0], device):
        exact, peers = ours(), seconds(theirs, device)
        print(f"| {name}, Captum, single precision | {batch / peers:.0f} images/s | {megabytes(theirs, device)} | |")
    for kind in FORMATS:
        with numbers(kind, device):
            maps, took, alone = ours(), seconds(ours, device), seconds(forward, device)
            held = megabytes(ours, device)
        ranks = spearmanr(exact.flatten().float().cpu(), maps.flatten().float().cpu()).statistic
        speed = f"{batch / took:.0f} images/s, {peers / took:.2f}x Captum, {took / alone:.2f}x our forward pass"
        print(f"| {name}, ours, {kind} | {speed} | {held} | {ranks:.4f} |", flush=True)


def path(device: torch.device) -> None:
    """Photo files to boxes, 40 of them; the cuts run on the processor while the device sees other photos."""
    classifier = di.load("lite0").to(device)
    photos = PHOTOS * 10
    took = seconds(lambda: list(di.explain_each(classifier, photos)), device) / len(photos)
    print(f"| photo file to five boxes, lite0 | {took * 1e3:.0f} ms | | |")


def main() -> None:
    """The table, for the device that was named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", nargs="?", default="cuda")
    parser.add_argument("--batch", type=int, default=128)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if not getattr(torch, device.type).is_available():
        sys.exit(f"expected an accelerator, but {device} is not available")
    print(f"torch {torch.__version__}, {asked.device}, batch {asked.batch}\n")
    print("| what | speed | peak memory | rank correlation with single precision |\n|---|---|---|---|")
    saliency_of("lite0", di.load("lite0").to(device).fast, asked.batch, device)
    torch.manual_seed(0)
    saliency_of("ResNet-50", torchvision.models.resnet50().to(device).eval(), asked.batch, device)
    path(device)


if __name__ == "__main__":
    main()
