"""Photos with the boxes that people drew: ILSVRC, Pascal VOC, COCO and plain tables, each read as it ships.

Every reader yields a `Sample` a photo. Boxes are half-open photo pixels, `(x0, y0, x1, y1)`, whatever the file's own
convention: ILSVRC counts pixels from 0 and VOC from 1, both with the last one included; COCO gives corner and size;
a table gives half-open boxes. A photo that is missing and an annotation that is broken become a `Sample` with an
`error`, so that a run can count and name them.

For ILSVRC the data decide: in its files `xmin` goes down to 0 and `ymax` up to height - 1, and the challenge's own
evaluation measures a width as `xmax - xmin + 1`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.geometry import Box
from deepinside.core.images import SUFFIXES

COLUMNS = ("image", "label", "x0", "y0", "x1", "y1")  # of a table, in any order; `mask` may come along
VOID = 255  # pixels of a palette mask that count neither way, such as the outlines in Pascal VOC


@dataclass(frozen=True)
class Thing:
    """One object in a photo: its box in half-open photo pixels, and its class by whatever the data set calls it.

    `index` is the class's place in the data set's own list, where that is the order of a network's logits.
    `mask_value` is the value of its pixels in the sample's mask, None where every marked pixel is meant;
    `polygons` outline it, as (x, y, x, y, ...) in photo pixels.
    """

    box: Box
    wnid: str | None = None
    name: str | None = None
    index: int | None = None
    mask_value: int | None = None
    polygons: tuple[tuple[float, ...], ...] = ()

    @property
    def label(self) -> str:
        """What to call its class in messages."""
        return self.name or self.wnid or f"class {self.index}"


@dataclass(frozen=True)
class Sample:
    """A photo file and what is to be found in it, or the reason why it cannot be used."""

    path: Path
    things: tuple[Thing, ...] = ()
    mask: Path | None = None
    error: DeepInsideError | None = None


def read_samples(root: Path) -> Iterator[Sample]:
    """The photos of a data set with their boxes, in the order of their names; the kind of tree is found out.

    Args:
        root: an ILSVRC tree (`Data/CLS-LOC/val` with `Annotations/CLS-LOC/val/*.xml` or `LOC_val_solution.csv`), a
            Pascal VOC tree (`Annotations/*.xml`, `JPEGImages`), a COCO file or the folder around it, or a table
            `image,label,x0,y0,x1,y1` or the folder around it.

    Raises `DeepInsideError` for anything else, naming what was looked for.
    """
    root = Path(root)
    if not root.exists():
        raise DeepInsideError(f"{root}: expected a data set, found no such file or folder")
    for reader in (_ilsvrc, _voc, _coco, _table):
        samples = reader(root)
        if samples is not None:
            return samples
    raise DeepInsideError(
        f"{root}: expected a data set with boxes, found none; looked for an ILSVRC tree (Data/CLS-LOC/val), a Pascal "
        "VOC tree (Annotations/*.xml and JPEGImages), COCO annotations (a .json with images, annotations and "
        f"categories) and a table (a .csv with the columns {','.join(COLUMNS)})"
    )


def marked_pixels(
    sample: Sample, things: Iterable[Thing], width: int, height: int
) -> tuple[Bool[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]] | None:
    """The pixels of some of a sample's things, and those that count neither way; None where nobody marked any.

    A mask file counts first: its pixels of a thing's `mask_value`, or all that are not 0; 255 in a palette file is
    void. Otherwise polygons are filled. Raises `DeepInsideError` for a mask that is broken or of another size.
    """
    things = tuple(things)
    if sample.mask is None:
        outlines = [polygon for thing in things for polygon in thing.polygons]
        return (_filled(outlines, width, height), np.zeros((height, width), dtype=bool)) if outlines else None
    values, palette = _mask_values(sample.mask)
    if values.shape != (height, width):
        raise DeepInsideError(
            f"{sample.mask}: expected a mask of the photo's {width} x {height} pixels, got "
            f"{values.shape[1]} x {values.shape[0]}"
        )
    void = (values == VOID) & palette
    wanted = [thing.mask_value for thing in things if thing.mask_value is not None]
    marked = np.isin(values, wanted) if wanted else values > 0
    return marked & ~void, void


# ------------------------------------------------------------------------------------------------------------- ILSVRC


def _ilsvrc(root: Path) -> Iterator[Sample] | None:
    """The challenge's tree: `root` or `root/ILSVRC`, with the text files in either, as on Kaggle."""
    top = next((top for top in (root, root / "ILSVRC") if (top / "Data/CLS-LOC/val").is_dir()), None)
    if top is None:
        return None
    names = _synsets(_first_file(root / "LOC_synset_mapping.txt", top.parent / "LOC_synset_mapping.txt"))
    photos = {path.stem: path for path in _images_in(top / "Data/CLS-LOC/val")}
    annotations = sorted((top / "Annotations/CLS-LOC/val").glob("*.xml"))
    solution = _first_file(root / "LOC_val_solution.csv", top.parent / "LOC_val_solution.csv")
    if annotations:
        return _ilsvrc_xml(top / "Data/CLS-LOC/val", photos, annotations, names)
    if solution:
        return _ilsvrc_csv(top / "Data/CLS-LOC/val", photos, solution, names)
    raise DeepInsideError(
        f"{root}: expected the boxes of this ILSVRC tree in Annotations/CLS-LOC/val/*.xml or LOC_val_solution.csv, "
        "found neither"
    )


