"""Lucent, the peer: its pictures are kept as ours are, and it leaves no trace."""

import pytest
import torch

from deepinside.class_images.drawn import Settings, read_drawn
from deepinside.evaluation.lucent import drawn_by_lucent, lucent_images
from helpers import painter


def test_lucents_pictures_say_how_they_were_made_and_are_kept(tmp_path, monkeypatch):
    """With Lucent replaced, since what it draws is not the question here."""
    asked = []

    def images(model, classes, steps, seed):
        asked.append((list(classes), steps, seed))
        return torch.full((len(classes), 3, 6, 6), 0.5)

    monkeypatch.setattr("deepinside.evaluation.lucent.lucent_images", images)
    for _ in range(2):
        list(drawn_by_lucent(painter(), [0, 3], tmp_path, Settings(steps=4, seed=1)))
    assert asked == [([0, 3], 4, 1)], "the second run keeps the pictures of the first"
    drawn = read_drawn(tmp_path / "0003-dark.png")
    assert (drawn.name, drawn.index, drawn.provenance.preset, drawn.provenance.seed) == ("dark", 3, "lucent", 1)
    assert drawn.score == pytest.approx(0.45 - 128 / 255, abs=1e-4)


def test_lucent_draws_on_a_copy_with_its_own_randomness(tmp_path):
    pytest.importorskip("lucent")
    model = painter(size=24)
    state = torch.get_rng_state()
    first, again = (lucent_images(model, [0, 2], steps=2, seed=1) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (2, 3, 24, 24)
    assert not any(module._forward_hooks for module in model.network.modules())
