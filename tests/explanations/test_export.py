"""Every format is read back by the tools that people open it with, and compared with what was written."""

import csv
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import find_photos, read
from deepinside.core.results import Detection, Explanation, Segmentation
from deepinside.explanations.export import FORMATS, brush_rle, coco_rle, export, exporting

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))
LABELS = {281: "tabby", 0: 'cup & "saucer" <hot>: ünï 猫 😀', 7: "crane", 8: "crane"}


def detection(
    index: int, mask: np.ndarray, frame: Frame, label: str | None = None, confidence: float = 0.75
) -> Detection:
    empty = np.zeros_like(mask)
    label = LABELS.get(index, f"c{index}") if label is None else label
    found = Segmentation(frame, mask, mask, empty, 0.0, confidence=confidence)
    return Detection(index, label, f"n{index:08d}", 1.5, 0.1 + index / 1000, frame, mask.astype(np.float32), found)


def explanation(path: Path, classes=(281,), seed: int = 0) -> Explanation:
    """Masks of one blob each, on a small grid over the central square of the photo. A class may stand there twice."""
    photo = read(path)
    frame = Frame.center(photo.width, photo.height, width=14, height=14)
    generator = np.random.default_rng(seed)
    objects = []
    for number, index in enumerate(classes):
        mask = np.zeros((14, 14), dtype=bool)
        y, x = generator.integers(0, 9, 2)
        mask[y : y + 5, x : x + 4] = generator.random((5, 4)) < 0.7
        mask[y, x] = True
        objects.append(detection(index, mask, frame, confidence=0.75 / (1 + number)))
    return Explanation(str(path), photo.width, photo.height, "lite0", "paper", tuple(objects))


