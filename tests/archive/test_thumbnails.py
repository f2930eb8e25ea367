"""Thumbnails that are the photo, and outlines that are the mask."""

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deepinside.archive.thumbnails import GRID, SIDE, UNITS, map_picture, outline, thumbnail
from deepinside.core.images import read


def points_of(path):
    """The polygons of a path of absolute starts and relative steps."""
    assert re.fullmatch(r"(M\d+,\d+l(-?\d+,-?\d+( -?\d+,-?\d+)*)?Z)+", path)
    for piece in path.split("Z")[:-1]:
        yield np.cumsum([[int(each) for each in pair.split(",")] for pair in re.split("[l ]", piece[1:])], axis=0)


def drawn(path, width, height):
    """The pixels inside of a path by the rule of even and odd, as Pillow fills it."""
    scale = UNITS / max(width, height)
    inside = np.zeros((round(height * scale), round(width * scale)), bool)
    for points in points_of(path):
        canvas = Image.new("1", inside.shape[::-1])
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in points.tolist()], fill=1)
        inside ^= np.asarray(canvas)
    return inside


def blob(width, height, seed):
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = sum(np.sin(random.uniform(4, 14) * x + random.uniform(4, 14) * y + random.uniform(0, 6)) for _ in range(5))
    return waves > 0.5


@pytest.mark.parametrize(("width", "height"), [(640, 480), (300, 500), (4000, 1000), (60, 40)])
def test_an_outline_encloses_the_mask(width, height):
    for seed in range(3):
        mask = blob(width, height, seed)
        inside = drawn(outline(mask), width, height)
        expected = np.asarray(Image.fromarray(mask).resize(inside.shape[::-1], Image.Resampling.NEAREST))
        assert (inside & expected).sum() / (inside | expected).sum() > 0.95


def test_holes_pieces_edges_and_specks_have_outlines():
    mask = np.zeros((64, 64), bool)
    mask[:30, :30] = True
    mask[10:20, 10:20] = False
    mask[50:, 50:] = True
    assert len(list(points_of(outline(mask)))) == 3
    speck = np.zeros((3000, 4000), bool)
    speck[100, 200] = True
    (points,) = points_of(outline(speck))
    assert np.abs(points / UNITS * 4000 - [200, 100]).max() < 2 * 4000 / GRID
    whole = drawn(outline(np.ones((48, 64), bool)), 64, 48)
    assert whole.mean() > 0.99
    assert outline(np.zeros((4, 6), bool)) == ""
    assert list(points_of(outline(np.ones((1, 30_000), bool))))


def test_a_smooth_outline_takes_few_bytes():
    y, x = np.mgrid[:480, :640]
    path = outline((y - 200) ** 2 + (x - 300) ** 2 < 120**2)
    assert len(path) < 250
    (points,) = points_of(path)
    assert np.abs(np.hypot(*(points - [300, 200]).T) - 120).max() < 2


def test_a_thumbnail_is_the_upright_photo(photos, tmp_path):
    original = Image.open(photos / "cat.jpg")
    exif = original.getexif()
    exif[0x0112] = 6
    original.save(tmp_path / "turned.jpg", exif=exif)
    original.convert("CMYK").save(tmp_path / "cmyk.jpg")
    for path in (photos / "cat.jpg", tmp_path / "turned.jpg", tmp_path / "cmyk.jpg"):
        content = thumbnail(path)
        assert len(content) < 8000
        shown, whole = Image.open(BytesIO(content)), read(path).image
        assert max(shown.size) == SIDE
        assert shown.size == pytest.approx([side * SIDE / max(whole.size) for side in whole.size], abs=1)
        expected = np.asarray(whole.resize(shown.size, Image.Resampling.LANCZOS), float)
        assert np.abs(np.asarray(shown.convert("RGB")) - expected).mean() < 8


def test_a_small_photo_is_not_enlarged_and_a_missing_one_has_no_thumbnail(tmp_path):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "small.png")
    assert Image.open(BytesIO(thumbnail(tmp_path / "small.png"))).size == (20, 10)
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    assert thumbnail(tmp_path / "damaged.jpg") is thumbnail(tmp_path / "missing.jpg") is None


def test_a_map_keeps_its_values():
    y, x = np.mgrid[:32, :32]
    values = (255 * np.exp(-((y - 20) ** 2 + (x - 9) ** 2) / 60)).astype(np.uint8)
    content = map_picture(values)
    assert len(content) < 600
    assert np.abs(np.asarray(Image.open(BytesIO(content)).convert("L"), float) - values).mean() < 4
