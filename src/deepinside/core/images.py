"""Image files and tensors: read any photo as upright RGB, and resize the region of a `Frame` for the network.

16-bit, gray, palette, CMYK and transparent images become plain 8-bit RGB; what 8-bit RGB cannot say is kept beside it,
for networks of one channel or of more than three. Truncated, damaged and oversized files raise a `DeepInsideError` of
one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from deepinside.core import bands
from deepinside.core.depth import Window, window
from deepinside.core.errors import DeepInsideError, brief, writing
from deepinside.core.files import atomic_write, distinct_name
from deepinside.core.formats import check_regular, check_size, is_heif, is_picture_name, opened, room, suffixes
from deepinside.core.geometry import Frame
from deepinside.core.text import is_file

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# A photo much larger than its view is first reduced by a whole factor, to no less than this multiple of the view.
REDUCING_GAP = 3.0

ORIENTATION = ExifTags.Base.Orientation
S_MAX_SAMPLE_VALUE, MAX_SAMPLE_VALUE = 341, 281  # tags of TIFF
MOST_CHUNKS = 100  # of a PNG file, to look for the significant bits in
MOST_LIKELY_SIDE = 16  # a photo is at least so wide and high, if its channels may have been put in another place


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


def read(path: str | os.PathLike[str]) -> Photo:
    """Read a photo: first frame, EXIF orientation applied, transparency composited on white, 8-bit RGB.

    Raises `DeepInsideError` for a file that is missing, empty, truncated or not of a declared format, for one whose
    header declares more pixels than Pillow's decompression-bomb limit (about 179 million), and for pipes and devices.
    """
    path = Path(path)
    check_regular(path)
    return _decoded(path, str(path))


def read_bytes(content: bytes, name: str) -> Photo:
    """`read` for the content of a file, such as a member of an archive; `name` stands for the path in messages."""
    check_size(len(content), name)
    return _decoded(BytesIO(content), name)


def _decoded(source: Path | BytesIO, name: str) -> Photo:
    try:
        with opened(source) as image:
            if _has_more_bands(image):
                return _of_bands(source, name)
            with room.taken(image.width * image.height):
                return _photo(image, source, name)
    except DeepInsideError:
        raise
    except UnidentifiedImageError:
        return _unidentified(source, name)
    except Image.DecompressionBombError as error:
        raise DeepInsideError(f"{name}: the photo was refused as a possible decompression bomb ({error})") from None
    except Exception as error:  # on broken files decoders raise anything, from SyntaxError to struct.error
        raise DeepInsideError(f"{name}: the image is damaged or truncated ({brief(error)})") from None


def _unidentified(source: Path | BytesIO, name: str) -> Photo:
    """A photo that only other packages than Pillow can read."""
    head = _head(source)
    if bands.is_tiff(head):
        return _of_bands(source, name)
    if is_heif(head):
        raise DeepInsideError(f"{name}: a HEIC photo needs an extra: pip install 'deepinside[heic]'")
    raise DeepInsideError(f"{name}: expected a photo, got a file of an unknown format")


def _head(source: Path | BytesIO) -> bytes:
    if isinstance(source, BytesIO):
        return source.getvalue()[:12]
    with source.open("rb") as file:
        return file.read(12)


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
        return _photo(source, None, "photo")
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


def find_photos(sources: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, Path]]:
    """Files and folders -> `(photo, name)` pairs; `name` is the path relative to the folder that was searched.

    Folders are searched recursively for the suffixes of the declared formats, in sorted order, without hidden files; a
    file that is given is taken whatever its suffix. Names that differ in their suffix or in case alone get a number, so
    that no output of one photo overwrites that of another. Raises `DeepInsideError` for a folder without photos.
    """
    found: list[tuple[Path, Path]] = []
    for source in map(Path, sources):
        if not _is_folder(source):
            found.append((source, Path(source.name)))
            continue
        inside = [path for path in sorted(source.rglob("*")) if _is_photo(path.relative_to(source), path)]
        if not inside:
            raise DeepInsideError(
                f"{source}: expected a folder with photos ({', '.join(sorted(suffixes()))}), found none"
            )
        found += [(path, path.relative_to(source)) for path in inside]
    taken: set[str] = set()
    return [(path, distinct_name(name, taken, with_suffix=False)) for path, name in found]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_photo(name: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return is_picture_name(name) and not hidden and is_file(path)


# ----------------------------------------------------------------------------------------------------- Pillow's images


def _photo(image: Image.Image, source: Path | BytesIO | None, name: str) -> Photo:
    """A photo of an opened image; `source` is its file, if there is one."""
    kind, declared, is_deep = image.format, _declared_white(image), _is_deep_color(image)
    image.load()
    orientation = image.getexif().get(ORIENTATION, 1) if is_deep else 1
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        stored = np.asarray(image)[..., None]
        return _of_values(stored, window(stored, declared), name)
    if is_deep and source is not None and _is_dark(image):
        values = bands.read_bands(source, name) if kind == "TIFF" else bands.read_deep_png(source)
        return _of_deep_color(values if kind == "TIFF" else bands.upright(values, orientation), name)
    with_alpha = kind == "TIFF" and image.mode in ("LA", "RGBA")
    return Photo(_rgb(image), name, np.asarray(image) / np.float32(255) if with_alpha else None)


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        foreground = image.convert("RGBA")
        white = Image.new("RGBA", foreground.size, "white")
        return Image.alpha_composite(white, foreground).convert("RGB")
    return image.convert("RGB")


def _has_more_bands(image: Image.Image) -> bool:
    """Whether this is a TIFF that Pillow opens and reads in part: bands beside RGB, or planes of 16 bits."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.mode in ("CMYK", "LAB", "P", "YCbCr"):
        return False
    if _is_planar(image):
        return True
    samples = tags.get(ExifTags.Base.SamplesPerPixel, 1)
    # Without the package, such bands are left out, as other programs do.
    return samples != len(image.getbands()) and find_spec("tifffile") is not None


