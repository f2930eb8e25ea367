"""Made pictures as files: PNG with text metadata, GIF and WebP animations, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jaxtyping import Float
from PIL import Image, PngImagePlugin
from torch import Tensor

from deepinside.core.errors import writing
from deepinside.core.files import appearing
from deepinside.core.images import as_photo

FRAME_MILLISECONDS = 80
REST_MILLISECONDS = 2000  # of the last frame


def write_picture(image: Float[Tensor, "3 height width"], path: Path, facts: Mapping[str, str]) -> Path:
    """An 8-bit PNG with `facts` as text metadata, whole or not at all."""
    text = PngImagePlugin.PngInfo()
    for key, value in facts.items():
        text.add_itxt(key, value)
    return _replace(path, lambda part: as_photo(image).image.save(part, format="PNG", pnginfo=text))


def write_animation(frames: Sequence[Float[Tensor, "3 height width"]], path: Path) -> Path:
    """A GIF or WebP, by the name's ending, that runs through the frames and rests on the last one."""
    pictures = [as_photo(frame).image for frame in frames]
    times = [FRAME_MILLISECONDS] * (len(pictures) - 1) + [REST_MILLISECONDS]
    kind = path.suffix.removeprefix(".").upper()
    return _replace(
        path,
        lambda part: pictures[0].save(
            part, format=kind, save_all=True, append_images=pictures[1:], duration=times, loop=0
        ),
    )


def read_facts(path: Path) -> dict[str, str]:
    """The text metadata of a picture; empty for a file that is missing or no whole picture."""
    try:
        with Image.open(path) as image:
            image.load()
            return {key: str(value) for key, value in getattr(image, "text", {}).items()}
    except (OSError, SyntaxError, ValueError):  # what Pillow raises on files cut short
        return {}


def is_drawn(path: Path, facts: Mapping[str, str]) -> bool:
    """Whether the picture is there, made with these settings."""
    return path.is_file() and facts.items() <= read_facts(path).items()


def _replace(path: Path, write: Callable[[Path], object]) -> Path:
    with writing(path, "a picture"), appearing(path) as part:
        write(part)
    return path
