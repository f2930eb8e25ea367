"""Explanations as values of other libraries, beside the detections themselves, the command and the files of exports."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from deepinside import explain
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import find_photos
from deepinside.explanations import conversions
from deepinside.explanations.export import export
from deepinside.explanations.exports.table import COLUMNS
from exported import corners, explanation, save_photo


@pytest.fixture
def path(tmp_path):
    return save_photo(tmp_path / "album" / "tom.png", 64, 48)


@pytest.fixture
def seen(path):
    """Three objects of two classes, and one of another class of the same name as the second."""
    return explanation(path, (281, 281, 7, 8))


def test_plain_values_are_those_of_the_command(deepinside, small, colors, tree):
    for options, preset in (((), "best"), (("--preset", "paper"), "paper")):
        status, out, _ = deepinside("localize", tree / "0.png", "--json", *options)
        assert status == 0
        assert conversions.as_dict(explain(colors, tree / "0.png", preset=preset)) == json.loads(out)


def test_plain_values_tell_every_object(seen):
    told = conversions.as_dict(seen)
    assert json.loads(json.dumps(told)) == told
    assert told.keys() == {"path", "width", "height", "objects"}
    assert (told["path"], told["width"], told["height"]) == (seen.name, 64, 48)
    for each, found in zip(told["objects"], seen.objects, strict=True):
        assert each == {
            "index": found.index, "label": found.label, "probability": pytest.approx(found.probability, abs=1e-6),
            "confidence": pytest.approx(found.confidence, abs=1e-6), "box": list(corners(found)),
        }  # fmt: skip


def test_a_frame_has_a_row_for_each_object_as_the_table_has(seen, path, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    seen = replace(seen, review=0.25)
    frame = conversions.as_frame(seen, path)
    assert tuple(frame.columns) == COLUMNS
    for row, found in zip(frame.itertuples(), seen.objects, strict=True):
        assert (row.index, row.wnid, row.score) == (found.index, found.wnid, found.score)
        assert (row.probability, row.confidence) == (found.probability, found.confidence)
        assert (row.x0, row.y0, row.x1, row.y1) == corners(found)
    assert list(frame["number"]) == [1, 2, 1, 1]
    assert list(frame["label"]) == ["tabby", "tabby", "crane", "crane (n00000008)"]
    ((file, name),) = find_photos([path])
    (folder,) = export([(file, name, seen)], tmp_path / "out", "csv")
    written = pandas.read_csv(folder / "objects.csv")
    shown = frame.assign(photo=name.as_posix())
    pandas.testing.assert_frame_equal(shown, written, check_dtype=False)


def test_a_frame_without_objects_or_file_has_the_same_columns(seen):
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert tuple(conversions.as_frame(replace(seen, objects=()), None).columns) == COLUMNS
    assert conversions.as_frame(seen, None)["path"].isna().all()


def test_supervision_gets_every_box_mask_and_class(seen):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    found = conversions.as_supervision(seen)
    assert isinstance(found, supervision.Detections)
    assert found.class_id.tolist() == [281, 281, 7, 8]
    assert found["class_name"].tolist() == ["tabby", "tabby", "crane", "crane (n00000008)"]
    for number, each in enumerate(seen.objects):
        assert tuple(found.xyxy[number]) == corners(each)
        np.testing.assert_array_equal(found.mask[number], each.mask)
        assert found.confidence[number] == np.float32(each.confidence)
    assert len(found[found.confidence > 0.5]) == 1
    assert len(conversions.as_supervision(replace(seen, objects=()))) == 0


def test_fiftyone_gets_what_its_export_has(seen):
    fiftyone = pytest.importorskip("fiftyone", reason="FiftyOne is not installed")
    check_of_fiftyone(conversions.as_fiftyone(seen).detections, seen)
    assert isinstance(conversions.as_fiftyone(seen), fiftyone.Detections)


def test_what_fiftyone_is_given(seen, monkeypatch):
    """The same without FiftyOne, whose types take any fields."""
    fake = SimpleNamespace(Detection=SimpleNamespace, Detections=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "fiftyone", fake)
    check_of_fiftyone(conversions.as_fiftyone(seen).detections, seen)


def check_of_fiftyone(detections, seen):
    assert [each.label for each in detections] == ["tabby", "tabby", "crane", "crane (n00000008)"]
    assert [each.number for each in detections] == [1, 2, 1, 1]
    for given, each in zip(detections, seen.objects, strict=True):
        x0, y0, x1, y1 = corners(each)
        assert given.bounding_box == pytest.approx([x0 / 64, y0 / 48, (x1 - x0) / 64, (y1 - y0) / 48])
        np.testing.assert_array_equal(given.mask, each.mask[y0:y1, x0:x1])
        assert (given.confidence, given.probability, given.wnid) == (each.confidence, each.probability, each.wnid)


@pytest.mark.parametrize(("convert", "package"), [
    (lambda seen: conversions.as_frame(seen, None), "pandas"), (conversions.as_supervision, "supervision"),
    (conversions.as_fiftyone, "fiftyone"),
])  # fmt: skip
def test_a_missing_package_is_one_clear_line(seen, monkeypatch, convert, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DeepInsideError, match=rf"^expected the package {package}, .*; pip install {package}$"):
        convert(seen)


def test_saliency_alone_is_refused(seen):
    bare = replace(seen, objects=(replace(seen.objects[0], segmentation=None),))
    with pytest.raises(DeepInsideError, match="call explain"):
        conversions.as_dict(bare)
