"""One forward pass and the backward passes it is asked for, through a private view of the network.

The hooks that read activations are set on the private view (`private.py`), never on the caller's network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.folded import spend
from deepinside.gradients.logits import logits_of
from deepinside.gradients.placement import check_placed
from deepinside.gradients.private import independent_copy
from deepinside.gradients.rectifiers import RectifierRule
from deepinside.gradients.running import (
    NetworkError,
    can_be_read,
    find_layer,
    outputs_of,
    outputs_with_history,
    run,
    single,
    telling,
)
from deepinside.gradients.targets import Neuron, Score, Together, scores_of, sources_of

IMAGE = ""  # the name of the image among the layers, as `named_modules` calls the network itself

Choice = Callable[[Float[Tensor, "batch classes"]], Int[Tensor, "batch k"]]
Summary = Callable[[str, Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]], Float[Tensor, "_ ..."]]


@dataclass(frozen=True)
class Passes:
    """The scores of every image and their gradients, in the order of the layers asked for.

    Gradients are (batch, k, ...) as the layer's output is (batch, ...), or what a summary has made of them.
    After the activations of these layers come those that were only read. `rectifiers` counts, by spelling, the
    rectifier calls that the rule acted on; nothing under the rule "gradient", which is autograd's own. `others` counts
    the other activation functions that the signal passed, on which no rule acts.
    """

    scores: Float[Tensor, "batch k"]
    activations: tuple[Float[Tensor, "batch ..."], ...]
    gradients: tuple[Float[Tensor, "_ k ..."], ...]
    rectifiers: Mapping[str, int]
    others: Mapping[str, int]


@dataclass(frozen=True)
class Look(Passes):
    """The passes of class scores, with all logits and the classes that the scores are of."""

    logits: Float[Tensor, "batch classes"]
    classes: Int[Tensor, "batch k"]


def look(
    private: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    classes: Int[Tensor, "batch k"] | Choice,
    layers: Sequence[str] = (IMAGE,),
    rule: str = "gradient",
    reads: Sequence[str] = (),
    summary: Summary | None = None,
) -> Look:
    """Forward once, then once backward for each of the k classes of every image.

    Args:
        private: what `borrowed` or `private_view` gave; no other thread may be using it at the moment.
        images: in [0, 1].
        classes: the classes of each image, or how to choose them once the logits are known.
        layers: where to read activations, and gradients of the class scores with respect to them. The graph
            begins at the first of them, so a look at a deep layer costs little more than a forward pass.
        rule: how the signal passes rectifiers, one of `rectifiers.RULES`.
        reads: layers whose activations are wanted without gradients, which costs no backward pass.
        summary: what to keep of the gradient of one class at a layer, given the layer's name, that gradient and the
            activation, all images together; by default all of it, which for many classes may be more than fits.

    Raises `DeepInsideError` for a network that fails on these images, an unknown layer, outputs that are no logits,
    scores that are not finite or do not depend on a layer, and a rule that found nothing to act on.
    """
    logits, chosen = images.new_empty(0), images.new_empty(0)

    def scores(output: object) -> Float[Tensor, "batch k"]:
        nonlocal logits, chosen
        logits = single(logits_of(output, len(images)))
        chosen = classes(logits.detach()) if callable(classes) else classes.to(logits.device)
        chosen = chosen.clone()  # one made in inference mode could not be kept for the backward pass
        _check_classes(chosen, logits)
        return logits.gather(1, chosen)

    passes = _passes(private, images, _Asked(scores, (None,), layers, rule, reads, summary or _all_of_it))
    return Look(**vars(passes), logits=logits.detach(), classes=chosen)


def look_at(
    private: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    score: Score,
    layers: Sequence[str] = (IMAGE,),
    rule: str = "gradient",
) -> Passes:
    """Forward once and backward once from any score of the output, or of the layers that the score names.

    Arguments and errors as `look`; k is 1.
    """
    size = (images.shape[2], images.shape[3])
    shape: Sequence[int] = ()  # of what the score is taken of

    def scores(*outputs: object) -> Float[Tensor, "batch 1"]:
        nonlocal shape
        output = outputs if isinstance(score, Together) else outputs[0]
        shape = output.shape if isinstance(output, Tensor) else ()
        return single(scores_of(score, output, len(images), size))[:, None]

    passes = _passes(private, images, _Asked(scores, sources_of(score), layers, rule))
    if isinstance(score, Neuron) and isinstance(score.at, tuple):  # so the grid has to be the picture's
        check_placed(private, score.layer, shape, images)
    return passes


def read_logits(
    private: nn.Module, images: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch classes"]:
    """The logits alone, without a backward pass. Raises `DeepInsideError` as `look` does."""
    output = outputs_of(private, images)
    try:
        return single(logits_of(output, len(images)))
    except DeepInsideError:
        if isinstance(output, Tensor):
            raise
    # Which of several outputs was computed from which, only their history tells.
    return single(logits_of(outputs_with_history(private, images), len(images))).detach()


def _all_of_it(_name: str, gradient: Tensor, _activation: Tensor) -> Tensor:
    return gradient


@dataclass(frozen=True)
class _Asked:
    """Read `scores` from the layers of these names, None for the output, and back-propagate each of their columns."""

    scores: Callable[..., Float[Tensor, "batch k"]]
    sources: Sequence[str | None]
    layers: Sequence[str]
    rule: str
    reads: Sequence[str] = ()
    summary: Summary = _all_of_it


def _passes(private: nn.Module, images: Tensor, asked: _Asked) -> Passes:
    """The lean way, and where the network fails on it, the plain one.

    Lean is channels last, with a graph that begins at the first layer asked for, on weights that are shared. A network
    may fail on each of these: it flattens with `view`, it registers a hook on a tensor of its own, or another thread
    changes the weights between its forward and backward pass. So the plain way is what autograd's user would do, with
    a copy of the weights.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
        try:
            return _attempt(private, images, asked, plainly=False)
        except NetworkError as error:
            if error.is_exhausted:
                raise
        return _attempt(independent_copy(private), images, asked, plainly=True)


