"""torchvision's networks with weights from files, against torchvision's own builders."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from deepinside.core.errors import DeepInsideError
from deepinside.networks.hub_torchvision import published_as
from deepinside.networks.sources import load

# One of each family that is small, those with exceptions in torchvision's builders among them.
NAMES = [
    "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf",
    "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1",
]  # fmt: skip
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
TRANSFORMED = {"transform_input": True, "init_weights": False}  # as the builders do with published weights


def built(name, classes, **options):
    """A network as torchvision's builder makes it, with random weights that reach the logits."""
    torch.manual_seed(0)
    options = TRANSFORMED | options if name in ("googlenet", "inception_v3") else options
    network = models.get_model(name, weights=None, num_classes=classes, **options)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return network.eval()


def assert_same_logits(classifier, network, side=96):
    images = torch.rand(1, 3, side, side)
    with torch.no_grad():
        expected, got = network((images - MEAN) / STD), classifier.network.eval()(images)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_weights_with_another_number_of_classes(name, tmp_path):
    network = built(name, 5)
    save_file(network.state_dict(), tmp_path / "five.safetensors")
    classifier = load(f"torchvision:{name}", weights=tmp_path / "five.safetensors")
    assert_same_logits(classifier, network, side=128)
    assert len(classifier.labels) == 0, "five other classes have not ImageNet's names"
    assert classifier.labels.name(2) == "class 2"
    assert bool(classifier.notes) == (name in ("googlenet", "inception_v3"))


def test_a_head_without_a_bias(tmp_path):
    state = models.maxvit_t(weights=None, num_classes=3).state_dict()
    assert "classifier.5.bias" not in state
    torch.save(state, tmp_path / "weights.pth")
    network = load("torchvision:maxvit_t", weights=tmp_path / "weights.pth").network.model
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("change", [
    lambda network: None,
    lambda network: setattr(network, "aux1", None) or setattr(network, "aux2", None),
    lambda network: setattr(network, "fc", nn.Linear(1024, 6)),  # fine-tuned, its auxiliary heads as published
])  # fmt: skip
def test_googlenet_with_auxiliary_heads_without_them_and_with_others(change, tmp_path):
    network = built("googlenet", 1000, aux_logits=True)
    change(network)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    network.aux_logits = False
    assert_same_logits(load("torchvision:googlenet", weights=tmp_path / "weights.pth"), network)


def test_the_old_names_of_the_published_densenets(tmp_path):
    network = built("densenet121", 1000)
    old = {}
    for name, value in network.state_dict().items():
        for part in ("norm1", "conv1", "norm2", "conv2"):
            name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.") if ".denselayer" in name else name
        old[name] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "weights.pth")
    classifier = load("torchvision:densenet121", weights=tmp_path / "weights.pth")
    assert_same_logits(classifier, network)
    assert classifier.labels.find("goose") == 99


def test_a_vision_transformer_takes_images_of_the_size_that_its_positions_have(tmp_path):
    network = models.VisionTransformer(48, 16, 12, 12, 768, 3072, num_classes=4)
    nn.init.normal_(network.heads.head.weight)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    classifier = load("torchvision:vit_b_16", weights=tmp_path / "weights.pth")
    assert classifier.size == (48, 48)
    assert_same_logits(classifier, network.eval(), side=48)


def test_a_published_file_is_known_by_its_name(tmp_path):
    published = models.RegNet_Y_16GF_Weights.IMAGENET1K_SWAG_E2E_V1
    assert published_as("regnet_y_16gf", tmp_path / published.url.rpartition("/")[2]) is published
    assert published_as("regnet_y_16gf", tmp_path / "mine.pth") is models.RegNet_Y_16GF_Weights.DEFAULT


def test_weights_of_another_architecture_say_what_to_do(tmp_path):
    torch.save(models.resnet18(num_classes=7).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(DeepInsideError, match=r"do not fit ResNet: expected .*; give the model that"):
        load("torchvision:resnet50", weights=tmp_path / "weights.pth")
