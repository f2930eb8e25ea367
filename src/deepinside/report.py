"""Pictures worth showing: for each photo, what was seen, which pixels decided, and where the object is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from deepinside.errors import DeepInsideError
from deepinside.geometry import Box, Frame
from deepinside.images import Photo
from deepinside.results import Detection, Explanation

PANEL = 480  # pixels of a panel's longer side
INCHES = 2.4  # its width on the page
FOREGROUND = (230, 57, 70)
BACKGROUND = (58, 134, 255)
# A map's few strongest pixels would leave the rest black: the colors end at this quantile of it.
BRIGHTEST = 0.995


def localization_sheet(photo: Photo, explanation: Explanation) -> Figure:
    """One row a class: the photo with its box, the saliency, the seeds of the cut, and the mask."""
    picture = _thumbnail(photo)
    figure, rows = _grid(photo, len(explanation.objects), ("photo and box", "saliency", "seeds", "mask"))
    for axes, detection in zip(rows, explanation.objects, strict=True):
        frame = detection.frame.on_copy(picture.shape[1], picture.shape[0])
        segmentation = detection.segmentation
        if segmentation is None:
            raise DeepInsideError("expected an explanation with boxes for this sheet, got saliency alone")
        axes[0].imshow(picture)
        _draw_box(axes[0], frame.mask_box(segmentation.mask))
        axes[0].set_ylabel(_caption(detection), fontsize=9)
        _show_map(axes[1], frame.map_to_photo(detection.map), frame)
        axes[2].imshow(_seeds(picture, frame, detection))
        axes[3].imshow(_cut_out(picture, frame.mask_to_photo(segmentation.mask)))
    return figure


def saliency_sheet(photo: Photo, explanation: Explanation) -> Figure:
    """One row a class: the photo, its saliency, and the saliency laid over the photo."""
    picture = _thumbnail(photo)
    figure, rows = _grid(photo, len(explanation.objects), ("photo", "saliency", "both"))
    for axes, detection in zip(rows, explanation.objects, strict=True):
        frame = detection.frame.on_copy(picture.shape[1], picture.shape[0])
        values = frame.map_to_photo(detection.map)
        axes[0].imshow(picture)
        axes[0].set_ylabel(_caption(detection), fontsize=9)
        _show_map(axes[1], values, frame)
        axes[2].imshow(_dimmed(picture, 0.75))
        axes[2].imshow(values, cmap="inferno", vmax=_brightest(values), alpha=_unit(values) ** 0.5)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, folders included. Raises `DeepInsideError` where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(figure).print_png(path)
    except OSError as error:
        raise DeepInsideError(f"{path}: expected a place to write a picture ({error.strerror})") from None
    return path


def save_map(values: Float[np.ndarray, "rows columns"], path: Path) -> Path:
    """Write a map as a grey PNG in photo pixels, black to white from 0 to its brightest quantile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((_unit(values) * 255).round().astype(np.uint8)).save(path)
    except OSError as error:
        raise DeepInsideError(f"{path}: expected a place to write a picture ({error.strerror})") from None
    return path


def _grid(photo: Photo, rows: int, titles: tuple[str, ...]) -> tuple[Figure, list[list[Axes]]]:
    proportion = min(max(photo.height / photo.width, 0.3), 2.5)
    size = (INCHES * len(titles) + 0.4, (INCHES * proportion + 0.08) * rows + 0.35)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    grid = figure.subplots(rows, len(titles), squeeze=False)
    for title, axes in zip(titles, grid[0], strict=True):
        axes.set_title(title, fontsize=10)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    return figure, [list(row) for row in grid]


def _thumbnail(photo: Photo) -> UInt8[np.ndarray, "rows columns 3"]:
    scale = min(PANEL / max(photo.width, photo.height), 1.0)
    size = (max(round(photo.width * scale), 1), max(round(photo.height * scale), 1))
    return np.asarray(photo.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def _caption(detection: Detection) -> str:
    label = detection.label if len(detection.label) <= 24 else detection.label[:23] + "…"
    return f"{label}\n{detection.probability:.1%}"


def _draw_box(axes: Axes, box: Box) -> None:
    for color, width in (("white", 3.5), ("#e63946", 2.0)):
        axes.add_patch(
            Rectangle(
                (box.x0 - 0.5, box.y0 - 0.5),
                box.width,
                box.height,
                fill=False,
                edgecolor=color,
                linewidth=width,
            )
        )


def _show_map(axes: Axes, values: Float[np.ndarray, "rows columns"], frame: Frame) -> None:
    seen = np.where(frame.mask_to_photo(np.ones((frame.height, frame.width), dtype=bool)), values, np.nan)
    axes.imshow(seen, cmap="inferno", vmin=0, vmax=_brightest(values))
    axes.set_facecolor("0.85")  # where the network did not look


def _brightest(values: Float[np.ndarray, "rows columns"]) -> float:
    seen = values[values > 0]
    return float(np.quantile(seen, BRIGHTEST)) if seen.size else 1.0


def _unit(values: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    return np.clip(values / _brightest(values), 0, 1)


def _dimmed(picture: UInt8[np.ndarray, "rows columns 3"], share: float) -> UInt8[np.ndarray, "rows columns 3"]:
    grey = picture.mean(axis=2, keepdims=True)
    return np.asarray(picture * (1 - share) + grey * share * 0.6, dtype=np.uint8)


def _seeds(
    picture: UInt8[np.ndarray, "rows columns 3"], frame: Frame, detection: Detection
) -> UInt8[np.ndarray, "rows columns 3"]:
    assert detection.segmentation is not None
    painted = _dimmed(picture, 0.6)
    painted[frame.mask_to_photo(detection.segmentation.background_seeds)] = BACKGROUND
    painted[frame.mask_to_photo(detection.segmentation.foreground_seeds)] = FOREGROUND
    return painted


def _cut_out(picture: UInt8[np.ndarray, "rows columns 3"], mask: np.ndarray) -> UInt8[np.ndarray, "rows columns 3"]:
    return np.where(mask[..., None], picture, (_dimmed(picture, 1.0) // 2 + 96).astype(np.uint8))
