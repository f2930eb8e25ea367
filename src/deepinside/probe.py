"""One forward pass and the backward passes it is asked for, through a private copy of the network.

The caller's network is never touched: evaluation mode, frozen weights and the taps that read activations are all set
on a copy that shares the weights' memory. It costs milliseconds and no megabytes, and any number of threads may look
into one network at the same time, even while another trains it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from deepinside.errors import DeepInsideError, nearest
from deepinside.folded import folded
from deepinside.logits import logits_of

IMAGE = ""  # the name of the place where the image enters, as `named_modules` calls the network itself

Choice = Callable[[Float[Tensor, "batch classes"]], Int[Tensor, "batch k"]]


@dataclass(frozen=True)
class Look:
    """What one look into a network saw; `activations` and `gradients` are in the order of the layers asked for."""

    logits: Float[Tensor, "batch classes"]
    classes: Int[Tensor, "batch k"]
    activations: tuple[Float[Tensor, "batch ..."], ...]
    gradients: tuple[Float[Tensor, "batch k ..."], ...]


def look(
    private: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    classes: Int[Tensor, "batch k"] | Choice,
    layers: Sequence[str] = (IMAGE,),
) -> Look:
    """Forward once, then once backward for each of the k classes of every image.

    Args:
        private: what `borrowed` or `frozen` gave; nobody else may be using it at the moment.
        images: RGB in [0, 1].
        classes: the classes of each image, or how to choose them once the logits are known.
        layers: where to read activations, and gradients of the class scores with respect to them. The graph
            begins at the first of them, so a look at a deep layer costs little more than a forward pass.

    Raises `DeepInsideError` for an unknown layer, outputs that are no logits, and scores that are not finite.
    """
    # Gradients are wanted whatever mode the caller is in, and only for this private copy of the pixels.
    with torch.inference_mode(False), torch.enable_grad(), _Taps(private, layers) as taps:
        logits = logits_of(private(taps.image(images)), len(images))
        chosen = classes(logits.detach()) if callable(classes) else classes.to(logits.device)
        _check_classes(chosen, logits)
        columns = logits.gather(1, chosen).unbind(dim=1)
        tapped = taps.in_order()
        backward = [
            torch.autograd.grad(column.sum(), tapped, retain_graph=number < len(columns) - 1)
            for number, column in enumerate(columns)
        ]
    gradients = tuple(torch.stack(passes, dim=1) for passes in zip(*backward, strict=True))
    return Look(logits.detach(), chosen, tuple(tensor.detach() for tensor in tapped), gradients)


@contextmanager
def borrowed(network: nn.Module, images: Float[Tensor, "batch 3 height width"]) -> Iterator[nn.Module]:
    """A frozen and folded copy of the network for one thread at a time, given back at the end of the block.

    Copies are kept as long as the network lives, for the next call. They are made anew when any weight, statistic or
    module of the network has changed since.
    """
    pool = _pool(network, images)
    try:
        private = pool.idle.pop()  # atomic, so that no two threads get the same
    except IndexError:
        private = frozen(pool.master)
    try:
        yield private
    finally:
        pool.idle.append(private)


@dataclass(frozen=True)
class _Pool:
    fingerprint: tuple[object, ...]
    master: nn.Module
    idle: list[nn.Module] = field(default_factory=list)


# Not state that anyone can see: what is in here only saves the time to make it again.
_pools: WeakKeyDictionary[nn.Module, _Pool] = WeakKeyDictionary()
_pools_lock = Lock()


def _pool(network: nn.Module, images: Tensor) -> _Pool:
    fingerprint = _fingerprint(network)
    with _pools_lock:
        pool = _pools.get(network)
    if pool is None or pool.fingerprint != fingerprint:
        pool = _Pool(fingerprint, folded(frozen(network), images[:1].detach()))
        with _pools_lock:
            _pools[network] = pool
    return pool


def _fingerprint(network: nn.Module) -> tuple[object, ...]:
    """Changes with any weight or statistic, also where `.data` was written past autograd, and with any module."""
    modules = tuple(
        (id(module), len(module._forward_hooks), len(module._forward_pre_hooks)) for module in network.modules()
    )
    tensors = [*network.parameters(), *network.buffers()]
    places = tuple((id(tensor), tensor.data_ptr(), tensor.dtype) for tensor in tensors)
    with torch.no_grad():
        floats = [tensor.detach() for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
        norms = torch._foreach_norm(floats) if floats else []
        sums = [tensor.sum() for tensor in floats]
    values = tuple(torch.stack([value.float().cpu() for value in (*norms, *sums)]).tolist()) if floats else ()
    return (modules, places, values)


def frozen(network: nn.Module) -> nn.Module:
    """The same function of its input, in evaluation mode, with weights that ask for no gradient.

    Raises `DeepInsideError` for a network that Python cannot copy.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> private = frozen(network)
    >>> private.training, private[0].weight.requires_grad, network.training, network[0].weight.requires_grad
    (False, False, True, True)
    >>> private[0].weight.data_ptr() == network[0].weight.data_ptr()
    True
    """
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(_values(parameter), requires_grad=False)
    for buffer in network.buffers():
        memo[id(buffer)] = _values(buffer)
    try:
        private = copy.deepcopy(network, memo)
    except Exception as error:
        raise DeepInsideError(
            "expected a network that copy.deepcopy can copy, since the original must not be changed; "
            f"{type(network).__name__} refuses ({error})"
        ) from error
    return private.eval()


def _check_classes(classes: Tensor, logits: Tensor) -> None:
    batch, count = logits.shape
    if classes.ndim != 2 or len(classes) != batch:
        raise DeepInsideError(f"expected targets of shape ({batch}, k), got {tuple(classes.shape)}")
    if classes.numel() and not (int(classes.min()) >= 0 and int(classes.max()) < count):
        wrong = next(int(c) for c in classes.flatten() if not 0 <= int(c) < count)
        raise DeepInsideError(f"expected classes from 0 to {count - 1}, as many as the network has, got {wrong}")


def _values(tensor: Tensor) -> Tensor:
    """The tensor's memory outside any graph; a copy only where autograd could not use the original."""
    with torch.inference_mode(False):
        return tensor.clone() if tensor.is_inference() else tensor.detach()


