"""Panels: what is drawn of objects, against loops over pixels and outlines worked out by hand."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.path import Path

from deepinside.core.geometry import Box, Frame
from deepinside.core.results import Detection, Saliency, Segmentation
from deepinside.explanations import panels

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
CENTRAL = Frame.center(120, 80, width=4, height=4)  # on the image, which is half as large, a cell is 10 x 10 pixels


def cells(*chosen, shape=(4, 4)):
    mask = np.zeros(shape, bool)
    for place in chosen:
        mask[place] = True
    return mask


def detection(mask, foreground=None, background=None, frame=CENTRAL, own=None):
    seeds = [np.zeros_like(mask) if each is None else each for each in (foreground, background)]
    found = Segmentation(frame, mask, *seeds, 0.0, own=own)
    map = Saliency(frame, np.ones(mask.shape, np.float32)) if own is None else own
    return Detection(281, "tabby", None, 9.0, 0.75, map.frame, map.map, found)


@pytest.fixture
def axes():
    return Figure().subplots()


def rectangles(axes):
    """The color and the corners of each box, in pixels, that is not the white one under it."""
    for patch in axes.patches:
        color = to_hex(patch.get_edgecolor())
        if color != "#ffffff":
            x, y = patch.get_xy()
            yield color, (x + 0.5, y + 0.5, x + 0.5 + patch.get_width(), y + 0.5 + patch.get_height())


def outlines(axes):
    """The color and the points of each outline, in pixels."""
    for lines in axes.collections:
        (path,) = lines.get_paths()
        yield to_hex(lines.get_edgecolor()[0]), path.vertices + 0.5


def area(points):
    """Of a polygon, by the shoelace formula."""
    x, y = points.T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def test_the_outline_of_two_cells_goes_between_cells_and_cuts_their_corners(axes):
    panels.show_outlines(axes, IMAGE, [detection(cells((1, 1), (1, 2)))])
    ((color, points),) = outlines(axes)
    assert color == panels.PREDICTION
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([20, 10], [40, 20])
    assert area(points) == pytest.approx(2 * 100 - 4 * 12.5)
    assert list(rectangles(axes)) == [(panels.PREDICTION, (20, 10, 40, 20))]
    assert not axes.texts, "one object needs no number"
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 59.5), (39.5, -0.5)), "the image alone"


def test_the_outline_of_a_mask_that_ends_with_its_grid_is_closed_there(axes):
    frame = Frame(120, 80, Box(20, 30, 80, 60), 30, 15)
    panels.show_outlines(axes, IMAGE, [detection(np.ones((15, 30), bool), frame=frame)])
    ((_, points),) = outlines(axes)
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([10, 15], [40, 30])


def test_the_outline_is_around_the_pixels_of_the_mask(axes):
    image = np.zeros((300, 400, 3), np.uint8)
    frame = Frame(800, 600, Box(100, 50, 700, 550), 60, 50)
    row, column = np.mgrid[:50, :60]
    mask = np.hypot(row - 25, column - 28) + 4 * np.sin(3 * np.arctan2(row - 25, column - 28)) < 18
    panels.show_outlines(axes, image, [detection(mask, frame=frame)])
    ((_, points),) = outlines(axes)
    y, x = np.mgrid[:300, :400] + 0.5
    inside = Path(points).contains_points(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(300, 400)
    expected = frame.resized(400, 300).mask_to_photo(mask)
    assert (inside != expected).sum() < 0.005 * expected.sum(), "but for corners, which are straight here"


def test_several_objects_have_numbers_and_colors_of_their_own(axes):
    objects = [detection(cells((row, 1))) for row in range(4)] * 2
    panels.show_outlines(axes, IMAGE, objects)
    expected = [*panels.COLORS, *panels.COLORS[:2]]
    assert [color for color, _ in outlines(axes)] == expected[::-1], "the surest is drawn last"
    assert [text.get_text() for text in axes.texts] == [str(number) for number in range(8, 0, -1)]
    for text, (_, corners) in zip(axes.texts, rectangles(axes), strict=True):
        assert text.get_position() == corners[:2]


def test_a_map_is_that_of_the_class_or_the_largest_of_the_objects(axes):
    rng = np.random.default_rng(0)
    frames = [CENTRAL, Frame(120, 80, Box(0, 0, 30, 20), 3, 2)]
    maps = [Saliency(frame, rng.random((frame.height, frame.width), dtype=np.float32)) for frame in frames]
    objects = [detection(cells((1, 1)), own=maps[0]), detection(cells((2, 2)), own=maps[1])]
    values = panels.show_map(axes, IMAGE, panels.maps_of(objects))
    on_image = [frame.resized(60, 40).map_to_photo(map) for frame, map in maps]
    np.testing.assert_array_equal(values, np.maximum(*on_image))
    shown = axes.images[0].get_array()
    seen = np.zeros((40, 60), bool)
    seen[:, 10:50] = seen[:10, :15] = True
    np.testing.assert_array_equal(shown.mask, ~seen)
    same = [detection(cells((1, 1)), own=maps[0]), detection(cells((2, 2)), own=maps[0])]
    assert len(panels.maps_of(same)) == 1


def test_seeds_are_those_of_any_object_and_of_the_background_of_all_that_tell():
    corner = Frame(120, 80, Box(20, 0, 60, 40), 2, 2)  # the upper left quarter of the central square
    first = detection(cells((1, 1)), cells((1, 1)), cells((0, 0), (0, 1), (3, 3), (1, 2)))
    second = detection(
        cells((0, 0), shape=(2, 2)), cells((0, 0), shape=(2, 2)), cells((0, 1), shape=(2, 2)), frame=corner
    )
    painted = panels.with_seeds(IMAGE, [first, second])
    kinds = {(row, column): "" for row in range(4) for column in range(4)}
    kinds |= {
        (1, 1): "foreground",
        (0, 0): "foreground",
        (0, 1): "background",
        (3, 3): "background",
        (1, 2): "background",
    }
    colors = {"foreground": (230, 57, 70), "background": (58, 134, 255)}
    for (row, column), kind in kinds.items():
        middle = painted[10 * row + 5, 10 + 10 * column + 5]
        if kind:
            assert tuple(middle) == colors[kind]
        else:
            assert tuple(middle) not in colors.values()


def test_objects_are_cut_out_with_soft_edges():
    """A pixel's share of an object is that of nine points in it."""
    image = np.full((40, 60, 3), 200, np.uint8)
    frame = Frame.whole(60, 40, width=7, height=9)
    mask = np.random.default_rng(0).random((9, 7)) < 0.5
    fine = frame.resized(180, 120).mask_to_photo(mask)
    expected = np.array([[fine[3 * y : 3 * y + 3, 3 * x : 3 * x + 3].mean() for x in range(60)] for y in range(40)])
    shown = panels.cut_out(image, [detection(mask, frame=frame)]).astype(float)
    gray = 200 * 0.6 * 0.55 + 8
    np.testing.assert_allclose(shown[..., 0], expected * 200 + (1 - expected) * gray, atol=1)
    both = panels.cut_out(image, [detection(mask, frame=frame), detection(~mask, frame=frame)])
    assert (both[20, :] > 190).mean() > 0.95, "no seam between neighbors"
