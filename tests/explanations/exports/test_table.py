"""The table of all objects: every number of every object, and photos without any."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepinside.core.results import Explanation
from deepinside.explanations.export import export
from deepinside.explanations.exports.table import COLUMNS
from exported import corners, explanation, items_of, save_photo


def rows_of(folder):
    with (folder / "objects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_says_all_of_an_object(photos, tmp_path):
    items = [(path, name, replace(seen, review=0.25)) for path, name, seen in items_of(photos)]
    (folder,) = export(items, tmp_path / "out", "csv")
    expected = [(path, name, whole, seen) for path, name, whole in items for seen in whole.objects]
    rows = rows_of(folder)
    for row, (path, name, whole, seen) in zip(rows, expected, strict=True):
        assert tuple(row) == COLUMNS
        assert (row["photo"], row["path"]) == (name.as_posix(), str(path))
        assert (int(row["width"]), int(row["height"])) == (whole.width, whole.height)
        assert (int(row["index"]), row["label"], row["wnid"]) == (seen.index, seen.label, seen.wnid)
        numbers = [float(row[key]) for key in ("score", "probability", "confidence", "review")]
        assert numbers == [seen.score, seen.probability, seen.confidence, 0.25]
        assert tuple(int(row[key]) for key in ("x0", "y0", "x1", "y1")) == corners(seen)
    assert [int(row["number"]) for row in rows[:3]] == [1, 2, 1]


def test_a_photo_without_objects_is_a_row_of_its_own(tmp_path):
    path = save_photo(tmp_path / "=a, b.png", 20, 30)
    (folder,) = export([(path, Path(path.name), Explanation("a", 20, 30, "m", "p", ()))], tmp_path / "out", "csv")
    (row,) = rows_of(folder)
    assert {key: text for key, text in row.items() if text} == {
        "photo": "'=a, b.png", "path": str(path), "width": "20", "height": "30"
    }  # fmt: skip


def test_a_table_is_read_by_pandas(photos, tmp_path):
    import pandas

    (folder,) = export(items_of(photos), tmp_path / "out", "csv")
    read = pandas.read_csv(folder / "objects.csv")
    assert len(read) == 15
    assert read["confidence"].dtype == np.float64
    assert read["review"].isna().all()


def test_numbers_survive_the_table(tmp_path):
    path = save_photo(tmp_path / "a.png", 20, 20)
    seen = explanation(path, seed=3)
    third = replace(seen.objects[0], score=1 / 3)
    (folder,) = export([(path, Path("a.png"), replace(seen, objects=(third,)))], tmp_path / "out", "csv")
    assert float(rows_of(folder)[0]["score"]) == 1 / 3
