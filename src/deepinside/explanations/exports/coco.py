"""COCO: `annotations.json` with boxes, masks as compressed run lengths, and scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepinside.core import escape
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.exports.documents import json_line, lines
from deepinside.explanations.exports.growing import growing
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names, absolute, below, class_names
from deepinside.explanations.exports.objects import corners, reviewed, scores, version_of
from deepinside.explanations.exports.run_lengths import coco_rle
from deepinside.explanations.exports.writers import Add


@contextmanager
def coco(manifest: Manifest, known: Names) -> Iterator[Add]:
    """`annotations.json`: boxes, masks as compressed run lengths, scores (https://cocodataset.org/#format-data).

    `file_name` is relative to the folder that was searched, which is the image root that readers ask for; for photos
    from several folders, `path` is the absolute path. Category ids are class indices. An annotation also has
    a `score` and a `probability`, and an image perhaps a `review`.
    """
    images: list[str] = []
    names = dict(known)
    written = 0
    head = '{"info": {"description": "Boxes and masks by deepinside"}, "licenses": [], "annotations": ['

    def tail() -> str:
        categories = [json_line(id=index, name=names[index], supercategory="") for index in sorted(names)]
        return "\n],\n" + f'"images": [\n{lines(images)}\n],\n"categories": [\n{lines(categories)}\n]}}\n'

    with growing(manifest, manifest.folder / "annotations.json", head, tail) as grown:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            nonlocal written
            entry, version = manifest.number(photo), version_of(explanation)
            file_name = manifest.name(entry, Path(escape.encodable(below(name).as_posix())))
            class_names(explanation, names)
            if not grown.lacks(entry, version):
                return
            records = []
            for number, detection in enumerate(explanation.objects, start=written + 1):
                records.append(json_line(id=number, image_id=len(images) + 1, **_coco_object(detection)))
            images.append(
                json_line(
                    id=len(images) + 1,
                    file_name=file_name.as_posix(),
                    width=explanation.width,
                    height=explanation.height,
                    path=absolute(photo),
                    **reviewed(explanation),
                )
            )
            separator = ",\n" if written else "\n"
            written += len(records)
            grown.append(separator + lines(records) if records else "", entry, version)

        yield add


def _coco_object(detection: Detection) -> dict[str, Any]:
    mask = detection.mask
    x0, y0, x1, y1 = corners(detection)
    return {
        "category_id": detection.index,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": coco_rle(mask)},
        "iscrowd": 0,
        **scores(detection),
    }
