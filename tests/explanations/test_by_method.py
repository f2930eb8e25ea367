"""Localizers of the usual methods: the public functions on the whole photo, and the paper's cut of their maps."""

import numpy as np
import pytest
import torch

import deepinside as di
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import as_photo
from deepinside.cut.graphcut import CutOptions
from deepinside.explanations.by_color import Paper, by_color
from deepinside.explanations.by_method import METHODS, ByMethod
from deepinside.explanations.localizer import Localizer
from deepinside.explanations.sheets import localization_sheet, saliency_sheet


@pytest.fixture
def scene():
    """Red on the left, green on the right, of another height than width."""
    pixels = np.random.default_rng(0).integers(90, 110, (48, 64, 3), dtype=np.uint8)
    pixels[10:30, 5:25] = 230, 20, 20
    pixels[20:40, 40:60] = 20, 230, 20
    return as_photo(pixels)


# The public function, and what makes one map of its result.
EXPECTED = {
    "smoothgrad": (di.smooth_grad, lambda found: found.abs().amax(-3)),
    "integrated": (di.integrated_gradients, lambda found: found.sum(-3).abs()),
    "gradient-input": (di.gradient_times_input, lambda found: found.sum(-3).abs()),
    "gradcam": (di.grad_cam, lambda found: found),
    "layercam": (di.layer_cam, lambda found: found),
}


def test_every_method_has_a_name():
    assert set(METHODS) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_maps_are_those_of_the_public_function(name, colors, scene):
    localizer = ByMethod(name)
    assert isinstance(localizer, Localizer)
    turned = as_photo(np.ascontiguousarray(scene.pixels.transpose(1, 0, 2)))
    views = [localizer.views(colors, photo) for photo in (scene, turned)]
    seen = localizer.see(colors, views, [lambda logits: [1, 0], lambda logits: [2]])
    compute, as_map = EXPECTED[name]
    for each, photo, classes in zip(seen, (scene, turned), ((1, 0), (2,)), strict=True):
        frame, image = colors.whole(photo)
        assert each.classes == classes
        assert each.frame == frame
        with torch.no_grad():
            assert torch.allclose(each.logits, colors.network(image)[0], rtol=1e-5)
        for map, target in zip(each.maps, classes, strict=True):
            expected = as_map(compute(colors, image, target))[0].numpy()
            assert np.allclose(map, expected, rtol=1e-3, atol=1e-5 * expected.max())
            assert map.min() >= 0
    (found,) = localizer.segment(seen[0], 0)
    cut = by_color(seen[0].pixels, seen[0].frame, seen[0].maps[0], Paper())
    assert np.array_equal(found.mask, cut.mask)


@pytest.mark.parametrize("name", EXPECTED)
def test_photos_are_explained_and_have_sheets(name, colors, scene):
    explanation = di.explain(colors, scene, "red", preset=name)
    assert explanation.preset == name
    assert explanation.objects[0].label == "red"
    localization_sheet(scene, explanation)
    saliency_sheet(scene, explanation)


def test_a_class_activation_map_may_be_taken_at_a_layer(colors, scene):
    localizer = ByMethod("gradcam", "features")
    (seen,) = localizer.see(colors, [localizer.views(colors, scene)], [lambda logits: [0]])
    _, image = colors.whole(scene)
    assert np.allclose(seen.maps[0], di.grad_cam(colors, image, 0, "features")[0].numpy())
    assert localizer.about.maps == "at features"
    assert [ByMethod(name).about.maps for name in ("gradcam", "smoothgrad")] == [
        "at the last layer with a grid", "at the image",
    ]  # fmt: skip


def test_the_cut_has_constants_of_its_own(colors, scene):
    recipe = Paper(foreground_quantile=0.8, cut=CutOptions(smoothness=5.0))
    localizer = ByMethod("smoothgrad", cut=recipe)
    (seen,) = localizer.see(colors, [localizer.views(colors, scene)], [lambda logits: [0]])
    (found,) = localizer.segment(seen, 0)
    expected = by_color(seen.pixels, seen.frame, seen.maps[0], recipe)
    assert found.energy == expected.energy
    assert np.array_equal(found.mask, expected.mask)
    assert found.energy != ByMethod("smoothgrad").segment(seen, 0)[0].energy
    for change in ({"layer": "features"}, {"rule": "guided"}, {"enlarge": 2.0}):
        with pytest.raises(DeepInsideError, match="expected the cut of gradcam without layer, rule or enlarge"):
            ByMethod("gradcam", cut=Paper(**change))


def test_what_makes_no_sense_is_told():
    with pytest.raises(DeepInsideError, match=r"expected a method.*did you mean gradcam"):
        ByMethod("gradcm")
    with pytest.raises(DeepInsideError, match="expected no layer for integrated, got 'features'"):
        ByMethod("integrated", "features")
