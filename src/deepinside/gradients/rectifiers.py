"""Backward rules of the rectifier: gradient, DeconvNet and guided back-propagation (paper, Sect. 4).

For a rectifier X' = max(X, 0) and the signal R' that arrives from the layer above, the rules differ in one mask:

    gradient   R = R' 1(X > 0)              back-propagation: the input of the rectifier decides
    deconvnet  R = R' 1(R' > 0)             Zeiler & Fergus 2014: the signal decides
    guided     R = R' 1(X > 0) 1(R' > 0)    Springenberg et al. 2015: both decide

Everything else in the backward pass is plain back-propagation. As the paper shows, this is what a DeconvNet computes:
convolution with the flipped kernel, and max-pooling routed to the arg max, which DeconvNet calls switches.

A rule intercepts the *calls* of rectifiers in the current thread, in any spelling. It attaches nothing to the network,
so there is nothing to undo, and other threads may use the same network under other rules. Three things cannot be
intercepted: rectifiers written as arithmetic (`x * (x > 0)`, `torch.where(x > 0, x, 0)`), which go unnoticed;
rectifiers inside a fused kernel (`nn.RNN(nonlinearity="relu")`), which raise an error; and code that does not run in
Python, or that is run again during the backward pass, which `check_interceptable` finds.

A clipped rectifier, min(max(X, 0), c) with c = 6 for ReLU6, saturates, so its gradient is masked by 1(0 < X < c).
DeconvNet looks at the signal alone, so the clip has no effect there; the guided rule multiplies both masks, as always.
Leaky rectifiers, clamps with another lower bound and smooth activations are left alone.

Shapes: any; a rectifier acts on each number separately.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepinside.core.errors import DeepInsideError, named

Blocks = Callable[[Tensor, Tensor], Tensor]


class Rule(NamedTuple):
    """One backward rule of the rectifier.

    Attributes:
        title: its name in figures.
        formula: what it passes, for figures, with X, R' and R as above.
        blocks: from the signal R' and the mask of closed units (X <= 0, or X >= c under a clip), both of the same
            shape, to the mask of numbers that become 0. A NaN must not be blocked, so that the caller sees it.
    """

    title: str
    formula: str
    blocks: Blocks


# A new rule is one more entry. "gradient" runs PyTorch's own backward pass; its entry documents the mask.
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "gradient": Rule("gradient", "R = R' · 1(X > 0)\nwhere the input was positive", lambda signal, closed: closed),
        "deconvnet": Rule(
            "DeconvNet", "R = R' · 1(R' > 0)\nwhere the signal is positive", lambda signal, closed: signal <= 0
        ),
        "guided": Rule(
            "guided", "R = R' · 1(X > 0) · 1(R' > 0)\nwhere both are", lambda signal, closed: (signal <= 0) | closed
        ),
    }
)


class RectifierRule(TorchFunctionMode):
    """A context in which the rectifier calls of this thread back-propagate by the named rule.

    The autograd graph remembers the rule: call `backward` inside the block or after it. Forward values never change.
    In nested blocks the innermost rule applies. "gradient" equals PyTorch's own gradient to the bit, also at X = 0,
    where `relu` passes nothing and `clamp` passes everything; "guided" passes nothing there in any spelling.

    Args:
        name: one of `RULES`.

    Attributes:
        rectifiers: number of rectifier calls in the block, by spelling: `{"F.relu": 7, "torch.clamp": 1}`. Calls on
            tensors that require no gradient are not counted, since no signal passes them.
        others: number of calls of other activations, by name. The rule does not act there: they pass the plain
            gradient.
        detached: number of rectifier calls that ran with gradients disabled, where no rule can act.

    Raises:
        DeepInsideError: for an unknown name; and at the end of a block that raised no other error, as `check` does.

    Source: Sect. 4 of the paper; Springenberg et al., arXiv 1412.6806, for "guided".

    >>> x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    >>> with RectifierRule("deconvnet") as rule:
    ...     y = torch.relu(x)
    >>> torch.autograd.grad(y, x, torch.tensor([5.0, 5.0, -5.0]))
    (tensor([5., 5., 0.]),)
    >>> rule.count, dict(rule.rectifiers)
    (1, {'torch.relu': 1})
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._blocks = named(name, RULES, "a rectifier rule").blocks
        self.name = name
        self.rectifiers: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.detached = 0

    @property
    def count(self) -> int:
        """Number of rectifier calls since the block began."""
        return self.rectifiers.total()

    def check(self) -> None:
        """Raise `DeepInsideError` if the rule could not act, so that the result would be a plain gradient.

        This applies to a rule other than "gradient" if there was no rectifier, one inside a fused kernel, or one that
        ran with gradients disabled.
        """
        if self.name == "gradient":
            return
        if sealed := sorted(_SEALED & self.others.keys()):
            raise DeepInsideError(
                f"expected rectifiers that the rule {self.name!r} can reach, got {sealed[0]}, which applies its own "
                f"inside one kernel; write that layer out with torch.relu, or use rule='gradient'"
            )
        if self.detached:
            raise DeepInsideError(
                f"expected gradients for the rule {self.name!r}, but {self.detached} of {self.count} rectifiers ran "
                f"without them: under torch.no_grad, in a re-entrant checkpoint or in an autograd.Function of the "
                f"network; run that part with gradients, or use rule='gradient'"
            )
        if not self.count:
            raise DeepInsideError(
                f"expected rectifiers (ReLU, ReLU6, clamp(min=0), ...) for the rule {self.name!r} to act on, but the "
                f"forward pass met none{self._instead()}, or use rule='gradient', which is defined for any network"
            )

    def _instead(self) -> str:
        if not self.others:
            return "; run the network inside the block, with rectifiers that are function calls"
        met = ", ".join(f"{name} ({calls}x)" for name, calls in self.others.most_common())
        return (
            f", only {met}. DeconvNet and guided back-propagation are defined by a rectifier's on/off mask; "
            f"these activations have none, so a {self.name!r} map would be the plain gradient under another name; "
            f"explain a network with rectifiers"
        )

    def __enter__(self) -> RectifierRule:
        self.rectifiers.clear()
        self.others.clear()
        self.detached = 0
        super().__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if kind is None:
            self.check()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        function = getattr(func, "overloadpacket", func)  # aten.relu.default, as exported graphs write it
        spelling = _SPELLINGS.get(function)
        clamp = spelling and spelling.read(args, kwargs)
        if not spelling or not clamp:
            if function in _OTHERS and _may_carry_gradient(*args[:1]):
                self.others[_OTHERS[function]] += 1
            return func(*args, **kwargs)
        if not _may_carry_gradient(clamp.signal):
            return func(*args, **kwargs)

        self.rectifiers[spelling.label] += 1
        self.detached += not torch.is_grad_enabled()
        with torch._C.DisableTorchFunction():  # an outer rule must not act on the calls made here
            if self.name == "gradient":
                return func(*args, **kwargs)
            output = _Rectify.apply(clamp.signal, clamp.ceiling, self._blocks)
            # Copied back, so that every holder of the tensor or of a view of it sees the change, autograd included.
            in_place = spelling.in_place or kwargs.get("inplace")
            return clamp.signal.copy_(output) if in_place else output


