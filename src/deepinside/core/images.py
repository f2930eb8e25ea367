"""Image files and tensors: read any photo as upright RGB, and resize the region of a `Frame` for the network.

16-bit, gray, palette, CMYK and transparent images become plain 8-bit RGB. Truncated, damaged and oversized files raise
a `DeepInsideError` of one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from deepinside.core.errors import DeepInsideError, brief, writing
from deepinside.core.files import atomic_write, distinct_name
from deepinside.core.geometry import Frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"})

# A photo much larger than its view is first reduced by a whole factor, to no less than this multiple of the view.
REDUCING_GAP = 3.0


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright 8-bit RGB photo. `name` says where it came from; it is used in messages and file names."""

    image: Image.Image
    name: str = "photo"

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

    Raises `DeepInsideError` for a file that is missing, empty, truncated or not an image, and for one whose header
    declares more pixels than Pillow's decompression-bomb limit (about 179 million).
    """
    path = Path(path)
    if path.is_dir():
        raise DeepInsideError(f"{path}: expected a photo, got a folder; name the photos in it")
    if not path.exists():
        raise DeepInsideError(f"{path}: expected a photo, found no such file")
    return _decoded(path, str(path))


def read_bytes(content: bytes, name: str) -> Photo:
    """`read` for the content of a file, such as a member of an archive; `name` stands for the path in messages."""
    return _decoded(BytesIO(content), name)


def _decoded(source: Path | BytesIO, name: str) -> Photo:
    try:
        size = source.stat().st_size if isinstance(source, Path) else source.getbuffer().nbytes
        if size == 0:
            raise DeepInsideError(f"{name}: expected a photo, got an empty file (0 bytes)")
        # Pillow warns from half of its limit on, but a 100-megapixel photo is no attack.
        with catch_warnings():
            simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                image.load()
                return Photo(_upright_rgb(image), name)
    except DeepInsideError:
        raise
    except UnidentifiedImageError:
        raise DeepInsideError(f"{name}: expected a photo, got a file of an unknown format") from None
    except Image.DecompressionBombError as error:
        raise DeepInsideError(f"{name}: the photo was refused as a possible decompression bomb ({error})") from None
    except Exception as error:  # on broken files decoders raise anything, from SyntaxError to struct.error
        raise DeepInsideError(f"{name}: the image is damaged or truncated ({brief(error)})") from None


def as_photo(source: Photo | Image.Image | ArrayLike | torch.Tensor | str | os.PathLike[str]) -> Photo:
    """Convert any representation of one image to a `Photo`.

    Args:
        source: a `Photo`, a path, a Pillow image, RGB bytes (height, width, 3), or a float tensor in [0, 1] of
            shape (3, height, width), rounded to 8 bits.

    Raises `DeepInsideError` for other shapes, types and value ranges.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read(source)
    if isinstance(source, Image.Image):
        return Photo(_upright_rgb(source))
    if isinstance(source, torch.Tensor):
        return _photo_of_tensor(source)
    array = np.asarray(source)
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 and array.size:
        return Photo(Image.fromarray(array))
    raise DeepInsideError(
        "expected a photo as a path, a Pillow image, uint8 RGB (height, width, 3) or a float tensor "
        f"(3, height, width) in [0, 1]; got {type(source).__name__} {array.dtype} {array.shape}"
    )


def view(
    photo: Photo, frame: Frame, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Float[torch.Tensor, "1 3 height width"]:
    """The network's input: the region of the frame, resized with antialiasing, RGB in [0, 1]."""
    region = frame.region.as_tuple()
    small = photo.image.resize((frame.width, frame.height), resample, box=region, reducing_gap=REDUCING_GAP)
    # Copied, since the array is a read-only view of Pillow's memory.
    pixels = torch.from_numpy(np.array(small))
    return pixels.permute(2, 0, 1)[None].float().div_(255)


def save_png(image: Image.Image, path: Path, **options: Any) -> Path:
    """Write an image as PNG, atomically, with Pillow's `options`. Raises `DeepInsideError` where that is impossible."""
    with writing(path, "an image"), atomic_write(path) as part:
        image.save(part, format="PNG", **options)
    return path


def find_photos(sources: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, Path]]:
    """Files and folders -> `(photo, name)` pairs; `name` is the path relative to the folder that was searched.

    Folders are searched recursively for the suffixes of `SUFFIXES`, in sorted order, without hidden files; a file that
    is given is taken whatever its suffix. Names that differ in their suffix or in case alone get a number, so that no
    output of one photo overwrites that of another. Raises `DeepInsideError` for a folder without photos.
    """
    found: list[tuple[Path, Path]] = []
    for source in map(Path, sources):
        if not source.is_dir():
            found.append((source, Path(source.name)))
            continue
        inside = [path for path in sorted(source.rglob("*")) if _is_photo(path.relative_to(source), path)]
        if not inside:
            raise DeepInsideError(
                f"{source}: expected a folder with photos ({', '.join(sorted(SUFFIXES))}), found none"
            )
        found += [(path, path.relative_to(source)) for path in inside]
    taken: set[str] = set()
    return [(path, distinct_name(name, taken, with_suffix=False)) for path, name in found]


def _is_photo(name: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return name.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        foreground = image.convert("RGBA")
        white = Image.new("RGBA", foreground.size, "white")
        return Image.alpha_composite(white, foreground).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Gray with more than 8 bits -> 8 bits. White is the smallest common maximum that no value exceeds."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not finite")
    common = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    largest = values.max(initial=0.0)
    white = next((maximum for maximum in common if largest <= maximum), largest)
    return Image.fromarray((values.clip(0) * (255 / white)).round().astype(np.uint8))


def _photo_of_tensor(tensor: torch.Tensor) -> Photo:
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.is_floating_point() or not tensor.numel():
        raise DeepInsideError(
            f"expected a float tensor (3, height, width), RGB in [0, 1]; got {tensor.dtype} {tuple(tensor.shape)}"
        )
    low, high = tensor.min().item(), tensor.max().item()
    if not (low >= 0 and high <= 1):
        raise DeepInsideError(
            f"expected RGB values in [0, 1], got {low:.3g} to {high:.3g}; undo the normalization, since the "
            "classifier applies its own"
        )
    pixels = (tensor.detach().cpu() * 255).round().to(torch.uint8)
    return Photo(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()))
