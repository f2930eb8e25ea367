"""Which pixels of a photo belong to an object: polygons, run lengths and mask files, to the pixel.

Polygons become pixels by the rules of pycocotools, with which COCO is evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.formats import opened, room
from deepinside.core.geometry import Box
from deepinside.data.samples import RunLengths

Pixels: TypeAlias = Bool[np.ndarray, "rows columns"]

VOID = 255  # the value of pixels that are ignored in a palette mask, such as the outlines in Pascal VOC
LONGEST = 2_000_000  # pixels around the polygons of one object, which take 160 MB to fill


def filled(polygons: Sequence[Sequence[float]], width: int, height: int) -> Pixels:
    """The pixels of an object that one or more polygons outline, (x, y, x, y, ...) in photo pixels each.

    Raises `DeepInsideError` for polygons that are far larger than any photo.

    >>> filled([(0, 0, 2, 0, 2, 1, 0, 1)], 3, 2).astype(int)
    array([[1, 1, 0],
           [0, 0, 0]])
    """
    from pycocotools import mask as coder

    outlines = [list(map(float, polygon)) for polygon in polygons if len(polygon) >= 6]
    if not outlines:
        return np.zeros((height, width), dtype=bool)
    around = sum(_length(outline) for outline in outlines)
    if not around <= LONGEST:
        raise DeepInsideError(
            f"expected polygons of the photo's {width} x {height} pixels, got {around:.3g} around them"
        )
    merged = coder.merge(coder.frPyObjects(outlines, height, width))
    return decoded(RunLengths(height, width, merged["counts"].decode("ascii")), width, height)


def _length(outline: Sequence[float]) -> float:
    """How many pixels a polygon and the way to it from the corner pass."""
    points = np.array([(0.0, 0.0), *zip(outline[::2], outline[1::2], strict=True)])
    closed = np.vstack([points, points[1:2]])
    return float(np.abs(np.diff(closed, axis=0)).max(axis=1).sum())


def decoded(runs: RunLengths, width: int, height: int) -> Pixels:
    """The pixels of COCO's run lengths. Raises `DeepInsideError` for those of another size, and for damaged ones.

    >>> decoded(RunLengths(2, 2, "13"), 2, 2).astype(int), decoded(RunLengths(2, 2, (1, 3)), 2, 2).astype(int)
    (array([[0, 1],
           [1, 1]]), array([[0, 1],
           [1, 1]]))
    """
    if (runs.height, runs.width) != (height, width):
        raise DeepInsideError(
            f"expected run lengths of the photo's {width} x {height} pixels, got {runs.width} x {runs.height}"
        )
    counts = _counts(runs.counts) if isinstance(runs.counts, str) else list(runs.counts)
    if min(counts, default=0) < 0 or sum(counts) != width * height:
        raise DeepInsideError(f"expected run lengths of {width * height} pixels in all, got {str(sum(counts))[:20]}")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(values.reshape(width, height).T)


def _counts(text: str) -> list[int]:
    """Compressed run lengths as numbers (`rleFrString` in cocoapi's `common/maskApi.c`).

    Each number has 5 bits a character, the lowest first; 32 says that more follow, and 16 of the last one is the sign.
    From the fourth on, a number is the difference to the one two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            raise DeepInsideError(f"expected compressed run lengths, got the character {character!r}")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise DeepInsideError("expected compressed run lengths, got some that end within a number")
    return counts


def read_mask(path: Path, width: int, height: int) -> tuple[Shaped[np.ndarray, "rows columns"], bool]:
    """The values of a mask file of the photo's size, and whether they are palette indices.

    The size is compared before the pixels are read. Raises `DeepInsideError` for another size and damaged files.
    """
    try:
        with opened(path) as image, room.taken(width * height):
            if image.size != (width, height):
                raise DeepInsideError(
                    f"{path}: expected a mask of the photo's {width} x {height} pixels, got "
                    f"{image.width} x {image.height}"
                )
            return _values(image), image.mode == "P"
    except DeepInsideError as error:
        raise DeepInsideError(str(error).replace("expected a photo", "expected a mask")) from None
    except Exception as error:  # on broken files decoders raise anything
        raise DeepInsideError(f"{path}: expected a mask, an 8-bit image of one channel ({brief(error)})") from None


def _values(image: Image.Image) -> np.ndarray:
    """One value for each pixel; of a color, the largest, or 0 where it is transparent."""
    if len(image.getbands()) == 1:
        return np.asarray(image.convert("L") if image.mode == "1" else image)
    colors = np.asarray(image.convert("RGBA"))
    return np.where(colors[..., 3] > 0, colors[..., :3].max(axis=2), 0)


def box_pixels(box: Box, width: int, height: int) -> Pixels:
    """All pixels that a box touches."""
    pixels = np.zeros((height, width), dtype=bool)
    corners = np.clip([box.x0, box.y0, box.x1, box.y1], 0, [width, height, width, height])
    (x0, y0), (x1, y1) = np.floor(corners[:2]).astype(int), np.ceil(corners[2:]).astype(int)
    pixels[y0:y1, x0:x1] = True
    return pixels
