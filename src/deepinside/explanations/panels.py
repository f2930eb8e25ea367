"""What sheets show of the objects of a class: outlines and boxes, saliency, seeds, and the objects cut out.

All of them are drawn on thumbnails, in whose pixels `image`, maps and masks are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL.ImageColor import getrgb

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.core.results import Detection, Saliency, Segmentation

PREDICTION = "#e63946"  # of predicted boxes and of foreground seeds
BACKGROUND = "#3a86ff"  # of background seeds
# Of the objects of a class, in turn.
COLORS = (PREDICTION, "#3a86ff", "#f77f00", "#2a9d3f", "#b15de8", "#00b4d8")
OUTLINE, BOX, CASING = 1.4, 0.7, 0.6  # widths of lines, and of the white on each side of them, in points
NUMBER = 6.5  # size of an object's number, in points
OVERSAMPLING = 3  # points a pixel, along each axis, at which the share of it that an object covers is measured
# The color scale of a map ends at this quantile; with its maximum, a few strong pixels would leave the rest black.
BRIGHTEST = 0.995
COLORMAP = "inferno"
ROWS = 256  # of an image, that are computed with at a time

RGB: TypeAlias = UInt8[np.ndarray, "rows columns 3"]
Values: TypeAlias = Float[np.ndarray, "rows columns"]


def show_outlines(axes: Axes, image: RGB, objects: Sequence[Detection]) -> None:
    """The image with the outline and the box of each object, and its number where there are several.

    Raises `DeepInsideError` for saliency alone.
    """
    axes.imshow(image)
    axes.set_autoscale_on(False)
    numbered = list(zip(range(1, len(objects) + 1), objects, cycle(COLORS), strict=False))
    for number, detection, color in reversed(numbered):  # the surest on top
        found, box = segmentation_of(detection), _on_image(detection, image)
        draw_box(axes, box, color, BOX)
        draw_outline(axes, image, found, color)
        if len(objects) > 1:
            _draw_number(axes, box, number, color)


def draw_box(axes: Axes, box: Box, color: str, width: float = 2.0) -> None:
    """Outline a box, given in pixels of the image on these axes, in a color on white."""
    for edge, line in (("white", width + 2 * CASING), (color, width)):
        corner = (box.x0 - 0.5, box.y0 - 0.5)
        axes.add_patch(Rectangle(corner, box.width, box.height, fill=False, edgecolor=edge, linewidth=line))


def draw_outline(axes: Axes, image: RGB, found: Segmentation, color: str) -> None:
    """The outline of a mask, between its cells and those outside, in a color on white."""
    x, y, inside = outline_grid(found, image.shape[1], image.shape[0])
    lines = axes.contour(x - 0.5, y - 0.5, inside, levels=[0.5], colors=[color], linewidths=OUTLINE)
    lines.set_path_effects([withStroke(linewidth=OUTLINE + 2 * CASING, foreground="white")])


def outline_grid(
    found: Segmentation, width: int, height: int
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " rows"], Values]:
    """A mask between its cells and those outside, for a contour at 0.5: x and y in pixels of an image, and values.

    0 is the left or upper edge of the first pixel. There is a row of cells around the mask, so that its outline ends
    where the grid does.
    """
    frame = found.frame.resized(width, height)
    centers = frame.to_photo(Box(-0.5, -0.5, frame.width + 0.5, frame.height + 0.5))  # of the first and the last cell
    x = np.linspace(centers.x0, centers.x1, frame.width + 2)
    y = np.linspace(centers.y0, centers.y1, frame.height + 2)
    return x, y, np.pad(found.mask, 1).astype(np.float32)


def segmentation_of(detection: Detection) -> Segmentation:
    """The object of a detection. Raises `DeepInsideError` where it is saliency alone."""
    if detection.segmentation is None:
        raise DeepInsideError("expected an explanation with boxes for this sheet, got saliency alone")
    return detection.segmentation


def maps_of(objects: Sequence[Detection]) -> list[Saliency]:
    """The maps of the objects of a class; where they share the one of the class, it alone."""
    return [Saliency(each.frame, each.map) for each in {id(each.map): each for each in objects}.values()]


def show_map(axes: Axes, image: RGB, maps: Sequence[Saliency], top: float | None = None) -> Values:
    """The largest of some maps at each pixel, from 0 to `top`; gray where the network did not look.

    By default up to its brightest values. Returns its values, 0 where the network did not look.
    """
    values, seen = joined(maps, image.shape[1], image.shape[0])
    axes.imshow(np.where(seen, values, np.nan), cmap=COLORMAP, vmin=0, vmax=top or brightest(values))
    axes.set_facecolor("0.85")
    return values


def joined(maps: Sequence[Saliency], width: int, height: int) -> tuple[Values, Bool[np.ndarray, "rows columns"]]:
    """The largest of some maps at each pixel of an image, and whether the network looked at it."""
    values, seen = np.zeros((height, width), np.float32), np.zeros((height, width), bool)
    for frame, map in maps:
        frame = frame.resized(width, height)
        values = np.maximum(values, frame.map_to_photo(map))
        seen |= frame.mask_to_photo(np.ones(map.shape, bool))
    return values, seen


def overlaid(image: RGB, values: Values, alpha: float) -> RGB:
    """The image with a map over it, in the colors of `show_map`: the stronger the map, the less is left of the image.

    The share of the map is `alpha` where it is brightest, and 0 where it is 0; in between, it is as the square root.
    """
    most, result = brightest(values), np.array(image)
    for top in range(0, len(result), ROWS):  # as floats, a large photo would fill the memory
        rows = slice(top, top + ROWS)
        share = unit(values[rows], most)
        colors = colormaps[COLORMAP](share)[..., :3] * 255
        share = alpha * np.sqrt(share)[..., None]
        result[rows] = np.round(result[rows] * (1 - share) + colors * share)
    return result


def unit(values: Values, most: float) -> Values:
    """The values of a map from 0 to 1, which is `most` and above."""
    return np.clip(values / most, 0, 1)


def brightest(values: Values) -> float:
    """The value at which the color scale of a map ends."""
    positive = values[values > 0]
    return float(np.quantile(positive, BRIGHTEST)) if positive.size else 1.0


def with_seeds(image: RGB, objects: Sequence[Detection]) -> RGB:
    """The seeds over the dimmed image: of any object, and of the background of every object whose grid is there."""
    foreground, background = seeded(objects, image.shape[1], image.shape[0])
    painted = dimmed(image, 0.6)
    painted[background] = getrgb(BACKGROUND)
    painted[foreground] = getrgb(PREDICTION)
    return painted


def seeded(
    objects: Sequence[Detection], width: int, height: int
) -> tuple[Bool[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]]:
    """The pixels of an image that are seeds of any object, and those of the background of every object around."""
    foreground, background, other = np.zeros((3, height, width), bool)
    for found in map(segmentation_of, objects):
        frame = found.frame.resized(width, height)
        own = frame.mask_to_photo(found.background_seeds)
        foreground |= frame.mask_to_photo(found.foreground_seeds)
        background |= own
        other |= frame.mask_to_photo(np.ones_like(found.mask)) & ~own
    return foreground, background & ~other


def cut_out(image: RGB, objects: Sequence[Detection]) -> RGB:
    """All objects in color over the dark gray image."""
    share = np.minimum(sum(_share(segmentation_of(each), image) for each in objects), 1)[..., None]
    return np.asarray(image * share + (dimmed(image, 1.0) * 0.55 + 8) * (1 - share), dtype=np.uint8)


def dimmed(image: RGB, share: float) -> RGB:
    """The image, with so large a share of a darker gray one in it."""
    gray = image.mean(axis=2, keepdims=True)
    return np.asarray(image * (1 - share) + gray * share * 0.6, dtype=np.uint8)


def _share(found: Segmentation, image: RGB) -> Values:
    """How much of each pixel an object covers."""
    rows, columns = image.shape[:2]
    fine = found.frame.resized(columns * OVERSAMPLING, rows * OVERSAMPLING).mask_to_photo(found.mask)
    starts = range(OVERSAMPLING)
    points = sum(fine[i::OVERSAMPLING, j::OVERSAMPLING].astype(np.float32) for i in starts for j in starts)
    return np.asarray(points / OVERSAMPLING**2, dtype=np.float32)


def _on_image(detection: Detection, image: RGB) -> Box:
    """The box of an object, in pixels of the image."""
    x_scale, y_scale = image.shape[1] / detection.frame.photo_width, image.shape[0] / detection.frame.photo_height
    box = detection.box
    return Box(box.x0 * x_scale, box.y0 * y_scale, box.x1 * x_scale, box.y1 * y_scale)


def _draw_number(axes: Axes, box: Box, number: int, color: str) -> None:
    """In the upper left corner of a box, in white on the color of its object."""
    style = {"facecolor": color, "edgecolor": "white", "linewidth": 0.6, "pad": 1.5}
    font: dict[str, Any] = {"color": "white", "fontsize": NUMBER, "weight": "bold"}
    axes.text(box.x0, box.y0, str(number), ha="left", va="top", bbox=style, clip_on=True, **font)
