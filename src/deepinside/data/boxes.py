"""Photos with ground-truth boxes: readers of ILSVRC, Pascal VOC, COCO and plain tables, in their published layouts.

Every reader yields one `Sample` per photo. Boxes are half-open, `(x0, y0, x1, y1)` in photo pixels, whatever the
convention of the file: ILSVRC counts pixels from 0 and VOC from 1, both including the last one; COCO stores a corner
and a size; tables store half-open boxes. A missing photo or an invalid annotation becomes a `Sample` with an `error`,
so that a run can count and name them. A new reader is a function and an entry of `READERS`.

ILSVRC does not document its convention. In its files `xmin` is 0 or more and `ymax` at most height - 1, and the
challenge's own evaluation computes a width as `xmax - xmin + 1`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.formats import is_picture_name
from deepinside.core.geometry import Box

COLUMNS = ("image", "label", "x0", "y0", "x1", "y1")  # of a table, in any order; `mask` is optional
VOID = 255  # the value of pixels that are ignored in a palette mask, such as the outlines in Pascal VOC


class NoBoxesError(DeepInsideError):
    """A path where no reader finds its kind of data set, as opposed to a data set that is invalid."""


@dataclass(frozen=True)
class Annotation:
    """One object in a photo: its box in half-open photo pixels, and its class in the data set's own terms.

    `index` is the class's index in the data set's list, if that is the order of a network's logits. `mask_value` is the
    value of its pixels in the mask of the sample, or None if all marked pixels are the object's. `polygons` are its
    outlines, (x, y, x, y, ...) in photo pixels.
    """

    box: Box
    wnid: str | None = None
    name: str | None = None
    index: int | None = None
    mask_value: int | None = None
    polygons: tuple[tuple[float, ...], ...] = ()

    @property
    def label(self) -> str:
        """The name of its class in messages."""
        return self.name or self.wnid or f"class {self.index}"


@dataclass(frozen=True)
class Sample:
    """A photo file and its annotations, or the error for which it cannot be used."""

    path: Path
    annotations: tuple[Annotation, ...] = ()
    mask: Path | None = None
    error: DeepInsideError | None = None


def read_samples(root: Path) -> Iterator[Sample]:
    """The photos of a data set with their boxes, in the order of their names. The kind of data set is detected.

    Args:
        root: an ILSVRC tree (`Data/CLS-LOC/val` with `Annotations/CLS-LOC/val/*.xml` or `LOC_val_solution.csv`), a
            Pascal VOC tree (`Annotations/*.xml`, `JPEGImages`), a COCO file or the folder that contains it, or a
            table `image,label,x0,y0,x1,y1` or the folder that contains it.

    Raises `DeepInsideError` for anything else, with the kinds that were looked for.
    """
    root = Path(root)
    if not root.exists():
        raise DeepInsideError(f"{root}: expected a data set, found no such file or folder")
    for reader in READERS.values():
        samples = reader(root)
        if samples is not None:
            return samples
    raise NoBoxesError(f"{root}: expected a data set with boxes, found none; looked for {', '.join(READERS)}")


def marked_pixels(
    sample: Sample, annotations: Iterable[Annotation], width: int, height: int
) -> tuple[Bool[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]] | None:
    """The pixels of some annotations, and the void pixels, which are ignored; None without a mask or polygons.

    The sample's mask file takes precedence: the pixels with the `mask_value` of an annotation, or all that are not 0;
    255 in a palette file is void. Otherwise polygons are filled. Raises `DeepInsideError` for a mask that is damaged or
    of another size.
    """
    annotations = tuple(annotations)
    if sample.mask is None:
        outlines = [polygon for annotation in annotations for polygon in annotation.polygons]
        return (_filled(outlines, width, height), np.zeros((height, width), dtype=bool)) if outlines else None
    values, palette = _mask_values(sample.mask)
    if values.shape != (height, width):
        raise DeepInsideError(
            f"{sample.mask}: expected a mask of the photo's {width} x {height} pixels, got "
            f"{values.shape[1]} x {values.shape[0]}"
        )
    void = (values == VOID) & palette
    wanted = [annotation.mask_value for annotation in annotations if annotation.mask_value is not None]
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
        yield _sample(photo, partial(_synset_annotations, partial(_xml, annotated[stem], 0), names))


def _ilsvrc_csv(
    folder: Path, photos: Mapping[str, Path], solution: Path, names: Mapping[str, tuple[int, str]]
) -> Iterator[Sample]:
    for row in _rows(solution):
        stem, boxes = row.get("ImageId") or "", row.get("PredictionString") or ""
        photo = photos.get(stem, folder / f"{stem}.JPEG")
        yield _sample(photo, partial(_synset_annotations, partial(_solution, boxes), names))


def _solution(text: str) -> Iterator[tuple[str, Box]]:
    """Any number of `wnid xmin ymin xmax ymax` -> class and box of each."""
    words = text.split()
    if len(words) % 5:
        raise DeepInsideError(f"expected groups of class, xmin, ymin, xmax, ymax, got {text[:60]!r}")
    for start in range(0, len(words), 5):
        yield words[start], _inclusive([float(word) for word in words[start + 1 : start + 5]], first=0)


def _synset_annotations(
    boxes: Callable[[], Iterable[tuple[str, Box]]], names: Mapping[str, tuple[int, str]]
) -> Iterator[Annotation]:
    for wnid, box in boxes():
        index, name = names.get(wnid, (None, None))
        yield Annotation(box, wnid, name, index)


def _synsets(path: Path | None) -> dict[str, tuple[int, str]]:
    """Lines such as `n01440764 tench, Tinca tinca` -> index and name of each WordNet id."""
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
        yield _sample(photo, partial(_voc_annotations, annotation), mask if mask.is_file() else None)


def _voc_annotations(path: Path) -> list[Annotation]:
    """The n-th object of the file has the value n in the mask of `SegmentationObject`, counted from 1."""
    return [Annotation(box, name=name, mask_value=number) for number, (name, box) in enumerate(_xml(path, 1), start=1)]


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
        own = drawn.get(image.get("id"), [])
        yield _sample(photo, partial(_coco_annotations, own, names))


def _coco_folders(path: Path) -> list[Path]:
    """Where the photos may be: beside the file, in `images`, or in the folder of the split (`val2017`)."""
    tops = [path.parent.parent, path.parent] if path.parent.name == "annotations" else [path.parent]
    split = path.stem.rpartition("_")[2]
    return [folder for top in tops for folder in (top / split, top / "images" / split, top / "images", top)]


def _coco_annotations(entries: Iterable[Mapping[str, Any]], names: Mapping[object, str]) -> Iterator[Annotation]:
    for annotation in entries:
        x, y, width, height = (float(number) for number in annotation["bbox"])
        outline = annotation.get("segmentation")
        polygons = tuple(tuple(map(float, polygon)) for polygon in outline) if isinstance(outline, list) else ()
        box = _proper(Box(x, y, x + width, y + height))
        yield Annotation(box, name=names[annotation["category_id"]], polygons=polygons)


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
    for image, own in gathered.items():
        masks = [row["mask"] for row in own if row.get("mask")]
        mask = folder / masks[0] if masks else None
        yield _sample(folder / image, partial(_table_annotations, own), mask)


def _table_annotations(rows: Iterable[Mapping[str, str]]) -> Iterator[Annotation]:
    for row in rows:
        yield Annotation(_proper(Box(*(float(row[column]) for column in COLUMNS[2:]))), name=row["label"].strip())


Reader = Callable[[Path], Iterator[Sample] | None]

# What each reader looks for, as errors name it, and the reader: it returns None for a path of another kind.
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "an ILSVRC tree (Data/CLS-LOC/val)": _ilsvrc,
        "a Pascal VOC tree (Annotations/*.xml and JPEGImages)": _voc,
        "COCO annotations (a .json with images, annotations and categories)": _coco,
        f"a table (a .csv with the columns {','.join(COLUMNS)})": _table,
    }
)


# ------------------------------------------------------------------------------------------------------------- helpers


def _sample(photo: Path, annotations: Callable[[], Iterable[Annotation]], mask: Path | None = None) -> Sample:
    """The sample, with an error if the photo is missing or an annotation is invalid."""
    if not photo.is_file():
        return _broken(photo, "expected a photo, found no such file")
    try:
        found = tuple(annotations())
    except DeepInsideError as error:
        return _broken(photo, str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _broken(photo, f"its boxes cannot be read ({brief(error)})")
    return Sample(photo, found, mask) if found else _broken(photo, "expected at least one box, found none")


def _broken(photo: Path, reason: str) -> Sample:
    return Sample(photo, error=DeepInsideError(reason if str(photo) in reason else f"{photo}: {reason}"))


def _xml(path: Path, first: int) -> Iterator[tuple[str, Box]]:
    """Class and box of each object in a VOC-style file that counts pixels from `first` and includes the last one."""
    try:
        objects = ElementTree.parse(path).getroot().iter("object")
        for element in objects:
            corners = [float(element.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            yield element.findtext("name", "").strip(), _inclusive(corners, first)
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DeepInsideError(f"{path}: expected a VOC-style XML with boxes ({brief(error)})") from None


def _inclusive(corners: list[float], first: int) -> Box:
    """The first and last pixels, counted from `first` -> a half-open box."""
    x0, y0, x1, y1 = (corner - first for corner in corners)
    return _proper(Box(x0, y0, x1 + 1, y1 + 1))


def _proper(box: Box) -> Box:
    if not box.area > 0:
        raise DeepInsideError(f"expected a box with an area, got {box.as_tuple()}")
    return box


def _images_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if is_picture_name(path))


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
    """The values of a mask file, and whether they are palette indices."""
    try:
        with Image.open(path) as image:
            palette = image.mode == "P"
            return np.asarray(image if palette else image.convert("L")), palette
    except OSError as error:
        raise DeepInsideError(f"{path}: expected a mask, an 8-bit image of one channel ({brief(error)})") from None


def _filled(polygons: Iterable[tuple[float, ...]], width: int, height: int) -> Bool[np.ndarray, "rows columns"]:
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        if len(polygon) >= 6:
            draw.polygon(polygon, fill=1)
    return np.array(canvas)
