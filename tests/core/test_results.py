"""Results in photo pixels, for a frame whose geometry is worked out by hand: a 40 x 20 photo on a 4 x 4 grid."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.results import MOST_TOLD, Detection, Explanation, Saliency, Segmentation, corners

CENTRAL = Frame.center(40, 20, width=4, height=4)  # the columns 10 to 29; a cell is 5 x 5 photo pixels
NOWHERE = np.zeros((4, 4), bool)


def detection(mask, frame=CENTRAL, map=None):
    found = None if mask is None else Segmentation(frame, mask, mask, ~mask, 0.0)
    values = np.ones((4, 4), np.float32) if map is None else map
    return Detection(281, "tabby", "n02123045", 12.5, 0.75, frame, values, found)


def cells(*chosen):
    mask = NOWHERE.copy()
    for row, column in chosen:
        mask[row, column] = True
    return mask


def test_mask_is_the_cells_blocks_of_photo_pixels_with_round_corners():
    expected = np.zeros((20, 40), bool)
    expected[5:15, 15:25] = True  # rows and columns 1 and 2
    # One and two pixels off a corner cell's center, its value is 0.8 and 0.6 along each axis; 0.64 stays, 0.48 goes.
    for y, x in ((5, 15), (5, 24), (14, 15), (14, 24)):
        expected[y, x] = expected[y, 16 if x == 15 else 23] = expected[6 if y == 5 else 13, x] = False
    np.testing.assert_array_equal(detection(cells((1, 1), (1, 2), (2, 1), (2, 2))).mask, expected)


def test_box_bounds_the_mask_and_is_half_open():
    found = detection(cells((1, 1), (3, 2)))
    assert found.box == Box(15, 5, 25, 20)
    y, x = np.nonzero(found.mask)
    assert found.box.as_tuple() == (x.min(), y.min(), x.max() + 1, y.max() + 1)


def test_saliency_is_the_map_inside_the_region_and_zero_outside():
    rows = np.arange(4, dtype=np.float32)[:, None].repeat(4, axis=1)  # the value of a cell is its row
    saliency = detection(None, map=rows).saliency
    assert saliency.shape == (20, 40)
    assert (saliency[:, :10] == 0).all()
    assert (saliency[:, 30:] == 0).all()
    # The centers of rows 0 and 1 are at photo rows 2.5 and 7.5; between them the map rises by 1 in 5 pixels.
    np.testing.assert_allclose(saliency[:10, 20], [0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4], atol=1e-6)


@pytest.mark.parametrize("wanted", ["mask", "box"])
def test_saliency_alone_has_neither_mask_nor_box(wanted):
    found = detection(None)
    assert found.saliency.max() == 1
    with pytest.raises(DeepInsideError, match="expected an explanation with boxes, got saliency alone"):
        getattr(found, wanted)


def test_an_empty_mask_has_no_box():
    assert not detection(NOWHERE).mask.any()
    with pytest.raises(DeepInsideError, match="empty"):
        _ = detection(NOWHERE).box


def test_objects_of_a_class_stand_together_in_the_order_of_the_classes():
    first, second, other = (detection(cells((row, 1))) for row in range(3))
    explained = Explanation("cat.jpg", 40, 20, "lite0", "best", (first, second, replace(other, index=3)))
    one, two = explained.by_class
    assert one == (first, second)
    assert [each.index for each in two] == [3]
    assert Explanation("cat.jpg", 40, 20, "lite0", "best", ()).by_class == ()


def test_confidence_is_that_of_the_object():
    mask = cells((1, 1))
    found = Segmentation(CENTRAL, mask, mask, ~mask, 0.0, confidence=0.25)
    assert replace(detection(mask), segmentation=found).confidence == 0.25
    with pytest.raises(DeepInsideError, match="saliency alone"):
        _ = detection(None).confidence


def test_results_cannot_be_changed():
    found = detection(cells((0, 0)))
    explained = Explanation("cat.jpg", 40, 20, "lite0", "best", (found,))
    with pytest.raises(FrozenInstanceError):
        found.label = "tiger cat"
    with pytest.raises(FrozenInstanceError):
        explained.objects = ()


def test_text_tells_what_a_person_wants_to_know():
    first, second = detection(cells((1, 1))), replace(detection(None), index=3, label="sea\x1b lion", probability=0.125)
    assert repr(first) == "Detection('tabby', probability 75.0%, confidence 75.0%, box (15, 5, 20, 10))"
    assert repr(second) == "Detection('sea\\\\x1b lion', probability 12.5%, saliency alone)"
    explained = Explanation("cat.jpg", 40, 20, "lite0", "best", (first, detection(cells((0, 0))), second))
    assert repr(explained).splitlines() == [
        "Explanation of cat.jpg, 40 x 20 pixels, by lite0, preset best",
        "   75.0%  tabby: 2 objects, boxes (15, 5, 20, 10), (10, 0, 15, 5)",
        "   12.5%  sea\\x1b lion",
    ]
    assert repr(replace(first, segmentation=replace(first.segmentation, mask=NOWHERE))).endswith("an empty mask)")
    assert repr(Saliency(CENTRAL, np.eye(4, dtype=np.float32))) == "Saliency(4 x 4 cells, largest value 1)"


def test_no_text_has_arrays_or_more_than_a_few_lines():
    one = detection(cells((1, 1)))
    many = [same for index in range(50) for same in [replace(one, index=index)] * 20]
    explained = Explanation("cat.jpg", 40, 20, "lite0", "best", tuple(many))
    told = repr(explained).splitlines()
    assert len(told) == MOST_TOLD + 2
    assert told[-1] == "  and 40 more classes"
    assert max(map(len, told)) < 300
    for value in (explained, many[0], many[0].segmentation, many[0].of_class):
        assert "array" not in repr(value)
        assert "True" not in repr(value)


def test_corners_are_those_of_the_box():
    assert corners(detection(cells((1, 1), (3, 2)))) == (15, 5, 25, 20)


def test_a_segmentation_with_a_box_of_its_own_keeps_it():
    mask = np.zeros((30, 40), dtype=bool)
    mask[10:12, 10:12] = True
    frame = Frame.whole(40, 30, width=40, height=30)
    found = Segmentation(frame, mask, mask, ~mask, 0.0, box=Box(5, 6, 25, 28))
    seen = Detection(0, "red", None, 1.0, 0.5, frame, mask.astype(np.float32), found)
    assert corners(seen) == seen.box.as_tuple() == (5, 6, 25, 28)
    assert "box (5, 6, 25, 28)" in repr(seen)
    assert (seen.mask == mask).all()
    assert replace(seen, segmentation=replace(found, box=None)).box == Box(10, 10, 12, 12)
