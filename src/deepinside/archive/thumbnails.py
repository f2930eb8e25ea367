"""What a report shows of a photo, in few bytes: a thumbnail, outlines of its objects, and small maps of its classes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from contourpy import LineType, contour_generator
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read

SIDE = 192  # pixels of the longer side of a thumbnail
QUALITY, MAP_QUALITY = 55, 60  # of WebP, of 100
UNITS = 640  # of an outline, along the longer side of the photo
GRID = 320  # cells along the same side, in which outlines are found
TOLERANCE = 0.75  # cells between an outline and its simplification


def thumbnail(path: Path) -> bytes | None:
    """A photo as a WebP file of at most `SIDE` pixels; None where it is not there any more, or cannot be read."""
    try:
        image = read(path, least=SIDE).image
    except DeepInsideError:
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _webp(image, QUALITY)


def map_picture(values: UInt8[np.ndarray, "rows columns"]) -> bytes:
    """A small map as a gray WebP file, whose values are off by a few of 255."""
    return _webp(Image.fromarray(values), MAP_QUALITY)


def outline(mask: Bool[np.ndarray, "height width"]) -> str:
    """The outline of a mask as the path of an SVG, in `UNITS` along the longer side of the photo; "" for an empty mask.

    It is off by about `TOLERANCE`.

    >>> outline(np.array([[False, True], [False, True]]))
    'M320,1l320,0 -1,639 -319,-1Z'
    """
    height, width = mask.shape
    longer = max(height, width)
    size = max(round(width * GRID / longer), 1), max(round(height * GRID / longer), 1)
    cells = np.asarray(Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BOX), np.float32)
    if not cells.any():
        return ""
    padded = np.pad(cells, 1)  # so that outlines are closed at the photo's edges
    level = min(127.5, float(padded.max()) / 2)  # an object that is smaller than a cell has an outline, too
    lines = cast(list[np.ndarray], contour_generator(z=padded, line_type=LineType.Separate).lines(level))
    units = np.array([width, height]) * UNITS / longer
    return "".join(_path(np.clip((_simplified(line) - 0.5) / size * units, 0, units)) for line in lines)


def _simplified(line: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "_ 2"]:
    """Some points of a closed line, from which no other is farther than `TOLERANCE` (Douglas and Peucker, 1973).

    Matplotlib's simplification keeps twice as many at the same distance.
    """
    points = line[:, 0] + 1j * line[:, 1]  # half as many calls of NumPy, which take most of the time
    farthest = int(np.abs(points - points[0]).argmax())
    kept = {0, farthest}  # the line ends where it begins
    pieces = [(0, farthest), (farthest, len(line) - 1)]
    while pieces:
        start, end = pieces.pop()
        if end - start < 2:
            continue
        along = points[end] - points[start]
        across = np.abs(((points[start + 1 : end] - points[start]) * along.conjugate()).imag)
        middle = int(across.argmax())
        if across[middle] > TOLERANCE * abs(along):
            middle += start + 1
            kept.add(middle)
            pieces += [(start, middle), (middle, end)]
    return line[sorted(kept)]


def _path(points: Float[np.ndarray, "_ 2"]) -> str:
    first, *others = points.round().astype(int)
    steps = np.diff([first, *others], axis=0).tolist()
    return f"M{first[0]},{first[1]}l{' '.join(f'{x},{y}' for x, y in steps)}Z"


def _webp(image: Image.Image, quality: int) -> bytes:
    stream = BytesIO()
    image.save(stream, "WEBP", quality=quality, method=2)
    return stream.getvalue()
