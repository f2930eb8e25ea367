"""Image files and tensors: read any photo as upright RGB, and resize the region of a `Frame` for the network.

16-bit, gray, palette, CMYK and transparent images become plain 8-bit RGB; what 8-bit RGB cannot say is kept beside it,
for networks of one channel or of more than three. Truncated, damaged and oversized files raise a `DeepInsideError` of
one line.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError

from deepinside.core import bands
from deepinside.core.depth import Window
from deepinside.core.errors import DeepInsideError, brief, writing
from deepinside.core.files import atomic_write
from deepinside.core.formats import Stream, check_size, is_heif, opened, reading, room
from deepinside.core.geometry import Frame
from deepinside.core.listing import find_photos
from deepinside.core.photos import (
    Photo,
    has_more_bands,
    is_misread,
    photo_of_bands,
    photo_of_image,
    photo_of_values,
    usual_window,
    without_other_bands,
)
from deepinside.core.shards import content, is_shard, read_shard, shard_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Photo", "as_photo", "find_photos", "pixel_count", "read", "read_bytes", "save_png", "view"]

# A photo much larger than its view is first reduced by a whole factor, to no less than this multiple of the view.
REDUCING_GAP = 3.0

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in gray (ITU-R BT.601)

MOST_LIKELY_SIDE = 16  # a photo is at least so wide and high, if its channels may have been put in another place


def read(path: str | os.PathLike[str], least: int | None = None) -> Photo:
    """Read a photo: first frame, EXIF orientation applied, transparency composited on white, 8-bit RGB.

    A path may go through a tar archive: `shard.tar/cat/tom.jpg`.

    Args:
        path: the file.
        least: pixels. A JPEG file may be decoded at a half, a quarter or an eighth of its size, as long as no side is
            shorter, which is several times as fast; for thumbnails.

    Raises `DeepInsideError` for a file that is missing, empty, truncated or not of a declared format, for one whose
    header declares more pixels than Pillow's decompression-bomb limit (about 179 million), and for pipes and devices.
    """
    path = Path(path)
    if (shard := shard_of(path)) is not None:
        return read_bytes(content(path, shard), str(path), least)
    if is_shard(path):
        why = read_shard(path).error or "expected a photo, got an archive; name a photo in it"
        raise DeepInsideError(f"{path}: {why}")
    with reading(path) as stream:
        return _decoded(stream, str(path), least)


def read_bytes(content: bytes, name: str, least: int | None = None) -> Photo:
    """`read` for the content of a file, such as a member of an archive; `name` stands for the path in messages."""
    check_size(len(content), name)
    return _decoded(BytesIO(content), name, least)


def pixel_count(source: str | os.PathLike[str] | BytesIO) -> int:
    """How many pixels the header of a photo declares; 0 for a file that cannot be read, which takes no memory.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = save_png(Image.new("RGB", (6, 4)), Path(folder) / "a.png")
    ...     pixel_count(path), pixel_count(BytesIO(path.read_bytes())), pixel_count(Path(folder))
    (24, 24, 0)
    """
    try:
        file = source if isinstance(source, BytesIO) else _file_of(Path(source))
        with opened(file) as image:
            return image.width * image.height
    except Exception:  # of decoders, which raise anything; `read` tells it
        return 0


def _file_of(path: Path) -> Path | BytesIO:
    """What Pillow opens of a photo, which may be the member of an archive."""
    shard = shard_of(path)
    return path if shard is None else BytesIO(content(path, shard))


def _decoded(source: Stream, name: str, least: int | None = None) -> Photo:
    try:
        with opened(source) as image:
            if least:
                image.draft(None, (least, least))
            if has_more_bands(image):
                return _with_more_bands(image, source, name)
            with room.taken(image.width * image.height):
                return photo_of_image(image, source, name)
    except DeepInsideError:
        raise
    except UnidentifiedImageError:
        return _unidentified(source, name)
    except Image.DecompressionBombError as error:
        raise DeepInsideError(f"{name}: the photo was refused as a possible decompression bomb ({error})") from None
    except Exception as error:  # on broken files decoders raise anything, from SyntaxError to struct.error
        what = brief(error).partition(" (")[0]  # without counts of bytes, so that equal reasons are equal
        raise DeepInsideError(f"{name}: the image is damaged or truncated ({what})") from None


def _with_more_bands(image: Image.Image, source: Stream, name: str) -> Photo:
    try:
        return photo_of_bands(source, name)
    except DeepInsideError:
        if is_misread(image):
            raise
    with room.taken(image.width * image.height):
        return without_other_bands(image, source, name)


def _unidentified(source: Stream, name: str) -> Photo:
    """A photo that only other packages than Pillow can read."""
    source.seek(0)
    head = source.read(12)
    if bands.is_tiff(head):
        return photo_of_bands(source, name)
    if is_heif(head):
        raise DeepInsideError(f"{name}: a HEIC photo needs an extra: pip install 'deepinside[heic]'")
    raise DeepInsideError(f"{name}: expected a photo, got a file of an unknown format")


def as_photo(source: Photo | Image.Image | ArrayLike | torch.Tensor | str | os.PathLike[str]) -> Photo:
    """Convert any representation of one image to a `Photo`.

    Args:
        source: a `Photo`, a path, a Pillow image, an array (height, width) or (height, width, channels) of 8 or 16
            bits or of floats in [0, 1], or a float tensor in [0, 1] of shape (channels, height, width). Three channels
            are RGB, rounded to 8 bits; other numbers of channels are kept as `Photo.values`, and the first three, or
            the first one, are shown.

    Raises `DeepInsideError` for other shapes, types and value ranges, and for several photos.

    >>> as_photo(np.zeros((4, 6, 5), dtype=np.float32)).values.shape
    (4, 6, 5)
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read(source)
    if isinstance(source, Image.Image):
        return photo_of_image(source, None, "photo")
    if isinstance(source, torch.Tensor):
        return _photo_of_tensor(source)
    if _is_several(source):
        raise DeepInsideError(
            f"expected one photo, got a {type(source).__name__} of {len(source)}; explain each of them: "  # type: ignore[arg-type]
            "[explain(classifier, photo) for photo in photos]"
        )
    return _photo_of_array(np.asarray(source))


