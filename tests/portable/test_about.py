import json
from dataclasses import asdict

import numpy as np
import onnx
import pytest
from onnx import helper

from deepinside.core.errors import DeepInsideError
from deepinside.core.labels import Labels
from deepinside.explanations.by_features import Best
from deepinside.networks.classifier import Classifier
from deepinside.portable.about import KEY, about, read_about, write_about
from portable.networks import Tiny


def test_a_file_says_all_that_its_users_need(tmp_path):
    labels = Labels.of(["crane", "crane, derrick"], ["n1", "n2"])
    classifier = Classifier(Tiny(), labels=labels, size=(32, 48), name="ours")
    said = about(classifier, 2, [(32, 48), (64, 64)], "guided", "uint8", "int8")
    model = helper.make_model(helper.make_graph([], "g", [], []))
    write_about(model, said)
    write_about(model, said)  # twice is once
    onnx.save(model, tmp_path / "a.onnx")
    found = read_about(onnx.load(tmp_path / "a.onnx"))
    assert found == json.loads(json.dumps(said))
    assert found["labels"] == ["crane (n1)", "crane (n2)"]
    assert found["wnids"] == ["n1", "n2"]
    assert (found["size"], found["sizes"]) == ([32, 48], [[32, 48], [64, 64]])
    assert (found["link"], found["resample"], found["rule"]) == ("softmax", "bicubic", "guided")
    assert found["constants"] == json.loads(json.dumps(asdict(Best())))
    assert found["draws"] == np.random.default_rng(0).random(Best().outline.components).tolist()


def test_a_network_without_names_has_none():
    said = about(Classifier(Tiny(), size=32), 1, [(32, 32)], "gradient", "float32", "float32")
    assert (said["labels"], said["wnids"], said["link"]) == ([], [], "sigmoid")


@pytest.mark.parametrize("entries", [{}, {"other": "{}"}, {KEY: '{"format": 99}'}])
def test_another_file_is_told(entries):
    model = helper.make_model(helper.make_graph([], "g", [], []))
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    with pytest.raises(DeepInsideError, match="expected a model that `deepinside export-onnx` has written"):
        read_about(model)
