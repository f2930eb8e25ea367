"""Exported networks: size, agreement with PyTorch, and time beside eager PyTorch and Captum, for twelve architectures.

    python benchmarks/exported.py --out build/exported --weights ../shared/weights
    python benchmarks/exported.py --out build/exported lite0 resnet18

Files that are in the folder already are measured again, and not exported again. Without `--weights`, the folder with
real weights, networks other than lite0 have random ones. Times are medians in turn, on one thread, of one photo and
one class.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import timm
import torch
import torchvision
from captum.attr import Saliency

import deepinside as di
from deepinside.core.examples import packaged_examples
from deepinside.core.images import read
from deepinside.gradients.private import independent_copy
from deepinside.networks.convnet2013 import ConvNet2013
from deepinside.portable.about import read_about
from deepinside.portable.check import check, opened, run
from deepinside.portable.export import to_onnx

ROUNDS = 7


def torchvision_network(name: str) -> di.Classifier:
    return di.Classifier(getattr(torchvision.models, name)(), name=name, frozen=True)


def timm_network(name: str) -> di.Classifier:
    return di.Classifier(timm.create_model(name), name=name, frozen=True)


def shared(name: str) -> di.Classifier:
    return di.load(f"{WEIGHTS}/{name}.py:make")


def squeezenet() -> di.Classifier:
    os.environ["SQUEEZENET_NPZ"] = str(WEIGHTS / "squeezenet_v1_1.npz")
    return di.load(f"{Path(__file__).parents[1] / 'examples/squeezenet.py'}:squeezenet")


WEIGHTS: Path | None = None
REAL: dict[str, Callable[[], di.Classifier]] = {
    "lite0": lambda: di.load("lite0"),
    "mobilenet_v2": lambda: shared("mobilenet_v2") if WEIGHTS else torchvision_network("mobilenet_v2"),
    "squeezenet1_1": lambda: squeezenet() if WEIGHTS else torchvision_network("squeezenet1_1"),
    "vit_tiny": lambda: shared("vit_tiny") if WEIGHTS else timm_network("vit_tiny_patch16_224"),
    "resnet18": lambda: torchvision_network("resnet18"),
    "resnet50": lambda: torchvision_network("resnet50"),
    "vgg11": lambda: torchvision_network("vgg11"),
    "alexnet": lambda: torchvision_network("alexnet"),
    "densenet121": lambda: torchvision_network("densenet121"),
    "convnext_tiny": lambda: torchvision_network("convnext_tiny"),
    "swin_tiny": lambda: timm_network("swin_tiny_patch4_window7_224"),
    "convnet2013": lambda: di.Classifier(ConvNet2013(1000), name="convnet2013", frozen=True),
}


def main() -> None:
    global WEIGHTS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("names", nargs="*", default=list(REAL))
    asked = parser.parse_args()
    WEIGHTS = asked.weights
    asked.out.mkdir(parents=True, exist_ok=True)
    print(
        "| network | MB | exported in, s | error: file (median) | PyTorch (median) | rank | ms: file | eager | Captum |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in asked.names:
        torch.manual_seed(0)
        print(row(name, REAL[name](), asked.out / f"{name}.onnx"), flush=True)


def row(name: str, classifier: di.Classifier, file: Path) -> str:
    seconds = "-"
    if not file.exists():
        began = perf_counter()
        to_onnx(classifier, file)
        seconds = f"{perf_counter() - began:.0f}"
    said = read_about(onnx.load(file))
    plain = classifier.around(independent_copy(classifier.fast))
    found = check(file, said, plain, [read(path) for path in packaged_examples().values()])
    ours, eager, captum = times(classifier, file, said)
    errors = f"{found.largest:.1e} ({found.typical:.1e}) | {found.own_largest:.1e} ({found.own_typical:.1e})"
    size = file.stat().st_size / 1e6
    return (
        f"| {name} | {size:.1f} | {seconds} | {errors} | {found.rank_correlation:.4f} | "
        f"{ours:.0f} | {eager:.0f} | {captum:.0f} |"
    )


def times(classifier: di.Classifier, file: Path, said: dict) -> np.ndarray:
    """Milliseconds of the file, of `di.saliency`, and of Captum."""
    torch.set_num_threads(1)
    session, network = opened(file, 1), independent_copy(classifier.fast)
    _, pixels = classifier.whole(read(packaged_examples()["cat.jpg"]))
    works = (
        lambda: run(session, said, pixels, [[0]]),
        lambda: di.saliency(classifier, pixels, 0),
        lambda: Saliency(network).attribute(pixels.clone().requires_grad_(), target=0),
    )
    for work in works:
        work()
    return np.median([[measured(work) for work in works] for _ in range(ROUNDS)], axis=0)


def measured(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return 1000 * (perf_counter() - began)


if __name__ == "__main__":
    main()
