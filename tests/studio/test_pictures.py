"""What is drawn over a photo: against the sheets' overlay, the masks and the seeds themselves."""

import re
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image

from deepinside.core.geometry import Box, Frame
from deepinside.core.results import Saliency, Segmentation
from deepinside.explanations.panels import seeded
from deepinside.studio.pictures import (
    MAP_SIDE,
    SIDE,
    mask_png,
    outlines_of,
    path_of,
    shown_map,
    shown_objects_map,
    shown_photo,
    shown_seeds,
)
from deepinside.studio.wish import Wish
from desks import scene


def opened(content, form="PNG"):
    image = Image.open(BytesIO(content))
    assert image.format == form
    return image


@pytest.fixture(params=["best", "paper"])
def found(request, desk, photo):
    return desk.explanation(Wish(photo, "colors", request.param, target=0))


def test_a_map_over_the_photo_is_the_overlay(found, desk, photo):
    shown = opened(shown_objects_map(found.objects, found.width, found.height))
    base = desk.photo(photo).image.convert("RGBA")
    assert shown.size == base.size == (64, 48)
    both = np.asarray(Image.alpha_composite(base, shown).convert("RGB")).astype(int)
    overlay = np.asarray(found.overlay(1.0)).astype(int)
    assert np.abs(both - overlay).max() <= 2, "opacity has 256 levels"
    assert np.abs(both - overlay).mean() < 0.5
    assert np.ptp(overlay) > 100


def test_nothing_is_shown_of_a_map_without_values():
    frame = Frame(64, 48, Box(0, 0, 64, 48), 8, 6)
    shown = np.asarray(opened(shown_map([Saliency(frame, np.zeros((6, 8), np.float32))], 64, 48)))
    assert not shown[..., 3].any()


@pytest.mark.parametrize(("width", "height"), [(4000, 3), (3, 4000), (1, 1), (641, 640)])
def test_maps_keep_the_proportions_of_large_photos(width, height):
    frame = Frame(width, height, Box(0, 0, width, height), 4, 4)
    shown = opened(shown_map([Saliency(frame, np.eye(4, dtype=np.float32))], width, height))
    assert max(shown.size) == min(MAP_SIDE, max(width, height))
    assert min(shown.size) == max(round(min(width, height) * max(shown.size) / max(width, height)), 1)


def test_a_photo_is_shown_as_a_jpeg_of_its_own_size_or_reduced(desk):
    for width, height, size in ((64, 48, (64, 48)), (2 * SIDE, 300, (SIDE, 150))):
        id = desk.keep(scene(width=width, height=height), "a.png")
        shown = opened(shown_photo(desk.photo(id)), "JPEG")
        assert shown.size == size
        assert desk.photo(id).width == width
    assert np.abs(np.asarray(shown).mean() - np.asarray(desk.photo(id).image).mean()) < 3


# ---------------------------------------------------------------------------------------------------------- outlines


def inside(path, width, height, scale=1):
    """The pixels whose centers lie within the outline of an SVG path, by the even-odd rule."""
    y, x = (np.mgrid[:height, :width] + 0.5) * scale
    points = np.column_stack([x.ravel(), y.ravel()])
    result = np.zeros(width * height, bool)
    for part in filter(None, path.split("M")):
        assert part.endswith("Z")
        corners = np.array(part[:-1].split(), float).reshape(-1, 2)
        result ^= Outline(corners).contains_points(points)
    return result.reshape(height, width)


@given(
    st.integers(1, 12).flatmap(
        lambda columns: st.lists(st.lists(st.booleans(), min_size=columns, max_size=columns), min_size=1, max_size=12)
    )
)
def test_the_pixels_within_an_outline_are_the_mask(rows):
    mask = np.array(rows)
    height, width = mask.shape
    nowhere = np.zeros_like(mask)
    found = Segmentation(Frame(width, height, Box(0, 0, width, height), width, height), mask, nowhere, nowhere, 0.0)
    path = path_of(found, width, height)
    assert re.fullmatch(r"(M-?[\d.]+ -?[\d.]+( -?[\d.]+ -?[\d.]+)*Z)*", path)
    assert (inside(path, width, height) == mask).all()
    assert bool(path) == mask.any()


def test_outlines_lie_in_photo_pixels_and_one_for_each_object(found):
    paths = outlines_of(found.objects)
    assert len(paths) == len(found.objects) >= 1
    for path, each in zip(paths, found.objects, strict=True):
        drawn = inside(path, found.width, found.height)
        assert (drawn & each.mask).sum() / (drawn | each.mask).sum() > 0.85
        x, y = np.array(re.findall(r"[\d.-]+", path), float).reshape(-1, 2).T
        assert x.min() == pytest.approx(each.box.x0, abs=1.5)
        assert y.max() == pytest.approx(each.box.y1, abs=1.5)


# ------------------------------------------------------------------------------------------------------ seeds, masks


def test_seeds_have_the_colors_of_the_sheets(found):
    shown = np.asarray(opened(shown_seeds(found.objects, found.width, found.height)))
    foreground, background = seeded(found.objects, found.width, found.height)
    assert foreground.any()
    assert (shown[foreground] == (230, 57, 70, 200)).all()
    assert (shown[background & ~foreground] == (58, 134, 255, 200)).all()
    assert not shown[~(foreground | background)].any()


def test_a_mask_is_all_objects(found, desk, photo):
    other = desk.explanation(Wish(photo, "colors", "gradcam", target=1))
    objects = (*found.objects, *other.objects)
    shown = opened(mask_png(objects))
    assert (shown.mode, shown.size) == ("L", (64, 48))
    assert (np.asarray(shown) == 255 * sum(each.mask.astype(int) for each in objects).clip(0, 1)).all()
