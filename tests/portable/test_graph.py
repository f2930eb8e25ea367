"""The assembled model in ONNX Runtime."""

import numpy as np
import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.explanations.by_features import Best
from deepinside.explanations.explain import choice_of
from deepinside.gradients.saliency import saliency
from deepinside.portable.check import run
from deepinside.portable.graph import Part, Weights, _dependent, _operator


def images_of(*sides, count=3):
    return torch.rand(count, 3, *sides, generator=torch.Generator().manual_seed(2))


def test_without_classes_the_five_likeliest_of_each_image(small, small_file):
    images = images_of(128, 128)
    found = small_file(images)
    logits = small.network(images).detach()
    assert found["chosen"].tolist() == logits.topk(5).indices.tolist()
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], logits.softmax(1), rtol=1e-4)
    np.testing.assert_allclose(found["scores"], logits.topk(5).values, rtol=1e-4, atol=1e-5)
    wanted = saliency(small.network, images, torch.from_numpy(found["chosen"]))
    np.testing.assert_allclose(found["saliency"], wanted, atol=1e-5 * float(wanted.max()))


@pytest.mark.parametrize("classes", [[[3]], [[0, 5], [2, 2], [1, 4]], [[0], [1], [2]]])
def test_classes_of_all_images_or_of_each(small, small_file, classes):
    images = images_of(128, 128)
    found = small_file(images, classes)
    each = torch.tensor(classes).expand(3, -1)
    assert found["chosen"].tolist() == each.tolist()
    wanted = saliency(small.network, images, each)
    np.testing.assert_allclose(found["saliency"], wanted, atol=1e-5 * float(wanted.max()))


@pytest.mark.parametrize("classes", [[[6]], [[0, 77]]])
def test_a_class_that_is_none_fails(small_file, classes):
    with pytest.raises(Exception, match="GatherElements"):
        small_file(images_of(128, 128), classes)


@pytest.mark.parametrize("sides", [(128, 192), (140, 140), (64, 64), (256, 128)])
def test_pictures_of_any_other_size_fail(small_file, sides):
    with pytest.raises(Exception, match="Reshape"):
        small_file(images_of(*sides))


def test_a_network_of_one_size_says_so(tokens_file):
    (images, _) = tokens_file.session.get_inputs()
    assert images.shape == ["batch", 3, 64, 64]
    with pytest.raises(Exception, match="invalid dimensions"):
        tokens_file(images_of(96, 96))


def test_what_outlines_are_made_of_is_what_a_glance_sees(small, small_file, noise):
    localizer = Best()
    views = localizer.views(small, photo_of(noise[0]))
    (seen,) = localizer.see(small, [views], [choice_of(small, [2, 5])], 0)
    glance = seen.first
    looks = [small_file(images, [[2, 5]]) for images in views.images]
    for k, maps in enumerate(glance.layer_maps):
        found = [look[name][0, k] for look in looks for name in ("seed", "evidence")]
        for one, other in zip(found, maps, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5 * other.max())
    assert all(look["is_even"].all() for look in looks)
    assert [look["seed"].shape[2] for look in looks] == [8, 12]
    assert looks[1]["saliency"].shape == (1, 2, 0, 0)
    for name, features in zip(("fine", "middle"), glance.features, strict=True):
        np.testing.assert_allclose(looks[0][name][0], features, atol=1e-4 * float(features.abs().max()))


def test_tokens_lie_as_a_grid(tokens, tokens_file):
    found = tokens_file(images_of(64, 64), [[1]])
    assert found["middle"].shape == (3, 16, 8, 8)
    assert found["seed"].shape == (3, 1, 8, 8)
    np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-found["logits"])), rtol=1e-5)


def test_bytes_are_pictures_as_well(tiny, tiny_file, export):
    file = export(tiny, pixels="uint8")
    pixels = torch.randint(0, 256, (2, 32, 32, 3), generator=torch.Generator().manual_seed(4), dtype=torch.uint8)
    images = pixels.permute(0, 3, 1, 2) / 255
    assert file.session.get_inputs()[0].type == "tensor(uint8)"
    found, wanted = run(file.session, file.said, images), tiny_file(images)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


def test_weights_are_shared_by_sizes(small, small_file):
    numbers = sum(parameter.numel() for parameter in small.network.parameters())
    assert small_file.path.stat().st_size < 4 * numbers + 400_000  # the nodes of three sizes, but the weights once


def test_equal_weights_are_one():
    weights = Weights()
    one, other, third = weights.constant([1, 2]), weights.constant([1, 2]), weights.constant([1.0, 2.0], np.float32)
    assert one == other != third
    assert len(weights.tensors()) == 2


def test_what_depends_on_a_value_is_found():
    from onnx import helper

    nodes = [helper.make_node("Neg", [a], [b]) for a, b in (("x", "y"), ("c", "d"), ("y", "z"), ("d", "e"), ("d", "f"))]
    assert _dependent(nodes, "c") == [False, True, False, True, True]


def test_an_operator_is_named():
    error = RuntimeError("translation failed")
    error.__cause__ = RuntimeError("No ONNX function found for <OpOverload(op='aten.grid_sampler_2d', overload='x')>.")
    assert _operator(error) == "ONNX has no counterpart for its operator aten.grid_sampler_2d"


def test_a_network_with_a_graph_of_its_own_is_told():
    from onnx import TensorProto, helper

    from deepinside.portable.graph import combined

    empty = helper.make_graph([], "g", [], [])
    node = helper.make_node("If", ["images"], ["y"], then_branch=empty, else_branch=empty)
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    part = Part(helper.make_graph([node], "g", [], [value]), 18, {"logits": "y"}, (8, 8))
    with pytest.raises(DeepInsideError, match="its If has a graph of its own"):
        combined([part], 3, False)


def photo_of(path):
    from deepinside.core.images import read

    return read(path)
