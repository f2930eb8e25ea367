"""Results as frozen dataclasses. Arrays stay on the network's small grid until they are needed in photo pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from deepinside.core.errors import DeepInsideError
from deepinside.core.escape import terminal
from deepinside.core.geometry import Box, Frame

MOST_TOLD = 10  # classes, and boxes of a class, that the text of an explanation tells one by one


class Saliency(NamedTuple):
    """A map and where it lies in the photo."""

    frame: Frame
    map: Float[np.ndarray, "height width"]

    def __repr__(self) -> str:
        return f"Saliency({self.map.shape[0]} x {self.map.shape[1]} cells, largest value {self.map.max():.3g})"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The mask of an object and the seeds of both labels on the grid of `frame`, and the energy of the cut in nats.

    Energies are comparable between masks of the same image under the same recipe only. `own` is the map of this object
    where a class has several; None where the map of the class is the object's. `confidence` is the probability that
    the localizer gives the object, in [0, 1]; None where it gives none, and the probability of the class stands for it.
    `box` is that of an object whose mask need not fill it, such as one that a person has moved: in whole photo pixels,
    half-open, with all of the mask in it; None where the bounding box of the mask is the object's.
    """

    frame: Frame
    mask: Bool[np.ndarray, "height width"] = field(repr=False)
    foreground_seeds: Bool[np.ndarray, "height width"] = field(repr=False)
    background_seeds: Bool[np.ndarray, "height width"] = field(repr=False)
    energy: float
    own: Saliency | None = None
    confidence: float | None = None
    box: Box | None = None


@dataclass(frozen=True, eq=False)
class Detection:
    """One object of one class in one photo: the class's score, the pixels that the score depends on, and the object.

    `score` is the logit of the class, and `probability` what the classifier makes of it, as
    `Explanation.probabilities` says: both are of the photo, and the same for all objects of the class. `map` is the
    saliency on the grid of `frame`, 0 or more. `saliency`, `mask` and `box` are in photo pixels; `box` is the bounding
    box of `mask`, unless the segmentation has another one. `whole` is the map of the class in the whole photo, where
    the object has one of its own.
    """

    index: int
    label: str
    wnid: str | None
    score: float
    probability: float
    frame: Frame
    map: Float[np.ndarray, "height width"]
    segmentation: Segmentation | None
    whole: Saliency | None = None

    def __repr__(self) -> str:
        return f"Detection({terminal(self.label)!r}, probability {self.probability:.1%}, {self._place()})"

    @property
    def of_class(self) -> Saliency:
        """The map of the class in the whole photo, the same for all objects of the class."""
        return self.whole or Saliency(self.frame, self.map)

    @property
    def saliency(self) -> Float[np.ndarray, "rows columns"]:
        """The saliency of each photo pixel, 0 outside the region that the network saw."""
        return self.frame.map_to_photo(self.map)

    @property
    def mask(self) -> Bool[np.ndarray, "rows columns"]:
        """True on the photo pixels of the object. Raises `DeepInsideError` if the photo was explained without boxes."""
        found = self._found()
        return found.frame.mask_to_photo(found.mask)

    @property
    def box(self) -> Box:
        """The box of the object in whole photo pixels, half-open. Raises as `mask` does."""
        found = self._found()
        return found.frame.mask_box(found.mask) if found.box is None else found.box

    @property
    def confidence(self) -> float:
        """How sure the localizer is that this is an object of the class, in [0, 1]. Raises as `mask` does."""
        confidence = self._found().confidence
        return self.probability if confidence is None else confidence

    def _place(self) -> str:
        if self.segmentation is None:
            return "saliency alone"
        if not self.segmentation.mask.any():
            return "an empty mask"
        return f"confidence {self.confidence:.1%}, box {corners(self)}"

    def _found(self) -> Segmentation:
        if self.segmentation is None:
            raise DeepInsideError("expected an explanation with boxes, got saliency alone; call explain() for boxes")
        return self.segmentation


@dataclass(frozen=True)
class Prediction:
    """A class of the network, its name, its logit, and its probability in [0, 1]."""

    index: int
    label: str
    score: float
    probability: float


class About(NamedTuple):
    """How something was found, in the words of captions: what the maps are, and what the probabilities are of."""

    maps: str
    logits: str


