"""How pictures look in numbers, to be held against those of photos: grain, contrast, and colors.

A network may recognize what a person sees as noise in poster colors. These figures tell how far from photos pictures
are: all are means over a picture's pixels, so that their order of magnitude can be compared over sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import LUMA, read, view

if TYPE_CHECKING:
    from rich.table import Table

Pixels = Float[np.ndarray, "height width 3"]

NYQUIST = 0.5  # cycles a pixel
FINE = NYQUIST / 4  # from here on, detail is grain: structure of less than eight pixels


@dataclass(frozen=True)
class Appearance:
    """Medians over `n` pictures.

    Attributes:
        of: whose pictures: a preset, another program, or `"photos"`.
        n: how many.
        grain: the share of a picture's energy at more than a quarter of Nyquist's frequency, from 0 to 1.
        contrast: the standard deviation of its luminance, for pixels in [0, 1].
        colorfulness: by Hasler and Süsstrunk (2003), for pixels in [0, 1]: 0 is gray, 0.15 moderate, 0.43 extreme.
    """

    of: str
    n: int
    grain: float
    contrast: float
    colorfulness: float


def appearance(of: str, pictures: Iterable[Pixels]) -> Appearance:
    """The medians over pictures in [0, 1]. Raises `DeepInsideError` where there are none."""
    figures = [(grain(each), contrast(each), colorfulness(each)) for each in pictures]
    if not figures:
        raise DeepInsideError(f"expected at least one picture of {of}, found none")
    return Appearance(of, len(figures), *(median(values) for values in zip(*figures, strict=True)))


def pictures_in(files: Iterable[Path], size: tuple[int, int]) -> Iterator[Pixels]:
    """The middle of each file's picture, as large as fits, at (height, width); one of that size stays as it is."""
    height, width = size
    for photo in map(read, files):
        frame = Frame.center(photo.width, photo.height, width=width, height=height)
        yield view(photo, frame)[0].permute(1, 2, 0).double().numpy()


def grain(picture: Pixels) -> float:
    """The share of the energy of a picture's luminance at more than a quarter of Nyquist's frequency.

    A Hann window keeps the seam between opposite edges, which a spectrum takes for neighbors, out of it.

    >>> stripes = np.tile([[[0.0]], [[1.0]]], (16, 32, 3))  # of one pixel each
    >>> round(grain(stripes), 3), grain(np.full((32, 32, 3), 0.5))
    (1.0, 0.0)
    """
    light = luminance(picture)
    height, width = light.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    light = (light - np.average(light, weights=window)) * window
    energy = np.abs(np.fft.fft2(light)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    total = energy.sum()
    return float(energy[frequency > FINE].sum() / total) if total > height * width * 1e-12 else 0.0


def contrast(picture: Pixels) -> float:
    """The standard deviation of a picture's luminance.

    >>> round(contrast(np.tile([[[0.0]], [[1.0]]], (16, 32, 3))), 6)
    0.5
    """
    return float(luminance(picture).std())


def colorfulness(picture: Pixels) -> float:
    """Hasler and Süsstrunk, *Measuring colorfulness in natural images*, 2003, for pixels in [0, 1].

    >>> colorfulness(np.full((4, 4, 3), 0.5))
    0.0
    """
    red, green, blue = np.moveaxis(picture, -1, 0)
    opponents = red - green, (red + green) / 2 - blue
    spread = np.hypot(*(each.std() for each in opponents))
    middle = np.hypot(*(each.mean() for each in opponents))
    return float(spread + 0.3 * middle)


def luminance(picture: Pixels) -> Float[np.ndarray, "height width"]:
    """The weighted sum of red, green and blue, in [0, 1]."""
    return np.asarray(picture @ np.array(LUMA))


def appearance_table(rows: Sequence[Appearance]) -> Table:
    """One row for the pictures of each method, and for photos."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    result = Table(title="how they look: medians", title_justify="left", box=SIMPLE_HEAD)
    result.add_column("pictures", no_wrap=True)
    for title in ("n", "grain", "contrast", "colorfulness"):
        result.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        result.add_row(row.of, str(row.n), *(f"{value:.3f}" for value in (row.grain, row.contrast, row.colorfulness)))
    return result
