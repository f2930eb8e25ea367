"""The manifest: what is ours, what somebody has changed, names that stay, and lines that were cut short."""

import os
from pathlib import Path

import pytest

from deepinside.explanations.exports.manifest import MANIFEST, Manifest, digest_of, opened_manifest


@pytest.fixture
def begun(tmp_path):
    return lambda: Manifest(tmp_path, opened_manifest(tmp_path))


def test_a_file_is_ours_with_each_content_that_was_written(tmp_path, begun):
    manifest, path = begun(), tmp_path / "labels" / "a.txt"
    manifest.write(path, b"first")
    manifest.write(path, b"second")
    for content, is_ours in ((b"first", True), (b"second", True), (b"third", False), (b"", False)):
        path.write_bytes(content)
        assert Manifest(tmp_path).is_ours(path) == is_ours
    path.unlink()
    assert Manifest(tmp_path).is_ours(path)


def test_a_changed_file_is_kept_and_told_once(tmp_path, begun):
    manifest, path = begun(), tmp_path / "a.txt"
    manifest.write(path, b"first")
    path.write_bytes(b"corrected")
    for content in (b"second", b"third"):
        manifest.write(path, content)
    assert path.read_bytes() == b"corrected"
    assert list(manifest.kept) == ["a.txt"]
    manifest.write(path, b"corrected")
    assert not Manifest(tmp_path).is_ours(path), "somebody else was first, although we agree"


def test_a_write_that_is_killed_is_announced_before_it_is_done(tmp_path, begun, monkeypatch):
    manifest, path = begun(), tmp_path / "a.txt"
    manifest.write(path, b"first")

    def killed(self, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        manifest.write(path, b"second")
    monkeypatch.undo()
    assert path.read_bytes() == b"first"
    assert Manifest(tmp_path).is_ours(path)
    path.write_bytes(b"second")
    assert Manifest(tmp_path).is_ours(path)


def test_names_stay_whatever_the_order_of_photos(tmp_path, begun):
    manifest = begun()
    first = {photo: manifest.name(manifest.number(Path(photo)), Path("tom.txt")) for photo in ("/a/tom", "/b/tom")}
    assert [str(name) for name in first.values()] == ["tom.txt", "tom-2.txt"]
    later = begun_again(tmp_path, manifest)
    names = {photo: later.name(later.number(Path(photo)), Path("tom.txt")) for photo in ("/c/tom", "/b/tom", "/a/tom")}
    assert {photo: names[photo] for photo in first} == first
    assert str(names["/c/tom"]) == "tom-3.txt"


def begun_again(folder, manifest):

    os.close(manifest._descriptor)
    return Manifest(folder, opened_manifest(folder))


def test_a_photo_that_is_added_twice_has_two_numbers_again(tmp_path, begun):
    manifest = begun()
    assert [manifest.number(Path("/a")) for _ in range(3)] == [0, 1, 2]
    later = begun_again(tmp_path, manifest)
    assert [later.number(Path("/a")) for _ in range(3)] == [0, 1, 2]


def test_lines_that_were_cut_short_are_left_out(tmp_path, begun):
    manifest = begun()
    manifest.write(tmp_path / "a.txt", b"a")
    with (tmp_path / MANIFEST).open("a") as stream:
        stream.write('["file","b.txt","0123')
    later = begun_again(tmp_path, manifest)
    later.write(tmp_path / "c.txt", b"c")
    last = Manifest(tmp_path)
    (tmp_path / "b.txt").write_bytes(b"b")
    assert [last.is_ours(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt")] == [True, False, True]


def test_what_is_not_written_again_is_removed_if_it_is_ours(tmp_path, begun):
    manifest = begun()
    for name in ("a.txt", "b.txt", "c.txt"):
        manifest.write(tmp_path / name, b"ours")
    (tmp_path / "b.txt").write_bytes(b"corrected")
    (tmp_path / "own.txt").write_bytes(b"own")
    later = begun_again(tmp_path, manifest)
    later.write(tmp_path / "c.txt", b"ours")
    later.sweep()
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["b.txt", "c.txt", "own.txt"]


def test_a_link_is_compared_by_where_it_leads(tmp_path, begun):
    manifest, photo = begun(), tmp_path / "photo.jpg"
    photo.write_bytes(b"x")
    manifest.link(tmp_path / "images" / "a.jpg", photo)
    assert Manifest(tmp_path).is_ours(tmp_path / "images" / "a.jpg")
    (tmp_path / "images" / "a.jpg").unlink()
    (tmp_path / "images" / "a.jpg").symlink_to(tmp_path / "other.jpg")
    assert not Manifest(tmp_path).is_ours(tmp_path / "images" / "a.jpg")
    assert digest_of(tmp_path / "nothing") is None


def test_photos_of_any_name_are_known_again(tmp_path, begun):
    photos = [Path("/a\nb.jpg"), Path("/caf\udce9.jpg"), Path("/猫.jpg")]
    manifest = begun()
    numbers = [manifest.number(photo) for photo in photos]
    later = begun_again(tmp_path, manifest)
    assert [later.number(photo) for photo in reversed(photos)] == numbers[::-1]
