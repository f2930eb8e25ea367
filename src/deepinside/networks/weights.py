"""Weights from files, without running what is in them; into networks, with one line where they do not fit; a digest.

Trainers wrap weights in many ways: under names such as `state_dict`, beside an optimizer's state and a moving average,
and with prefixes such as `module.` or `model.`. So a file is a set of candidates, every state dict in it by its place,
and `matching` takes the candidate and the prefix under which most of a network's own entries are found.
"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import pickle
import re
import types
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.escape import terminal

StateDict = OrderedDict[str, Tensor]

DEPTH = 4  # of dicts in dicts in a file: Lightning's hold the state of callbacks, which may hold state dicts
COUNTER = "num_batches_tracked"  # of batch normalization: older files lack it, and evaluation does not read it
PROFILED = ("total_ops", "total_params")  # buffers that the profiler thop leaves in every module
UNPICKLER = re.compile(r"WeightsUnpickler error: *(.*?)(?=\. Please|\n|$)")  # the reason in torch's message
AVERAGE = re.compile(r"(?<![a-z])ema(?![a-z])")  # an exponential moving average, in the name of its place
WRAPPERS = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile and Lightning
# Where weights are looked for whose names say nothing, the first found; timm's own reader prefers averages as well.
PLACES = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "net", "network", "weights")


class _Settings(dict[str, Any]):
    """Stands for the dictionaries in which Lightning keeps hyperparameters, whether it is installed or not."""


# Plain data that trainers keep beside the weights, by the names in their files. torch's restricted reader makes these,
# and runs nothing else.
DATA: Mapping[str, Any] = {
    "argparse.Namespace": argparse.Namespace,
    "types.SimpleNamespace": types.SimpleNamespace,
    "datetime.datetime": datetime.datetime,
    "datetime.timedelta": datetime.timedelta,
    **{f"pathlib{part}.PosixPath": pathlib.PurePosixPath for part in ("", "._local")},
    **{f"pathlib{part}.WindowsPath": pathlib.PureWindowsPath for part in ("", "._local")},
    **{f"numpy.{core}.multiarray.scalar": np.float64().__reduce__()[0] for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": np.empty(0).__reduce__()[0] for core in ("core", "_core")},
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    **{f"numpy.dtypes.{type(np.dtype(kind)).__name__}": type(np.dtype(kind)) for kind in "?bhilqBHILQefd"},
    "pytorch_lightning.utilities.parsing.AttributeDict": _Settings,
    "lightning_fabric.utilities.data.AttributeDict": _Settings,
    "lightning.fabric.utilities.data.AttributeDict": _Settings,
}


@dataclass(frozen=True)
class Weights:
    """What a file of weights holds: every state dict in it, by its place, such as `state_dict`; '' is the file."""

    path: Path
    candidates: Mapping[str, StateDict]


@dataclass(frozen=True)
class Match:
    """A state dict by a network's own names, as far as they were found, and remarks on what was chosen."""

    path: Path
    state: StateDict
    notes: tuple[str, ...] = ()


def read_weights(path: Path) -> Weights:
    """The state dicts of a `.safetensors` or `.pth` file, never running pickled code.

    Raises `DeepInsideError` for a missing file, another format, or a pickle with more than tensors and plain data.
    """
    if not path.is_file():
        raise DeepInsideError(f"{path}: expected a file with weights, found none")
    try:
        content = _content(path)
    except Exception as error:  # both readers raise their own families on broken files
        raise DeepInsideError(
            f"{path}: expected a .safetensors file or a .pth state dict of plain tensors, as "
            f"`torch.save(model.state_dict(), path)` writes ({_reason(path, error)})"
        ) from None
    candidates = dict(_state_dicts(content, "", DEPTH))
    if not candidates:
        raise DeepInsideError(
            f"{path}: expected a state dict (names -> tensors), got {type(content).__name__} without one"
        )
    return Weights(path, candidates)


