"""An interrupted evaluation goes on where it was, and has the figures of one that was not."""

import json
import os
import resource
import signal
from itertools import islice

import numpy as np
import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.data.boxes import read_samples
from deepinside.evaluation import journal as module
from deepinside.evaluation.journal import digest, judge_on, kept_count
from deepinside.evaluation.localization import Judging, evaluate, summarized
from deepinside.evaluation.results import Case
from deepinside.evaluation.tables import as_json

# What becomes of lines does not depend on what is judged: only the first two tests judge all that can be judged.
PAPER = Judging(["paper"], baselines=False)


@pytest.fixture
def judging():
    """As `judged_in_full` was judged."""
    return Judging(["best", "paper"], faithful=True, sanity=2)


def test_an_interrupted_run_goes_on_and_has_the_same_figures(colors, judged_in_full, tmp_path, judging, monkeypatch):
    samples = list(read_samples(judged_in_full.cases[0].path.parent))
    whole = as_json(judged_in_full)
    first = judge_on(colors, samples, judging, tmp_path / "kept")
    for _ in islice(first, 4):
        pass
    first.close()
    assert kept_count(colors, samples, judging, tmp_path / "kept") == 4
    asked = []
    judge = module.judge_numbered
    monkeypatch.setattr(module, "judge_numbered", lambda c, rest, j: judge(c, asked.extend(rest) or rest, j))
    again = list(judge_on(colors, samples, judging, tmp_path / "kept"))
    assert [sample.path for _, sample in asked] == [sample.path for sample in samples[4:]]
    assert as_json(summarized(colors.name, judging.seed, again)) == whole
    assert list((tmp_path / "kept").iterdir()) == [], "a run that is complete leaves nothing behind"


def test_cases_are_read_back_as_they_were(colors, masked, tmp_path, judging):
    samples = [each for number, each in enumerate(read_samples(masked)) if number in (0, 1, 5)]  # of each kind one
    run = judge_on(colors, samples, judging, tmp_path / "kept")
    written = [next(run) for _ in samples]
    run.close()
    (path,) = (tmp_path / "kept").iterdir()
    kept = module._read(path, samples)
    assert len(kept) == sum(isinstance(one, Case) for one in written)
    for number, case in kept.items():
        assert (case.path, case.label, case.predicted, case.rank) == (
            written[number].path, written[number].label, written[number].predicted, written[number].rank,
        )  # fmt: skip
        for mine, theirs in zip(case.truth, written[number].truth, strict=True):
            assert np.array_equal(mine, theirs)
            assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        assert case.share == written[number].share
        for name, found in case.found.items():
            other = written[number].found[name]
            assert dict(found.scores) == dict(other.scores)
            kept_arrays = ((getattr(each, key) for each in (found, other)) for key in ("objects", "sweep", "pixels"))
            for mine, theirs in kept_arrays:
                assert (mine is None) == (theirs is None)
                assert mine is None or (np.array_equal(mine, theirs) and mine.dtype == theirs.dtype)


def test_a_line_that_was_cut_off_is_judged_again(colors, tree, tmp_path):
    samples, judging = list(read_samples(tree)), PAPER
    run = judge_on(colors, samples, judging, tmp_path / "kept")
    for _ in islice(run, 3):
        pass
    run.close()
    (path,) = (tmp_path / "kept").iterdir()
    path.write_text(path.read_text()[:-40])
    assert kept_count(colors, samples, judging, tmp_path / "kept") == 2
    again = summarized(colors.name, judging.seed, judge_on(colors, samples, judging, tmp_path / "kept"))
    assert as_json(again) == as_json(evaluate(colors, samples, judging))


def test_anything_that_could_change_a_result_begins_another_run(colors, tree, judging):
    samples = list(read_samples(tree))
    digests = {digest(colors, samples, judging)}
    with torch.no_grad():
        colors.network.model.scores.bias[0] += 1
    digests.add(digest(colors, samples, judging))
    digests.add(digest(colors, samples[1:], judging))
    digests.add(digest(colors, samples, Judging(["best"], faithful=True)))
    digests.add(digest(colors, samples, Judging(["best", "paper"], faithful=True, seed=1)))
    assert len(digests) == 5


