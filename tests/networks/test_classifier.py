"""What a classifier brings: preprocessing, labels, a device, and a fast form of a network that it owns."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.private import Snapshot
from deepinside.networks.classifier import Classifier
from deepinside.networks.normalized import Normalized


class Flattened(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, classes)

    def forward(self, images):
        return self.head(images.flatten(1))


@pytest.mark.parametrize(("arguments", "message"), [
    ({"mean": (0.5,), "std": (1, 1, 1)}, "for each channel"), ({"std": (1.0, 0.0, 1.0)}, "positive std"),
    ({"mean": torch.zeros(3, 4, 4)}, "mean image of 8 x 8"), ({"mean": torch.zeros(3, 3)}, "mean image"),
    ({"size": 0}, "at least 1 x 1"), ({"size": (8, 8, 8)}, "at least 1 x 1"),
    ({"probabilities": "softmin"}, "kind of probabilities"),
])  # fmt: skip
def test_senseless_preprocessing_is_refused(arguments, message):
    with pytest.raises(DeepInsideError, match=message):
        Classifier(Flattened(), **{"size": 8, **arguments})


def test_a_device_that_is_not_there_is_told():
    classifier = Classifier(Flattened(), size=8)
    assert classifier.to("cpu") is classifier
    with pytest.raises(DeepInsideError, match=r"device of this machine.*nowhere"):
        classifier.to("nowhere")
    if not torch.cuda.is_available():
        with pytest.raises(DeepInsideError, match="cuda"):
            classifier.to("cuda")


def test_a_mean_image_of_another_size_is_refused():
    with pytest.raises(DeepInsideError, match="a mean image of 8 x 8 pixels"):
        Classifier(Flattened(), size=8, mean=torch.zeros(3, 4, 4))


def test_a_frozen_classifier_owns_a_copy_and_gives_its_fast_form_up_with_the_network():
    module = Flattened()
    classifier = Classifier(module, size=8, frozen=True)
    assert isinstance(classifier.fast, Snapshot)
    own = classifier.network
    assert classifier.fast is own
    assert own.model is not module
    assert torch.equal(own.model.head.weight, module.head.weight)
    assert own.model.head.weight.data_ptr() != module.head.weight.data_ptr()
    assert isinstance(classifier.freeze().fast, Snapshot)


def test_a_classifier_of_a_users_module_holds_that_module():
    module = Flattened()
    classifier = Classifier(module, size=8)
    assert classifier.network.model is module
    assert classifier.fast is classifier.network


def test_stages_are_found_anew_for_a_module_that_may_change():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(network, size=32)
    before, last = classifier.stages((64, 64)), classifier.last_layer()
    network[1] = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1))
    network.insert(2, nn.ReLU())
    assert classifier.stages((64, 64)) != before
    assert (last, classifier.last_layer()) == ("model.1", "model.2")


def test_the_last_layer_is_found_for_a_size_and_kept_for_a_frozen_network(monkeypatch):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(network, size=64, frozen=True)
    assert (classifier.last_layer(), classifier.last_layer((16, 16))) == ("model.1", "model.0")
    monkeypatch.setattr("deepinside.networks.classifier.last_layer", lambda *_: "found anew")
    assert (classifier.last_layer(), classifier.last_layer((16, 16))) == ("model.1", "model.0")
    assert classifier.around(Normalized(network, (0.0,) * 3, (1.0,) * 3)).last_layer() == "found anew"
    assert classifier.freeze().last_layer() == "found anew"


def test_around_another_network_everything_else_stays():
    classifier = Classifier(Flattened(), labels=["a", "b", "c", "d"], size=8, name="mine", frozen=True)
    other = classifier.around(Normalized(Flattened(), (0.0,) * 3, (1.0,) * 3))
    assert (other.labels, other.size, other.name) == (classifier.labels, (8, 8), "mine")
    assert other.digest() != classifier.digest()
    assert isinstance(classifier.fast, Snapshot)


def test_layers_have_the_names_of_the_module_that_was_given():
    assert [layer.name for layer in Classifier(Flattened(), size=8).layers()] == ["head"]
    assert Classifier(Flattened(), size=8).parameter_count == 3 * 8 * 8 * 4 + 4


MEAN = torch.tensor([0.1, 0.2, 0.3])


@pytest.mark.parametrize("size", [8, np.int64(8), torch.tensor(8), [8, 8], np.array([8, 8]), torch.tensor([8, 8])])
@pytest.mark.parametrize("mean", [(0.1, 0.2, 0.3), MEAN.numpy(), MEAN, MEAN[:, None, None]])
def test_sizes_and_means_of_numpy_and_pytorch(size, mean):
    classifier = Classifier(Flattened(), size=size, mean=mean, std=np.float32(2))
    assert classifier.size == (8, 8)
    assert classifier.network.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert classifier.network.std.flatten().tolist() == [2, 2, 2]


@pytest.mark.parametrize(("module", "channels"), [
    (nn.Conv2d(1, 4, 3), 1), (nn.Conv2d(3, 4, 3), 3), (nn.Conv2d(7, 4, 3), 7), (nn.Flatten(), 3),
    (nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), 1), (nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), 3),
    (nn.Sequential(nn.Flatten(), nn.Linear(640, 5)), 3), (nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(3, 8, 3)), 3),
])  # fmt: skip
def test_channels_are_those_of_the_first_layer_where_no_normalization_tells(module, channels):
    assert Classifier(module, size=8).channels == channels
    assert Classifier(module, size=8, mean=[0.5] * 4).channels == 4
    assert Classifier(module, size=8, std=[0.5]).channels == 1


def test_one_logit_is_a_sigmoid_and_several_are_what_is_asked_for():
    logits = torch.tensor([[-4.0], [1.0]])
    assert torch.equal(Classifier(Flattened()).posterior(logits), torch.sigmoid(logits))
    several = torch.tensor([-4.0, 1.0, 3.0])
    assert torch.equal(Classifier(Flattened()).posterior(several), several.softmax(0))
    assert torch.equal(Classifier(Flattened(), probabilities="sigmoid").posterior(several), torch.sigmoid(several))
    assert Classifier(Flattened(), probabilities="softmax").link(1) == "softmax"


def test_a_network_that_is_elsewhere_has_its_photos_there():
    elsewhere = Classifier(Flattened().to("meta"), size=8)
    assert elsewhere.device == elsewhere.network.mean.device == torch.device("meta")
    moved = Classifier(module := Flattened(), size=8)
    module.to("meta")  # by its owner, later
    assert moved.device == torch.device("meta")


def test_labels_are_whatever_names_the_classes(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for labels in (["cat", "dog"], {"dog": 1, "cat": 0}, {1: "dog", 0: "cat"}, tmp_path / "names.txt"):
        assert [Classifier(Flattened(2), labels=labels).labels.name(index) for index in (0, 1)] == ["cat", "dog"]


def test_stages_and_layers_are_found_with_the_channels_of_the_network():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(network, size=32)
    assert [layer.name for layer in classifier.layers()] == ["0", "1", "2", "3"]
    assert classifier.stages((64, 64)).last == "model.1"
    assert classifier.last_layer() == "model.1"


def test_labels_of_another_number_of_classes_are_refused_and_none_are_not():
    with pytest.raises(DeepInsideError, match=r"as the network has classes \(4\), got 2"):
        Classifier(Flattened(), labels=["a", "b"]).check_labels(4)
    Classifier(Flattened(), labels=["a", "b"]).check_labels(2)
    Classifier(Flattened()).check_labels(4)


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        (["cat", "dog"], ["cat", "dog"], True),
        (["cat", "dog"], ["dog", "cat"], False),
        (["cat", "dog"], ["cat"], False),
        (["cat", "dog"], ["cat", "cup"], False),
        (["cat, house cat", "dog"], ["house cat", "dog"], True),
        ([], ["cat", "dog"], True),
        (["cat", "dog"], [], True),
    ],
)
def test_classes_are_the_same_where_every_one_has_a_name_in_common(mine, theirs, same):
    one, other = (Classifier(nn.Linear(3, 2), labels=names, name=name) for names, name in ((mine, "a"), (theirs, "b")))
    with nullcontext() if same else pytest.raises(DeepInsideError, match="expected the classes of a, but b has others"):
        one.check_same_classes(other)


def test_a_frozen_network_may_be_called_without_being_changed():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))
    classifier = Classifier(module, size=8, frozen=True)
    before, image = classifier.digest(), torch.rand(1, 3, 8, 8)
    assert torch.equal(classifier.network(image), classifier.network(image))
    assert classifier.digest() == before
    assert not any(each.training for each in classifier.network.modules())
    assert module.training, "the user's own stays as it is"
