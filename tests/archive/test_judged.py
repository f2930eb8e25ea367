"""A run judged against ground truth has the figures of an evaluation, and says what it lacks."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from deepinside.archive.judged import judge_run, judgeable
from deepinside.archive.run import running
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError
from deepinside.data.boxes import read_samples
from deepinside.evaluation.localization import Judging, evaluate, summarized
from deepinside.evaluation.results import Case
from deepinside.evaluation.tables import notes
from helpers import NAMES

LABELED = [(f"{number}.png", (number % 3 if number != 5 else 0,)) for number in range(6)]


def run_of(classifier, root, folder, photos=LABELED, **options):
    wanted = [Wanted.named(root / name, Path(name), classes) for name, classes in photos]
    with running(classifier, wanted, folder, **options) as (_, outcomes):
        list(outcomes)
    return folder


def evaluated(folder, root):
    asked = judgeable(folder, list(read_samples(root)), root)
    return asked, summarized(asked.model, 0, judge_run(asked))


def test_figures_are_those_of_an_evaluation(colors, masked, tmp_path):
    run = run_of(colors, masked, tmp_path / "run")
    samples = list(read_samples(masked))
    asked, mine = evaluated(run, masked)
    whole = evaluate(colors, samples, Judging(["best"], baselines=False))
    assert (asked.moved, len(asked), mine.model) == (0, 6, "colors")
    assert [failure.path for failure in mine.failures] == [failure.path for failure in whole.failures]
    for one, other in zip(mine.cases, whole.cases, strict=True):
        assert (one.path, one.label, one.predicted, one.rank) == (other.path, other.label, other.predicted, other.rank)
        assert np.allclose(one.found["best"].objects, other.found["best"].objects, atol=1e-5)
    assert mine.rows.keys() == whole.rows.keys()
    for name, row in mine.rows.items():
        assert row.figures.keys() == whole.rows[name].figures.keys()
        for key, figure in row.figures.items():
            near = 0.1 if name == "best" and key == "pxap" else 1e-5
            if name != "best" or not key.startswith(("max_box_acc_", "pointing")):  # its maps are small
                assert figure.value == pytest.approx(whole.rows[name].figures[key].value, abs=near), (name, key)


def test_a_data_set_that_has_moved_is_found_by_its_names(colors, tree, tmp_path):
    run = run_of(colors, tree, tmp_path / "run")
    _, before = evaluated(run, tree)
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (*tree.glob("*.png"), tree / "boxes.csv"):
        shutil.move(path, moved / path.name)
    asked, after = evaluated(run, moved)
    assert asked.moved == 6
    assert {name: row.figures for name, row in after.rows.items()} == {
        name: row.figures for name, row in before.rows.items()
    }


def test_a_name_that_could_be_two_photos_is_none(colors, tree, tmp_path):
    for name in ("one", "two"):
        (tree / name).mkdir()
        shutil.copy(tree / "1.png", tree / name / "1.png")
    run = run_of(colors, tree, tmp_path / "run", [("0.png", (0,)), ("one/1.png", (1,)), ("two/1.png", (1,))])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("0.png", "1.png"):
        shutil.copy(tree / name, elsewhere / name)
    (elsewhere / "boxes.csv").write_text("image,label,x0,y0,x1,y1\n0.png,red,1,1,9,9\n1.png,green,1,1,9,9\n")
    asked, evaluation = evaluated(run, elsewhere)
    assert (asked.moved, [case.path.name for case in evaluation.cases]) == (1, ["0.png"])
    assert [failure.path.name for failure in evaluation.failures] == ["1.png"]


def test_photos_that_are_lacking_or_have_failed_are_counted(colors, tree, tmp_path):
    (tree / "2.png").write_bytes(b"")
    _, evaluation = evaluated(run_of(colors, tree, tmp_path / "run", LABELED[:4]), tree)
    assert [case.path.name for case in evaluation.cases] == ["0.png", "1.png", "3.png"]
    reasons = {failure.path.name: failure.reason for failure in evaluation.failures}
    assert set(reasons) == {"2.png", "4.png", "5.png", "missing.png"}
    assert "none in it" in reasons["4.png"]
    assert "no such file" in reasons["missing.png"]


def test_figures_that_a_run_cannot_tell_are_unknown_and_not_wrong(colors, tree, tmp_path):
    """The last photo is annotated wrongly: without labels, nobody looks for that class in it."""
    run = run_of(colors, tree, tmp_path / "run", [(name, ()) for name, _ in LABELED], top=1)
    _, evaluation = evaluated(run, tree)
    whole = evaluate(colors, read_samples(tree), Judging(["best"], baselines=False))
    unknown = [case for case in evaluation.cases if case.found["best"].is_unknown]
    assert [case.path.name for case in unknown] == ["5.png"]
    assert unknown[0].rank > 0
    row = evaluation.rows["best"]
    assert set(row.figures) == {"top1_error"}, "its label is wrong, whatever the box; within the first five it is right"
    assert row.figures["top1_error"].value == whole.rows["best"].figures["top1_error"].value
    assert evaluation.rows["center_box"].figures["mean_iou"].value == whole.rows["center_box"].figures["mean_iou"].value
    assert "best: of 1 images, nobody has looked for the class" in notes(evaluation, False)
    assert "nobody has looked" not in notes(whole, False)


def test_classes_are_found_by_the_names_of_the_run(colors, tree, tmp_path):
    asked = judgeable(run_of(colors, tree, tmp_path / "run"), [], tree)
    assert [asked.labels.find(name) for name in NAMES] == [0, 1, 2]


def test_the_names_of_imagenet_have_their_synonyms(lite0, tree, tmp_path):
    with running(lite0, [], tmp_path / "run") as (_, outcomes):
        list(outcomes)
    assert judgeable(tmp_path / "run", [], tree).labels.find("Tinca tinca") == 0


def test_a_folder_without_a_run_is_told(tree, tmp_path):
    with pytest.raises(DeepInsideError, match="expected the folder of a run"):
        judgeable(tmp_path, [], tree)


def test_a_case_has_all_methods(colors, tree, tmp_path):
    asked = judgeable(run_of(colors, tree, tmp_path / "run", LABELED[:1]), list(read_samples(tree))[:1], tree)
    (case,) = judge_run(asked)
    assert isinstance(case, Case)
    assert list(case.found) == ["best", "center_box", "whole_image", "center_gaussian"]
