"""Masks in the pixels of a photo. Oracles: loops over pixels with exact fractions, scipy's interpolation, discs."""

import tracemalloc
from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from deepinside.core.geometry import Box, Frame


def centers(frame):
    """Where the centers of the photo's columns and rows are on the network's grid; -1 outside the region."""
    region = frame.region
    places = [frame.to_network(Box(i + 0.5, i + 0.5, 0, 0)) for i in range(max(frame.photo_width, frame.photo_height))]
    columns = [each.x0 if region.x0 <= i + 0.5 < region.x1 else -1.0 for i, each in enumerate(places)]
    rows = [each.y0 if region.y0 <= i + 0.5 < region.y1 else -1.0 for i, each in enumerate(places)]
    return columns[: frame.photo_width], rows[: frame.photo_height]


def nearest_mask(frame, mask, slack=0.0):
    """A loop over the photo's pixels: each takes the value of the network pixel that its center falls into.

    Where network pixels are larger, what is nearer than `slack` to the end of one, in their unit, falls into the next.
    """
    photo = np.zeros((frame.photo_height, frame.photo_width), bool)
    columns, rows = centers(frame)
    columns = [floor(place + slack * (frame.region.width > frame.width)) for place in columns]
    rows = [floor(place + slack * (frame.region.height > frame.height)) for place in rows]
    for (y, row), (x, column) in product(enumerate(rows), enumerate(columns)):
        if 0 <= column < frame.width and 0 <= row < frame.height:
            photo[y, x] = mask[row, column]
    return photo


def shares(position, length, count):
    """The cells on whose values a pixel depends along one axis, and how much on each, as exact fractions."""
    if not 0 <= position < count:
        return {}
    if length <= count:
        return {floor(position): Fraction(1)}
    position = min(max(Fraction(position) - Fraction(1, 2), Fraction(0)), Fraction(count - 1))
    low = floor(position)
    return (
        {low: 1 - (position - low), min(low + 1, count - 1): position - low} if position > low else {low: Fraction(1)}
    )


def interpolated(frame, mask):
    """A loop over the photo's pixels: the mask between the centers of network pixels, as exact fractions."""
    columns, rows = centers(frame)
    columns = [shares(x, frame.region.width, frame.width) for x in columns]
    rows = [shares(y, frame.region.height, frame.height) for y in rows]
    photo = np.full((len(rows), len(columns)), Fraction(0))
    for y, x in np.ndindex(photo.shape):
        for (row, high), (column, wide) in product(rows[y].items(), columns[x].items()):
            photo[y, x] += high * wide * int(mask[row, column])
    return photo


small = st.integers(1, 30)
small_frames = st.one_of(
    st.builds(lambda W, H, w, h: Frame.whole(W, H, width=w, height=h), small, small, small, small),
    st.builds(lambda W, H, w, h: Frame.center(W, H, width=w, height=h), small, small, small, small),
)
densities = st.sampled_from([0.03, 0.4, 0.9])


def random_mask(frame, seed, density):
    mask = np.random.default_rng(seed).random((frame.height, frame.width)) < density
    mask[seed % frame.height, seed % frame.width] = True
    return mask


@given(small_frames, st.integers(0, 99), densities)
def test_mask_in_photo_pixels_equals_a_loop_over_them(frame, seed, density):
    mask = random_mask(frame, seed, density)
    photo, values = frame.mask_to_photo(mask), interpolated(frame, mask)
    is_tie = abs(values - Fraction(1, 2)) < Fraction(1, 10**12)
    slow = np.where(is_tie, nearest_mask(frame, mask, slack=1e-12), values > Fraction(1, 2))
    if slow.any():
        np.testing.assert_array_equal(photo, slow)
    else:
        assert photo.sum() == 1, "an object never vanishes"


@given(small_frames, st.integers(0, 99), densities)
def test_a_mask_on_cells_that_are_not_larger_than_pixels_takes_the_nearest(frame, seed, density):
    fine = Frame(frame.photo_width, frame.photo_height, frame.region, 30, 30)
    mask = random_mask(fine, seed, density)
    slow = nearest_mask(fine, mask)
    if slow.any():
        np.testing.assert_array_equal(fine.mask_to_photo(mask), slow)
    else:
        assert fine.mask_to_photo(mask).sum() == 1