def matching(weights: Weights, wanted: Mapping[str, Tensor]) -> Match:
    """The state dict in a file that fits the entries `wanted` best, by their names.

    Where a moving average fits as well as the weights it was made of, it is taken, as timm does, and a note says so.
    Raises `DeepInsideError` where several others fit equally well and differ, since nothing tells which is meant.
    """
    scores = _scores(weights, wanted)
    if not scores:
        return _by_convention(weights)
    highest = max(scores.values())
    options = {key: _below(weights, *key) for key, score in scores.items() if score == highest}
    averaged = [key for key in options if AVERAGE.search(".".join(key))]
    place, prefix = (averaged or list(options))[0]
    chosen = options[place, prefix]
    rivals = [key for key in (averaged or options) if options[key] is not chosen and not _same(options[key], chosen)]
    if rivals:
        names = ", ".join(_named(*key) for key in [(place, prefix), *rivals])
        raise DeepInsideError(
            f"{weights.path}: expected one network, found several that fit equally well ({names}); save one of them"
        )
    found = f"{weights.path}: took the moving average of the weights, {_named(place, prefix)}"
    return Match(weights.path, chosen, (found,) if averaged and len(options) > 1 else ())


def fits(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the very names and shapes of another, but for counters that evaluation ignores."""
    return _first_misfit(wanted, _completed(wanted, state)) is None


def fill(network: nn.Module, match: Match) -> None:
    """Load weights into a network. Raises `DeepInsideError` that names the first misfit."""
    wanted = network.state_dict()
    try:
        _load(network, _completed(wanted, match.state))
    except (RuntimeError, ValueError) as error:
        raise misfit(type(network).__name__, wanted, match, error) from None


def misfit(kind: str, wanted: Mapping[str, Tensor], match: Match, error: Exception | None = None) -> DeepInsideError:
    """What to raise where weights do not fit a kind of network: the first misfit in its own order, then by name."""
    given = _completed(wanted, match.state)
    lacking = str(error.args[0]) if isinstance(error, KeyError) and error.args else ""  # told by a library's conversion
    if lacking in wanted:
        reason = f"expected {tuple(wanted[lacking].shape)} for {lacking}, got nothing"
    else:
        reason = _first_misfit(wanted, given) or (terminal(brief(error)) if error else "")
    if not set(wanted) & set(match.state):
        reason += f"; none of the {len(match.state)} names in the file is known to it"
    return DeepInsideError(
        f"{match.path}: the weights do not fit {kind}: {reason}; "
        "give the model that the file was saved from, with as many classes"
    )


def fill_in_order(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights that have other names but the same order, as in the embedded packages."""
    own = network.state_dict()
    if [tuple(value.shape) for value in own.values()] != [tuple(value.shape) for value in state.values()]:
        raise DeepInsideError("the embedded weights do not fit this version of timm; install a newer deepinside")
    network.load_state_dict(dict(zip(own, state.values(), strict=True)))


def digest(network: nn.Module) -> str:
    """Sixteen digits that change with any weight or statistic of a network: SHA-256 of names, types and bytes."""
    summed = sha256()
    for name, tensor in network.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        summed.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        summed.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return summed.hexdigest()[:16]


# --------------------------------------------------------------------------------------------------- what a file holds


def _content(path: Path) -> Any:
    if _is_safetensors(path):
        from safetensors.torch import load_file

        # The reader gives the names in another order every time.
        return dict(sorted(load_file(path).items()))
    # The file and not its path, since torch goes by its suffix.
    with torch.serialization.safe_globals([(made, name) for name, made in DATA.items()]), path.open("rb") as stream:
        return torch.load(stream, map_location="cpu", weights_only=True)


def _is_safetensors(path: Path) -> bool:
    """Whether a file is of that format, whatever its name: the length of a header, and the header as JSON."""
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"


def _reason(path: Path, error: Exception) -> str:
    """Why a file was not read: which objects it holds beside data, where it holds any, or the reader's own reason."""
    if isinstance(error, pickle.UnpicklingError):
        with suppress(Exception):  # only files of torch's newer format can be asked
            others = sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - set(DATA))
            if others:
                more = f" and {len(others) - 3} more" if len(others) > 3 else ""
                return terminal(f"it holds objects that run code: {', '.join(others[:3])}{more}")
        own = UNPICKLER.search(str(error))  # the rest is advice to run the file's code
        return terminal(own[1] if own else "no such file")
    return terminal(brief(error))


