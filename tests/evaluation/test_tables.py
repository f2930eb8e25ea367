"""What is written of an evaluation, read back and added up."""

import json

import numpy as np
import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.terminal import print_table
from deepinside.data.boxes import read_samples
from deepinside.evaluation.localization import Judging, evaluate
from deepinside.evaluation.tables import cases_sheet, table, write_csv, write_json
from helpers import BASELINES, CAMS, rows_of


def test_json_has_the_promised_shape(colors, tree, tmp_path):
    evaluation = evaluate(colors, read_samples(tree), Judging(["best", "paper"]))
    content = json.loads(write_json(evaluation, tmp_path / "deep" / "out.json").read_text())
    assert (content["images"], content["model"]) == (6, "colors")
    for name in ("best", "paper", "center_box", "whole_image"):
        method = content["methods"][name]
        for key in ("top1_error", "top5_error", "gt_known_accuracy", "mean_iou"):
            low, high = method["intervals"][key]
            assert 0 <= low <= method[key] <= high <= 1
        assert method.keys() - {"intervals"} == method["intervals"].keys()
    assert [failure["path"] for failure in content["failures"]] == [str(tree / "missing.png")]


def test_csv_has_a_line_per_image_and_method_that_add_up(colors, tree, tmp_path):
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"]))
    lines = rows_of(write_csv(evaluation, tmp_path / "out.csv"))
    assert len(lines) == 6 * (len(evaluation.rows) - 1)
    for name, row in evaluation.rows.items():
        mine = [line for line in lines if line["method"] == name]
        if name == "classification":
            assert not mine
            continue
        assert np.mean([float(line["iou"]) for line in mine]) == pytest.approx(row.figures["mean_iou"].value, abs=1e-4)
        wrong = np.mean([line["top1_correct"] == "0" for line in mine])
        assert wrong == pytest.approx(row.figures["top1_error"].value)


def test_sheet_shows_the_best_above_the_worst(colors, tree):
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], baselines=False))
    titles = [axes.get_title() for axes in cases_sheet(evaluation, "paper", count=2).axes]
    ious = [float(title.split()[-1]) for title in titles]
    ranked = sorted((round(float(iou), 2) for iou in evaluation.rows["paper"].ious), reverse=True)
    assert ious == [ranked[0], ranked[1], ranked[-1], ranked[-2]]
    with pytest.raises(DeepInsideError, match=r"center_box.*'classification'"):
        cases_sheet(evaluation, "classification")


def test_table_has_every_method_and_option(colors, masked):
    evaluation = evaluate(colors, read_samples(masked), Judging(["paper"], faithful=True, sanity=1))
    shown = table(evaluation)
    assert shown.row_count == len(evaluation.rows)
    heads = " ".join(str(column.header) for column in shown.columns)
    for word in ("top-1", "GT-known", "IoU", "pointing", "PxAP", "insertion", "layers new"):
        assert word in heads


def test_no_figure_of_the_table_is_cut_short(colors, masked, capsys):
    evaluation = evaluate(colors, read_samples(masked), Judging(["best", "paper"], faithful=True, sanity=1))
    print_table(table(evaluation))
    out, _ = capsys.readouterr()
    assert "…" not in out
    assert all(name in out for name in (*BASELINES, *CAMS))
