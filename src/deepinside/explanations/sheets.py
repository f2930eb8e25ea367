"""Pictures worth showing: for each photo, what was seen, which pixels decided, and where the object is."""

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

from deepinside.core.errors import DeepInsideError, writing
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.reconstruct import Reconstruction

PANEL = 480  # pixels of a panel's longer side
INCHES = 2.4  # its width on the page
FOREGROUND = (230, 57, 70)
BACKGROUND = (58, 134, 255)
# A map's few strongest pixels would leave the rest black: the colors end at this quantile of it.
BRIGHTEST = 0.995
RULE_NAMES = {"gradient": "gradient", "deconvnet": "DeconvNet", "guided": "guided"}
# What passes back through a rectifier X' = max(X, 0), R being the signal (Sect. 4).
SECTION_4 = {
    "gradient": "R = R' · 1(X > 0)\nwhere the input was positive",
    "deconvnet": "R = R' · 1(R' > 0)\nwhere the signal is positive",
    "guided": "R = R' · 1(X > 0) · 1(R' > 0)\nwhere both are",
}


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


def neuron_sheet(photo: Photo, seen: Reconstruction) -> Figure:
    """The photo, what came back from one neuron in color, and its single-channel map."""
    figure, rows = _grid(photo, 1, ("photo", RULE_NAMES[seen.rule], "saliency"))
    picture = _thumbnail(photo)
    frame = seen.frame.on_copy(picture.shape[1], picture.shape[0])
    rows[0][0].imshow(picture)
    rows[0][0].set_ylabel(f"{_shortened(seen.target)}\n{seen.score:.2f}", fontsize=9)
    rows[0][1].imshow(_in_color(frame, seen.gradient))
    _show_map(rows[0][2], frame.map_to_photo(seen.map), frame)
    return figure


def compare_sheet(
    photo: Photo,
    rules: Mapping[str, Reconstruction | DeepInsideError],
    presets: Mapping[str, Detection],
) -> Figure:
    """One photo under every rule and every preset, with what Section 4 says of each beside what one sees.

    Args:
        photo: what was shown.
        rules: by rule, what came back, or why that rule has no meaning for this network.
        presets: by preset, its saliency and box of the same class; none for a neuron.
    """
    titles = ("photo", *(RULE_NAMES[rule] for rule in rules))
    figure, rows = _grid(photo, 3 if presets else 2, titles)
    picture = _thumbnail(photo)
    seen = next(each for each in rules.values() if not isinstance(each, DeepInsideError))
    frame = seen.frame.on_copy(picture.shape[1], picture.shape[0])
    rows[0][0].imshow(picture)
    rows[0][0].set_ylabel(f"{_shortened(seen.target)}\nscore {seen.score:.2f}", fontsize=9)
    _write(
        rows[1][0],
        "above: what came\nback to the image,\nwith sign and color\n\nhere: its largest\nmagnitude over color",
    )
    for column, (rule, each) in enumerate(rules.items(), start=1):
        if isinstance(each, DeepInsideError):
            _write(rows[0][column], _wrapped(str(each), 34))
            _write(rows[1][column], "")
            continue
        rows[0][column].imshow(_in_color(frame, each.gradient))
        _show_map(rows[1][column], frame.map_to_photo(each.map), frame)
        rows[1][column].set_xlabel(SECTION_4[rule], fontsize=7.5)
    if presets:
        _show_presets(rows[2], picture, presets)
    return figure


def exciting_sheet(found: Sequence[tuple[Photo, Reconstruction]]) -> Figure:
    """The photos that excite a neuron most, each cut to what the neuron saw, beside what came back from it."""
    columns = min(len(found), 3)
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(3.4 * columns, 1.95 * lines + 0.45), dpi=150, layout="constrained")
    grid = figure.subplots(lines, 2 * columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (photo, seen) in enumerate(found):
        left, right = grid[number // columns][2 * (number % columns) :][:2]
        picture = _thumbnail(photo)
        frame = seen.frame.on_copy(picture.shape[1], picture.shape[0])
        field = frame.mask_box(seen.map > 0) if seen.map.any() else frame.mask_box(seen.map == 0)
        crop = np.s_[int(field.y0) : int(field.y1), int(field.x0) : int(field.x1)]
        left.imshow(picture[crop])
        left.set_title(f"{_shortened(Path(photo.name).stem)}  {seen.score:.1f}", fontsize=7)
        right.imshow(_in_color(frame, seen.gradient)[crop])
    target, rule = found[0][1].target, RULE_NAMES[found[0][1].rule]
    figure.suptitle(f"What excites {target} most, and what comes back ({rule})", fontsize=10)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, folders included. Raises `DeepInsideError` where that cannot be done."""
    with writing(path, "a picture"):
        FigureCanvasAgg(figure).print_png(path)
    return path


def save_map(values: Float[np.ndarray, "rows columns"], path: Path) -> Path:
    """Write a map as a grey PNG in photo pixels, black to white from 0 to its brightest quantile."""
    with writing(path, "a picture"):
        Image.fromarray((_unit(values) * 255).round().astype(np.uint8)).save(path)
    return path


def _show_presets(
    row: Sequence[Axes], picture: UInt8[np.ndarray, "rows columns 3"], presets: Mapping[str, Detection]
) -> None:
    """A map and a box for each preset, in pairs of panels."""
    for axes in row[2 * len(presets) :]:
        axes.set_axis_off()
    for number, (name, detection) in enumerate(presets.items()):
        frame = detection.frame.on_copy(picture.shape[1], picture.shape[0])
        left, right = row[2 * number : 2 * number + 2]
        _show_map(left, frame.map_to_photo(detection.map), frame)
        left.set_xlabel(f"preset {name}: saliency", fontsize=7.5)
        right.imshow(picture)
        _draw_box(right, detection.frame.on_copy(picture.shape[1], picture.shape[0]).mask_box(_mask(detection)))
        right.set_xlabel(f"preset {name}: box", fontsize=7.5)


def _mask(detection: Detection) -> np.ndarray:
    if detection.segmentation is None:
        raise DeepInsideError("expected an explanation with boxes for this sheet, got saliency alone")
    return detection.segmentation.mask


def _in_color(frame: Frame, gradient: Float[np.ndarray, "3 height width"]) -> Float[np.ndarray, "rows columns 3"]:
    """A signed signal as Zeiler and Fergus show it: grey where nothing came back, its strongest at full color."""
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


def _thumbnail(photo: Photo) -> UInt8[np.ndarray, "rows columns 3"]:
    scale = min(PANEL / max(photo.width, photo.height), 1.0)
    size = (max(round(photo.width * scale), 1), max(round(photo.height * scale), 1))
    return np.asarray(photo.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def _caption(detection: Detection) -> str:
    return f"{_shortened(detection.label)}\n{detection.probability:.1%}"


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
