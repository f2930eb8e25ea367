"""Rows of a run, as they are read back: those of a photo stand together, and one row is one object.

The columns are those of `records.SCHEMA`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

from deepinside.core.geometry import Box
from deepinside.core.labels import Labels, imagenet
from deepinside.data.masks import decoded
from deepinside.data.samples import RunLengths
from deepinside.evaluation.masks import Mask

Row: TypeAlias = dict[str, Any]


def photos_of(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows of each photo."""
    return (list(mine) for _, mine in groupby(rows, itemgetter("key")))


def file_of(row: Row) -> Path:
    """The photo file."""
    return Path(os.fsdecode(row["file"]))


def box_of(row: Row) -> Box:
    """The box of an object, half-open, in photo pixels.

    >>> box_of({"x0": 1, "y0": 2, "x1": 5, "y1": 9}).as_tuple()
    (1, 2, 5, 9)
    """
    return Box(row["x0"], row["y0"], row["x1"], row["y1"])


def mask_of(row: Row) -> Mask:
    """The mask of an object, of the size of the photo.

    >>> mask_of({"width": 2, "height": 2, "mask": "13"}).tolist()
    [[False, True], [True, True]]
    """
    width, height = row["width"], row["height"]
    return decoded(RunLengths(height, width, row["mask"]), width, height)


def labels_of(about: Mapping[str, Any]) -> Labels:
    """The classes of the network of a run, from what the run says of itself; ImageNet's have all their names."""
    names, wnids = ([pair[k] for pair in about["classes"]] for k in (0, 1))
    known = imagenet()
    if names == [known.name(index) for index in range(len(known))]:
        return known
    return Labels(tuple((name,) for name in names), tuple(wnids) if all(wnids) else ())
