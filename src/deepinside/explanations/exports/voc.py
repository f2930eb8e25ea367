"""Pascal VOC: one XML file for each photo, in the layout of the development kit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from deepinside.core import escape
from deepinside.core.results import Explanation
from deepinside.explanations.exports.documents import element, xml
from deepinside.explanations.exports.growing import growing
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names, class_names, flat
from deepinside.explanations.exports.objects import corners, reviewed, scores
from deepinside.explanations.exports.photos import link
from deepinside.explanations.exports.writers import Add


@contextmanager
def voc(manifest: Manifest, known: Names) -> Iterator[Add]:
    """Pascal VOC, as torchvision, labelImg and CVAT read it: `VOCdevkit/VOC2012/Annotations` and so on.

    Pixels are counted from (1, 1), and `xmax` and `ymax` are the last pixels inside (VOC2012 development kit), so the
    half-open box (x0, y0, x1, y1) becomes (x0 + 1, y0 + 1, x1, y1). The layout has one flat folder of `.jpg` files:
    folders in a photo's name become `__`, and a PNG is also linked as `.jpg`, since readers go by the content.
    `train.txt` and `trainval.txt` list all photos. Each object has a `score` and a `probability`, and a photo perhaps a
    `review`, which other readers ignore.
    """
    root = manifest.folder / "VOCdevkit" / "VOC2012"
    names = dict(known)
    lists = [root / "ImageSets" / "Main" / f"{name}.txt" for name in ("train", "trainval")]
    with growing(manifest, lists[0], "") as train, growing(manifest, lists[1], "") as trainval:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            entry = manifest.number(photo)
            stem = manifest.name(entry, Path(flat(name))).name
            document = _voc_document(f"{stem}.jpg", photo, explanation, class_names(explanation, names))
            link(manifest, photo, root / "JPEGImages", stem, ".jpg")
            manifest.write(root / "Annotations" / f"{stem}.xml", xml(document))
            for listed in (train, trainval):
                if listed.lacks(entry):
                    listed.append(f"{stem}\n", entry)

        yield add


def _voc_document(file_name: str, photo: Path, explanation: Explanation, labels: list[str]) -> ElementTree.Element:
    document = element(
        "annotation",
        folder="JPEGImages",
        filename=file_name,
        path=escape.xml(os.path.abspath(photo)),
        source=element("source", database="deepinside"),
        size=element("size", width=explanation.width, height=explanation.height, depth=3),
        segmented=0,
        **reviewed(explanation),
    )
    for detection, label in zip(explanation.objects, labels, strict=True):
        x0, y0, x1, y1 = corners(detection)
        bounds = element("bndbox", xmin=x0 + 1, ymin=y0 + 1, xmax=x1, ymax=y1)
        fields = {"name": label, "pose": "Unspecified", "truncated": 0, "difficult": 0, "bndbox": bounds}
        document.append(element("object", **fields, **scores(detection)))
    return document
