"""Atomic writes that succeed and that fail, and names that a case-insensitive file system would confuse."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepinside.core.files import atomic_write, distinct_name


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def half_written(path):
    with atomic_write(path) as part:
        part.write_text("half")
        raise ZeroDivisionError


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        half_written(path)
    assert path.read_text() == "old"


STEMS = st.text("aAbB1-\u00e9\u00c9e\u0301\u00df", min_size=1, max_size=4)


@given(st.lists(st.builds(lambda stem, suffix: Path("f", stem + suffix), STEMS, st.sampled_from([".png", ".jpg"]))))
@pytest.mark.parametrize("with_suffix", [True, False])
def test_distinct_names_are_different_files_on_every_file_system(with_suffix, names):
    taken = set()
    distinct = [distinct_name(name, taken, with_suffix=with_suffix) for name in names]
    assert [each.suffix for each in distinct] == [name.suffix for name in names]
    texts = [str(each if with_suffix else each.with_suffix("")) for each in distinct]
    for form in ("NFC", "NFD"):
        assert len({unicodedata.normalize(form, text).casefold() for text in texts}) == len(names)
    assert distinct[:1] == names[:1], "the first name is never changed"


def test_the_first_of_several_names_stays_and_later_ones_are_numbered():
    taken = set()
    names = ["A.jpg", "a.jpg", "a.png", "b.jpg", "A.JPG"]
    assert [str(distinct_name(Path(name), taken)) for name in names] == [
        "A.jpg",
        "a-2.jpg",
        "a.png",
        "b.jpg",
        "A-3.JPG",
    ]
    taken = set()
    stems = [str(distinct_name(Path(name), taken, with_suffix=False)) for name in names]
    assert stems == ["A.jpg", "a-2.jpg", "a-3.png", "b.jpg", "A-4.JPG"]
