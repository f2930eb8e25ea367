"""Whether an exported file says what PyTorch says: onnx's own checker, and both on photos.

Single precision is never exact: a rectifier whose input is within rounding of zero may be open in one program and
closed in another, and then a few pixels differ by percents. So both are held against double precision, and the
report tells the error of PyTorch in single precision beside that of the file.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.images import Photo
from deepinside.evaluation.metrics import rank_correlation
from deepinside.explanations.maps import saliency
from deepinside.gradients.private import private_view
from deepinside.gradients.probe import read_logits
from deepinside.networks.classifier import Classifier

LEAST = 0.99  # of the rank correlation of maps, below which a file is refused
ERRORS = 3  # what ONNX Runtime logs: its warnings are about its own business
ROUNDS = 5  # of each measurement of time, of which the median is told


@dataclass(frozen=True)
class Agreement:
    """How well an exported file agrees with double precision on some photos, each with its likeliest class.

    Errors are the largest difference of two saliency maps over the largest value; `typical` is the median over photos,
    and `largest` the worst of them; those of PyTorch in single precision stand beside them. Times are medians, of a
    photo and one class, on one thread.
    """

    photos: int
    typical: float
    largest: float
    own_typical: float
    own_largest: float
    rank_correlation: float  # the lowest
    score: float  # the largest difference of two logits, over the largest logit
    milliseconds: float
    own_milliseconds: float

    def lines(self) -> list[str]:
        """The report for a person."""
        return [
            f"{self.photos} photo{'s' * (self.photos > 1)} against PyTorch in double precision:",
            f"  largest error of saliency   {self.largest:.1e} (median {self.typical:.1e}), "
            f"of PyTorch in single precision {self.own_largest:.1e} ({self.own_typical:.1e})",
            f"  rank correlation, lowest    {self.rank_correlation:.4f}",
            f"  largest error of scores     {self.score:.1e}",
            f"  a photo on one thread       {self.milliseconds:.0f} ms, in PyTorch {self.own_milliseconds:.0f} ms",
        ]


def check(path: Path, said: Mapping[str, Any], classifier: Classifier, photos: Sequence[Photo]) -> Agreement:
    """Run an exported file and PyTorch on photos.

    Args:
        path: the file.
        said: what it says of itself.
        classifier: what was exported, in single precision on the processor.
        photos: at least one.

    Raises `DeepInsideError` for a file that is not valid, or whose maps are ordered otherwise than PyTorch's.
    """
    session = opened(path, checked=True)
    exact = classifier.around(copy.deepcopy(classifier.network).double())
    found = [_compared(session, said, classifier, exact, photo) for photo in photos]
    errors, own, ranks, scores = (np.array(values) for values in zip(*found, strict=True))
    if not ranks.min() >= LEAST:
        raise DeepInsideError(
            f"expected maps as PyTorch's, in rank correlation {LEAST} or more, got {ranks.min():.4f}; "
            "leave --int8 or --half out, or use other --photos"
        )
    pixels = classifier.whole(photos[0])[1]
    times = _times(path, said, classifier, pixels)
    return Agreement(
        len(photos),
        float(np.median(errors)),
        float(errors.max()),
        float(np.median(own)),
        float(own.max()),
        float(ranks.min()),
        float(scores.max()),
        *times,
    )


def opened(path: Path, threads: int = 0, checked: bool = False) -> onnxruntime.InferenceSession:
    """A file that ONNX Runtime takes, on so many threads, or as many as it likes; checked by onnx's checker as well.

    Raises `DeepInsideError` for another one.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, ERRORS
    try:
        if checked:
            onnx.checker.check_model(os.fspath(path), full_check=True)
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of libraries that have no common kind of error
        raise DeepInsideError(f"{path}: the exported file is not valid ({brief(error)})") from error


def run(
    session: onnxruntime.InferenceSession,
    said: Mapping[str, Any],
    images: Float[Tensor, "batch channels height width"],
    classes: Sequence[Sequence[int]] | None = None,
) -> dict[str, np.ndarray]:
    """The outputs of a file for images in [0, 1], by name; of the likeliest classes where none are given."""
    pixels = images.numpy()
    if said["input"] == "uint8":
        pixels = np.rint(pixels * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    wanted = np.array([[-1]] if classes is None else classes, dtype=np.int64)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": pixels, "classes": wanted}), strict=True))


def _compared(
    session: onnxruntime.InferenceSession,
    said: Mapping[str, Any],
    classifier: Classifier,
    exact: Classifier,
    photo: Photo,
) -> tuple[float, float, float, float]:
    """Of one photo: the file's error, PyTorch's, the rank correlation, and the error of the scores."""
    _, pixels = classifier.whole(photo)
    logits = read_logits(private_view(exact.network), pixels.double())[0]
    target = int(logits.argmax())
    found = run(session, said, pixels, [[target]])
    map = found["saliency"][0, 0]
    wanted = saliency(exact.network, pixels.double(), target, rule=said["rule"])[0].numpy()
    own = saliency(classifier.network, pixels, target, rule=said["rule"])[0].numpy()
    most = float(wanted.max()) or 1.0
    score = np.abs(found["logits"][0] - logits.numpy()).max() / np.abs(logits.numpy()).max()
    return np.abs(map - wanted).max() / most, np.abs(own - wanted).max() / most, rank_correlation(map, wanted), score


def _times(path: Path, said: Mapping[str, Any], classifier: Classifier, pixels: Tensor) -> tuple[float, float]:
    """Milliseconds of the file and of PyTorch for a photo and one class, in turn."""
    session, threads = opened(path, 1), torch.get_num_threads()

    def measured(work: Callable[[], object]) -> float:
        began = perf_counter()
        work()
        return 1000 * (perf_counter() - began)

    torch.set_num_threads(1)
    try:
        works = (
            lambda: run(session, said, pixels, [[0]]),
            lambda: saliency(classifier.network, pixels, 0, rule=said["rule"]),
        )
        for work in works:  # what is compiled or allocated at first
            work()
        rounds = [[measured(work) for work in works] for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    file, own = np.median(rounds, axis=0)
    return float(file), float(own)
