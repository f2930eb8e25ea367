"""Boxes, and the map between network pixels and photo pixels: axis-aligned, affine, and exactly invertible.

A `Frame` is a value: the rectangle of the photo that the network saw, and the number of pixels it was resized to. Every
`Detection` carries one, so that maps stay on the small grid of the network until they are needed in photo pixels: five
float maps of a 100-megapixel photo would take two gigabytes.

Photo pixels are those of the upright photo (EXIF orientation applied), as image viewers show it.
Coordinates are continuous: pixel `i` covers `[i, i + 1)` and its center is `i + 0.5`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.resampling import Axis, cell_positions, enlarged, extents, inside_region, interpolated


@dataclass(frozen=True)
class Box:
    """A half-open rectangle `(x0, y0, x1, y1)`: the pixel columns `x0 <= x < x1`, the rows `y0 <= y < y1`.

    >>> Box(10, 20, 40, 60).area
    1200
    >>> Box(0, 0, 10, 10).iou(Box(5, 0, 15, 10))
    0.3333333333333333
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Width in pixels; never negative."""
        return max(self.x1 - self.x0, 0)

    @property
    def height(self) -> float:
        """Height in pixels; never negative."""
        return max(self.y1 - self.y0, 0)

    @property
    def area(self) -> float:
        """Area in pixels."""
        return self.width * self.height

    def intersection(self, other: Box) -> Box:
        """The rectangle that both boxes share; its area is 0 if they do not overlap."""
        return Box(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))

    def iou(self, other: Box) -> float:
        """Intersection over union in [0, 1]; 0 for two empty boxes."""
        shared = self.intersection(other).area
        union = self.area + other.area - shared
        return shared / union if union else 0.0

    def as_tuple(self) -> tuple[float, float, float, float]:
        """`(x0, y0, x1, y1)`."""
        return (self.x0, self.y0, self.x1, self.y1)


@dataclass(frozen=True)
class Frame:
    """The rectangle `region` of a `photo_width` x `photo_height` photo, resized to `width` x `height` network pixels.

    >>> frame = Frame.whole(640, 480, width=224, height=224)
    >>> frame.to_photo(Box(0, 0, 112, 224))
    Box(x0=0.0, y0=0.0, x1=320.0, y1=480.0)
    """

    photo_width: int
    photo_height: int
    region: Box
    width: int
    height: int

    @classmethod
    def whole(cls, photo_width: int, photo_height: int, *, width: int, height: int) -> Frame:
        """The whole photo, resized to the network's size: nothing is cropped, but the aspect ratio may change."""
        return cls(photo_width, photo_height, Box(0.0, 0.0, float(photo_width), float(photo_height)), width, height)

    @classmethod
    def center(cls, photo_width: int, photo_height: int, *, width: int, height: int, crop: float = 1.0) -> Frame:
        """The central crop with the network's aspect ratio; `crop=1` is the largest one that fits the photo.

        With `width == height` this is "resize the shortest side, then take the central crop" in one step.
        """
        scale = crop * min(photo_width / width, photo_height / height)
        half_width, half_height = scale * width / 2, scale * height / 2
        x, y = photo_width / 2, photo_height / 2
        region = Box(
            max(x - half_width, 0.0),
            max(y - half_height, 0.0),
            min(x + half_width, float(photo_width)),
            min(y + half_height, float(photo_height)),
        )
        return cls(photo_width, photo_height, region, width, height)

    def resized(self, width: int, height: int) -> Frame:
        """The same frame for a copy of the photo that was resized to `width` x `height`, such as a thumbnail."""
        x_scale, y_scale = width / self.photo_width, height / self.photo_height
        region = Box(
            self.region.x0 * x_scale,
            self.region.y0 * y_scale,
            self.region.x1 * x_scale,
            self.region.y1 * y_scale,
        )
        return Frame(width, height, region, self.width, self.height)

    def to_photo(self, box: Box) -> Box:
        """A box in network pixels -> the same box in photo pixels, not rounded."""
        x_scale, y_scale = self.region.width / self.width, self.region.height / self.height
        left, top = self.region.x0, self.region.y0
        return Box(left + box.x0 * x_scale, top + box.y0 * y_scale, left + box.x1 * x_scale, top + box.y1 * y_scale)

    def to_network(self, box: Box) -> Box:
        """A box in photo pixels -> the same box in network pixels: the inverse of `to_photo`."""
        x_scale, y_scale = self.width / self.region.width, self.height / self.region.height
        left, top = self.region.x0, self.region.y0
        return Box(
            (box.x0 - left) * x_scale,
            (box.y0 - top) * y_scale,
            (box.x1 - left) * x_scale,
            (box.y1 - top) * y_scale,
        )

    def mask_to_photo(self, mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "rows columns"]:
        """A mask on the network's grid -> the same mask in photo pixels, False outside the region.

        Where the photo is larger than the grid, the outline is smooth, as `core.resampling` has it; elsewhere each
        photo pixel takes the value of the network pixel that its center falls into. A mask that falls between the pixel
        centers of the photo keeps one pixel, so that no object vanishes.
        """
        self._check(mask)
        x, y = self._axes()
        photo = np.zeros((self.photo_height, self.photo_width), dtype=bool)
        photo[y.pixels, x.pixels] = enlarged(mask, x, y)
        if mask.any() and not photo.any():
            box = self._nearest_pixel(mask)
            photo[int(box.y0), int(box.x0)] = True
        return photo

    def mask_box(self, mask: Bool[np.ndarray, "height width"]) -> Box:
        """The bounding box, in whole photo pixels, of `mask_to_photo(mask)`, without computing that mask.

        Raises `DeepInsideError` on an empty mask.
        """
        self._check(mask)
        if not mask.any():
            raise DeepInsideError("expected a mask with at least one pixel, got an empty one, which has no box")
        found = extents(mask, *self._axes())
        if found is None:
            return self._nearest_pixel(mask)
        columns, rows = found
        return Box(columns.start, rows.start, columns.stop, rows.stop)

    def map_to_photo(self, values: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "rows columns"]:
        """A map on the network's grid -> photo pixels, bilinear between pixel centers, 0 outside the region."""
        self._check(values)
        inside_x = inside_region(self.photo_width, self.region.x0, self.region.x1)
        inside_y = inside_region(self.photo_height, self.region.y0, self.region.y1)
        x = np.clip(cell_positions(inside_x, self.region.x0, self.region.width, self.width), 0, self.width - 1)
        y = np.clip(cell_positions(inside_y, self.region.y0, self.region.height, self.height), 0, self.height - 1)
        photo = np.zeros((self.photo_height, self.photo_width), dtype=np.float32)
        photo[np.ix_(inside_y, inside_x)] = interpolated(interpolated(values.astype(np.float32), y, axis=0), x, axis=1)
        return photo

    def _check(self, grid: np.ndarray) -> None:
        if grid.shape != (self.height, self.width):
            raise DeepInsideError(
                f"expected a map of the frame's {self.height} x {self.width} network pixels, got {grid.shape}"
            )

    def _axes(self) -> tuple[Axis, Axis]:
        """Where the photo's columns lie on the network's, and its rows."""
        return (
            Axis.of(self.photo_width, self.region.x0, self.region.x1, self.width),
            Axis.of(self.photo_height, self.region.y0, self.region.y1, self.height),
        )

    def _nearest_pixel(self, mask: Bool[np.ndarray, "height width"]) -> Box:
        """The photo pixel at the middle of a mask, or rather at the network pixel of the mask that is nearest to it."""
        y, x = np.nonzero(mask)
        middle = int(np.hypot(y - y.mean(), x - x.mean()).argmin())
        center = self.to_photo(Box(x[middle] + 0.5, y[middle] + 0.5, x[middle] + 0.5, y[middle] + 0.5))
        column = min(int(center.x0), self.photo_width - 1)
        row = min(int(center.y0), self.photo_height - 1)
        return Box(column, row, column + 1, row + 1)
