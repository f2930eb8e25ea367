"""YOLO: one text file of boxes for each photo, and `data.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepinside.core import escape
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.exports.documents import csv_row
from deepinside.explanations.exports.growing import growing
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names, absolute, class_names, flat
from deepinside.explanations.exports.objects import corners
from deepinside.explanations.exports.photos import link
from deepinside.explanations.exports.writers import Add

REVIEW_COLUMNS = ("image", "path", "review")


@contextmanager
def yolo(manifest: Manifest, known: Names) -> Iterator[Add]:
    """`data.yaml`, `images/`, `labels/`, for `yolo train data=data.yaml` (https://docs.ultralytics.com/datasets/detect).

    One line per object: class, center x, center y, width and height as fractions of the photo; of several objects of a
    class, the surest comes first. Classes have the network's numbers where all are known, and others from 0 in their
    order of appearance. The format has no scores; where photos have a `review`, it is in `review.csv`. The layout is
    flat: folders in a photo's name become `__`. All photos are listed as both `train` and `val`, since readers require
    both; split them before training.
    """
    names = dict(known)
    numbers = {index: index for index in known}
    folder = manifest.folder

    def describe() -> None:
        entries = [f"  {number}: {escape.yaml(names[index])}" for index, number in numbers.items()]
        lines = ["train: images", "val: images", *(["names:", *entries] if entries else ["names: []"])]
        manifest.write(folder / "data.yaml", ("\n".join(lines) + "\n").encode())

    def add(photo: Path, name: Path, explanation: Explanation) -> None:
        entry = manifest.number(photo)
        stem = manifest.name(entry, Path(flat(name))).name
        class_names(explanation, names)
        before = len(numbers)
        lines = [
            _yolo_line(numbers.setdefault(seen.index, len(numbers)), seen, explanation) for seen in explanation.objects
        ]
        if len(numbers) > before:
            describe()
        # First, since a photo without a file of labels has no objects.
        manifest.write(folder / "labels" / f"{stem}.txt", "".join(lines).encode())
        image = link(manifest, photo, folder / "images", stem)
        if explanation.review is not None and reviews.lacks(entry):
            reviews.append(csv_row([image.name, absolute(photo), explanation.review]), entry)

    describe()
    with growing(manifest, folder / "review.csv", csv_row(REVIEW_COLUMNS), is_lazy=True) as reviews:
        yield add


def _yolo_line(number: int, detection: Detection, explanation: Explanation) -> str:
    x0, y0, x1, y1 = corners(detection)
    width, height = explanation.width, explanation.height
    values = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    return " ".join([str(number), *(f"{value:.9f}" for value in values)]) + "\n"
