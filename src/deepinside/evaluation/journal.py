"""Images already judged, kept in a file as they come, so that an interrupted run goes on where it was.

One JSON object per line and image, with a digest of itself: a line that was cut off or edited is judged again. The
file's name holds a digest of everything that the results depend on: the data set's annotations and photos, the
network's weights, the localizers' constants and this package's version. So what is found under a name belongs to the
same run, and a run that is complete takes its file away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from deepinside.core.errors import DeepInsideError, writing
from deepinside.data.boxes import Sample
from deepinside.evaluation import score_maps
from deepinside.evaluation.localization import Judging, judge_numbered
from deepinside.evaluation.objects import Truth
from deepinside.evaluation.results import Case, Found, Judged
from deepinside.networks.classifier import Classifier


def judge_on(classifier: Classifier, samples: Sequence[Sample], judging: Judging, folder: Path) -> Iterator[Judged]:
    """As `judge_each`, but every image judged is kept in a file of the folder until all of them are.

    Images that could not be judged are tried again. Raises `DeepInsideError` where the folder cannot be written.
    """
    path = folder / f"evaluate-{digest(classifier, samples, judging)}.jsonl"
    kept = _read(path, samples)
    left = [(number, sample) for number, sample in enumerate(samples) if number not in kept]
    rest = judge_numbered(classifier, left, judging)
    is_new = not folder.exists()
    _append(path, "\n" if _is_cut_off(path) else "")
    for number in range(len(samples)):
        judged = kept[number] if number in kept else next(rest)
        if number not in kept and isinstance(judged, Case):
            _append(path, _line(number, judged))
        yield judged
    path.unlink(missing_ok=True)
    if is_new:
        with suppress(OSError):
            folder.rmdir()  # unless it holds anything else


def kept_count(classifier: Classifier, samples: Sequence[Sample], judging: Judging, folder: Path) -> int:
    """How many images an earlier, interrupted run of the same kind has left."""
    return len(_read(folder / f"evaluate-{digest(classifier, samples, judging)}.jsonl", samples))


def digest(classifier: Classifier, samples: Sequence[Sample], judging: Judging) -> str:
    """Twelve digits that differ where a result could."""
    facts = [
        version("deepinside"),
        classifier.name,
        classifier.digest(),
        repr(classifier.labels),
        repr(judging.localizers),
        repr((judging.seed, judging.baselines, judging.faithful, judging.sanity)),
        *(
            f"{sample.path} {_stamp(sample.path)} {sample.annotations!r} {sample.ignored!r} {sample.size} "
            f"{[(str(path), _stamp(path)) for path in sample.masks]}"
            for sample in samples
        ),
    ]
    return _digest("\n".join(facts))


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def _stamp(path: Path | None) -> tuple[int, int] | None:
    """What changes with the content of a file; None where there is none."""
    try:
        found = path.stat() if path else None
    except (OSError, ValueError):
        return None
    return found and (found.st_size, found.st_mtime_ns)


def _append(path: Path, text: str) -> None:
    """Append in one piece, without a buffer that would be written once more after an error."""
    with writing(path, "the images already judged"):
        _check_file(path)
        with path.open("ab", buffering=0) as stream:
            stream.write(text.encode())


def _line(number: int, case: Case) -> str:
    content = {"number": number, **_as_json(case)}
    return json.dumps({**content, "digest": _digest(json.dumps(content))}) + "\n"


def _is_cut_off(path: Path) -> bool:
    return path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0


def _check_file(path: Path) -> None:
    """Raise `DeepInsideError` for what would keep its reader waiting, such as a named pipe."""
    if path.exists() and not path.is_file():
        raise DeepInsideError(f"{path}: expected a file for the images already judged, found none; remove it")


def _read(path: Path, samples: Sequence[Sample]) -> dict[int, Case]:
    """The images kept, by their number; lines that were cut off or edited are left out."""
    if not path.is_file():
        return {}
    kept = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            told = json.loads(line)
            is_whole = told.pop("digest") == _digest(json.dumps(told))
            if is_whole and told["path"] == str(samples[told["number"]].path):
                kept[told["number"]] = _case(told)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            continue
    return kept


def _as_json(case: Case) -> dict[str, Any]:
    return {
        "path": str(case.path),
        "label": case.label,
        "predicted": case.predicted,
        "rank": case.rank,
        "truth": {name: values.tolist() for name, values in case.truth._asdict().items()},
        "share": case.share,
        "found": {
            name: {
                "objects": None if found.objects is None else found.objects.tolist(),
                "sweep": None if found.sweep is None else found.sweep.tolist(),
                "pixels": None if found.pixels is None else found.pixels.tolist(),
                "scores": dict(found.scores),
                "score_map": None if found.score_map is None else score_maps.as_json(found.score_map),
            }
            for name, found in case.found.items()
        },
    }


def _case(told: Mapping[str, Any]) -> Case:
    found = {
        name: Found(
            None if each["objects"] is None else np.array(each["objects"], dtype=np.float64),
            None if each["sweep"] is None else np.array(each["sweep"], dtype=np.float32),
            None if each["pixels"] is None else np.array(each["pixels"], dtype=np.int64),
            each["scores"],
            None if each["score_map"] is None else score_maps.of_json(each["score_map"]),
        )
        for name, each in told["found"].items()
    }
    boxes, crowds = (np.array(told["truth"][name], dtype=np.float64).reshape(-1, 4) for name in ("boxes", "crowds"))
    truth = Truth(boxes, np.array(told["truth"]["counted"], dtype=bool), crowds)
    path, share = Path(told["path"]), float(told["share"])
    return Case(path, told["label"], told["predicted"], int(told["rank"]), truth, share, found)
