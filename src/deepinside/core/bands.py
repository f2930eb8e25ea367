"""Pictures that Pillow reads in part or not at all: TIFF files of many bands, and color with 16 bits.

The package `tifffile` reads the former.
"""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Shaped, UInt16
from PIL import Image

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.formats import Stream, opened, room

TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LARGEST = 2**32  # bytes of the decoded values of one file
WHITE_IS_ZERO = 0  # the photometric interpretation of a negative
EXTRA = "needs an extra: pip install 'deepinside[tiff]'"


class Bands(NamedTuple):
    """All bands of a picture as they are stored, the value of white that the file declares, and whether 0 is white."""

    values: Shaped[np.ndarray, "rows columns bands"]
    white: float | None = None
    is_negative: bool = False


def is_tiff(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a TIFF."""
    return head.startswith(TIFF_HEADS)


def read_bands(source: Stream, name: str) -> Bands:
    """All bands of the first page, upright.

    Raises `DeepInsideError` without the package, for a file that it cannot read, and for one that is too large.
    """
    if not find_spec("tifffile"):
        raise DeepInsideError(f"{name}: a TIFF of this kind {EXTRA}")
    import tifffile

    source.seek(0)
    try:
        with tifffile.TiffFile(source) as file:
            page: Any = file.pages[0]
            axes, shape = _layout(page)
            pixels = shape[axes.index("Y")] * shape[axes.index("X")]
            _check(name, pixels, int(np.prod(shape)) * page.dtype.itemsize)
            with room.taken(pixels * max(1, shape[axes.index("S")] // 3)):
                values = page.asarray(maxworkers=1).reshape(shape).transpose(_order(axes))
                values = upright(values, getattr(page.tags.get("Orientation"), "value", 1))
                return Bands(values, _white(page), page.photometric == WHITE_IS_ZERO)
    except DeepInsideError:
        raise
    except Exception as error:  # the decoders raise anything on broken files
        raise DeepInsideError(f"{name}: this TIFF cannot be read ({brief(error)})") from None


def read_deep_png(source: Stream) -> UInt16[np.ndarray, "rows columns bands"]:
    """The values of a PNG of 16 bits and several bands, of which Pillow keeps the upper bytes; not turned upright.

    Read in the other byte order, the same file gives the lower bytes. There is no such order for gray with alpha, but
    its pixels have as many bytes as those of RGBA with 8 bits.
    """
    source.seek(0)
    content = source.read()
    with opened(BytesIO(content)) as image:
        (codec, extents, offset, raw_mode), *others = image.tile  # type: ignore[attr-defined]
        upper = np.asarray(image)
    if raw_mode.startswith("LA"):
        with opened(BytesIO(_as_rgba(content))) as image:
            return np.asarray(image).view(">u2").astype(np.uint16)
    with opened(BytesIO(content)) as image:
        image.tile = [(codec, extents, offset, raw_mode.replace(";16B", ";16L")), *others]  # type: ignore[attr-defined]
        return np.asarray(upper.astype(np.uint16) << 8 | np.asarray(image))


def _as_rgba(content: bytes) -> bytes:
    """The same PNG with a header that says RGBA of 8 bits."""
    header = content[12:24] + bytes([8, 6]) + content[26:29]
    return content[:12] + header + crc32(header).to_bytes(4, "big") + content[33:]


def upright(values: Shaped[np.ndarray, "_ _ bands"], orientation: int) -> Shaped[np.ndarray, "_ _ bands"]:
    """Rows and columns as viewers show them, by the orientation that TIFF and EXIF share."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)


def _layout(page: Any) -> tuple[str, tuple[int, ...]]:
    """The axes of a page as `YXS` or `SYX`, bands as S, and their lengths."""
    axes, shape = page.axes, page.shape
    if page.dtype is None or page.dtype.kind not in "buif":
        raise ValueError(f"values of the type {page.dtype}")
    if "S" not in axes:
        axes, shape = f"{axes}S", (*shape, 1)
    if sorted(axes) != ["S", "X", "Y"]:
        raise ValueError(f"axes {axes} in place of rows, columns and bands")
    return axes, tuple(shape)


def _white(page: Any) -> float | None:
    """The value of white by the tags `SMaxSampleValue` or `MaxSampleValue`, or by a depth of 9 to 15 bits."""
    declared = page.tags.get("SMaxSampleValue") or page.tags.get("MaxSampleValue")
    white = float(np.max(declared.value)) if declared else 2.0 ** int(np.max(page.bitspersample)) - 1
    return white if np.isfinite(white) and (declared or 2**8 <= white < 2**15) else None


def _order(axes: str) -> list[int]:
    return [axes.index(axis) for axis in "YXS"]


def _check(name: str, pixels: int, size: int) -> None:
    most = Image.MAX_IMAGE_PIXELS
    if (most is not None and pixels > 2 * most) or size > LARGEST:
        raise DeepInsideError(f"{name}: the photo was refused as a possible decompression bomb ({pixels} pixels)")
