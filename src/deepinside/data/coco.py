"""COCO annotations: a `.json` with images, annotations and categories (https://cocodataset.org/#format-data).

A box is a corner and a size. Masks are polygons or run lengths, compressed or not; crowds are ignored regions. A record
that cannot be read is named and left out: its photo becomes a sample with an error.

Two keys beyond COCO's own are read where a file has them: `imagenet` of a category, a list of the ImageNet classes,
from 0 to 999, that all count as it; and `main_category` of an image, the id or name of the only category that is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import is_file
from deepinside.core.geometry import Box
from deepinside.core.text import read_text
from deepinside.data.samples import (
    Annotation,
    NoBoxesError,
    RunLengths,
    Sample,
    broken,
    first_file,
    photo_of,
    proper,
    sample_of,
)

PARTS = ("images", "annotations", "categories")
IMAGENET = 1000  # classes


def read_coco(root: Path) -> Iterator[Sample] | None:
    """The photos of a COCO file, or of the first one in a folder or its `annotations`, validation sets first.

    Raises `NoBoxesError` where there are only other JSON files, or damaged ones.
    """
    refused = []
    for path in _candidates(root):
        try:
            content = _json(path)
        except DeepInsideError as error:
            refused.append(str(error))
            continue
        if isinstance(content, dict) and set(PARTS) <= content.keys():
            return _samples(path, content)
        if root == path:
            refused.append(f"{path}: expected COCO's {', '.join(PARTS)}, found others")
    if refused:
        raise NoBoxesError("; ".join(refused[:3]))
    return None


def _candidates(root: Path) -> list[Path]:
    if is_file(root):
        return [root] if root.suffix.lower() == ".json" else []
    found = [*root.glob("annotations/*.json"), *root.glob("*.json")]
    return sorted(filter(is_file, found), key=_validation_first)


def _validation_first(path: Path) -> tuple[bool, bool, str]:
    return ("instances" not in path.name, "val" not in path.name, path.name)


def _json(path: Path) -> object:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DeepInsideError(f"{path}: expected COCO annotations as JSON ({brief(error)})") from None


@dataclass(frozen=True)
class _Record:
    """One annotation as it stands in the file, and where it stands."""

    number: int
    fields: Mapping[str, Any]

    @property
    def is_crowd(self) -> bool:
        """Whether it is a group of objects: some programs write the number as text."""
        return bool(_key(self.fields.get("iscrowd")) not in (None, "", "0") or self.fields.get("iscrowd") is True)

    def __str__(self) -> str:
        return f"annotation {self.fields.get('id', f'number {self.number}')}"[:60]


def _samples(path: Path, content: Mapping[str, Any]) -> Iterator[Sample]:
    for part in PARTS:
        if not isinstance(content[part], list):
            raise DeepInsideError(f"{path}: expected COCO's {part} as a list, got {type(content[part]).__name__}")
    return _each(path, _categories(content["categories"]), _by_image(content["annotations"]), content["images"])


class _Category(NamedTuple):
    """The name of a category, and the ImageNet classes that count as it, as they stand in the file."""

    name: str
    imagenet: Any


Categories: TypeAlias = Mapping[str, _Category]  # by their ids


def _categories(records: Sequence[Any]) -> dict[str, _Category]:
    """The categories by their ids. Records without an id or a name are left out: what they name is not known."""
    named = (each for each in records if isinstance(each, dict))
    return {
        key: _Category(str(each["name"]).strip(), each.get("imagenet"))
        for each in named
        if (key := _key(each.get("id"))) is not None and isinstance(each.get("name"), (str, int))
    }


def _by_image(annotations: Sequence[Any]) -> dict[str | None, list[_Record]]:
    """The annotations by the id of their image; None holds those that name no image."""
    found: dict[str | None, list[_Record]] = {}
    for number, each in enumerate(annotations):
        fields = each if isinstance(each, dict) else {}
        found.setdefault(_key(fields.get("image_id")), []).append(_Record(number, fields))
    return found


def _key(value: object) -> str | None:
    """An id, which may be a number in one place of the file and text in another; None for what is no id."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _each(
    path: Path, categories: Categories, drawn: Mapping[str | None, Sequence[_Record]], images: Sequence[Any]
) -> Iterator[Sample]:
    folders = _folders(path)
    files: dict[str, set[str]] = {}
    for image in images:
        if isinstance(image, dict) and (key := _key(image.get("id"))) is not None:
            files.setdefault(key, set()).add(str(image.get("file_name")))
    for record in drawn.get(None, ()):
        yield broken(path, f"{record}: expected the image_id of an image, got {_told(record.fields.get('image_id'))}")
    for image in sorted(images, key=_sort_key):
        fields = image if isinstance(image, dict) else {}
        name, key = fields.get("file_name"), _key(fields.get("id"))
        if not isinstance(name, str) or not name or key is None:
            missing = "id" if key is None else "file_name"
            yield broken(
                path, f"image {_told(fields.get('id'))}: expected its {missing}, got {_told(fields.get(missing))}"
            )
            continue
        photo = _photo(name, fields.get("path"), folders)
        if len(files[key]) > 1:
            yield broken(photo, f"expected an id of its own for each image, got {_told(key)} for {len(files[key])}")
            continue
        yield _sample(photo, fields, drawn.get(key, ()), categories)


def _sort_key(image: object) -> str:
    return str(image.get("file_name")) if isinstance(image, dict) else ""


