"""Rows of a photo, and the same explanation from its rows."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from deepinside.archive.records import SCHEMA, explanations, key_of, reason_of, rows_of, small_map
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.results import Saliency
from deepinside.explanations.explain import Outcome, explain_each

ABOUT = {"model": "colors", "preset": "best", "classes": [["red", None], ["green", None], ["blue", None]]}


def outcome_of(colors, path, **options):
    (outcome,) = explain_each(colors, [path], **options)
    return outcome


@pytest.fixture
def square(tmp_path):
    image = Image.new("RGB", (40, 30), "gray")
    image.paste("red", (8, 6, 24, 20))
    image.save(tmp_path / "square.png")
    return tmp_path / "square.png"


def through_parquet(rows):
    return pa.Table.from_pylist(rows, SCHEMA).to_pylist()


@pytest.mark.parametrize(("file", "error", "reason"), [
    (b"/in/a.png", "/in/a.png: expected a photo", "expected a photo"),
    (b"/in/a.png", "in/a.png: expected a photo, a.png: no", "expected a photo, a.png: no"),
    (b"/in/a.png", "a.png: damaged", "damaged"), (b"/in/caf\xe9", "in/caf\\xe9: damaged", "damaged"),
    (b"/in/a.png", "in/data.png: damaged", "in/data.png: damaged"), (b"/in/a.png", "no memory", "no memory"),
    (b"/in/a.png", None, None),
])  # fmt: skip
def test_a_reason_is_told_without_the_photo(file, error, reason):
    assert reason_of({"file": file, "error": error}) == reason


def test_rows_give_the_explanation_back(colors, square):
    wanted = Wanted(square, Path("in/square.png"), (0, 2))
    outcome = outcome_of(colors, square, targets=[0, 2])
    rows = through_parquet(rows_of(wanted, outcome, 0.0))
    ((path, name, found),) = explanations(rows, ABOUT)
    assert (path, name) == (square, Path("in/square.png"))
    assert (found.width, found.height, found.model, found.preset) == (40, 30, "colors", "best")
    assert len(found.objects) == len(outcome.explanation.objects) > 1
    for ours, theirs in zip(found.objects, outcome.explanation.objects, strict=True):
        assert (ours.mask == theirs.mask).all()
        assert ours.box == theirs.box
        for each in ("index", "label", "wnid", "score", "probability", "confidence"):
            assert getattr(ours, each) == getattr(theirs, each)
        assert ours.segmentation.energy == theirs.segmentation.energy
    assert found.predictions == outcome.explanation.predictions
    assert found.predictions[0].label == rows[0]["predicted"]
    assert [row["given"] for row in rows] == [True] * len(rows)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_a_row_has_the_box_and_mask_that_any_reader_of_coco_understands(colors, square):
    from pycocotools import mask as rle

    outcome = outcome_of(colors, square, targets=[0])
    row = through_parquet(rows_of(Wanted(square, Path("a.png"), (0,)), outcome, 0.0))[0]
    mask = rle.decode({"size": [row["height"], row["width"]], "counts": row["mask"].encode()})
    ys, xs = np.nonzero(mask)
    assert (row["x0"], row["y0"], row["x1"], row["y1"]) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert row["seconds"] > 0


def test_unlikely_classes_are_left_out_of_a_photo_without_labels(colors, square):
    outcome = outcome_of(colors, square, top=3)
    most = max(each.probability for each in outcome.explanation.objects)
    classes = {each.index for each in outcome.explanation.objects}
    rows = rows_of(Wanted(square, Path("a.png")), outcome, most)
    assert [row["class"] for row in rows] == [max(outcome.explanation.objects, key=lambda x: x.probability).index]
    labeled = rows_of(Wanted(square, Path("a.png"), tuple(classes)), outcome, most)
    assert {row["class"] for row in labeled} == classes
    (nothing,) = through_parquet(rows_of(Wanted(square, Path("a.png")), outcome, 1.0))
    assert nothing["class"] is None
    ((_, _, found),) = explanations([nothing], ABOUT)
    assert (found.objects, found.width) == ((), 40)


def test_a_photo_that_failed_is_a_row_with_its_reason_and_no_explanation(tmp_path):
    outcome = Outcome(tmp_path / "a.png", error=DeepInsideError("a.png: expected a photo"))
    rows = through_parquet(rows_of(Wanted(tmp_path / "a.png", Path("a.png")), outcome, 0.1))
    assert [row["error"] for row in rows] == ["a.png: expected a photo"]
    assert list(explanations(rows, ABOUT)) == []


def test_names_that_are_not_utf8_lead_back_to_their_file(colors, square):
    odd = square.parent / os.fsdecode(b"caf\xe9.png")
    square.rename(odd)
    rows = through_parquet(rows_of(Wanted(odd, Path(odd.name)), outcome_of(colors, odd), 0.0))
    ((path, name, _),) = list(explanations(rows, ABOUT))
    assert path == odd
    assert str(name) == r"caf\xe9.png"


def test_a_key_tells_files_and_classes_apart():
    keys = {
        key_of(Wanted(Path(name), Path("x"), classes))
        for name in ("a.png", "b.png", "a.png/") for classes in ((), (1,), (1, 2), (12,))
    }  # fmt: skip
    assert len(keys) == 8, "a slash at the end does not count"
    assert key_of(Wanted(Path("a"), Path("x"), (2, 1))) == key_of(Wanted(Path("a").absolute(), Path("y"), (1, 2)))


def test_a_small_map_is_the_mean_of_a_fine_one_in_each_cell():
    fine = np.random.default_rng(0).random((96, 128)).astype(np.float32)
    small = small_map(Saliency(Frame.whole(640, 480, width=128, height=96), fine))
    means = fine.reshape(32, 3, 32, 4).mean(axis=(1, 3))
    assert np.abs(small - 255 * means / means.max()).max() <= 0.51


def test_a_small_map_of_a_part_of_the_photo_is_zero_outside_of_it():
    frame = Frame(64, 32, Box(32, 0, 64, 32), 8, 8)
    small = small_map(Saliency(frame, np.ones((8, 8), np.float32)))
    assert (small[:, :16] == 0).all()
    assert (small[:, 16:] == 255).all()
    assert (small_map(Saliency(frame, np.zeros((8, 8), np.float32))) == 0).all()
