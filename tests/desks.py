"""Desks of the page and photos for them. Imports nothing of the package until it is asked, as `helpers` says."""

from io import BytesIO

import numpy as np
from PIL import Image


def scene(number=0, width=64, height=48, form="PNG"):
    """A photo file of noise with a red, a green or a blue square, each number another one."""
    draw = np.random.default_rng(number)
    pixels = draw.integers(80, 120, (height, width, 3), dtype=np.uint8)
    x, y = draw.integers(2, width // 2), draw.integers(2, height // 2)
    pixels[y : y + height // 3, x : x + width // 4] = 20
    pixels[y : y + height // 3, x : x + width // 4, number % 3] = 230
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def desk_of(classifier, **options):
    """A desk whose only network is this one."""
    from deepinside.studio.desk import Desk

    made = Desk((classifier.name,), **{"examples": {}, **options})
    made._classifiers[classifier.name] = classifier
    return made


def same(found, expected):
    """Whether two explanations say the same, bit by bit."""
    for name in ("width", "height", "model", "preset", "predictions", "about"):
        assert getattr(found, name) == getattr(expected, name), name
    assert len(found.objects) == len(expected.objects)
    for mine, other in zip(found.objects, expected.objects, strict=True):
        assert (mine.index, mine.label, mine.score, mine.probability, mine.confidence, mine.box) == (
            other.index, other.label, other.score, other.probability, other.confidence, other.box
        )  # fmt: skip
        assert mine.map.tobytes() == other.map.tobytes()
        assert mine.mask.tobytes() == other.mask.tobytes()
