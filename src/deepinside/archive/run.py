"""A run: every photo that is wanted and not done yet is explained, and its rows are on the disk within seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.archive.folder import RunFolder, about_run, opened_run, part_rows
from deepinside.archive.records import Row, explanations, key_of, reason_of, rows_of
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError
from deepinside.explanations.explain import FEW_CLASSES, Outcome, explain_chosen, most_objects
from deepinside.explanations.export import exporting
from deepinside.explanations.presets import DEFAULT, AnyLocalizer, localizer_of, name_of
from deepinside.networks.classifier import Classifier

PHOTOS, SECONDS = 256, 10.0  # of a part, at most: what `kill -9` may cost
LEAST = 0.1  # the probability of a class that is looked for in a photo without labels


@dataclass(frozen=True)
class Begun:
    """What a run has before it: how many photos are done already, have failed before, and are left."""

    done: int
    failed: int
    left: int


@contextmanager
def running(
    classifier: Classifier,
    wanted: Sequence[Wanted],
    folder: Path,
    *,
    preset: str | AnyLocalizer = DEFAULT,
    objects: str = "all",
    min_probability: float = LEAST,
    top: int = 0,
    retry: bool = False,
) -> Iterator[tuple[Begun, Iterator[Outcome]]]:
    """Explain all photos into a folder, or go on with the run in it: what it has before it, and the outcomes to come.

    Outcomes are computed as they are taken. Each is on the disk when its part is: after `PHOTOS` photos, `SECONDS`
    seconds, or when the block ends, by an error or a signal as well. What is not on the disk yet when the process is
    killed is done again.

    Args:
        classifier: from `load` or `Classifier(...)`.
        wanted: the photos.
        folder: of the run.
        preset: how objects are found.
        objects: which objects of a class, `"all"` or `"one"`.
        min_probability: in [0, 1]; of a photo without labels, classes that are less likely are left out.
        top: so many of the likeliest classes of every photo are looked for in any case, also beside its labels.
        retry: whether photos that have failed before are tried again.

    Raises `DeepInsideError` as `opened_run` does, for options out of their range, and where the disk is full.
    """
    localizer, most = localizer_of(preset), most_objects(objects)
    if not 0 <= min_probability <= 1:
        raise DeepInsideError(f"expected a probability between 0 and 1 as the smallest, got {min_probability}")
    about = _about(classifier, localizer, objects, min_probability) | {"top": top}
    with opened_run(folder, about) as opened:
        past = opened.done if retry else np.concatenate([opened.done, opened.failed])
        is_left = ~np.isin(np.array([key_of(each) for each in wanted], np.uint64), past)
        left = [each for each, missing in zip(wanted, is_left, strict=True) if missing]
        choices = ((each.path, partial(_chosen, classifier, each.classes, min_probability, top)) for each in left)
        is_few = all(len(each.classes) + top <= FEW_CLASSES for each in left)
        outcomes = explain_chosen(classifier, choices, localizer, most, is_few)
        with closing(_kept(opened, left, outcomes, min_probability, top)) as kept:
            yield Begun(len(opened.done), len(opened.failed), len(left)), kept


def _kept(
    opened: RunFolder, left: Sequence[Wanted], outcomes: Iterator[Outcome], least: float, top: int
) -> Generator[Outcome, None, None]:
    """The outcomes, written in parts on the way, and the last part at the end of any kind."""
    rows: list[Row] = []
    count, began = 0, monotonic()
    try:
        for each, outcome in zip(left, outcomes, strict=True):
            rows += rows_of(each, outcome, least, top)
            count += 1
            if count >= PHOTOS or monotonic() > began + SECONDS:
                written, rows = rows, []
                opened.append(written)
                count, began = 0, monotonic()
            yield outcome
    finally:
        opened.append(rows)


def failures(folder: Path) -> Counter[str]:
    """Why photos of a run have failed, without their names, and how many of them for each reason."""
    found: Counter[str] = Counter()
    for rows in part_rows(folder, ["file", "error"]):
        found.update(reason for row in rows if (reason := reason_of(row)))
    return found


def export_run(folder: Path, out: Path, formats: Sequence[str]) -> int:
    """Write what a run has found so far in one or more formats; returns the number of photos.

    Raises `DeepInsideError` for a folder without a run, and as `exporting` does.
    """
    about = about_run(folder)
    count = 0
    with exporting(out, formats, [(name, wnid) for name, wnid in about["classes"]]) as add:
        for rows in part_rows(folder):
            for path, name, explanation in explanations(rows, about):
                add(path, name, explanation)
                count += 1
    return count


def _chosen(
    classifier: Classifier, given: Sequence[int], least: float, top: int, logits: Float[Tensor, " classes"]
) -> list[int]:
    """The classes of a photo to look for: those given, or else the likely ones, and the `top` likeliest.

    Where there are none, the likeliest stands for what the photo shows.
    """
    likely = 0 if given else int((classifier.posterior(logits) >= least).sum())
    count = min(max(likely, top, 0 if given else 1), FEW_CLASSES)
    return list(dict.fromkeys([*given, *logits.topk(min(count, len(logits))).indices.tolist()]))


def _about(classifier: Classifier, localizer: AnyLocalizer, objects: str, least: float) -> dict[str, Any]:
    labels = classifier.labels
    return {
        "deepinside": version("deepinside"),
        "torch": torch.__version__,
        "model": classifier.name,
        "weights": classifier.digest(),
        "preset": name_of(localizer),
        "constants": repr(localizer),
        "objects": objects,
        "min_probability": least,
        "classes": [[labels.name(index), labels.wnid(index)] for index in range(len(labels))],
    }
