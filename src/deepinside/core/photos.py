"""Photos as upright 8-bit RGB, and beside it what 8-bit RGB cannot say: other numbers of channels, and other depths."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import ExifTags, Image, ImageOps

from deepinside.core import bands
from deepinside.core.depth import Window, window
from deepinside.core.errors import DeepInsideError
from deepinside.core.formats import Stream

ORIENTATION = ExifTags.Base.Orientation
S_MAX_SAMPLE_VALUE, MAX_SAMPLE_VALUE, SAMPLE_FORMAT = 341, 281, 339  # tags of TIFF
UNSIGNED, SIGNED = 1, 2  # kinds of samples
ROWS = 256  # that are composited at a time
MOST_CHUNKS = 100  # of a PNG file, to look for the significant bits in


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright 8-bit RGB photo. `name` says where it came from; it is used in messages and file names.

    `values` are its channels in [0, 1], or None where the RGB image says all. `notes` tell how it was read, where that
    is worth knowing, such as a depth that had to be guessed.
    """

    image: Image.Image
    name: str = "photo"
    values: Float[np.ndarray, "rows columns channels"] | None = None
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.image.height

    @property
    def pixels(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """The photo as an array, RGB in 0 to 255."""
        return np.asarray(self.image)


# ----------------------------------------------------------------------------------------------------- Pillow's images


def photo_of_image(image: Image.Image, source: Stream | None, name: str) -> Photo:
    """A photo of an opened image; `source` is its file, if there is one."""
    kind, declared, is_deep = image.format, _declared_white(image), _is_deep_color(image)
    wrapped, is_negative = _wrapped(image), _is_negative(image)
    image.load()
    orientation = image.getexif().get(ORIENTATION, 1) if is_deep else 1
    image = ImageOps.exif_transpose(image)
    if wrapped or image.mode.startswith("I") or image.mode == "F":
        stored = np.asarray(image)[..., None]
        stored = stored.view(wrapped) if wrapped else stored
        scale = window(stored, declared)
        return photo_of_values(_positive(stored, scale) if is_negative else stored, scale, name)
    if is_deep and source is not None and _is_dark(image):
        values = bands.read_bands(source, name).values if kind == "TIFF" else bands.read_deep_png(source)
        return _of_deep_color(values if kind == "TIFF" else bands.upright(values, orientation), name)
    with_alpha = kind == "TIFF" and image.mode in ("LA", "RGBA")
    return Photo(_rgb(image), name, np.asarray(image) / np.float32(255) if with_alpha else None)


def _rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = Image.new("RGB", image.size)
    for top in range(0, image.height, ROWS):  # a few rows at a time, since each step takes the memory of its result
        strip = image.crop((0, top, image.width, min(top + ROWS, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        opaque.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return opaque


def has_more_bands(image: Image.Image) -> bool:
    """Whether this is a TIFF that Pillow opens and reads in part or wrongly: bands beside RGB, or `is_misread`."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.mode in ("CMYK", "LAB", "P", "YCbCr"):
        return False
    if is_misread(image):
        return True
    return bool(_samples(image) != len(image.getbands()))


def without_other_bands(image: Image.Image, source: Stream, name: str) -> Photo:
    """A photo of the bands that Pillow reads, with a note, where no other package can read all of them."""
    samples, read = _samples(image), len(image.getbands())
    photo = photo_of_image(image, source, name)
    return replace(photo, notes=(*photo.notes, f"{read} of its {samples} bands were read"))


def _samples(image: Image.Image) -> int:
    return int(image.tag_v2.get(ExifTags.Base.SamplesPerPixel, 1))  # type: ignore[attr-defined]


def is_misread(image: Image.Image) -> bool:
    """Whether this is a TIFF whose values Pillow mixes up without an error.

    So it does with more than 8 bits, where each band has a plane of its own, and where the bytes of signed numbers or
    floating point stand in big-endian order and are compressed.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    is_planar = tags.get(ExifTags.Base.PlanarConfiguration, 1) == 2 and len(image.getbands()) > 1
    is_swapped = tags.prefix == b"MM" and tags.get(ExifTags.Base.Compression, 1) != 1 and image.mode in ("I", "F")
    return _depth(tags) > 8 and (is_planar or is_swapped)


def _depth(tags: Any) -> int:
    """The bits of a value of a TIFF."""
    return int(np.max(tags.get(ExifTags.Base.BitsPerSample, 1)))


def _wrapped(image: Image.Image) -> np.dtype[Any] | None:
    """The type of a TIFF's values, where Pillow gives them as those of another type with as many bits."""
    tags = getattr(image, "tag_v2", None)
    kind = 0 if tags is None else int(np.max(tags.get(SAMPLE_FORMAT, UNSIGNED)))
    if kind == SIGNED and _depth(tags) == 8 and image.mode == "L":
        return np.dtype(np.int8)
    return np.dtype(np.uint32) if kind == UNSIGNED and _depth(tags) == 32 and image.mode == "I" else None


def _is_negative(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF whose values Pillow gives as they are; it turns those of 8 bits round."""
    tags = getattr(image, "tag_v2", {})
    is_plain = image.mode.startswith("I") or image.mode == "F"
    return is_plain and tags.get(ExifTags.Base.PhotometricInterpretation) == bands.WHITE_IS_ZERO


def _is_deep_color(image: Image.Image) -> bool:
    """Whether the file has 16 bits for each of several bands, of which Pillow keeps the upper eight."""
    return len(image.getbands()) > 1 and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _is_dark(image: Image.Image) -> bool:
    """Whether the upper bytes of its colors are those of at most 14 bits in 16."""
    colors = [image.getchannel(band) for band in image.getbands() if band != "A"]
    return max(int(color.getextrema()[1]) for color in colors) < 64  # type: ignore[arg-type]


def _declared_white(image: Image.Image) -> float | None:
    """The value of white as the file declares it: `SMaxSampleValue` and others in TIFF, significant bits in PNG."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        bits = float(np.max(tags.get(ExifTags.Base.BitsPerSample, 16)))
        most = tags.get(S_MAX_SAMPLE_VALUE) or tags.get(MAX_SAMPLE_VALUE)
        white = float(np.max(most)) if most else 2**bits - 1
        return white if (most or 8 < bits < 16) and np.isfinite(white) else None
    if image.format == "PNG" and (file := getattr(image, "fp", None)):
        significant = _significant_bits(file)
        return 2.0**significant - 1 if significant else None
    return None


def _significant_bits(file: Any) -> int | None:
    """The `sBIT` of a PNG file (PNG specification, Sect. 11.3.2.7), which stands before the pixels."""
    start = file.tell()
    try:
        file.seek(8)
        for _ in range(MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                return None
            if head[4:] == b"sBIT":
                return max(file.read(1), default=None)
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
        return None
    finally:
        file.seek(start)


# ---------------------------------------------------------------------------------------------------- arrays of values


def photo_of_bands(source: Stream, name: str) -> Photo:
    """A photo of a TIFF that Pillow does not read, or not all of it. Raises `DeepInsideError` as `read_bands` does."""
    values, white, is_negative = bands.read_bands(source, name)
    try:
        scale = usual_window(values, white)
        return photo_of_values(_positive(values, scale) if is_negative else values, scale, name)
    except ValueError as error:
        raise DeepInsideError(f"{name}: the image cannot be shown ({error})") from None


def _of_deep_color(values: Shaped[np.ndarray, "_ _ bands"], name: str) -> Photo:
    """Color of fewer than 16 bits in a file of 16, with or without an alpha channel, which fills its range."""
    if values.shape[2] not in (2, 4):
        return photo_of_values(values, window(values), name)
    scale, whole = window(values[..., :-1]), Window(0, 65535)
    pixels = np.concatenate([scale.bytes(values[..., :-1]), whole.bytes(values[..., -1:])], axis=2)
    shares = np.concatenate([scale.shares(values[..., :-1]), whole.shares(values[..., -1:])], axis=2)
    return Photo(_rgb(Image.fromarray(pixels)), name, shares, _notes(scale))


def photo_of_values(values: Shaped[np.ndarray, "_ _ channels"], scale: Window, name: str) -> Photo:
    """A photo of any channels: the first three are shown as RGB, or the first one as gray."""
    channels = values.shape[2]
    if channels >= 3:
        image = Image.fromarray(scale.bytes(values[..., :3]))
    else:
        image = Image.fromarray(scale.bytes(values[..., 0])).convert("RGB")
    says_all = channels == 3 or (channels == 1 and values.dtype == np.uint8)
    return Photo(image, name, None if says_all else scale.shares(values), _notes(scale))


def _positive(values: np.ndarray, scale: Window) -> np.ndarray:
    """The values of a negative, where `scale.low` is white, as those of its positive."""
    return (scale.low + scale.high - values.astype(np.float64)).astype(values.dtype)


def _notes(scale: Window) -> tuple[str, ...]:
    return (scale.note,) if scale.note else ()


def usual_window(values: np.ndarray, declared: float | None = None) -> Window:
    """The window of values of any type: bytes have theirs. Raises `ValueError` for values that are not finite."""
    if values.dtype in (np.uint8, np.bool_):
        return Window(0.0, 255.0 if values.dtype == np.uint8 else 1.0)
    return window(values, declared)
