"""What comes back to a photo, against the gradient by hand; the most exciting photos against looking at all."""

import re

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import find_photos, read, view
from deepinside.explanations import sheets
from deepinside.explanations.reconstruct import most_exciting, reconstruct, reconstruct_by_rules
from deepinside.gradients.rectifiers import RULES
from deepinside.gradients.saliency import gradient
from deepinside.gradients.targets import Neuron
from deepinside.networks.classifier import Classifier
from helpers import state_of


@pytest.fixture(scope="module")
def squeezed():
    torch.manual_seed(0)
    return Classifier(
        torchvision.models.squeezenet1_1(num_classes=10), labels=[f"class {k}" for k in range(10)], size=96
    )


def seen_by(classifier, photo, frame):
    return view(photo, frame, classifier.resample)


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_a_class_and_a_neuron_send_back_what_gradient_gives(squeezed, photos, rule):
    photo = read(photos / "cat.jpg")
    neuron = Neuron("features.6", 5, at=(2, 3))
    # Rectifiers that the signal passes: the stem's, three in each fire module before the layer, the classifier's.
    for target, wanted, calls in ((3, 3, 1 + 8 * 3 + 1), ("class 3", 3, 1 + 8 * 3 + 1), (neuron, neuron, 1 + 3 * 3)):
        seen = reconstruct(squeezed, photo, target, rule=rule)
        image = seen_by(squeezed, photo, seen.frame)
        expected = gradient(squeezed.network, image, wanted, rule=rule)[0]
        assert np.array_equal(seen.gradient, expected.numpy())
        assert np.array_equal(seen.map, expected.abs().amax(0).numpy())
        assert seen.rectifiers == ({} if rule == "gradient" else {"F.relu": calls})


def test_the_likeliest_class_is_the_default(squeezed, photos):
    photo = read(photos / "cat.jpg")
    seen = reconstruct(squeezed, photo, rule="gradient")
    logits = squeezed.network.eval()(seen_by(squeezed, photo, seen.frame))[0].detach()
    assert seen.target == f"class {int(logits.argmax())}"
    assert seen.score == pytest.approx(float(logits.max()), abs=1e-5)


def test_rectifiers_behind_the_neuron_are_not_counted(squeezed, photos):
    early = reconstruct(squeezed, photos / "cat.jpg", Neuron("features.3", 0))
    late = reconstruct(squeezed, photos / "cat.jpg", Neuron("features.12", 0))
    assert sum(early.rectifiers.values()) == 1 + 3  # the first convolution's, and three in a fire module
    assert sum(late.rectifiers.values()) == 1 + 8 * 3


def test_it_shows_itself(squeezed, photos):
    """In a notebook the photo, the gradient and the map; elsewhere a line, and a figure as the command draws it."""
    neuron = Neuron("features.6", 5)
    seen = reconstruct(squeezed, photos / "cat.jpg", neuron)
    shown = seen._repr_html_()
    assert shown.count("<img ") == 3
    assert re.findall("<figcaption><span[^>]*>([^<]*)", shown) == ["photo", RULES["deconvnet"].title, "saliency"]
    assert f"score {seen.score:.3f}" in shown
    path, model = photos / "cat.jpg", squeezed.name
    assert repr(seen) == f"Reconstruction of {neuron} in {path}, by {model}, rule deconvnet: score {seen.score:.3f}"
    sheet = sheets.rendered(sheets.neuron_sheet(read(photos / "cat.jpg"), seen, squeezed.name))
    assert sheets.rendered(seen.figure()).tobytes() == sheet.tobytes()


def test_a_photo_from_memory_is_kept_and_one_in_a_file_is_read_again(squeezed, tmp_path):
    image = Image.effect_noise((40, 30), 50).convert("RGB")
    assert "without its photo" not in reconstruct(squeezed, image, 3)._repr_html_()
    image.save(tmp_path / "a.png")
    seen = reconstruct(squeezed, tmp_path / "a.png", 3)
    (tmp_path / "a.png").unlink()
    assert "without its photo" in seen._repr_html_()
    with pytest.raises(DeepInsideError, match=re.escape("a.png")):
        seen.figure()


def test_the_field_is_what_the_neuron_can_see(squeezed, photos):
    photo = read(photos / "coffee.jpg")
    field = reconstruct(squeezed, photo, Neuron("features.0", 2, at=(10, 20)), rule="gradient").field
    # The first kernel is 3 wide at stride 2: pixels 40 to 43 across and 20 to 23 down, of 96.
    assert field.x0 == pytest.approx(40 / 96 * photo.width, abs=2)
    assert field.x1 == pytest.approx(43 / 96 * photo.width, abs=2)
    assert field.y0 == pytest.approx(20 / 96 * photo.height, abs=2)
    assert field.y1 == pytest.approx(23 / 96 * photo.height, abs=2)


def test_most_exciting_photos_are_those_of_the_strongest_activation(squeezed, photos, tmp_path):
    paths = [path for path, _ in find_photos([photos])]
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    neuron = Neuron("features.3", 7)
    found, failures = most_exciting(squeezed, [*paths, tmp_path / "broken.jpg"], neuron, count=3)
    every = sorted(((reconstruct(squeezed, path, neuron, rule="gradient").score, path) for path in paths), reverse=True)
    assert [path for _, path in found] == [path for _, path in every[:3]]
    assert [score for score, _ in found] == pytest.approx([score for score, _ in every[:3]], abs=1e-4)
    assert len(failures) == 1


def test_a_network_of_smooth_activations_gets_a_reason_in_place_of_a_map(photos):
    torch.manual_seed(0)
    classifier = Classifier(timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=5), size=224)
    before = state_of(classifier.network)
    rules = reconstruct_by_rules(classifier, read(photos / "cat.jpg"))
    assert rules["gradient"].map.max() > 0
    for rule in ("deconvnet", "guided"):
        assert isinstance(rules[rule], DeepInsideError)
        assert "gelu" in str(rules[rule])
    assert state_of(classifier.network) == before
