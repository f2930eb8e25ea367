"""timm's networks with weights from files, against timm's own builder."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from deepinside.core.errors import DeepInsideError
from deepinside.networks.sources import load


def assert_same_logits(classifier, network, side):
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    images = torch.rand(2, 3, side, side)
    with torch.no_grad():
        expected, got = network.eval()((images - mean) / std), classifier.network.eval()(images)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


# With one head and several; with a mean and std of their own; without a bias; whose classes are counted otherwise.
@pytest.mark.parametrize(("name", "side"), [
    ("resnet18", 64), ("deit_tiny_distilled_patch16_224", 224), ("levit_128s", 224), ("convnext_atto", 64),
    ("vit_tiny_patch16_224.augreg_in21k", 224), ("repvit_m0_9", 64), ("dla46_c", 64), ("edgenext_xx_small", 64),
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_with_another_number_of_classes(name, side, suffix, tmp_path):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=7)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    classifier = load(f"timm:{name}", weights=path, labels=list("abcdefg"))
    assert_same_logits(classifier, network, side)
    assert classifier.labels.find("c") == 2


def original_deit(state):
    """A checkpoint as DeiT's authors publish it: under `model`, without changes of names."""
    return {"model": state}


def original_convnext(state):
    """The names of ConvNeXt's authors."""
    names = {}
    for name in state:
        old = name.replace("stem.", "downsample_layers.0.").replace("head.norm.", "norm.").replace("head.fc.", "head.")
        for stage in range(4):
            old = old.replace(f"stages.{stage}.downsample.", f"downsample_layers.{stage}.")
            old = old.replace(f"stages.{stage}.blocks.", f"stages.{stage}.")
        old = old.replace("conv_dw", "dwconv").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        names[name] = old
    return {"model": {names[name]: value for name, value in state.items()}}


def original_swin(state):
    """The names of Swin's authors, with the buffers that timm no longer keeps."""
    names = {}
    for name in state:
        old = name.replace("head.fc.", "head.")
        for stage in (1, 2, 3):  # timm merges patches at the beginning of a stage, the authors at its end
            old = old.replace(f"layers.{stage}.downsample.", f"layers.{stage - 1}.downsample.")
        names[name] = old
    buffers = {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.long)}
    return {"model": {names[name]: value for name, value in state.items()} | buffers}


@pytest.mark.parametrize(("name", "side", "original", "classes"), [
    ("deit_tiny_patch16_224", 224, original_deit, 1000),
    ("convnext_atto", 64, original_convnext, 1000), ("convnext_atto", 64, original_convnext, 6),
    ("swin_tiny_patch4_window7_224", 224, original_swin, 1000), ("swin_tiny_patch4_window7_224", 224, original_swin, 6),
])  # fmt: skip
def test_checkpoints_in_the_form_of_their_authors_are_converted_as_timm_does(name, side, original, classes, tmp_path):
    torch.manual_seed(0)
    options = {"conv_mlp": False} if name.startswith("convnext") else {}
    network = timm.create_model(name, num_classes=classes, **options)
    state = original(network.state_dict())
    torch.save(state, tmp_path / "original.pth")
    classifier = load(f"timm:{name}", weights=tmp_path / "original.pth")
    assert_same_logits(classifier, network, side)
    assert (len(classifier.labels) == 1000) == (classes == 1000)


def test_weights_that_leave_a_part_at_random_are_refused_although_timm_would_take_them(tmp_path):
    state = timm.create_model("dla46_c", num_classes=4).state_dict()  # timm reads this family's without strictness
    del state["level2.tree2.conv1.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(
        DeepInsideError, match=r"do not fit DLA: expected .* for level2\.tree2\.conv1\.weight, got nothing"
    ):
        load("timm:dla46_c", weights=tmp_path / "part.pth")


def test_heads_of_different_numbers_of_classes_are_refused(tmp_path):
    state = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=1000).state_dict()
    state |= {"head.weight": torch.zeros(5, 192), "head.bias": torch.zeros(5)}
    torch.save(state, tmp_path / "two.pth")
    with pytest.raises(DeepInsideError, match=r"expected \(1000, 192\) for head\.weight, got \(5, 192\)"):
        load("timm:deit_tiny_distilled_patch16_224", weights=tmp_path / "two.pth")


@pytest.mark.parametrize(("name", "message"), [
    ("resnet50.a1_in2k", "timm has no weights 'resnet50.a1_in2k'; did you mean timm:resnet50.a1_in1k"),
    ("vit_small_patch14_dinov2", "its published weights have features and no classes"),
])  # fmt: skip
def test_names_without_weights_of_a_classifier_are_refused(name, message):
    with pytest.raises(DeepInsideError, match=message):
        load(f"timm:{name}")


def test_labels_of_imagenet_21k_belong_to_its_number_of_classes(tmp_path):
    name = "vit_tiny_patch16_224.augreg_in21k"
    torch.save(timm.create_model(name, num_classes=21843).state_dict(), tmp_path / "weights.pth")
    assert len(load(f"timm:{name}", weights=tmp_path / "weights.pth").labels) == 21843
