"""Members of tar archives: what Python's own reader gives, and nothing that leads out of the archive."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import pixel_count, read
from deepinside.core.shards import content, read_shard, shard_of


def encoded(color, size=(12, 8)):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, "PNG")
    return stream.getvalue()


def archive(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            else:
                info.type, info.linkname = data
                tar.addfile(info)
    return path


def test_members_are_those_of_tarfile(tmp_path):
    names = ("a.png", "in/b.png", "é" * 80 + "/" + "x" * 120 + ".png")
    path = archive(tmp_path / "s.tar", [(name, encoded("red")[: 40 + k]) for k, name in enumerate(names)])
    assert list(read_shard(path).members) == list(names)
    with tarfile.open(path) as tar:
        for name in names:
            assert content(path / name, path) == tar.extractfile(name).read()


def test_a_photo_is_read_through_the_archive(tmp_path):
    path = archive(tmp_path / "s.tar", [("in/red.png", encoded("red")), ("notes.txt", b"x")])
    photo = read(path / "in" / "red.png")
    assert (photo.width, photo.height, photo.name) == (12, 8, str(path / "in" / "red.png"))
    assert (np.asarray(photo.image) == (255, 0, 0)).all()
    assert pixel_count(path / "in" / "red.png") == 96
    assert shard_of(path / "in" / "red.png") == path
    with pytest.raises(DeepInsideError, match="no such member"):
        read(path / "blue.png")
    with pytest.raises(DeepInsideError, match="got an archive"):
        read(path)


def test_names_stay_inside_and_links_and_devices_are_no_members(tmp_path):
    (tmp_path / "secret.png").write_bytes(encoded("blue"))
    members = [
        ("../secret.png", encoded("red")),
        ("/etc/a.png", encoded("lime")),
        ("link.png", (tarfile.SYMTYPE, "../secret.png")),
        ("hard.png", (tarfile.LNKTYPE, "../secret.png")),
        ("pipe.png", (tarfile.FIFOTYPE, "")),
        ("zero.png", (tarfile.CHRTYPE, "")),
        ("folder.png", (tarfile.DIRTYPE, "")),
    ]
    path = archive(tmp_path / "s.tar", members)
    assert list(read_shard(path).members) == ["secret.png", "etc/a.png"]
    assert (np.asarray(read(path / "secret.png").image) == (255, 0, 0)).all()


def test_of_two_members_of_a_name_the_last_one_counts(tmp_path):
    path = archive(tmp_path / "s.tar", [("a.png", encoded("red")), ("a.png", encoded("blue"))])
    assert (np.asarray(read(path / "a.png").image) == (0, 0, 255)).all()


@pytest.mark.parametrize("cut", [100, 600, 700, 1024, 1100, 1300, 2048, 3071, 3072])
def test_a_truncated_archive_keeps_its_whole_members(tmp_path, cut):
    whole = archive(tmp_path / "s.tar", [(f"{k}.png", encoded("red")) for k in range(3)])
    assert read_shard(whole).error is None
    path = tmp_path / "cut.tar"
    path.write_bytes(whole.read_bytes()[:cut])
    found = read_shard(path)
    assert found.error
    for name, (start, length) in found.members.items():
        if start + length <= cut:
            assert read(path / name).width == 12
        else:
            with pytest.raises(DeepInsideError, match="truncated"):
                read(path / name)


def test_what_is_no_archive(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"<html>" * 200)
    with pytest.raises(DeepInsideError, match="expected a whole tar archive"):
        read(tmp_path / "a.tar")
    assert shard_of(Path("a.tar/x.png")) is None