@given(st.integers(7, 40), st.integers(7, 40), st.integers(2, 7), st.integers(1, 6), st.booleans(), st.booleans())
def test_straight_edges_along_the_grid_are_where_the_cells_end(W, H, side, edge, upright, turned):
    frame = Frame.whole(W, H, width=side, height=side)
    mask = np.zeros((side, side), bool)
    mask[: min(edge, side - 1)] = True
    mask = (mask.T if upright else mask) ^ turned
    np.testing.assert_array_equal(frame.mask_to_photo(mask), nearest_mask(frame, mask))


@pytest.mark.parametrize(
    ("size", "cells"), [((640, 480), (56, 56)), ((4000, 3000), (512, 384)), ((300, 200), (224, 150))]
)
def test_outlines_are_those_of_scipys_interpolation(size, cells):
    frame = Frame.whole(*size, width=cells[0], height=cells[1])
    mask = ndimage.gaussian_filter(np.random.default_rng(0).random(cells[::-1]), 3) > 0.5
    y, x = ((np.arange(many) + 0.5) * few / many - 0.5 for many, few in zip(size[::-1], cells[::-1], strict=True))
    places = np.stack(np.meshgrid(y, x, indexing="ij"))
    values = ndimage.map_coordinates(mask.astype(float), places, order=1, mode="nearest")
    is_tie = abs(values - 0.5) < 1e-12
    assert is_tie.mean() < 0.01
    assert (frame.mask_to_photo(mask) == (values > 0.5))[~is_tie].all()


def disc(frame):
    """The cells whose centers are in a disc, and how far the photo's pixels are from its edge, outside or inside."""
    y, x = np.mgrid[: frame.photo_height, : frame.photo_width] + 0.5
    row, column = (np.mgrid[: frame.height, : frame.width] + 0.5) * frame.photo_width / frame.width
    return np.hypot(column - 453, row - 445) < 333, np.hypot(x - 453, y - 445) - 333


@pytest.mark.parametrize("cells", [14, 56, 224])
def test_a_disc_is_rounder_than_its_cells(cells):
    frame = Frame.whole(900, 900, width=cells, height=cells)
    mask, distance = disc(frame)
    smooth, coarse = frame.mask_to_photo(mask), mask[np.ix_(*[np.arange(900) * cells // 900] * 2)]
    true = distance < 0

    def iou(found):
        return (found & true).sum() / (found | true).sum()

    def roughness(found):
        return distance[found & ~ndimage.binary_erosion(found)].std()

    assert 1 - iou(smooth) < 0.82 * (1 - iou(coarse))
    assert roughness(smooth) < 0.82 * roughness(coarse)


@given(st.integers(40, 200), st.integers(0, 20))
def test_an_outline_moves_no_side_of_the_box_by_more_than_a_pixel(side, seed):
    frame = Frame.whole(side, side, width=14, height=14)
    mask = random_mask(frame, seed, 0.02)
    y, x = np.nonzero(nearest_mask(frame, mask))
    nearest = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
    assert abs(frame.mask_box(mask).as_tuple() - nearest).max() <= 1


def test_the_box_of_a_large_photo_takes_no_photo_of_memory():
    frame = Frame.whole(12000, 9000, width=512, height=384)
    y, x = np.mgrid[:384, :512]
    mask = np.hypot(y - 190, x - 260) + 4 * np.sin(np.arctan2(y - 190, x - 260) * 9) < 150
    tracemalloc.start()
    box = frame.mask_box(mask)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6
    photo = frame.mask_to_photo(mask)
    rows, columns = np.flatnonzero(photo.any(axis=1)), np.flatnonzero(photo.any(axis=0))
    assert box == Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def test_what_is_in_memory_at_a_time_changes_nothing(monkeypatch):
    frame = Frame.center(300, 200, width=20, height=12)
    mask = random_mask(frame, 3, 0.4)
    photo, box = frame.mask_to_photo(mask), frame.mask_box(mask)
    monkeypatch.setattr("deepinside.core.resampling.MANY", 37)
    np.testing.assert_array_equal(frame.mask_to_photo(mask), photo)
    assert frame.mask_box(mask) == box
