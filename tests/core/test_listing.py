"""Which files of a folder are photos, compared with a slow walk, and folders that cannot be listed."""

import os
import shutil
from itertools import islice
from pathlib import Path

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.formats import is_picture_name
from deepinside.core.images import read
from deepinside.core.listing import find_photos, photos_in


def test_names_that_some_file_system_would_confuse_are_told_apart(tmp_path):
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.png"
    for folder, name in [("1", "A.jpg"), ("2", "a.jpg"), ("3", "a.png"), ("4", composed), ("5", decomposed)]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(b"")
    found = find_photos([tmp_path / folder for folder in "12345"])
    assert [str(name) for _, name in found] == ["A.jpg", "a-2.jpg", "a-3.png", composed, decomposed[:-4] + "-2.png"]


def test_find_photos(tmp_path):
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", ".hidden.jpg", "notes.txt", ".cache/x.jpg"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = find_photos([tmp_path / "album", tmp_path / "other" / "b.png"])
    assert [str(name) for _, name in found] == ["a.PNG", "b.jpg", "deep/er/c.webp", "b-2.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeepInsideError, match="found none"):
        find_photos([tmp_path / "empty"])


def test_photos_are_in_the_order_of_their_paths(tmp_path):
    names = ("b.png", "b/z.jpg", "b/a/c.gif", "b.d/a.png", "B.png", "a-b.png", "a/b.png", "\u00e9.png", "x/notes.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    expected = sorted(path for path in tmp_path.rglob("*") if path.is_file() and is_picture_name(path))
    assert list(photos_in(tmp_path)) == expected
    assert len(expected) == 8


def test_links_to_folders_are_not_followed(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    for name, target in (("loop", "."), ("up", ".."), ("loop.jpg", "."), ("self", "self")):
        (folder / name).symlink_to(target)
    assert list(photos_in(folder)) == [folder / "a.jpg"]
    (tmp_path / "link").symlink_to("photos")
    assert [str(name) for _, name in find_photos([tmp_path / "link"])] == ["a.jpg"], "but the one that was given is"


def test_what_is_named_as_a_photo_and_is_none_is_told_by_its_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nothing.jpg")
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.jpg").write_bytes(b"")
    (tmp_path / "._mac.jpg").write_bytes(b"")
    assert [path.name for path in photos_in(tmp_path)] == ["dangling.jpg", "itself.jpg", "pipe.jpg"]


def test_a_folder_that_cannot_be_listed_is_told_in_place_of_its_photos(tmp_path, monkeypatch):
    for name in ("a/1.jpg", "locked/2.jpg", "z/3.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    listed = os.scandir

    def refused(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = [path for path, _ in find_photos([tmp_path])]
    assert found == [tmp_path / "a" / "1.jpg", tmp_path / "locked", tmp_path / "z" / "3.jpg"]
    with pytest.raises(DeepInsideError, match=r"locked: expected a photo, got a folder that cannot be listed \(Permis"):
        read(tmp_path / "locked")
    with pytest.raises(
        DeepInsideError, match=r"locked: expected .*, got one that cannot be listed \(Permission denied"
    ):
        find_photos([tmp_path / "a", tmp_path / "locked"])


def test_a_folder_that_vanishes_while_it_is_searched(tmp_path):
    for name in ("a/1.jpg", "b/2.jpg", "c/3.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    photos = photos_in(tmp_path)
    first = next(photos)
    shutil.rmtree(tmp_path / "b")
    assert [first, *photos] == [tmp_path / "a" / "1.jpg", tmp_path / "b", tmp_path / "c" / "3.jpg"]
    with pytest.raises(DeepInsideError, match="b: expected a photo, found no such file"):
        read(tmp_path / "b")


def test_folders_nested_deeper_than_calls_may_be(tmp_path):
    deepest = tmp_path / "/".join("d" * 1200)
    os.makedirs(tmp_path / "/".join("d" * 600))
    os.makedirs(deepest)  # in two steps, since it calls itself for each
    (deepest / "a.jpg").write_bytes(b"")
    try:
        assert list(photos_in(tmp_path)) == [deepest / "a.jpg"]
    finally:  # here, since what removes a folder calls itself as well
        (deepest / "a.jpg").unlink()
        for folder in islice((deepest, *deepest.parents), 1200):
            folder.rmdir()


def test_names_are_taken_as_they_come(tmp_path):
    for number in reversed(range(300)):
        (tmp_path / f"{number:03}").mkdir()
        (tmp_path / f"{number:03}" / "a.jpg").write_bytes(b"")
    photos = photos_in(tmp_path)
    assert next(photos) == tmp_path / "000" / "a.jpg"
    shutil.rmtree(tmp_path / "299")
    assert list(photos)[-1] == tmp_path / "299", "which nobody had looked into yet"
