"""What people take along, read back by what they will open it with; nothing in it says where it was made."""

import getpass
import json
import socket
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from deepinside.core.errors import DeepInsideError
from deepinside.studio.take import KINDS, taken
from deepinside.studio.wish import Wish
from exported import old_pycocotools, slow_brush_decode


@pytest.fixture
def found(desk, photo):
    return desk.explanation(Wish(photo, "colors", target=0))


def image_of(file):
    assert file.kind == "image/png"
    image = Image.open(BytesIO(file.content))
    assert image.format == "PNG"
    return np.asarray(image)


def test_the_picture_is_the_overlay(found):
    assert (image_of(taken("picture", found, "a.png")) == np.asarray(found.overlay(1.0))).all()


def test_the_mask_is_that_of_all_objects(found):
    assert (image_of(taken("mask", found, "a.png")) > 127).tolist() == sum(each.mask for each in found.objects).astype(
        bool
    ).tolist()


def test_the_sheet_is_that_of_the_command(found):
    sheet = image_of(taken("sheet", found, "a.png"))
    assert min(sheet.shape[:2]) > 100
    assert sheet.std() > 10


@old_pycocotools
def test_coco_is_read_by_its_own_tools(found, tmp_path):
    file = taken("coco", found, "my photo.png")
    assert file.kind == "application/json"
    (tmp_path / file.name).write_bytes(file.content)
    coco = COCO(tmp_path / file.name)
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("my photo.png", 64, 48)
    objects = coco.loadAnns(coco.getAnnIds())
    assert len(objects) == len(found.objects)
    for each, mine in zip(objects, found.objects, strict=True):
        assert coco.loadCats(each["category_id"])[0]["name"] == mine.label
        assert (coco.annToMask(each) == mine.mask).all()
        x0, y0, x1, y1 = mine.box.as_tuple()
        assert each["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert coco_mask.area(coco.annToRLE(each)) == mine.mask.sum()


def test_label_studio_gets_one_task_with_the_masks(found):
    (task,) = json.loads(taken("labelstudio", found, "my photo.png").content)
    results = task["predictions"][0]["result"]
    masks = [each for each in results if "rle" in each["value"]]
    assert len(masks) == len(found.objects)
    for each, mine in zip(masks, found.objects, strict=True):
        decoded = slow_brush_decode(each["value"]["rle"], 48, 64)
        assert (decoded == mine.mask).all()


NAMES = ["../../etc/passwd", "/etc/cron.d/x.jpg", "a\nb.png", "<b>.png", "\u732b", ".png"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [*((kind, "my photo.png") for kind in KINDS), *((kind, name) for kind in ("mask", "coco") for name in NAMES)],
)
def test_files_are_named_after_the_photo_and_say_nothing_of_this_machine(found, kind, name):
    file = taken(kind, found, name)
    assert file.name.startswith(Path(name).stem)
    assert "/" not in file.name
    for private in (str(Path.cwd()), str(Path.home()), "/tmp", "/etc", f"/{getpass.getuser()}/", socket.gethostname()):
        assert private.encode() not in file.content


def test_another_kind_is_told(found, unchecked):
    for other in ("", "yolo", "../mask", "Mask"):
        with pytest.raises(DeepInsideError, match="a file"):
            taken(other, found, "a.png")
