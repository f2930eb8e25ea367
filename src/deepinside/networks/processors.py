"""The pixels that a processor of Hugging Face makes, found by showing it plain images.

Each family of processors has fields of its own: factors, offsets, a second division, another order of the channels.
What counts is what the network gets, and that is the same affine function of every pixel, so black and one channel at a
time tell all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError

SHOWN = 1024  # pixels a side: more than any processor crops, since a crop beyond the image pads
DIGITS = 7  # of a float32

Shown = Callable[[Image.Image], Float[Tensor, "channels height width"]]


class Pixels(NamedTuple):
    """What a network gets of an image in [0, 1]: resized to (height, width), `(image - mean) / std`, in some order.

    `order` holds, for each channel that the network gets, the channel of the image: (2, 1, 0) for blue first.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: tuple[int, ...]
    resample: Resampling


class Reordered(nn.Module):
    """A model behind an exchange of its channels, such as from RGB to the BGR that it was trained with.

    >>> import torch
    >>> Reordered(nn.Identity(), (2, 1, 0))(torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)).flatten()
    tensor([0.3000, 0.2000, 0.1000])
    """

    def __init__(self, model: nn.Module, order: Sequence[int]):
        super().__init__()
        self.model, self.order = model, list(order)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        """The model's own output."""
        return self.model(images[:, self.order])


def pixels(processor: Any, channels: int, fixed: tuple[int, int] | None) -> Pixels:
    """What a processor makes of images with 1 or 3 channels.

    Args:
        processor: called as processors of Hugging Face are.
        channels: of the images that the network takes.
        fixed: (height, width) in pixels of what the network takes, for a processor that leaves images as large as
            they are.

    Raises `DeepInsideError` for a processor that makes anything but images, pads them, or changes their pixels in
    another way than by a factor and an offset a channel.
    """
    kind = type(processor).__name__

    def shown(image: Image.Image) -> Float[Tensor, "channels height width"]:
        made = processor(images=image, return_tensors="pt").get("pixel_values")
        if not isinstance(made, Tensor) or made.ndim != 4 or made.shape[:2] != (1, channels):
            shape = tuple(made.shape) if isinstance(made, Tensor) else "none"
            raise DeepInsideError(f"{kind}: expected a processor that makes images of {channels} channels, got {shape}")
        return made[0].double()

    size = _size(shown, kind, channels, fixed)
    mean, std, order = _affine(shown, kind, channels)
    return Pixels(size, mean, std, order, _resampling(processor))


def _plain(channels: int, color: Sequence[int], width: int = SHOWN, height: int = SHOWN) -> Image.Image:
    return Image.new("L" if channels == 1 else "RGB", (width, height), color[0] if channels == 1 else tuple(color))


def _size(shown: Shown, kind: str, channels: int, fixed: tuple[int, int] | None) -> tuple[int, int]:
    gray = (200,) * channels
    wide = shown(_plain(channels, gray, width=2 * SHOWN))
    if (wide.amax((1, 2)) - wide.amin((1, 2))).max() > 1e-3 * wide.abs().max():
        raise DeepInsideError(f"{kind}: expected a processor that fills the image, but it pads wide photos")
    first, second = (shown(_plain(channels, gray, side, side)).shape[1:] for side in (SHOWN, 2 * SHOWN))
    if first == second:
        return (first[0], first[1])
    if fixed is None:
        raise DeepInsideError(f"{kind}: expected a processor with a size, but it leaves photos as large as they are")
    return fixed


def _affine(shown: Shown, kind: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
    """Mean, std and order, after a check that nothing else happens to a color."""

    def color(*values: int) -> Float[np.ndarray, " channels"]:
        made = shown(_plain(channels, values))
        return np.asarray(made[:, made.shape[1] // 2, made.shape[2] // 2])

    black = color(*[0] * channels)
    gains = np.stack([color(*row) - black for row in (255 * np.eye(channels, dtype=int)).tolist()], axis=1)
    order = np.abs(gains).argmax(axis=1)
    gain = gains[np.arange(channels), order]
    probe = [10, 100, 230][:channels]
    expected = black + gain * np.array(probe)[order] / 255
    if (
        sorted(order) != list(range(channels))
        or gain.min() <= 0
        or not np.allclose(color(*probe), expected, 1e-3, 1e-3)
    ):
        raise DeepInsideError(
            f"{kind}: expected a processor that scales and shifts each channel, but it does more to a color"
        )
    back = np.argsort(order)
    mean, std = (-black / gain)[back], (1 / gain)[back]
    return _rounded(mean), _rounded(std), tuple(int(channel) for channel in order)


def _rounded(values: Float[np.ndarray, " channels"]) -> tuple[float, ...]:
    """As many digits as the processor computed with: 0.485 and not 0.48500001."""
    return tuple(float(f"{value:.{DIGITS}g}") + 0.0 for value in values)  # and no negative zero


def _resampling(processor: Any) -> Resampling:
    told = getattr(processor, "resample", None)
    named = getattr(told, "name", "")
    if named in Resampling.__members__:
        return Resampling[named]
    return Resampling(told) if isinstance(told, int) else Resampling.BILINEAR
