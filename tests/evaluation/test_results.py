"""Figures over all images, on small trees with a network one can follow."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepinside.evaluation.metrics import LEVELS
from deepinside.evaluation.results import Failure
from deepinside.evaluation.tables import tables
from deepinside.explanations.explain import explain
from helpers import CAMS


def test_no_method_beats_the_classification_error_and_oracles_beat_transfers(judged_in_full):
    rows = judged_in_full.rows
    assert not {"top1_error", "mean_iou"} & rows["center_gaussian"].figures.keys(), "a map without boxes"
    for name, row in rows.items():
        if name == "center_gaussian":
            continue
        for top in ("top1_error", "top5_error"):
            figure = row.figures[top]
            assert figure.value >= rows["classification"].figures[top].value
            assert figure.low <= figure.value <= figure.high
        if row.threshold == "transferred":
            for level in LEVELS:
                key = f"max_box_accuracy_{level}"
                assert rows[f"{name}_oracle"].figures[key].value >= row.figures[key].value, name
    assert all(("max_box_accuracy_0.5" in row.figures) == (row.threshold is not None) for row in rows.values())


def test_masks_bring_pixel_figures(colors, judged_in_full):
    evaluation, masked, ious = judged_in_full, judged_in_full.cases[0].path.parent, []
    for number in range(1, 6):
        mask = np.asarray(Image.open(masked / f"mask-{number}.png")) > 0
        index = evaluation.cases[number].label
        seen = explain(colors, masked / f"{number}.png", [index], preset="paper").objects[0]
        ious.append((seen.mask & mask).sum() / (seen.mask | mask).sum())
    assert evaluation.rows["paper"].figures["mask_iou"].value == pytest.approx(np.mean(ious)), "known of five photos"
    for name in ("paper", *CAMS):
        assert 0 < evaluation.rows[name].figures["pxap"].value <= 1
        assert 0 < evaluation.rows[name].figures["mask_iou"].value <= 1
    assert "pxap" not in evaluation.rows["whole_image"].figures
    whole = [(np.asarray(Image.open(masked / f"mask-{number}.png")) > 0).mean() for number in range(1, 6)]
    assert evaluation.rows["whole_image"].figures["mask_iou"].value == pytest.approx(np.mean(whole))
    for row in evaluation.rows.values():
        unknown = np.isnan(row.columns.get("mask_iou", [np.nan] + [0] * 5))
        assert unknown.tolist() == [True] + [False] * 5, "nobody marked pixels in the first photo"


def test_a_map_has_one_object_at_its_threshold_and_a_method_is_judged_by_its_surest(judged_in_full):
    for name, row in judged_in_full.rows.items():
        if name not in ("best", "classification", "center_gaussian"):  # which finds several, and which find none
            assert [image.right.tolist() for image in row.objects] == [[iou >= 0.5] for iou in row.ious]
            assert row.figures["object_precision"].value == row.figures["gt_known_accuracy"].value


def test_an_evaluation_shows_its_tables(judged_in_full):
    evaluation = replace(judged_in_full, failures=())
    figures = evaluation.rows["paper"].figures
    first, *methods = repr(evaluation).splitlines()
    assert first == "Evaluation of colors, 6 images"
    told = (f"{name} {figures[key].value:.1%}" for name, key in (
        ("top-1 error", "top1_error"), ("top-5 error", "top5_error"), ("GT-known accuracy", "gt_known_accuracy"),
    ))  # fmt: skip
    assert f"  paper: {', '.join(told)}" in methods
    read = Cells(replace(evaluation, model="<script>", failures=(Failure(Path("lost.png"), "gone"),))._repr_html_())
    assert read.text.startswith("<script>")
    assert "6 images, 1 could not be judged" in read.text
    for table in tables(evaluation):
        if "by the share" not in table.title.plain:
            rows = zip(*(column.cells for column in table.columns), strict=True)
            expected = [[name.plain, *cells] for name, *cells in rows]
            assert expected
            assert all(row in read.rows for row in expected)


def test_no_text_of_an_evaluation_has_arrays(judged_in_full):
    evaluation = judged_in_full
    assert len(repr(evaluation).splitlines()) < 20
    for value in (evaluation, *evaluation.rows.values(), *evaluation.cases):
        assert "array" not in repr(value)


class Cells(HTMLParser):
    """The texts of the rows of all tables, and all text."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.is_cell = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        self.is_cell = False

    def handle_data(self, data):
        self.text += data
        if self.is_cell:
            self.rows[-1].append(data)