def check_interceptable(network: nn.Module) -> None:
    """Raise `DeepInsideError` if part of the network runs where a rule cannot intercept its rectifiers.

    Scripted and traced modules do not run in Python; compiled ones are not guaranteed to respect a rule; data-parallel
    ones run in other threads; checkpointed ones run again during the backward pass, where PyTorch disables all
    interception. The rule "gradient" does not need this check.

    >>> check_interceptable(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    """
    for path, module in network.named_modules():
        for found, what, remedy in _OBSTACLES:
            if found(module):
                part = f"its part {path!r}" if path else "the network"
                raise DeepInsideError(
                    f"expected a network whose rectifiers run as Python calls in this thread, as rules need, "
                    f"but {part} is {what}; {remedy}, or use rule='gradient'"
                )


class _Rectify(torch.autograd.Function):
    """Forward min(max(x, 0), ceiling); backward the rule that `blocks` defines."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, ceiling: float | Tensor | None, blocks: Blocks) -> Tensor:
        rectified = x.clamp(min=0)
        return rectified if ceiling is None else rectified.clamp(max=ceiling)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Any, Blocks], output: Tensor) -> None:
        x, ceiling, ctx.blocks = inputs
        # A mask, not the input or the output: the network may overwrite either before the backward pass.
        ctx.save_for_backward(_closed(x, ceiling))
        ctx.set_materialize_grads(False)  # no gradient is not a gradient of zero

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None]:
        if grad is None:
            return None, None, None
        (closed,) = ctx.saved_tensors
        return grad.masked_fill(ctx.blocks(grad, closed), 0), None, None


def _closed(x: Float[Tensor, "*shape"], ceiling: float | Tensor | None) -> Bool[Tensor, "*shape"]:
    return x <= 0 if ceiling is None else (x <= 0) | (x >= ceiling)


def _may_carry_gradient(x: Any = None) -> bool:
    """Whether a gradient can pass a call on this tensor; calls below the layer of interest cannot carry one.

    With gradients disabled this is unknown; `detached` counts such calls.
    """
    return not isinstance(x, Tensor) or x.requires_grad or not torch.is_grad_enabled()


class _Clamp(NamedTuple):
    """The bounds that a call applies: min(max(signal, floor), ceiling), where None is no bound."""

    signal: Any
    floor: Any
    ceiling: Any = None


def _read_maximum(input: Any, other: Any = None) -> _Clamp:
    """`max(x, y)` is symmetric, so the argument without a gradient is the floor. `max(x, dim)` has none."""
    if not isinstance(other, Tensor):
        return _Clamp(input, None)
    return _Clamp(other, input) if other.requires_grad else _Clamp(input, other)


def _read_threshold(input: Any, threshold: Any, value: Any, inplace: bool = False) -> _Clamp:
    return _Clamp(input, value if threshold == value else None)


# Every name of a clamp in PyTorch, with a reader of its arguments; each name also exists with a trailing `_`.
_READERS: dict[str, Callable[..., _Clamp]] = {
    "relu": lambda input, inplace=False: _Clamp(input, 0),
    "relu6": lambda input, inplace=False: _Clamp(input, 0, 6),
    "hardtanh": lambda input, min_val=-1, max_val=1, inplace=False: _Clamp(input, min_val, max_val),
    "threshold": _read_threshold,
    "clamp": lambda input, min=None, max=None: _Clamp(input, min, max),
    "clip": lambda input, min=None, max=None: _Clamp(input, min, max),
    "clamp_min": lambda input, min: _Clamp(input, min),
    "maximum": _read_maximum,
    "max": _read_maximum,
}

_HOMES = {"F": F, "torch": torch, "Tensor": Tensor, "torch._C._nn": torch._C._nn, "aten": torch.ops.aten}


class _Spelling(NamedTuple):
    """A function that is a rectifier for some arguments."""

    label: str
    reader: Callable[..., _Clamp]
    in_place: bool

    def read(self, args: Any, kwargs: dict[str, Any]) -> _Clamp | None:
        """The bounds of this call if it is a rectifier, else None."""
        try:
            clamp = self.reader(*args, **kwargs)
        except TypeError:  # another overload: `x.max(dim=1, keepdim=True)`, `out=...`
            return None
        return clamp if _is_rectifier(clamp) else None


def _is_rectifier(clamp: _Clamp) -> bool:
    """Whether the floor is zero and the output has the shape and type of the input. Integers carry no gradient."""
    if not isinstance(clamp.signal, Tensor) or not clamp.signal.is_floating_point():
        return False
    bounds = [bound for bound in clamp[1:] if isinstance(bound, Tensor)]
    return all(_keeps_shape(clamp.signal, bound) for bound in bounds) and _is_zero(clamp.floor)


def _keeps_shape(signal: Tensor, bound: Tensor) -> bool:
    same_type = torch.result_type(signal, bound) == signal.dtype
    return same_type and torch.broadcast_shapes(signal.shape, bound.shape) == signal.shape


def _is_zero(floor: Any) -> bool:
    if isinstance(floor, Tensor):
        return not floor.requires_grad and not floor.any()
    return bool(floor == 0)


def _named(names: Any) -> Iterator[tuple[Any, str, str]]:
    """The functions of these names, with the namespace that each is found in."""
    for home, namespace in _HOMES.items():
        for name in names:
            for spelled in (name, f"{name}_"):
                function = getattr(namespace, spelled, None)
                if function is not None:
                    yield function, home, spelled


_SPELLINGS: dict[Any, _Spelling] = {}
for _function, _home, _name in _named(_READERS):  # F.relu_ is torch.relu_: the first name is kept
    _reader = _READERS[_name.removesuffix("_")]
    _SPELLINGS.setdefault(_function, _Spelling(f"{_home}.{_name}", _reader, _name.endswith("_")))

_SEALED = {"rnn_relu", "rnn_relu_cell"}

# Activations that are not rectifiers, named in the error where a rule has nothing to act on.
_ACTIVATIONS = [
    "gelu", "silu", "mish", "hardswish", "hardsigmoid", "leaky_relu", "prelu", "rrelu",
    "elu", "selu", "celu", "softplus", "softsign", "logsigmoid", "sigmoid", "tanh",
]  # fmt: skip
_OTHERS = {function: name.removesuffix("_") for function, _, name in _named([*_ACTIVATIONS, *_SEALED])}

# The flags of timm and of densenets, which are in effect in eval mode, too.
_CHECKPOINTING = ("grad_checkpointing", "memory_efficient")

_OBSTACLES: tuple[tuple[Callable[[nn.Module], bool], str, str], ...] = (
    (
        lambda module: isinstance(module, torch.jit.ScriptModule),
        "scripted or traced",
        "pass the nn.Module it was made from",
    ),
    (
        lambda module: "_orig_mod" in module._modules,
        "compiled by torch.compile",
        "pass its ._orig_mod, which has the same weights",
    ),
    (
        lambda module: module._compiled_call_impl is not None,
        "compiled in place by .compile()",
        "pass copy.deepcopy(network), which is not",
    ),
    (
        lambda module: hasattr(module.forward, "_torchdynamo_orig_callable"),
        "compiled through its forward method",
        "pass it without torch.compile",
    ),
    (
        lambda module: isinstance(module, nn.DataParallel) and len(module.device_ids) > 1,
        "spread over threads by DataParallel",
        "pass its .module",
    ),
    (
        lambda module: any(getattr(module, flag, None) is True for flag in _CHECKPOINTING),
        "checkpointed",
        "turn that off (timm: network.set_grad_checkpointing(False))",
    ),
)
