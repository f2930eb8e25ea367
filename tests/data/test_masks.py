"""Polygons and run lengths to the pixel, against pycocotools; mask files of every mode."""

import warnings

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coder

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.data.masks import box_pixels, decoded, filled, read_mask
from deepinside.data.samples import RunLengths


def reference(runs):
    with warnings.catch_warnings():  # of NumPy, about its own
        warnings.simplefilter("ignore", DeprecationWarning)
        return coder.decode(runs).astype(bool)


@pytest.mark.parametrize("seed", range(40))
def test_polygons_are_those_of_pycocotools_to_the_pixel(seed):
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(1, 90, 2))
    count = int(random.integers(1, 4))
    polygons = [tuple(random.uniform(-20, 110, 2 * random.integers(3, 12))) for _ in range(count)]
    if seed % 2:
        polygons = [tuple(map(float, np.round(polygon))) for polygon in polygons]
    runs = coder.merge(coder.frPyObjects([list(polygon) for polygon in polygons], height, width))
    assert (filled(polygons, width, height) == reference(runs)).all()


def test_a_rectangle_has_the_pixels_of_its_box():
    expected = np.zeros((64, 64), dtype=bool)
    expected[5:15, 10:30] = True
    assert (filled([(10, 5, 30, 5, 30, 15, 10, 15)], 64, 64) == expected).all()


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_those_of_pycocotools(seed):
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(1, 200, 2))
    mask = np.asfortranarray(random.random((height, width)) < random.choice([0, 0.02, 0.5, 0.98, 1]))
    runs = coder.encode(mask.astype(np.uint8))
    assert (decoded(RunLengths(height, width, runs["counts"].decode()), width, height) == mask).all()
    pixels = mask.ravel(order="F").astype(int)
    changes = np.flatnonzero(np.diff(pixels, prepend=0)).tolist()
    counts = tuple(np.diff([0, *changes, pixels.size]).tolist())
    assert (decoded(RunLengths(height, width, counts), width, height) == mask).all()


@pytest.mark.parametrize(("runs", "message"), [
    (RunLengths(3, 2, (6,)), "of the photo's 3 x 2 pixels, got 2 x 3"),
    (RunLengths(2, 3, (7,)), "of 6 pixels in all, got 7"),
    (RunLengths(2, 3, (5,)), "of 6 pixels in all, got 5"),
    (RunLengths(2, 3, (10, -4)), "of 6 pixels in all"),
    (RunLengths(2, 3, (2**62, 2**62)), "of 6 pixels in all"),
    (RunLengths(2, 3, "\u00e9"), "the character"),
    (RunLengths(2, 3, "P"), "end within a number"),
    (RunLengths(2, 3, "o" * 1000), "the character"),
    (RunLengths(2, 3, ""), "of 6 pixels in all, got 0"),
])  # fmt: skip
def test_damaged_run_lengths_are_refused(runs, message):
    with pytest.raises(DeepInsideError, match=message):
        decoded(runs, 3, 2)


def test_polygons_without_area_mark_nothing():
    assert not filled([(1, 1, 5, 5), ()], 9, 9).any()


def test_polygons_that_no_photo_has_are_refused_before_they_take_memory():
    with pytest.raises(DeepInsideError, match="expected polygons"):
        filled([(0, 0, 1e9, 0, 1e9, 1e9)], 9, 9)
    with pytest.raises(DeepInsideError, match="expected polygons"):
        filled([(0, 0, 9e4, 0) * 5000], 9, 9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "I", "RGB", "RGBA", "LA"])
def test_mask_files_of_every_mode(tmp_path, mode):
    expected = np.zeros((6, 8), dtype=bool)
    expected[1:3, 2:5] = True
    image = Image.fromarray(expected.astype(np.uint8))
    if mode == "1":
        image = Image.fromarray(expected)
    elif mode == "P":
        image = image.convert("L").convert("P")
        image.putdata(expected.astype(np.uint8).ravel().tolist())
    elif mode in ("I;16", "I"):
        image = Image.fromarray(expected.astype(np.uint16 if mode == "I;16" else np.int32) * 300)
    elif mode != "L":
        blue = np.zeros((6, 8, 4), dtype=np.uint8)
        blue[expected] = [0, 0, 1, 255]
        image = Image.fromarray(blue).convert("RGBA")
        image = image if mode == "RGBA" else Image.fromarray(blue[..., :3] if mode == "RGB" else blue[..., 2:].copy())
    image.save(tmp_path / ("a.tif" if mode == "I" else "a.png"))
    values, is_palette = read_mask(tmp_path / ("a.tif" if mode == "I" else "a.png"), 8, 6)
    assert ((values > 0) == expected).all()
    assert is_palette == (mode == "P")


def test_masks_of_another_size_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    Image.new("1", (12_000, 12_000)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("its pixels were read"))
    with pytest.raises(DeepInsideError, match=r"a\.png: expected a mask of the photo's 8 x 6 pixels"):
        read_mask(tmp_path / "a.png", 8, 6)


@pytest.mark.parametrize("content", [b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n", None])
def test_files_that_are_no_masks_are_told_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DeepInsideError, match=r"a\.png: expected a mask") as refused:
        read_mask(tmp_path / "a.png", 8, 6)
    assert "\n" not in str(refused.value)


def test_a_bomb_is_refused(tmp_path):
    Image.new("1", (15_000, 15_000)).save(tmp_path / "a.png")
    with pytest.raises(DeepInsideError, match="expected a mask"):
        read_mask(tmp_path / "a.png", 15_000, 15_000)


def test_pixels_of_a_box_are_all_that_it_touches():
    expected = np.zeros((6, 8), dtype=bool)
    expected[0:3, 1:8] = True
    assert (box_pixels(Box(1.5, -3, 20, 2.2), 8, 6) == expected).all()