class _Taps:
    """Reads the outputs of named layers while a network runs; the hooks live as long as the `with` block."""

    def __init__(self, private: nn.Module, layers: Sequence[str]):
        self._layers = tuple(layers)
        self._tapped: dict[str, Tensor] = {}
        modules = dict(private.named_modules())
        for name in layers:
            if name not in modules:
                raise DeepInsideError(f"expected the name of a layer, got {name!r}; {nearest(name, modules)}")
        self._modules = {name: modules[name] for name in layers if name != IMAGE}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> _Taps:
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def image(self, images: Tensor) -> Tensor:
        """The pixels to feed: a private copy, a leaf of the graph only if the image is among the layers."""
        pixels = images.detach().clone(memory_format=torch.channels_last)
        return self._tap(IMAGE, pixels) if IMAGE in self._layers else pixels

    def in_order(self) -> tuple[Tensor, ...]:
        missing = [name for name in self._layers if name not in self._tapped]
        if missing:
            raise DeepInsideError(f"the network did not run its layer {missing[0]!r}; look at one that it runs")
        return tuple(self._tapped[name] for name in self._layers)

    def _hook(self, name: str) -> Callable[[nn.Module, object, object], Tensor]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor:
            if not isinstance(output, Tensor):
                raise DeepInsideError(
                    f"expected layer {name!r} to return a tensor, got {type(output).__name__}; look at a layer "
                    "inside it"
                )
            return self._tap(name, output)

        return hook

    def _tap(self, name: str, tensor: Tensor) -> Tensor:
        # A layer that runs more than once is read at its last run, the one nearest to the scores.
        self._tapped[name] = tensor if tensor.requires_grad else tensor.requires_grad_()
        return self._tapped[name].clone()  # so that an in-place layer after it does not overwrite what was read
