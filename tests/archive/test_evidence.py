"""The maps of a run by class, and how much of them lies outside of boxes."""

import json

import numpy as np
import pytest

from deepinside.archive import evidence as module
from deepinside.archive.evidence import evidence_of
from deepinside.archive.small_maps import share_outside
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from planted import NAMES, natural, write_run


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_maps_come_back_by_class_with_their_photos(random, tmp_path):
    given = {3: natural(random, 12), 1: natural(random, 5)}
    found = evidence_of(write_run(tmp_path / "run", given))
    assert [(each.index, each.label, len(each.maps)) for each in found] == [(1, NAMES[1], 5), (3, NAMES[3], 12)]
    for each in found:
        for map, path in zip(each.maps, each.files, strict=True):
            index, number = map_number(path)
            assert (map == given[index][number]).all()


def map_number(path):
    index, number = path.stem.split("-")
    return int(index), int(number)


def test_unlikely_classes_count_only_where_they_are_given(random, tmp_path):
    maps = {0: natural(random, 3)}
    assert evidence_of(write_run(tmp_path / "a", maps, given=False, probability=0.05)) == []
    assert len(evidence_of(write_run(tmp_path / "b", maps, given=True, probability=0.05))) == 1
    assert len(evidence_of(write_run(tmp_path / "c", maps, given=False, probability=0.1))) == 1


def test_maps_of_zeros_and_photos_without_objects_are_left_out(random, tmp_path):
    maps = natural(random, 4)
    maps[2] = 0
    (found,) = evidence_of(write_run(tmp_path / "a", {0: maps}))
    assert len(found.maps) == 3
    assert evidence_of(write_run(tmp_path / "b", {0: maps}, **{"class": None, "number": None, "map": None})) == []


def test_of_many_photos_some_are_drawn_whatever_their_order(random, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    maps = natural(random, 40)
    (found,) = evidence_of(write_run(tmp_path / "run", {0: maps}))
    assert len(found.maps) == len(set(found.files)) == 10


def test_outside_is_that_of_the_runs_own_boxes_or_of_the_ground_truth(random, tmp_path):
    maps = np.full((2, 32, 32), 255, np.uint8)
    run = write_run(tmp_path / "run", {0: maps, 1: maps})
    assert [each.outside.tolist() for each in evidence_of(run)] == [[0.5, 0.5], [0.5, 0.5]]
    (tmp_path / "photos" / "boxes.csv").write_text(
        f"image,label,x0,y0,x1,y1\n0-0.png,{NAMES[0]},0,0,64,12\n0-1.png,{NAMES[1]},0,0,64,12\n"
    )
    first, second = evidence_of(run, tmp_path / "photos" / "boxes.csv")
    by_name = dict(zip([path.name for path in first.files], first.outside.tolist(), strict=True))
    assert by_name["0-0.png"] == 0.75
    assert np.isnan(by_name["0-1.png"]), "the box is of another class"
    assert np.isnan(second.outside).all()


def test_outside_counts_each_pixel_of_the_photo_once(random):
    """By brute force on a photo of 96 x 64 pixels, each cell being 3 x 2 of them."""
    map = natural(random, 1)[0]
    boxes = [Box(6, 4, 48, 32), Box(24, 16, 91, 60)]
    inside = np.zeros((64, 96), bool)
    for box in boxes:
        inside[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = True
    fine = np.kron(map.astype(float), np.ones((2, 3)))
    assert share_outside(map, boxes, 96, 64) == pytest.approx(fine[~inside].sum() / fine.sum(), abs=1e-3)
    assert np.isnan(share_outside(map, [], 96, 64))


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(DeepInsideError, match="expected the folder of a run"):
        evidence_of(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({}))
    with pytest.raises(DeepInsideError, match="expected what a run was asked for"):
        evidence_of(tmp_path)
