"""What explanations and detections show in a notebook: the panels of the sheets, probabilities as bars, and boxes.

A class is a line that opens: its photo with outlines and boxes, and its saliency beside it. The first one is open.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from deepinside.core import html
from deepinside.core.errors import DeepInsideError
from deepinside.core.results import (
    MOST_TOLD,
    Contrast,
    Detection,
    Explanation,
    Prediction,
    Reconstruction,
    Saliency,
    corners,
)
from deepinside.explanations.originals import Original, photo_of
from deepinside.explanations.panels import COLORS, RGB, maps_of, show_map, show_outlines
from deepinside.explanations.sheets import INCHES, PANEL, footer_of, in_color, rendered, thumbnail, thumbnail_size
from deepinside.gradients.rectifiers import RULES

RESOLUTION = PANEL / INCHES  # of sheets, in dots per inch, so that lines are as wide as there
MOST_CLASSES = 20  # that have a line
ABSENT = 128  # the gray where a photo would be
# A name, a bar and a number, in columns that are the same in all lines.
COLUMNS = "minmax(0, 16em) minmax(2em, 12em) 4em"
LINE = f"display: inline-grid; grid-template-columns: {COLUMNS}; gap: 0 0.8em; max-width: calc(100% - 1.5em)"
SWATCH = "display: inline-block; margin: 1px 0; min-width: 1.4em; text-align: center; color: white; font-weight: bold"


def explanation_html(explanation: Explanation, original: Original) -> str:
    """Its classes with their pictures, those it has predicted beside them, and what its probabilities are."""
    image, note = _image_of(original, explanation.width, explanation.height)
    size = f"{explanation.width} × {explanation.height} pixels"
    classes, name = explanation.by_class, explanation.name
    lines = [_class(image, objects, number, name) for number, objects in enumerate(classes[:MOST_CLASSES])]
    explained = {objects[0].index for objects in classes}
    lines += [_predicted(each) for each in explanation.predictions if each.index not in explained]
    left = len(classes) - MOST_CLASSES
    more = [html.small(f"and {left} more classes")] if left > 0 else []
    footer = f"<div>{html.small(footer_of(explanation))}</div>"
    return html.page(html.heading(name, size), note, *lines, *more, footer)


def detection_html(detection: Detection, original: Original) -> str:
    """Its outline and box in the photo, and its saliency."""
    frame = detection.frame
    image, note = _image_of(original, frame.photo_width, frame.photo_height)
    name = html.heading(detection.label, f"probability {detection.probability:.1%}")
    return html.page(name, note, _pictures(image, [detection], "the photo"), _boxes([detection]))


def contrast_html(contrast: Contrast, original: Original) -> str:
    """For each of both classes, its objects and what speaks for it rather than the other, on one scale."""
    image, note = _image_of(original, *contrast.size)
    first, second = contrast.labels
    lines = []
    for side, other in zip(contrast.sides, (second, first), strict=True):
        count = f"{len(side.objects)} object{'s' * (len(side.objects) > 1)}"
        outlines = panel(partial(show_outlines, objects=side.objects), image)
        map = panel(partial(show_map, maps=[side.saliency], top=contrast.top), image)
        pictures = [
            html.picture(outlines, f"{contrast.name} with {count} of the class {side.label}", "outline and box"),
            html.picture(map, f"map of what speaks for {side.label}", f"what speaks for it, and not for {other}"),
        ]
        lines += [_line(side.label, side.probability), html.row(pictures)]
    head = html.heading(f"{first} against {second}", f"difference of the scores: {contrast.difference:.2f}")
    return html.page(head, note, *lines, f"<div>{html.small(f'{contrast.model}  ·  maps on one scale')}</div>")


def reconstruction_html(seen: Reconstruction, original: Original) -> str:
    """The photo, the gradient in color, and its largest magnitude over the color channels."""
    image, note = _image_of(original, *seen.size)
    frame = seen.frame.resized(image.shape[1], image.shape[0])
    title = RULES[seen.rule].title
    colored = Image.fromarray((in_color(frame, seen.gradient) * 255).round().astype(np.uint8))
    map = panel(partial(show_map, maps=[Saliency(seen.frame, seen.map)]), image)
    pictures = [
        html.picture(panel(Axes.imshow, image), seen.name, "photo"),
        html.picture(colored, f"{title} of {seen.target} in {seen.name}, in color", title),
        html.picture(map, f"saliency map of {seen.target} in {seen.name}", "saliency"),
    ]
    head = html.heading(seen.target, f"score {seen.score:.3f}", f"rule {seen.rule}")
    return html.page(head, note, html.row(pictures), f"<div>{html.small(seen.model)}</div>")


def panel(draw: Callable[[Axes, RGB], object], image: RGB) -> Image.Image:
    """What a panel of a sheet shows, without margins; as large as there, also where the image is smaller."""
    rows, columns = image.shape[:2]
    scale = PANEL / max(rows, columns)
    sides = (max(round(side * scale), 1) / RESOLUTION for side in (columns, rows))
    figure = Figure(figsize=tuple(np.nextafter(side, np.inf) for side in sides), dpi=RESOLUTION)
    axes = figure.add_axes((0, 0, 1, 1), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    draw(axes, image)
    axes.set_aspect("auto")  # the sides of the picture are rounded
    return rendered(figure)


def in_notebook() -> bool:
    """Whether this runs in a notebook, which shows HTML; IPython on a terminal does not."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _image_of(original: Original, width: int, height: int) -> tuple[RGB, str]:
    """The photo on a small scale; where there is none, a gray image, and the reason in words."""
    try:
        return thumbnail(photo_of(original, width, height)), ""
    except DeepInsideError as error:
        columns, rows = thumbnail_size(width, height)
        why = "without its photo" if original is None else f"without its photo: {error}"
        return np.full((rows, columns, 3), ABSENT, np.uint8), f"<div>{html.small(why)}</div>"


