"""Augmentation is a function of each image's own numbers, and plain crops are exact."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deepinside.training.augment import Augmentation, augment, crop, draws, jitter

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "augmentation.py"
COMMITTED = REPOSITORY / "docs" / "images" / "augmentation.png"
PLAIN = Augmentation(flip=0.0, lighting=0.0, zeroed=0.0)
MEAN = torch.full((3, 8, 8), 0.25)
AXES = torch.eye(3)


@pytest.fixture
def pictures():
    return torch.randint(0, 256, (6, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_plain_crop_is_pixels_of_the_picture_and_every_place_occurs(pictures):
    numbers = draws(200, 0, 0)
    images = augment(pictures[:1].expand(200, -1, -1, -1), numbers, PLAIN, MEAN, AXES)
    exact = pictures[0].float() / 255
    places = set()
    for image in images:
        fits = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.allclose(image, exact[:, y : y + 8, x : x + 8], atol=1e-5)
        ]
        assert len(fits) == 1
        places.add(fits[0])
    assert places == {(y, x) for y in range(5) for x in range(5)}


def test_mirror_images_are_mirrored_crops(pictures):
    numbers = draws(6, 0, 0)
    plain = augment(pictures, numbers, PLAIN, MEAN, AXES)
    mirrored = augment(pictures, numbers, replace(PLAIN, flip=1.0), MEAN, AXES)
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=1e-5, rtol=0)


def test_a_picture_changes_by_its_own_numbers_whatever_stands_beside_it(pictures):
    how = Augmentation(smallest=0.4, aspect=4 / 3, jitter=0.3)
    numbers = draws(6, 1, 2)
    together = augment(pictures, numbers, how, MEAN, AXES)
    alone = torch.cat([augment(pictures[i : i + 1], numbers[i : i + 1], how, MEAN, AXES) for i in range(6)])
    torch.testing.assert_close(together, alone)


def test_numbers_differ_by_epoch_and_seed_and_come_again():
    assert torch.equal(draws(5, 0, 3), draws(5, 0, 3))
    assert not torch.equal(draws(5, 0, 3), draws(5, 0, 4))
    assert not torch.equal(draws(5, 0, 3), draws(5, 1, 3))


def test_zeroed_parts_show_the_mean_image_and_have_the_area_asked_for():
    pictures = torch.full((500, 3, 40, 40), 255, dtype=torch.uint8)
    mean = torch.full((3, 40, 40), 0.25)
    how = replace(PLAIN, zeroed=0.5, zeroed_area=(0.1, 0.1))
    images = augment(pictures, draws(500, 0, 0), how, mean, AXES)
    zeroed = (images == 0.25).all(dim=1)
    assert ((images == 0.25) | (images > 0.999)).all(), "zeroed, or as it was"
    shares = zeroed.float().mean(dim=(1, 2))
    some = shares > 0
    assert some.float().mean().item() == pytest.approx(0.5, abs=0.07)
    assert shares[some].mean().item() == pytest.approx(0.1, abs=0.01)
    rows, columns = zeroed[some].any(dim=2).sum(dim=1), zeroed[some].any(dim=1).sum(dim=1)
    assert torch.equal(rows * columns, zeroed[some].sum(dim=(1, 2))), "rectangles"


def test_light_moves_along_the_principal_axes():
    pictures = torch.full((4000, 3, 8, 8), 128, dtype=torch.uint8)
    axes = torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.0, 0.2], [0.0, 0.0, 0.0]])
    images = augment(pictures, draws(4000, 0, 0), replace(PLAIN, lighting=0.5), MEAN, axes)
    moved = (images - 128 / 255)[:, :, 0, 0]
    assert moved.std(dim=0).tolist() == pytest.approx([0.15, 0.1, 0.0], rel=0.05, abs=1e-6)
    assert torch.allclose(images, images[:, :, :1, :1].expand_as(images), atol=1e-6), "the whole picture alike"


def test_resized_crops_cover_the_share_asked_for():
    ramp = torch.arange(64).float().expand(300, 3, 64, 64) / 64
    images = crop(ramp, draws(300, 0, 0)[:, :5], replace(PLAIN, smallest=0.25), 16)
    slope = (images[:, 0, 8, 12] - images[:, 0, 8, 4]) * 64 / 8  # source pixels a pixel
    share = (slope * 16 / 64) ** 2
    assert 0.24 < share.min().item() < 0.3
    assert 0.95 < share.max().item() < 1.01


def test_jitter_multiplies_and_leaves_ones_alone():
    images = torch.rand(2, 3, 4, 4) * 0.4 + 0.3
    torch.testing.assert_close(jitter(images, torch.ones(2, 3)), images)
    darker = jitter(images, torch.tensor([[0.5, 1.0, 1.0]] * 2))
    torch.testing.assert_close(darker, images / 2)
    gray = jitter(images, torch.tensor([[1.0, 1.0, 0.0]] * 2))
    torch.testing.assert_close(gray[:, 0], gray[:, 2])
    assert jitter(images, torch.tensor([[1.0, 0.0, 1.0]] * 2)).flatten(1).std(dim=1).max() < images.std()


def test_the_contact_sheet_of_the_documentation_can_be_made_again(tmp_path):
    subprocess.run([sys.executable, EXAMPLE, REPOSITORY / "photos", tmp_path / "sheet.png"], check=True)
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(COMMITTED) as committed:
        assert sheet.size == committed.size
        difference = np.abs(np.asarray(sheet.convert("RGB")).astype(int) - np.asarray(committed.convert("RGB")))
    assert difference.mean() < 1, "the sheet in docs/images is of another augmentation: make it anew"
