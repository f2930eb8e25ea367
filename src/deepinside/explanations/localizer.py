"""What a localizer is: how the objects of a class are found in a photo, in three steps that run where each belongs.

    views      a photo -> what the network is shown of it                    on the processor, photos in parallel
    see        the views of several photos -> scores and maps of each        on the network's device, in one batch
    segment    one photo's map of one class -> masks                         on the processor, photos in parallel

`by_color.Paper` and `by_features.Best` are localizers; `presets.PRESETS` names them. Another one touches its own file
and that table, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo
from deepinside.core.results import About, Segmentation
from deepinside.gradients.probe import Choice as ViewChoice
from deepinside.networks.classifier import Classifier

LARGEST_ENLARGEMENT = 16  # times a network's size: more is no photo's resolution, and would fill the memory

Map: TypeAlias = Float[np.ndarray, "height width"]
# The mean logits of a photo's views -> the classes to look at, each once and at least one.
Choice: TypeAlias = Callable[[Float[Tensor, " classes"]], Sequence[int]]


@dataclass(frozen=True, eq=False)
class Views:
    """What the network is shown of one photo, with the photo itself for those who look closer or cut its pixels.

    `images` holds one batch for every size that the network is shown, in [0, 1]. `frame` places the grid of the
    maps in the photo, and `pixels` is the photo on that grid, RGB in [0, 1].
    """

    photo: Photo
    frame: Frame
    images: tuple[Float[Tensor, "views channels _ _"], ...]
    pixels: Float[np.ndarray, "height width 3"]


@runtime_checkable
class Seen(Protocol):
    """What the network said of one photo: its mean logits, the classes chosen, and a map for each of them.

    Maps are never negative and lie on the grid of `frame`. A localizer's own class holds whatever else it needs to
    segment.
    """

    @property
    def logits(self) -> Float[Tensor, " classes"]:
        """The unnormalized scores, the mean over the views."""

    @property
    def classes(self) -> Sequence[int]:
        """The classes chosen."""

    @property
    def frame(self) -> Frame:
        """Where the maps lie in the photo."""

    @property
    def maps(self) -> Sequence[Map]:
        """One map per class chosen."""


S = TypeVar("S", bound=Seen)


@runtime_checkable
class Localizer(Protocol[S]):
    """How objects are found; a value, so that two localizers with equal constants are equal."""

    @property
    def about(self) -> About:
        """What captions say of it."""

    def views(self, classifier: Classifier, photo: Photo) -> Views:
        """What the network is shown of a photo."""

    def see(
        self, classifier: Classifier, batch: Sequence[Views], choices: Sequence[Choice], most: int | None = None
    ) -> Sequence[S]:
        """What the network says of several photos at once, each with a choice of classes of its own.

        At most `most` objects of a class will be asked for, any number where it is None, and with 0 the maps alone.
        Raises `DeepInsideError` if any of the photos cannot be answered for.
        """

    def segment(self, seen: S, k: int) -> tuple[Segmentation, ...]:
        """The objects of the k-th class chosen, the surest first. Raises `DeepInsideError` for a flat map."""


def for_views(choices: Sequence[Choice], count: int) -> ViewChoice:
    """The choice of classes for a batch of photos with `count` views each, from the mean logits of each photo's views.

    Photos that want fewer classes than others have their last one repeated; `distinct` takes the repetitions out.
    """

    def choose(logits: Float[Tensor, "views classes"]) -> Int[Tensor, "views k"]:
        photos = logits.split(count)
        wanted = [list(choice(views.mean(dim=0))) for choice, views in zip(choices, photos, strict=True)]
        return table_of(wanted).to(logits.device).repeat_interleave(count, dim=0)

    return choose


def table_of(classes: Sequence[Sequence[int]]) -> Int[Tensor, "rows k"]:
    """Rows of equal length: those of fewer classes have their last one repeated.

    >>> table_of([[7, 2], [5]])
    tensor([[7, 2],
            [5, 5]])
    """
    most = max(map(len, classes))
    return torch.tensor([[*row, *[row[-1]] * (most - len(row))] for row in classes])


def distinct(classes: Int[Tensor, " k"]) -> tuple[int, ...]:
    """The classes of one photo, each once, in order.

    >>> distinct(torch.tensor([7, 2, 2]))
    (7, 2)
    """
    return tuple(dict.fromkeys(classes.tolist()))


def pixels_of(image: Float[Tensor, "1 channels height width"]) -> Float[np.ndarray, "height width 3"]:
    """An image as an array, channels last."""
    return np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())


def whole_view(frame: Frame) -> Segmentation:
    """Everything that the network saw, without seeds: for a class whose score depends on no position in particular."""
    nowhere = np.zeros((frame.height, frame.width), dtype=bool)
    return Segmentation(frame, ~nowhere, nowhere, nowhere, 0.0)


def is_flat(map: Map) -> bool:
    """Whether a map is the same everywhere, so that it points nowhere."""
    return bool(map.min() == map.max())


def check_contrast(map: Map) -> None:
    """Raise `DeepInsideError` for a flat map."""
    if is_flat(map):
        raise DeepInsideError(
            "expected a saliency map with high and low values, got a flat one: the class score does not depend on "
            "where one looks, so there is nothing to localize"
        )
