"""Every panel is about one class, and nothing is computed that no panel shows."""

import numpy as np
import pytest

from deepinside.core.images import read
from deepinside.explanations import compare as module
from deepinside.explanations.compare import compare
from deepinside.explanations.explain import explain
from deepinside.explanations.reconstruct import reconstruct
from deepinside.gradients.targets import Neuron


@pytest.mark.parametrize("target", [None, "tabby", 282])
def test_all_panels_are_about_one_class(lite0, photos, target):
    photo = read(photos / "cat.jpg")
    seen = compare(lite0, photo, target)
    expected = explain(lite0, photo, target, top=1).objects[0]
    assert list(seen.presets) == ["best", "paper"]
    assert {found.index for found in seen.presets.values()} == {expected.index}
    assert {each.target for each in seen.rules.values()} == {expected.label}
    assert np.array_equal(seen.presets["best"].map, expected.map)
    guided = reconstruct(lite0, photo, expected.index, rule="guided")
    assert np.array_equal(seen.rules["guided"].gradient, guided.gradient)


def test_of_a_neuron_no_preset_is_asked(lite0, photos, monkeypatch):
    monkeypatch.setattr(module, "explain", None)
    seen = compare(lite0, read(photos / "cat.jpg"), Neuron("blocks.2.1", 7))
    assert seen.presets == {}
    assert set(seen.rules) == {"gradient", "deconvnet", "guided"}
