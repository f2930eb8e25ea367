import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from deepinside.portable.weights import packed


def model_of(**weights):
    """A model that gives its own weights."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in weights]
    outputs = [
        helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, values.shape)
        for node, values in zip(nodes, weights.values(), strict=True)
    ]
    tensors = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "weights", [], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def given(model):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return {
        each.name.removesuffix("_out"): values
        for each, values in zip(session.get_outputs(), session.run(None, {}), strict=True)
    }


def kinds(model):
    return {each.name: each.data_type for each in model.graph.initializer}


@pytest.fixture
def weights():
    random = np.random.default_rng(0)
    return {
        "convolution": random.normal(size=(12, 16, 3, 3)) * np.arange(1, 13)[:, None, None, None],
        "depthwise": random.normal(size=(128, 1, 3, 3)),
        "dense": random.normal(size=(40, 50)) * np.arange(1, 51),  # columns of very different size
        "bias": random.normal(size=2000),
        "places": random.normal(size=(1, 20, 60)),
        "little": random.normal(size=(4, 4)),
        "zeros": np.zeros((40, 40)),
    }


def test_as_it_is(weights):
    model = model_of(**weights)
    before = model.SerializeToString()
    packed(model, "float32")
    assert model.SerializeToString() == before


def test_half_is_what_numpy_rounds_to(weights):
    model = model_of(**weights, huge=np.full((40, 40), 1e6))
    packed(model, "float16")
    for name, values in given(model).items():
        exact = name in ("little", "huge")
        np.testing.assert_array_equal(
            values,
            np.float32(weights.get(name, np.full((40, 40), 1e6)))
            .astype(np.float32 if exact else np.float16)
            .astype(np.float32),
        )
    assert kinds(model)["convolution_half"] == TensorProto.FLOAT16


def test_eight_bits_are_within_half_a_step_of_each_channel(weights):
    model = model_of(**weights)
    packed(model, "int8")
    found = given(model)
    for name, axes in (("convolution", (1, 2, 3)), ("dense", 0)):
        step = np.abs(weights[name]).max(axis=axes, keepdims=True) / 127
        assert (np.abs(found[name] - weights[name]) <= 0.501 * step).all()
        assert kinds(model)[f"{name}_steps"] == TensorProto.INT8
    for name in ("depthwise", "bias", "places", "little"):  # too small, or nothing that one scale fits
        np.testing.assert_array_equal(found[name], np.float32(weights[name]))
    np.testing.assert_array_equal(found["zeros"], 0)
