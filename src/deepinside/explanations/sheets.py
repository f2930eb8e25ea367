"""Figures of explanations: the photo, its saliency, seeds, mask and box, and the gradients of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from PIL.ImageColor import getrgb

from deepinside.core.errors import DeepInsideError, writing
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo, save_png
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.reconstruct import Reconstruction
from deepinside.gradients.rectifiers import RULES

PANEL = 480  # the longer side of a panel, in pixels
INCHES = 2.4  # the width of a panel
PREDICTION = "#e63946"  # of predicted boxes and of foreground seeds
BACKGROUND = "#3a86ff"  # of background seeds
GROUND_TRUTH = "#2a9d3f"  # of ground-truth boxes
# The color scale of a map ends at this quantile; with its maximum, a few strong pixels would leave the rest black.
BRIGHTEST = 0.995


def localization_sheet(photo: Photo, explanation: Explanation) -> Figure:
    """One row per object: the photo with its box, the saliency, the seeds of the cut, and the mask.

    Raises `DeepInsideError` for an explanation without boxes.
    """
    image = thumbnail(photo)
    figure, rows = _grid(photo, len(explanation.objects), ("photo and box", "saliency", "seeds", "mask"))
    for axes, detection in zip(rows, explanation.objects, strict=True):
        frame = detection.frame.resized(image.shape[1], image.shape[0])
        mask = _mask(detection)
        axes[0].imshow(image)
        draw_box(axes[0], frame.mask_box(mask), PREDICTION)
        axes[0].set_ylabel(_caption(detection), fontsize=9)
        _show_map(axes[1], frame.map_to_photo(detection.map), frame)
        axes[2].imshow(_seeds(image, frame, detection))
        axes[3].imshow(_cut_out(image, frame.mask_to_photo(mask)))
    return figure


def saliency_sheet(photo: Photo, explanation: Explanation) -> Figure:
    """One row per object: the photo, its saliency, and the saliency over the photo."""
    image = thumbnail(photo)
    figure, rows = _grid(photo, len(explanation.objects), ("photo", "saliency", "both"))
    for axes, detection in zip(rows, explanation.objects, strict=True):
        frame = detection.frame.resized(image.shape[1], image.shape[0])
        values = frame.map_to_photo(detection.map)
        axes[0].imshow(image)
        axes[0].set_ylabel(_caption(detection), fontsize=9)
        _show_map(axes[1], values, frame)
        axes[2].imshow(_dimmed(image, 0.75))
        axes[2].imshow(values, cmap="inferno", vmax=_brightest(values), alpha=_unit(values) ** 0.5)
    return figure


def neuron_sheet(photo: Photo, seen: Reconstruction) -> Figure:
    """The photo, the gradient of one neuron in color, and its largest magnitude over the color channels."""
    figure, rows = _grid(photo, 1, ("photo", RULES[seen.rule].title, "saliency"))
    image = thumbnail(photo)
    frame = seen.frame.resized(image.shape[1], image.shape[0])
    rows[0][0].imshow(image)
    rows[0][0].set_ylabel(f"{_shortened(seen.target)}\n{seen.score:.2f}", fontsize=9)
    rows[0][1].imshow(_in_color(frame, seen.gradient))
    _show_map(rows[0][2], frame.map_to_photo(seen.map), frame)
    return figure


def compare_sheet(
    photo: Photo,
    rules: Mapping[str, Reconstruction | DeepInsideError],
    presets: Mapping[str, Detection],
) -> Figure:
    """One photo under every rectifier rule, with its formula (Sect. 4), and under every preset.

    Args:
        photo: the photo.
        rules: by rule, its gradient, or the reason why the rule is not defined for this network.
        presets: by preset, the object that it found for the same class; none for a neuron.
    """
    titles = ("photo", *(RULES[rule].title for rule in rules))
    figure, rows = _grid(photo, 2 + -(-len(presets) // (len(titles) // 2)), titles)
    image = thumbnail(photo)
    seen = next(each for each in rules.values() if not isinstance(each, DeepInsideError))
    frame = seen.frame.resized(image.shape[1], image.shape[0])
    rows[0][0].imshow(image)
    rows[0][0].set_ylabel(f"{_shortened(seen.target)}\nscore {seen.score:.2f}", fontsize=9)
    _write(
        rows[1][0],
        "above: the gradient\nat the image,\nwith sign and color\n\nhere: its largest\nmagnitude over color",
    )
    for column, (rule, each) in enumerate(rules.items(), start=1):
        if isinstance(each, DeepInsideError):
            _write(rows[0][column], _wrapped(str(each), 34))
            _write(rows[1][column], "")
            continue
        rows[0][column].imshow(_in_color(frame, each.gradient))
        _show_map(rows[1][column], frame.map_to_photo(each.map), frame)
        rows[1][column].set_xlabel(RULES[rule].formula, fontsize=7.5)
    _show_presets(rows[2:], image, presets)
    return figure


def exciting_sheet(found: Sequence[tuple[Photo, Reconstruction]]) -> Figure:
    """The photos that excite a neuron most, each cropped to what the neuron saw, beside the gradient of the neuron."""
    columns = min(len(found), 3)
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(3.4 * columns, 1.95 * lines + 0.45), dpi=150, layout="constrained")
    grid = figure.subplots(lines, 2 * columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (photo, seen) in enumerate(found):
        left, right = grid[number // columns][2 * (number % columns) :][:2]
        image = thumbnail(photo)
        frame = seen.frame.resized(image.shape[1], image.shape[0])
        field = frame.mask_box(seen.map > 0) if seen.map.any() else frame.mask_box(seen.map == 0)
        crop = np.s_[int(field.y0) : int(field.y1), int(field.x0) : int(field.x1)]
        left.imshow(image[crop])
        left.set_title(f"{_shortened(Path(photo.name).stem)}  {seen.score:.1f}", fontsize=7)
        right.imshow(_in_color(frame, seen.gradient)[crop])
    target, rule = found[0][1].target, RULES[found[0][1].rule].title
    figure.suptitle(f"What excites {target} most, and its gradient at the image ({rule})", fontsize=10)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, and create its folder. Raises `DeepInsideError` where that is impossible."""
    with writing(path, "an image"):
        FigureCanvasAgg(figure).print_png(path)
    return path


