"""COCO files as programs write them, and their masks."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coder

from deepinside.core.geometry import Box
from deepinside.data.boxes import marked_pixels
from deepinside.data.coco import read_coco
from deepinside.data.samples import NoBoxesError

POLYGON = {"bbox": [10, 5, 20, 10], "segmentation": [[10, 5, 30, 5, 30, 15, 10, 15]]}


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg")
    return tmp_path


def content(*annotations, images=None, categories=None):
    common = {"image_id": 1, "category_id": 1}
    return {
        "images": images or [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
        "categories": categories or [{"id": 1, "name": "dog"}],
        "annotations": [{"id": number, **common, **own} for number, own in enumerate(annotations)],
    }


def read(folder, content):
    (folder / "coco.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return list(read_coco(folder))


def block(x0, y0, x1, y1):
    mask = np.zeros((40, 60), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def compressed(mask):
    return {"size": [40, 60], "counts": coder.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()}


def listed(mask):
    pixels = mask.ravel(order="F").astype(int)
    return {"size": [40, 60], "counts": np.diff([0, *np.flatnonzero(np.diff(pixels, prepend=0)), pixels.size]).tolist()}


@pytest.mark.parametrize("stored", [compressed, listed])
def test_run_lengths_mark_objects_beside_polygons(folder, stored):
    other = {"bbox": [40, 20, 10, 10], "segmentation": stored(block(40, 20, 50, 30)), "iscrowd": 0}
    (sample,) = read(folder, content(POLYGON, other))
    marked, void = marked_pixels(sample, sample.annotations, 60, 40)
    assert (marked == (block(10, 5, 30, 15) | block(40, 20, 50, 30))).all()
    assert not void.any()


@pytest.mark.parametrize(
    "outline", [{}, {"segmentation": None}, {"segmentation": []}, {"segmentation": [[1, 2, 3, 4]]}]
)
def test_an_object_without_an_outline_beside_one_that_has_it_is_no_background(folder, outline):
    (sample,) = read(folder, content(POLYGON, {"bbox": [25, 10, 20, 10], **outline}))
    marked, void = marked_pixels(sample, sample.annotations, 60, 40)
    assert (marked == block(10, 5, 30, 15)).all()
    assert (void == block(25, 10, 45, 20) & ~marked).all()


def test_without_any_outline_nobody_marked_pixels(folder):
    (sample,) = read(folder, content({"bbox": [25, 10, 20, 10]}))
    assert marked_pixels(sample, sample.annotations, 60, 40) is None


@pytest.mark.parametrize("region", [{"segmentation": "listed"}, {}])
def test_crowds_are_void_and_no_objects(folder, region):
    crowd = {"bbox": [25, 10, 20, 10], "iscrowd": 1}
    if region:
        crowd["segmentation"] = listed(block(25, 10, 45, 20))
    (sample,) = read(folder, content(POLYGON, crowd))
    assert [each.box for each in sample.annotations] == [Box(10, 5, 30, 15)]
    marked, void = marked_pixels(sample, sample.annotations, 60, 40)
    assert (void == block(25, 10, 45, 20) & ~block(10, 5, 30, 15)).all()
    assert (marked == block(10, 5, 30, 15)).all()


def test_a_single_polygon_that_is_not_nested(folder):
    (sample,) = read(folder, content({**POLYGON, "segmentation": POLYGON["segmentation"][0]}))
    assert (marked_pixels(sample, sample.annotations, 60, 40)[0] == block(10, 5, 30, 15)).all()


@pytest.mark.parametrize(
    ("image", "annotation", "category"), [(1, "1", 1), ("1", 1, "1"), (1.0, 1, 1), ("x", "x", "y")]
)
def test_ids_are_numbers_in_one_place_and_text_in_another(folder, image, annotation, category):
    records = content({**POLYGON, "image_id": annotation, "category_id": category})
    records["images"][0]["id"] = image
    records["categories"][0]["id"] = category if isinstance(category, str) and category == "y" else 1
    (sample,) = read(folder, records)
    assert [each.name for each in sample.annotations] == ["dog"]


@pytest.mark.parametrize(("own", "message"), [
    ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "annotation 1: expected a polygon of pairs x, y, got 7 numbers"),
    ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "annotation 1: expected numbers"),
    ({"segmentation": [[1, 2, 3, 4, 5, None]]}, "annotation 1: "),
    ({"segmentation": [[1, 2, 3, 4, 5, [6]]]}, "annotation 1: "),
    ({"segmentation": "x"}, "annotation 1: expected its segmentation"),
    ({"segmentation": {"size": [40], "counts": [2400]}}, "annotation 1: expected run lengths with their size"),
    ({"segmentation": {"size": [40, 60], "counts": [2400.5]}}, "annotation 1: expected run lengths as numbers"),
    ({"segmentation": {"size": [40, 60], "counts": None}}, "annotation 1: expected run lengths as numbers"),
    ({"bbox": [1, 2, 3]}, "annotation 1: expected its bbox"),
    ({"bbox": None}, "annotation 1: expected its bbox"),
    ({"bbox": [1, 2, 3, 1e999]}, "annotation 1: expected numbers"),
    ({"bbox": [1, 2, 3, True]}, "annotation 1: expected numbers"),
    ({"bbox": [1, 2, 0, 5]}, "annotation 1: expected a box with an area"),
    ({"category_id": None}, "annotation 1: expected the id of a category, got None"),
    ({"category_id": 9}, "annotation 1: expected the id of a category, got 9"),
    ({"category_id": [1]}, "annotation 1: expected the id of a category"),
    ({"category_id": 8}, "annotation 1: expected a category with a name, got 8 without"),
])  # fmt: skip
def test_a_record_that_cannot_be_read_is_named_with_its_photo(folder, own, message):
    Image.new("RGB", (60, 40)).save(folder / "b.jpg")
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    records = content({**POLYGON, "image_id": 2}, {**POLYGON, **own}, images=images)
    records["categories"].append({"id": 8, "name": " "})
    first, second = read(folder, records)
    assert f"a.jpg: {message}" in str(first.error)
    assert "\n" not in str(first.error)
    assert second.error is None


def test_a_crowd_that_cannot_be_read_is_named(folder):
    (sample,) = read(folder, content(POLYGON, {"iscrowd": 1, "bbox": "x"}))
    assert "annotation 1: expected its bbox" in str(sample.error)


@pytest.mark.parametrize(("images", "message"), [
    ([{"id": 1, "file_name": 7}], "image 1: expected its file_name, got 7"),
    ([{"id": 1, "file_name": None}], "image 1: expected its file_name, got None"),
    ([{"file_name": "a.jpg"}], "image None: expected its id, got None"),
    ([{"id": [1], "file_name": "a.jpg"}], r"expected its id, got [1]"),
    ([7], "expected its id"),
    ([{"id": 1, "file_name": "x" * 300}], "found no such file"),
    ([{"id": 1, "file_name": "a\0.jpg"}], "found no such file"),
    ([{"id": 1, "file_name": "\ud800.jpg"}], "found no such file"),
])  # fmt: skip
def test_images_that_cannot_be_read_are_named(folder, images, message):
    (sample,) = read(folder, content(POLYGON, images=images))
    assert message in str(sample.error)


@pytest.mark.parametrize("image_id", [None, [1], {"a": 1}, True])
def test_an_annotation_of_no_image_is_named(folder, image_id):
    first, second = read(folder, content({**POLYGON, "image_id": image_id}, POLYGON))
    assert "annotation 0: expected the image_id of an image" in str(first.error)
    assert second.error is None


def test_annotations_on_a_photo_of_another_size_are_known(folder):
    (sample,) = read(folder, content(POLYGON, images=[{"id": 1, "file_name": "a.jpg", "width": 600, "height": 400}]))
    assert sample.size == (600, 400)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", '{"images": 5}', "7", '{"images": [], "annotations": []}'])
def test_files_that_are_none_are_told_in_one_line(folder, text):
    (folder / "coco.json").write_text(text)
    with pytest.raises(NoBoxesError, match=r"coco\.json: expected COCO") as refused:
        read_coco(folder / "coco.json")
    assert "\n" not in str(refused.value)


def test_another_file_that_cannot_be_read_does_not_stop_the_run(folder):
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_val2017.json").write_bytes(b"\xff\xfe\xff{")
    assert read(folder, content(POLYGON))[0].error is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings(folder, encoding):
    records = content(POLYGON, categories=[{"id": 1, "name": "caf\u00e9"}])
    (folder / "coco.json").write_bytes(json.dumps(records, ensure_ascii=False).encode(encoding))
    (sample,) = read_coco(folder)
    assert sample.annotations[0].name == "caf\u00e9"


def test_whole_numbers_may_be_written_as_fractions(folder):
    stored = {key: [float(value) for value in values] for key, values in listed(block(40, 20, 50, 30)).items()}
    (sample,) = read(folder, content({"bbox": [40, 20, 10, 10], "segmentation": stored}))
    assert (marked_pixels(sample, sample.annotations, 60, 40)[0] == block(40, 20, 50, 30)).all()


@pytest.mark.parametrize(
    ("written", "is_crowd"), [("0", False), (0.0, False), (False, False), ("1", True), (True, True)]
)
def test_crowds_are_known_by_the_number_also_as_text(folder, written, is_crowd):
    (sample,) = read(folder, content(POLYGON, {**POLYGON, "iscrowd": written}))
    assert (len(sample.annotations), len(sample.ignored)) == ((1, 1) if is_crowd else (2, 0))


@pytest.mark.parametrize("points", [
    [[10, 5], [30, 5], [30, 15]], [[[10, 5], [30, 5], [30, 15]]], [{"size": [40, 60], "counts": []}],
])  # fmt: skip
def test_outlines_of_another_form_are_refused_and_not_left_out(folder, points):
    (sample,) = read(folder, content({"bbox": [10, 5, 20, 10], "segmentation": points}))
    assert "annotation 0: expected" in str(sample.error)


def test_a_category_may_list_classes_of_imagenet(folder):
    categories = [{"id": 1, "name": "dog", "imagenet": [151, 152]}, {"id": 2, "name": "person", "imagenet": []}]
    (sample,) = read(folder, content(POLYGON, {**POLYGON, "category_id": 2}, categories=categories))
    assert [(each.name, each.imagenet) for each in sample.annotations] == [("dog", (151, 152)), ("person", ())]


@pytest.mark.parametrize("listed", [5, "151", [1000], [-1], [True], [1.5], ["n02085620"], {}])
def test_other_lists_of_imagenet_classes_are_told(folder, listed):
    (sample,) = read(folder, content(POLYGON, categories=[{"id": 1, "name": "dog", "imagenet": listed}]))
    assert "annotation 0: expected its category's imagenet as a list of 0 to 999, got" in str(sample.error)


@pytest.mark.parametrize("main", [2, "2", 2.0, "cat"])
def test_an_image_may_be_about_one_category(folder, main):
    """Objects and crowds of the others are left out, also those that cannot be read."""
    images = [{"id": 1, "file_name": "a.jpg", "main_category": main}]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    cat, crowd = {**POLYGON, "category_id": 2}, {**POLYGON, "iscrowd": 1}
    records = content(POLYGON, cat, crowd, {**crowd, "category_id": 2}, {"bbox": None}, images=images,
                      categories=categories)  # fmt: skip
    (sample,) = read(folder, records)
    assert sample.error is None
    assert [each.name for each in (*sample.annotations, *sample.ignored)] == ["cat", "cat"]


@pytest.mark.parametrize("main", [7, "bird", [1], True])
def test_an_image_about_no_category_is_told(folder, main):
    (sample,) = read(folder, content(POLYGON, images=[{"id": 1, "file_name": "a.jpg", "main_category": main}]))
    assert "a.jpg: expected the id or the name of a category as its main_category, got" in str(sample.error)


def test_an_id_of_two_photos_is_refused_for_both(folder):
    Image.new("RGB", (60, 40)).save(folder / "b.jpg")
    images = [{"id": 1, "file_name": name, "width": 60, "height": 40} for name in ("a.jpg", "b.jpg")]
    assert all("an id of its own" in str(sample.error) for sample in read(folder, content(POLYGON, images=images)))
