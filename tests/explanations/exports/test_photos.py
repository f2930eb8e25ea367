"""Photos in the layouts that contain them."""

import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from deepinside.core.images import read
from deepinside.explanations.export import export
from exported import items_of


def test_upright_photos_are_linked_and_rotated_ones_written_upright(photos, tmp_path):
    export(items_of(photos), tmp_path / "out", ["voc", "yolo"])
    for folder in (tmp_path / "out/voc/VOCdevkit/VOC2012/JPEGImages", tmp_path / "out/yolo/images"):
        assert (folder / "tom.jpg").is_symlink()
        assert (folder / "tom.jpg").samefile(photos / "tom.jpg")
        assert not (folder / "portrait.jpg").is_symlink()
        with Image.open(folder / "portrait.jpg") as image:
            assert image.size == (40, 80)
            assert image.getexif().get(274) is None
            difference = np.asarray(image).astype(int) - read(photos / "portrait.jpg").pixels
            assert abs(difference).mean() < 12


def test_photos_are_copied_where_links_are_not_to_be_had(photos, tmp_path, monkeypatch):
    def refuse(self, target, target_is_directory=False):
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    export(items_of(photos), tmp_path / "out", "yolo")
    copy = tmp_path / "out/yolo/images/tom.jpg"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (photos / "tom.jpg").read_bytes()


def test_a_photo_in_an_archive_is_copied_out_of_it(photos, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for name in ("tom.jpg", "portrait.jpg"):
            shard.add(photos / name, f"in/{name}")
    inside = tmp_path / "shard.tar" / "in"
    items = items_in(items_of(photos), {"tom.jpg", "portrait.jpg"})
    export([(inside / path.name, *others) for path, *others in items], tmp_path / "out", "yolo")
    assert (tmp_path / "out/yolo/images/tom.jpg").read_bytes() == (photos / "tom.jpg").read_bytes()
    with Image.open(tmp_path / "out/yolo/images/portrait.jpg") as image:
        assert image.size == (40, 80)


def test_the_labels_of_a_photo_that_is_gone_are_written(photos, tmp_path):
    items = items_in(items_of(photos), {"tom.jpg"})
    (photos / "tom.jpg").unlink()
    export(items, tmp_path / "out", ["voc", "yolo"])
    assert (tmp_path / "out/yolo/labels/tom.txt").read_text()
    assert (tmp_path / "out/yolo/images/tom.jpg").is_symlink()


def items_in(items, names):
    return [item for item in items if item[0].name in names]