def save_map(values: Float[np.ndarray, "rows columns"], path: Path) -> Path:
    """Write a map as a gray PNG of the photo's size: 0 is black, the quantile `BRIGHTEST` and above are white."""
    return save_png(Image.fromarray((_unit(values) * 255).round().astype(np.uint8)), path)


def thumbnail(photo: Photo) -> UInt8[np.ndarray, "rows columns 3"]:
    """The photo as RGB bytes, its longer side reduced to `PANEL` pixels if it has more."""
    scale = min(PANEL / max(photo.width, photo.height), 1.0)
    size = (max(round(photo.width * scale), 1), max(round(photo.height * scale), 1))
    return np.asarray(photo.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def draw_box(axes: Axes, box: Box, color: str) -> None:
    """Outline a box, given in pixels of the image on these axes, in a color on white."""
    for edge, width in (("white", 3.5), (color, 2.0)):
        corner = (box.x0 - 0.5, box.y0 - 0.5)
        axes.add_patch(Rectangle(corner, box.width, box.height, fill=False, edgecolor=edge, linewidth=width))


def _show_presets(
    rows: Sequence[Sequence[Axes]], image: UInt8[np.ndarray, "rows columns 3"], presets: Mapping[str, Detection]
) -> None:
    """The map and the box of each preset, in pairs of panels; panels without a pair stay empty."""
    pairs = [(row[k], row[k + 1]) for row in rows for k in range(0, len(row) - 1, 2)]
    for (left, right), (name, detection) in zip(pairs, presets.items(), strict=False):
        frame = detection.frame.resized(image.shape[1], image.shape[0])
        _show_map(left, frame.map_to_photo(detection.map), frame)
        left.set_xlabel(f"preset {name}: saliency", fontsize=7.5)
        right.imshow(image)
        draw_box(right, frame.mask_box(_mask(detection)), PREDICTION)
        right.set_xlabel(f"preset {name}: box", fontsize=7.5)
    for axes in (axes for row in rows for axes in row):
        if not axes.has_data():
            axes.set_axis_off()


def _mask(detection: Detection) -> np.ndarray:
    if detection.segmentation is None:
        raise DeepInsideError("expected an explanation with boxes for this sheet, got saliency alone")
    return detection.segmentation.mask


def _in_color(frame: Frame, gradient: Float[np.ndarray, "3 height width"]) -> Float[np.ndarray, "rows columns 3"]:
    """A signed gradient as Zeiler and Fergus show it: gray where it is 0, full color at the quantile `BRIGHTEST`."""
    strongest = np.quantile(np.abs(gradient[np.abs(gradient) > 0]), BRIGHTEST) if gradient.any() else 1.0
    channels = [frame.map_to_photo(channel) for channel in np.clip(gradient / (2 * strongest), -0.5, 0.5)]
    return np.clip(np.stack(channels, axis=-1) + 0.5, 0, 1)


def _write(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, transform=axes.transAxes)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(wrap(text, width))


def _shortened(text: str, most: int = 24) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


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


def _caption(detection: Detection) -> str:
    return f"{_shortened(detection.label)}\n{detection.probability:.1%}"


def _show_map(axes: Axes, values: Float[np.ndarray, "rows columns"], frame: Frame) -> None:
    shown = np.where(frame.mask_to_photo(np.ones((frame.height, frame.width), dtype=bool)), values, np.nan)
    axes.imshow(shown, cmap="inferno", vmin=0, vmax=_brightest(values))
    axes.set_facecolor("0.85")  # outside the region that the network saw


def _brightest(values: Float[np.ndarray, "rows columns"]) -> float:
    positive = values[values > 0]
    return float(np.quantile(positive, BRIGHTEST)) if positive.size else 1.0


def _unit(values: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    return np.clip(values / _brightest(values), 0, 1)


def _dimmed(image: UInt8[np.ndarray, "rows columns 3"], share: float) -> UInt8[np.ndarray, "rows columns 3"]:
    gray = image.mean(axis=2, keepdims=True)
    return np.asarray(image * (1 - share) + gray * share * 0.6, dtype=np.uint8)


def _seeds(
    image: UInt8[np.ndarray, "rows columns 3"], frame: Frame, detection: Detection
) -> UInt8[np.ndarray, "rows columns 3"]:
    assert detection.segmentation is not None
    painted = _dimmed(image, 0.6)
    painted[frame.mask_to_photo(detection.segmentation.background_seeds)] = getrgb(BACKGROUND)
    painted[frame.mask_to_photo(detection.segmentation.foreground_seeds)] = getrgb(PREDICTION)
    return painted


def _cut_out(image: UInt8[np.ndarray, "rows columns 3"], mask: np.ndarray) -> UInt8[np.ndarray, "rows columns 3"]:
    return np.where(mask[..., None], image, (_dimmed(image, 1.0) // 2 + 96).astype(np.uint8))
