"""What is drawn over a photo on the page: its map and its seeds as transparent pictures, and outlines as paths.

The page shows them one above the other, so that opacity, outlines and boxes follow at once, without the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from contourpy import contour_generator
from matplotlib import colormaps
from PIL import Image
from PIL.ImageColor import getrgb

from deepinside.core.images import Photo
from deepinside.core.results import Detection, Saliency, Segmentation
from deepinside.explanations.panels import (
    BACKGROUND,
    COLORMAP,
    PREDICTION,
    brightest,
    joined,
    maps_of,
    outline_grid,
    seeded,
    segmentation_of,
    unit,
)

SIDE = 1280  # pixels of the longer side of a photo on the page, at most
MAP_SIDE = 640  # the same of a map, which has no fine detail
QUALITY = 88  # of JPEG, of 100
SEED = 200  # opacity of a seed, of 255


def shown_photo(photo: Photo) -> bytes:
    """The photo as a JPEG for the page."""
    image = photo.image.copy()
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    stream = BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def shown_map(maps: Sequence[Saliency], width: int, height: int) -> bytes:
    """A map of a photo as a PNG, in the colors of the sheets, and the more opaque the stronger it is.

    At full opacity over the photo, it is `Explanation.overlay(1.0)`.
    """
    columns, rows = _within(width, height, MAP_SIDE)
    values, _ = joined(maps, columns, rows)
    share = unit(values, brightest(values))
    colors = colormaps[COLORMAP](share)
    colors[..., 3] = np.sqrt(share)
    return png(Image.fromarray(np.round(colors * 255).astype(np.uint8)))


def shown_objects_map(objects: Sequence[Detection], width: int, height: int) -> bytes:
    """The maps of the objects of a class."""
    return shown_map(maps_of(objects), width, height)


def shown_seeds(objects: Sequence[Detection], width: int, height: int) -> bytes:
    """The seeds of the objects of a class as a PNG, transparent elsewhere."""
    columns, rows = _within(width, height, MAP_SIDE)
    foreground, background = seeded(objects, columns, rows)
    painted = np.zeros((rows, columns, 4), np.uint8)
    painted[background] = *getrgb(BACKGROUND), SEED
    painted[foreground] = *getrgb(PREDICTION), SEED
    return png(Image.fromarray(painted))


def path_of(found: Segmentation, width: int, height: int) -> str:
    """The outline of a mask as the `d` of an SVG path, in photo pixels; empty for an empty mask."""
    x, y, inside = outline_grid(found, width, height)
    lines: Any = contour_generator(x, y, inside).lines(0.5)
    return "".join(f"M{' '.join(map(str, line.round(1).ravel().tolist()))}Z" for line in lines)


def outlines_of(objects: Sequence[Detection]) -> list[str]:
    """The outline of each object, in photo pixels."""
    return [path_of(segmentation_of(each), each.frame.photo_width, each.frame.photo_height) for each in objects]


def mask_png(objects: Sequence[Detection]) -> bytes:
    """The masks of all objects as one gray PNG of the photo's size, 255 inside."""
    mask = np.logical_or.reduce([each.mask for each in objects])
    return png(Image.fromarray(mask.astype(np.uint8) * 255))


def png(image: Image.Image) -> bytes:
    """An image as a PNG, quickly."""
    stream = BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _within(width: int, height: int, side: int) -> tuple[int, int]:
    """A size of the same proportions, whose longer side has no more than so many pixels."""
    scale = min(side / max(width, height), 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)
