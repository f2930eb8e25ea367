"""An interrupted evaluation goes on where it was, and has the figures of one that was not."""

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


@pytest.fixture
def judging():
    return Judging(["best", "paper"], faithful=True, sanity=2)


def test_an_interrupted_run_goes_on_and_has_the_same_figures(colors, masked, tmp_path, judging, monkeypatch):
    samples = list(read_samples(masked))
    whole = as_json(evaluate(colors, samples, judging))
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
    assert as_json(summarized(colors, judging, again)) == whole
    assert list((tmp_path / "kept").iterdir()) == [], "a run that is complete leaves nothing behind"


def test_cases_are_read_back_as_they_were(colors, masked, tmp_path, judging):
    samples = list(read_samples(masked))
    run = judge_on(colors, samples, judging, tmp_path / "kept")
    written = [next(run) for _ in samples]
    run.close()
    (path,) = (tmp_path / "kept").iterdir()
    kept = module._read(path)
    assert len(kept) == sum(isinstance(one, Case) for one in written)
    for number, case in kept.items():
        assert (case.path, case.label, case.predicted, case.rank) == (
            written[number].path, written[number].label, written[number].predicted, written[number].rank,
        )  # fmt: skip
        assert np.array_equal(case.truths, written[number].truths)
        for name, found in case.found.items():
            other = written[number].found[name]
            assert (found.box, dict(found.scores)) == (other.box, dict(other.scores))
            for mine, theirs in ((found.sweep, other.sweep), (found.pixels, other.pixels)):
                assert (mine is None) == (theirs is None)
                assert mine is None or (np.array_equal(mine, theirs) and mine.dtype == theirs.dtype)


def test_a_line_that_was_cut_off_is_judged_again(colors, tree, tmp_path, judging):
    samples = list(read_samples(tree))
    run = judge_on(colors, samples, judging, tmp_path / "kept")
    for _ in islice(run, 3):
        pass
    run.close()
    (path,) = (tmp_path / "kept").iterdir()
    path.write_text(path.read_text()[:-40])
    assert kept_count(colors, samples, judging, tmp_path / "kept") == 2
    again = summarized(colors, judging, judge_on(colors, samples, judging, tmp_path / "kept"))
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
