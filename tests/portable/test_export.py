import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.networks.classifier import Classifier
from deepinside.portable import check as checks
from deepinside.portable.about import read_about
from deepinside.portable.export import NEEDED, WEIGHTS, to_onnx
from deepinside.portable.weights import PACKINGS
from portable.networks import Tiny, seeded


def test_the_classifier_stays_as_it_was_and_the_file_stands_alone(tiny, tiny_file):
    assert tiny.network.model.head.weight.requires_grad
    model = onnx.load(tiny_file.path)
    assert {each.domain for each in model.opset_import} == {""}
    assert model.producer_name == "deepinside"
    assert read_about(model)["model"] == "tiny"
    assert tiny_file.agreement.largest < 1e-5


@pytest.mark.parametrize(("weights", "smaller"), [("float16", 0.5), ("int8", 0.25)])
def test_smaller_weights(export, weights, smaller):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 64, 7, 4), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(1600, 9))
    classifier = Classifier(network.eval(), size=32)
    file = export(classifier, weights=weights)
    numbers = sum(parameter.numel() for parameter in network.parameters())
    assert file.path.stat().st_size < 4 * smaller * numbers + 60_000
    assert file.said["weights"] == weights
    images = torch.rand(1, 3, 32, 32)
    np.testing.assert_allclose(file(images)["logits"], classifier.network(images).detach(), atol=0.02)


def test_a_frozen_classifier_keeps_its_fast_form(export):
    classifier = Classifier(seeded(Tiny), size=32, frozen=True)
    fast = classifier.fast
    export(classifier)
    assert classifier.fast is fast


def test_the_names_of_weights_are_those_that_are_known():
    assert set(WEIGHTS) == set(PACKINGS)


def test_without_the_extra_everything_else_works():
    """In a process in which none of its packages can be imported, nor found."""
    program = f"""
import sys
from importlib import util
found = util.find_spec
util.find_spec = lambda name, *more: None if name in {NEEDED} else found(name, *more)
sys.modules.update(dict.fromkeys({NEEDED}))
from deepinside import *
try:
    to_onnx(None, "a.onnx")
except DeepInsideError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "files of ONNX need an extra: pip install 'deepinside[onnx]'\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rule": "guidet"}, "expected a rule"),
        ({"weights": "int4"}, "expected a kind of weights"),
        ({"pixels": "bytes"}, "expected a kind of pixels"),
    ],
)
def test_unknown_options_are_told(tiny, tmp_path, options, told):
    with pytest.raises(DeepInsideError, match=told):
        to_onnx(tiny, tmp_path / "a.onnx", **options)


def test_bytes_of_other_channels_are_told(tmp_path):
    classifier = Classifier(nn.Sequential(nn.Conv2d(5, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=16)
    with pytest.raises(DeepInsideError, match="expected a network of RGB for uint8 pixels, got one of 5 channels"):
        to_onnx(classifier, tmp_path / "a.onnx", pixels="uint8")


class Bent(nn.Module):
    """Samples its input along a grid, which goes back by an operator that ONNX does not have."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        grid = torch.rand(1, 8, 8, 2).expand(images.shape[0], -1, -1, -1)
        return self.layer(nn.functional.grid_sample(images, grid, align_corners=False)).mean((2, 3))


def test_an_operator_without_counterpart_is_named_and_nothing_is_written(tmp_path, noise):
    before = tmp_path / "a.onnx"
    before.write_bytes(b"an earlier file")
    with pytest.raises(
        DeepInsideError, match=r"cannot be exported: ONNX has no counterpart .* aten\.grid_sampler_2d_b"
    ):
        to_onnx(Classifier(Bent(), size=16), before, photos=noise)
    assert before.read_bytes() == b"an earlier file"


def test_a_file_that_disagrees_is_not_written(tiny, tmp_path, noise, monkeypatch):
    monkeypatch.setattr(checks, "LEAST", 2)
    with pytest.raises(DeepInsideError, match="expected maps as PyTorch's"):
        to_onnx(tiny, tmp_path / "a.onnx", photos=noise)
    assert list(tmp_path.iterdir()) == []
