"""Why this class and not that: against the closed form behind global pooling, colors in halves, and by itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepinside import Classifier, DeepInsideError
from deepinside.core.images import as_photo
from deepinside.core.labels import Labels
from deepinside.explanations.contrast import contrast
from deepinside.explanations.explain import explain


@pytest.fixture
def pooled():
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return Classifier(network, labels=list("abcd"), size=32)


def test_the_places_add_up_to_the_difference_but_for_the_biases(pooled):
    photo = np.random.default_rng(0).random((40, 50, 3))
    seen = contrast(pooled, photo, "c", "a")
    bias = pooled.network.model[6].bias.detach()
    total = seen.first.saliency.map.sum() - seen.second.saliency.map.sum()
    assert total == pytest.approx(seen.difference - float(bias[2] - bias[0]), abs=1e-5)
    assert not (seen.first.saliency.map * seen.second.saliency.map).any(), "a place speaks for one of them"


def test_the_other_way_round_it_is_the_same(pooled):
    photo = np.random.default_rng(1).random((40, 50, 3))
    one, other = contrast(pooled, photo, "c", "a"), contrast(pooled, photo, "a", "c")
    np.testing.assert_allclose(one.first.saliency.map, other.second.saliency.map, atol=1e-6)
    assert one.difference == pytest.approx(-other.difference)


def test_each_color_speaks_for_its_class(colors):
    pixels = np.zeros((32, 48, 3), dtype=np.uint8)
    pixels[:, :24, 0] = 255
    pixels[:, 24:, 2] = 255
    seen = contrast(colors, pixels, "red", "blue")
    for side, left in ((seen.first, True), (seen.second, False)):
        map = side.saliency.frame.map_to_photo(side.saliency.map)
        assert (map[:, :24] if left else map[:, 24:]).sum() > 0.95 * map.sum()


def test_scores_and_objects_are_those_of_explain(pooled):
    photo = as_photo(np.random.default_rng(2).random((40, 50, 3)))
    seen, expected = contrast(pooled, photo, 1, "d"), explain(pooled, photo, [1, 3])
    for side, objects in zip((seen.first, seen.second), expected.by_class, strict=True):
        assert (side.label, side.score, side.probability) == (
            objects[0].label, objects[0].score, objects[0].probability,
        )  # fmt: skip
        assert [each.box for each in side.objects] == [each.box for each in objects]
    assert seen.predictions == expected.predictions


def test_without_a_second_class_it_is_the_likeliest_other(pooled):
    photo = np.random.default_rng(3).random((40, 50, 3))
    likeliest, second = (each.label for each in explain(pooled, photo, boxes=False).predictions[:2])
    assert contrast(pooled, photo, likeliest).labels == (likeliest, second)
    assert contrast(pooled, photo, second).labels == (second, likeliest)


class Tokens(nn.Module):
    """Scores are read of the first token of the last block, of which no other token reaches them."""

    def __init__(self):
        super().__init__()
        self.cut = nn.Conv2d(3, 8, 8, stride=8)
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)])
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        tokens = self.cut(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0])


def test_where_only_one_token_is_read_the_map_is_of_a_layer_before():
    torch.manual_seed(0)
    classifier = Classifier(Tokens().eval(), labels=list("abcd"), size=48)
    seen = contrast(classifier, np.random.default_rng(0).random((48, 48, 3)), "a", "b")
    both = seen.first.saliency.map + seen.second.saliency.map
    assert (both > 0).mean() > 0.9, "the last block's other tokens have no gradient at all"
    assert seen.first.saliency.map.shape == (6, 6)


def test_where_the_gradient_is_uneven_a_place_counts_by_what_it_has_beside_all_others():
    """Against autograd and the formula, with a large activation that all places share."""
    torch.manual_seed(0)
    network = Tokens().eval()
    network.cut.weight.data *= 10
    network.blocks[0].norm2.bias.data += 5
    classifier = Classifier(network, labels=list("abcd"), size=48)
    photo = as_photo(np.random.default_rng(0).random((48, 48, 3)))
    _, image = classifier.whole(photo)
    tokens = network.cut(image).flatten(2).transpose(1, 2)
    tokens = network.blocks[0](torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)).detach().requires_grad_()
    logits = network.head(network.blocks[1](tokens)[:, 0])[0]
    (gradient,) = torch.autograd.grad(logits[0] - logits[1], tokens)
    places, slopes = tokens[0, 1:].detach(), gradient[0, 1:]
    expected = ((places - places.mean(dim=0)) * slopes).sum(dim=1).reshape(6, 6).numpy()
    seen = contrast(classifier, photo, "a", "b")
    found = seen.first.saliency.map - seen.second.saliency.map
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_it_shows_itself_in_a_notebook(pooled, tmp_path):
    pixels = np.random.default_rng(4).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pooled.labels = Labels((("<script>",), ("b",), ("c",), ("d",)))
    seen = contrast(pooled, tmp_path / "a.png", 0, "b")
    shown = seen._repr_html_()
    assert "&lt;script&gt; against b" in shown
    assert "<script>" not in shown
    assert shown.count("<img ") == 4
    assert "without its photo" not in shown
    assert len(repr(seen).splitlines()) == 3
    assert [axes.get_ylabel().splitlines()[0] for axes in seen.figure().axes[::2]] == ["<script>", "b"]
    assert "without its photo" in replace(seen, photo=None)._repr_html_()


def test_a_file_is_found_again_from_another_folder(pooled, tmp_path, monkeypatch):
    Image.fromarray(np.random.default_rng(4).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    seen = contrast(pooled, "a.png", 0)
    monkeypatch.chdir("/")
    assert "without its photo" not in seen._repr_html_()


def test_mistakes_are_named(pooled, unchecked):
    photo = np.random.default_rng(3).random((40, 50, 3))
    with pytest.raises(DeepInsideError, match="expected two classes, got a twice"):
        contrast(pooled, photo, "a", 0)
    with pytest.raises(DeepInsideError, match="expected a class name"):
        contrast(pooled, photo, "a", "e")
    with pytest.raises(DeepInsideError, match="expected a Classifier, got Normalized"):
        contrast(pooled.network, photo, 0)
    alone = Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1)), labels=["a"], size=32)
    with pytest.raises(DeepInsideError, match="two classes at least"):
        contrast(alone, photo, "a")
