"""Run a network that somebody brought: on its own device and in its own precision, its failures told in one line.

Everything that computes with a network calls `run`. Images stay where and as precise as the caller has them, and so do
their gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from deepinside.core.errors import DeepInsideError, brief, nearest

BEHIND = "model"  # what `Normalized` calls the network behind it

_HALVES = (torch.float16, torch.bfloat16)


class NetworkError(DeepInsideError):
    """A network failed while it ran, forwards or backwards; `__cause__` is what it raised."""

    @property
    def is_exhausted(self) -> bool:
        """Whether memory was short, so that another try would fail as well."""
        return isinstance(self.__cause__, (torch.OutOfMemoryError, MemoryError))


def home(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """The device and the precision that a network computes with: those of the first weights or statistics it holds.

    A module's own come before those of the modules inside it, so that a first layer that converts for itself counts.

    >>> home(nn.Sequential(nn.Flatten(), nn.Linear(2, 2).double()))
    (device(type='cpu'), torch.float64)
    """
    for module in network.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.is_floating_point():
                return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def run(private: nn.Module, images: Float[Tensor, "batch channels height width"]) -> Any:
    """What a private view of a network returns for images that may be elsewhere, or of another precision.

    Raises `NetworkError` in place of whatever the network raises.
    """
    with telling(images), _sound_batch_norms(private) if len(images) == 1 else nullcontext():
        return private(images.to(*home(private)))


def outputs_of(private: nn.Module, images: Float[Tensor, "batch channels height width"]) -> Any:
    """What `run` returns, where nobody wants a gradient; with gradients only for a network that cannot run without."""
    with torch.inference_mode(False), torch.no_grad():
        try:
            return run(private, images)
        except NetworkError as error:
            if error.is_exhausted:
                raise
    return outputs_with_history(private, images)


def outputs_with_history(private: nn.Module, images: Float[Tensor, "batch channels height width"]) -> Any:
    """What `run` returns, as the end of a graph that begins at the images."""
    with torch.inference_mode(False), torch.enable_grad():
        return run(private, images.detach().clone().requires_grad_())


def listen(
    private: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    hear: Callable[[str, object], None],
    names: Iterable[str] | None = None,
) -> None:
    """Run a network as `outputs_of` does, and tell `hear` the name and the output of each layer when it finishes.

    Args:
        private: a private view of the network.
        images: what it is run with.
        hear: called with the name of a layer and what it returned.
        names: of the layers; by default all that can be read.
    """
    modules = dict(private.named_modules())
    if names is None:
        names = [name for name, module in modules.items() if name and can_be_read(module)]
    handles = [
        find_layer(modules, name).register_forward_hook(lambda _, __, output, name=name: hear(name, output))
        for name in names
    ]
    try:
        outputs_of(private, images)
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def telling(images: Float[Tensor, "batch channels height width"]) -> Iterator[None]:
    """Turn any error of a network in the block into a `NetworkError` of one line."""
    try:
        yield
    except DeepInsideError:
        raise
    except Exception as error:
        raise NetworkError(
            f"the network cannot run on images of shape {tuple(images.shape)} "
            f"({type(error).__name__}: {brief(error)}); {_way_out(error)}"
        ) from error


def find_layer(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    """The layer of that name; a classifier's own names hold, too, where it lies behind its normalization."""
    for spelled in (name, f"{BEHIND}.{name}"):
        if spelled in modules:
            return modules[spelled]
    known = [known.removeprefix(f"{BEHIND}.") for known in modules]
    raise DeepInsideError(f"expected the name of a layer, got {name!r}; {nearest(name, known)}")


def can_be_read(module: nn.Module) -> bool:
    """Whether a hook can read what a layer returns: not inside TorchScript."""
    return not isinstance(module, torch.jit.ScriptModule)


def single(tensor: Tensor) -> Tensor:
    """Half precision as single precision, in which sums and NumPy work; everything else as it is."""
    return tensor.float() if tensor.dtype in _HALVES else tensor


def _way_out(error: Exception) -> str:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "not enough memory" in str(error):
        return "give it fewer or smaller images at a time"
    if isinstance(error, TypeError) and "missing" in str(error):
        return "it takes more than images, so wrap it in a module that supplies the rest"
    return "check the size and the number of channels that it takes"


@contextmanager
def _sound_batch_norms(private: nn.Module) -> Iterator[None]:
    """Let batch norms get their gradient in the layout of their output.

    PyTorch's kernel for processors in evaluation mode misreads a gradient of another layout, as tokens send it, when
    the batch is one (seen in 2.14), and returns a wrong one without a word.
    """
    norms = [module for module in private.modules() if isinstance(module, _BatchNorm)]
    handles = [norm.register_forward_hook(_keep_layout) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep_layout(_module: nn.Module, _inputs: object, output: Tensor) -> None:
    if not output.requires_grad or output.ndim != 4:
        return
    is_last = output.is_contiguous(memory_format=torch.channels_last) and not output.is_contiguous()
    layout = torch.channels_last if is_last else torch.contiguous_format
    output.register_hook(lambda gradient: None if gradient is None else gradient.contiguous(memory_format=layout))
