"""Class images as files, written atomically: PNG with text metadata, and GIF and WebP animations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Float
from PIL import Image, PngImagePlugin
from torch import Tensor

from deepinside.core.errors import writing
from deepinside.core.files import atomic_write
from deepinside.core.images import as_photo, save_png

FRAME_MILLISECONDS = 80
LAST_FRAME_MILLISECONDS = 2000


def write_picture(image: Float[Tensor, "3 height width"], path: Path, facts: Mapping[str, str]) -> Path:
    """Write an 8-bit PNG with `facts` as text metadata. Raises `DeepInsideError` where that is impossible."""
    text = PngImagePlugin.PngInfo()
    for key, value in facts.items():
        text.add_itxt(key, value)
    return save_png(as_photo(image).image, path, pnginfo=text)


def write_animation(frames: Sequence[Float[Tensor, "3 height width"]], path: Path) -> Path:
    """Write a GIF or WebP, by the suffix of `path`, that plays the frames and pauses on the last one."""
    images = [as_photo(frame).image for frame in frames]
    times = [FRAME_MILLISECONDS] * (len(images) - 1) + [LAST_FRAME_MILLISECONDS]
    kind = path.suffix.removeprefix(".").upper()
    with writing(path, "an animation"), atomic_write(path) as part:
        images[0].save(part, format=kind, save_all=True, append_images=images[1:], duration=times, loop=0)
    return path


def read_facts(path: Path) -> dict[str, str]:
    """The text metadata of an image; empty for a file that is missing, damaged or truncated."""
    try:
        with Image.open(path) as image:
            image.load()
            return {key: str(value) for key, value in getattr(image, "text", {}).items()}
    except (OSError, SyntaxError, ValueError):  # what Pillow raises on truncated files
        return {}
