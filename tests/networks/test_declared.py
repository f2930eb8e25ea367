"""Pixels that a network declares are used where nobody gives others, and said."""

import numpy as np
import pytest
import timm
import torch
from PIL.Image import Resampling
from torch import nn

import deepinside as di
from deepinside import Classifier, DeepInsideError
from deepinside.networks.classifier import as_classifier
from deepinside.networks.declared import LABELS_NOTE, declared, declared_labels


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
    assert classifier.notes[1:] == ()
    assert classifier.labels.name(2) == "class 2"


def test_the_classes_of_a_published_network_of_timm_have_its_names():
    classifier = Classifier(timm.create_model("resnet10t"))
    assert (classifier.labels.name(0), classifier.labels.wnid(999)) == ("tench", "n15075141")
    assert "labels= changes that" in classifier.notes[1]
    given = Classifier(timm.create_model("resnet10t"), labels=[f"no. {number}" for number in range(1000)])
    assert given.labels.name(0) == "no. 0"
    assert len(given.notes) == 1  # on its normalization
    assert not len(Classifier(timm.create_model("resnet10t"), labels=()).labels)


def test_a_head_that_was_put_in_its_place_by_hand_has_no_names():
    module = timm.create_model("resnet10t")
    module.fc = nn.Sequential(nn.Dropout(), nn.Linear(512, 3))  # its num_classes stays 1000
    assert not len(Classifier(module).labels)
    module.fc = nn.Sequential(nn.Dropout(), nn.Linear(512, 1000))
    assert len(Classifier(module).labels) == 1000


def test_a_network_with_two_heads_has_names():
    assert len(declared_labels(timm.create_model("deit_tiny_distilled_patch16_224", depth=1))) == 1000


@pytest.mark.parametrize("classes", [4, 21843])  # the second as many as a larger ImageNet has
def test_another_number_of_classes_than_the_published_one_has_no_names(classes):
    classifier = Classifier(timm.create_model("resnet10t", num_classes=classes))
    assert not len(classifier.labels)
    assert len(classifier.notes) == 1


def test_a_configuration_of_transformers_names_its_classes():
    transformers = pytest.importorskip("transformers")
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.ViTConfig(image_size=32, patch_size=16, id2label={0: "cat", 1: "cup"}, **shape)
    classifier = Classifier(transformers.ViTForImageClassification(config), size=32, mean=0.5, std=0.5)
    assert classifier.labels.synonyms == (("cat",), ("cup",))
    assert classifier.notes == (LABELS_NOTE,)
    other = transformers.ViTForImageClassification(config)
    other.classifier = nn.Linear(8, 3)
    assert not len(declared_labels(other))


def test_a_network_that_declares_its_pixels_can_be_asked_as_it_is(unchecked):
    """By all that take photos or make images, exactly as in a classifier."""
    module = network(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), input_size=(3, 96, 96))
    classifier, photo = Classifier(module), np.random.default_rng(0).random((60, 80, 3))
    for ask in (
        lambda asked: di.explain(asked, photo, 2, boxes=False).objects[0].map,
        lambda asked: next(di.explain_each(asked, [photo], 2, boxes=False)).explanation.objects[0].map,
        lambda asked: di.contrast(asked, photo, 1, 2).first.saliency.map,
        lambda asked: di.reconstruct(asked, photo, 2, rule="gradient").gradient,
        lambda asked: di.class_image(asked, 2, steps=1).numpy(),
    ):
        assert np.array_equal(ask(module), ask(classifier))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3 * 96 * 96, 4))
    with pytest.raises(DeepInsideError, match="expected a Classifier, got Sequential; wrap"):
        as_classifier(plain)
    with pytest.raises(DeepInsideError, match="expected a Classifier, got str"):
        di.explain("lite0", photo)


def test_pixels_that_are_given_for_a_class_image_go_first():
    module = network(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), input_size=(3, 96, 96))
    given = di.class_image(module, 2, steps=1, size=96, mean=(0.5, 0.5, 0.5))
    assert not torch.equal(given, di.class_image(module, 2, steps=1, size=96))
