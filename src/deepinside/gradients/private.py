"""Private views of a network: what every call runs on, so that the caller's module is never touched.

A private view is the same module tree once more, in evaluation mode, sharing the memory of the weights. Evaluation
mode, the hooks that read activations and whatever a forward pass writes on `self` happen there. It is made for one call
and thrown away with it, in a few milliseconds, so that a call always answers for the module as it is at that moment,
and any number of threads may look into one network at a time, even while another trains it.

A `Snapshot` is the exception that somebody has to own: a network that nobody changes any more, kept in a faster form.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Lock
from types import FunctionType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from deepinside.core.errors import DeepInsideError, brief
from deepinside.gradients.folded import folded
from deepinside.gradients.rectifiers import check_interceptable

_ATOMIC = frozenset({int, float, str, bool, type(None), type, FunctionType, torch.dtype, torch.device})
_CONTAINERS = frozenset({list, tuple, set, dict, OrderedDict})


def private_view(network: nn.Module) -> nn.Module:
    """The same function of its input, in evaluation mode, with weights that ask for no gradient.

    Parameters share the memory of the original's. Buffers and other tensors that modules hold are copied, since a
    forward pass may write into them. Objects that Python cannot copy, such as locks, are shared.

    Raises `DeepInsideError` for a module that cannot be copied.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> private = private_view(network)
    >>> private.training, private[0].weight.requires_grad, network.training, network[0].weight.requires_grad
    (False, False, True, True)
    >>> private[0].weight.data_ptr() == network[0].weight.data_ptr()
    True
    """
    original = original_of(network)
    if any(is_lazy(tensor) for tensor in (*original.parameters(), *original.buffers())):
        raise DeepInsideError("expected a network with weights, got lazy layers without; run it once on an image first")
    try:
        with torch.inference_mode(False), torch.no_grad():
            private: nn.Module = _copied(original, {})
    except Exception as error:
        raise DeepInsideError(
            f"expected a network that can be copied, but {type(original).__name__} cannot "
            f"({type(error).__name__}: {brief(error)})"
        ) from error
    with suppress(NotImplementedError):  # exported programs have one mode only, and say so
        private.eval()
    return private


def independent_copy(network: nn.Module) -> nn.Module:
    """A private view with weights of its own, which no change of the original reaches."""
    private = private_view(network)
    for parameter in private.parameters():
        parameter.data = parameter.data.clone()
    return private


def original_of(network: nn.Module) -> nn.Module:
    """The network as it was built: of a `Snapshot` the one behind it, of any other module that module."""
    return network.original if isinstance(network, Snapshot) else network


class Snapshot(nn.Module):
    """A network as it is now, for calls that are to be as fast as can be: the value that a frozen classifier owns.

    It is right only as long as nobody changes the network behind it, so whoever makes one answers for that. Its folded
    form (`folded`) is made when it is first needed, and copies of it are kept for the next call of any thread.

    Args:
        network: a module that nobody else holds.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        # In lists, so that none of them is a submodule.
        self._held = [network]
        self._master: list[nn.Module] = []
        self._idle: list[nn.Module] = []
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Snapshot], tuple[nn.Module]]:
        """For another process: the network, to be folded there."""
        return type(self), (self.original,)

    @property
    def original(self) -> nn.Module:
        """The network as it was built, not folded."""
        return self._held[0]

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        """What the network returns."""
        return self.original(images)

    @contextmanager
    def lent(self, images: Float[Tensor, "batch channels height width"]) -> Iterator[nn.Module]:
        """A folded copy for one thread at a time; the first image finds out how layers follow each other."""
        with self._lock:
            if not self._master:
                self._master.append(folded(private_view(self.original), images[:1].detach()))
        try:
            private = self._idle.pop()  # atomic, so that no two threads get the same
        except IndexError:
            private = private_view(self._master[0])
        try:
            yield private
        finally:
            self._idle.append(private)


@contextmanager
def borrowed(
    network: nn.Module, images: Float[Tensor, "batch channels height width"], rule: str = "gradient"
) -> Iterator[nn.Module]:
    """The network for one call: a private view of it as it is now, or a folded copy of a `Snapshot`.

    A rule other than "gradient" has to meet rectifiers as they are written, so that it gets no folded copy. Raises
    `DeepInsideError` where the network keeps its rectifiers out of the rule's reach.
    """
    if rule != "gradient":
        check_interceptable(original_of(network))
        yield private_view(network)
    elif isinstance(network, Snapshot):
        with network.lent(images) as private:
            yield private
    else:
        yield private_view(network)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """As `copy.deepcopy`, which refuses tensors inside a graph, but parameters share their memory."""
    kind: Any = type(value)
    if kind in _ATOMIC:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if kind in (dict, OrderedDict) and not value:  # most of what a module holds: hooks that nobody registered
        return memo.setdefault(id(value), kind())
    if isinstance(value, Tensor):
        return memo.setdefault(id(value), _tensor(value))
    if isinstance(value, nn.Module) and _is_plain(kind):
        memo[id(value)] = copied = kind.__new__(kind)
        copied.__dict__.update({name: _copied(each, memo) for name, each in value.__dict__.items()})
        return copied
    if kind in _CONTAINERS:
        return _container(value, memo)
    if isinstance(value, nn.Module):
        _enter_tensors(value, memo)
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # locks, open files, generators: nothing that a forward pass computes with
        if isinstance(value, nn.Module):
            raise
        return value


def _container(value: Any, memo: dict[int, Any]) -> Any:
    # Dictionaries and lists enter the memo before their items, which may refer to them.
    if isinstance(value, dict):
        entries = memo[id(value)] = type(value)()
        entries.update({_copied(key, memo): _copied(each, memo) for key, each in value.items()})
        return entries
    if isinstance(value, list):
        items: list[Any] = []
        memo[id(value)] = items
        items.extend(_copied(each, memo) for each in value)
        return items
    return memo.setdefault(id(value), type(value)(_copied(each, memo) for each in value))


def _tensor(value: Tensor) -> Tensor:
    if isinstance(value, nn.Parameter):
        # Autograd cannot use tensors that were made in inference mode. `data` has a version counter of its own, so that
        # a backward pass is not refused because another thread has trained the network in the meantime.
        shared = value.clone() if value.is_inference() else value.data
        return nn.Parameter(shared, requires_grad=False)
    return value.detach().clone()


@cache
def _is_plain(kind: Any) -> bool:
    """Whether a module of this class is its `__dict__` and nothing else, as nearly all are."""
    own = ("__deepcopy__", "__reduce_ex__", "__reduce__", "__getstate__", "__slots__")
    stateless = kind.__setstate__ in (nn.Module.__setstate__, nn.Conv2d.__setstate__)
    return stateless and all(getattr(kind, name, None) is getattr(nn.Module, name, None) for name in own)


def _enter_tensors(network: nn.Module, memo: dict[int, Any]) -> None:
    """Tell `copy.deepcopy` what becomes of the tensors of a module that copies itself in its own way."""
    for tensor in (*network.parameters(), *network.buffers()):
        memo.setdefault(id(tensor), _tensor(tensor))
