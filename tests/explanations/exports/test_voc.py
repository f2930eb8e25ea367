"""Pascal VOC, read back by torchvision."""

from xml.etree import ElementTree

import torchvision

from deepinside.explanations.export import export
from exported import corners, items_of


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
