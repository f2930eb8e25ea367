"""One forward pass and the backward passes it is asked for, through a private copy of the network.

The caller's network is never touched: evaluation mode, frozen weights and the taps that read activations are all set
on a copy that shares the weights' memory. It costs milliseconds and no megabytes, and any number of threads may look
into one network at the same time, even while another trains it.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, nearest
from deepinside.gradients.folded import folded, spend
from deepinside.gradients.logits import logits_of
from deepinside.gradients.rectifiers import RectifierRule, check_interceptable
from deepinside.gradients.targets import Score, scores_of

BEHIND = "model"  # what `Normalized` calls the network behind it
IMAGE = ""  # the name of the place where the image enters, as `named_modules` calls the network itself

Choice = Callable[[Float[Tensor, "batch classes"]], Int[Tensor, "batch k"]]


@dataclass(frozen=True)
class Passes:
    """What came back from k scores of every image, in the order of the layers asked for.

    After the activations of these layers come those that were only read. `rectifiers` counts, by spelling, the
    rectifier calls that the rule acted on; nothing under the rule "gradient", which is autograd's own. `others` counts
    the activations on the way that no rule acts on.
    """

    scores: Float[Tensor, "batch k"]
    activations: tuple[Float[Tensor, "batch ..."], ...]
    gradients: tuple[Float[Tensor, "batch k ..."], ...]
    rectifiers: Mapping[str, int]
    others: Mapping[str, int]


@dataclass(frozen=True)
class Look(Passes):
    """What one look into a network at its classes saw: their logits as well, and which classes the scores are of."""

    logits: Float[Tensor, "batch classes"]
    classes: Int[Tensor, "batch k"]


def look(
    private: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    classes: Int[Tensor, "batch k"] | Choice,
    layers: Sequence[str] = (IMAGE,),
    rule: str = "gradient",
    reads: Sequence[str] = (),
) -> Look:
    """Forward once, then once backward for each of the k classes of every image.

    Args:
        private: what `borrowed` or `frozen` gave; nobody else may be using it at the moment.
        images: RGB in [0, 1].
        classes: the classes of each image, or how to choose them once the logits are known.
        layers: where to read activations, and gradients of the class scores with respect to them. The graph
            begins at the first of them, so a look at a deep layer costs little more than a forward pass.
        rule: how the signal passes rectifiers, one of `relu.RULES`.
        reads: layers whose activations are wanted without gradients, which costs nothing.

    Raises `DeepInsideError` for an unknown layer, outputs that are no logits, scores that are not finite or do not
    depend on a layer, and a rule that found nothing to act on.
    """
    logits, chosen = images.new_empty(0), images.new_empty(0)

    def scores(output: object) -> Float[Tensor, "batch k"]:
        nonlocal logits, chosen
        logits = logits_of(output, len(images))
        chosen = classes(logits.detach()) if callable(classes) else classes.to(logits.device)
        chosen = chosen.clone()  # one made in inference mode could not be kept for the way back
        _check_classes(chosen, logits)
        return logits.gather(1, chosen)

    passes = _passes(private, images, scores, None, layers, rule, reads)
    return Look(**vars(passes), logits=logits.detach(), classes=chosen)


def look_at(
    private: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    score: Score,
    layers: Sequence[str] = (IMAGE,),
    rule: str = "gradient",
) -> Passes:
    """Forward once and backward once from any score of the output, or of the layer that `score.layer` names.

    Arguments and errors as `look`; k is 1.
    """
    place = getattr(score, "layer", None)
    return _passes(private, images, lambda value: scores_of(score, value, len(images))[:, None], place, layers, rule)


def _passes(
    private: nn.Module,
    images: Tensor,
    scores: Callable[[Any], Float[Tensor, "batch k"]],
    place: str | None,
    layers: Sequence[str],
    rule: str,
    reads: Sequence[str] = (),
) -> Passes:
    """Read `scores` from the output, or from the layer called `place`, and go back from each of their columns."""
    watch = RectifierRule(rule)
    # Gradients are wanted whatever mode the caller is in, and only for this private copy of the pixels.
    with torch.inference_mode(False), torch.enable_grad(), _Taps(private, layers, reads, place, watch) as taps:
        with watch if rule != "gradient" else nullcontext():
            output = private(taps.image(images))
            source = output if place is None else taps.source()
        table = scores(source)
        tapped = taps.in_order()
        columns = table.unbind(dim=1)
        spend(private, once=len(columns) == 1 and set(layers) == {IMAGE} and not reads)
        backward = [
            _back(column.sum(), tapped, layers, keep=number < len(columns) - 1) for number, column in enumerate(columns)
        ]
    return Passes(
        table.detach(),
        (*(tensor.detach() for tensor in tapped), *taps.read()),
        tuple(torch.stack(gradients, dim=1) for gradients in zip(*backward, strict=True)),
        dict(watch.rectifiers),
        dict(watch.others),
    )


def _back(score: Tensor, tapped: Sequence[Tensor], layers: Sequence[str], keep: bool) -> tuple[Tensor, ...]:
    gradients: Sequence[Tensor | None] = [None] * len(tapped)
    if score.requires_grad:
        gradients = torch.autograd.grad(score, tapped, retain_graph=keep, allow_unused=True)
    for gradient, name in zip(gradients, layers, strict=True):
        if gradient is None:
            where = f"layer {name!r}" if name else "the image"
            raise DeepInsideError(
                f"expected a score that depends on {where}, but nothing comes back from it; take the gradient at a "
                "layer before the one whose score it is, in a network without detach() between"
            )
    return tuple(gradient for gradient in gradients if gradient is not None)


@contextmanager
def borrowed(
    network: nn.Module, images: Float[Tensor, "batch 3 height width"], rule: str = "gradient"
) -> Iterator[nn.Module]:
    """A frozen and folded copy of the network for one thread at a time, given back at the end of the block.

    Copies are kept as long as the network lives, for the next call. They are made anew when any weight, statistic or
    module of the network has changed since. A rule other than "gradient" has to see rectifiers as they are written: it
    gets a frozen copy that is not folded, and an error where even that would keep rectifiers out of its reach.
    """
    if rule != "gradient":
        check_interceptable(network)
        yield frozen(network)
        return
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
    places = tuple((id(tensor), tensor.data_ptr(), tensor.dtype, _version(tensor)) for tensor in tensors)
    with torch.no_grad():
        floats = [tensor.detach() for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
        norms = torch._foreach_norm(floats) if floats else []
        # A norm does not see a change of sign; the first number does.
        firsts = [tensor.reshape(-1)[0] for tensor in floats]
    values = tuple(torch.stack([value.cpu() for value in (*norms, *firsts)]).tolist()) if floats else ()
    return (modules, places, values)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version  # inference tensors keep no count


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


def find_layer(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    """The layer of that name; a classifier's own names hold, too, where it lies behind its normalization."""
    for spelled in (name, f"{BEHIND}.{name}"):
        if spelled in modules:
            return modules[spelled]
    known = [known.removeprefix(f"{BEHIND}.") for known in modules]
    raise DeepInsideError(f"expected the name of a layer, got {name!r}; {nearest(name, known)}")


