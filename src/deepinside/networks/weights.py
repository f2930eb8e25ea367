"""State dicts from files, and into networks, with one line about the first entry that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, brief


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a `.safetensors` or `.pth` file, never running pickled code.

    Raises `DeepInsideError` for a missing file, another format, or a pickle with more than tensors in it.
    """
    if not path.is_file():
        raise DeepInsideError(f"{path}: expected a file with weights, found none")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise their own families on broken files
        raise DeepInsideError(
            f"{path}: expected a .safetensors file or a .pth state dict of plain tensors ({brief(error)})"
        ) from None
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise DeepInsideError(f"{path}: expected a state dict (names -> tensors), got {type(content).__name__}")
    return {name.removeprefix("module."): value for name, value in content.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict that was read from `path`. Raises `DeepInsideError` that names the first misfit."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = _first_misfit(network.state_dict(), state) or brief(error)
        raise DeepInsideError(f"{path}: the weights do not fit {type(network).__name__}: {first}") from None


def _first_misfit(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """The first entry that does not fit, in the network's order, then in the file's."""
    for name in dict.fromkeys((*wanted, *given)):
        expected, came = (str(tuple(side[name].shape)) if name in side else "nothing" for side in (wanted, given))
        if expected != came:
            return f"expected {expected} for {name}, got {came}"
    return None


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