def view(
    photo: Photo, frame: Frame, resample: Image.Resampling = Image.Resampling.BICUBIC, channels: int = 3
) -> Float[torch.Tensor, "1 _ height width"]:
    """The network's input: the region of the frame, resized with antialiasing, in [0, 1].

    Args:
        photo: what the network sees.
        frame: the region and the size of the input.
        resample: the filter.
        channels: 3 for RGB, 1 for gray, or the number of channels of `photo.values`.

    Raises `DeepInsideError` for a photo without so many channels.
    """
    if channels == 3:
        # Copied, since the array is a read-only view of Pillow's memory.
        pixels = torch.from_numpy(np.array(_resized(photo.image, frame, resample)))
        return pixels.permute(2, 0, 1)[None].float().div_(255)
    planes = [np.array(_resized(plane, frame, resample), dtype=np.float32) for plane in _planes(photo, channels)]
    return torch.from_numpy(np.stack(planes))[None].clamp_(0, 1)


def _resized(image: Image.Image, frame: Frame, resample: Image.Resampling) -> Image.Image:
    region = frame.region.as_tuple()
    return image.resize((frame.width, frame.height), resample, box=region, reducing_gap=REDUCING_GAP)


def _planes(photo: Photo, channels: int) -> list[Image.Image]:
    """The channels as images of floats in [0, 1]."""
    values = photo.values
    if values is None or values.shape[2] != channels:
        if channels != 1:
            found = 3 if values is None else values.shape[2]
            raise DeepInsideError(
                f"{photo.name}: the network expects {channels} channels, and the photo has {found}; give an array "
                f"(height, width, {channels}), a tensor ({channels}, height, width) or a TIFF of {channels} bands"
            )
        values = np.asarray(photo.image.convert("L"))[..., None] / np.float32(255)
    return [Image.fromarray(np.ascontiguousarray(values[..., channel])) for channel in range(channels)]


def save_png(image: Image.Image, path: Path, **options: Any) -> Path:
    """Write an image as PNG, atomically, with Pillow's `options`. Raises `DeepInsideError` where that is impossible."""
    with writing(path, "an image"), atomic_write(path) as part:
        image.save(part, format="PNG", **options)
    return path


def _is_several(source: object) -> bool:
    """Whether this is a list of photos: its elements are no numbers, nor rows of numbers."""
    if not isinstance(source, (list, tuple)):
        return False
    whole = (Photo, Image.Image, torch.Tensor, np.ndarray, str, os.PathLike)
    return any(isinstance(each, whole) for each in source)


def _photo_of_array(array: np.ndarray) -> Photo:
    if array.dtype.kind not in "uif" or array.ndim not in (2, 3) or not array.size:
        raise DeepInsideError(
            "expected a photo as a path, a Pillow image, an array (height, width, channels), uint8 RGB or floats in "
            f"[0, 1], or a float tensor (3, height, width) in [0, 1]; got {type(array).__name__} {array.dtype} "
            f"{array.shape}" + ("; explain each photo of a batch" if array.ndim == 4 else "")
        )
    values = array[..., None] if array.ndim == 2 else array
    if values.shape[0] <= 4 < MOST_LIKELY_SIDE <= values.shape[2]:
        raise DeepInsideError(
            f"expected an array (height, width, channels), got {array.shape}; channels come first in tensors only"
        )
    if array.dtype.kind == "f":
        _check_unit(float(values.min()), float(values.max()))
        return photo_of_values(values, Window(0.0, 1.0), "photo")
    return photo_of_values(values, usual_window(values), "photo")


def _photo_of_tensor(tensor: torch.Tensor) -> Photo:
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    fits = tensor.ndim == 3 and tensor.is_floating_point() and tensor.numel()
    if not fits or tensor.shape[2] <= 4 < MOST_LIKELY_SIDE <= tensor.shape[0]:
        raise DeepInsideError(
            "expected a float tensor (3, height, width), RGB in [0, 1], or (channels, height, width) for a network of "
            f"other channels; got {tensor.dtype} {tuple(tensor.shape)}"
            + ("; explain each photo of a batch" if tensor.ndim == 4 else "")
        )
    _check_unit(tensor.min().item(), tensor.max().item())
    values = tensor.detach().float().cpu().permute(1, 2, 0).contiguous().numpy()
    return photo_of_values(values, Window(0.0, 1.0), "photo")


def _check_unit(low: float, high: float) -> None:
    if not (low >= 0 and high <= 1):
        raise DeepInsideError(
            f"expected RGB values in [0, 1], got {low:.3g} to {high:.3g}; undo the normalization, since the "
            "classifier applies its own"
        )
