"""Folders of training runs, also where somebody edited them."""

import json

import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.networks import checkpoint
from deepinside.networks.classifier import Classifier
from deepinside.networks.convnet2013 import ConvNet2013
from deepinside.networks.sources import load


def write_run(run, units=4, **changes):
    """A run as `deepinside train` leaves it, of a network with random weights."""
    plain = ConvNet2013(2, size=32, hidden_units=units)
    network = Classifier(plain, size=32, mean=torch.rand(3, 32, 32), std=(0.5,) * 3).network
    model = {"size": 32, "full": units, "std": 0.5, "synonyms": [["ant"], ["bee", "honeybee"]], "wnids": []} | changes
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    checkpoint.save(run, 1, tensors, {"model": model})
    return network


def test_a_run_is_loaded_with_its_mean_image_size_and_labels(tmp_path):
    network = write_run(tmp_path)
    classifier = load(tmp_path)
    assert (classifier.size, classifier.labels.find("honeybee")) == ((32, 32), 1)
    images = torch.rand(2, 3, 32, 32)
    by_hand = network.model.eval()((images - network.mean) / 0.5)
    assert torch.allclose(classifier.network.eval()(images), by_hand)
    assert load(str(tmp_path), labels=["x", "y"]).labels.find("y") == 1


def test_a_run_with_the_default_of_hidden_units_is_loaded(tmp_path):
    network = write_run(tmp_path, units=None)
    images = torch.rand(2, 3, 32, 32)
    by_hand = network.model.eval()((images - network.mean) / 0.5)
    assert torch.allclose(load(tmp_path).network.eval()(images), by_hand)


@pytest.mark.parametrize(("changes", "message"), [
    ({"synonyms": [["ant"], ["bee"], ["cat"]]}, r"do not fit Normalized: expected \(3.* got \(2"),
    ({"synonyms": [["ant"]]}, "at least 2 classes"),
    ({"synonyms": {"ant": 0, "bee": 1}}, "a list of one or more names for each class"),
    ({"synonyms": [["ant"], []]}, "a list of one or more names for each class"),
    ({"synonyms": [["ant"], [7]]}, "a list of one or more names for each class"),
    ({"wnids": ["n1"]}, "none or 2 WordNet ids"),
    ({"wnids": None}, "none or 2 WordNet ids"),
    ({"size": "large"}, "expected the description of a network"),
    ({"size": -32}, "positive whole number as 'size', got -32"),
    ({"size": True}, "positive whole number as 'size', got True"),
    ({"size": 31}, "32 pixels"),
    ({"size": 100_000}, "do not fit Normalized"),
    ({"size": 10**12}, "a network that fits into memory"),
    ({"full": 4.5}, "positive whole number as 'full'"),
    ({"full": 10**9}, "do not fit Normalized"),
    ({"full": 10**30}, "a network that fits into memory"),
    ({"std": 0}, "positive number as 'std', got 0"),
    ({"std": [0.5]}, "positive number as 'std'"),
    ({"std": float("nan")}, "positive number as 'std', got nan"),
])  # fmt: skip
def test_a_run_whose_description_does_not_fit_is_refused_in_one_line(tmp_path, changes, message):
    write_run(tmp_path, **changes)
    with pytest.raises(DeepInsideError, match=message) as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [None, [], "lite0", {}, {"size": 32}])
def test_a_run_without_a_description_is_refused(tmp_path, model):
    write_run(tmp_path)
    path = tmp_path / "epoch-0001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": model}))
    with pytest.raises(DeepInsideError, match="expected the description of a network"):
        load(str(tmp_path))


def test_a_run_without_a_whole_checkpoint_is_refused(tmp_path, capsys):
    write_run(tmp_path)
    (tmp_path / "epoch-0001.safetensors").write_bytes(b"")
    with pytest.raises(DeepInsideError, match="found only damaged ones"):
        load(str(tmp_path))
    assert capsys.readouterr() == ("", ""), "the library prints nothing"


def test_a_run_has_weights_of_its_own(tmp_path):
    write_run(tmp_path)
    with pytest.raises(DeepInsideError, match="leave --weights out"):
        load(str(tmp_path), weights="other.safetensors")


def test_damaged_checkpoints_are_told_by_the_classifier_and_not_printed(tmp_path, capsys):
    write_run(tmp_path)
    for suffix in ("json", "safetensors"):
        content = (tmp_path / f"epoch-0001.{suffix}").read_bytes()
        (tmp_path / f"epoch-0002.{suffix}").write_bytes(content[:-20])
    (note,) = load(str(tmp_path)).notes
    assert "epoch-0002" in note
    assert "damaged" in note
    assert capsys.readouterr() == ("", "")
