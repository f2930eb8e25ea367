"""Grain by pictures whose spectrum is known, contrast and colorfulness by hand."""

import numpy as np
import pytest
from PIL import Image

from deepinside import DeepInsideError
from deepinside.evaluation.appearance import (
    appearance,
    colorfulness,
    contrast,
    grain,
    luminance,
    pictures_in,
)


def waves(coarse: float, fine: float, side: int = 96) -> np.ndarray:
    """Gray, with a wave of 4 cycles down and one of 24 cycles across the picture."""
    t = np.arange(side) / side
    light = 0.5 + coarse * np.sin(8 * np.pi * t)[:, None] + fine * np.sin(48 * np.pi * t)[None, :]
    return np.repeat(light[..., None], 3, axis=-1)


@pytest.mark.parametrize(("coarse", "fine"), [(0.2, 0.0), (0.0, 0.2), (0.2, 0.1), (0.05, 0.2)])
def test_grain_is_the_share_of_the_energy_of_fine_waves(coarse, fine):
    assert grain(waves(coarse, fine)) == pytest.approx(fine**2 / (coarse**2 + fine**2), abs=1e-3)


def test_grain_begins_at_a_quarter_of_nyquist():
    t = np.arange(128)
    for cycles, share in ((12, 0.0), (20, 1.0)):  # of 128 pixels, whose quarter of Nyquist is 16
        wave = np.broadcast_to(0.5 + 0.4 * np.sin(2 * np.pi * cycles * t / 128), (128, 128))
        assert grain(np.repeat(wave[..., None], 3, axis=-1)) == pytest.approx(share, abs=1e-3)


def test_a_seam_between_opposite_edges_is_no_grain():
    ramp = np.broadcast_to(np.linspace(0, 1, 96)[:, None, None], (96, 96, 3))
    assert grain(ramp) < 1e-3


def test_contrast_and_luminance_by_hand():
    picture = np.zeros((2, 2, 3))
    picture[0] = (1, 0, 0)
    assert luminance(picture)[0] == pytest.approx([0.299, 0.299])
    assert contrast(picture) == pytest.approx(0.1495)


def test_colorfulness_by_hand():
    """Half red, half blue: red - green is 1 and 0, (red + green) / 2 - blue is 0.5 and -1."""
    picture = np.zeros((2, 2, 3))
    picture[0], picture[1] = (1, 0, 0), (0, 0, 1)
    assert colorfulness(picture) == pytest.approx(np.hypot(0.5, 0.75) + 0.3 * np.hypot(0.5, -0.25))


def test_medians_of_pictures_in_files(tmp_path):
    for number, level in enumerate((0, 60, 255)):
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[:4] = level
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    found = appearance("mine", pictures_in(sorted(tmp_path.iterdir()), (8, 8)))
    assert (found.of, found.n) == ("mine", 3)
    assert found.contrast == pytest.approx(30 / 255)


def test_photos_of_another_shape_lose_their_sides(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (picture,) = pictures_in([tmp_path / "wide.png"], (10, 10))
    assert picture.shape == (10, 10, 3)
    assert picture == pytest.approx(200 / 255, abs=0.01)


def test_no_picture_has_no_figures():
    with pytest.raises(DeepInsideError, match="at least one picture of photos"):
        appearance("photos", [])
