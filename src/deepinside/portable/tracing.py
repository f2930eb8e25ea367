"""From a classifier to a graph: its scores, saliency and the maps that `best` needs, for pictures of one size.

What autograd would do at run time is done once, while a tracer writes down every operator, forwards and backwards; the
result is a function without a backward pass. The batch stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, fx, nn
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel

from deepinside.core.errors import DeepInsideError, brief
from deepinside.explanations.glance import summary_for
from deepinside.gradients.grids import as_grid
from deepinside.gradients.logits import logits_of, tensors_in
from deepinside.gradients.private import private_view
from deepinside.gradients.rectifiers import RectifierRule, check_interceptable
from deepinside.gradients.running import BEHIND, find_layer, home, outputs_with_history
from deepinside.gradients.saliency import largest_magnitude
from deepinside.networks.classifier import LINKS, Classifier
from deepinside.networks.layers import Stages
from deepinside.portable.operators import PlainMeans, decompositions

TRACED = 3  # pictures of the trace: several, since PyTorch takes a batch of one for a size that stays

Outputs = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Traced:
    """A graph from (images, class numbers), one class for each image, to the outputs of these names."""

    graph: fx.GraphModule
    outputs: tuple[str, ...]
    size: tuple[int, int]
    classes: int


def traced(classifier: Classifier, stages: Stages, size: tuple[int, int], rule: str) -> Traced:
    """The graph for pictures of (height, width).

    Args:
        classifier: in single precision, on the processor.
        stages: the layers whose maps `best` asks for.
        size: of the pictures. Saliency is a part of the graph at the classifier's own size only.
        rule: how the saliency passes rectifiers; maps of layers are always of the gradient.

    Raises `DeepInsideError` for a network that decides by what it computes which way it takes, or that does not
    let its batch be open.
    """
    private = private_view(classifier.fast)
    if rule != "gradient":
        check_interceptable(private)
    function = _Function(private, classifier, stages, _place_of_logits(private, classifier, size), size, rule)
    images = torch.zeros(TRACED, classifier.channels, *size, dtype=home(getattr(private, BEHIND))[1])
    classes = torch.zeros(TRACED, dtype=torch.int64)
    try:
        # Fused attention has no backward pass in ordinary operators.
        with sdpa_kernel(SDPBackend.MATH), PlainMeans():
            graph = make_fx(
                function, decomposition_table=decompositions(), tracing_mode="symbolic", _allow_non_fake_inputs=True
            )(*_open_batch(images, classes))
    except DeepInsideError:
        raise
    except Exception as error:
        raise DeepInsideError(
            f"{classifier.name} cannot be exported, since it does not run without looking at its own values or at the "
            f"number of pictures ({type(error).__name__}: {brief(error)})"
        ) from error
    graph.graph.eliminate_dead_code()
    graph.recompile()
    graph.eval()
    return Traced(graph, tuple(function.names), size, function.classes)


class _Function:
    """What is traced. It runs once with real operators on values that nobody looks at."""

    def __init__(
        self,
        private: nn.Module,
        classifier: Classifier,
        stages: Stages,
        place: int,
        size: tuple[int, int],
        rule: str,
    ):
        self._private, self._classifier, self._stages = private, classifier, stages
        self._place, self._size, self._rule = place, size, rule
        self.names: list[str] = []
        self.classes = 0

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], classes: Int[Tensor, " batch"]
    ) -> list[Tensor]:
        sees_pixels = self._size == self._classifier.size
        is_plain = self._rule == "gradient"
        outputs = self._maps(images, classes, with_saliency=sees_pixels and is_plain)
        if sees_pixels and not is_plain:
            outputs["saliency"] = self._ruled(images, classes)
        self.names, self.classes = list(outputs), int(outputs["logits"].shape[1])
        return [each.detach() for each in outputs.values()]

    def _maps(self, images: Tensor, classes: Tensor, with_saliency: bool) -> Outputs:
        """Scores, and the maps and features that a glance is made of; saliency from the same pass."""
        stages, size, layers = self._stages, self._classifier.size, self._stages.with_gradients()
        pixels = images.detach().requires_grad_()
        with _reading(self._private, (*layers, *stages.features())) as read:
            logits = self._logits(pixels)
        outputs = {"logits": logits, "probabilities": LINKS[self._link(logits)].probabilities(logits)}
        tapped = [read[name] for name in layers] + [pixels] * with_saliency
        gradients = torch.autograd.grad(logits, tapped, _one_hot(logits, classes)) if tapped else ()
        for name, gradient in zip(layers, gradients, strict=False):  # that of the pixels comes after them
            magnitude, evidence, even = summary_for(size)(name, gradient, read[name].detach()).unbind(1)
            if name == stages.seed:
                outputs["seed"] = magnitude
            if name == stages.last:
                outputs |= {"evidence": evidence, "is_even": even.flatten(1).amin(1) > 0.5}
        if with_saliency:
            outputs["saliency"] = largest_magnitude(gradients[-1])
        named = {"fine": stages.fine, "middle": stages.middle}
        return outputs | {each: as_grid(read[name], size) for each, name in named.items() if name}

    def _ruled(self, images: Tensor, classes: Tensor) -> Tensor:
        """Saliency under a rule, from a pass of its own."""
        pixels = images.detach().requires_grad_()
        with RectifierRule(self._rule):
            logits = self._logits(pixels)
        (gradient,) = torch.autograd.grad(logits, pixels, _one_hot(logits, classes))
        return largest_magnitude(gradient)

    def _link(self, logits: Tensor) -> str:
        return self._classifier.link(logits.shape[1])

    def _logits(self, pixels: Tensor) -> Tensor:
        return tensors_in(self._private(pixels))[self._place].reshape(pixels.shape[0], -1)


def _one_hot(logits: Tensor, classes: Tensor) -> Tensor:
    return (torch.arange(logits.shape[1]) == classes[:, None]).to(logits.dtype)


@contextmanager
def _reading(private: nn.Module, names: tuple[str, ...]) -> Iterator[Outputs]:
    """The outputs of layers, by name, as the network runs; what comes next may not write over them."""
    read: Outputs = {}

    def hook_of(name: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            read[name] = output
            return output.clone()

        return hook

    modules = dict(private.named_modules())
    handles = [find_layer(modules, name).register_forward_hook(hook_of(name)) for name in dict.fromkeys(names)]
    try:
        yield read
    finally:
        for handle in handles:
            handle.remove()


def _place_of_logits(private: nn.Module, classifier: Classifier, size: tuple[int, int]) -> int:
    """Which of the tensors that the network returns are its logits; that takes values to find out."""
    output = outputs_with_history(private, torch.zeros(1, classifier.channels, *size))
    logits = logits_of(output, 1)
    return next(i for i, each in enumerate(tensors_in(output)) if each.data_ptr() == logits.data_ptr())


def _open_batch(images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The same without values, and with a batch that may be any."""
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)

    def opened(tensor: Tensor, name: str) -> Tensor:
        sizes = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (tensor.ndim - 1)]
        return mode.from_tensor(tensor, symbolic_context=StatelessSymbolicContext(sizes), source=ConstantSource(name))

    return opened(images, "images"), opened(classes, "classes")
