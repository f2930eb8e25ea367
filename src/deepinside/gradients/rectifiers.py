"""Backward rules of the rectifier: gradient, DeconvNet and guided back-propagation (paper, Sect. 4).

Back through X_{n+1} = max(X_n, 0), with R_{n+1} the signal coming down, the rules differ in one mask:

    gradient   R_n = R_{n+1} 1(X_n > 0)                   back-propagation: the layer's input decides
    deconvnet  R_n = R_{n+1} 1(R_{n+1} > 0)               Zeiler & Fergus 2014: the signal decides
    guided     R_n = R_{n+1} 1(X_n > 0) 1(R_{n+1} > 0)    Springenberg et al. 2015: both

Everything else on the way back is plain back-propagation, which the paper shows to be what a DeconvNet does:
convolution with the flipped kernel, and max-pooling by the arg max, the DeconvNet's switch.

A rule intercepts the *calls* of the rectifier in this thread, however they are spelled, and attaches nothing
to the network; so there is nothing to undo, and other threads may use the same network under other rules.
No interception can see a rectifier written as arithmetic (`x * (x > 0)`, `torch.where(x > 0, x, 0)`), one
fused into a kernel (`nn.RNN(nonlinearity="relu")`), or code that Python no longer runs, or runs anew on the
way back: the first is missed, the second an error, and `check_interceptable` finds the rest.

A clipped rectifier, min(max(X_n, 0), c) with c = 6 in ReLU6, saturates: its gradient is masked by
1(0 < X_n < c). DeconvNet looks at the signal alone, so the clip does not enter; guided multiplies both masks,
as ever. Leaky rectifiers, clamps to another floor and smooth activations are left alone.

Shapes: any; a rectifier acts on each number by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepinside.core.errors import DeepInsideError

RULES = ("gradient", "deconvnet", "guided")


class RectifierRule(TorchFunctionMode):
    """Within the block, rectifier calls of this thread send the signal back by the rule of that name.

    The graph remembers the rule: back-propagate inside the block or after it. Forward values never change.
    Of nested blocks the innermost decides. "gradient" is PyTorch's own to the bit, also at X_n = 0 exactly,
    where `relu` passes nothing and `clamp` everything; "guided" passes nothing there, whatever the spelling.

    Args:
        name: one of `RULES`.

    Attributes:
        rectifiers: how many rectifier calls the block met, by spelling: `{"F.relu": 7, "torch.clamp": 1}`. Calls on
            tensors that ask for no gradient do not count: nothing comes back through them.
        others: how many calls of other activations it met, by name: there the rule does not act, and the
            signal goes back by the plain gradient.
        detached: how many of the rectifier calls ran with gradients off, where no rule can act.

    Raises:
        DeepInsideError: an unknown name; at the end of a block without an error of its own, as `check`.

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
        if name not in RULES:
            raise DeepInsideError(f"the rectifier rule must be one of {', '.join(RULES)}; got {name!r}")
        self.name = name
        self.rectifiers: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.detached = 0

    @property
    def count(self) -> int:
        """Rectifier calls met since the block began."""
        return self.rectifiers.total()

    def check(self) -> None:
        """Raise a DeepInsideError if the rule could not act: what comes back is then a plain gradient.

        That is a rule other than "gradient" that met no rectifier, one inside a fused kernel, or one that ran
        with gradients off.
        """
        if self.name == "gradient":
            return
        if sealed := sorted(_SEALED & self.others.keys()):
            raise DeepInsideError(
                f"the rule {self.name!r} must reach every rectifier, but {sealed[0]} applies its own inside "
                f"one kernel; write that layer out with torch.relu, or use rule='gradient'"
            )
        if self.detached:
            raise DeepInsideError(
                f"the rule {self.name!r} needs gradients, but {self.detached} of {self.count} rectifiers ran "
                f"without: under torch.no_grad, in a re-entrant checkpoint or in an autograd.Function of the "
                f"network's; run that part with gradients, or use rule='gradient'"
            )
        if not self.count:
            raise DeepInsideError(
                f"the rule {self.name!r} acts on rectifiers (ReLU, ReLU6, clamp(min=0), ...), but the "
                f"forward pass met none{self._instead()}, or use rule='gradient', which holds for any network"
            )

    def _instead(self) -> str:
        if not self.others:
            return "; run the network inside the block, and spell its rectifiers as calls"
        met = ", ".join(f"{name} ({calls}x)" for name, calls in self.others.most_common())
        return (
            f", only {met}. DeconvNet and guided back-propagation are defined by a rectifier's on/off mask; "
            f"these activations have a slope instead, so a {self.name!r} map would be the plain gradient "
            f"under another name. Explain a network of rectifiers"
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
            if function in _OTHERS and _leads_back(*args[:1]):
                self.others[_OTHERS[function]] += 1
            return func(*args, **kwargs)
        if not _leads_back(clamp.signal):
            return func(*args, **kwargs)

        self.rectifiers[spelling.label] += 1
        self.detached += not torch.is_grad_enabled()
        with torch._C.DisableTorchFunction():  # an outer rule must not act again on what this one does
            if self.name == "gradient":
                return func(*args, **kwargs)
            output = _Rectify.apply(clamp.signal, clamp.ceiling, self.name == "guided")
            # Copied back, so that all who hold the tensor or a view of it see the change, autograd included.
            in_place = spelling.in_place or kwargs.get("inplace")
            return clamp.signal.copy_(output) if in_place else output


def check_interceptable(network: nn.Module) -> None:
    """Raise a DeepInsideError if part of the network runs where a rule cannot see its rectifiers.

    Scripted and traced modules no longer run in Python; of compiled ones PyTorch does not promise that they
    keep to a rule; data-parallel ones run in other threads; checkpointed ones run again on the way back,
    where PyTorch has put every interception aside. The rule "gradient" has no need of this.

    >>> check_interceptable(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    """
    for path, module in network.named_modules():
        for found, what, remedy in _OBSTACLES:
            if found(module):
                part = f"its part {path!r}" if path else "the network"
                raise DeepInsideError(
                    f"a rectifier rule needs a network whose rectifiers run as Python calls in this thread, "
                    f"but {part} is {what}; {remedy}, or use rule='gradient'"
                )


class _Rectify(torch.autograd.Function):
    """min(max(signal, 0), ceiling) forward; DeconvNet's or the guided rule backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(signal: Tensor, ceiling: float | Tensor | None, guided: bool) -> Tensor:
        rectified = signal.clamp(min=0)
        return rectified if ceiling is None else rectified.clamp(max=ceiling)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Any, bool], output: Tensor) -> None:
        signal, ceiling, guided = inputs
        # A mask, not the signal or the output: the network may write over either before the way back.
        ctx.save_for_backward(_closed(signal, ceiling) if guided else None)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (closed,) = ctx.saved_tensors
        # Blocked rather than passed: a NaN compares false, so it stays for the caller to see.
        blocked = grad <= 0 if closed is None else (grad <= 0) | closed
        return grad.masked_fill(blocked, 0), None, None


def _closed(signal: Float[Tensor, "*shape"], ceiling: float | Tensor | None) -> Bool[Tensor, "*shape"]:
    return signal <= 0 if ceiling is None else (signal <= 0) | (signal >= ceiling)


def _leads_back(signal: Any = None) -> bool:
    """Whether a signal can come back through a call on this tensor: those below the place that is looked at cannot.

    With gradients off nobody knows; `detached` counts such calls.
    """
    return not isinstance(signal, Tensor) or signal.requires_grad or not torch.is_grad_enabled()


class _Clamp(NamedTuple):
    """What a call asks for: min(max(signal, floor), ceiling). None is no bound."""

    signal: Any
    floor: Any
    ceiling: Any = None


def _read_maximum(input: Any, other: Any = None) -> _Clamp:
    """`max(x, y)` is symmetric: the constant is the side without a gradient. `max(x, dim)` has no floor."""
    if not isinstance(other, Tensor):
        return _Clamp(input, None)
    return _Clamp(other, input) if other.requires_grad else _Clamp(input, other)


def _read_threshold(input: Any, threshold: Any, value: Any, inplace: bool = False) -> _Clamp:
    return _Clamp(input, value if threshold == value else None)


# Every name under which PyTorch offers a clamp, and how to read its arguments; each with a trailing `_` too.
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
    """One function object that may be a rectifier."""

    label: str
    reader: Callable[..., _Clamp]
    in_place: bool

    def read(self, args: Any, kwargs: dict[str, Any]) -> _Clamp | None:
        """The clamp, if this call of the function is a rectifier."""
        try:
            clamp = self.reader(*args, **kwargs)
        except TypeError:  # another overload: `x.max(dim=1, keepdim=True)`, `out=...`
            return None
        return clamp if _is_rectifier(clamp) else None


def _is_rectifier(clamp: _Clamp) -> bool:
    """Whether the floor is zero and the output is like the signal. Integers carry no gradient to speak of."""
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
    """The function objects of these names, with where they live."""
    for home, namespace in _HOMES.items():
        for name in names:
            for spelled in (name, f"{name}_"):
                function = getattr(namespace, spelled, None)
                if function is not None:
                    yield function, home, spelled


_SPELLINGS: dict[Any, _Spelling] = {}
for _function, _home, _name in _named(_READERS):  # F.relu_ is torch.relu_: the first name stays
    _reader = _READERS[_name.removesuffix("_")]
    _SPELLINGS.setdefault(_function, _Spelling(f"{_home}.{_name}", _reader, _name.endswith("_")))

_SEALED = {"rnn_relu", "rnn_relu_cell"}

# Activations that are no rectifiers, to be named where a rule finds nothing to act on.
_ACTIVATIONS = [
    "gelu", "silu", "mish", "hardswish", "hardsigmoid", "leaky_relu", "prelu", "rrelu",
    "elu", "selu", "celu", "softplus", "softsign", "logsigmoid", "sigmoid", "tanh",
]  # fmt: skip
_OTHERS = {function: name.removesuffix("_") for function, _, name in _named([*_ACTIVATIONS, *_SEALED])}

# timm's flag and the densenets'; unlike others they act in eval mode too.
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
