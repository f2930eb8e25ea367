"""Each kind of data set, written in its published layout and read back; invalid parts are reported, not fatal."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.labels import Labels
from deepinside.core.results import Detection, Explanation, Segmentation
from deepinside.data import boxes
from deepinside.data.boxes import marked_pixels, read_samples
from deepinside.evaluation.classes import class_of
from deepinside.explanations.export import exporting


def photo(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)


def annotation(path, things):
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for name, x0, y0, x1, y1 in things
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{objects}</annotation>")


@pytest.fixture
def ilsvrc_tree(tmp_path):
    images, boxes = tmp_path / "Data/CLS-LOC/val", tmp_path / "Annotations/CLS-LOC/val"
    for number in (1, 2, 3):
        photo(images / f"v_{number}.JPEG")
    annotation(boxes / "v_1.xml", [("n01440764", 0, 0, 9, 19), ("n01440764", 5, 5, 8, 8)])
    boxes.joinpath("v_2.xml").write_text("<annotation><object>")
    annotation(boxes / "v_4.xml", [("n01440764", 0, 0, 9, 19)])
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\n")
    return tmp_path


def test_ilsvrc_tree_with_its_gaps(ilsvrc_tree):
    samples = {sample.path.stem: sample for sample in read_samples(ilsvrc_tree)}
    whole = samples["v_1"]
    assert [each.box for each in whole.annotations] == [Box(0, 0, 10, 20), Box(5, 5, 9, 9)], "corners are inclusive"
    assert {(each.wnid, each.name, each.index) for each in whole.annotations} == {
        ("n01440764", "tench, Tinca tinca", 0)
    }
    for stem, reason in (("v_2", "v_2"), ("v_3", "v_3.xml"), ("v_4", "found no such file")):
        assert reason in str(samples[stem].error)
        assert not samples[stem].annotations


def test_ilsvrc_solution_file_says_the_same_as_the_xml(ilsvrc_tree):
    by_xml = next(sample for sample in read_samples(ilsvrc_tree) if sample.path.stem == "v_1")
    for path in (ilsvrc_tree / "Annotations/CLS-LOC/val").glob("*.xml"):
        path.unlink()
    line = "v_1,n01440764 0 0 9 19 n01440764 5 5 8 8 \nv_2,n01440764 1 2\n"
    (ilsvrc_tree / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + line)
    first, second = read_samples(ilsvrc_tree)
    assert first == by_xml
    assert "groups of class" in str(second.error)


def test_real_tree_has_650_images_that_can_be_judged(ilsvrc):
    samples = list(read_samples(ilsvrc))
    assert len(samples) == 650
    assert all(sample.error is None and sample.annotations for sample in samples)


def test_voc_tree_with_object_masks(tmp_path):
    photo(tmp_path / "VOC2012/JPEGImages/a.jpg")
    annotation(tmp_path / "VOC2012/Annotations/a.xml", [("cat", 1, 1, 10, 20), ("dog", 11, 1, 20, 20)])
    values = np.zeros((30, 40), np.uint8)
    values[:20, :10], values[:20, 10:20], values[25, 5] = 1, 2, 255
    mask = Image.fromarray(values).convert("P")
    (tmp_path / "VOC2012/SegmentationObject").mkdir()
    mask.putdata(values.ravel().tolist())
    mask.save(tmp_path / "VOC2012/SegmentationObject/a.png")
    (sample,) = read_samples(tmp_path)
    assert [(each.name, each.box) for each in sample.annotations] == [
        ("cat", Box(0, 0, 10, 20)),
        ("dog", Box(10, 0, 20, 20)),
    ]
    marked, void = marked_pixels(sample, sample.annotations[1:], 40, 30)
    assert (marked == (values == 2)).all()
    assert (void == (values == 255)).all()


def test_coco_file_with_polygons(tmp_path):
    photo(tmp_path / "val2017/a.jpg")
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}, {"id": 8, "file_name": "b.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [4, 5, 10, 6], "segmentation": [[4, 5, 14, 5, 14, 11, 4, 11]]},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 40, 30], "iscrowd": 1},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(content))
    first, second = read_samples(tmp_path)
    assert [(each.name, each.box) for each in first.annotations] == [("cat", Box(4, 5, 14, 11))]
    marked, _ = marked_pixels(first, first.annotations, 40, 30)
    expected = np.zeros((30, 40), bool)
    expected[5:11, 4:14] = True
    assert (marked & expected).sum() == 60
    assert (marked ^ expected).sum() <= 2 * (10 + 6) + 4, "at most the outline differs"
    assert "b.jpg" in str(second.error)


def test_table_gathers_the_rows_of_an_image(tmp_path):
    photo(tmp_path / "a.png")
    rows = [("image", "label", "x0", "y0", "x1", "y1"), ("a.png", "cat", 1, 2, 3, 4), ("a.png", "dog", 5, 6, 7, 8)]
    rows.append(("b.png", "cat", 1, 2, "x", 4))
    photo(tmp_path / "b.png")
    with open(tmp_path / "boxes.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    first, second = read_samples(tmp_path)
    assert [(each.name, each.box) for each in first.annotations] == [("cat", Box(1, 2, 3, 4)), ("dog", Box(5, 6, 7, 8))]
    assert "boxes cannot be read" in str(second.error)


def test_a_mask_of_another_size_is_refused(tmp_path):
    photo(tmp_path / "a.png")
    Image.new("L", (5, 5), 255).save(tmp_path / "mask.png")
    (tmp_path / "boxes.csv").write_text("image,label,x0,y0,x1,y1,mask\na.png,cat,1,2,3,4,mask.png\n")
    (sample,) = read_samples(tmp_path)
    with pytest.raises(DeepInsideError, match="40 x 30"):
        marked_pixels(sample, sample.annotations, 40, 30)


def test_other_folders_name_what_was_looked_for(tmp_path):
    with pytest.raises(DeepInsideError, match=r"ILSVRC tree.*Pascal VOC.*COCO.*table"):
        read_samples(tmp_path)
    with pytest.raises(DeepInsideError, match="no such file or folder"):
        read_samples(tmp_path / "none")


def test_one_more_reader_is_one_entry_of_the_table(tmp_path, monkeypatch):
    def names(root):
        return iter([boxes.Sample(root / "a.jpg")]) if (root / "photos.txt").is_file() else None

    monkeypatch.setattr(boxes, "READERS", {**boxes.READERS, "a list (photos.txt)": names})
    with pytest.raises(DeepInsideError, match=r"columns image,label,x0,y0,x1,y1\), a list \(photos.txt\)$"):
        read_samples(tmp_path)
    (tmp_path / "photos.txt").write_text("")
    assert [sample.path for sample in read_samples(tmp_path)] == [tmp_path / "a.jpg"]


LABELS = Labels((("crane",), ("crane",), ("Washington, D.C.",), ("=cat & <dog>",)))


def explanation(seed):
    """Two objects of random classes with random masks, on a grid of the photo's own size."""
    random = np.random.default_rng(seed)
    frame, nothing = Frame.whole(60, 40, width=60, height=40), np.zeros((40, 60), dtype=bool)
    objects = []
    for index in random.permutation(len(LABELS))[:2].tolist():
        mask = nothing.copy()
        y, x = random.integers(0, 20, 2)
        mask[y : y + 15, x : x + 25] = random.random((15, 25)) < 0.7
        found = Segmentation(frame, mask, nothing, nothing, 0.0)
        objects.append(Detection(index, LABELS.name(index), None, 1.0, 0.5, frame, mask.astype(np.float32), found))
    return Explanation("photo", 60, 40, "net", "best", tuple(objects))