def _photo(name: str, path: object, folders: Sequence[Path]) -> Path:
    """The photo beside the annotations, or where `path` says, which exports write."""
    photo = photo_of(name, *folders)
    if is_file(photo) or not isinstance(path, str) or not Path(path).is_absolute():
        return photo
    return first_file(photo_of(path, folders[0])) or photo


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if type(width) is not int or type(height) is not int or min(width, height) < 1:
        return None
    return width, height


def _folders(path: Path) -> list[Path]:
    """Where the photos may be: beside the file, in `images`, or in the folder of the split (`val2017`)."""
    tops = [path.parent.parent, path.parent] if path.parent.name == "annotations" else [path.parent]
    split = path.stem.rpartition("_")[2]
    return [folder for top in tops for folder in (top / split, top / "images" / split, top / "images", top)]


def _sample(photo: Path, image: Mapping[str, Any], records: Sequence[_Record], categories: Categories) -> Sample:
    try:
        records = _asked(image.get("main_category"), records, categories)
    except DeepInsideError as error:
        return broken(photo, str(error))
    crowds = [record for record in records if record.is_crowd]
    objects = [record for record in records if not record.is_crowd]
    sample = sample_of(photo, partial(_annotations, objects, categories))
    if sample.error:
        return sample
    try:
        return replace(sample, ignored=tuple(_annotations(crowds, categories)), size=_size(image))
    except DeepInsideError as error:
        return broken(photo, str(error))


def _asked(main: object, records: Sequence[_Record], categories: Categories) -> Sequence[_Record]:
    """The annotations of the category that the image is about, if the file says so, or else all."""
    if main is None:
        return records
    wanted = {key for key, each in categories.items() if _key(main) in (key, each.name)}
    if not wanted:
        raise DeepInsideError(f"expected the id or the name of a category as its main_category, got {_told(main)}")
    return [record for record in records if _key(record.fields.get("category_id")) in wanted]


def _annotations(records: Iterable[_Record], categories: Categories) -> Iterator[Annotation]:
    for record in records:
        try:
            yield _annotation(record.fields, categories)
        except (DeepInsideError, ValueError, TypeError, OverflowError) as error:
            raise DeepInsideError(f"{record}: {brief(error)}") from None


def _annotation(fields: Mapping[str, Any], categories: Categories) -> Annotation:
    key = _key(fields.get("category_id"))
    category = None if key is None else categories.get(key)
    if category is None:
        raise DeepInsideError(f"expected the id of a category, got {_told(fields.get('category_id'))}")
    if not category.name:
        raise DeepInsideError(f"expected a category with a name, got {_told(fields.get('category_id'))} without")
    bounds = fields.get("bbox")
    if not isinstance(bounds, list) or len(bounds) != 4:
        raise DeepInsideError(f"expected its bbox as [x, y, width, height], got {_told(bounds)}")
    x, y, width, height = _numbers(bounds)
    box = proper(Box(x, y, x + width, y + height))
    annotation = Annotation(box, name=category.name, imagenet=_imagenet(category.imagenet))
    outline = fields.get("segmentation")
    if isinstance(outline, dict) and outline:
        return replace(annotation, run_lengths=_run_lengths(outline))
    return replace(annotation, polygons=_polygons(outline))


def _imagenet(listed: object) -> tuple[int, ...]:
    """The ImageNet classes of a category, if the file lists them."""
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(type(each) is int and 0 <= each < IMAGENET for each in listed):
        raise DeepInsideError(f"expected its category's imagenet as a list of 0 to {IMAGENET - 1}, got {_told(listed)}")
    return tuple(listed)


def _polygons(outline: object) -> tuple[tuple[float, ...], ...]:
    """The polygons with an area; an object may have none, and some programs do not nest its only one."""
    if not isinstance(outline, list):
        if outline:
            raise DeepInsideError(f"expected its segmentation as polygons or run lengths, got {_told(outline)}")
        return ()
    nested = outline if all(isinstance(polygon, list) for polygon in outline) else [outline]
    polygons = tuple(_numbers(polygon) for polygon in nested)
    if len(polygons) > 2 and all(len(polygon) == 2 for polygon in polygons):
        raise DeepInsideError("expected a polygon as a list x, y, x, y, ..., got a list of points")
    odd = next((polygon for polygon in polygons if len(polygon) % 2), None)
    if odd is not None:
        raise DeepInsideError(f"expected a polygon of pairs x, y, got {len(odd)} numbers")
    return tuple(polygon for polygon in polygons if len(polygon) >= 6)


def _run_lengths(outline: Mapping[str, Any]) -> RunLengths:
    size, counts = _whole(outline.get("size")), _whole(outline.get("counts"))
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side >= 0 for side in size):
        raise DeepInsideError(f"expected run lengths with their size [height, width], got {_told(size)}")
    if isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts):
        return RunLengths(size[0], size[1], tuple(counts))
    if not isinstance(counts, str):
        raise DeepInsideError(f"expected run lengths as numbers or text, got {_told(counts)}")
    return RunLengths(size[0], size[1], counts)


def _whole(values: object) -> object:
    """A list with its whole numbers as integers, which some programs write as 3.0; anything else as it is."""
    if not isinstance(values, list):
        return values
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    if not all(isinstance(value, (int, float, str)) for value in values):
        raise DeepInsideError(f"expected numbers, got {_told(list(values))}")
    numbers = tuple(float(value) for value in values if not isinstance(value, bool))
    if len(numbers) < len(values) or not all(map(isfinite, numbers)):
        raise DeepInsideError(f"expected numbers, got {_told(list(values))}")
    return numbers


def _told(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."
