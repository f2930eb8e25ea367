"""Figures of explanations: the photo, its saliency, the objects found, and the gradients of neurons.

A line at the bottom of each says which network, preset, rectifier rule and layer it shows, and what a probability is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from deepinside.core.errors import DeepInsideError, writing
from deepinside.core.files import atomic_write
from deepinside.core.fonts import LEADING, fitted
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, save_png
from deepinside.core.results import About, Contrast, Detection, Explanation, Reconstruction, Saliency
from deepinside.explanations import presets as localizers
from deepinside.explanations.panels import (
    BRIGHTEST,
    COLORMAP,
    brightest,
    cut_out,
    dimmed,
    maps_of,
    show_map,
    show_outlines,
    unit,
    with_seeds,
)
from deepinside.explanations.panels import PREDICTION as PREDICTION
from deepinside.explanations.panels import draw_box as draw_box
from deepinside.gradients.rectifiers import RULES

PANEL = 480  # the longer side of a panel, in pixels
INCHES = 2.4  # the width of a panel
CAPTION, SMALL = 9.0, 7.0  # sizes of text, in points
FOOTER_LINES = 3  # at most
COMPRESSION = 4  # of PNG files: twice as fast as the usual 6, for 5% more bytes
GROUND_TRUTH = "#2a9d3f"  # of ground-truth boxes


class Sheet(Figure):
    """A figure of matplotlib that shows itself in a notebook, also where nobody has imported pyplot."""

    def _repr_png_(self) -> bytes:
        png = BytesIO()
        self.savefig(png, format="png", dpi="figure")
        return png.getvalue()


def localization_sheet(photo: Photo, explanation: Explanation) -> Sheet:
    """One row per class: the photo with outlines and boxes of its objects, saliency, seeds, and the objects cut out.

    Raises `DeepInsideError` for an explanation without boxes.
    """
    image = thumbnail(photo)
    titles = ("outline and box", "saliency", "seeds", "mask")
    figure, rows = _grid(photo, len(explanation.by_class), titles, footer_of(explanation))
    for axes, objects in zip(rows, explanation.by_class, strict=True):
        show_outlines(axes[0], image, objects)
        _caption(axes[0], photo, objects[0].label, f"{objects[0].probability:.1%}")
        show_map(axes[1], image, maps_of(objects))
        axes[2].imshow(with_seeds(image, objects))
        axes[3].imshow(cut_out(image, objects))
    return figure


def saliency_sheet(photo: Photo, explanation: Explanation) -> Sheet:
    """One row per class: the photo, its saliency, and the saliency over the photo."""
    image = thumbnail(photo)
    titles = ("photo", "saliency", "both")
    figure, rows = _grid(photo, len(explanation.by_class), titles, footer_of(explanation))
    for axes, objects in zip(rows, explanation.by_class, strict=True):
        axes[0].imshow(image)
        _caption(axes[0], photo, objects[0].label, f"{objects[0].probability:.1%}")
        values = show_map(axes[1], image, maps_of(objects))
        axes[2].imshow(dimmed(image, 0.75))
        most = brightest(values)
        axes[2].imshow(values, cmap=COLORMAP, vmax=most, alpha=unit(values, most) ** 0.5)
    return figure


def neuron_sheet(photo: Photo, seen: Reconstruction, model: str = "") -> Sheet:
    """The photo, the gradient of one neuron in color, and its largest magnitude over the color channels."""
    footer = _joined(model, f"rule {seen.rule}, at the image", "number: activation of the neuron in the whole photo")
    figure, rows = _grid(photo, 1, ("photo", RULES[seen.rule].title, "saliency"), footer)
    image = thumbnail(photo)
    frame = seen.frame.resized(image.shape[1], image.shape[0])
    rows[0][0].imshow(image)
    _caption(rows[0][0], photo, seen.target, f"{seen.score:.2f}")
    rows[0][1].imshow(in_color(frame, seen.gradient))
    show_map(rows[0][2], image, [Saliency(seen.frame, seen.map)])
    return figure


def compare_sheet(
    photo: Photo,
    rules: Mapping[str, Reconstruction | DeepInsideError],
    presets: Mapping[str, Sequence[Detection]],
    model: str = "",
) -> Sheet:
    """One photo under every rectifier rule, with its formula (Sect. 4), and under every preset.

    Args:
        photo: the photo.
        rules: by rule, its gradient, or the reason why the rule is not defined for this network.
        presets: by preset, the objects that it found for the same class; none for a neuron.
        model: the name of the network.
    """
    titles = ("photo", *(RULES[rule].title for rule in rules))
    score = "score: of the whole photo, before softmax or sigmoid" if presets else "score: activation of the neuron"
    taken = [_taken(name, localizers.PRESETS[name].about) if name in localizers.PRESETS else name for name in presets]
    footer = _joined(model, "rules: at the image", *taken, score)
    figure, rows = _grid(photo, 2 + -(-len(presets) // (len(titles) // 2)), titles, footer)
    image = thumbnail(photo)
    seen = next(each for each in rules.values() if not isinstance(each, DeepInsideError))
    frame = seen.frame.resized(image.shape[1], image.shape[0])
    rows[0][0].imshow(image)
    _caption(rows[0][0], photo, seen.target, f"score {seen.score:.2f}")
    _write(
        rows[1][0],
        photo,
        "above: the gradient at the image, with sign and color; here: its largest magnitude over color",
    )
    for column, (rule, each) in enumerate(rules.items(), start=1):
        if isinstance(each, DeepInsideError):
            _write(rows[0][column], photo, str(each))
            _write(rows[1][column], photo, "")
            continue
        rows[0][column].imshow(in_color(frame, each.gradient))
        show_map(rows[1][column], image, [Saliency(each.frame, each.map)])
        rows[1][column].set_xlabel(RULES[rule].formula, fontsize=7.5)
    _show_presets(rows[2:], image, presets)
    return figure


def contrast_sheet(photo: Photo, seen: Contrast) -> Sheet:
    """One row for each of two classes: its objects, and what speaks for it rather than the other, on one scale."""
    image = thumbnail(photo)
    footer = _joined(seen.model, "maps on one scale", f"difference of the scores: {seen.difference:.2f}")
    figure, rows = _grid(photo, 2, ("outline and box", "what speaks for it alone"), footer)
    for axes, side in zip(rows, seen.sides, strict=True):
        show_outlines(axes[0], image, side.objects)
        _caption(axes[0], photo, side.label, f"{side.probability:.1%}")
        show_map(axes[1], image, [side.saliency], seen.top)
    return figure


def exciting_sheet(found: Sequence[tuple[Photo, Reconstruction]], model: str = "") -> Sheet:
    """The photos that excite a neuron most, each cropped to what the neuron saw, beside the gradient of the neuron."""
    columns = min(len(found), 3)
    lines = -(-len(found) // columns)
    width = 3.4 * columns
    target, rule = found[0][1].target, RULES[found[0][1].rule].title
    heading = fitted(f"What excites {target} most, and its gradient at the image ({rule})", 10, 0.95 * width, lines=3)
    footer = fitted(_joined(model, f"rule {found[0][1].rule}", "number: activation"), SMALL, 0.95 * width)
    figure = Sheet(figsize=(width, 1.95 * lines + heading.height + footer.height + 0.2), dpi=150, layout="constrained")
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
        title(left, Path(photo.name).stem, f"  {seen.score:.1f}", SMALL, 1.6)
        right.imshow(in_color(frame, seen.gradient)[crop])
    figure.suptitle(heading.text, **heading.style)
    figure.supxlabel(footer.text, **footer.style)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, and create its folder. Raises `DeepInsideError` where that is impossible."""
    with writing(path, "an image"), atomic_write(path) as part:
        FigureCanvasAgg(figure).print_png(part, pil_kwargs={"compress_level": COMPRESSION})
    return path