def _state_dicts(content: object, place: str, depth: int) -> Iterator[tuple[str, StateDict]]:
    """Every dict with named tensors in it, by its place; whatever else it holds is left out."""
    if not isinstance(content, dict) or not depth:
        return
    state = StateDict((k, v) for k, v in content.items() if isinstance(k, str) and _is_stored(v))
    if state:
        state._metadata = getattr(content, "_metadata", None)  # type: ignore[attr-defined]
        yield place, state
    for name, value in content.items():
        if isinstance(name, str):
            yield from _state_dicts(value, f"{place}.{name}".lstrip("."), depth - 1)


def _is_stored(value: object) -> bool:
    """Whether this is a tensor with a value for every entry, as opposed to sparse ones and those of no device."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


# ------------------------------------------------------------------------------------------- which of it is the network


def _scores(weights: Weights, wanted: Mapping[str, Tensor]) -> dict[tuple[str, str], tuple[int, int]]:
    """For each place and prefix: how many entries fit by name and shape, and by name."""
    by_shape, by_name = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for place, state in weights.candidates.items():
        for name, value in state.items():
            for prefix in _prefixes(name):
                entry = wanted.get(name[len(prefix) :])
                if entry is not None and not name.endswith(COUNTER):
                    by_name[place, prefix] += 1
                    by_shape[place, prefix] += entry.shape == value.shape
    return {key: (by_shape[key], count) for key, count in by_name.items()}


def _prefixes(name: str) -> Iterator[str]:
    """All beginnings of a name that end at a dot, and the empty one.

    >>> list(_prefixes("module.fc.bias"))
    ['', 'module.', 'module.fc.']
    """
    yield ""
    yield from (name[: i + 1] for i, character in enumerate(name) if character == ".")


def _by_convention(weights: Weights) -> Match:
    """Where no name is known, as in checkpoints that a library renames: the usual place, without wrappers' prefixes."""
    places = [place for place in PLACES if place in weights.candidates]
    place, prefix = (places or list(weights.candidates))[0], ""
    state = weights.candidates[place]
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(prefix + w) for name in state)), ""):
        prefix += wrapper
    return Match(weights.path, _below(weights, place, prefix))


def _below(weights: Weights, place: str, prefix: str) -> StateDict:
    """The entries under a prefix, without it, with the versions of the modules that wrote them."""
    whole = weights.candidates[place]
    state = StateDict((k[len(prefix) :], v) for k, v in whole.items() if k.startswith(prefix))
    versions = getattr(whole, "_metadata", None)
    if isinstance(versions, dict):
        module = prefix.removesuffix(".")
        kept = {k: v for k, v in versions.items() if isinstance(k, str) and (not prefix or f"{k}.".startswith(prefix))}
        kept = {k[len(module) :].removeprefix(".") if prefix else k: v for k, v in kept.items()}
        state._metadata = OrderedDict(kept)  # type: ignore[attr-defined]
    return state


def _same(one: StateDict, other: StateDict) -> bool:
    """Whether two state dicts are equal, as where a compiled network is kept beside the original."""
    if one.keys() != other.keys() or any(one[name].dtype != other[name].dtype for name in one):
        return False
    return all(torch.equal(one[name], other[name]) for name in one)


def _named(place: str, prefix: str) -> str:
    return repr(terminal(f"{place}.{prefix}".strip(".") or "the file's own entries"))


# ------------------------------------------------------------------------------------------------------ into a network


def _completed(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> StateDict:
    """The state dict without what a profiler left, and with the network's own counters where it has none."""
    completed = StateDict((k, v) for k, v in state.items() if k.rpartition(".")[2] not in PROFILED)
    for name, value in wanted.items():
        if name.endswith(COUNTER):
            completed.setdefault(name, value)
    completed._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    return completed


def _load(network: nn.Module, state: StateDict) -> None:
    """Load with the versions that the file tells; where it tells none, some modules want those of today."""
    if getattr(state, "_metadata", None) is None:
        del state._metadata  # type: ignore[attr-defined]
        try:
            network.load_state_dict(state)
            return
        except (RuntimeError, ValueError):
            state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(state)


def _first_misfit(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """The first entry that does not fit, in the network's order, then by name."""
    for name in dict.fromkeys((*wanted, *sorted(given))):
        expected, came = (str(tuple(side[name].shape)) if name in side else "nothing" for side in (wanted, given))
        if expected != came:
            return f"expected {expected} for {terminal(name)}, got {came}"
    return None
