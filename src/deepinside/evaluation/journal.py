"""Images already judged, kept in a file as they come, so that an interrupted run goes on where it was.

One JSON object per line and image. The file's name holds a digest of everything that the results depend on: the data
set's annotations, the network's weights, the localizers' constants and this package's version. So what is found under a
name belongs to the same run, and a run that is complete takes its file away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from deepinside.core.errors import writing
from deepinside.core.geometry import Box
from deepinside.data.boxes import Sample
from deepinside.evaluation.localization import Judging, judge_numbered
from deepinside.evaluation.results import Case, Found, Judged
from deepinside.networks.classifier import Classifier


def judge_on(classifier: Classifier, samples: Sequence[Sample], judging: Judging, folder: Path) -> Iterator[Judged]:
    """As `judge_each`, but every image judged is kept in a file of the folder until all of them are.

    Images that could not be judged are tried again. Raises `DeepInsideError` where the folder cannot be written.
    """
    path = folder / f"evaluate-{digest(classifier, samples, judging)}.jsonl"
    kept = _read(path)
    left = [(number, sample) for number, sample in enumerate(samples) if number not in kept]
    rest = judge_numbered(classifier, left, judging)
    with writing(path, "the images already judged"), path.open("a", encoding="utf-8") as stream:
        for number in range(len(samples)):
            judged = kept[number] if number in kept else next(rest)
            if number not in kept and isinstance(judged, Case):
                _append(stream, number, judged)
            yield judged
    path.unlink()


def kept_count(classifier: Classifier, samples: Sequence[Sample], judging: Judging, folder: Path) -> int:
    """How many images an earlier, interrupted run of the same kind has left."""
    return len(_read(folder / f"evaluate-{digest(classifier, samples, judging)}.jsonl"))


def digest(classifier: Classifier, samples: Sequence[Sample], judging: Judging) -> str:
    """Twelve digits that differ where a result could."""
    facts = [
        version("deepinside"),
        classifier.name,
        classifier.digest(),
        repr(classifier.labels),
        repr(judging.localizers),
        repr((judging.seed, judging.baselines, judging.faithful, judging.sanity)),
        *(f"{sample.path} {sample.mask} {sample.annotations!r}" for sample in samples),
    ]
    return sha256("\n".join(facts).encode(errors="surrogateescape")).hexdigest()[:12]


def _append(stream: TextIO, number: int, case: Case) -> None:
    stream.write(json.dumps({"number": number, **_as_json(case)}) + "\n")
    stream.flush()


def _read(path: Path) -> dict[int, Case]:
    """The images kept, by their number; a last line that was cut off is left out."""
    if not path.is_file():
        return {}
    kept = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            told = json.loads(line)
            kept[int(told["number"])] = _case(told)
        except (ValueError, KeyError, TypeError):
            continue
    return kept


def _as_json(case: Case) -> dict[str, Any]:
    return {
        "path": str(case.path),
        "label": case.label,
        "predicted": case.predicted,
        "rank": case.rank,
        "truths": case.truths.tolist(),
        "found": {
            name: {
                "box": found.box and found.box.as_tuple(),
                "sweep": None if found.sweep is None else found.sweep.tolist(),
                "pixels": None if found.pixels is None else found.pixels.tolist(),
                "scores": dict(found.scores),
            }
            for name, found in case.found.items()
        },
    }


def _case(told: Mapping[str, Any]) -> Case:
    found = {
        name: Found(
            None if each["box"] is None else Box(*each["box"]),
            None if each["sweep"] is None else np.array(each["sweep"], dtype=np.float32),
            None if each["pixels"] is None else np.array(each["pixels"], dtype=np.int64),
            each["scores"],
        )
        for name, each in told["found"].items()
    }
    truths = np.array(told["truths"], dtype=np.float64)
    return Case(Path(told["path"]), told["label"], told["predicted"], int(told["rank"]), truths, found)
