"""The overview: which photos share a row, and what stands on the page."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepinside.core.geometry import Frame
from deepinside.core.images import Photo
from deepinside.core.results import Detection, Explanation, Segmentation
from deepinside.explanations.overview import GAP, MOST, NARROWEST, TALLEST, WIDTH, Overview, height_of, rows_of
from deepinside.explanations.sheets import rendered

SHARES = st.lists(st.floats(0.6, 5), min_size=1, max_size=MOST)


def photo(name, size=(60, 40)):
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Photo(Image.fromarray(pixels), f"album/{name}.jpg")


def explanation(shown, *labels):
    """Each class has an object in the lower left quarter of the photo."""
    frame = Frame.whole(shown.width, shown.height, width=2, height=2)
    mask = np.array([[False, False], [True, False]])
    found = Segmentation(frame, mask, mask, ~mask, 0.0)
    values = mask.astype(np.float32)
    objects = [
        Detection(index, label, None, 9.0, 0.5 / (index + 1), frame, values, found)
        for index, label in enumerate(labels)
    ]
    return Explanation(shown.name, shown.width, shown.height, "lite0", "best", tuple(objects))


def page(*sizes, labels=("tabby",)):
    overview = Overview()
    for number, size in enumerate(sizes):
        shown = photo(f"{number}", size)
        overview.add(shown, explanation(shown, *labels))
    return overview


@given(SHARES)
def test_every_photo_has_its_place_in_turn(places):
    rows = rows_of(places)
    assert [each for row in rows for each in places[row]] == places
    for row in rows[:-1]:
        width = sum(places[row]) * height_of(places[row]) + GAP * (len(places[row]) + 1)
        assert width == pytest.approx(WIDTH), "rows fill the page"
        assert height_of(places[row]) <= TALLEST
        without_last = places[row][:-1]
        assert not without_last or (WIDTH - GAP * (len(without_last) + 1)) / sum(without_last) > TALLEST, (
            "none too many"
        )
    last = places[rows[-1]]
    assert sum(last) * height_of(last) + GAP * (len(last) + 1) <= WIDTH + 1e-9


def test_photos_keep_their_proportions_and_stand_side_by_side():
    sizes = [(60, 40), (40, 60), (90, 40), (60, 40), (50, 50), (400, 100)]
    figure = page(*sizes).sheet()
    inches = figure.get_size_inches()
    boxes = [axes.get_position() for axes in figure.axes]
    for box, (width, height), axes in zip(boxes, sizes, figure.axes, strict=True):
        assert box.width * inches[0] / (box.height * inches[1]) == pytest.approx(width / height)
        assert (box.x0 >= 0, box.y0 >= 0, box.x1 <= 1, box.y1 <= 1) == (True,) * 4
        np.testing.assert_array_equal(axes.images[0].get_array(), photo("", (width, height)).image)
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_a_tall_photo_has_a_place_in_which_its_class_can_be_read():
    (axes,) = page((20, 400)).sheet().axes
    inches = axes.get_position(original=True).width * WIDTH
    assert inches == pytest.approx(NARROWEST)


def test_each_shows_the_first_class_its_probability_and_its_name():
    (axes, _) = page((60, 40), (60, 40), labels=("tabby", "tiger cat")).sheet().axes
    assert axes.get_title() == "tabby  50.0%"
    assert [text.get_text() for text in axes.texts] == ["0.jpg"]
    boxes = [patch.get_bbox().extents for patch in axes.patches]
    np.testing.assert_allclose(boxes[-1], [-0.5, 19.5, 29.5, 39.5])


def test_a_page_has_room_for_so_many_and_counts_the_others():
    overview = page(*[(60, 40)] * (MOST + 1))
    figure = overview.sheet()
    assert (len(figure.axes), overview.count) == (MOST, MOST + 1)
    assert figure.texts[0].get_text().startswith("1 more photo not shown")
    assert not page(*[(60, 40)] * MOST).sheet().texts[0].get_text().startswith("0")
    assert page(*[(60, 40)] * (MOST + 2)).sheet().texts[0].get_text().startswith("2 more photos")


def test_nothing_is_cut_off_at_the_page_s_edges():
    """The outermost pixels are white, all around."""
    pixels = np.asarray(rendered(page((60, 40), (40, 60), (90, 40), (60, 40)).sheet()))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()
