"""Augmentation in training as a contact sheet: one row per photo, with the photo and then its augmented views.

python examples/augmentation.py photos docs/images/augmentation.png
"""

import sys
from pathlib import Path

import torch
from torchvision.utils import make_grid, save_image

from deepinside.data.classes import Entry
from deepinside.data.loading import merged, survey
from deepinside.training.augment import augment, draws
from deepinside.training.recipe import RECIPES

SIZE, SIDE, VIEWS = 128, 146, 4


def sheet(folder: Path, out: Path) -> None:
    """Each photo, then four views by the paper's recipe and four by the modern one."""
    photos = merged(survey([Entry(path, 0) for path in sorted(folder.glob("*.jpg"))], SIDE, keep=True), SIDE)
    mean, axes = photos.mean_image(SIZE), photos.color_axes()
    start = (SIDE - SIZE) // 2
    tiles = []
    for number, image in enumerate(photos.pixels):
        tiles.append(image[None, :, start : start + SIZE, start : start + SIZE].float() / 255)
        for recipe in RECIPES.values():
            copies = image.expand(VIEWS, -1, -1, -1)
            tiles.append(augment(copies, draws(VIEWS, number, 2), recipe.augmentation, mean, axes))
    save_image(make_grid(torch.cat(tiles).clamp(0, 1), nrow=1 + VIEWS * len(RECIPES), pad_value=1.0), out)


if __name__ == "__main__":
    sheet(Path(sys.argv[1]), Path(sys.argv[2]))
