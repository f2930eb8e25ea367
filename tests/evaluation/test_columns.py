"""Which figures stand in which table, worked out by hand."""

from deepinside.evaluation.columns import TABLES, Column, lines, used_tables
from deepinside.evaluation.metrics import Estimate

HALF = Estimate(0.5, 0.25, 0.5)


def test_only_tables_and_columns_with_figures_are_used():
    used = list(used_tables({"best": {"top1_error": HALF, "pxap": HALF}, "paper": {"mean_iou": HALF}}))
    assert [(title, [column.key for column in columns]) for title, columns in used] == [
        ("", ["top1_error", "mean_iou"]),
        ("score maps, by the rules of wsolevaluation", ["pxap"]),
    ]
    assert list(used_tables({})) == []


def test_figures_are_percents_with_half_of_their_interval():
    columns = [Column("a", "a", True), Column("b", "b")]
    told = list(lines(columns, {"best": {"a": HALF, "b": Estimate(1.0, 1.0, 1.0)}, "paper": {"b": HALF}, "none": {}}))
    assert told == [["best", "50.0 ±12.5", "100.0"], ["paper", "—", "50.0"]]


def test_every_figure_has_one_column():
    keys = [column.key for _, columns in TABLES for column in columns]
    assert len(keys) == len(set(keys))