def save_photo(path: Path, width: int, height: int, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    """One stem in two folders, names with everything in them, a portrait that EXIF turns, a GIF."""
    folder = tmp_path / "my photos"
    turned = Image.Exif()
    turned[274] = 6
    save_photo(folder / "tom.jpg", 64, 48)
    save_photo(folder / "cats" / "tom.jpg", 50, 70)
    save_photo(folder / "cats" / 'Ünï 猫 & <"quote"> \' #100% +1 a.b.png', 33, 31)
    save_photo(folder / "portrait.jpg", 80, 40, exif=turned)
    save_photo(folder / "still.gif", 40, 40)
    return folder


def items_of(folder: Path, classes=(281, 281, 0)):
    return [(path, name, explanation(path, classes, seed)) for seed, (path, name) in enumerate(find_photos([folder]))]


def corners(seen: Detection) -> tuple[int, ...]:
    """The box found the slow way, from the mask."""
    y, x = np.nonzero(seen.mask)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# COCO


def slow_coco_decode(text: str, height: int, width: int) -> np.ndarray:
    """`rleFrString` and `rleDecode` of cocoapi's common/maskApi.c, byte by byte."""
    counts: list[int] = []
    position = 0
    while position < len(text):
        value = shift = 0
        more = True
        while more:
            group = ord(text[position]) - 48
            value |= (group & 31) << shift
            more = bool(group & 32)
            position, shift = position + 1, shift + 5
            if not more and group & 16:
                value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    pixels = [bit % 2 == 1 for bit, count in enumerate(counts) for _ in range(count)]
    return np.array(pixels, dtype=bool).reshape(width, height).T


@given(MASKS)
def test_coco_run_lengths_say_the_mask(mask):
    assert np.array_equal(slow_coco_decode(coco_rle(mask), *mask.shape), mask)


@given(MASKS)
def test_coco_run_lengths_are_those_of_pycocotools(mask):
    coder = pytest.importorskip("pycocotools.mask", reason="pycocotools, the reference, is not installed")
    expected = coder.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert coco_rle(mask) == expected


def test_long_runs_survive_both_run_lengths():
    mask = np.zeros((700, 900), dtype=bool)
    mask[50:, 10:-3] = True
    assert np.array_equal(slow_coco_decode(coco_rle(mask), *mask.shape), mask)
    full = np.ones((300, 400), dtype=bool)
    for picture in (mask, full, ~full):
        assert np.array_equal(slow_brush_decode(brush_rle(picture), *picture.shape), picture)


# pycocotools predates numpy 2
old_pycocotools = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


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


# Pascal VOC


def test_voc_is_read_by_torchvision_with_pixels_from_one_to_the_last_inside(photos, tmp_path):
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", "voc")
    for image_set in ("train", "trainval"):
        data = torchvision.datasets.VOCDetection(folder, year="2012", image_set=image_set)
        assert len(data) == len(items)
        for (image, target), (path, _, seen) in zip(data, items, strict=True):
            note = target["annotation"]
            assert image.size == (seen.width, seen.height), "the picture in the layout is upright"
            assert note["size"] == {"width": str(seen.width), "height": str(seen.height), "depth": "3"}
            assert note["path"] == str(path)
            assert len(note["object"]) == len(seen.objects)
            for found, expected in zip(note["object"], seen.objects, strict=True):
                x0, y0, x1, y1 = corners(expected)
                bounds = {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1}
                assert {key: int(value) for key, value in found["bndbox"].items()} == bounds
                assert found["name"] == expected.label
                assert float(found["score"]) == expected.confidence
                assert float(found["probability"]) == expected.probability


def test_voc_file_name_is_the_picture_beside_it(photos, tmp_path):
    (folder,) = export(items_of(photos), tmp_path / "out", "voc")
    root = folder / "VOCdevkit" / "VOC2012"
    documents = sorted((root / "Annotations").glob("*.xml"))
    assert len(documents) == 5
    for document in documents:
        picture = root / "JPEGImages" / ElementTree.parse(document).findtext("filename", "")
        assert picture.stem == document.stem
        assert picture.is_file()


# YOLO


def read_yolo(folder: Path):
    """What ultralytics does (ultralytics/data/utils.py): pictures of a folder, `/images/` -> `/labels/`."""
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads data.yaml, is not installed")
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert sorted(data["names"]) == list(range(len(data["names"])))
    suffixes = {"bmp", "dng", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"}
    found = {}
    for split in ("train", "val"):
        for picture in sorted((folder / data[split]).rglob("*.*")):
            if picture.suffix.lower()[1:] in suffixes:
                before, _, after = str(picture).rpartition("/images/")
                label = Path(f"{before}/labels/{after}".rsplit(".", 1)[0] + ".txt")
                rows = [line.split() for line in label.read_text(encoding="utf-8").splitlines()]
                assert all(len(row) == 5 for row in rows)
                found[picture] = [(data["names"][int(row[0])], [float(v) for v in row[1:]]) for row in rows]
    return found


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


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_label_survives_yaml_xml_and_json(tmp_path_factory, labels):
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads data.yaml, is not installed")
    place = tmp_path_factory.mktemp("labels")
    path = save_photo(place / "a.png", 20, 20)
    frame = Frame.whole(20, 20, width=2, height=2)
    mask = np.array([[True, False], [False, False]])
    seen = tuple(detection(1000 + i, mask, frame, label) for i, label in enumerate(labels))
    export([(path, Path("a.png"), Explanation("a", 20, 20, "m", "p", seen))], place / "out", FORMATS)
    names = list(yaml.safe_load((place / "out/yolo/data.yaml").read_text(encoding="utf-8"))["names"].values())
    assert [c["name"] for c in json.loads((place / "out/coco/annotations.json").read_text())["categories"]] == names
    document = ElementTree.parse(place / "out/voc/VOCdevkit/VOC2012/Annotations/a.xml")
    assert [item.text for item in document.iterfind("object/name")] == names
    config = ElementTree.parse(place / "out/labelstudio/config.xml")
    assert [item.get("value") for item in config.iterfind("BrushLabels/Label")] == names
    assert len(set(names)) == len(names)
    for name, label in zip(names, labels, strict=True):
        if label.isprintable() and label.strip() and labels.count(label) == 1:
            assert name == label.strip()


# Label Studio


def slow_brush_decode(data: list[int], height: int, width: int) -> np.ndarray:
    """thi.ng's rle-pack, bit by bit, as the comment on top of label_studio_sdk/converter/brush.py has it."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position = 0

    def take(size: int) -> int:
        nonlocal position
        position += size
        return int(bits[position - size : position], 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        run = take(1)
        length = take(sizes[take(2)]) + 1
        values += [take(word)] * length if run else [take(word) for _ in range(length)]
    picture = np.array(values).reshape(height, width, 4)
    assert (picture == picture[..., :1]).all()
    assert set(np.unique(picture)) <= {0, 255}
    return picture[..., 3] == 255


def converter_brush():
    """Label Studio's own decoder: its file alone, since the whole SDK wants a server's dependencies."""
    spec = find_spec("label_studio_sdk")
    if spec is None or spec.origin is None:
        pytest.skip("label-studio-sdk, whose decoder is the reference, is not installed")
    file = Path(spec.origin).parent / "converter" / "brush.py"
    module_spec = spec_from_file_location("label_studio_brush", file)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


@given(MASKS)
def test_brush_run_lengths_say_the_mask(mask):
    assert np.array_equal(slow_brush_decode(brush_rle(mask), *mask.shape), mask)


@settings(deadline=None)
@given(MASKS)
def test_brush_run_lengths_are_read_by_label_studios_decoder(mask):
    decoded = converter_brush().decode_rle(brush_rle(mask)).reshape(*mask.shape, 4)
    assert np.array_equal(decoded[:, :, 3] == 255, mask)
    assert set(np.unique(decoded)) <= {0, 255}


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


# Masks


def test_mask_pictures_are_the_masks_and_the_index_describes_them(photos, tmp_path):
    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", "masks")
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(path, name, seen) for path, name, result in items for seen in result.objects]
    assert len({row["mask"] for row in rows}) == len(rows) == len(expected)
    for row, (path, name, seen) in zip(rows, expected, strict=True):
        with Image.open(folder / row["mask"]) as picture:
            assert picture.mode == "L"
            assert np.array_equal(np.asarray(picture), seen.mask * np.uint8(255))
        assert (row["photo"], row["path"]) == (name.as_posix(), str(path))
        assert (row["label"], row["wnid"], int(row["index"])) == (seen.label, seen.wnid, seen.index)
        assert (float(row["probability"]), float(row["confidence"])) == (seen.probability, seen.confidence)
        assert tuple(int(row[key]) for key in ("x0", "y0", "x1", "y1")) == corners(seen)
    assert {file.name for file in (folder / "masks" / "cats").glob("tom*")} == {
        "tom-281.png",
        "tom-281-2.png",
        "tom-0.png",
    }


def test_mask_pictures_of_any_objects_and_photos_have_names_of_their_own(tmp_path):
    """Also where the second object of a class and another photo would have the same."""
    names = ["tom-281.png", "tom.png", "TOM.png", "tom-281-2.png"]
    items = []
    for number, name in enumerate(names):
        path = save_photo(tmp_path / f"{number}.png", 20, 20)
        items.append((path, Path(name), explanation(path, (281, 281, 281, 2, 2), number)))
    (folder,) = export(items, tmp_path / "out", "masks")
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mask"] for row in rows[5:10]] == [
        "masks/tom-281.png", "masks/tom-281-2-3.png", "masks/tom-281-3.png", "masks/tom-2.png", "masks/tom-2-2.png",
    ]  # fmt: skip
    assert len({row["mask"].casefold() for row in rows}) == len(rows) == 20
    for row, (_, _, seen), number in zip(
        rows, [item for item in items for _ in range(5)], list(range(5)) * 4, strict=True
    ):
        with Image.open(folder / row["mask"]) as picture:
            assert np.array_equal(np.asarray(picture) > 0, seen.objects[number].mask)


# supervision reads three of the formats


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
def test_supervision_reads_the_same_boxes(format, photos, tmp_path):
    pytest.importorskip("supervision", reason="supervision, the reader, is not installed")
    from supervision import DetectionDataset

    items = items_of(photos)
    (folder,) = export(items, tmp_path / "out", format)
    root = folder / "VOCdevkit" / "VOC2012"
    data = {
        "coco": lambda: DetectionDataset.from_coco(str(photos), str(folder / "annotations.json")),
        "voc": lambda: DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations")),
        "yolo": lambda: DetectionDataset.from_yolo(
            str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml")
        ),
    }[format]()
    found = sorted(
        (data.classes[number], *np.round(box, 3).tolist())
        for _, _, seen in data
        for number, box in zip(seen.class_id, seen.xyxy, strict=True)
    )
    assert found == sorted((seen.label, *corners(seen)) for _, _, e in items for seen in e.objects)


# Names, folders, failures


def test_nothing_is_lost_when_names_collide_and_the_photos_stay_as_they_are(photos, tmp_path):
    items = items_of(photos, classes=(281,))
    path, _, seen = items[0]
    names = [
        "cats/tom.jpg",
        "cats__tom.jpg",
        "Cats/Tom.jpg",
        "cats/tom.jpg",
        "../../../etc/tom.jpg",
        "/tom.jpg",
    ]
    names += [f"{'é' * 120}.jpg", f"{'é' * 119}è.jpg", "line\nbreak.jpg", " .jpg", "e\u0301.jpg", "é.jpg"]
    before = contents(photos)
    export([(path, Path(name), seen) for name in names], tmp_path / "out", FORMATS)
    assert contents(photos) == before
    assert sorted(place.name for place in tmp_path.iterdir()) == ["my photos", "out"]
    for pattern in ("voc/**/*.xml", "voc/**/*.jpg", "yolo/images/*", "yolo/labels/*", "masks/**/*.png"):
        found = [str(file).casefold() for file in (tmp_path / "out").glob(pattern)]
        assert len(set(found)) == len(found) == len(names), pattern
    data = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert len({image["file_name"] for image in data["images"]}) == len(names)
    lines = (tmp_path / "out/voc/VOCdevkit/VOC2012/ImageSets/Main/train.txt").read_text("utf-8").splitlines()
    assert len(set(lines)) == len(names)
    assert len(torchvision.datasets.VOCDetection(tmp_path / "out/voc")[8]) == 2


def test_a_name_that_is_not_unicode_spoils_no_file(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        save_photo(path, 20, 20)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes Unicode names only")
    export([(path, Path(path.name), explanation(path))], tmp_path / "out", FORMATS)
    for file in (tmp_path / "out").rglob("*"):
        if file.suffix in {".json", ".xml", ".yaml", ".csv", ".txt"}:
            text = file.read_text("utf-8")
            assert not re.search(r"\\ud[c-f]", text)
    (task,) = json.loads((tmp_path / "out/labelstudio/tasks.json").read_text())
    assert task["data"]["image"].endswith("caf%E9.png")


def test_upright_photos_are_linked_and_rotated_ones_written_upright(photos, tmp_path):
    export(items_of(photos), tmp_path / "out", ["voc", "yolo"])
    for folder in (tmp_path / "out/voc/VOCdevkit/VOC2012/JPEGImages", tmp_path / "out/yolo/images"):
        assert (folder / "tom.jpg").is_symlink()
        assert (folder / "tom.jpg").samefile(photos / "tom.jpg")
        assert not (folder / "portrait.jpg").is_symlink()
        with Image.open(folder / "portrait.jpg") as image:
            assert image.size == (40, 80)
            assert image.getexif().get(274) is None
            difference = np.asarray(image).astype(int) - read(photos / "portrait.jpg").pixels
            assert abs(difference).mean() < 12


def test_photos_are_copied_where_links_are_not_to_be_had(photos, tmp_path, monkeypatch):
    def refuse(self, target, target_is_directory=False):
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    export(items_of(photos), tmp_path / "out", "yolo")
    copy = tmp_path / "out/yolo/images/tom.jpg"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (photos / "tom.jpg").read_bytes()


def test_the_same_items_give_the_same_bytes(photos, tmp_path):
    for place in ("a", "b"):
        export(items_of(photos), tmp_path / place, FORMATS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not [name for name in contents(tmp_path / "a") if name.endswith(".part")]


def test_items_are_taken_one_by_one(photos, tmp_path):
    taken = []

    def items():
        for path, name in find_photos([photos]):
            done = len(list((tmp_path / "out" / "yolo" / "labels").glob("*.txt")))
            assert done == len(taken)
            taken.append(name)
            yield path, name, explanation(path)

    export(items(), tmp_path / "out", FORMATS)
    assert len(taken) == 5


def test_an_interrupted_run_keeps_what_it_had_done(photos, tmp_path):
    items = items_of(photos)

    def interrupted():
        yield from items[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(interrupted(), tmp_path / "out", FORMATS)
    export(items[:2], tmp_path / "two", FORMATS)
    assert contents(tmp_path / "out") == contents(tmp_path / "two")


def test_no_photos_give_empty_documents_that_read(tmp_path, capsys):
    export([], tmp_path / "out", FORMATS)
    data = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert (data["images"], data["annotations"], data["categories"]) == ([], [], [])
    assert json.loads((tmp_path / "out/labelstudio/tasks.json").read_text()) == []
    assert (tmp_path / "out/yolo/data.yaml").read_text() == "train: images\nval: images\nnames: []\n"


def test_an_unknown_format_is_named_with_the_nearest_before_anything_is_written(tmp_path):
    with pytest.raises(DeepInsideError, match=r"got 'yollo'; did you mean yolo"):
        export([], tmp_path / "out", ["coco", "yollo"])
    assert not (tmp_path / "out").exists()


def test_a_format_asked_for_twice_is_written_once(tmp_path):
    assert export([], tmp_path / "out", ["coco", "coco"]) == [tmp_path / "out" / "coco"]


def test_a_folder_with_something_in_it_is_left_alone(photos, tmp_path):
    items = items_of(photos)
    export(items, tmp_path / "out", "voc")
    before = contents(tmp_path / "out")
    with pytest.raises(DeepInsideError, match="new or empty folder"):
        export(items, tmp_path / "out", ["coco", "voc"])
    assert {name: data for name, data in contents(tmp_path / "out").items() if name in before} == before


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(format, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeepInsideError, match=r"file.*Not a directory|exists"):
        export([], tmp_path / "file", format)


@pytest.mark.parametrize("format", list(FORMATS))
def test_an_explanation_without_boxes_is_an_error_and_leaves_no_trace(format, photos, tmp_path):
    (path, name), *_ = find_photos([photos])
    seen = explanation(path)
    (one,) = seen.objects
    bare = Detection(one.index, one.label, one.wnid, one.score, one.probability, one.frame, one.map, None)
    with (
        exporting(tmp_path / "out", format) as add,
        pytest.raises(DeepInsideError, match="saliency alone"),
    ):
        add(path, name, Explanation(seen.name, seen.width, seen.height, seen.model, seen.preset, (bare,)))
    files = [file for file in contents(tmp_path / "out") if Path(file).suffix in {".jpg", ".png", ".xml", ".txt"}]
    assert all(Path(file).name in {"config.xml", "train.txt", "trainval.txt"} for file in files)


@pytest.mark.parametrize("format", ["voc", "yolo"])
def test_a_photo_that_is_gone_is_an_error_of_one_line(format, photos, tmp_path):
    items = items_of(photos)
    (photos / "tom.jpg").unlink()
    with pytest.raises(DeepInsideError, match=r"tom\.jpg.*No such file"):
        export(items, tmp_path / "out", format)


def test_a_full_disk_is_an_error_of_one_line(photos, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    items = items_of(photos)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DeepInsideError, match=r"No space left") as caught:
        export(items, tmp_path / "out", "masks")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").rglob("*.png"))


HOSTILE = [
    "<script>alert(1)</script>", "$x$", '=HYPERLINK("http://a.b")', "\x1b[31mred", "../../etc/passwd", "nul\x00l",
    "two\nlines", "CON", "trailing dot.", "\u202egnp.exe", "lone \udce9 \ud800", "{{ 7*7 }}", "[bold]", "a: b # c",
]  # fmt: skip


def test_hostile_labels_are_the_same_in_every_format_and_act_nowhere(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads data.yaml, is not installed")
    path = save_photo(tmp_path / "a.png", 20, 20)
    mask = np.array([[True, False], [False, False]])
    frame = Frame.whole(20, 20, width=2, height=2)
    seen = tuple(detection(index, mask, frame, label) for index, label in enumerate(HOSTILE))
    out = tmp_path / "out"
    export([(path, Path("a.png"), Explanation("a", 20, 20, "m\udce9", "p", seen))], out, FORMATS)
    expected = [
        "<script>alert(1)</script>", "$x$", '=HYPERLINK("http://a.b")', r"\x1b[31mred", "../../etc/passwd", r"nul\x00l",
        r"two\nlines", "CON", "trailing dot.", r"\u202egnp.exe", r"lone \xe9 \ud800", "{{ 7*7 }}", "[bold]", "a: b # c",
    ]  # fmt: skip
    document = ElementTree.parse(out / "voc/VOCdevkit/VOC2012/Annotations/a.xml")
    config = ElementTree.parse(out / "labelstudio/config.xml")
    (task,) = json.loads((out / "labelstudio/tasks.json").read_bytes())
    with (out / "masks/index.csv").open(encoding="utf-8", newline="") as file:
        cells = [row["label"] for row in csv.DictReader(file)]
    assert [each["name"] for each in json.loads((out / "coco/annotations.json").read_bytes())["categories"]] == expected
    assert [each.text for each in document.iterfind("object/name")] == expected
    assert list(yaml.safe_load((out / "yolo/data.yaml").read_bytes())["names"].values()) == expected
    assert [each.get("value") for each in config.iterfind("BrushLabels/Label")] == expected
    assert [each["result"][1]["value"]["brushlabels"][0] for each in task["predictions"]] == expected
    assert [cell.removeprefix("'") for cell in cells] == expected
    assert all(not cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_photos_of_hostile_names_are_found_again(tmp_path):
    """Names as long as the file system allows, names that other systems forbid, and names of several lines."""
    names = ["x" * 251 + ".png", "\u67f4" * 83 + ".png", "=1+1.png", "a\nb.png", "CON.png", "a:b?.png", "\x1b[31m.png"]
    paths = [save_photo(tmp_path / "photos" / name, 20, 20) for name in names]
    out = tmp_path / "out"
    export([(path, Path(path.name), explanation(path)) for path in paths], out, FORMATS)
    found = {image["file_name"] for image in json.loads((out / "coco/annotations.json").read_text())["images"]}
    assert found == set(names)
    with (out / "masks/index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all((out / "masks" / row["mask"]).is_file() for row in rows)
    assert [row["path"] for row in rows] == [str(path).replace("\x1b", r"\x1b") for path in paths]
    written = [file for file in out.rglob("*") if file.is_file()]
    assert all(file.name.isprintable() and not set(file.name) & set('<>:"|?*\\') for file in written)
    assert len(torchvision.datasets.VOCDetection(out / "voc")) == len(names)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
from test_export import items_of
from deepinside.explanations.export import FORMATS, exporting
items = items_of(Path(sys.argv[2]))
with exporting(Path(sys.argv[3]), FORMATS) as add:
    for number in range(100):
        path, name, seen = items[number % len(items)]
        add(path, name, seen)
        print(number, flush=True)
"""


@old_pycocotools
def test_a_killed_run_leaves_complete_files_of_all_that_it_told_and_can_be_started_again(photos, tmp_path, capsys):
    reader = pytest.importorskip("pycocotools.coco", reason="pycocotools, the reader, is not installed")
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(photos), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for _ in range(8):
            process.stdout.readline()
        process.kill()
        told = 8 + len([line for line in process.stdout if line.endswith(b"\n")])
    assert told < 100
    data = reader.COCO(str(out / "coco" / "annotations.json"))
    assert told <= len(data.dataset["images"]) <= told + 1
    assert len(data.dataset["annotations"]) == 3 * len(data.dataset["images"])
    assert len(torchvision.datasets.VOCDetection(out / "voc")) >= told
    assert len(read_yolo(out / "yolo")) >= told
    assert len(json.loads((out / "labelstudio" / "tasks.json").read_text())) >= told
    with (out / "masks" / "index.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) >= 3 * told
    items = items_of(photos)[:2]
    export(items, out, FORMATS)
    export(items, tmp_path / "uninterrupted", FORMATS)
    assert contents(out) == contents(tmp_path / "uninterrupted")