def _is_planar(image: Image.Image) -> bool:
    tags = image.tag_v2  # type: ignore[attr-defined]
    deep = np.max(tags.get(ExifTags.Base.BitsPerSample, 1)) > 8
    return bool(deep and tags.get(ExifTags.Base.PlanarConfiguration, 1) == 2 and len(image.getbands()) > 1)


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
    if image.format == "PNG" and getattr(image, "fp", None):
        significant = _significant_bits(image.fp)
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


def _of_bands(source: Path | BytesIO, name: str) -> Photo:
    values = bands.read_bands(source, name)
    try:
        return _of_values(values, _usual_window(values), name)
    except ValueError as error:
        raise DeepInsideError(f"{name}: the image cannot be shown ({error})") from None


def _of_deep_color(values: Shaped[np.ndarray, "_ _ bands"], name: str) -> Photo:
    """Color of fewer than 16 bits in a file of 16, with or without an alpha channel, which fills its range."""
    if values.shape[2] not in (2, 4):
        return _of_values(values, window(values), name)
    scale, whole = window(values[..., :-1]), Window(0, 65535)
    pixels = np.concatenate([scale.bytes(values[..., :-1]), whole.bytes(values[..., -1:])], axis=2)
    shares = np.concatenate([scale.shares(values[..., :-1]), whole.shares(values[..., -1:])], axis=2)
    return Photo(_rgb(Image.fromarray(pixels)), name, shares, _notes(scale))


def _of_values(values: Shaped[np.ndarray, "_ _ channels"], scale: Window, name: str) -> Photo:
    """A photo of any channels: the first three are shown as RGB, or the first one as gray."""
    channels = values.shape[2]
    if channels >= 3:
        image = Image.fromarray(scale.bytes(values[..., :3]))
    else:
        image = Image.fromarray(scale.bytes(values[..., 0])).convert("RGB")
    says_all = channels == 3 or (channels == 1 and values.dtype == np.uint8)
    return Photo(image, name, None if says_all else scale.shares(values), _notes(scale))


def _notes(scale: Window) -> tuple[str, ...]:
    return (scale.note,) if scale.note else ()


def _usual_window(values: np.ndarray) -> Window:
    if values.dtype in (np.uint8, np.bool_):
        return Window(0.0, 255.0 if values.dtype == np.uint8 else 1.0)
    return window(values)


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
        return _of_values(values, Window(0.0, 1.0), "photo")
    return _of_values(values, _usual_window(values), "photo")


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
    return _of_values(values, Window(0.0, 1.0), "photo")


def _check_unit(low: float, high: float) -> None:
    if not (low >= 0 and high <= 1):
        raise DeepInsideError(
            f"expected RGB values in [0, 1], got {low:.3g} to {high:.3g}; undo the normalization, since the "
            "classifier applies its own"
        )
