"""COCO's annotations, read back by pycocotools and torchvision."""

import os

import numpy as np
import pytest
import torchvision

from deepinside.explanations.export import export
from exported import LABELS, corners, items_of, old_pycocotools


@old_pycocotools
def test_coco_is_read_by_pycocotools(photos, tmp_path, capsys):
    reader = pytest.importorskip("pycocotools.coco", reason="pycocotools, the reader, is not installed")
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", "coco")
    data = reader.COCO(str(folder / "annotations.json"))
    by_name = {image["file_name"]: image for image in data.dataset["images"]}
    assert set(by_name) == {name.as_posix() for _, name, _ in items}
    assert {c["id"]: c["name"] for c in data.dataset["categories"]} == {0: LABELS[0], 281: "tabby"}
    for path, name, seen in items:
        image = by_name[name.as_posix()]
        assert os.path.samefile(image["path"], path)
        assert (image["width"], image["height"]) == (seen.width, seen.height)
        annotations = data.loadAnns(data.getAnnIds(imgIds=image["id"]))
        assert len(annotations) == len(seen.objects)
        for annotation, expected in zip(annotations, seen.objects, strict=True):
            x0, y0, x1, y1 = corners(expected)
            assert np.array_equal(data.annToMask(annotation), expected.mask)
            assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
            assert annotation["area"] == expected.mask.sum()
            assert annotation["category_id"] == expected.index
            assert annotation["score"] == expected.confidence
            assert annotation["probability"] == expected.probability
            assert annotation["iscrowd"] == 0


@old_pycocotools
def test_coco_is_read_by_torchvision_and_scores_perfectly_against_itself(photos, tmp_path, capsys):
    pytest.importorskip("pycocotools", reason="pycocotools, which torchvision reads COCO with, is not installed")
    from pycocotools.cocoeval import COCOeval

    (photos / "still.gif").unlink()  # torchvision leaves it open
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", "coco")
    data = torchvision.datasets.CocoDetection(photos, folder / "annotations.json")
    assert len(data) == len(items)
    assert all(len(targets) == 3 for _, targets in data)
    results = data.coco.loadRes(data.coco.dataset["annotations"])
    for kind in ("bbox", "segm"):
        evaluation = COCOeval(data.coco, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)
