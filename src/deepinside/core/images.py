"""Between files and tensors: read any photo upright as RGB, and show the network the part a `Frame` names.

Reading is strict about what is broken and generous about what is merely unusual: 16-bit, grey, palette, CMYK and
transparent pictures become plain 8-bit RGB; truncated and oversized ones become a `DeepInsideError` of one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.geometry import Frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"})

# A photo far larger than the view it becomes is first reduced by whole factors, keeping this much to spare.
REDUCING_GAP = 3.0


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright 8-bit RGB photo. `name` says where it came from, for messages and file names."""

    image: Image.Image
    name: str = "photo"

    @property
    def width(self) -> int:
        """Photo pixels across."""
        return self.image.width

    @property
    def height(self) -> int:
        """Photo pixels down."""
        return self.image.height

    @property
    def pixels(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """The photo as an array of RGB bytes."""
        return np.asarray(self.image)


def read(path: str | os.PathLike[str]) -> Photo:
    """The photo in a file: first frame, EXIF orientation applied, transparency laid on white, 8-bit RGB.

    Raises `DeepInsideError` for a file that is missing, empty, truncated, no picture, or whose header promises
    more pixels than Pillow's decompression-bomb limit (about 179 million).
    """
    path = Path(path)
    if path.is_dir():
        raise DeepInsideError(f"{path}: expected a photo, got a folder; name the photos in it")
    if not path.exists():
        raise DeepInsideError(f"{path}: expected a photo, found no such file")
    return _decoded(path, str(path))


def read_bytes(content: bytes, name: str) -> Photo:
    """The photo in the content of a file, such as a member of an archive; errors, which use `name`, as `read`."""
    return _decoded(BytesIO(content), name)


def _decoded(source: Path | BytesIO, name: str) -> Photo:
    try:
        size = source.stat().st_size if isinstance(source, Path) else source.getbuffer().nbytes
        if size == 0:
            raise DeepInsideError(f"{name}: expected a photo, got an empty file (0 bytes)")
        # Pillow warns from half its limit on; a 100-megapixel photo is large, not an attack.
        with catch_warnings():
            simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                image.load()
                return Photo(_upright_rgb(image), name)
    except DeepInsideError:
        raise
    except UnidentifiedImageError:
        raise DeepInsideError(f"{name}: expected a photo, got a file that no image reader recognizes") from None
    except Image.DecompressionBombError as error:
        raise DeepInsideError(f"{name}: refused as a possible decompression bomb ({error})") from None
    except Exception as error:  # decoders of broken files raise anything, from SyntaxError to struct.error
        raise DeepInsideError(f"{name}: the picture is damaged or cut short ({brief(error)})") from None


def as_photo(source: Photo | Image.Image | ArrayLike | torch.Tensor | str | os.PathLike[str]) -> Photo:
    """Whatever holds one picture -> a `Photo`.

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
    """What the network is shown: the frame's region on the frame's pixels, RGB in [0, 1], antialiased."""
    region = frame.region.as_tuple()
    small = photo.image.resize((frame.width, frame.height), resample, box=region, reducing_gap=REDUCING_GAP)
    # Copied, since the array only borrows Pillow's memory, read-only.
    pixels = torch.from_numpy(np.array(small))
    return pixels.permute(2, 0, 1)[None].float().div_(255)


def find_photos(sources: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, Path]]:
    """Files and folders -> `(photo, name)` pairs; `name` is the path below the folder it was found in.

    A folder is searched all the way down for the usual suffixes, hidden files left out, in sorted order; a file
    that is named is taken whatever it is called. Two photos of the same name get a number, so that nothing
    written for one replaces what was written for the other. Raises `DeepInsideError` for a folder without photos.
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
    return _distinct(found)


def _is_photo(name: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return name.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _distinct(found: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    taken: set[Path] = set()
    distinct = []
    for path, name in found:
        unique, number = name, 1
        while unique.with_suffix("") in taken:
            number += 1
            unique = name.with_stem(f"{name.stem}-{number}")
        taken.add(unique.with_suffix(""))
        distinct.append((path, unique))
    return distinct


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey with more than 8 bits -> 8 bits. Full scale is the smallest usual one that holds every value."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    largest = values.max(initial=0.0)
    full = next((scale for scale in usual if largest <= scale), largest)
    return Image.fromarray((values.clip(0) * (255 / full)).round().astype(np.uint8))


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
            f"expected RGB values in [0, 1], got {low:.3g} to {high:.3g}; undo the normalization, the classifier "
            "applies its own"
        )
    pixels = (tensor.detach().cpu() * 255).round().to(torch.uint8)
    return Photo(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()))
