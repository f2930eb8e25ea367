"""Files of many photos: complete at every moment, and what becomes of them when they are changed by hand."""

from contextlib import contextmanager

import pytest

from deepinside.explanations.exports import growing as module
from deepinside.explanations.exports.folder import claimed
from deepinside.explanations.exports.growing import growing


@contextmanager
def growth(folder, head="[", tail=lambda: "]", photos=None, is_whole=True, **options):
    """Appends texts as those of photos called so."""
    with claimed(folder, photos) as manifest, growing(manifest, folder / "a.txt", head, tail, **options) as grown:

        def append(text, name=None, version=""):
            number = manifest.number(folder / (name or f"{text[:5]}{len(manifest.photos)}"))
            if grown.lacks(number, version):
                grown.append(text, number, version)
            manifest.has_labels = True

        yield append
        manifest.is_whole = is_whole


def test_a_large_file_is_written_less_often_and_complete_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 1000)
    monkeypatch.setattr(module, "PATIENCE", 10**9)
    path = tmp_path / "a.txt"
    written = set()
    with growth(tmp_path) as append:
        for _ in range(100):
            append("x" * 100)
            written.add(path.read_text())
    assert len(written) == 9
    assert path.read_text() == "[" + "x" * 10_000 + "]"


def test_an_end_that_changes_alone_is_written_too(tmp_path, monkeypatch):
    """A photo without objects is in the end of COCO's file, and adds nothing before it."""
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "PATIENCE", 10**9)
    images = []
    with growth(tmp_path, tail=lambda: "".join(images)) as append:
        for _ in range(3):
            images.append("x")
            append("")
    assert (tmp_path / "a.txt").read_text() == "[xxx"


def test_an_addition_that_was_cut_short_is_not_a_part_of_the_file(tmp_path):
    with growth(tmp_path) as append:
        append("1")
        with pytest.raises(UnicodeEncodeError):
            append("\ud800")
        append("2")
    assert (tmp_path / "a.txt").read_text() == "[12]"
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".deepinside-export")] == ["a.txt"]


def again(folder, *names, is_whole=True, version=""):
    photos = [str(folder / name) for name in "abcdefgh"]
    with growth(folder, photos=photos, is_whole=is_whole) as append:
        for name in names:
            append(name, name, version)
    return {path.name: path.read_text() for path in folder.glob("a*.txt")}


def test_an_unchanged_file_is_replaced_by_one_with_everything(tmp_path):
    assert again(tmp_path, "a") == {"a.txt": "[a]"}
    assert again(tmp_path, "a", "b") == {"a.txt": "[ab]"}


def test_a_file_is_not_replaced_by_a_part_of_it(tmp_path):
    again(tmp_path, "a", "b")
    assert again(tmp_path, "a", is_whole=False) == {"a.txt": "[ab]"}
    assert again(tmp_path, "a", "b", "c") == {"a.txt": "[abc]"}


def test_new_photos_go_beside_a_file_that_was_changed(tmp_path):
    again(tmp_path, "a")
    (tmp_path / "a.txt").write_text("corrected")
    assert again(tmp_path, "a") == {"a.txt": "corrected"}, "nothing is new"
    assert again(tmp_path, "a", "b") == {"a.txt": "corrected", "a-2.txt": "[b]"}
    assert again(tmp_path, "a", "b", "c") == {"a.txt": "corrected", "a-2.txt": "[bc]"}
    (tmp_path / "a-2.txt").write_text("corrected, too")
    changed = {"a.txt": "corrected", "a-2.txt": "corrected, too"}
    assert again(tmp_path, "a", "b", "c", "d") == {**changed, "a-3.txt": "[d]"}


def test_photos_with_another_outcome_go_beside_a_file_that_was_changed(tmp_path):
    again(tmp_path, "a", "b")
    (tmp_path / "a.txt").write_text("corrected")
    assert again(tmp_path, "a", version="other") == {"a.txt": "corrected", "a-2.txt": "[a]"}


def test_a_file_that_was_deleted_is_written_again_without_what_stands_in_changed_ones(tmp_path):
    again(tmp_path, "a")
    (tmp_path / "a.txt").write_text("corrected")
    again(tmp_path, "a", "b")
    (tmp_path / "a-2.txt").unlink()
    assert again(tmp_path, "a", "b") == {"a.txt": "corrected", "a-2.txt": "[b]"}
    (tmp_path / "a-2.txt").write_text("corrected, too")
    (tmp_path / "a.txt").unlink()
    assert again(tmp_path, "a", "b") == {"a.txt": "[a]", "a-2.txt": "corrected, too"}


def test_a_file_beside_another_goes_when_the_first_is_as_it_was(tmp_path):
    again(tmp_path, "a")
    (tmp_path / "a.txt").write_text("corrected")
    again(tmp_path, "a", "b")
    (tmp_path / "a.txt").write_text("[a]")
    assert again(tmp_path, "a", "b") == {"a.txt": "[ab]"}


def test_a_lazy_file_is_there_with_photos_alone(tmp_path):
    with growth(tmp_path, is_lazy=True):
        pass
    assert not (tmp_path / "a.txt").exists()
    with growth(tmp_path, is_lazy=True) as append:
        append("x")
    assert (tmp_path / "a.txt").read_text() == "[x]"