WHOLE = "logits of the whole photo"
NOTHING_SAID = About("", WHOLE)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The objects in one photo: the classes in order, the most probable first, and of each the surest object first.

    `width` and `height` are those of the photo in pixels.

    `probabilities` says how logits became probabilities: by `"softmax"`, so that those of all classes sum to one, or
    by `"sigmoid"`, each on its own. `about` is what the localizer says of itself. `predictions` are the likeliest
    classes of the photo, whatever classes were asked for. `review` is the probability, in [0, 1], that a person has to
    change something; None where nobody has estimated it.
    """

    name: str
    width: int
    height: int
    model: str
    preset: str
    objects: tuple[Detection, ...]
    probabilities: str = "softmax"
    about: About = NOTHING_SAID
    predictions: tuple[Prediction, ...] = ()
    review: float | None = None

    @property
    def by_class(self) -> tuple[tuple[Detection, ...], ...]:
        """The objects of each class, in the order of the classes; a class has at least one, the surest first."""
        return tuple(tuple(mine) for _, mine in groupby(self.objects, attrgetter("index")))

    def __repr__(self) -> str:
        head = f"Explanation of {terminal(self.name)}, {self.width} x {self.height} pixels, by {terminal(self.model)}"
        classes = self.by_class
        lines = [_line(mine) for mine in classes[:MOST_TOLD]]
        more = [f"  and {len(classes) - MOST_TOLD} more classes"] if len(classes) > MOST_TOLD else []
        return "\n".join([f"{head}, preset {terminal(self.preset)}", *lines, *more])


@dataclass(frozen=True, eq=False)
class Side:
    """One of two classes: its score and probability, what speaks for it rather than the other, and its objects.

    `saliency` is 0 or more, in logits for each cell of its grid.
    """

    index: int
    label: str
    score: float
    probability: float
    saliency: Saliency
    objects: tuple[Detection, ...]


@dataclass(frozen=True, eq=False)
class Contrast:
    """Two classes in one photo; the maps of both sides are on one scale. `predictions` are the photo's likeliest."""

    name: str
    model: str
    probabilities: str
    first: Side
    second: Side
    predictions: tuple[Prediction, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """The names of both classes."""
        return self.first.label, self.second.label

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo in pixels."""
        return self.first.saliency.frame.photo_width, self.first.saliency.frame.photo_height

    def __repr__(self) -> str:
        sides = [f"  {each.probability:>6.1%}  {terminal(each.label)}: score {each.score:.3f}" for each in self.sides]
        return "\n".join(
            [f"Contrast in {terminal(self.name)}, by {terminal(self.model)}: {self.difference:+.3f}", *sides]
        )

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both classes."""
        return self.first, self.second

    @property
    def top(self) -> float:
        """The largest value of both maps, up to which both are shown."""
        return max(float(side.saliency.map.max()) for side in self.sides) or 1.0

    @property
    def difference(self) -> float:
        """By how much the score of the first class is higher, in logits."""
        return self.first.score - self.second.score


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The gradient of one score of one photo at the image.

    `gradient` is signed, one number per pixel and color channel, on the grid of `frame`; under DeconvNet's rule it is
    Zeiler and Fergus' reconstruction. `rectifiers` counts the calls that the rule acted on, `others` those of other
    activation functions, on which no rule acts.
    """

    target: str
    rule: str
    score: float
    frame: Frame
    gradient: Float[np.ndarray, "channels height width"] = field(repr=False)
    rectifiers: Mapping[str, int]
    others: Mapping[str, int]
    name: str = "photo"
    model: str = ""

    def __repr__(self) -> str:
        by = f", by {terminal(self.model)}" if self.model else ""
        what = f"{terminal(self.target)} in {terminal(self.name)}"
        return f"Reconstruction of {what}{by}, rule {self.rule}: score {self.score:.3f}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo in pixels."""
        return self.frame.photo_width, self.frame.photo_height

    @property
    def map(self) -> Float[np.ndarray, "height width"]:
        """The paper's single map: the largest magnitude over the color channels."""
        return np.asarray(np.abs(self.gradient).max(axis=0))

    @property
    def field(self) -> Box:
        """The part of the photo where the gradient is not zero, in photo pixels: what the neuron could see."""
        reached = self.map > 0
        return self.frame.mask_box(reached if reached.any() else ~reached)


def corners(detection: Detection) -> tuple[int, int, int, int]:
    """The box in whole photo pixels, half-open."""
    x0, y0, x1, y1 = (round(value) for value in detection.box.as_tuple())
    return x0, y0, x1, y1


def _line(objects: Sequence[Detection]) -> str:
    """A class of an explanation: its probability, its name, how many objects it has, and their boxes."""
    first = f"  {objects[0].probability:>6.1%}  {terminal(objects[0].label)}"
    found = [each for each in objects if each.segmentation and each.segmentation.mask.any()]
    if not found:
        return first
    told = [str(corners(each)) for each in found[:MOST_TOLD]] + ["…"] * (len(found) > MOST_TOLD)
    are_several = len(found) > 1
    return f"{first}: {len(found)} object{'s' * are_several}, box{'es' * are_several} {', '.join(told)}"
