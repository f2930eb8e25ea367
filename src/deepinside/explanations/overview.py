"""Several photos on one page: each with the objects of the class that its explanation begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from deepinside.core.fonts import Lettering, fitted
from deepinside.core.images import Photo
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.panels import show_outlines
from deepinside.explanations.sheets import CAPTION, SMALL, footer_of, thumbnail, title

MOST = 24  # photos on a page
WIDTH = 10.4  # of a page, in inches, as are all that follow
TALLEST = 2.3  # a row of photos
NARROWEST = 1.3  # the place of a photo, so that its class can be read
GAP, HEAD, NAME = 0.12, 0.28, 0.26  # between photos, above a row for its classes, and below it for the names of files
RESOLUTION = 160  # pixels an inch


@dataclass(frozen=True)
class Shown:
    """A photo of the page: its thumbnail, and the objects of its first class."""

    name: str
    image: UInt8[ndarray, "rows columns 3"]
    objects: tuple[Detection, ...]

    @property
    def place(self) -> float:
        """The width of its place, as a share of its height."""
        rows, columns = self.image.shape[:2]
        return float(max(columns / rows, NARROWEST / TALLEST))

    def draw(self, axes: Axes, width: float) -> None:
        """The photo with outlines and boxes, in a place so many inches wide."""
        axes.set_axis_off()
        show_outlines(axes, self.image, self.objects)
        first = self.objects[0]
        title(axes, first.label, f"  {first.probability:.1%}", CAPTION, width)
        name = fitted(Path(self.name).name, SMALL, width)
        axes.annotate(
            name.text,
            (0.5, 0),
            (0, -3),
            "axes fraction",
            "offset points",
            ha="center",
            va="top",
            color="0.4",
            **name.style,
        )


@dataclass
class Overview:
    """Collects explanations as they come. It keeps thumbnails of the first `MOST` photos, and counts the others."""

    footer: str = ""
    shown: list[Shown] = field(default_factory=list)
    count: int = 0

    def add(self, photo: Photo, explanation: Explanation) -> None:
        """One more photo."""
        self.count += 1
        if len(self.shown) < MOST:
            self.footer = footer_of(explanation)
            self.shown.append(Shown(photo.name, thumbnail(photo), explanation.by_class[0]))

    @property
    def labels(self) -> list[str]:
        """The names that are on the page."""
        return [each.objects[0].label for each in self.shown] + [each.name for each in self.shown]

    def sheet(self) -> Figure:
        """The page, in rows of one height: above each photo its class and the probability, below it its name."""
        rows = [self.shown[row] for row in rows_of([each.place for each in self.shown])]
        heights = [height_of([each.place for each in row]) for row in rows]
        footer = self._footer()
        size = (WIDTH, sum(heights) + (HEAD + NAME) * len(rows) + footer.height + GAP)
        figure = Figure(figsize=size, dpi=RESOLUTION)
        top = size[1]
        for row, height in zip(rows, heights, strict=True):
            top -= HEAD + height
            left = GAP
            for each in row:
                width = each.place * height
                box = (left / WIDTH, top / size[1], width / WIDTH, height / size[1])
                each.draw(figure.add_axes(box), width)
                left += width + GAP
            top -= NAME
        figure.text(0.5, GAP / 2 / size[1], footer.text, ha="center", va="bottom", **footer.style)
        return figure

    def _footer(self) -> Lettering:
        hidden = self.count - len(self.shown)
        more = f"{hidden} more photo{'s' * (hidden > 1)} not shown  ·  " if hidden else ""
        return fitted(more + self.footer, SMALL, WIDTH - 2 * GAP, lines=2)


def rows_of(places: Sequence[float]) -> list[slice]:
    """The photos of each row: as many as fit below each other's height into the page's width.

    Args:
        places: the width of each photo's place, as a share of its height.

    >>> rows_of([1.5, 1.5, 1.5, 0.75, 1.5])
    [slice(0, 3, None), slice(3, 5, None)]
    """
    rows, first = [], 0
    for end in range(1, len(places) + 1):
        if end == len(places) or _filling(places[first:end]) <= TALLEST:
            rows.append(slice(first, end))
            first = end
    return rows


def height_of(places: Sequence[float]) -> float:
    """The height of a row in inches: it fills the page's width, but for a last row of few photos."""
    return min(_filling(places), TALLEST)


def _filling(places: Sequence[float]) -> float:
    return (WIDTH - GAP * (len(places) + 1)) / sum(places)
