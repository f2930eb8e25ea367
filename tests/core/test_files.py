"""Files that appear when they are complete."""

import pytest

from deepinside.core.files import appearing


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with appearing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def half_written(path):
    with appearing(path) as part:
        part.write_text("half")
        raise ZeroDivisionError


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        half_written(path)
    assert path.read_text() == "old"
