"""Rows as they are read back, against an independent reader of masks."""

from pathlib import Path

import numpy as np
import pytest

from deepinside.archive.rows import box_of, file_of, labels_of, mask_of, photos_of
from deepinside.core.labels import imagenet


def test_the_rows_of_a_photo_stand_together():
    rows = [{"key": key, "number": number} for key, number in ((7, 1), (7, 2), (3, 1))]
    assert list(photos_of(rows)) == [rows[:2], rows[2:]]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_a_mask_is_what_pycocotools_reads():
    from pycocotools import mask as rle

    mask = np.random.default_rng(0).random((9, 13)) > 0.6
    counts = rle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert (mask_of({"width": 13, "height": 9, "mask": counts}) == mask).all()


def test_files_and_boxes():
    assert file_of({"file": b"/in/caf\xe9.jpg"}) == Path("/in/caf\udce9.jpg")
    assert box_of({"x0": 1, "y0": 2, "x1": 5, "y1": 9}).area == 28


def test_the_labels_of_a_run():
    known = imagenet()
    all_of_them = [[known.name(index), known.wnid(index)] for index in range(len(known))]
    assert labels_of({"classes": all_of_them}).find("Tinca tinca") == known.find("tench") == 0
    few = labels_of({"classes": [["red", None], ["blue", None]]})
    assert (few.find("blue"), few.name(1), few.wnid(1)) == (1, "blue", None)
    assert labels_of({"classes": []}).name(3) == "class 3"
