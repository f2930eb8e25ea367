"""Objects of a class: which candidates are the same, and scenes of known objects from photo to boxes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

from deepinside.core.geometry import Box, Frame
from deepinside.core.images import read
from deepinside.cut.continuity import Continuity
from deepinside.explanations.by_features import Best
from deepinside.explanations.explain import explain
from deepinside.explanations.glance import Coarse, Glance
from deepinside.explanations.leads import Lead, apart, box_of, grown, lead_in
from deepinside.networks.classifier import Classifier

PHOTOS = Path(__file__).parents[2] / "photos"


def lead(x0, y0, x1, y1, confidence, region=Box(0, 0, 100, 60)):  # noqa: B008
    """A rectangle of photo pixels as it is seen in a region of a photo of 100 x 60, with a cell a pixel."""
    frame = Frame(100, 60, region, int(region.width), int(region.height))
    mask = np.zeros((frame.height, frame.width), bool)
    cells = frame.to_network(Box(x0, y0, x1, y1))
    mask[int(cells.y0) : int(cells.y1), int(cells.x0) : int(cells.x1)] = True
    glance = Glance(torch.zeros(2), (1,), frame, ((),), (), np.zeros((*mask.shape, 3), np.float32), Continuity())
    return Lead(glance, 0, Coarse(np.where(mask, 2.0, -2.0).astype(np.float32), mask), confidence)


def test_what_overlaps_is_the_same_object_also_seen_in_another_view():
    first = lead(10, 10, 40, 40, 0.9)
    again = lead(12, 8, 44, 40, 0.95, region=Box(0, 0, 60, 50))
    part = lead(12, 12, 20, 20, 0.9, region=Box(5, 5, 30, 30))
    other = lead(60, 10, 90, 40, 0.8, region=Box(50, 0, 100, 60))
    kept = apart(first, [again, part, other], surer=0.5, overlap=0.3)
    assert [each.box for each in kept] == [Box(10, 10, 40, 40), Box(60, 10, 90, 40)]


def test_the_surest_come_first_and_none_is_surer_than_the_first():
    first, low = lead(0, 0, 20, 20, 0.6), lead(70, 0, 90, 20, 0.2)
    sure, less = lead(30, 0, 50, 20, 0.9), lead(30, 40, 50, 60, 0.5)
    kept = apart(first, [low, less, sure], surer=0.5, overlap=0.3)
    assert [(each.box.x0, each.box.y0) for each in kept] == [(0, 0), (30, 0), (30, 40)]
    assert [each.confidence for each in kept] == [0.6, 0.6, 0.5]


def test_a_map_that_points_nowhere_is_no_lead():
    frame, pixels = Frame.whole(100, 60, width=50, height=30), np.zeros((30, 50, 3), np.float32)
    classifier = Classifier(nn.Identity())
    flat = Glance(torch.zeros(2), (1,), frame, ((np.ones((3, 5)),),), (), pixels, Continuity())
    assert lead_in(classifier, flat, 1) is None
    spot = np.zeros((3, 5))
    spot[1, 2] = 1
    found = lead_in(classifier, Glance(torch.tensor([0.0, 1.0]), (1,), frame, ((spot,),), (), pixels, Continuity()), 1)
    assert found.cut.mask[15, 25]
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_a_lead_covers_cells_that_are_mostly_its_own():
    mine = lead(10, 10, 40, 40, 0.9)
    inside, beside = lead(20, 20, 30, 30, 0.5), lead(38, 10, 70, 40, 0.5)
    assert mine.covers(inside.glance, inside.cut.mask)
    assert not mine.covers(beside.glance, beside.cut.mask)


def test_boxes_grow_onto_whole_pixels_of_the_photo():
    frame = Frame.whole(100, 60, width=50, height=30)
    assert grown(Box(10.5, 20.0, 30.5, 40.0), 0.3, frame) == Box(4, 14, 37, 46)
    assert grown(Box(0.0, 0.0, 100.0, 60.0), 0.3, frame) == Box(0, 0, 100, 60)
    mine = lead(10, 10, 40, 40, 0.9)
    assert box_of(mine.glance, mine.cut.mask) == mine.box == Box(10, 10, 40, 40)


def scene(count, longer):
    """The cat of the demo photo, cut out by hand of its box and pasted so many times onto a soft texture."""
    photo = np.array(read(PHOTOS / "cat.jpg").image)[0:266, 31:399]
    y, x = np.mgrid[:266, :368]
    inside = ((x - 184) / 184) ** 2 + ((y - 133) / 133) ** 2 <= 1  # the ellipse in the box
    size = (longer, round(longer * 266 / 368))
    small = np.array(Image.fromarray(photo).resize(size))
    shape = np.array(Image.fromarray(inside).resize(size, Image.Resampling.NEAREST))
    random = np.random.default_rng(0)
    canvas = np.full((420, 640, 3), 120.0) + random.normal(0, 6, (420, 640, 1))
    canvas[..., 1] += 400 * ndimage.gaussian_filter(random.normal(0, 1, (420, 640)), 20)
    canvas = canvas.clip(0, 255).astype(np.uint8)
    boxes = []
    for left, top in [(20, 60), (340, 250), (400, 40)][:count]:
        canvas[top : top + size[1], left : left + size[0]][shape] = small[shape]
        boxes.append(Box(left, top, left + size[0], top + size[1]))
    return Image.fromarray(canvas), boxes


@pytest.mark.parametrize(("count", "longer"), [(1, 260), (2, 200), (3, 180)])
def test_pasted_objects_are_found_one_to_one(lite0, count, longer):
    image, boxes = scene(count, longer)
    found = [each.box for each in explain(lite0, image, "Egyptian cat").objects]
    assert len(found) == count
    best = [[box.iou(each) for each in found] for box in boxes]
    assert sorted(int(np.argmax(row)) for row in best) == list(range(count))
    assert min(map(max, best)) > 0.7
    (one,) = explain(lite0, image, "Egyptian cat", preset=Best(objects=1)).objects
    assert max(box.iou(one.box) for box in boxes) > 0.7


def test_nobody_looks_for_a_second_object_of_an_unlikely_class(lite0):
    image, _ = scene(2, 200)
    (first, second) = explain(lite0, image, "Egyptian cat").objects
    assert first.confidence > second.confidence > 0.01
    (one,) = explain(lite0, image, "Egyptian cat", preset=Best(likely=first.confidence * 1.01)).objects
    assert (one.mask == first.mask).all()
