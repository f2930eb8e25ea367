"""A run: every photo that is wanted and not done yet is explained, and its rows are on the disk within seconds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import numpy as np
import torch

from deepinside.archive.corrections import corrected, corrections, is_judged
from deepinside.archive.folder import RunFolder, about_run, opened_run, part_rows
from deepinside.archive.records import explanations, key_of
from deepinside.archive.review import need
from deepinside.archive.rows import Row, photos_of
from deepinside.archive.stages import Answer, Asked, answers_here
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError
from deepinside.explanations.explain import most_objects
from deepinside.explanations.export import exporting
from deepinside.explanations.presets import DEFAULT, AnyLocalizer, localizer_of, name_of
from deepinside.explanations.results import Explanation
from deepinside.networks.classifier import Classifier

PHOTOS, SECONDS = 256, 10.0  # of a part, at most: what `kill -9` may cost
# The answers for all photos, in any order.
Engine: TypeAlias = Callable[[Classifier, Sequence[Wanted], Asked], Iterator[Answer]]
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
    engine: Engine = answers_here,
) -> Iterator[tuple[Begun, Iterator[Answer]]]:
    """Explain all photos into a folder, or go on with the run in it: what it has before it, and the answers to come.

    Answers are computed as they are taken. Each is on the disk when its part is: after `PHOTOS` photos, `SECONDS`
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
        engine: what computes the answers: `answers_here`, or `answers_on_ray`, perhaps with options of its own.

    Raises `DeepInsideError` as `opened_run` and the engine do, for options out of their range, and where the disk is
    full.
    """
    localizer, most = localizer_of(preset), most_objects(objects)
    if not 0 <= min_probability <= 1:
        raise DeepInsideError(f"expected a probability between 0 and 1 as the smallest, got {min_probability}")
    asked = Asked(localizer, most, min_probability, top)
    with opened_run(folder, _about(classifier, asked, objects)) as opened:
        past = opened.done if retry else np.concatenate([opened.done, opened.failed])
        is_left = ~np.isin(np.array([key_of(each) for each in wanted], np.uint64), past)
        left = [each for each, missing in zip(wanted, is_left, strict=True) if missing]
        answers = engine(classifier, left, asked) if left else iter(())
        with closing(_kept(opened, answers)) as kept:
            yield Begun(len(opened.done), len(opened.failed), len(left)), kept


def _kept(opened: RunFolder, answers: Iterator[Answer]) -> Generator[Answer, None, None]:
    """The answers, written in parts on the way, and the last part at the end of any kind."""
    rows: list[Row] = []
    count, began = 0, monotonic()
    try:
        for answer in answers:
            rows += answer.rows
            count += 1
            if count >= PHOTOS or monotonic() > began + SECONDS:
                written, rows = rows, []
                opened.append(written)
                count, began = 0, monotonic()
            yield answer
    finally:
        opened.append(rows)


def failures(folder: Path) -> Counter[str]:
    """Why photos of a run have failed, and how many of them for each reason."""
    found: Counter[str] = Counter()
    for rows in part_rows(folder, ["error"]):
        found.update(row["error"] for row in rows if row["error"])
    return found


def export_run(folder: Path, out: Path, formats: Sequence[str], tell: Callable[[str], None] | None = None) -> int:
    """Write what a run has found so far, as it was corrected, in one or more formats; returns the number of photos.

    An earlier export of the run is added to. `tell` gets a line for what somebody has changed in it. The review of a
    photo that a person has judged is 0.

    Raises `DeepInsideError` for a folder without a run, damaged corrections, and as `exporting` does.
    """
    about = about_run(folder)
    classes = [(name, wnid) for name, wnid in about["classes"]]
    photos = {os.fsdecode(row["file"]) for rows in part_rows(folder, ["file"]) for row in rows}
    count = 0
    with exporting(out, formats, classes, run_photos=photos, tell=tell) as add:
        for path, name, explanation in _corrected(folder, about):
            add(path, name, explanation)
            count += 1
    return count


def _corrected(folder: Path, about: dict[str, Any]) -> Iterator[tuple[Path, Path, Explanation]]:
    """The photos of a run that have an answer, as a person has corrected them."""
    said = corrections(folder)
    for found in photos_of(chain.from_iterable(part_rows(folder))):
        review = 0.0 if is_judged(found, said) else need(found)  # of what was found, not of what was made of it
        for path, name, explanation in explanations(corrected(found, said), about):
            yield path, name, replace(explanation, review=review)


def _about(classifier: Classifier, asked: Asked, objects: str) -> dict[str, Any]:
    labels = classifier.labels
    return {
        "deepinside": version("deepinside"),
        "torch": torch.__version__,
        "model": classifier.name,
        "weights": classifier.digest(),
        "preset": name_of(asked.localizer),
        "constants": repr(asked.localizer),
        "objects": objects,
        "min_probability": asked.least,
        "top": asked.top,
        "classes": [[labels.name(index), labels.wnid(index)] for index in range(len(labels))],
    }
