"""The photos that a picture is drawn to: those with the highest scores, as a slow loop finds them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepinside import Classifier, DeepInsideError
from deepinside.class_images.references import best_photos, in_view, listed_photos
from deepinside.gradients.targets import Neuron
from helpers import noise_photos


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return Classifier(network.eval(), labels=list("abc"), size=(10, 12), name="small")


@pytest.fixture
def photos(tmp_path):
    return noise_photos(tmp_path, 7)


def test_photos_are_ranked_by_the_score_of_each_target(classifier, photos):
    neuron = Neuron("model.0", 1, at="mean")
    found = best_photos(classifier, [2, neuron], photos, most=3)
    with torch.no_grad():
        views = torch.cat([in_view(classifier, [path]) for path in photos])
        of_class = classifier.network(views)[:, 2]
        of_neuron = neuron(classifier.network.model[0](views))
    for own, scores in zip(found, (of_class, of_neuron), strict=True):
        ranked = scores.argsort(descending=True)[:3]
        assert own == [photos[at] for at in ranked if scores.max() <= 0 or scores[at] >= scores.max() / 2]
    assert {len(own) for own in found} == {1, 3}, "photos of both kinds, or the test says nothing"


@pytest.mark.parametrize(("scores", "taken"), [
    ([1.0, 8.0, 4.0, 3.9], [1, 2]),
    ([-1.0, -3.0], [0, 1]),
    ([5.0, 5.0, 5.0, 5.0], [0, 1, 2]),
])  # fmt: skip
def test_photos_that_show_something_else_are_left_out(monkeypatch, classifier, photos, scores, taken):
    score_of = dict(zip(photos, scores, strict=False))
    monkeypatch.setattr("deepinside.class_images.references._scores", lambda _, targets, photo: [score_of[photo]])
    (found,) = best_photos(classifier, [0], photos[: len(scores)], most=3)
    assert found == [photos[at] for at in taken]


def test_the_middle_of_a_photo_is_seen_undistorted(classifier):
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, 8:32] = 255  # as wide as the network's proportions allow
    assert in_view(classifier, [pixels]).min() > 0.9, "black is out of view"


def test_photos_are_those_of_a_folder_one_or_some(photos, tmp_path):
    image = Image.new("RGB", (4, 4))
    assert listed_photos(tmp_path) == listed_photos(str(tmp_path)) == photos
    assert listed_photos(photos[1]) == [photos[1]]
    assert listed_photos(image) == [image]
    assert [len(listed_photos(kind(np.ones((2, 3, 4, 4))[0]))) for kind in (np.array, torch.tensor)] == [1, 1]
    assert [len(listed_photos(kind(np.ones((2, 3, 4, 4))))) for kind in (np.array, torch.tensor)] == [2, 2]
    assert listed_photos(path for path in photos) == photos
    assert listed_photos(()) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeepInsideError, match="with photos"):
        listed_photos(tmp_path / "empty")


def test_a_view_has_the_size_of_the_image(classifier, photos):
    assert in_view(classifier, photos[:2]).shape == (2, 3, 10, 12)
    assert in_view(classifier, photos[:2], (8, 6)).shape == (2, 3, 8, 6)


def test_mistakes_are_named(classifier, photos, tmp_path):
    with pytest.raises(DeepInsideError, match="expected a classifier"):
        best_photos(classifier.network, [0], photos)
    (tmp_path / "broken.jpg").write_text("no photo")
    with pytest.raises(DeepInsideError, match="broken"):
        best_photos(classifier, [0], [*photos, tmp_path / "broken.jpg"])
