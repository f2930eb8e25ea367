"""FiftyOne's folder: read by a slow reader always, and by FiftyOne's own loader where there is one."""

import io
import json
import subprocess
import zlib
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from deepinside.explanations.export import export, exporting
from exported import corners, interpreter_with, items_of


def samples_in(folder):
    return json.loads((folder / "samples.json").read_text())["samples"]


def check(sample, photo, whole):
    """A sample, with what a loader has made of paths and masks, against what was explained."""
    assert sample["filepath"] == str(photo)
    assert sample.get("review") == whole.review
    assert (sample["width"], sample["height"]) == (whole.width, whole.height)
    for found, seen in zip(sample["objects"], whole.objects, strict=True):
        x, y, width, height = found["bounding_box"]
        ends = (x * whole.width, y * whole.height, (x + width) * whole.width, (y + height) * whole.height)
        x0, y0, x1, y1 = corners(seen)
        assert ends == pytest.approx((x0, y0, x1, y1), abs=1e-6)
        assert np.array_equal(np.array(found["mask"], dtype=bool), seen.mask[y0:y1, x0:x1])
        assert (found["label"], found["wnid"]) == (seen.label, seen.wnid)
        assert (found["confidence"], found["probability"]) == (seen.confidence, seen.probability)
    for rank, (seen, *_) in enumerate(whole.by_class, start=1):
        heatmap = sample["maps"][f"saliency_{rank}"]
        assert heatmap["label"] == seen.label
        with Image.open(heatmap["map_path"]) as image:
            assert image.mode == "L"
            assert np.abs(np.asarray(image) / 255 * seen.saliency.max() - seen.saliency).max() < 0.5 / 254


def test_samples_say_what_was_explained(photos, tmp_path):
    items = [(path, name, replace(seen, review=0.5)) for path, name, seen in items_of(photos)]
    (folder,) = export(items, tmp_path / "out", "fiftyone")
    for sample, (path, _, whole) in zip(samples_in(folder), items, strict=True):
        maps = {key: value for key, value in sample.items() if key.startswith("saliency")}
        for each in maps.values():
            each["map_path"] = folder / each["map_path"]
        objects = sample["objects"]["detections"]
        for each in objects:
            each["mask"] = np.load(io.BytesIO(zlib.decompress(b64decode(each["mask"]["$binary"]["base64"]))))
        check({**sample, **sample["metadata"], "maps": maps, "objects": objects}, path, whole)
    assert json.loads((folder / "metadata.json").read_text())["info"]["classes"]["objects"] == [
        'cup & "saucer" <hot>: ünï 猫 😀', "tabby"
    ]  # fmt: skip


def test_without_maps_there_are_no_heatmaps(photos, tmp_path):
    """What a run has kept has a map of one pixel, which says nothing."""
    (path, name, seen), *_ = items_of(photos)
    bare = replace(seen, objects=tuple(replace(each, map=np.zeros((1, 1), np.float32)) for each in seen.objects))
    (folder,) = export([(path, name, bare)], tmp_path / "out", "fiftyone")
    (sample,) = samples_in(folder)
    assert not [key for key in sample if key.startswith("saliency")]
    assert not (folder / "fields").exists()


def test_new_photos_beside_changed_samples_are_a_folder_of_their_own(photos, tmp_path):
    items = items_of(photos)
    known = {str(path) for path, _, _ in items}
    for mine in (items[:2], items):
        with exporting(tmp_path, "fiftyone", run_photos=known) as add:
            for item in mine:
                add(*item)
        if mine is not items:
            (tmp_path / "fiftyone" / "samples.json").write_text('{"samples": []}')
    samples = samples_in(tmp_path / "fiftyone" / "2")
    assert [sample["filepath"] for sample in samples] == [str(path) for path, _, _ in items[2:]]
    assert all((tmp_path / "fiftyone" / "2" / sample["saliency_1"]["map_path"]).is_file() for sample in samples)
    assert (tmp_path / "fiftyone" / "2" / "metadata.json").is_file()


LOADER = """
import json, sys
import fiftyone as fo
from pymongo.errors import PyMongoError
try:
    dataset = fo.Dataset.from_dir(dataset_dir=sys.argv[1], dataset_type=fo.types.FiftyOneDataset)
except (fo.core.config.FiftyOneConfigError, PyMongoError) as error:
    sys.exit(f"no data base: {error}")
found = []
for sample in dataset:
    maps = {name: sample[name] for name in dataset.get_field_schema() if name.startswith("saliency")}
    found.append({
        "filepath": sample.filepath,
        "review": sample["review"] if dataset.has_field("review") else None,
        "width": sample.metadata.width,
        "height": sample.metadata.height,
        "objects": [
            {
                "label": each.label,
                "wnid": each.wnid,
                "bounding_box": each.bounding_box,
                "confidence": each.confidence,
                "probability": each.probability,
                "mask": each.mask.astype(int).tolist(),
            }
            for each in sample.objects.detections
        ],
        "maps": {name: {"label": each.label, "map_path": each.map_path} for name, each in maps.items() if each},
    })
print("FOUND" + json.dumps([found, dataset.classes, len(dataset)]))
dataset.delete()
"""


def test_fiftyone_opens_the_folder(photos, tmp_path):
    python = interpreter_with("fiftyone", "PYTHON_WITH_FIFTYONE")
    items = items_of(photos)
    items = [(path, name, replace(seen, review=0.1 * number)) for number, (path, name, seen) in enumerate(items)]
    (folder,) = export(items, tmp_path / "out", "fiftyone")
    read = subprocess.run([python, "-c", LOADER, str(folder)], capture_output=True, text=True, timeout=300)
    if "no data base" in read.stderr:
        pytest.skip("FiftyOne is installed, but not the mongod that it starts; FIFTYONE_DATABASE_URI may name another")
    assert read.returncode == 0, read.stderr
    found, classes, count = json.loads(read.stdout.rpartition("FOUND")[2])
    assert count == len(items)
    assert classes == {"objects": ['cup & "saucer" <hot>: ünï 猫 😀', "tabby"]}
    for sample, (path, _, whole) in zip(found, items, strict=True):
        check(sample, path, whole)
