"""Smaller weights for an exported model: half precision, or eight bits, turned into single precision when it runs.

    half    float16                                    weight = Cast(half)
    int8    round(weight / s), s = max |weight| / 127   weight = DequantizeLinear(int8, s), with an s for each channel

Everything is computed in single precision, so that any runtime can do it; the file is what gets smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

SMALLEST = 1024  # numbers of a tensor: smaller ones are not worth a node
# Numbers of a channel: eight bits of fewer save little, and are what maps suffer from (depthwise convolutions).
FEWEST = 32

# From a weight and its name to what is kept in its place, and the node that restores it; None where nothing is gained.
Packing = Callable[[np.ndarray, str], tuple[list[TensorProto], NodeProto] | None]


def packed(model: ModelProto, weights: str) -> None:
    """Replace the model's weights by smaller ones, in place.

    Args:
        model: with its weights in the outer graph.
        weights: a name of `PACKINGS`.
    """
    packing = PACKINGS[weights]
    kept: list[TensorProto] = []
    nodes: list[NodeProto] = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        found = packing(values, tensor.name) if values.dtype == np.float32 and values.size >= SMALLEST else None
        kept += found[0] if found else [tensor]
        nodes += [found[1]] if found else []
    nodes += model.graph.node
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


def _as_it_is(_values: np.ndarray, _name: str) -> None:
    return None


def _half(values: np.ndarray, name: str) -> tuple[list[TensorProto], NodeProto] | None:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():  # larger than half precision can say
        return None
    node = helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
    return [numpy_helper.from_array(half, f"{name}_half")], node


def _eight_bits(values: np.ndarray, name: str) -> tuple[list[TensorProto], NodeProto] | None:
    if values.ndim < 2 or not np.isfinite(values).all():
        return None
    axis = _channel_axis(values)
    channels = values.shape[axis]
    if channels == 1 or values.size // channels < FEWEST:  # one scale for all does not fit the places of tokens
        return None
    scale = _scale(values, axis)
    steps = np.rint(values / _along(scale, axis, values.ndim)).astype(np.int8)
    tensors = [numpy_helper.from_array(steps, f"{name}_steps"), numpy_helper.from_array(scale, f"{name}_scale")]
    return tensors, helper.make_node("DequantizeLinear", [each.name for each in tensors], [name], axis=axis)


def _channel_axis(values: np.ndarray) -> int:
    """The axis whose channels have scales of their own: of matrices, which lie either way, the one that loses less."""

    def error(axis: int) -> float:
        scale = _along(_scale(values, axis), axis, values.ndim)
        return float(np.square(values - np.rint(values / scale) * scale).sum())

    return min((0, 1), key=error) if values.ndim == 2 else 0


def _scale(values: np.ndarray, axis: int) -> Float[np.ndarray, " channels"]:
    others = tuple(each for each in range(values.ndim) if each != axis)
    largest = np.abs(values).max(axis=others)
    return np.asarray(np.where(largest > 0, largest, 1) / 127, dtype=np.float32)


def _along(scale: Float[np.ndarray, " channels"], axis: int, rank: int) -> np.ndarray:
    return scale.reshape([-1 if each == axis else 1 for each in range(rank)])


PACKINGS: Mapping[str, Packing] = {"float32": _as_it_is, "float16": _half, "int8": _eight_bits}