class _Taps:
    """Reads the outputs of named layers while a network runs; the hooks live as long as the `with` block.

    Layers are read as leaves that gradients reach; `place` is read as it is, for a score to be taken of it.
    """

    def __init__(
        self,
        private: nn.Module,
        layers: Sequence[str],
        reads: Sequence[str],
        place: str | None,
        watch: RectifierRule,
    ):
        self._layers = tuple(layers)
        self._reads = tuple(reads)
        self._place = place
        self._watch = watch
        self._tapped: dict[str, Tensor] = {}
        self._seen: dict[str, Tensor] = {}
        self._source: Tensor | None = None
        modules = dict(private.named_modules())
        self._modules = {name: find_layer(modules, name) for name in (*layers, *reads, place) if name is not None}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> _Taps:
        for name in dict.fromkeys((*self._layers, *self._reads, self._place)):
            if name:  # neither the image nor the network itself
                self._handles.append(self._modules[name].register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def image(self, images: Tensor) -> Tensor:
        """The pixels to feed: a private copy, a leaf of the graph only if the image is among the layers."""
        pixels = images.detach().clone(memory_format=torch.channels_last)
        return self._tap(IMAGE, pixels) if IMAGE in self._layers else pixels

    def in_order(self) -> tuple[Tensor, ...]:
        """The activations of the layers."""
        return tuple(self._ran(name, self._tapped.get(name)) for name in self._layers)

    def read(self) -> tuple[Tensor, ...]:
        """The activations of the layers that are only read."""
        return tuple(self._ran(name, self._seen.get(name)) for name in self._reads)

    def source(self) -> Tensor:
        """The output that the score is taken of. The rule has met what lies before it, and not what lies after."""
        assert self._place is not None
        source = self._ran(self._place, self._source)
        self._watch.rectifiers, self._watch.others, self._watch.detached = self._met
        return source

    def _ran(self, name: str, tensor: Tensor | None) -> Tensor:
        if tensor is None:
            raise DeepInsideError(f"the network did not run its layer {name!r}; look at one that it runs")
        return tensor

    def _hook(self, name: str) -> Callable[[nn.Module, object, object], Tensor]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor:
            if not isinstance(output, Tensor):
                raise DeepInsideError(
                    f"expected layer {name!r} to return a tensor, got {type(output).__name__}; look at a layer "
                    "inside it"
                )
            if name in self._reads:
                self._seen[name] = output.detach().clone()  # what comes next may write over it
            passed = self._tap(name, output) if name in self._layers else output
            if name == self._place:
                self._source = passed
                self._met = Counter(self._watch.rectifiers), Counter(self._watch.others), self._watch.detached
                passed = passed.clone()
            return passed

        return hook

    def _tap(self, name: str, tensor: Tensor) -> Tensor:
        # A layer that runs more than once is read at its last run, the one nearest to the scores.
        self._tapped[name] = tensor if tensor.requires_grad else tensor.requires_grad_()
        return self._tapped[name].clone()  # so that an in-place layer after it does not overwrite what was read
