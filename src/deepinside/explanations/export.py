"""Export of explanations for other tools: COCO, Pascal VOC, YOLO, Label Studio and mask images.

    with exporting(folder, ["coco", "voc"]) as add:
        for path, name in find_photos([photos]):
            add(path, name, explain(classifier, path, top=1))

Each format gets a folder of its own below `folder`, without labels in it, since those of an older run may have been
corrected by hand. Photos are processed one by one, and their masks are not kept in memory. Files are written
atomically, and complete after every photo, so that a run that is interrupted or killed keeps what it has finished. A
new format is a function and an entry of `FORMATS`.

Names and labels may hold anything. What a format or a line of a list cannot hold becomes a visible escape, such as
`\\x1b`, the same in all formats.

All objects of all classes of an explanation are written. Classes are alternatives: for one class per photo, explain
with `top=1`, and for one box per photo with `objects="one"` as well. Formats with scores have two numbers for each
object: the `probability` of its class in the whole photo, and as `score`, by which tools rank and filter objects, the
`confidence` that it is an object of that class.

Boxes and masks are in pixels of the upright photo. A tool that ignores the EXIF orientation shows the portrait photos
of a phone lying on their side, with other pixels under the box. The layouts that contain the photos (`voc` and `yolo`)
get symbolic links, which take no space. For a photo that EXIF rotates, and for a GIF, they get an upright JPEG, so that
every tool sees the same image. `zip -r` and `cp -RL` replace the links by files.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import BytesIO, StringIO
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, Int
from PIL import ExifTags, Image

from deepinside.core import escape
from deepinside.core.errors import named
from deepinside.core.files import atomic_write, distinct_name, shortened
from deepinside.core.formats import opened
from deepinside.core.images import read
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.export_files import check_free, claimed, growing, reported

# The file of a photo, its name as returned by `find_photos`, and its explanation.
Add: TypeAlias = Callable[[Path, Path, Explanation], None]
Names: TypeAlias = Mapping[int, str]  # of classes, each its own
Writer: TypeAlias = Callable[[Path, Names], AbstractContextManager[Add]]

LONGEST_NAME = 200  # bytes; file systems allow 255, of which suffixes need some
JPEG_QUALITY = 95  # of upright copies
MASK_COLUMNS = ("mask", "photo", "path", "index", "label", "wnid", "probability", "x0", "y0", "x1", "y1", "confidence")
# Suffixes that every reader opens, including ultralytics; photos with others are copied as JPEG.
LINKED = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


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
def exporting(
    folder: Path, formats: str | Iterable[str], classes: Sequence[tuple[str, str | None]] = ()
) -> Iterator[Add]:
    """Yield a function `add(photo file, name, explanation)` that writes a photo in one or more formats.

    When it returns, the photo is in the files. A run that is killed leaves complete files, which the next one into the
    same folder replaces, unless they have been changed since.

    Args:
        folder: for the folders of the formats.
        formats: names of `FORMATS`.
        classes: names and WordNet ids of all classes of the network, in its order, so that lists of classes are
            complete and an annotator can choose any of them; without, they hold the classes that were found.

    Raises `DeepInsideError` for an unknown format, a folder of a format that holds labels or cannot be written, and
    explanations without boxes.
    """
    names = _known(formats)
    known: dict[int, str] = {}
    for index, (label, wnid) in enumerate(classes):
        _name_class(known, index, label, wnid)
    with reported(folder):
        for name in names:
            check_free(folder / name)
    with ExitStack() as claims, ExitStack() as stack:
        marks = [claims.enter_context(claimed(folder / name)) for name in names]
        with reported(folder):
            adds = [stack.enter_context(FORMATS[name](folder / name, known)) for name in names]

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            with reported(folder):
                for mark, each in zip(marks, adds, strict=True):
                    each(photo, name, explanation)
                    mark()

        try:
            yield add
        finally:
            with reported(folder):
                stack.close()


@contextmanager
def coco(folder: Path, known: Names) -> Iterator[Add]:
    """`annotations.json`: boxes, masks as compressed run lengths, scores (https://cocodataset.org/#format-data).

    `file_name` is relative to the folder that was searched, which is the image root that readers ask for; for photos
    from several folders, `path` is the absolute path. Category ids are class indices. An annotation also has
    a `score` and a `probability`.
    """
    images: list[str] = []
    names = dict(known)
    taken: set[int] = set()
    written = 0
    head = '{"info": {"description": "Boxes and masks by deepinside"}, "licenses": [], "annotations": ['

    def tail() -> str:
        categories = [_json(id=index, name=names[index], supercategory="") for index in sorted(names)]
        return "\n],\n" + f'"images": [\n{_lines(images)}\n],\n"categories": [\n{_lines(categories)}\n]}}\n'

    with growing(folder / "annotations.json", head, tail) as append:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            nonlocal written
            _class_names(explanation, names)
            records = []
            for number, detection in enumerate(explanation.objects, start=written + 1):
                records.append(_json(id=number, image_id=len(images) + 1, **_coco_object(detection)))
            images.append(
                _json(
                    id=len(images) + 1,
                    file_name=distinct_name(Path(escape.encodable(_below(name).as_posix())), taken).as_posix(),
                    width=explanation.width,
                    height=explanation.height,
                    path=_absolute(photo),
                )
            )
            separator = ",\n" if written else "\n"
            written += len(records)
            append(separator + _lines(records) if records else "")

        yield add


@contextmanager
def voc(folder: Path, known: Names) -> Iterator[Add]:
    """Pascal VOC, as torchvision, labelImg and CVAT read it: `VOCdevkit/VOC2012/Annotations` and so on.

    Pixels are counted from (1, 1), and `xmax` and `ymax` are the last pixels inside (VOC2012 development kit), so the
    half-open box (x0, y0, x1, y1) becomes (x0 + 1, y0 + 1, x1, y1). The layout has one flat folder of `.jpg` files:
    folders in a photo's name become `__`, and a PNG is also linked as `.jpg`, since readers go by the content.
    `train.txt` and `trainval.txt` list all photos. Each object has a `score` and a `probability`, which other readers
    ignore.
    """
    root = folder / "VOCdevkit" / "VOC2012"
    names = dict(known)
    taken: set[int] = set()
    sets = _subfolder(root / "ImageSets" / "Main")
    annotations, images = _subfolder(root / "Annotations"), _subfolder(root / "JPEGImages")
    with growing(sets / "train.txt", "") as train, growing(sets / "trainval.txt", "") as trainval:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            stem = distinct_name(Path(_flat(name)), taken).name
            document = _voc_document(f"{stem}.jpg", photo, explanation, _class_names(explanation, names))
            _link(photo, images, stem, ".jpg")
            _write(annotations / f"{stem}.xml", _xml(document))
            train(f"{stem}\n")
            trainval(f"{stem}\n")

        yield add


@contextmanager
def yolo(folder: Path, known: Names) -> Iterator[Add]:
    """`data.yaml`, `images/`, `labels/`, for `yolo train data=data.yaml` (https://docs.ultralytics.com/datasets/detect).

    One line per object: class, center x, center y, width and height as fractions of the photo; of several objects of a
    class, the surest comes first. Classes have the network's numbers where all are known, and others from 0 in their
    order of appearance. The format has no scores. The layout is flat: folders in a photo's name become `__`. All photos
    are listed as both `train` and `val`, since readers require both; split them before training.
    """
    names = dict(known)
    numbers = {index: index for index in known}
    taken: set[int] = set()
    labels, images = _subfolder(folder / "labels"), _subfolder(folder / "images")

    def describe() -> None:
        entries = [f"  {number}: {escape.yaml(names[index])}" for index, number in numbers.items()]
        lines = ["train: images", "val: images", *(["names:", *entries] if entries else ["names: []"])]
        _write(folder / "data.yaml", ("\n".join(lines) + "\n").encode())

    def add(photo: Path, name: Path, explanation: Explanation) -> None:
        stem = distinct_name(Path(_flat(name)), taken).name
        _class_names(explanation, names)
        before = len(numbers)
        lines = [
            _yolo_line(numbers.setdefault(seen.index, len(numbers)), seen, explanation) for seen in explanation.objects
        ]
        if len(numbers) > before:
            describe()
        _write(labels / f"{stem}.txt", "".join(lines).encode())  # first, since a photo without one has no objects
        _link(photo, images, stem)

    describe()
    yield add


@contextmanager
def labelstudio(folder: Path, known: Names) -> Iterator[Add]:
    """`tasks.json` to import and `config.xml` to paste (https://labelstud.io/guide/predictions).

    Each class is one prediction, with its probability as score; the annotator accepts one of them. Its results are the
    box and the mask of each object, with the confidence as score. A mask is a brush in Label Studio's run lengths.

    Photos are not copied, but addressed as local files: `/data/local-files/?d=home/me/photos/cat.jpg`. Label Studio
    serves them if it is started with `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and
    `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/` (on Windows the drive, such as `C:\\`), and if the folder of the photos
    is added to the project under Settings > Cloud Storage > Add Source Storage > Local files. It serves no other files.
    """
    names = dict(known)
    written = 0

    def describe() -> None:
        _write(folder / "config.xml", _xml(_labelstudio_config([names[index] for index in sorted(names)])))

    describe()
    with growing(folder / "tasks.json", "[", lambda: "\n]\n") as append:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            nonlocal written
            before = len(names)
            _class_names(explanation, names)
            predictions = [_prediction(mine, names[mine[0].index], explanation) for mine in explanation.by_class]
            data = {"image": _local_file(photo), "name": escape.encodable(name.as_posix())}
            task = _json(data=data, predictions=predictions)
            if len(names) > before:
                describe()
            written += 1
            append((",\n" if written > 1 else "\n") + task)

        yield add


@contextmanager
def masks(folder: Path, known: Names) -> Iterator[Add]:
    """`masks/NAME-CLASS.png`, 0 and 255, for each object of each photo, and `index.csv`, which describes them.

    There is one image per object instead of one image of class indices, since the classes of a photo are alternatives
    that overlap, and 8 bits cannot hold a thousand indices. CLASS is the index; the second object of a class is in
    `NAME-CLASS-2.png`, and so on. The folders are those of the photos.
    """
    names = dict(known)
    taken: set[int] = set()
    with growing(folder / "index.csv", _csv_row(MASK_COLUMNS)) as append:

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            name = _below(name)
            _class_names(explanation, names)
            *parents, stem = (_short(escape.file_name(part)) for part in name.with_suffix("").parts)
            rows = []
            for number, seen in _numbered(explanation):
                file_name = f"{stem}-{seen.index}.png" if number == 1 else f"{stem}-{seen.index}-{number}.png"
                path = distinct_name(Path("masks", *parents, file_name), taken)
                _subfolder((folder / path).parent)
                _write(folder / path, _png(seen.mask))
                texts = [path.as_posix(), name.as_posix(), os.path.abspath(photo)]
                told = [seen.index, names[seen.index], seen.wnid or "", seen.probability]
                rows.append(_csv_row([*texts, *told, *_corners(seen), seen.confidence]))
            append("".join(rows))

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
        **_scores(detection),
    }


def _voc_document(file_name: str, photo: Path, explanation: Explanation, labels: list[str]) -> ElementTree.Element:
    document = _element(
        "annotation",
        folder="JPEGImages",
        filename=file_name,
        path=escape.xml(os.path.abspath(photo)),
        source=_element("source", database="deepinside"),
        size=_element("size", width=explanation.width, height=explanation.height, depth=3),
        segmented=0,
    )
    for detection, label in zip(explanation.objects, labels, strict=True):
        x0, y0, x1, y1 = _corners(detection)
        bounds = _element("bndbox", xmin=x0 + 1, ymin=y0 + 1, xmax=x1, ymax=y1)
        fields = {"name": label, "pose": "Unspecified", "truncated": 0, "difficult": 0, "bndbox": bounds}
        document.append(_element("object", **fields, **_scores(detection)))
    return document


def _yolo_line(number: int, detection: Detection, explanation: Explanation) -> str:
    x0, y0, x1, y1 = _corners(detection)
    width, height = explanation.width, explanation.height
    values = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    return " ".join([str(number), *(f"{value:.9f}" for value in values)]) + "\n"


def _prediction(objects: Sequence[Detection], label: str, explanation: Explanation) -> dict[str, Any]:
    """A class: the boxes and the masks of its objects."""
    return {
        "model_version": escape.encodable(f"{explanation.model} {explanation.preset}"),
        "score": objects[0].probability,
        "result": [
            result
            for number, detection in enumerate(objects, start=1)
            for result in _regions(number, detection, label, explanation)
        ],
    }


def _regions(number: int, detection: Detection, label: str, explanation: Explanation) -> list[dict[str, Any]]:
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
        "score": detection.confidence,
    }
    return [
        {"id": f"box-{number}", "from_name": "box", "type": "rectanglelabels", "value": box, **common},
        {"id": f"mask-{number}", "from_name": "mask", "type": "brushlabels", "value": brush, **common},
    ]


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
            _name_class(names, detection.index, detection.label, detection.wnid)
    return [names[detection.index] for detection in explanation.objects]


def _name_class(names: dict[int, str], index: int, label: str, wnid: str | None) -> None:
    name = _one_line(label) or f"class {index}"
    if name in names.values():
        name += f" ({_one_line(wnid or '') or index})"
    names[index] = name


def _numbered(explanation: Explanation) -> Iterator[tuple[int, Detection]]:
    """The objects, each with its number in its class, from 1."""
    return chain.from_iterable(enumerate(mine, start=1) for mine in explanation.by_class)


def _scores(detection: Detection) -> dict[str, float]:
    return {"score": detection.confidence, "probability": detection.probability}


def _corners(detection: Detection) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(value) for value in detection.box.as_tuple())
    return x0, y0, x1, y1


def _below(name: Path) -> Path:
    """The name without parts that would lead out of the folder it is used in."""
    return Path(*(part for part in name.parts if part not in (name.anchor, "..")))


def _flat(name: Path) -> str:
    """`cats/tom.jpg` -> `cats__tom`, without characters that would break a list of one name per line."""
    return _short(escape.file_name("__".join(_below(name).with_suffix("").parts).strip()) or "photo")


def _short(stem: str) -> str:
    """A stem that leaves room for suffixes."""
    return shortened(stem, LONGEST_NAME).rstrip()


def _one_line(text: str) -> str:
    return escape.xml(escape.terminal(text)).strip()


def _absolute(photo: Path) -> str:
    return escape.encodable(os.path.abspath(photo))


def _lines(records: Iterable[str]) -> str:
    return ",\n".join(records)


def _csv_row(values: Iterable[object]) -> str:
    stream = StringIO(newline="")
    cells = [escape.cell(value) if isinstance(value, str) else value for value in values]
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


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
    with opened(photo) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)


def _upright_jpeg(photo: Path) -> bytes:
    buffer = BytesIO()
    read(photo).image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as part:
        part.write_bytes(content)


def _subfolder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _known(formats: str | Iterable[str]) -> list[str]:
    """The requested formats, without duplicates."""
    names = list(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    for name in names:
        named(name, FORMATS, "an export format")
    return names
