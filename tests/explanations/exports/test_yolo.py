"""YOLO, read as ultralytics reads it."""

import pytest
from PIL import Image

from deepinside.core.images import find_photos
from deepinside.explanations.export import export
from exported import corners, explanation, items_of, read_yolo


def test_yolo_is_read_as_ultralytics_reads_it(photos, tmp_path):
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out" / "images", "yolo")
    found = read_yolo(folder)
    by_size = {(seen.width, seen.height): seen for _, _, seen in items}
    assert len(found) == len(items) == len(by_size)
    for picture, rows in found.items():
        with Image.open(picture) as image:
            width, height = image.size
        seen = by_size[width, height]
        for (label, (cx, cy, w, h)), expected in zip(rows, seen.objects, strict=True):
            ends = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
            assert ends == pytest.approx(corners(expected), abs=1e-5)
            assert label == expected.label


def test_yolo_numbers_classes_from_zero_in_order_of_appearance(photos, tmp_path):
    (path, name), *_ = find_photos([photos])
    items = [(path, name, explanation(path, (281, 7))), (path, name, explanation(path, (8, 281)))]
    (folder,) = export(items, tmp_path / "out", "yolo")
    labels = [[row[0] for row in rows] for rows in read_yolo(folder).values()]
    assert sorted(labels) == [["crane (n00000008)", "tabby"], ["tabby", "crane"]]
    first = {file.stem: file.read_text()[:2] for file in (folder / "labels").iterdir()}
    assert sorted(first.values()) == ["0 ", "2 "]
