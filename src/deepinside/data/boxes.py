"""Photos with ground-truth boxes: ILSVRC, Pascal VOC, COCO and plain tables, in their published layouts.

Every reader yields one `Sample` per photo. A new reader is a function in a file of its own and an entry of `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from deepinside.core.errors import DeepInsideError
from deepinside.data.coco import read_coco
from deepinside.data.ilsvrc import read_ilsvrc
from deepinside.data.masks import VOID, Pixels, box_pixels, decoded, filled, read_mask
from deepinside.data.samples import Annotation, NoBoxesError, Sample
from deepinside.data.tables import COLUMNS, read_tables
from deepinside.data.voc import read_voc

__all__ = ["COLUMNS", "READERS", "VOID", "Annotation", "NoBoxesError", "Sample", "marked_pixels", "read_samples"]

# Yields the samples, or returns None for a path of another kind; `NoBoxesError` says why a file is not of its kind.
Reader = Callable[[Path], Iterator[Sample] | None]

# What each reader looks for, as errors name it, and the reader.
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "an ILSVRC tree (Data/CLS-LOC/val)": read_ilsvrc,
        "a Pascal VOC tree (Annotations/*.xml and JPEGImages)": read_voc,
        "COCO annotations (a .json with images, annotations and categories)": read_coco,
        f"a table (a .csv with the columns {','.join(COLUMNS)})": read_tables,
    }
)


def read_samples(root: Path) -> Iterator[Sample]:
    """The photos of a data set with their boxes, in the order of their names. The kind of data set is detected.

    Args:
        root: an ILSVRC tree (`Data/CLS-LOC/val` with `Annotations/CLS-LOC/val/*.xml` or `LOC_val_solution.csv`), a
            Pascal VOC tree (`Annotations/*.xml`, `JPEGImages`), a COCO file or the folder that contains it, or a
            table `image,label,x0,y0,x1,y1` or the folder that contains it. So are the exports of explanations.

    Raises `DeepInsideError` for anything else, with the kinds that were looked for.
    """
    root = Path(root)
    try:
        if not root.exists():
            raise DeepInsideError(f"{root}: expected a data set, found no such file or folder")
    except (OSError, ValueError) as error:
        raise DeepInsideError(f"{root}: expected a data set, found none ({error})") from None
    refused = []
    for reader in READERS.values():
        try:
            samples = reader(root)
        except NoBoxesError as error:
            refused.append(str(error))
            continue
        if samples is not None:
            return samples
    looked = "; ".join([f"looked for {', '.join(READERS)}", *refused])
    raise NoBoxesError(f"{root}: expected a data set with boxes, found none; {looked}")


def marked_pixels(
    sample: Sample, annotations: Iterable[Annotation], width: int, height: int
) -> tuple[Pixels, Pixels] | None:
    """The pixels of some annotations, and the void pixels, which are ignored; None where nobody marked any.

    The sample's mask file takes precedence: the pixels with the `mask_value` of an annotation, or all that are not 0;
    255 in a palette file is void. Otherwise each annotation has an outline of its own; of one that has none, beside
    others that do, the box is void, and so are the sample's ignored regions.

    Raises `DeepInsideError` for a mask that is damaged or of another size.
    """
    annotations = tuple(annotations)
    if sample.mask is not None:
        values = [annotation.mask_value for annotation in annotations if annotation.mask_value is not None]
        return _of_file(sample.mask, values, width, height)
    if not any(annotation.has_outline for annotation in annotations):
        return None
    marked, void = np.zeros((2, height, width), dtype=bool)
    for annotation in annotations:
        if annotation.has_outline:
            own, ignored = _pixels(annotation, width, height)
            marked |= own
            void |= ignored
        else:
            void |= box_pixels(annotation.box, width, height)
    for region in sample.ignored:
        void |= _pixels(region, width, height)[0] if region.has_outline else box_pixels(region.box, width, height)
    return marked, void & ~marked


def _pixels(annotation: Annotation, width: int, height: int) -> tuple[Pixels, Pixels]:
    """The pixels of one annotation with an outline, and the void ones."""
    if annotation.mask is not None:
        return _of_file(annotation.mask, [], width, height)
    if annotation.run_lengths is not None:
        own = decoded(annotation.run_lengths, width, height)
    else:
        own = filled(annotation.polygons, width, height)
    return own, np.zeros((height, width), dtype=bool)


def _of_file(path: Path, wanted: Sequence[int], width: int, height: int) -> tuple[Pixels, Pixels]:
    """The pixels of a mask file that have one of the values, or any but 0, and those that are void."""
    values, is_palette = read_mask(path, width, height)
    void = (values == VOID) & is_palette
    marked = np.isin(values, wanted) if len(wanted) else values > 0
    return marked & ~void, void
