"""ILSVRC's localization challenge: its tree with XML annotations, or with `LOC_val_solution.csv`, as on Kaggle.

ILSVRC does not document its convention. In its files `xmin` is 0 or more and `ymax` at most height - 1, and the
challenge's own evaluation computes a width as `xmax - xmin + 1`: pixels are counted from 0, including the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.core.text import read_table, read_text
from deepinside.data.samples import Annotation, Sample, broken, first_file, images_in, inclusive, sample_of
from deepinside.data.voc import xml_boxes

PHOTOS = "Data/CLS-LOC/val"
ANNOTATIONS = "Annotations/CLS-LOC/val"
IMAGE, BOXES = "imageid", "predictionstring"  # columns of the solution
MAPPING, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"

Synsets = Mapping[str, tuple[int, str]]  # WordNet id -> index and name


def read_ilsvrc(root: Path) -> Iterator[Sample] | None:
    """The photos of the challenge's tree: `root` or `root/ILSVRC`, with the text files in either."""
    top = next((top for top in (root, root / "ILSVRC") if (top / PHOTOS).is_dir()), None)
    if top is None:
        return None
    names = _synsets(first_file(root / MAPPING, top.parent / MAPPING))
    photos = {path.stem: path for path in images_in(top / PHOTOS)}
    annotations = sorted((top / ANNOTATIONS).glob("*.xml"))
    solution = first_file(root / SOLUTION, top.parent / SOLUTION)
    if annotations:
        return _of_xml(top / PHOTOS, photos, annotations, names)
    if solution:
        return _of_solution(top / PHOTOS, photos, solution, names)
    raise DeepInsideError(
        f"{root}: expected the boxes of this ILSVRC tree in {ANNOTATIONS}/*.xml or {SOLUTION}, found neither"
    )


def _of_xml(folder: Path, photos: Mapping[str, Path], annotations: list[Path], names: Synsets) -> Iterator[Sample]:
    annotated = {path.stem: path for path in annotations}
    for stem in sorted(photos.keys() | annotated.keys()):
        photo = photos.get(stem, folder / f"{stem}.JPEG")
        if stem not in annotated:
            yield broken(photo, f"expected boxes in {ANNOTATIONS}/{stem}.xml, found no such file")
            continue
        yield sample_of(photo, partial(_annotations, partial(_xml, annotated[stem]), names))


def _of_solution(folder: Path, photos: Mapping[str, Path], solution: Path, names: Synsets) -> Iterator[Sample]:
    table = read_table(solution, (IMAGE, BOXES))
    if not {IMAGE, BOXES} <= set(table.columns):
        raise DeepInsideError(
            f"{solution}: expected the columns ImageId,PredictionString, found the columns {','.join(table.columns)}"
        )
    for row in table.rows:
        stem = row.get(IMAGE)
        if row.complaint or not stem:
            yield broken(solution, f"line {row.line}: {row.complaint or 'expected an ImageId, found none'}")
            continue
        photo = photos.get(stem, folder / f"{stem}.JPEG")
        yield sample_of(photo, partial(_annotations, partial(_solution, row.get(BOXES)), names))


def _xml(path: Path) -> Iterator[tuple[str, Box]]:
    """Class and box of each object in an XML file."""
    return ((each.name, each.box) for each in xml_boxes(path, 0))


def _solution(text: str) -> Iterator[tuple[str, Box]]:
    """Any number of `wnid xmin ymin xmax ymax` -> class and box of each."""
    words = text.split()
    if len(words) % 5:
        raise DeepInsideError(f"expected groups of class, xmin, ymin, xmax, ymax, got {text[:60]!r}")
    for start in range(0, len(words), 5):
        yield words[start], inclusive([float(word) for word in words[start + 1 : start + 5]], first=0)


def _annotations(boxes: Callable[[], Iterable[tuple[str, Box]]], names: Synsets) -> Iterator[Annotation]:
    for wnid, box in boxes():
        index, name = names.get(wnid, (None, None))
        yield Annotation(box, wnid, name, index)


def _synsets(path: Path | None) -> dict[str, tuple[int, str]]:
    """Lines such as `n01440764 tench, Tinca tinca` -> index and name of each WordNet id."""
    lines = read_text(path).splitlines() if path else []
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {pair[0]: (number, pair[-1].strip()) for number, pair in enumerate(pairs)}