def _ilsvrc_xml(
    folder: Path, photos: Mapping[str, Path], annotations: list[Path], names: Mapping[str, tuple[int, str]]
) -> Iterator[Sample]:
    annotated = {path.stem: path for path in annotations}
    for stem in sorted(photos.keys() | annotated.keys()):
        photo = photos.get(stem, folder / f"{stem}.JPEG")
        if stem not in annotated:
            yield _broken(photo, f"expected boxes in Annotations/CLS-LOC/val/{stem}.xml, found no such file")
            continue
        yield _sample(photo, partial(_synset_things, partial(_xml, annotated[stem], 0), names))


def _ilsvrc_csv(
    folder: Path, photos: Mapping[str, Path], solution: Path, names: Mapping[str, tuple[int, str]]
) -> Iterator[Sample]:
    for row in _rows(solution):
        stem, boxes = row.get("ImageId") or "", row.get("PredictionString") or ""
        photo = photos.get(stem, folder / f"{stem}.JPEG")
        yield _sample(photo, partial(_synset_things, partial(_solution, boxes), names))


def _solution(text: str) -> Iterator[tuple[str, Box]]:
    """`wnid xmin ymin xmax ymax` again and again -> class and box."""
    words = text.split()
    if len(words) % 5:
        raise DeepInsideError(f"expected groups of class, xmin, ymin, xmax, ymax, got {text[:60]!r}")
    for start in range(0, len(words), 5):
        yield words[start], _inclusive([float(word) for word in words[start + 1 : start + 5]], first=0)


def _synset_things(
    boxes: Callable[[], Iterable[tuple[str, Box]]], names: Mapping[str, tuple[int, str]]
) -> Iterator[Thing]:
    for wnid, box in boxes():
        index, name = names.get(wnid, (None, None))
        yield Thing(box, wnid, name, index)


def _synsets(path: Path | None) -> dict[str, tuple[int, str]]:
    """`n01440764 tench, Tinca tinca` a line -> the place in the list and the name of each WordNet id."""
    lines = _text(path).splitlines() if path else []
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {pair[0]: (number, pair[-1].strip()) for number, pair in enumerate(pairs)}


# --------------------------------------------------------------------------------------------------------- Pascal VOC


def _voc(root: Path) -> Iterator[Sample] | None:
    years = sorted(root.glob("VOC*")) + sorted(root.glob("VOCdevkit/VOC*"))
    top = next(
        (top for top in (root, *years) if (top / "JPEGImages").is_dir() and any(top.glob("Annotations/*.xml"))), None
    )
    return None if top is None else _voc_samples(top)


def _voc_samples(top: Path) -> Iterator[Sample]:
    photos = {path.stem: path for path in _images_in(top / "JPEGImages")}
    for annotation in sorted(top.glob("Annotations/*.xml")):
        mask = top / "SegmentationObject" / f"{annotation.stem}.png"
        photo = photos.get(annotation.stem, top / "JPEGImages" / f"{annotation.stem}.jpg")
        yield _sample(photo, partial(_voc_things, annotation), mask if mask.is_file() else None)


def _voc_things(path: Path) -> list[Thing]:
    """In `SegmentationObject` the n-th object of the file has the value n, from 1 on."""
    return [Thing(box, name=name, mask_value=number) for number, (name, box) in enumerate(_xml(path, 1), start=1)]


# --------------------------------------------------------------------------------------------------------------- COCO


def _coco(root: Path) -> Iterator[Sample] | None:
    if root.is_file():
        files = [root] if root.suffix == ".json" else []
    else:
        files = sorted([*root.glob("annotations/*.json"), *root.glob("*.json")], key=_validation_first)
    for path in files:
        content = _json(path, strict=root.is_file())
        if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
            return _coco_samples(path, content)
    return None


def _validation_first(path: Path) -> tuple[bool, bool, str]:
    return ("instances" not in path.name, "val" not in path.name, path.name)


