"""Scores of neurons against indexing by hand; every way to write one; and what is refused."""

import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.saliency import saliency
from deepinside.gradients.targets import At, Neuron, read_neuron, scores_of

MAPS = torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(0))


def test_neuron_of_maps():
    assert torch.equal(Neuron("a", 2, at=(4, 6))(MAPS), MAPS[:, 2, 4, 6])
    assert torch.equal(Neuron("a", 2)(MAPS), torch.stack([map[2].max() for map in MAPS]))
    assert torch.allclose(Neuron("a", 2, at="mean")(MAPS), MAPS[:, 2].mean((1, 2)))


def test_neuron_of_a_vector_has_no_place():
    vectors = torch.randn(3, 5)
    for at in ("mean", "max", (0, 0)):
        assert torch.equal(Neuron("a", 4, at)(vectors), vectors[:, 4])


def test_neuron_of_tokens_leaves_the_prefix_out():
    tokens = torch.randn(3, 2 + 36, 5)
    tokens[:, :2] = 1e6
    assert torch.equal(Neuron("a", 1, at=(2, 3))(tokens), tokens[:, 2 + 2 * 6 + 3, 1])
    assert torch.equal(Neuron("a", 1)(tokens), tokens[:, 2:, 1].max(1).values)
    assert torch.allclose(Neuron("a", 1, at="mean")(tokens), tokens[:, 2:, 1].mean(1))


def test_tokens_that_are_no_grid_still_have_a_maximum():
    tokens = torch.randn(3, 11, 5)
    assert torch.equal(Neuron("a", 1)(tokens), tokens[:, :, 1].max(1).values)
    with pytest.raises(DeepInsideError, match="with a grid"):
        Neuron("a", 1, at=(0, 0))(tokens)


@pytest.mark.parametrize(("neuron", "message"), [
    (Neuron("a", 5), "channels from 0 to 4.*got 5"), (Neuron("a", -1), "got -1"),
    (Neuron("a", 0, at=(6, 0)), "rows from 0 to 5"), (Neuron("a", 0, at=(0, 7)), "columns from 0 to 6"),
])  # fmt: skip
def test_neurons_that_are_not_there_are_named(neuron, message):
    with pytest.raises(DeepInsideError, match=message):
        neuron(MAPS)


@pytest.mark.parametrize(("text", "neuron"), [
    ("features.3:12", Neuron("features.3", 12)), ("a:0@3,5", Neuron("a", 0, at=(3, 5))),
    ("a:7@mean", Neuron("a", 7, at="mean")), ("a:7@max", Neuron("a", 7)),
])  # fmt: skip
def test_written_neurons(text, neuron):
    assert read_neuron(text) == neuron
    assert read_neuron(str(neuron)) == neuron


def test_a_command_may_have_another_default_place():
    assert read_neuron("a:1", at="mean") == Neuron("a", 1, at="mean")


@pytest.mark.parametrize("text", ["a", "a:", "a:b", ":3", "a:1@2", "a:1@x,y", "a:-1"])
def test_what_is_no_neuron_is_refused(text):
    with pytest.raises(DeepInsideError, match="LAYER:CHANNEL"):
        read_neuron(text)


def test_any_function_of_a_layer_is_a_score():
    energy = At("a", lambda activation: activation.square().flatten(1).sum(1))
    assert energy.layer == "a"
    assert torch.allclose(scores_of(energy, MAPS, 3), MAPS.pow(2).sum((1, 2, 3)))


@pytest.mark.parametrize(("score", "message"), [
    (lambda x: x.sum(), r"for each of 3 images, got \(\)"), (lambda x: x[:, 0], r"got \(3, 6, 7\)"),
    (lambda x: 1.0, "got float"), (lambda x: x[:, 0, 0, 0] / 0, "finite"),
])  # fmt: skip
def test_scores_that_are_none_are_named(unchecked, score, message):
    with pytest.raises(DeepInsideError, match=message):
        scores_of(score, MAPS, 3)


def test_a_grid_of_tokens_lies_by_the_images_proportions():
    """144 tokens are 12 x 12 in a square image and 8 x 18 in one of 64 x 144 pixels."""
    tokens = torch.arange(144.0).reshape(1, 144, 1)
    assert Neuron("blocks", 0, at=(7, 17))(tokens, (64, 144)).item() == 7 * 18 + 17
    assert Neuron("blocks", 0, at=(7, 11))(tokens).item() == 7 * 12 + 11
    with pytest.raises(DeepInsideError, match="columns from 0 to 11"):
        Neuron("blocks", 0, at=(7, 17))(tokens)


def test_a_neuron_in_the_tokens_of_a_wide_image_is_found_by_saliency():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Conv2d(3, 2, 8, stride=8)
            self.tokens = nn.Identity()

        def forward(self, images):
            return self.tokens(self.blocks(images).flatten(2).transpose(1, 2)).mean(1)

    torch.manual_seed(0)
    map = saliency(Tokens(), torch.rand(1, 3, 64, 144), Neuron("tokens", 1, at=(2, 16)))[0]
    assert map[16:24, 128:136].min() > 0
    assert map.count_nonzero() == 64


@pytest.mark.parametrize("at", ["maximum", "", (1,), (1, 2, 3), (1.5, 2)])
def test_positions_that_are_none_are_refused(unchecked, at):
    with pytest.raises(DeepInsideError, match="expected a position"):
        Neuron("features", 1, at=at)
