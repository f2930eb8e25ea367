"""What the layers of a network see at a place of a photo: the neurons most excited there, and what excites each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

import numpy as np
from PIL import Image

from deepinside.core import html
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.core.images import Photo
from deepinside.core.results import Reconstruction
from deepinside.explanations.excitement import Excitement, excited_at
from deepinside.explanations.leads import grown
from deepinside.explanations.reconstruct import reconstruct
from deepinside.explanations.sheets import in_color, thumbnail
from deepinside.networks.classifier import Classifier

COUNT = 3  # neurons of a layer
MARGIN = 0.1  # around what a neuron could see, of its sides
LEAST = 24  # pixels of a thumbnail that a picture shows at least, on each side
SIDE, GAP = 120, 4  # pixels of a picture on the page, and between two


def neurons_html(classifier: Classifier, photo: Photo, x: float, y: float, rule: str) -> Iterator[str]:
    """The page's part for a place, layer by layer, each time all that is there by then.

    Raises `DeepInsideError` for a place outside of the photo, and for a rule that cannot act on this network.
    """
    excited = excited_at(classifier, photo, x, y, count=COUNT)
    parts = [html.heading(f"at {x:.0f}, {y:.0f}", f"{classifier.name}, rule {rule}")]
    for layer, neurons in groupby(excited, key=attrgetter("neuron.layer")):
        pictures = [_pictures(classifier, photo, each, rule) for each in neurons]
        parts += [html.heading(layer), html.row(pictures)]
        yield html.page(*parts)


def _pictures(classifier: Classifier, photo: Photo, excitement: Excitement, rule: str) -> str:
    """What a neuron could see of the photo, and its gradient there."""
    neuron = excitement.neuron
    try:
        seen = reconstruct(classifier, photo, neuron, rule=rule)
    except DeepInsideError as error:
        return html.small(f"{neuron}: {error}")
    small = Image.fromarray(thumbnail(photo))
    seen = replace(seen, frame=seen.frame.resized(*small.size))
    colored = Image.fromarray((in_color(seen.frame, seen.gradient) * 255).round().astype(np.uint8))
    region = _region(seen).as_tuple()
    both = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white")
    for number, image in enumerate((small, colored)):
        both.paste(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=region), (number * (SIDE + GAP), 0))
    alt = f"channel {neuron.channel}: the part of the photo that it can see, and its gradient there"
    flat = "" if seen.gradient.any() else ", without a gradient: its activation function is saturated"
    caption = f"channel {neuron.channel}, activation {excitement.activation:.2f}{flat}"
    return html.picture(both, alt, caption, side=both.width)


def _region(seen: Reconstruction) -> Box:
    """A square around what the neuron could see, within the photo."""
    field = seen.field
    side = max(field.width, field.height, LEAST) / 2
    x, y = (field.x0 + field.x1) / 2, (field.y0 + field.y1) / 2
    return grown(Box(x - side, y - side, x + side, y + side), MARGIN, seen.frame)