def _attempt(private: nn.Module, images: Tensor, asked: _Asked, plainly: bool) -> Passes:
    watch = RectifierRule(asked.rule)
    with _Taps(private, asked, watch) as taps:
        with watch if asked.rule != "gradient" else nullcontext():
            spend(private, once=False)  # whoever reads the output may go back through it
            output = run(private, taps.image(images, plainly))
            scored = [output if name is None else taps.source(name) for name in asked.sources]
        table = asked.scores(*scored)
        tapped = taps.in_order()
        columns = table.unbind(dim=1)
        spend(private, once=len(columns) == 1 and set(asked.layers) == {IMAGE} and not asked.reads)
        last = len(columns) - 1
        with telling(images):
            backward = [_gradients(column.sum(), tapped, asked, keep=k < last) for k, column in enumerate(columns)]
    return Passes(
        table.detach(),
        (*(single(tensor.detach()) for tensor in tapped), *map(single, taps.read())),
        tuple(torch.stack(gradients, dim=1) for gradients in zip(*backward, strict=True)),
        dict(watch.rectifiers),
        dict(watch.others),
    )


def _gradients(score: Tensor, tapped: Sequence[Tensor], asked: _Asked, keep: bool) -> list[Tensor]:
    gradients: Sequence[Tensor | None] = [None] * len(tapped)
    if score.requires_grad:
        gradients = torch.autograd.grad(score, tapped, retain_graph=keep, allow_unused=True)
    kept = []
    for gradient, activation, name in zip(gradients, tapped, asked.layers, strict=True):
        if gradient is None:
            where = f"layer {name!r}" if name else "the image"
            raise DeepInsideError(
                f"expected a score that depends on {where}, but no gradient reaches it; take the gradient at a layer "
                "before the one whose score it is, in a network without detach() between"
            )
        kept.append(asked.summary(name, single(gradient), single(activation.detach())))
    return kept


def _check_classes(classes: Tensor, logits: Tensor) -> None:
    batch, count = logits.shape
    if classes.ndim != 2 or len(classes) != batch:
        raise DeepInsideError(f"expected targets of shape ({batch}, k), got {tuple(classes.shape)}")
    if classes.numel() and not (int(classes.min()) >= 0 and int(classes.max()) < count):
        wrong = next(int(c) for c in classes.flatten() if not 0 <= int(c) < count)
        raise DeepInsideError(f"expected classes from 0 to {count - 1}, as many as the network has, got {wrong}")


class _Taps:
    """Reads the outputs of named layers while a network runs; the hooks live as long as the `with` block.

    Layers are read as leaves that gradients reach; sources are read as they are, for a score to be taken of them.
    """

    def __init__(self, private: nn.Module, asked: _Asked, watch: RectifierRule):
        self._layers = tuple(asked.layers)
        self._reads = tuple(asked.reads)
        self._sources = tuple(name for name in asked.sources if name is not None)
        self._output = None in asked.sources
        self._watch = watch
        self._tapped: dict[str, Tensor] = {}
        self._seen: dict[str, Tensor] = {}
        self._scored: dict[str, Tensor] = {}
        self._names = dict.fromkeys((*self._layers, *self._reads, *self._sources))
        modules = dict(private.named_modules())
        self._modules = {name: find_layer(modules, name) for name in self._names}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> _Taps:
        for name in self._names:
            if name:  # neither the image nor the network itself
                if not can_be_read(self._modules[name]):
                    raise DeepInsideError(f"expected a layer that can be read, but {name!r} is scripted or traced")
                self._handles.append(self._modules[name].register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def image(self, images: Tensor, plainly: bool) -> Tensor:
        """The pixels to feed: a private copy, a leaf of the graph only if the image is among the layers, or plainly."""
        layout = torch.contiguous_format if plainly else torch.channels_last
        pixels = images.detach().clone(memory_format=layout).requires_grad_(plainly)
        return self._tap(IMAGE, pixels) if IMAGE in self._layers else pixels

    def in_order(self) -> tuple[Tensor, ...]:
        """The activations of the layers."""
        return tuple(self._ran(name, self._tapped.get(name)) for name in self._layers)

    def read(self) -> tuple[Tensor, ...]:
        """The activations of the layers that are only read."""
        return tuple(self._ran(name, self._seen.get(name)) for name in self._reads)

    def source(self, name: str) -> Tensor:
        """A layer's output that the score is taken of.

        Unless the network's own is a source, too, the rule has met what lies before the last one, and not what lies
        after.
        """
        scored = self._ran(name, self._scored.get(name))
        if not self._output:
            self._watch.rectifiers, self._watch.others, self._watch.detached = self._met
        return scored

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
            if name in self._sources:
                self._scored[name] = passed
                self._met = Counter(self._watch.rectifiers), Counter(self._watch.others), self._watch.detached
                passed = passed.clone()
            return passed

        return hook

    def _tap(self, name: str, tensor: Tensor) -> Tensor:
        # A layer that runs more than once is read at its last run, the one nearest to the scores.
        self._tapped[name] = tensor if tensor.requires_grad else tensor.requires_grad_()
        return self._tapped[name].clone()  # so that an in-place layer after it does not overwrite what was read
