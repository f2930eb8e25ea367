"""Masks as images, and the table that describes them."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from deepinside.explanations.export import export
from exported import (
    corners,
    explanation,
    items_of,
    save_photo,
)


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