def _class(image: RGB, objects: Sequence[Detection], number: int, name: str) -> str:
    """The line of a class, which opens."""
    line = _line(objects[0].label, objects[0].probability)
    if number >= MOST_TOLD:  # each has two pictures
        return f'<div style="margin-left: 1.3em">{line}</div>'
    # With its marker in the margin, the line begins where those begin that do not open.
    summary = f'<summary style="cursor: pointer; list-style-position: outside">{line}</summary>'
    inside = _pictures(image, objects, name) + _boxes(objects)
    return f'<details style="margin-left: 1.3em"{" open" * (number == 0)}>{summary}{inside}</details>'


def _predicted(prediction: Prediction) -> str:
    return f'<div style="margin-left: 1.3em">{_line(prediction.label, prediction.probability)}</div>'


def _line(label: str, probability: float) -> str:
    number = f'<span style="text-align: right">{probability:.1%}</span>'
    bar = f'<span style="align-self: center">{html.bar(probability)}</span>'
    return f'<span style="{LINE}; vertical-align: top"><span>{html.text(label)}</span>{bar}{number}</span>'


def _pictures(image: RGB, objects: Sequence[Detection], name: str) -> str:
    label, count = objects[0].label, f"{len(objects)} object{'s' * (len(objects) > 1)}"
    draw: Callable[[Axes, RGB], object]
    if objects[0].segmentation is None:
        draw, alt, caption = Axes.imshow, name, "photo"
    else:
        draw = partial(show_outlines, objects=objects)
        alt, caption = f"{name} with outline and box of {count} of the class {label}", "outline and box"
    saliency = panel(partial(show_map, maps=maps_of(objects)), image)
    of_class = html.picture(saliency, f"saliency map of the class {label} in {name}", "saliency")
    return html.row([html.picture(panel(draw, image), alt, caption), of_class])


def _boxes(objects: Sequence[Detection]) -> str:
    """A line for each object: its number in its color where there are several, its confidence, and its box."""
    found = [each for each in objects if each.segmentation is not None]
    lines = []
    for number, (each, color) in enumerate(zip(found[:MOST_TOLD], cycle(COLORS), strict=False), start=1):
        swatch = f'<span style="{SWATCH}; background: {color}">{number}</span> ' if len(found) > 1 else ""
        told = f"confidence {each.confidence:.1%}, box {' '.join(map(str, corners(each)))}"
        lines.append(f"<div>{swatch}{html.small(told)}</div>")
    more = [f"<div>{html.small(f'and {len(found) - MOST_TOLD} more objects')}</div>"] * (len(found) > MOST_TOLD)
    return f'<div style="margin-bottom: 0.6em">{"".join([*lines, *more])}</div>'
