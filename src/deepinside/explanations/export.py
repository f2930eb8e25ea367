"""Export of explanations for other tools: COCO, Pascal VOC, YOLO, Label Studio and mask images.

    with exporting(folder, ["coco", "voc"]) as add:
        for path, name in find_photos([photos]):
            add(path, name, explain(classifier, path, top=1))

Each format gets a folder of its own below `folder`, which has to be new or empty, since the labels in an older one may
have been corrected by hand. Photos are processed one by one, and their masks are not kept in memory. Files are written
atomically, and an interrupted run keeps what it has finished. A new format is a function and an entry of `FORMATS`.

All classes of an explanation are written, with their scores if the format has them. They are alternatives for one
object; for one box per photo, explain with `top=1`.

Boxes and masks are in pixels of the upright photo. A tool that ignores the EXIF orientation shows the portrait photos
of a phone lying on their side, with other pixels under the box. The layouts that contain the photos (`voc` and `yolo`)
get symbolic links, which take no space. For a photo that EXIF rotates, and for a GIF, they get an upright JPEG, so that
every tool sees the same image. `zip -r` and `cp -RL` replace the links by files.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
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
from deepinside.core.files import atomic_write, distinct_name
from deepinside.core.images import read
from deepinside.core.results import Detection, Explanation

# The file of a photo, its name as returned by `find_photos`, and its explanation.
Add: TypeAlias = Callable[[Path, Path, Explanation], None]
Writer: TypeAlias = Callable[[Path], AbstractContextManager[Add]]

LONGEST_NAME = 200  # bytes; file systems allow 255, of which suffixes need some
JPEG_QUALITY = 95  # of upright copies
MASK_COLUMNS = ("mask", "photo", "path", "index", "label", "wnid", "probability", "x0", "y0", "x1", "y1")
# Suffixes that every reader opens, including ultralytics; photos with others are copied as JPEG.
LINKED = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# Characters that XML 1.0 and YAML cannot contain: control characters, lone surrogates, line separators.
UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def export(items: Iterable[tuple[Path, Path, Explanation]], folder: Path, formats: str | Iterable[str]) -> list[Path]:
    """Write explanations in one or more formats; returns the folder of each format.

    Args:
        items: `(photo file, name, explanation)`, iterated once; `find_photos` returns the files with their names.
        folder: for the folders of the formats.
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
    """Yield a function `add(photo file, name, explanation)` that writes a photo in one or more formats.

    Leaving the block, also by an exception, completes the files for the photos that were added.

    Raises `DeepInsideError` for an unknown format, a folder of a format that is not empty or cannot be written, and
    explanations without boxes.
    """
    names = _known(formats)
    with ExitStack() as stack:
        with _reported(folder):
            folders = [_new_folder(folder / name) for name in names]
            adds = [stack.enter_context(FORMATS[name](target)) for name, target in zip(names, folders, strict=True)]

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

    `file_name` is relative to the folder that was searched, which is the image root that readers ask for; for photos
    from several folders, `path` is the absolute path. Category ids are class indices, and scores are probabilities.
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
                    file_name=distinct_name(Path(_text(_below(name).as_posix())), taken).as_posix(),
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

    Pixels are counted from (1, 1), and `xmax` and `ymax` are the last pixels inside (VOC2012 development kit), so the
    half-open box (x0, y0, x1, y1) becomes (x0 + 1, y0 + 1, x1, y1). The layout has one flat folder of `.jpg` files:
    folders in a photo's name become `__`, and a PNG is also linked as `.jpg`, since readers go by the content.
    `train.txt` and `trainval.txt` list all photos. Each object has its probability as `score`, which other readers
    ignore.
    """
    root = folder / "VOCdevkit" / "VOC2012"
    names: dict[int, str] = {}
    taken: set[str] = set()
    sets = _subfolder(root / "ImageSets" / "Main")
    annotations, images = _subfolder(root / "Annotations"), _subfolder(root / "JPEGImages")
    with _text_file(sets / "train.txt") as train, _text_file(sets / "trainval.txt") as trainval:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            stem = distinct_name(Path(_flat(name)), taken).name
            document = _voc_document(f"{stem}.jpg", photo, explanation, _class_names(explanation, names))
            _link(photo, images, stem, ".jpg")
            _write(annotations / f"{stem}.xml", _xml(document))
            train.write(f"{stem}\n")
            trainval.write(f"{stem}\n")

        yield add


@contextmanager
def yolo(folder: Path) -> Iterator[Add]:
    """`data.yaml`, `images/`, `labels/`, for `yolo train data=data.yaml` (https://docs.ultralytics.com/datasets/detect).

    One line per object: class, center x, center y, width and height as fractions of the photo. Classes are numbered
    from 0 in their order of appearance. The format has no scores. The layout is flat: folders in a photo's name become
    `__`. All photos are listed as both `train` and `val`, since readers require both; split them before training.
    """
    names: dict[int, str] = {}
    numbers: dict[int, int] = {}
    taken: set[str] = set()
    labels, images = _subfolder(folder / "labels"), _subfolder(folder / "images")

    def add(photo: Path, name: Path, explanation: Explanation) -> None:
        stem = distinct_name(Path(_flat(name)), taken).name
        _class_names(explanation, names)
        lines = [
            _yolo_line(numbers.setdefault(seen.index, len(numbers)), seen, explanation) for seen in explanation.objects
        ]
        _link(photo, images, stem)
        _write(labels / f"{stem}.txt", "".join(lines).encode())

    yield add
    # JSON is a subset of YAML (YAML 1.2, Sect. 1.3), and escapes any label.
    entries = [f"  {number}: {json.dumps(names[index], ensure_ascii=False)}" for index, number in numbers.items()]
    lines = ["train: images", "val: images", *(["names:", *entries] if entries else ["names: []"])]
    _write(folder / "data.yaml", ("\n".join(lines) + "\n").encode())


@contextmanager
def labelstudio(folder: Path) -> Iterator[Add]:
    """`tasks.json` to import and `config.xml` to paste (https://labelstud.io/guide/predictions).

    Each class is one prediction, with its probability as score, its box and its mask; the annotator accepts one of
    them. The mask is a brush in Label Studio's run lengths.

    Photos are not copied, but addressed as local files: `/data/local-files/?d=home/me/photos/cat.jpg`. Label Studio
    serves them if it is started with `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and
    `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/` (on Windows the drive, such as `C:\\`), and if the folder of the photos
    is added to the project under Settings > Cloud Storage > Add Source Storage > Local files. It serves no other files.
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

    There is one image per class instead of one image of class indices, since the classes of a photo are alternatives
    that overlap, and 8 bits cannot hold a thousand indices. CLASS is the index; the folders are those of the photos.
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
                path = Path("masks") / distinct_name(file_name, taken)
                _subfolder((folder / path).parent)
                _write(folder / path, _png(seen.mask))
                paths = [_text(each) for each in (path.as_posix(), name.as_posix(), os.path.abspath(photo))]
                rows.writerow([*paths, seen.index, label, seen.wnid or "", seen.probability, *_corners(seen)])

        yield add


FORMATS: Mapping[str, Writer] = MappingProxyType(
    {"coco": coco, "voc": voc, "yolo": yolo, "labelstudio": labelstudio, "masks": masks}
)


def coco_rle(mask: Bool[np.ndarray, "rows columns"]) -> str:
    """A mask as COCO's compressed run lengths (`rleToString` in cocoapi's `common/maskApi.c`).

    The lengths of alternating runs of 0 and 1 in column-major order, starting with 0; from the fourth on, each is the
    difference to the one two before; each number is split into 5-bit groups, lowest first, as printable characters.

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

    The format is thi.ng's `rle-pack`, as in `label_studio_sdk.converter.brush`. The header has the number of values (32
    bits), the word size - 1 (5 bits) and four length sizes - 1 (4 bits each). Each record has a bit, here 1 for a run;
    2 bits, here 3 for the fourth length size, which is 16 bits; the length - 1; and the value.

    >>> brush_rle(np.array([[True, True]]))
    [0, 0, 0, 8, 57, 27, 255, 0, 7, 255]
    """
    pixels = mask.ravel()
    lengths = 4 * _runs(pixels)
    values = np.where(np.arange(len(lengths)) % 2 == int(pixels[0]), 0, 255)
    longest = 1 << 16
    pieces = -(-lengths // longest)  # a run that is too long for 16 bits becomes several
    sizes = np.full(pieces.sum(), longest)
    sizes[pieces.cumsum() - 1] = lengths - (pieces - 1) * longest
    records = (1 << 26) | (3 << 24) | ((sizes - 1) << 8) | np.repeat(values, pieces)
    header = f"{4 * pixels.size:032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    head = np.array(list(header), dtype=np.uint8)
    body = np.unpackbits(records.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)[:, -27:]
    return [int(byte) for byte in np.packbits(np.concatenate([head, body.ravel()]))]


def _runs(pixels: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " runs"]:
    """The lengths of runs of equal pixels."""
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
    """The label of each object. `names` keeps the labels so far; a second class of the same name gets its id added."""
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
    """The name without parts that would lead out of the folder it is used in."""
    return Path(*(part for part in name.parts if part not in (name.anchor, "..")))


def _flat(name: Path) -> str:
    """`cats/tom.jpg` -> `cats__tom`, without characters that would break a list of one name per line."""
    return _short(_text("__".join(_below(name).with_suffix("").parts)).strip() or "photo")


def _short(stem: str) -> str:
    """A stem that leaves room for suffixes: of a long one the end, after a checksum of the whole."""
    raw = os.fsencode(stem)
    if len(raw) <= LONGEST_NAME:
        return stem
    return sha256(raw).hexdigest()[:12] + raw[12 - LONGEST_NAME :].decode(errors="ignore").rstrip()


def _text(value: str) -> str:
    return UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"[\t\r\n]", " ", value))


def _json(**fields: Any) -> str:
    """One line of ASCII, for readers that open files in the system's own encoding."""
    return json.dumps(fields, separators=(",", ":"))


def _element(tag: str, **children: Any) -> ElementTree.Element:
    """An XML element with these children: elements, or values that become the text of one."""
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


def _link(photo: Path, folder: Path, stem: str, suffix: str | None = None) -> None:
    """Link to the photo, or copy it where links are not available; if EXIF rotates it, write an upright JPEG.

    The link keeps the suffix of the photo unless another one is given.
    """
    if photo.suffix.lower() not in LINKED or _is_rotated(photo):
        _write(folder / f"{stem}.jpg", _upright_jpeg(photo))
        return
    target = folder / f"{stem}{suffix or photo.suffix.lower()}"
    try:
        target.symlink_to(os.path.abspath(photo))
    except OSError:
        with atomic_write(target) as part:
            shutil.copyfile(photo, part)


def _is_rotated(photo: Path) -> bool:
    with catch_warnings():
        simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(photo) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)


def _upright_jpeg(photo: Path) -> bytes:
    buffer = BytesIO()
    read(photo).image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as part:
        part.write_bytes(content)


@contextmanager
def _text_file(path: Path) -> Iterator[TextIO]:
    """A text file that is written atomically."""
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
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
        path = error.filename or folder
        raise DeepInsideError(f"{path}: the export stopped ({error.strerror or error})") from None


def _known(formats: str | Iterable[str]) -> list[str]:
    """The requested formats, without duplicates."""
    names = list(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    for name in names:
        named(name, FORMATS, "an export format")
    return names