def test_a_folder_that_cannot_be_written_is_told(colors, tree, tmp_path, judging):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepInsideError, match="place to write"):
        next(judge_on(colors, list(read_samples(tree)), judging, tmp_path / "file"))


def kept_of(classifier, samples, judging, folder, count=3):
    run = judge_on(classifier, samples, judging, folder)
    for _ in islice(run, count):
        pass
    run.close()
    (path,) = folder.iterdir()
    return path


CHANGES = [
    {"found": []}, {"found": {}}, {"found": {"paper": None}}, {"truth": "all"}, {"share": None}, {"number": "0"},
    {"number": 10**30}, {"number": -1}, {"rank": None}, {"label": [1]}, {"path": 7}, {"digest": None},
    {"digest": "000000000000"},
]  # fmt: skip


def test_lines_of_other_types_are_judged_again(colors, tree, tmp_path):
    samples, judging = list(read_samples(tree)), PAPER
    path = kept_of(colors, samples, judging, tmp_path / "kept", 2)
    first, other = path.read_text().splitlines()
    for change in CHANGES:
        path.write_text("\n".join([json.dumps(json.loads(first) | change), other]) + "\n")
        assert kept_count(colors, samples, judging, tmp_path / "kept") == 1
    again = summarized(colors.name, judging.seed, judge_on(colors, samples, judging, tmp_path / "kept"))
    assert as_json(again) == as_json(evaluate(colors, samples, judging))


def test_lines_of_an_earlier_form_are_judged_again(colors, tree, tmp_path):
    """They lack what is judged today, such as the objects; their own digest is right."""
    samples, judging = list(read_samples(tree)), PAPER
    path = kept_of(colors, samples, judging, tmp_path / "kept", 2)
    first, other = path.read_text().splitlines()
    told = json.loads(first)
    del told["digest"]
    for name, found in told["found"].items():
        del found["objects"]
        found["box"] = [0, 0, 9, 9] if name == "paper" else None
    path.write_text("\n".join([json.dumps({**told, "digest": module._digest(json.dumps(told))}), other]) + "\n")
    assert kept_count(colors, samples, judging, tmp_path / "kept") == 1


def test_lines_that_are_no_records_are_passed_over(colors, tree, tmp_path):
    samples, judging = list(read_samples(tree)), PAPER
    path = kept_of(colors, samples, judging, tmp_path / "kept")
    path.write_bytes(b"[]\n7\nnull\n\xff\xfe\n" + b"[" * 100_000 + b"\n" + b"9" * 9999 + b"\n" + path.read_bytes())
    assert kept_count(colors, samples, judging, tmp_path / "kept") == 3


def test_what_follows_a_line_that_was_cut_off_is_kept(colors, tree, tmp_path):
    samples, judging = list(read_samples(tree)), PAPER
    path = kept_of(colors, samples, judging, tmp_path / "kept", 2)
    path.write_text(path.read_text()[:-40])
    kept_of(colors, samples, judging, tmp_path / "kept", 3)
    assert kept_count(colors, samples, judging, tmp_path / "kept") == 3


def test_another_photo_of_the_same_name_begins_another_run(colors, tree, judging):
    samples = list(read_samples(tree))
    before = digest(colors, samples, judging)
    stamp = samples[0].path.stat()
    os.utime(samples[0].path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert digest(colors, samples, judging) != before


def test_a_pipe_in_the_files_place_keeps_nobody_waiting(colors, tree, tmp_path):
    samples, judging = list(read_samples(tree)), PAPER
    path = kept_of(colors, samples, judging, tmp_path / "kept")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DeepInsideError, match="expected a file"):
        next(judge_on(colors, samples, judging, tmp_path / "kept"))


def test_a_full_disk_is_told_in_one_line(colors, tree, tmp_path):
    """Files of this process may not grow beyond what is there, which the system tells as it tells a full disk."""
    samples, judging = list(read_samples(tree)), PAPER
    run = judge_on(colors, samples, judging, tmp_path / "kept")
    next(run)
    (path,) = (tmp_path / "kept").iterdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        with pytest.raises(DeepInsideError, match=r"place to write the images already judged \(File too large\)"):
            next(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert kept_count(colors, samples, judging, tmp_path / "kept") == 1
