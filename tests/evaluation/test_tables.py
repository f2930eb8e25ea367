"""What is written of an evaluation, read back and added up."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from deepinside.core.errors import DeepInsideError
from deepinside.core.terminal import print_table
from deepinside.data.boxes import read_samples
from deepinside.evaluation.columns import TABLES
from deepinside.evaluation.localization import Judging, evaluate
from deepinside.evaluation.results import Failure
from deepinside.evaluation.tables import as_json, cases_sheet, notes, tables, write_csv, write_json
from helpers import BASELINES, CAMS, rows_of


def test_json_has_the_promised_shape(judged_in_full, tmp_path):
    evaluation = judged_in_full
    content = json.loads(write_json(evaluation, tmp_path / "deep" / "out.json").read_text())
    assert (content["images"], content["model"]) == (6, "colors")
    for name in ("best", "paper", "center_box", "whole_image"):
        method = content["methods"][name]
        for key in ("top1_error", "top5_error", "gt_known_accuracy", "mean_iou"):
            low, high = method["intervals"][key]
            assert 0 <= low <= method[key] <= high <= 1
        assert method.keys() - {"intervals"} == method["intervals"].keys()
    assert [failure["path"] for failure in content["failures"]] == [
        str(evaluation.cases[0].path.with_name("missing.png"))
    ]


def test_csv_has_a_line_per_image_and_method_that_add_up(judged_in_full, tmp_path):
    evaluation = judged_in_full
    lines = rows_of(write_csv(evaluation, tmp_path / "out.csv"))
    assert len(lines) == 6 * (len(evaluation.rows) - 2)
    for name, row in evaluation.rows.items():
        mine = [line for line in lines if line["method"] == name]
        if name in ("classification", "center_gaussian"):  # which have no boxes
            assert not mine
            continue
        assert np.mean([float(line["iou"]) for line in mine]) == pytest.approx(row.figures["mean_iou"].value, abs=1e-4)
        for objects, line in zip(row.objects, mine, strict=True):
            counts = (objects.total, len(objects.right), objects.right.sum())
            assert tuple(int(line[key]) for key in ("objects", "objects_found", "objects_right")) == counts
        wrong = np.mean([line["top1_correct"] == "0" for line in mine])
        assert wrong == pytest.approx(row.figures["top1_error"].value)


def test_sheet_shows_the_best_above_the_worst(judged_in_full):
    evaluation = judged_in_full
    titles = [axes.get_title() for axes in cases_sheet(evaluation, "paper", count=2).axes]
    ious = [float(title.split()[-1]) for title in titles]
    ranked = sorted((round(float(iou), 2) for iou in evaluation.rows["paper"].ious), reverse=True)
    assert ious == [ranked[0], ranked[1], ranked[-1], ranked[-2]]
    with pytest.raises(DeepInsideError, match=r"center_box.*'classification'"):
        cases_sheet(evaluation, "classification")


def printed(evaluation, capsys):
    for table in tables(evaluation):
        print_table(table)
    return capsys.readouterr().out


def test_every_figure_is_that_of_its_key_in_the_json_file(judged_in_full):
    evaluation = judged_in_full
    methods = as_json(evaluation)["methods"]
    shown = list(tables(evaluation))
    headings = {(title, column.heading): column.key for title, columns in TABLES for column in columns}
    counted = 0
    by_title = {title: table for table in shown for title, _ in TABLES if table.title.plain == title}
    by_title[""] = shown[0]
    for title, table in by_title.items():
        names, *columns = table.columns
        for column in columns:
            key = headings[title, column.header]
            for name, cell in zip(names.cells, column.cells, strict=True):
                value, *half = cell.split(" ±")
                figure = methods[name.plain].get(key)
                assert value == ("—" if figure is None else f"{100 * figure:.1f}")
                if half:
                    low, high = methods[name.plain]["intervals"][key]
                    assert float(half[0]) == pytest.approx(50 * (high - low), abs=0.051)
                counted += figure is not None
    assert counted == sum(len(figures) - 1 for figures in methods.values()), "and none is left out"


def test_the_tables_by_size_show_what_the_json_file_has(judged_in_full):
    evaluation = judged_in_full
    sizes = as_json(evaluation)["by_size"]
    assert sum(size["images"] for size in sizes.values()) == len(evaluation.cases)
    shown = list(tables(evaluation))[-2:]
    assert [table.title.plain.split(" by ")[0] for table in shown] == ["GT-known accuracy", "mask IoU"]
    for table, key in zip(shown, ("gt_known_accuracy", "mask_iou"), strict=True):
        names, *columns = table.columns
        for column, size in zip(columns, sizes.values(), strict=True):
            assert column.header.endswith(f"\n({size['images']})")
            for name, cell in zip(names.cells, column.cells, strict=True):
                figure = size["methods"][name.plain].get(key)
                assert cell.split(" ±")[0] == ("—" if figure is None else f"{100 * figure:.1f}")


def test_notes_tell_how_many_objects_there_are_and_of_masks_where_there_are_any(colors, tree, judged_in_full):
    assert "Objects: 6 in all" in notes(judged_in_full)
    assert "Boundary F" in notes(judged_in_full)
    (tree / "boxes.csv").write_text("image,label,x0,y0,x1,y1\n0.png,red,1,1,9,9\n0.png,red,20,1,29,9\n")
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], baselines=False))
    assert "Objects: 2 in all" in notes(evaluation)
    assert "images with several: 1." in notes(evaluation)
    assert "Boundary F" not in notes(evaluation)


def test_no_figure_of_the_tables_is_cut_short_and_all_fit_a_terminal(judged_in_full, capsys):
    out = printed(judged_in_full, capsys)
    assert "…" not in out
    assert all(name in out for name in (*BASELINES, *CAMS))
    assert max(map(len, out.splitlines())) <= 80


def test_the_notes_fit_a_terminal(judged_in_full):
    assert max(map(len, notes(judged_in_full).splitlines())) <= 80


def test_names_are_no_markup_no_formulas_and_no_escape_codes(colors, tree, tmp_path, capsys):
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], baselines=False))
    evil = "[red]=1+1[/red]\x1b[31m \udce9"
    cases = tuple(replace(case, label="=1+1", path=tree / "0.png") for case in evaluation.cases)
    failures = (Failure(Path(evil), evil),)
    evaluation = replace(evaluation, model=evil, cases=cases, failures=failures)
    out = printed(evaluation, capsys)
    assert r"[red]=1+1[/red]\x1b[31m \xe9" in out
    assert {line["label"] for line in rows_of(write_csv(evaluation, tmp_path / "out.csv"))} == {"'=1+1"}
    content = json.loads(write_json(evaluation, tmp_path / "out.json").read_text())
    assert content["failures"][0]["path"] == "[red]=1+1[/red]\x1b[31m \\xe9"
    figure = cases_sheet(evaluation, "paper", count=1)
    FigureCanvasAgg(figure).draw()
