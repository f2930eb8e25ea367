import numpy as np
import pytest

from deepinside.errors import DeepInsideError
from deepinside.localize import PAPER, localize, preset
from test_graphcut import disc_scene


def test_paper_recipe_has_the_papers_constants():
    cut = PAPER.cut
    assert (PAPER.foreground_quantile, PAPER.background_quantile) == (0.95, 0.30)
    assert (PAPER.foreground_clamp, PAPER.background_clamp) == (0.995, 0.005)
    assert (cut.components, cut.uniform, cut.smoothness, cut.contrast) == (5, 0.05, 150.0, 0.5)
    assert round(224 * PAPER.enlarge) == 256


def test_seeds_are_the_pixels_beyond_the_quantiles():
    image, disc, *_ = disc_scene()
    map = np.random.default_rng(1).random(disc.shape)
    found = localize(image, map)
    assert found.foreground_seeds.sum() == pytest.approx(0.05 * map.size, abs=1)
    assert found.background_seeds.sum() == pytest.approx(0.30 * map.size, abs=1)
    assert map[found.foreground_seeds].min() > map[~found.foreground_seeds].max()
    assert map[found.background_seeds].max() < map[~found.background_seeds].min()


def test_a_map_that_lights_a_part_finds_the_whole_disc():
    image, disc, inner, _ = disc_scene()
    rng = np.random.default_rng(2)
    map = rng.random(disc.shape) * 0.2 + 0.3 * disc * rng.random(disc.shape) + 0.5 * inner
    found = localize(image, map)
    assert (found.mask & disc).sum() / (found.mask | disc).sum() > 0.98


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_flat_map_is_refused(value):
    image, *_ = disc_scene()
    with pytest.raises(DeepInsideError, match="flat"):
        localize(image, np.full(image.shape[:2], value))


def test_unknown_preset_names_the_known():
    with pytest.raises(DeepInsideError, match="did you mean paper"):
        preset("papr")
