"""The only writers of results for other tools: COCO, Pascal VOC, YOLO, Label Studio and mask pictures.

    with exporting(folder, ["coco", "voc"]) as add:
        for path, name in find_photos([photos]):
            add(path, name, explain(classifier, path, top=1))

Each format gets a folder of its own below `folder`, which has to be new or empty: labels in an older one may
have been corrected by hand. Photos are taken one by one, and masks leave memory with them. A file gets its
name when it is complete; a run that is interrupted keeps what it had done.

All classes of an explanation are written, with their scores where the format has a place for them. They are
alternatives for one object, so for one box a photo explain with `top=1`.

Boxes and masks are in pixels of the upright photo. A tool that ignores the EXIF orientation sees a phone's
portrait lying on its side, and other pixels under the box. The layouts that contain the photos (`voc` and
`yolo`) get links to them, which take no space; of a photo that EXIF turns, and of a GIF, they get an upright
JPEG, so that every tool sees the same. `zip -r` and `cp -RL` make files of the links.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO, TypeAlias
from urllib.parse import quote
from warnings import catch_warnings, simplefilter
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, Int
from PIL import ExifTags, Image

from deepinside.core.errors import DeepInsideError, named
from deepinside.core.files import appearing
from deepinside.core.images import read
from deepinside.core.results import Detection, Explanation

# Takes a photo's file, its name as `find_photos` gives it, and what was seen in it.
Add: TypeAlias = Callable[[Path, Path, Explanation], None]
Writer: TypeAlias = Callable[[Path], AbstractContextManager[Add]]

LONGEST_NAME = 200  # bytes; file systems allow 255, and suffixes are to come
JPEG_QUALITY = 95  # of upright copies
MASK_COLUMNS = ("mask", "photo", "path", "index", "label", "wnid", "probability", "x0", "y0", "x1", "y1")
# What every reader opens, ultralytics among them; other photos are copied as JPEG.
LINKED = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# What neither XML 1.0 nor YAML can hold: control characters, halves of surrogate pairs, line separators.
UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def export(items: Iterable[tuple[Path, Path, Explanation]], folder: Path, formats: str | Iterable[str]) -> list[Path]:
    """Write `(photo file, name, explanation)` items, taken once, in some formats; returns a folder for each.

    Args:
        items: the name is the photo's path below the folder it was found in, as `find_photos` gives it.
        folder: where the folders of the formats go.
        formats: names of `FORMATS`.

    Raises `DeepInsideError` as `exporting` does.
    """
    names = _known(formats)
    with exporting(folder, names) as add:
        for photo, name, explanation in items:
            add(photo, name, explanation)
    return [folder / name for name in names]


@contextmanager
def exporting(folder: Path, formats: str | Iterable[str]) -> Iterator[Add]:
    """Writers for one or more formats behind one call a photo: `add(photo file, name, explanation)`.

    Leaving the block, by an exception too, completes the files for the photos added so far.

    Raises `DeepInsideError` for an unknown format, a folder of a format that has something in it or cannot be
    written, and explanations without boxes.
    """
    names = _known(formats)
    with ExitStack() as stack:
        with _reported(folder):
            folders = [_new_folder(folder / name) for name in names]
            adds = [stack.enter_context(FORMATS[name](place)) for name, place in zip(names, folders, strict=True)]

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            with _reported(folder):
                for each in adds:
                    each(photo, name, explanation)

        try:
            yield add
        finally:
            with _reported(folder):
                stack.close()


@contextmanager
def coco(folder: Path) -> Iterator[Add]:
    """`annotations.json`: boxes, masks as compressed run lengths, scores (https://cocodataset.org/#format-data).

    `file_name` is the photo's name below the folder that was given, the image root that readers ask for; for
    photos from several folders, `path` says where each is. Category ids are class indices, scores are
    probabilities.
    """
    images: list[str] = []
    names: dict[int, str] = {}
    taken: set[str] = set()
    with _text_file(folder / "annotations.json") as file:
        file.write('{"info": {"description": "Boxes and masks by deepinside"}, "licenses": [], "annotations": [')
        written = 0

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            nonlocal written
            _class_names(explanation, names)
            objects = [_coco_object(detection) for detection in explanation.objects]
            images.append(
                _json(
                    id=len(images) + 1,
                    file_name=_distinct(_text(_below(name).as_posix()), taken),
                    width=explanation.width,
                    height=explanation.height,
                    path=_text(os.path.abspath(photo)),
                )
            )
            for annotation in objects:
                written += 1
                record = _json(id=written, image_id=len(images), **annotation)
                file.write((",\n" if written > 1 else "\n") + record)

        yield add
        categories = [_json(id=index, name=names[index], supercategory="") for index in sorted(names)]
        file.write('\n],\n"images": [\n' + ",\n".join(images))
        file.write('\n],\n"categories": [\n' + ",\n".join(categories) + "\n]}\n")


@contextmanager
def voc(folder: Path) -> Iterator[Add]:
    """Pascal VOC, as torchvision, labelImg and CVAT read it: `VOCdevkit/VOC2012/Annotations` and so on.

    Pixels count from (1, 1) and `xmax`, `ymax` are the last ones inside (VOC2012 development kit), so the
    half-open box (x0, y0, x1, y1) is (x0 + 1, y0 + 1, x1, y1) there. The layout has one flat folder of `.jpg`
    files: folders in a photo's name become `__`, and a PNG is linked under `.jpg` too, since readers go by
    the content. `train.txt` and `trainval.txt` list all photos. Each object has its probability as `score`,
    which readers that do not know it skip.
    """
    root = folder / "VOCdevkit" / "VOC2012"
    names: dict[int, str] = {}
    taken: set[str] = set()
    sets = _subfolder(root / "ImageSets" / "Main")
    annotations, pictures = _subfolder(root / "Annotations"), _subfolder(root / "JPEGImages")
    with _text_file(sets / "train.txt") as train, _text_file(sets / "trainval.txt") as trainval:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            stem = _distinct(_flat(name), taken)
            document = _voc_document(f"{stem}.jpg", photo, explanation, _class_names(explanation, names))
            _place(photo, pictures, stem, ".jpg")
            _write(annotations / f"{stem}.xml", _xml(document))
            train.write(f"{stem}\n")
            trainval.write(f"{stem}\n")

        yield add


@contextmanager
def yolo(folder: Path) -> Iterator[Add]:
    """`data.yaml`, `images/`, `labels/`, for `yolo train data=data.yaml` (https://docs.ultralytics.com/datasets/detect).

    A line an object: class, center x, center y, width, height as fractions of the photo. Classes are numbered
    from 0 in the order in which they turn up. There is no place for scores. The layout is flat: folders in a
    photo's name become `__`. All photos are both `train` and `val`, since readers want both: split them.
    """
    names: dict[int, str] = {}
    numbers: dict[int, int] = {}
    taken: set[str] = set()
    labels, pictures = _subfolder(folder / "labels"), _subfolder(folder / "images")

    def add(photo: Path, name: Path, explanation: Explanation) -> None:
        stem = _distinct(_flat(name), taken)
        _class_names(explanation, names)
        lines = [
            _yolo_line(numbers.setdefault(seen.index, len(numbers)), seen, explanation) for seen in explanation.objects
        ]
        _place(photo, pictures, stem)
        _write(labels / f"{stem}.txt", "".join(lines).encode())

    yield add
    # JSON is YAML (YAML 1.2, Sect. 1.3), and survives any label.
    entries = [f"  {number}: {json.dumps(names[index], ensure_ascii=False)}" for index, number in numbers.items()]
    lines = ["train: images", "val: images", *(["names:", *entries] if entries else ["names: []"])]
    _write(folder / "data.yaml", ("\n".join(lines) + "\n").encode())


@contextmanager
def labelstudio(folder: Path) -> Iterator[Add]:
    """`tasks.json` to import and `config.xml` to paste (https://labelstud.io/guide/predictions).

    Each class is a prediction of its own, with its probability as score, its box and its mask; the annotator
    takes one of them over. The mask is a brush in Label Studio's run lengths.

    Photos stay where they are, addressed as local files: `/data/local-files/?d=home/me/photos/cat.jpg`. Label
    Studio serves them when started with `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and
    `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/` (on Windows the drive, as `C:\\`), once the project has the
    photos' folder under Settings > Cloud Storage > Add Source Storage > Local files. It serves no others.
    """
    names: dict[int, str] = {}
    with _text_file(folder / "tasks.json") as file:
        file.write("[")
        written = 0

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            nonlocal written
            labels = _class_names(explanation, names)
            predictions = [
                _prediction(detection, label, explanation)
                for detection, label in zip(explanation.objects, labels, strict=True)
            ]
            data = {"image": _local_file(photo), "name": _text(name.as_posix())}
            task = _json(data=data, predictions=predictions)
            written += 1
            file.write((",\n" if written > 1 else "\n") + task)

        yield add
        file.write("\n]\n")
    _write(folder / "config.xml", _xml(_labelstudio_config([names[index] for index in sorted(names)])))


@contextmanager
def masks(folder: Path) -> Iterator[Add]:
    """`masks/NAME-CLASS.png`, 0 and 255, for each class of each photo, and `index.csv`, which describes them.

    One picture a class, not one of class numbers, since the classes of a photo are alternatives and overlap,
    and 8 bits would not number a thousand. CLASS is the index; the folders are those of the photos.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    with _text_file(folder / "index.csv") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(MASK_COLUMNS)

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            name = _below(name)
            labels = _class_names(explanation, names)
            for seen, label in zip(explanation.objects, labels, strict=True):
                file_name = name.with_name(f"{_short(name.stem)}-{seen.index}.png")
                path = Path("masks", _distinct(file_name.as_posix(), taken))
                _subfolder((folder / path).parent)
                _write(folder / path, _png(seen.mask))
                places = [_text(place) for place in (path.as_posix(), name.as_posix(), os.path.abspath(photo))]
                rows.writerow([*places, seen.index, label, seen.wnid or "", seen.probability, *_corners(seen)])

        yield add


FORMATS: Mapping[str, Writer] = MappingProxyType(
    {"coco": coco, "voc": voc, "yolo": yolo, "labelstudio": labelstudio, "masks": masks}
)


def coco_rle(mask: Bool[np.ndarray, "rows columns"]) -> str:
    """A mask as COCO's compressed run lengths (`rleToString` in cocoapi's `common/maskApi.c`).

    Column by column, the lengths of runs of 0 and 1 in turn, 0 first; from the third on the difference to the
    last but one; each in 5-bit groups, lowest first, shifted into printable characters.

    >>> coco_rle(np.array([[False, True], [True, True]]))
    '13'
    """
    pixels = mask.ravel(order="F")
    counts = _runs(pixels).tolist()
    if pixels[0]:
        counts.insert(0, 0)
    return "".join(_characters(count - counts[i - 2] if i > 2 else count) for i, count in enumerate(counts))


def brush_rle(mask: Bool[np.ndarray, "rows columns"]) -> list[int]:
    """A mask as the bytes of a Label Studio brush: RGBA values of 0 and 255, run length encoded.

    The format is thi.ng's `rle-pack`, as in `label_studio_sdk.converter.brush`. A header: 32 bits with the
    number of values, 5 with the word size - 1, four times 4 with a length size - 1. Then records: a bit, here
    1 for a run; 2 bits, here 3 for the fourth length size, which is 16 bits; the length - 1; the value.

    >>> brush_rle(np.array([[True, True]]))
    [0, 0, 0, 8, 57, 27, 255, 0, 7, 255]
    """
    pixels = mask.ravel()
    lengths = 4 * _runs(pixels)
    values = np.where(np.arange(len(lengths)) % 2 == int(pixels[0]), 0, 255)
    longest = 1 << 16
    pieces = -(-lengths // longest)  # a run longer than 16 bits can say goes in several
    sizes = np.full(pieces.sum(), longest)
    sizes[pieces.cumsum() - 1] = lengths - (pieces - 1) * longest
    records = (1 << 26) | (3 << 24) | ((sizes - 1) << 8) | np.repeat(values, pieces)
    header = f"{4 * pixels.size:032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    head = np.array(list(header), dtype=np.uint8)
    body = np.unpackbits(records.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)[:, -27:]
    return [int(byte) for byte in np.packbits(np.concatenate([head, body.ravel()]))]


def _runs(pixels: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " runs"]:
    """The lengths of the runs of equal pixels."""
    starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    return np.diff(starts, prepend=0, append=pixels.size)


def _characters(value: int) -> str:
    text = ""
    while True:
        group, value = value & 31, value >> 5
        last = value == (-1 if group & 16 else 0)  # bit 16 of the last group is the sign
        text += chr(48 + group + (0 if last else 32))
        if last:
            return text


def _coco_object(detection: Detection) -> dict[str, Any]:
    mask = detection.mask
    x0, y0, x1, y1 = _corners(detection)
    return {
        "category_id": detection.index,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": coco_rle(mask)},
        "iscrowd": 0,
        "score": detection.probability,
    }


def _voc_document(file_name: str, photo: Path, explanation: Explanation, labels: list[str]) -> ElementTree.Element:
    document = _element(
        "annotation",
        folder="JPEGImages",
        filename=file_name,
        path=_text(os.path.abspath(photo)),
        source=_element("source", database="deepinside"),
        size=_element("size", width=explanation.width, height=explanation.height, depth=3),
        segmented=0,
    )
    for detection, label in zip(explanation.objects, labels, strict=True):
        x0, y0, x1, y1 = _corners(detection)
        bounds = _element("bndbox", xmin=x0 + 1, ymin=y0 + 1, xmax=x1, ymax=y1)
        fields = {"name": label, "pose": "Unspecified", "truncated": 0, "difficult": 0, "bndbox": bounds}
        document.append(_element("object", **fields, score=detection.probability))
    return document


def _yolo_line(number: int, detection: Detection, explanation: Explanation) -> str:
    x0, y0, x1, y1 = _corners(detection)
    width, height = explanation.width, explanation.height
    values = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    return " ".join([str(number), *(f"{value:.9f}" for value in values)]) + "\n"


def _prediction(detection: Detection, label: str, explanation: Explanation) -> dict[str, Any]:
    """A box and a mask over the same photo; x, y, width and height are in percent of it."""
    x0, y0, x1, y1 = _corners(detection)
    width, height = explanation.width, explanation.height
    box = {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
        "rotation": 0,
        "rectanglelabels": [label],
    }
    brush = {"format": "rle", "rle": brush_rle(detection.mask), "brushlabels": [label]}
    common = {
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": detection.probability,
    }
    return {
        "model_version": f"{explanation.model} {explanation.preset}",
        "score": detection.probability,
        "result": [
            {"id": "box", "from_name": "box", "type": "rectanglelabels", "value": box, **common},
            {"id": "mask", "from_name": "mask", "type": "brushlabels", "value": brush, **common},
        ],
    }


def _local_file(photo: Path) -> str:
    path = Path(os.path.abspath(photo))
    return "/data/local-files/?d=" + quote(os.fsencode(path.relative_to(path.anchor).as_posix()), safe="/")


def _labelstudio_config(labels: list[str]) -> ElementTree.Element:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image")
    for tag, name in (("RectangleLabels", "box"), ("BrushLabels", "mask")):
        control = ElementTree.SubElement(view, tag, name=name, toName="image")
        for label in labels:
            ElementTree.SubElement(control, "Label", value=label)
    return view


def _class_names(explanation: Explanation, names: dict[int, str]) -> list[str]:
    """The label of each object. `names` keeps those so far; a second class of one name gets its id added."""
    for detection in explanation.objects:
        if detection.index not in names:
            label = _text(detection.label).strip() or f"class {detection.index}"
            taken = label in names.values()
            names[detection.index] = f"{label} ({detection.wnid or detection.index})" if taken else label
    return [names[detection.index] for detection in explanation.objects]


def _corners(detection: Detection) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(value) for value in detection.box.as_tuple())
    return x0, y0, x1, y1


def _below(name: Path) -> Path:
    """A name that cannot lead out of the folder it is put in."""
    return Path(*(part for part in name.parts if part not in (name.anchor, "..")))


def _flat(name: Path) -> str:
    """`cats/tom.jpg` -> `cats__tom`, without what would break a list of names, one a line."""
    return _short(_text("__".join(_below(name).with_suffix("").parts)).strip() or "photo")


def _short(stem: str) -> str:
    """A stem that leaves room for suffixes: the end of a long one, with a checksum in place of its start."""
    raw = os.fsencode(stem)
    if len(raw) <= LONGEST_NAME:
        return stem
    return sha256(raw).hexdigest()[:12] + raw[12 - LONGEST_NAME :].decode(errors="ignore").rstrip()


def _distinct(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken, also in another case or with accents composed another way.

    >>> taken: set[str] = set()
    >>> [_distinct(name, taken) for name in ("cats/tom.png", "Cats/Tom.png", "cats/tom.jpg")]
    ['cats/tom.png', 'Cats/Tom-2.png', 'cats/tom.jpg']
    """
    unique, number = name, 1
    while (key := unicodedata.normalize("NFC", unique).casefold()) in taken:
        number += 1
        path = Path(name)
        unique = path.with_stem(f"{path.stem}-{number}").as_posix()
    taken.add(key)
    return unique


def _text(value: str) -> str:
    return UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"[\t\r\n]", " ", value))


def _json(**fields: Any) -> str:
    """One line of plain ASCII, which survives readers that open files in the system's own encoding."""
    return json.dumps(fields, separators=(",", ":"))


def _element(tag: str, **children: Any) -> ElementTree.Element:
    """An XML element of children that are elements themselves or become the text of one."""
    element = ElementTree.Element(tag)
    for name, child in children.items():
        if isinstance(child, ElementTree.Element):
            element.append(child)
        else:
            ElementTree.SubElement(element, name).text = str(child)
    return element


def _xml(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    return str(ElementTree.tostring(root, encoding="unicode")).encode() + b"\n"


def _png(mask: Bool[np.ndarray, "rows columns"]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def _place(photo: Path, folder: Path, stem: str, suffix: str | None = None) -> None:
    """Link the photo, or copy it where links are not to be had; if EXIF turns it, write an upright JPEG.

    It keeps its own suffix, unless told another one, since readers go by the content.
    """
    if photo.suffix.lower() not in LINKED or _turned(photo):
        _write(folder / f"{stem}.jpg", _upright_jpeg(photo))
        return
    target = folder / f"{stem}{suffix or photo.suffix.lower()}"
    try:
        target.symlink_to(os.path.abspath(photo))
    except OSError:
        with appearing(target) as part:
            shutil.copyfile(photo, part)


def _turned(photo: Path) -> bool:
    with catch_warnings():
        simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(photo) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)


def _upright_jpeg(photo: Path) -> bytes:
    buffer = BytesIO()
    read(photo).image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with appearing(path) as part:
        part.write_bytes(content)


@contextmanager
def _text_file(path: Path) -> Iterator[TextIO]:
    """A text file to fill that gets its name when it is complete."""
    with appearing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file


def _subfolder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _new_folder(path: Path) -> Path:
    if path.is_dir() and any(path.iterdir()):
        raise DeepInsideError(
            f"{path}: expected a new or empty folder for the export, found files in it, which may have been "
            "corrected by hand; move them away or name another folder"
        )
    return _subfolder(path)


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise DeepInsideError(f"{place}: the export came to a halt ({error.strerror or error})") from None


def _known(formats: str | Iterable[str]) -> list[str]:
    """The formats asked for, each once."""
    names = list(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    for name in names:
        named(name, FORMATS, "an export format")
    return names
