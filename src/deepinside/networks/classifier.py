"""A classifier: a network with its own preprocessing, the names of its classes, and the size it wants.

Its first layer is the normalization, so that it maps RGB in [0, 1] to logits and gradients are per pixel of the image.
`sources.load` makes one from a short name; `Classifier(...)` makes one of any module.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeAlias, Union

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, brief, named
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, view
from deepinside.core.labels import Labels, as_labels
from deepinside.gradients.private import Snapshot, independent_copy
from deepinside.gradients.running import home
from deepinside.networks.declared import LABELS_NOTE, declared, declared_labels, declares_pixels
from deepinside.networks.layers import Layer, Stages, find_stages, input_channels, last_layer, list_layers
from deepinside.networks.normalized import Normalized
from deepinside.networks.weights import digest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Values: TypeAlias = Union["ArrayLike", Tensor]  # a number, or one for each channel


class Link(NamedTuple):
    """How logits become probabilities, over the last axis, and their logarithms."""

    probabilities: Callable[[Tensor], Tensor]
    logarithms: Callable[[Tensor], Tensor]


LINKS: Mapping[str, Link] = {
    "softmax": Link(partial(torch.softmax, dim=-1), partial(torch.log_softmax, dim=-1)),
    "sigmoid": Link(torch.sigmoid, nn.functional.logsigmoid),
}


def as_classifier(network: Classifier | nn.Module) -> Classifier:
    """A classifier as it is, and a module as one, if the module says what pixels it takes (`declares_pixels`).

    Raises `DeepInsideError` for any other module, whose mean and std cannot be guessed, and for what is no network.
    """
    if isinstance(network, Classifier):
        return network
    if isinstance(network, nn.Module) and declares_pixels(network):
        return Classifier(network)
    raise DeepInsideError(
        f"expected a Classifier, got {type(network).__name__}; wrap a module as Classifier(module, size=..., mean=..., "
        "std=...), or call saliency(module, images, targets)"
    )


class Classifier:
    """A network that maps RGB in [0, 1] to logits, what its classes are called, and the size it wants.

    Args:
        module: any `nn.Module` that returns logits, alone, in a tuple, a dict or as `.logits`; on any device, and in
            any precision.
        labels: class names in the order of the logits, a dictionary of names and numbers, a file of them, or a
            `Labels`. By default those that a network of timm or transformers was published with, which `notes` then
            say, and for any other none: classes are numbers.
        size: the pixels the network wants, one number for a square or (height, width); by default what a network of
            timm or transformers declares, and else 224.
        mean, std: the normalization the module was trained with, for pixels in [0, 1], a number for each channel; so
            they tell how many channels there are. By default what a network of timm or transformers declares, which
            `notes` then say, and for any other none: the module takes [0, 1] as it is, RGB unless its first layer takes
            another number of channels. A mean image (channels, height, width) is subtracted pixel by pixel.
        name: what reports call it.
        resample: how photos are resized to `size`; by default as the network declares, and else bicubic.
        frozen: whether to take a copy of the module as it is now, a snapshot, and keep it in a fast form. Otherwise
            every call answers for the module as it is at that moment.
        probabilities: how logits become probabilities: `"softmax"` where a picture shows one of the classes,
            `"sigmoid"` where it may show any of them. By default softmax, and sigmoid for a network with one logit.

    Attributes:
        channels: how many channels the network takes.
        notes: remarks for the user about how it was loaded, such as a damaged checkpoint that was passed over.

    Raises `DeepInsideError` for a size, mean, std, labels or probabilities that make no sense, and for a network of
    transformers without mean and std, whose processor is not on this machine.

    >>> classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), labels=["cat", "dog"], size=8)
    >>> classifier.labels.find("dog"), classifier.size
    (1, (8, 8))
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        labels: Labels | Sequence[str] | Mapping[Any, Any] | str | os.PathLike[str] | None = None,
        size: SupportsIndex | Sequence[SupportsIndex] | None = None,
        mean: Values | None = None,
        std: Values | None = None,
        name: str | None = None,
        resample: Resampling | None = None,
        frozen: bool = False,
        probabilities: str | None = None,
    ):
        own = declared(module) if mean is None and std is None else None
        if own:
            mean, std = own.mean, own.std
        self.size = checked_size((own.size if own else 224) if size is None else size)
        average, spread = _checked_normalization(mean, std, input_channels(module, self.size), self.size)
        self._network = Normalized(independent_copy(module) if frozen else module, average, spread)
        self.channels = len(spread)
        self.labels = declared_labels(module) if labels is None else as_labels(labels)
        self.name = name or type(module).__name__
        self.resample = resample or (own.resample if own else Resampling.BICUBIC)
        if probabilities is not None:
            named(probabilities, LINKS, "a kind of probabilities")
        self._link = probabilities
        self.notes: tuple[str, ...] = (
            *([own.note] if own else []),
            *([LABELS_NOTE] if labels is None and len(self.labels) else []),
        )
        self._snapshot: Snapshot | None = None
        self._stages: dict[tuple[int, int], Stages] = {}  # of the snapshot
        self._last: dict[tuple[int, int], str | None] = {}  # likewise
        if frozen:
            self.freeze()

    def __repr__(self) -> str:
        height, width = self.size
        return f"Classifier({self.name}, {len(self.labels)} classes, {height} x {width})"

    @property
    def network(self) -> Normalized:
        """The network itself, behind its normalization: any module may be changed, and is then seen as it is.

        Whoever reads it may change it, so a frozen classifier gives its fast form up; `freeze` makes another one.
        """
        self._snapshot = None
        return self._network

    @property
    def fast(self) -> nn.Module:
        """What to hand to compute functions such as `saliency`: the snapshot of a frozen classifier, or the network."""
        return self._network if self._snapshot is None else self._snapshot

    def freeze(self) -> Classifier:
        """This classifier, from now on with a fast form of its network, until somebody reads `network`.

        For whoever holds the only reference to the module, as `load` does: changes that are made to it through another
        reference go unnoticed. The network is put into evaluation mode, so that whoever calls it does not train it.
        """
        self._network.eval()
        self._snapshot, self._stages, self._last = Snapshot(self._network), {}, {}
        return self

    def around(self, network: nn.Module) -> Classifier:
        """A classifier with another network, behind a normalization of its own, and everything else as here."""
        assert isinstance(network, Normalized)
        other = copy.copy(self)
        other._network, other._snapshot, other._stages, other._last = network, None, {}, {}
        return other

    def to(self, device: str | torch.device) -> Classifier:
        """This classifier, its network moved to a device as `nn.Module.to` does.

        Raises `DeepInsideError` for a device that is not there.
        """
        try:
            self._network.to(device)
        except (RuntimeError, AssertionError, AttributeError) as error:
            raise DeepInsideError(
                f"expected a device of this machine, such as cpu, got {device!s} ({brief(error)})"
            ) from None
        return self if self._snapshot is None else self.freeze()

    def stages(self, larger: tuple[int, int]) -> Stages:
        """The layers that localization looks at, found by running the network; `larger` is a size to try as well."""
        if self._snapshot is None:
            return find_stages(self._network, self.size, larger, self.channels)
        if larger not in self._stages:
            self._stages[larger] = find_stages(self._network, self.size, larger, self.channels)
        return self._stages[larger]

    def last_layer(self, size: tuple[int, int] | None = None) -> str | None:
        """The last layer with a grid that the scores depend on, for images of a size, by default the network's own."""
        size = size or self.size
        if self._snapshot is None:
            return last_layer(self._network, size, self.channels)
        if size not in self._last:
            self._last[size] = last_layer(self._network, size, self.channels)
        return self._last[size]

    def layers(self) -> list[Layer]:
        """The layers that one can look at, by the names of the module that was given."""
        return list_layers(self._network.model, self.size, self.channels)

    def check_labels(self, classes: int) -> None:
        """Raise `DeepInsideError` for labels of another number of classes than the network has turned out to have."""
        if len(self.labels) not in (0, classes):
            raise DeepInsideError(
                f"expected as many labels as the network has classes ({classes}), got {len(self.labels)}"
            )

    def check_same_classes(self, other: Classifier) -> None:
        """Raise `DeepInsideError` for other names than these or another order of them, where both have any.

        One name that two lists have in common is enough for a class, since some lists have its synonyms as well.
        """
        mine, theirs = self.labels.synonyms, other.labels.synonyms
        is_same = len(mine) == len(theirs) and all(set(one) & set(two) for one, two in zip(mine, theirs, strict=True))
        if mine and theirs and not is_same:
            raise DeepInsideError(f"expected the classes of {self.name}, but {other.name} has others")

    def link(self, classes: int) -> str:
        """How so many logits become probabilities: `"softmax"` or `"sigmoid"`."""
        return self._link or usual_link(classes)

    def posterior(self, logits: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch classes"]:
        """The probabilities of all classes, in [0, 1].

        >>> Classifier(nn.Identity()).posterior(torch.tensor([0.0]))
        tensor([0.5000])
        """
        return LINKS[self.link(logits.shape[-1])].probabilities(logits)

    def log_posterior(self, logits: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch classes"]:
        """The logarithms of the probabilities of all classes."""
        return LINKS[self.link(logits.shape[-1])].logarithms(logits)

    def view(self, photo: Photo, frame: Frame) -> Float[Tensor, "1 channels height width"]:
        """The frame's region of a photo as the network is shown it, in [0, 1], before its normalization.

        Raises `DeepInsideError` for a photo without the channels that the network takes.
        """
        return view(photo, frame, self.resample, self.channels)

    def whole(self, photo: Photo) -> tuple[Frame, Float[Tensor, "1 channels height width"]]:
        """The whole photo, resized to the network's size on its device, and the frame that places it in the photo."""
        height, width = self.size
        frame = Frame.whole(photo.width, photo.height, width=width, height=height)
        return frame, self.view(photo, frame).to(self.device)

    @property
    def parameter_count(self) -> int:
        """How many numbers the network has learned."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    def digest(self) -> str:
        """Sixteen digits that change with the network's weights and normalization."""
        return digest(self._network)

    @property
    def device(self) -> torch.device:
        """The device that the network computes on."""
        return home(self._network.model)[0]


def usual_link(classes: int) -> str:
    """How so many logits become probabilities where nobody has said so.

    >>> usual_link(1), usual_link(2)
    ('sigmoid', 'softmax')
    """
    return "sigmoid" if classes == 1 else "softmax"


def checked_size(size: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, int]:
    """A size as (height, width). Raises `DeepInsideError` unless it is one or two positive integers of any library."""
    sides = np.asarray(size)
    height, width = (sides, sides) if sides.ndim == 0 else sides if sides.shape == (2,) else (0, 0)
    if not np.issubdtype(sides.dtype, np.integer) or height < 1 or width < 1:
        raise DeepInsideError(f"expected a size of at least 1 x 1 pixel, one integer or (height, width), got {size}")
    return int(height), int(width)


def _checked_normalization(
    mean: Values | None, std: Values | None, channels: int, size: tuple[int, int]
) -> tuple[Tensor, list[float]]:
    """The mean, (channels, 1, 1) or an image, and the std of each channel; `channels` where neither says how many."""
    given = [None if values is None else torch.as_tensor(values, dtype=torch.float32).cpu() for values in (mean, std)]
    channels = next((len(values) for values in given if values is not None and values.ndim), channels)
    average, spread = (
        torch.full((channels,), default) if values is None else values.expand(channels) if not values.ndim else values
        for values, default in zip(given, (0.0, 1.0), strict=True)
    )
    if spread.ndim != 1 or len(average) != len(spread) or not bool((spread > 0).all()):
        raise DeepInsideError(
            "expected a mean and a positive std for each channel, such as R, G and B, got "
            f"{'a mean image' if average.ndim == 3 else average.tolist()}, {spread.tolist()}"
        )
    if average.ndim == 1:
        average = average[:, None, None]
    elif average.ndim != 3 or average.shape[1:] not in (size, (1, 1)):
        raise DeepInsideError(
            f"expected a mean image of {size[0]} x {size[1]} pixels, (channels, height, width), got "
            f"{tuple(average.shape)}"
        )
    return average, spread.tolist()
