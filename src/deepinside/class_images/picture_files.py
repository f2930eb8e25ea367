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


def write_picture(image: Float[Tensor, "channels height width"], path: Path, facts: Mapping[str, str]) -> Path:
    """Write an 8-bit PNG with `facts` as text metadata. Raises `DeepInsideError` where that is impossible."""
    text = PngImagePlugin.PngInfo()
    for key, value in facts.items():
        text.add_itxt(key, value)
    return save_png(as_image(image), path, pnginfo=text)


def write_animation(frames: Sequence[Float[Tensor, "channels height width"]], path: Path) -> Path:
    """Write a GIF or WebP, by the suffix of `path`, that plays the frames and pauses on the last one."""
    images = [as_image(frame) for frame in frames]
    times = [FRAME_MILLISECONDS] * (len(images) - 1) + [LAST_FRAME_MILLISECONDS]
    kind = path.suffix.removeprefix(".").upper()
    with writing(path, "an animation"), atomic_write(path) as part:
        images[0].save(part, format=kind, save_all=True, append_images=images[1:], duration=times, loop=0)
    return path


def read_facts(path: Path) -> dict[str, str]:
    """The text metadata of a PNG; empty for what is missing, no file, damaged, truncated or another format."""
    if not path.is_file():  # a pipe would keep its reader waiting
        return {}
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            return {key: str(value) for key, value in getattr(image, "text", {}).items()}
    except Exception:  # on broken files Pillow raises anything, from SyntaxError to struct.error
        return {}


def as_image(tensor: Float[Tensor, "channels height width"]) -> Image.Image:
    """RGB in [0, 1] as bytes, rounded in the tensor's own precision, as where the picture's score is computed."""
    return as_photo((tensor.detach().cpu() * 255).round() / 255).image
