"""Label Studio's tasks, and what its configuration knows."""

import json
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest

from deepinside.explanations.export import export
from exported import corners, interpreter_with, items_of, slow_brush_decode


def test_label_studio_tasks_hold_boxes_in_percent_and_masks(photos, tmp_path):
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", "labelstudio")
    tasks = json.loads((folder / "tasks.json").read_text())
    config = ElementTree.parse(folder / "config.xml").getroot()
    controls = {tag.get("name"): tag for tag in config if tag.get("toName") == "image"}
    assert config.find("Image").attrib == {"name": "image", "value": "$image"}
    assert len(tasks) == len(items)
    for task, (_, _, seen) in zip(tasks, items, strict=True):
        assert len(task["predictions"]) == len(seen.by_class) == 2, "alternatives"
        for prediction, objects in zip(task["predictions"], seen.by_class, strict=True):
            assert prediction["score"] == objects[0].probability
            assert prediction["model_version"] == "lite0 paper"
            assert len({result["id"] for result in prediction["result"]}) == 2 * len(objects)
            pairs = zip(prediction["result"][::2], prediction["result"][1::2], strict=True)
            for (box, brush), expected in zip(pairs, objects, strict=True):
                check_regions(box, brush, expected, seen, controls)


def check_regions(box, brush, expected, seen, controls):
    for result in (box, brush):
        assert result["to_name"] == "image"
        assert result["score"] == expected.confidence
        assert (result["original_width"], result["original_height"]) == (seen.width, seen.height)
        control = controls[result["from_name"]]
        assert control.tag.lower() == result["type"]
        assert result["value"][result["type"]] == [expected.label]
        assert expected.label in [label.get("value") for label in control]
    value, (x0, y0, x1, y1) = box["value"], corners(expected)
    pixels = (
        value["x"] * seen.width / 100,
        value["y"] * seen.height / 100,
        (value["x"] + value["width"]) * seen.width / 100,
        (value["y"] + value["height"]) * seen.height / 100,
    )
    assert pixels == pytest.approx((x0, y0, x1, y1), abs=1e-9)
    decoded = slow_brush_decode(brush["value"]["rle"], seen.height, seen.width)
    assert np.array_equal(decoded, expected.mask)


def test_label_studio_addresses_lead_to_the_photos(photos, tmp_path):
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", "labelstudio")
    for task, (path, _, _) in zip(json.loads((folder / "tasks.json").read_text()), items, strict=True):
        address = urlsplit(task["data"]["image"])
        assert address.path == "/data/local-files/"
        assert not address.fragment
        (place,) = parse_qs(address.query, strict_parsing=True)["d"]
        assert Path(path.anchor, place) == path


READER = """
import json, sys
from pathlib import Path
from label_studio_sdk.converter import Converter, brush
from label_studio_sdk.label_interface import LabelInterface
folder, work = map(Path, sys.argv[1:])
config = (folder / "config.xml").read_text(encoding="utf-8")
interface = LabelInterface(config)
interface.validate()
accepted, masks = [], []
for number, task in enumerate(json.loads((folder / "tasks.json").read_text()), start=1):
    assert interface.validate_task({"data": task["data"]})
    for prediction in task["predictions"]:
        errors = interface.validate_prediction(prediction, return_errors=True)
        assert not errors, errors
    regions = [region for each in task["predictions"] for region in each["result"]]
    accepted.append({"id": number, "data": task["data"], "annotations": [{"id": number, "result": regions}]})
    for region in regions:
        if region["type"] == "brushlabels":
            size = region["original_height"], region["original_width"]
            masks.append(brush.decode_rle(region["value"]["rle"]).reshape(*size, 4)[..., 3].tolist())
(work / "accepted.json").write_text(json.dumps(accepted))
converter = Converter(config, project_dir=str(work), download_resources=False)
converter.convert_to_coco(str(work / "accepted.json"), str(work / "coco"), is_dir=False)
(work / "masks.json").write_text(json.dumps(masks))
"""


def test_label_studios_own_package_reads_tasks_and_converts_what_an_annotator_accepts(photos, tmp_path):
    python = interpreter_with("label_studio_sdk", "PYTHON_WITH_LABEL_STUDIO")
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", "labelstudio")
    read = subprocess.run([python, "-c", READER, folder, tmp_path], capture_output=True, text=True, timeout=300)
    assert read.returncode == 0, read.stderr
    objects = [seen for _, _, whole in items for seen in whole.objects]
    masks = json.loads((tmp_path / "masks.json").read_text())
    coco = json.loads((tmp_path / "coco" / "result.json").read_text())
    names = {each["id"]: each["name"] for each in coco["categories"]}
    for seen, mask, found in zip(objects, masks, coco["annotations"], strict=True):
        x0, y0, x1, y1 = corners(seen)
        assert np.array_equal(np.array(mask) == 255, seen.mask)
        assert found["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.5)
        assert names[found["category_id"]] == seen.label
