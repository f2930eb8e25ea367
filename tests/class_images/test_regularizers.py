"""Each penalty against its formula, pixel by pixel."""

import pytest
import torch

from deepinside.class_images.regularizers import detail, l2, total_variation


@pytest.fixture
def images():
    return torch.rand(2, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_l2_is_the_sum_of_squares_from_the_origin(images):
    expected = [sum((float(v) - 0.4) ** 2 for v in image.flatten()) for image in images]
    assert l2(images, 0.4).tolist() == pytest.approx(expected)
    mean = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64).view(3, 1, 1)
    assert l2(images, mean).tolist() == pytest.approx([float((image - mean).pow(2).sum()) for image in images])


def test_total_variation_averages_neighbors(images):
    for penalty, image in zip(total_variation(images), images, strict=True):
        across = [abs(float(image[c, y, x + 1] - image[c, y, x])) for c in range(3) for y in range(5) for x in range(5)]
        down = [abs(float(image[c, y + 1, x] - image[c, y, x])) for c in range(3) for y in range(4) for x in range(6)]
        assert float(penalty) == pytest.approx(sum(across) / len(across) + sum(down) / len(down))


def test_detail_is_what_a_box_blur_removes(images):
    for penalty, image in zip(detail(images), images, strict=True):
        total = 0.0
        for c in range(3):
            for y in range(5):
                for x in range(6):
                    around = [
                        image[c, min(max(y + dy, 0), 4), min(max(x + dx, 0), 5)]
                        for dy in (-1, 0, 1)
                        for dx in (-1, 0, 1)
                    ]
                    total += float(image[c, y, x] - sum(around) / 9) ** 2
        assert float(penalty) == pytest.approx(total / 90)
    checkers = (torch.arange(6)[:, None] + torch.arange(6)) % 2
    waves = torch.arange(6).expand(6, 6) / 5
    rough, smooth = (detail(plane.double().expand(1, 3, 6, 6)) for plane in (checkers, waves))
    assert rough > 20 * smooth