def rendered(figure: Figure) -> Image.Image:
    """A figure as an RGB image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def save_map(values: Float[np.ndarray, "rows columns"], path: Path) -> Path:
    """Write a map as a gray PNG of the photo's size: 0 is black, the quantile `BRIGHTEST` and above are white."""
    return save_png(Image.fromarray((unit(values, brightest(values)) * 255).round().astype(np.uint8)), path)


def thumbnail(photo: Photo) -> UInt8[np.ndarray, "rows columns 3"]:
    """The photo as RGB bytes, its longer side reduced to `PANEL` pixels if it has more."""
    size = thumbnail_size(photo.width, photo.height)
    return np.asarray(photo.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """The width and height of the thumbnail of a photo.

    >>> thumbnail_size(960, 300), thumbnail_size(40, 30)
    ((480, 150), (40, 30))
    """
    scale = min(PANEL / max(width, height), 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def title(axes: Axes, name: str, number: str, size: float, width: float) -> None:
    """A name above a panel so many inches wide, shortened so that the number after it is not cut off."""
    label = fitted(name, size, width - len(number) * 0.6 * size / 72)
    axes.set_title(label.text + number, **label.style)


def _show_presets(
    rows: Sequence[Sequence[Axes]],
    image: UInt8[np.ndarray, "rows columns 3"],
    presets: Mapping[str, Sequence[Detection]],
) -> None:
    """The map and the objects of each preset, in pairs of panels; panels without a pair stay empty."""
    pairs = [(row[k], row[k + 1]) for row in rows for k in range(0, len(row) - 1, 2)]
    for (left, right), (name, objects) in zip(pairs, presets.items(), strict=False):
        show_map(left, image, maps_of(objects))
        left.set_xlabel(f"preset {name}: saliency", fontsize=7.5)
        show_outlines(right, image, objects)
        right.set_xlabel(f"preset {name}: outline and box", fontsize=7.5)
    for axes in (axes for row in rows for axes in row):
        if not axes.has_data():
            axes.set_axis_off()


def in_color(frame: Frame, gradient: Float[np.ndarray, "channels height width"]) -> Float[np.ndarray, "rows columns 3"]:
    """A signed gradient as Zeiler and Fergus show it: gray where it is 0, full color at the quantile `BRIGHTEST`.

    Of more than three channels the first three are shown, of fewer the first one.
    """
    gradient = gradient[:3] if len(gradient) >= 3 else gradient[:1].repeat(3, axis=0)
    strongest = np.quantile(np.abs(gradient[np.abs(gradient) > 0]), BRIGHTEST) if gradient.any() else 1.0
    channels = [frame.map_to_photo(channel) for channel in np.clip(gradient / (2 * strongest), -0.5, 0.5)]
    return np.clip(np.stack(channels, axis=-1) + 0.5, 0, 1)


def _write(axes: Axes, photo: Photo, text: str) -> None:
    axes.set_axis_off()
    lines = int(_panel_height(photo) / (SMALL * LEADING))
    written = fitted(text, SMALL, 0.95 * INCHES, max(lines, 1))
    axes.text(0.5, 0.5, written.text, ha="center", va="center", transform=axes.transAxes, **written.style)


def _caption(axes: Axes, photo: Photo, name: str, number: str) -> None:
    """A name in up to two lines along the left side of a panel, and a number that is never cut off."""
    label = fitted(name, CAPTION, 0.97 * _panel_height(photo), lines=2)
    axes.set_ylabel(f"{label.text}\n{number}", **label.style)


def footer_of(explanation: Explanation) -> str:
    """Which network and preset found something, and what a probability is."""
    meaning = f"probability: {explanation.probabilities} of the {explanation.about.logits}"
    return _joined(explanation.model, _taken(explanation.preset, explanation.about), meaning)


def _taken(name: str, about: About) -> str:
    """How a localizer of that name found something."""
    return ", ".join(filter(None, (f"preset {name}" if name in localizers.PRESETS else name, about.maps)))


def _joined(*parts: str) -> str:
    return "  ·  ".join(filter(None, parts))


def _panel_height(photo: Photo) -> float:
    """In inches."""
    return INCHES * min(max(photo.height / photo.width, 0.3), 2.5)


def _grid(photo: Photo, rows: int, titles: tuple[str, ...], footer: str) -> tuple[Sheet, list[list[Axes]]]:
    """Panels of the photo's proportions under their titles, above a line about all of them."""
    width = INCHES * len(titles) + 0.4
    about = fitted(footer, SMALL, 0.96 * width, FOOTER_LINES)
    size = (width, (_panel_height(photo) + 0.08) * rows + 0.35 + about.height)
    figure = Sheet(figsize=size, dpi=PANEL / INCHES, layout="constrained")
    grid = figure.subplots(rows, len(titles), squeeze=False)
    for title, axes in zip(titles, grid[0], strict=True):
        axes.set_title(title, fontsize=10)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    figure.supxlabel(about.text, **about.style)
    return figure, [list(row) for row in grid]
