"""The checks that all readers share."""

import os

import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.data.samples import Annotation, Sample, images_in, photo_of, proper, sample_of


def sample(tmp_path, *boxes, size=None):
    return Sample(tmp_path / "a.jpg", tuple(Annotation(Box(*box), name="cat") for box in boxes), size=size)


def test_boxes_are_clipped_to_the_photo(tmp_path):
    clipped = sample(tmp_path, (-5, -5, 20, 20), (30, 20, 400, 300), (0, 0, 40, 30)).on_photo(40, 30)
    assert [each.box for each in clipped.annotations] == [Box(0, 0, 20, 20), Box(30, 20, 40, 30), Box(0, 0, 40, 30)]


@pytest.mark.parametrize("box", [(200, 200, 230, 220), (40, 0, 50, 10), (0, 30, 10, 40), (-20, 5, 0, 10)])
def test_a_box_without_area_inside_of_the_photo_is_broken(tmp_path, box):
    with pytest.raises(
        DeepInsideError, match=r"a\.jpg: the box .* of 'cat' lies outside of the photo's 40 x 30 pixels"
    ):
        sample(tmp_path, (0, 0, 10, 10), box).on_photo(40, 30)


def test_annotations_of_a_photo_of_another_size_are_broken(tmp_path):
    assert sample(tmp_path, (0, 0, 10, 10), size=(40, 30)).on_photo(40, 30).annotations
    with pytest.raises(DeepInsideError, match="of a photo of 400 x 300 pixels, and this one has 40 x 30"):
        sample(tmp_path, (0, 0, 10, 10), size=(400, 300)).on_photo(40, 30)


@pytest.mark.parametrize(("box", "message"), [
    ((1, 1, 1, 5), "with an area"), ((5, 5, 1, 1), "with an area"), ((0, 0, float("inf"), 5), "with an area"),
    ((float("nan"), 0, 5, 5), "with an area"), ((0.1, 0.2, 0.5, 0.6), "fractions of the photo"),
])  # fmt: skip
def test_boxes_that_are_none(box, message):
    with pytest.raises(DeepInsideError, match=message):
        proper(Box(*box))


def test_the_first_pixel_and_parts_of_pixels_are_boxes():
    for box in (Box(0, 0, 1, 1), Box(0.5, 0.5, 1.5, 1.5)):
        assert proper(box) == box


def test_a_photo_that_is_no_regular_file_is_missing(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "none.jpg", "x" * 300, "a\0b.jpg", "\ud800.jpg"):
        found = sample_of(tmp_path / name, lambda: [Annotation(Box(0, 0, 1, 1))])
        assert "found no such file" in str(found.error)


def test_photos_are_found_by_names_as_windows_writes_them(tmp_path):
    (tmp_path / "second" / "val").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "second" / "val" / "a.jpg")
    found = photo_of("val\\a.jpg", tmp_path / "first", tmp_path / "second")
    assert found == tmp_path / "second" / "val" / "a.jpg"
    assert photo_of("b.jpg", tmp_path / "first", tmp_path / "second") == tmp_path / "first" / "b.jpg"


def test_photos_are_found_by_names_as_exports_write_them(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    path.write_bytes(b"")
    assert photo_of(r"caf\xe9.jpg", tmp_path) == path
    (tmp_path / "\x1b[31m.jpg").write_bytes(b"")
    assert photo_of(r"\x1b[31m.jpg", tmp_path) == tmp_path / "\x1b[31m.jpg"


def test_pictures_of_a_folder_are_those_of_the_declared_formats(tmp_path):
    for name in ("a.jpg", "b.JFIF", "c.jp2", ".d.jpg", "e.txt", os.fsdecode(b"\xff.png")):
        (tmp_path / name).write_bytes(b"")
    assert {path.name for path in images_in(tmp_path)} == {"a.jpg", "b.JFIF", "c.jp2", os.fsdecode(b"\xff.png")}
