"""Hugging Face's networks from folders and files, against the networks that were saved."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.networks.sources import load

transformers = pytest.importorskip("transformers")

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def vit(**options):
    torch.manual_seed(0)
    config = transformers.ViTConfig(image_size=32, patch_size=8, **TINY, **options)
    return transformers.ViTForImageClassification(config).eval()


def saved(model, folder, **options):
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}, **options).save_pretrained(folder)
    return f"hf:{folder}"


def assert_same_logits(classifier, model):
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        got, expected = classifier.network.eval()(images).logits, model((images - 0.5) / 0.5).logits
    assert torch.allclose(got, expected, atol=1e-6)


def test_a_model_in_a_folder(tmp_path, capsys):
    model = vit(id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1})
    spec = saved(model, tmp_path)
    capsys.readouterr()
    classifier = load(spec)
    assert capsys.readouterr() == ("", ""), "the library prints nothing"
    assert classifier.labels.find("dog") == 1
    assert classifier.size == (32, 32)
    assert_same_logits(classifier, model)


@pytest.mark.parametrize(("id2label", "names"), [
    ({0: "cat", 1: "dog"}, ["cat", "dog"]),
    ({"1": "dog", "0": "cat"}, ["cat", "dog"]),
    ({0: "LABEL_0", 1: "LABEL_1"}, ["class 0", "class 1"]),
    ({0: "cat", 7: "dog"}, ["cat", "class 1"]),
    ({0: "Washington, D.C.", 1: "Rome"}, ["Washington, D.C.", "Rome"]),
    ({0: "only"}, ["only"]),
])  # fmt: skip
def test_names_of_classes(id2label, names, tmp_path):
    spec = saved(vit(num_labels=len(names)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": id2label, "label2id": {}}))
    labels = load(spec).labels
    assert [labels.name(index) for index in range(len(names))] == names


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod."])
def test_weights_from_a_file_with_another_number_of_classes(prefix, tmp_path):
    spec = saved(vit(id2label={0: "cat", 1: "dog"}), tmp_path / "model")
    other = vit(num_labels=5)
    for parameter in other.parameters():
        nn.init.normal_(parameter, std=0.1)
    save_file({f"{prefix}{k}": v for k, v in other.state_dict().items()}, tmp_path / "five.safetensors")
    classifier = load(spec, weights=tmp_path / "five.safetensors")
    assert_same_logits(classifier, other)
    assert len(classifier.labels) == 0


def test_a_file_that_transformers_wrote_is_read_by_the_names_it_uses_there(tmp_path):
    spec = saved(vit(), tmp_path / "model")
    other = vit(num_labels=5)
    for parameter in other.parameters():
        nn.init.normal_(parameter, std=0.1)
    other.save_pretrained(tmp_path / "other")
    assert_same_logits(load(spec, weights=tmp_path / "other" / "model.safetensors"), other)
    lightning = {f"model.{k}": v for k, v in load_file(tmp_path / "other" / "model.safetensors").items()}
    torch.save({"state_dict": lightning}, tmp_path / "last.ckpt")
    assert_same_logits(load(spec, weights=tmp_path / "last.ckpt"), other)
    del lightning["model.classifier.bias"]
    torch.save({"state_dict": lightning}, tmp_path / "part.ckpt")
    with pytest.raises(DeepInsideError, match=r"expected \(5,\) for classifier\.bias, got nothing"):
        load(spec, weights=tmp_path / "part.ckpt")


def test_weights_of_another_architecture_say_what_to_do(tmp_path):
    spec = saved(vit(), tmp_path / "model")
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "other.pth")
    with pytest.raises(DeepInsideError, match=r"do not fit ViTForImageClassification: expected"):
        load(spec, weights=tmp_path / "other.pth")


def test_a_folder_without_a_head_is_refused_and_not_given_a_random_one(tmp_path):
    model = vit()
    spec = saved(model, tmp_path)
    model.vit.save_pretrained(tmp_path)
    with pytest.raises(DeepInsideError, match=r"weights of a whole classifier, found none for classifier\.bias"):
        load(spec)


def test_a_folder_without_a_processor_is_one_line(tmp_path):
    vit().save_pretrained(tmp_path)
    with pytest.raises(DeepInsideError, match=r"expected a folder with a classifier and its processor") as caught:
        load(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_several_labels_a_photo_are_probabilities_one_by_one(tmp_path):
    classifier = load(saved(vit(num_labels=3, problem_type="multi_label_classification"), tmp_path))
    logits = torch.tensor([[0.0, 2.0, -1.0]])
    assert torch.allclose(classifier.posterior(logits), logits.sigmoid())


def test_a_network_that_wants_blue_first_gets_it(tmp_path):
    torch.manual_seed(0)
    config = transformers.MobileViTConfig(
        image_size=32, hidden_sizes=[16, 16, 16], neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16], num_labels=3
    )
    model = transformers.MobileViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path)
    transformers.MobileViTImageProcessor(crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        got, expected = load(f"hf:{tmp_path}").network.eval()(images).logits, model(images.flip(1)).logits
    assert torch.allclose(got, expected, atol=1e-6)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DeepInsideError, match=r"pip install 'deepinside\[hf\]'"):
        load("hf:anything")
