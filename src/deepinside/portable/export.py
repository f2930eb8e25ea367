"""`to_onnx`: a classifier as one ONNX file with scores, saliency and what `best` needs to find outlines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from deepinside.core.errors import DeepInsideError, check_writable, named
from deepinside.core.examples import packaged_examples
from deepinside.core.files import atomic_write
from deepinside.core.images import Photo, read
from deepinside.explanations.by_features import Best, sizes_of
from deepinside.gradients.private import independent_copy
from deepinside.gradients.rectifiers import RULES
from deepinside.networks.classifier import Classifier, as_classifier

if TYPE_CHECKING:
    from onnx import ModelProto

    from deepinside.portable.check import Agreement

# What the extra installs. Whatever imports it is imported by the functions below, so that `di` works without.
NEEDED = ("onnx", "onnxscript", "onnxruntime")
PIXELS = ("float32", "uint8")
WEIGHTS = ("float32", "float16", "int8")
LARGEST = 2**31 - 2**20  # bytes of a file, since its format counts with 31 bits


def to_onnx(
    network: Classifier,
    file: str | os.PathLike[str],
    *,
    rule: str = "gradient",
    weights: str = "float32",
    pixels: str = "float32",
    photos: Sequence[Photo | str | os.PathLike[str]] | None = None,
) -> Agreement:
    """Write a classifier as one ONNX file that gives scores and saliency, and check it against PyTorch.

    Inputs of the file:
        `images`: RGB in [0, 1], float32 (batch, channels, height, width), or uint8 (batch, height, width, channels).
        `classes`: int64 (batch, k), or (1, k) for all images; with -1 among them, the five likeliest of each image.

    Outputs of the file:
        `logits`, `probabilities`: (batch, classes). `chosen`, `scores`: the k classes of each image, and their logits.
        `saliency`: max over channels of |d score / d image|, (batch, k, height, width), at the network's own size.
        `seed`, `evidence`, `is_even`, `fine`, `middle`: the maps and features of which the preset `best` makes
        outlines, as far as the network has such layers; for these, larger sizes are taken as well, if the network
        takes them. `deepinside.portable.about` says what stands in the metadata.

    Args:
        network: the classifier; it is left as it was.
        file: where to write, replaced once everything is well.
        rule: how the saliency goes back through rectifiers: `"gradient"`, `"deconvnet"` or `"guided"` (Sect. 4).
        weights: `"float32"`, `"float16"` or `"int8"`; the latter are turned into float32 when the file runs.
        pixels: `"float32"` or `"uint8"`.
        photos: what to check the file with; by default those that come with the package.

    Raises `DeepInsideError` for a network with an operator that ONNX does not have, one that depends on its own values
    or on the number of images, a file that is too large, and one whose maps are not ordered as PyTorch's (rank
    correlation below 0.99). Nothing is written then.

    Source: Simonyan et al. 2013, Sect. 3.1 and 4.
    """
    check_extra()
    from deepinside.portable.about import about, write_about
    from deepinside.portable.check import check
    from deepinside.portable.weights import packed

    classifier, file = as_classifier(network), Path(file)
    named(rule, RULES, "a rule")
    named(weights, dict.fromkeys(WEIGHTS), "a kind of weights")
    named(pixels, dict.fromkeys(PIXELS), "a kind of pixels")
    if pixels == "uint8" and classifier.channels != 3:
        raise DeepInsideError(f"expected a network of RGB for uint8 pixels, got one of {classifier.channels} channels")
    check_writable(file)
    plain = classifier.around(independent_copy(classifier.fast).cpu().float())
    shown = [photo if isinstance(photo, Photo) else read(photo) for photo in photos or packaged_examples().values()]
    classes, sizes, model = _model(plain, rule, pixels)
    said = about(plain, classes, sizes, rule, pixels, weights)
    packed(model, weights)
    write_about(model, said)
    if model.ByteSize() > LARGEST:
        raise DeepInsideError(
            f"expected a network of less than 2 GB, got {model.ByteSize() / 1e9:.1f}; try int8 weights"
        )
    with atomic_write(file) as part:
        part.write_bytes(model.SerializeToString())
        return check(part, said, plain, shown)


def check_extra() -> None:
    """Raise `DeepInsideError` where the packages that write and check files are not installed."""
    if not all(map(find_spec, NEEDED)):
        raise DeepInsideError("files of ONNX need an extra: pip install 'deepinside[onnx]'")


def _model(classifier: Classifier, rule: str, pixels: str) -> tuple[int, list[tuple[int, int]], ModelProto]:
    """How many classes there are, the sizes that the graph takes, and the graph."""
    from deepinside.portable.graph import combined, translated
    from deepinside.portable.tracing import traced

    localizer = Best()
    sizes = sizes_of(classifier, (*localizer.scales, localizer.finer))
    stages = classifier.stages(max(sizes))
    sizes = list(dict.fromkeys(sizes)) if stages.any_size and stages.with_gradients() else sizes[:1]
    graphs = [traced(classifier, stages, size, rule) for size in sizes]
    parts = [translated(graph, classifier.channels) for graph in graphs]
    classes = graphs[0].classes
    classifier.check_labels(classes)
    return classes, sizes, combined(parts, classifier.channels, pixels == "uint8")
