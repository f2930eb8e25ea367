"""The table of localizers, and that a third one works everywhere by entering it."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image

import deepinside as di
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import as_photo
from deepinside.cut.continuity import Continuity
from deepinside.cut.graphcut import CutOptions
from deepinside.cut.outline import OutlineOptions
from deepinside.explanations import presets
from deepinside.explanations.by_color import Paper
from deepinside.explanations.by_features import Best
from deepinside.explanations.by_method import ByMethod
from deepinside.explanations.compare import compare
from deepinside.explanations.explain import explain, explain_each
from deepinside.explanations.localizer import Localizer
from deepinside.explanations.presets import (
    DEFAULT,
    OTHERS,
    PRESETS,
    PUBLIC,
    constants_of,
    for_seeing,
    imports_of,
    localizer_of,
    name_of,
    preset_of,
    python_of,
    with_constants,
    with_maps_of,
)
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
    assert name_of(Paper(cut=CutOptions(components=3))) == "Paper(cut=CutOptions(components=3))"
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


CHANGED = {  # a localizer -> its preset, and what it takes to make it of the preset
    Best(): ("best", {}),
    Best(outline=OutlineOptions(smoothness=40.0), continuity=Continuity(level=1.2), scales=(1.0,), objects=1): (
        "best",
        {"outline.smoothness": 40, "continuity.level": 1.2, "scales": (1,), "objects": 1},
    ),
    Paper(foreground_quantile=0.9, cut=CutOptions(smoothness=80.0), rule="guided", layer="features.3"): (
        "paper",
        {"foreground_quantile": 0.9, "cut.smoothness": 80, "rule": "guided", "layer": "features.3"},
    ),
    ByMethod("smoothgrad"): ("smoothgrad", {}),
    ByMethod("gradcam", "7", Paper(foreground_quantile=0.9, cut=CutOptions(smoothness=80.0))): (
        "gradcam",
        {"layer": "7", "cut.foreground_quantile": 0.9, "cut.cut.smoothness": 80},
    ),
}


@pytest.mark.parametrize("localizer", CHANGED, ids=name_of)
def test_constants_lead_from_a_preset_to_a_localizer_and_back(localizer):
    preset, constants = CHANGED[localizer]
    assert preset_of(localizer) == preset
    assert with_constants(preset, constants) == with_constants(localizer_of(preset), constants) == localizer
    found = constants_of(localizer)
    assert found == constants
    assert with_constants(preset, found) == localizer
    assert repr(with_constants(preset, {name: str(value) for name, value in found.items()})) == repr(localizer)


@pytest.mark.parametrize("localizer", CHANGED, ids=name_of)
def test_the_python_of_a_localizer_builds_it(localizer):
    known = {}
    exec("\n".join(imports_of(localizer)), known)
    assert localizer_of(eval(python_of(localizer), known)) == localizer


def test_presets_are_written_as_their_names_and_others_with_what_differs():
    assert [python_of(localizer) for localizer in {**PRESETS, **OTHERS}.values()] == [
        f'"{name}"' for name in {**PRESETS, **OTHERS}
    ]
    found = Paper(cut=CutOptions(smoothness=80.0))
    assert python_of(found) == "di.Paper(cut=CutOptions(smoothness=80.0))"
    assert imports_of(found) == ["import deepinside as di", "from deepinside.cut.graphcut import CutOptions"]
    for kind in (Best, Paper, ByMethod, OutlineOptions, Continuity, CutOptions):
        assert (kind in PUBLIC) == (kind.__name__ in di.__all__)


@pytest.mark.parametrize(("preset", "constants", "message"), [
    ("best", {"outline.smothness": 40}, "a constant of best, got 'outline.smothness'; did you mean outline.smooth"),
    ("best", {"smoothness": 40}, "did you mean outline.smoothness"),
    ("best", {"outline": 40}, "did you mean outline."),
    ("best", {"outline.smoothness": -1}, "OutlineOptions: expected smoothness to be 0 or more, got -1.0"),
    ("best", {"continuity.temperature": 0}, "Continuity: expected temperature to be 0.02 or more, got 0.0"),
    ("best", {"continuity.side": 2}, "Continuity: expected side to be between 0 and 1"),
    ("best", {"scales": ""}, "expected at least one of scales"),
    ("best", {"scales": "1,0"}, "Best: expected scales to be above 0 and at most 16, got 0.0"),
    ("best", {"objects": 0}, "Best: expected objects to be 1 or more, got 0"),
    ("best", {"likely": "1.5"}, "Best: expected likely to be between 0 and 1"),
    ("best", {"layer": "3"}, "expected preset 'paper' for a layer or a rule of one's own, got 'best'"),
    ("gradcam", {"rule": "guided"}, "expected preset 'paper' for a layer or a rule of one's own, got 'gradcam'"),
    ("smoothgrad", {"layer": "3"}, "expected no layer for smoothgrad, got '3'"),
    ("gradcam", {"cut.rule": "guided"}, "expected the cut of gradcam without layer, rule or enlarge"),
    ("gradcam", {"method": "layercam"}, "expected a constant of gradcam, got 'method'"),
    ("paper", {"rule": "guidde"}, "did you mean guided"),
    ("paper", {"foreground_quantile": 1.2}, "Paper: expected foreground_quantile to be between 0 and 1, got 1.2"),
    ("paper", {"foreground_quantile": "nan"}, "expected foreground_quantile to be a finite number, got 'nan'"),
    ("paper", {"foreground_quantile": 0.2}, "background_quantile to be at most foreground_quantile, got 0.3 and 0.2"),
    ("paper", {"background_clamp": 1}, "background_clamp to be at most foreground_clamp, got 1.0 and 0.995"),
    ("paper", {"enlarge": 0.5}, "Paper: expected enlarge to be between 1 and 16, got 0.5"),
    ("paper", {"cut.components": "2.5"}, "expected cut.components to be a whole number"),
    ("paper", {"cut.uniform": 2}, "CutOptions: expected uniform to be between 0 and 1, got 2.0"),
    ("paprr", {}, "did you mean paper"),
])  # fmt: skip
def test_constants_that_cannot_be_are_told_in_one_line(preset, constants, message):
    with pytest.raises(DeepInsideError) as error:
        with_constants(preset, constants)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_layer_by_name_is_that_of_with_maps_of():
    assert with_constants("paper", {"layer": "3", "rule": "guided"}) == with_maps_of("paper", "3", "guided")
    assert with_constants("gradcam", {"layer": "3"}) == with_maps_of("gradcam", "3", "gradient")
    assert with_constants(Paper(layer="3"), {"layer": ""}) == Paper()


def test_a_third_localizer_has_constants_once_it_is_a_preset(third):
    guided = Bright(Paper(rule="guided"))
    assert constants_of(guided) == {"paper.rule": "guided"}
    assert with_constants("bright", {"paper.rule": "guided"}) == guided
    assert python_of(guided) == "Bright(paper=di.Paper(rule='guided'))"
    assert imports_of(guided) == ["import deepinside as di", "from third_localizer import Bright"]


SEEN = {  # a localizer -> another value of each of its fields
    Best(): {
        "scales": (1.0,), "closer": 0, "margin": 0.1, "filled": 0.5, "doubt": 1.5, "objects": 1, "likely": 0.5,
        "finer": 1.0, "persistence": 0.3, "least": 0.1, "surer": 0.2, "overlap": 0.1, "agree": 0.5, "resolution": 16,
        "continuity": Continuity(level=1.2), "outline": OutlineOptions(smoothness=0.0, prior=0.1, band=0.4),
    },
    Paper(): {
        "layer": "features", "rule": "guided", "enlarge": 1.5, "foreground_quantile": 0.7, "background_quantile": 0.1,
        "foreground_clamp": 0.97, "background_clamp": 0.1, "cut": CutOptions(smoothness=0.0, components=2),
    },
    ByMethod("gradcam"): {
        "method": "layercam", "layer": "features",
        "cut": Paper(foreground_quantile=0.7, cut=CutOptions(smoothness=0.0)),
    },
}  # fmt: skip
VALUES = [(localizer, name) for localizer, values in SEEN.items() for name in values]


def looked(classifier, localizer, photo):
    """All arrays of what a localizer sees of two classes, whatever holds them."""
    (seen,) = localizer.see(classifier, [localizer.views(classifier, photo)], [lambda logits: [0, 2]])
    parts = [seen.logits.numpy(), *seen.maps]
    for leads in getattr(seen, "leads", ()):
        for lead in leads:
            parts += [np.array(lead.box.as_tuple()), np.array(lead.confidence), *lead.glance.maps]
    return [(each.shape, each.tobytes()) for each in parts]


@pytest.mark.parametrize("localizer", SEEN, ids=name_of)
def test_every_field_has_another_value_here(localizer):
    assert {field.name for field in fields(localizer)} == SEEN[localizer].keys()
    assert set(localizer.SEGMENTING) <= SEEN[localizer].keys()


@pytest.mark.parametrize(
    ("localizer", "name"), VALUES, ids=lambda each: each if isinstance(each, str) else name_of(each)
)
def test_what_segmenting_alone_reads_leaves_what_is_seen_and_nothing_else_is_reset(colors, scene, localizer, name):
    changed = replace(localizer, **{name: SEEN[localizer][name]})
    assert changed != localizer
    if name not in localizer.SEGMENTING:
        assert for_seeing(changed) == changed
        return
    assert for_seeing(changed) == localizer
    photo = as_photo(scene)
    assert looked(colors, changed, photo) == looked(colors, localizer, photo)


@pytest.mark.parametrize("localizer", SEEN, ids=name_of)
def test_all_that_segmenting_reads_is_reset_at_once(localizer):
    values = SEEN[localizer]
    segmenting = {name: values[name] for name in localizer.SEGMENTING}
    seeing = {name: value for name, value in values.items() if name not in segmenting}
    assert for_seeing(replace(localizer, **values)) == replace(localizer, **seeing)
    assert for_seeing(replace(localizer, **segmenting)) == localizer


def test_a_localizer_that_says_nothing_of_it_stays_as_it_is():
    bright = Bright()
    assert for_seeing(bright) is bright


def test_a_localizer_without_a_preset_or_without_constants_is_told(unchecked):
    with pytest.raises(DeepInsideError, match=r"of the kind of a preset \(best, paper, .*\), got Bright"):
        constants_of(Bright())
    with pytest.raises(DeepInsideError, match="expected a dataclass with constants, got object"):
        with_constants(object(), {"a": 1})


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
