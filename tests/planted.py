"""Runs of made maps, in which it is known what each class is decided by."""

from pathlib import Path

import numpy as np
from PIL import Image

from deepinside.archive.audit import Judged
from deepinside.archive.evidence import Evidence
from deepinside.archive.folder import SAME, opened_run

NAMES = [f"kind {number}" for number in range(8)]


def spots(centers, width):
    """Maps of one round spot each, as a run keeps them."""
    rows, columns = np.indices((32, 32)) + 0.5
    squares = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in centers]
    return np.round(255 * np.exp(-np.reshape(squares, (-1, 32, 32)) / 2 / width**2)).astype(np.uint8)


def natural(random, count):
    """Wide spots around the middle of the frame."""
    return spots(random.normal(16, 5, (count, 2)), 7)


def evidence(index, maps, label=None):
    files = tuple(Path(f"{index}-{number}.png") for number in range(len(maps)))
    return Evidence(index, label or NAMES[index % 8], maps, np.full(len(maps), np.nan), files)


def classes(random, count, photos=40):
    return [evidence(index, natural(random, photos)) for index in range(count)]


def judged_of(found: list[Judged], index: int) -> Judged:
    return next(each for each in found if each.evidence.index == index)


def write_run(folder, maps_by_class, given=True, **changes):
    """The folder of a run over photos of 64 x 48 pixels beside it, `maps_by_class` being {class: maps}."""
    about = dict.fromkeys(SAME) | {"min_probability": 0.1, "classes": [[name, None] for name in NAMES]}
    photos = folder.parent / "photos"
    photos.mkdir(exist_ok=True)
    rows = []
    for index, maps in maps_by_class.items():
        for number, map in enumerate(maps):
            path = photos / f"{index}-{number}.png"
            Image.new("RGB", (64, 48), (40 * index % 255, 90, 120)).save(path)
            key = hash((index, number)) % 2**63
            row = {
                "key": key, "file_key": key, "photo": path.name, "file": bytes(path), "width": 64, "height": 48,
                "class": index, "label": NAMES[index], "number": 1, "probability": 0.9, "given": given,
                "x0": 0, "y0": 0, "x1": 32, "y1": 48, "map": map.tobytes(),
            }  # fmt: skip
            rows.append(row | changes)
    with opened_run(folder, about) as opened:
        opened.append(rows)
    return folder
