"""Every panel is about one class, and nothing is computed that no panel shows."""

import numpy as np
import pytest

from deepinside.core.images import as_photo, read
from deepinside.explanations import compare as module
from deepinside.explanations.compare import compare
from deepinside.explanations.explain import explain
from deepinside.explanations.reconstruct import reconstruct
from deepinside.gradients.targets import Neuron
from third_localizer import Bright


@pytest.mark.parametrize("target", [None, "tabby", 282])
def test_all_panels_are_about_one_class(lite0, photos, target):
    photo = read(photos / "cat.jpg")
    seen = compare(lite0, photo, target)
    expected, *_ = explain(lite0, photo, target, top=1).objects
    assert list(seen.presets) == ["best", "paper"]
    assert {found.index for objects in seen.presets.values() for found in objects} == {expected.index}
    assert {each.target for each in seen.rules.values()} == {expected.label}
    assert np.array_equal(seen.presets["best"][0].map, expected.map)
    guided = reconstruct(lite0, photo, expected.index, rule="guided")
    assert np.array_equal(seen.rules["guided"].gradient, guided.gradient)


def test_all_objects_of_a_class_are_there_or_the_surest_alone(colors, monkeypatch):
    monkeypatch.setattr(module, "PRESETS", {**module.PRESETS, "bright": Bright()})
    monkeypatch.setattr("deepinside.explanations.presets.PRESETS", module.PRESETS)
    photo = as_photo(np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8))
    every, one = (compare(colors, photo, "red", objects=objects).presets["bright"] for objects in ("all", "one"))
    left, right = every
    assert left.box.x1 <= right.box.x0
    assert [each.box for each in one] == [left.box]


def test_of_a_neuron_no_preset_is_asked(lite0, photos, monkeypatch):
    monkeypatch.setattr(module, "explain", None)
    seen = compare(lite0, read(photos / "cat.jpg"), Neuron("blocks.2.1", 7))
    assert seen.presets == {}
    assert set(seen.rules) == {"gradient", "deconvnet", "guided"}
