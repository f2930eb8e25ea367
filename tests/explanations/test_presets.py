"""The table of localizers, and that a third one works everywhere by entering it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import as_photo
from deepinside.cut.graphcut import CutOptions
from deepinside.explanations import presets
from deepinside.explanations.by_color import Paper
from deepinside.explanations.by_features import Best
from deepinside.explanations.by_method import ByMethod
from deepinside.explanations.compare import compare
from deepinside.explanations.explain import explain, explain_each
from deepinside.explanations.localizer import Localizer
from deepinside.explanations.presets import DEFAULT, PRESETS, localizer_of, name_of, with_maps_of
from deepinside.explanations.sheets import compare_sheet, localization_sheet
from third_localizer import Bright


def test_presets_by_name():
    assert localizer_of("paper") is PRESETS["paper"]
    assert localizer_of(Paper(rule="guided")) == Paper(rule="guided")
    assert DEFAULT in PRESETS
    assert localizer_of("layercam") == ByMethod("layercam")
    with pytest.raises(DeepInsideError, match="did you mean paper"):
        localizer_of("papr")


def test_localizers_are_called_by_their_preset_or_by_what_differs_from_it():
    assert name_of(Best()) == "best"
    assert name_of(Best(objects=1, closer=0)) == "Best(closer=0, objects=1)"
    assert name_of(Paper(rule="guided", layer="7")) == "Paper(layer='7', rule='guided')"
    assert name_of(Paper(cut=CutOptions(components=3))).startswith("Paper(cut=CutOptions(components=3")
    assert name_of(Bright()) == "Bright()"
    assert name_of(ByMethod("gradcam")) == "gradcam"
    assert name_of(ByMethod("gradcam", "7")) == "ByMethod(method='gradcam', layer='7')"


def test_only_the_papers_maps_can_be_taken_elsewhere():
    assert with_maps_of("paper", "3", "guided") == Paper(layer="3", rule="guided")
    assert with_maps_of("best", None, "gradient") is PRESETS["best"]
    assert with_maps_of("gradcam", "3", "gradient") == ByMethod("gradcam", "3")
    with pytest.raises(
        DeepInsideError, match="expected no layer for smoothgrad, got '3'; gradcam and layercam take one"
    ):
        with_maps_of("smoothgrad", "3", "gradient")
    with pytest.raises(DeepInsideError, match="preset 'paper'"):
        with_maps_of("gradcam", None, "guided")
    for layer, rule in (("3", "gradient"), (None, "guided")):
        with pytest.raises(DeepInsideError, match="preset 'paper'"):
            with_maps_of("best", layer, rule)


@pytest.fixture
def third(monkeypatch):
    monkeypatch.setattr(presets, "PRESETS", {**PRESETS, "bright": Bright()})
    monkeypatch.setattr("deepinside.explanations.compare.PRESETS", presets.PRESETS)
    return "bright"


@pytest.fixture
def scene():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8))


def test_a_third_localizer_explains_and_has_sheets(colors, scene, third):
    assert isinstance(Bright(), Localizer)
    by_name, by_object = explain(colors, scene, "red", preset=third), explain(colors, scene, "red", preset=Bright())
    assert by_name.preset == by_object.preset == "bright"
    left, right = by_name.objects
    assert left.index == right.index == 0
    assert 20 < left.box.x1 <= right.box.x0 < 28
    assert [found.box for found in by_object.objects] == [left.box, right.box]
    photo = as_photo(scene)
    localization_sheet(photo, by_name)


def test_a_third_localizer_is_compared(colors, scene, third):
    photo = as_photo(scene)
    seen = compare(colors, photo, "red")
    assert list(seen.presets) == ["best", "paper", "bright"]
    figure = compare_sheet(photo, seen.rules, seen.presets)
    titles = {text for axes in figure.axes for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel())}
    assert any("bright" in text for text in titles)


def test_a_third_localizer_runs_over_files(colors, scene, third, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        scene.rotate(90 * number, expand=True).save(path)
    outcomes = list(explain_each(colors, paths, "red", preset=third))
    for outcome in outcomes:
        alone = explain(colors, outcome.path, "red", preset=replace(Bright()))
        assert [found.box for found in outcome.explanation.objects] == [found.box for found in alone.objects]
        assert torch.allclose(*(torch.from_numpy(e.objects[0].map) for e in (outcome.explanation, alone)), rtol=1e-4)
