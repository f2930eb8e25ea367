"""Pixels that a network declares are used where nobody gives others, and said."""

import pytest
import timm
import torch
from PIL.Image import Resampling
from torch import nn

from deepinside import Classifier, DeepInsideError
from deepinside.networks.declared import declared


def network(**config):
    small = timm.create_model("resnet10t", num_classes=4)
    small.pretrained_cfg = {**small.pretrained_cfg, **config}
    return small.eval()


def test_a_forgotten_normalization_is_that_of_timm_and_said():
    module = network(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), input_size=(3, 96, 128), interpolation="bilinear")
    classifier = Classifier(module)
    given = Classifier(module, size=(96, 128), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert (classifier.size, classifier.resample) == ((96, 128), Resampling.BILINEAR)
    assert classifier.notes == (
        "pixels are normalized as timm says, with mean 0.1, 0.2, 0.3 and std 0.4, 0.5, 0.6; mean= and std= change that",
    )
    images = torch.rand(2, 3, 96, 128)
    with torch.no_grad():
        assert torch.equal(classifier.network(images), given.network(images))


def test_what_is_given_goes_first():
    classifier = Classifier(network(), size=64, mean=0.0, std=1.0)
    assert (classifier.size, classifier.resample, classifier.notes) == ((64, 64), Resampling.BICUBIC, ())
    assert classifier.network.mean.flatten().tolist() == [0, 0, 0]
    assert Classifier(network(), size=64).size == (64, 64)


@pytest.mark.parametrize("module", [
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    nn.Sequential(network()),  # whatever is in front of it may normalize
])  # fmt: skip
def test_other_modules_declare_nothing(module):
    assert declared(module) is None
    assert (Classifier(module).size, Classifier(module).notes) == ((224, 224), ())


def test_a_configuration_of_another_kind_is_no_declaration():
    module = network()
    for other in ({}, {"mean": 1}, "mean"):
        module.pretrained_cfg = other
        assert declared(module) is None
    module.config = {"mean": (0.5,)}
    assert declared(module) is None


def test_a_processor_beside_a_network_of_transformers_is_used(tmp_path):
    transformers = pytest.importorskip("transformers")
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.ViTConfig(image_size=32, patch_size=16, num_labels=3, **shape)
    bare = transformers.ViTForImageClassification(config)
    with pytest.raises(DeepInsideError, match="expected mean and std for ViTForImageClassification"):
        Classifier(bare)
    assert Classifier(bare, size=32, mean=0.5, std=0.5).notes == ()
    bare.save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size, image_mean=[0.1, 0.2, 0.3], image_std=[0.5] * 3).save_pretrained(tmp_path)
    classifier = Classifier(transformers.ViTForImageClassification.from_pretrained(tmp_path))
    assert classifier.size == (32, 32)
    assert classifier.network.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert "as its processor says" in classifier.notes[0]
