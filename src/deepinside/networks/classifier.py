"""A classifier: a network with its own preprocessing, the names of its classes, and the size it wants.

Its first layer is the normalization, so that it maps RGB in [0, 1] to logits and gradients are per pixel of the image.
`sources.load` makes one from a short name; `Classifier(...)` makes one of any module.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, view
from deepinside.core.labels import Labels
from deepinside.gradients.private import Snapshot, independent_copy
from deepinside.networks.layers import Layer, Stages, find_stages, list_layers
from deepinside.networks.normalized import Normalized
from deepinside.networks.weights import digest


class Classifier:
    """A network that maps RGB in [0, 1] to logits, what its classes are called, and the size it wants.

    Args:
        module: any `nn.Module` that returns logits, alone, in a tuple, a dict or as `.logits`.
        labels: class names in the order of the logits, or a `Labels`; without them, classes are numbers.
        size: the pixels the network wants, one number for a square or (height, width).
        mean, std: the normalization the module was trained with, for RGB in [0, 1]. By default none: the module
            takes RGB in [0, 1] as it is. A mean image (3, height, width) is subtracted pixel by pixel.
        name: what reports call it.
        resample: how photos are resized to `size`.
        frozen: whether to take a copy of the module as it is now, a snapshot, and keep it in a fast form. Otherwise
            every call answers for the module as it is at that moment.

    Attributes:
        notes: remarks for the user about how it was loaded, such as a damaged checkpoint that was passed over.

    Raises `DeepInsideError` for a size, mean or std that make no sense.

    >>> classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), labels=["cat", "dog"], size=8)
    >>> classifier.labels.find("dog"), classifier.size
    (1, (8, 8))
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        labels: Labels | Sequence[str] = (),
        size: int | tuple[int, int] = 224,
        mean: Sequence[float] | Float[Tensor, "3 _ _"] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        name: str | None = None,
        resample: Resampling = Resampling.BICUBIC,
        frozen: bool = False,
    ):
        if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
            raise DeepInsideError(
                f"expected a mean and a positive std for each of R, G and B, got {list(mean)}, {list(std)}"
            )
        height, width = (size, size) if isinstance(size, int) else size
        if height < 1 or width < 1:
            raise DeepInsideError(f"expected a size of at least 1 x 1 pixel, got {size}")
        if isinstance(mean, Tensor) and mean.shape[1:] != (height, width):
            raise DeepInsideError(f"expected a mean image of {height} x {width} pixels, got {tuple(mean.shape)}")
        self._network = Normalized(independent_copy(module) if frozen else module, mean, std)
        self.labels = labels if isinstance(labels, Labels) else Labels.of(labels)
        self.size = (height, width)
        self.name = name or type(module).__name__
        self.resample = resample
        self.notes: tuple[str, ...] = ()
        self._snapshot: Snapshot | None = None
        self._stages: dict[tuple[int, int], Stages] = {}  # of the snapshot
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
        reference go unnoticed.
        """
        self._snapshot, self._stages = Snapshot(self._network), {}
        return self

    def around(self, network: nn.Module) -> Classifier:
        """A classifier with another network, behind a normalization of its own, and everything else as here."""
        assert isinstance(network, Normalized)
        other = copy.copy(self)
        other._network, other._snapshot, other._stages = network, None, {}
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
            return find_stages(self._network, self.size, larger)
        if larger not in self._stages:
            self._stages[larger] = find_stages(self._network, self.size, larger)
        return self._stages[larger]

    def layers(self) -> list[Layer]:
        """The layers that one can look at, by the names of the module that was given."""
        return list_layers(self._network.model, self.size)

    def whole(self, photo: Photo) -> tuple[Frame, Float[Tensor, "1 3 height width"]]:
        """The whole photo, resized to the network's size on its device, and the frame that places it in the photo."""
        height, width = self.size
        frame = Frame.whole(photo.width, photo.height, width=width, height=height)
        return frame, view(photo, frame, self.resample).to(self.device)

    @property
    def parameter_count(self) -> int:
        """How many numbers the network has learned."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    def digest(self) -> str:
        """Sixteen digits that change with the network's weights and normalization."""
        return digest(self._network)

    @property
    def device(self) -> torch.device:
        """The device of the network's normalization, and so of its input."""
        return self._network.mean.device
