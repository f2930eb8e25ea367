"""Recipes: what the presets say, and that they can be changed."""

import pytest
import torch
from torch import Generator

from deepinside import DeepInsideError
from deepinside.class_images.recipes import CANONICAL, PAPER, adjusted, preset
from deepinside.class_images.transforms import apply_transforms


def test_canonical_sees_coarse_views_first():
    coarse, fine = (CANONICAL.transforms((224, 224), progress)[0].sizes for progress in (0.0, 0.9))
    assert max(coarse) < min(fine)
    assert (224, 224) in fine


def test_views_are_drawn_anew_at_each_step():
    generator = Generator().manual_seed(0)
    images = torch.rand(1, 3, 16, 16)
    one, two = (apply_transforms(images, CANONICAL.transforms((16, 16), 0.0)[1:], generator) for _ in range(2))
    assert not torch.equal(one, two)


def test_settings_replace_those_of_a_preset():
    assert adjusted("paper", None, None) == PAPER
    changed = adjusted("canonical", 7, True)
    assert (changed.steps, changed.posterior, changed.transforms) == (7, True, CANONICAL.transforms)


def test_an_unknown_preset_is_named():
    with pytest.raises(DeepInsideError, match="did you mean paper"):
        preset("papre")