@pytest.mark.parametrize("layout", ["coco", "voc", "masks"])
def test_exports_are_read_back(tmp_path, layout):
    """Boxes, classes and masks of explanations, with the photos where they are."""
    names = ["a.jpg", "deep/er/b.png", "c, d.jpg", os.fsdecode(b"caf\xe9.jpg")]
    explanations = {name: explanation(number) for number, name in enumerate(names)}
    with exporting(tmp_path / "out", [layout]) as add:
        for name, each in explanations.items():
            photo(tmp_path / "photos" / name, (60, 40))
            add(tmp_path / "photos" / name, boxes.Path(name), each)
    samples = list(read_samples(tmp_path / "out" / layout))
    assert [sample.error for sample in samples] == [None] * 4
    for sample in samples:
        name = next(name for name in names if os.path.samefile(sample.path, tmp_path / "photos" / name))
        read = [(class_of(each, LABELS), each.box) for each in sample.on_photo(60, 40).annotations]
        assert read == [(each.index, each.box) for each in explanations[name].objects]
        if layout != "voc":  # which has masks of whole photos alone
            for annotation, expected in zip(sample.annotations, explanations[name].objects, strict=True):
                marked, void = marked_pixels(sample, [annotation], 60, 40)
                assert (marked == expected.mask).all()
                assert not void.any()


def test_what_is_not_quite_a_data_set_is_told(tmp_path):
    (tmp_path / "boxes.csv").write_text("file;xmin\na.jpg;1\n")
    (tmp_path / "coco.json").write_text("{")
    with pytest.raises(boxes.NoBoxesError, match=r"coco\.json: expected COCO .*; .*found the columns file,xmin$"):
        read_samples(tmp_path)
    with pytest.raises(DeepInsideError, match="expected a data set, found"):
        read_samples(tmp_path / ("x" * 300))
