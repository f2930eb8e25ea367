"""From traced graphs to one ONNX model: a branch for each size, and in it a loop over classes.

    images, classes ─ If (by height and width) ─ forward ─ choice of classes ─ Scan over them: backward ─ outputs

What depends on the class, which is all of the backward pass, is the body of a `Scan`, so that the forward pass runs
once for any number of classes. Branches share their weights, which lie in the outer graph. Every operator is of ONNX's
own set.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from deepinside.core.errors import DeepInsideError, brief
from deepinside.explanations.explain import PREDICTIONS
from deepinside.portable.tracing import TRACED, Traced

IMAGES, CLASSES = "images", "classes"
ONE_CLASS = "one_class"  # of each image, in the body of the loop
IR_VERSION = 10  # that of ONNX 1.16, which runtimes of 2024 read


class Kind(NamedTuple):
    """What an output is: its type, its shape, and whether the backward pass of each class gives a part of it."""

    type: int
    shape: tuple[str | int | None, ...]
    is_of_class: bool


MAP = ("batch", "k", None, None)
FEATURES = ("batch", None, None, None)
KINDS = {
    "logits": Kind(TensorProto.FLOAT, ("batch", None), False),
    "probabilities": Kind(TensorProto.FLOAT, ("batch", None), False),
    "chosen": Kind(TensorProto.INT64, ("batch", "k"), False),
    "scores": Kind(TensorProto.FLOAT, ("batch", "k"), False),
    "saliency": Kind(TensorProto.FLOAT, MAP, True),
    "seed": Kind(TensorProto.FLOAT, MAP, True),
    "evidence": Kind(TensorProto.FLOAT, MAP, True),
    "is_even": Kind(TensorProto.BOOL, ("batch", "k"), True),
    "fine": Kind(TensorProto.FLOAT, FEATURES, False),
    "middle": Kind(TensorProto.FLOAT, FEATURES, False),
}
ALWAYS = ("chosen", "scores")  # computed of the others, in every file


@dataclass(frozen=True, eq=False)
class Part:
    """The graph of one size in ONNX, and the names of its values by those of the outputs."""

    graph: GraphProto
    opset: int
    outputs: dict[str, str]
    size: tuple[int, int]


def translated(traced: Traced, channels: int) -> Part:
    """A traced graph in ONNX. Raises `DeepInsideError`, naming the operator, for one that has no counterpart there."""
    images = torch.zeros(TRACED, channels, *traced.size)
    classes = torch.zeros(TRACED, dtype=torch.int64)
    dynamic = torch.export.Dim.DYNAMIC
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own parts
            program = torch.onnx.export(
                traced.graph,
                (images, classes),
                dynamo=True,
                dynamic_shapes=({0: dynamic}, {0: dynamic}),
                input_names=[IMAGES, ONE_CLASS],
                verbose=False,
            )
    except Exception as error:
        raise DeepInsideError(f"the network cannot be exported: {_operator(error)}") from error
    assert program is not None
    model = program.model_proto
    (opset,) = (each.version for each in model.opset_import if each.domain == "")
    names = (value.name for value in model.graph.output)
    return Part(model.graph, opset, dict(zip(traced.outputs, names, strict=True)), traced.size)


def combined(parts: Sequence[Part], channels: int, takes_bytes: bool) -> ModelProto:
    """One model of all sizes, the first of which is the network's own. Its inputs and outputs are those of `KINDS`."""
    weights = Weights()
    given = [name for name in KINDS if name in {*ALWAYS, *parts[0].outputs}]
    images = "pixels" if takes_bytes else IMAGES
    branches = [_Branch(part, f"size{n}_", weights, images, channels).graph(given) for n, part in enumerate(parts)]
    nodes = _pixels(weights) if takes_bytes else []
    nodes += _by_size(branches, [part.size for part in parts], given, weights, 2 - takes_bytes)
    graph = helper.make_graph(
        nodes,
        "deepinside",
        _inputs([part.size for part in parts], channels, takes_bytes),
        [helper.make_tensor_value_info(name, KINDS[name].type, KINDS[name].shape) for name in given],
        weights.tensors(),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", parts[0].opset)], ir_version=IR_VERSION)
    model.producer_name = "deepinside"
    return model


class Weights:
    """What all branches compute with, each tensor once, by names that tell equal ones."""

    def __init__(self) -> None:
        self._tensors: dict[str, TensorProto] = {}

    def tensors(self) -> list[TensorProto]:
        """All of them."""
        return list(self._tensors.values())

    def shared(self, weight: TensorProto) -> str:
        """The name of a tensor, which is the same for equal ones."""
        values = numpy_helper.to_array(weight)
        name = f"w_{sha256(values.tobytes() + repr((values.dtype, values.shape)).encode()).hexdigest()[:16]}"
        if name not in self._tensors:
            self._tensors[name] = numpy_helper.from_array(values, name)
        return name

    def constant(self, value: float | Sequence[float], kind: type = np.int64) -> str:
        """The name of a number, or of a vector of them."""
        return self.shared(numpy_helper.from_array(np.asarray(value, kind)))


class _Branch:
    """The nodes of one size: forward, the choice of classes, and the loop over them."""

    def __init__(self, part: Part, prefix: str, weights: Weights, images: str, channels: int):
        self._prefix, self._weights, self._images = prefix, weights, images
        self._shape = (channels, *part.size)
        self._names = {weight.name: weights.shared(weight) for weight in part.graph.initializer}
        self._nodes = [self._renamed(node) for node in part.graph.node]
        self._outputs = {name: self._name(value) for name, value in part.outputs.items()}
        self._shapes = {self._name(value.name): _shape_of(value) for value in part.graph.output}

    def graph(self, given: Sequence[str]) -> GraphProto:
        """The branch, with the outputs of these names, each behind the prefix."""
        depends = _dependent(self._nodes, self._name(ONE_CLASS))
        forward = [node for node, inner in zip(self._nodes, depends, strict=True) if not inner]
        body = [node for node, inner in zip(self._nodes, depends, strict=True) if inner]
        # A picture of any other size than this one fails here, in place of getting an answer that is wrong.
        shape = self._weights.constant([-1, *self._shape])
        nodes = [helper.make_node("Reshape", [self._images, shape], [self._name(IMAGES)]), *forward, *self._choice()]
        nodes += self._loop(body) + self._results(given)
        outputs = [helper.make_tensor_value_info(self._prefix + name, KINDS[name].type, None) for name in given]
        return helper.make_graph(nodes, self._prefix.strip("_"), [], outputs)

    def _name(self, name: str) -> str:
        """What a value of the part is called here; an absent one, "", stays absent."""
        return self._names.setdefault(name, f"{self._prefix}of_{name}" if name else "")

    def _renamed(self, node: NodeProto) -> NodeProto:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise DeepInsideError(f"the network cannot be exported: its {node.op_type} has a graph of its own")
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.name = self._prefix + node.name
        copied.input[:] = map(self._name, node.input)
        copied.output[:] = map(self._name, node.output)
        del copied.metadata_props[:]
        return copied

    def _choice(self) -> list[NodeProto]:
        """The classes asked for, of each picture; the likeliest ones where one of them is negative.

        Reading their scores fails for a class that the network does not have.
        """
        own, constant = self._prefix, self._weights.constant
        likeliest = helper.make_graph(
            [
                helper.make_node("Shape", [self._outputs["logits"]], [f"{own}count"], start=1),
                helper.make_node("Min", [f"{own}count", constant([PREDICTIONS])], [f"{own}most"]),
                helper.make_node("TopK", [self._outputs["logits"], f"{own}most"], [f"{own}best", f"{own}likeliest"]),
            ],
            "likeliest",
            [],
            [helper.make_tensor_value_info(f"{own}likeliest", TensorProto.INT64, None)],
        )
        asked = helper.make_graph(
            [
                helper.make_node("Shape", [self._outputs["logits"]], [f"{own}batch"], start=0, end=1),
                helper.make_node("Concat", [f"{own}batch", constant([1])], [f"{own}rows"], axis=0),
                helper.make_node("Expand", [CLASSES, f"{own}rows"], [f"{own}asked"]),
            ],
            "asked",
            [],
            [helper.make_tensor_value_info(f"{own}asked", TensorProto.INT64, None)],
        )
        return [
            helper.make_node("ReduceMin", [CLASSES], [f"{own}smallest"], keepdims=0),
            helper.make_node("Less", [f"{own}smallest", constant(0)], [f"{own}is_open"]),
            helper.make_node("If", [f"{own}is_open"], [f"{own}chosen"], then_branch=likeliest, else_branch=asked),
            helper.make_node("GatherElements", [self._outputs["logits"], f"{own}chosen"], [f"{own}scores"], axis=1),
        ]

    def _loop(self, body: Sequence[NodeProto]) -> list[NodeProto]:
        """The backward pass of each class."""
        inner = {name: value for name, value in self._outputs.items() if KINDS[name].is_of_class}
        if not inner:
            return []
        one = self._name(ONE_CLASS)
        graph = helper.make_graph(
            list(body),
            "backward",
            [helper.make_tensor_value_info(one, TensorProto.INT64, None)],
            # Older runtimes want to know what the body gives, but for the batch.
            [
                helper.make_tensor_value_info(value, KINDS[name].type, self._shapes[value])
                for name, value in inner.items()
            ],
        )
        outputs = [self._prefix + name for name in inner]
        return [
            helper.make_node(
                "Scan",
                [f"{self._prefix}chosen"],
                outputs,
                body=graph,
                num_scan_inputs=1,
                scan_input_axes=[1],
                scan_output_axes=[1] * len(inner),
            )
        ]

    def _results(self, given: Sequence[str]) -> list[NodeProto]:
        """The other outputs: those of the forward pass, and no saliency where this size has none."""
        own, constant = self._prefix, self._weights.constant
        nodes = [
            helper.make_node("Identity", [value], [own + name])
            for name, value in self._outputs.items()
            if not KINDS[name].is_of_class
        ]
        if "saliency" in given and "saliency" not in self._outputs:
            nodes += [
                helper.make_node("Shape", [f"{own}chosen"], [f"{own}pairs"]),
                helper.make_node("Concat", [f"{own}pairs", constant([0, 0])], [f"{own}none"], axis=0),
                helper.make_node("ConstantOfShape", [f"{own}none"], [f"{own}saliency"]),
            ]
        return nodes


def _shape_of(value: ValueInfoProto) -> list[int | None]:
    """The sides of a value that are numbers, and None for the batch."""
    return [side.dim_value or None for side in value.type.tensor_type.shape.dim]


def _dependent(nodes: Iterable[NodeProto], name: str) -> list[bool]:
    """Which nodes compute with a value, of nodes in the order in which they run."""
    known, depends = {name}, []
    for node in nodes:
        depends.append(any(each in known for each in node.input))
        known.update(node.output if depends[-1] else ())
    return depends


def _by_size(
    branches: Sequence[GraphProto], sizes: Sequence[tuple[int, int]], given: Sequence[str], weights: Weights, axis: int
) -> list[NodeProto]:
    """The branch of the picture's size; the last one takes all other sizes, and refuses those that are not its own."""
    if len(branches) == 1:
        nodes, outputs = list(branches[0].node), [value.name for value in branches[0].output]
        return nodes + [helper.make_node("Identity", [old], [new]) for old, new in zip(outputs, given, strict=True)]
    nodes = [helper.make_node("Shape", [IMAGES], ["sides"], start=axis, end=axis + 2)]
    rest = branches[-1]
    for n, (branch, size) in reversed(list(enumerate(zip(branches[:-1], sizes[:-1], strict=True)))):
        outputs = [*given] if n == 0 else [f"from{n}_{name}" for name in given]
        chosen = [
            helper.make_node("Equal", ["sides", weights.constant(size)], [f"is{n}_sides"]),
            helper.make_node("Cast", [f"is{n}_sides"], [f"is{n}_numbers"], to=TensorProto.INT32),
            helper.make_node("ReduceMin", [f"is{n}_numbers"], [f"is{n}_number"], keepdims=0),
            helper.make_node("Cast", [f"is{n}_number"], [f"is{n}"], to=TensorProto.BOOL),
            helper.make_node("If", [f"is{n}"], outputs, then_branch=branch, else_branch=rest),
        ]
        values = [
            helper.make_tensor_value_info(new, KINDS[old].type, None) for new, old in zip(outputs, given, strict=True)
        ]
        rest = helper.make_graph(chosen, f"after{n}", [], values)
    return nodes + list(rest.node)


def _pixels(weights: Weights) -> list[NodeProto]:
    """From bytes, channels last, to floats in [0, 1], channels first."""
    return [
        helper.make_node("Cast", [IMAGES], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["values"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["planes", weights.constant(255.0, np.float32)], ["pixels"]),
    ]


def _inputs(sizes: Sequence[tuple[int, int]], channels: int, takes_bytes: bool) -> list[ValueInfoProto]:
    height, width = sizes[0] if len(sizes) == 1 else ("height", "width")
    shape = ["batch", height, width, channels] if takes_bytes else ["batch", channels, height, width]
    kind = TensorProto.UINT8 if takes_bytes else TensorProto.FLOAT
    return [
        helper.make_tensor_value_info(IMAGES, kind, shape),
        helper.make_tensor_value_info(CLASSES, TensorProto.INT64, ["rows", "k"]),
    ]


def _operator(error: Exception) -> str:
    """The operator that an exporter failed on, or else what it says."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    found = re.search(r"aten::?\.?[\w.]+|op='([\w.]+)'", str(error))
    return f"ONNX has no counterpart for its operator {found[1] or found[0]}" if found else brief(error)
