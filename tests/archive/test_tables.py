"""Tables: which files are tables, what a label of theirs is, and which folders have one."""

import pytest

from deepinside.archive.tables import find_labels, is_table, metadata_tables
from deepinside.core.errors import DeepInsideError
from deepinside.core.labels import Labels

LABELS = Labels((("red",), ("green",), ("blue",)))


def test_the_unknown_labels_that_are_most_frequent_are_told(tmp_path):
    labels = ["red", "a", "b", "b", "c", "d", "blue", "d"]
    assert find_labels(tmp_path, ["red", "2", "red"], LABELS.find) == {"red": 0, "2": 2}
    with pytest.raises(DeepInsideError, match=r"4 of 6 are not: 'b', 'd', 'a', \.\.\. \("):
        find_labels(tmp_path, labels, LABELS.find)


def test_a_table_is_a_file_with_its_suffix(tmp_path):
    for name in ("a.csv", "b.TSV", "c.parquet", "d.jsonl", "e.txt", "f.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "g.csv").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir() if is_table(path)) == [
        "a.csv", "b.TSV", "c.parquet", "d.jsonl", "e.txt",
    ]  # fmt: skip


def test_metadata_of_the_folder_itself_comes_first(tmp_path):
    assert metadata_tables(tmp_path) == []
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "metadata.csv").write_text("")
    assert metadata_tables(tmp_path) == [tmp_path / "train" / "metadata.csv"]
    (tmp_path / "metadata.jsonl").write_text("")
    assert metadata_tables(tmp_path) == [tmp_path / "metadata.jsonl"]