def _coco_samples(path: Path, content: Mapping[str, Any]) -> Iterator[Sample]:
    try:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        drawn: dict[object, list[Mapping[str, Any]]] = {}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                drawn.setdefault(annotation["image_id"], []).append(annotation)
        images = sorted(content["images"], key=lambda image: str(image["file_name"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise DeepInsideError(f"{path}: expected COCO's images, annotations and categories ({brief(error)})") from None
    folders = _coco_folders(path)
    for image in images:
        photo = _first_file(*(folder / image["file_name"] for folder in folders)) or folders[0] / image["file_name"]
        mine = drawn.get(image.get("id"), [])
        yield _sample(photo, partial(_coco_things, mine, names))


def _coco_folders(path: Path) -> list[Path]:
    """Where the photos may lie: beside the file, in `images`, or in the split's folder (`val2017`)."""
    tops = [path.parent.parent, path.parent] if path.parent.name == "annotations" else [path.parent]
    split = path.stem.rpartition("_")[2]
    return [folder for top in tops for folder in (top / split, top / "images" / split, top / "images", top)]


def _coco_things(annotations: Iterable[Mapping[str, Any]], names: Mapping[object, str]) -> Iterator[Thing]:
    for annotation in annotations:
        x, y, width, height = (float(number) for number in annotation["bbox"])
        outline = annotation.get("segmentation")
        polygons = tuple(tuple(map(float, polygon)) for polygon in outline) if isinstance(outline, list) else ()
        box = _proper(Box(x, y, x + width, y + height))
        yield Thing(box, name=names[annotation["category_id"]], polygons=polygons)


# -------------------------------------------------------------------------------------------------------------- tables


def _table(root: Path) -> Iterator[Sample] | None:
    files = [root] if root.is_file() and root.suffix == ".csv" else sorted(root.glob("*.csv")) if root.is_dir() else []
    for path in files:
        rows = _rows(path)
        if rows and set(COLUMNS) <= rows[0].keys():
            return _table_samples(path.parent, rows)
    return None


def _table_samples(folder: Path, rows: Iterable[Mapping[str, str]]) -> Iterator[Sample]:
    gathered: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        gathered.setdefault(row["image"], []).append(row)
    for image, mine in gathered.items():
        masks = [row["mask"] for row in mine if row.get("mask")]
        mask = folder / masks[0] if masks else None
        yield _sample(folder / image, partial(_table_things, mine), mask)


def _table_things(rows: Iterable[Mapping[str, str]]) -> Iterator[Thing]:
    for row in rows:
        yield Thing(_proper(Box(*(float(row[column]) for column in COLUMNS[2:]))), name=row["label"].strip())


# -------------------------------------------------------------------------------------------------------------- inside


def _sample(photo: Path, things: Callable[[], Iterable[Thing]], mask: Path | None = None) -> Sample:
    """The sample, or its error where the photo is missing or the annotation broken."""
    if not photo.is_file():
        return _broken(photo, "expected a photo, found no such file")
    try:
        found = tuple(things())
    except DeepInsideError as error:
        return _broken(photo, str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _broken(photo, f"its boxes cannot be read ({brief(error)})")
    return Sample(photo, found, mask) if found else _broken(photo, "expected at least one box, found none")


def _broken(photo: Path, reason: str) -> Sample:
    return Sample(photo, error=DeepInsideError(reason if str(photo) in reason else f"{photo}: {reason}"))


def _xml(path: Path, first: int) -> Iterator[tuple[str, Box]]:
    """Class and box of every object in a VOC-style file whose pixels count from `first`, the last one included."""
    try:
        objects = ElementTree.parse(path).getroot().iter("object")
        for thing in objects:
            corners = [float(thing.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            yield thing.findtext("name", "").strip(), _inclusive(corners, first)
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DeepInsideError(f"{path}: expected a VOC-style XML with boxes ({brief(error)})") from None


def _inclusive(corners: list[float], first: int) -> Box:
    """Numbers of the first and last pixels, counted from `first` -> half-open."""
    x0, y0, x1, y1 = (corner - first for corner in corners)
    return _proper(Box(x0, y0, x1 + 1, y1 + 1))


def _proper(box: Box) -> Box:
    if not box.area > 0:
        raise DeepInsideError(f"expected a box with an area, got {box.as_tuple()}")
    return box


def _images_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _first_file(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DeepInsideError(f"{path}: expected a text file ({brief(error)})") from None


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(path).splitlines()))


def _json(path: Path, strict: bool) -> object:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        if strict:
            raise DeepInsideError(f"{path}: expected COCO annotations as JSON ({brief(error)})") from None
        return None


def _mask_values(path: Path) -> tuple[np.ndarray, bool]:
    """The values of a mask file, and whether they are numbers of a palette."""
    try:
        with Image.open(path) as image:
            palette = image.mode == "P"
            return np.asarray(image if palette else image.convert("L")), palette
    except OSError as error:
        raise DeepInsideError(f"{path}: expected a mask, an 8-bit picture of one channel ({brief(error)})") from None


def _filled(polygons: Iterable[tuple[float, ...]], width: int, height: int) -> Bool[np.ndarray, "rows columns"]:
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        if len(polygon) >= 6:
            draw.polygon(polygon, fill=1)
    return np.array(canvas)
