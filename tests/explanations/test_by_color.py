"""The paper's cut by color against its energy written out, and on a scene that needs color."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

import slow_best
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import read
from deepinside.cut.graphcut import fit_mixture, minimum_cut
from deepinside.explanations.by_color import Paper, by_color
from deepinside.networks.classifier import Classifier
from helpers import disc_scene


def at(image):
    """A photo of as many pixels."""
    rows, columns = image.shape[:2]
    return Frame.whole(columns, rows, width=columns, height=rows)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_the_cut_is_that_of_the_energy_written_out():
    """Every constant as the paper and its authors' code have it; densities by SciPy, edges by the formula."""
    image, disc, inner, _ = disc_scene()
    rng = np.random.default_rng(4)
    map = rng.random(disc.shape) * 0.3 + 0.3 * disc * rng.random(disc.shape) + 0.5 * inner * rng.random(disc.shape)
    found = by_color(image, at(image), map, Paper())
    foreground, background = map >= np.quantile(map, 0.95), map <= np.quantile(map, 0.3)
    certain, never = map >= np.quantile(map, 0.995), map <= np.quantile(map, 0.005)

    def cost(seeds, forbidden):
        mixture = fit_mixture(image[seeds], 5, samples=2048, iterations=10, covariance_floor=1e-4, seed=0)
        density = sum(
            weight * multivariate_normal(mean, covariance).pdf(image)
            for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
        )
        return np.where(forbidden, np.inf, -np.log(0.05 + 0.95 * density))

    steps = [np.square(np.diff(image.astype(float), axis=axis)).sum(2) for axis in (1, 0)]
    mean = np.concatenate([step.ravel() for step in steps]).mean()
    cut = minimum_cut(
        cost(background, certain), cost(foreground, never), *(150 * np.exp(-s / (0.5 * mean)) for s in steps)
    )
    assert (found.foreground_seeds == foreground).all()
    assert (found.background_seeds == background).all()
    assert found.energy == pytest.approx(cut.energy, rel=1e-5)
    assert (found.mask == slow_best.component(cut.mask, np.ones(map.shape))).all()


def test_ten_crops_are_taken_of_a_square_one_seventh_larger(lite0, photos):
    """256 pixels for a network of 224, as in the authors' code."""
    photo = read(photos / "cat.jpg")
    views = Paper().views(lite0, photo)
    assert views.pixels.shape == (256, 256, 3)
    assert (views.frame.height, views.frame.width) == (256, 256)
    assert views.frame.region.width == views.frame.region.height == min(photo.width, photo.height)
    assert [images.shape for images in views.images] == [(10, 3, 224, 224)]
    corner = torch.from_numpy(views.pixels[:224, :224]).permute(2, 0, 1)
    assert torch.equal(views.images[0][0], corner)


def test_maps_of_a_layer_are_interpolated_to_their_crops(photos):
    """Crop by crop: autograd by hand at the layer, the largest magnitude, bilinear, laid where the crop came from."""
    torch.manual_seed(0)
    body = nn.Conv2d(3, 4, 4, stride=4), nn.Softplus(), nn.Conv2d(4, 4, 3, padding=1), nn.Softplus()
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    classifier, localizer = Classifier(network, size=28), Paper(layer="1")
    views = localizer.views(classifier, read(photos / "cat.jpg"))
    (seen,) = localizer.see(classifier, [views], [lambda logits: [1]])
    total, count = np.zeros((32, 32)), np.zeros((32, 32))
    for number, crop in enumerate(views.images[0]):
        y, x = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))[number % 5]
        _, gradients, _ = slow_best.activations_and_gradients(classifier.network, crop[None].double(), 1, ["model.1"])
        map = slow_best.resized(np.abs(gradients["model.1"]).max(axis=0), (28, 28), slow_best.linear)
        total[y : y + 28, x : x + 28] += map[:, ::-1] if number >= 5 else map
        count[y : y + 28, x : x + 28] += 1
    assert np.allclose(seen.maps[0], total / count, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("size", "passes"), [(224, [10] * 4), (160, [30, 10]), (112, [40])])
def test_a_pass_on_a_cpu_takes_about_sixteen_images_of_the_usual_size(photos, size, passes):
    taken = []

    class Mean(nn.Module):
        def forward(self, images):
            taken.append(len(images))
            return images.square().mean((2, 3))

    classifier = Classifier(Mean(), size=size)
    views = Paper().views(classifier, read(photos / "cat.jpg"))
    seen = Paper().see(classifier, [views] * 4, [lambda logits: [2]] * 4)
    assert sorted(taken, reverse=True) == passes
    assert len(seen) == 4
    assert all(np.allclose(each.maps[0], seen[0].maps[0], rtol=1e-5) for each in seen)


def test_what_was_seen_is_a_value(colors, photos):
    """It cannot be changed, and is equal to nothing but itself, since arrays have no truth value."""
    views = Paper().views(colors, read(photos / "cat.jpg"))
    seen, again = (Paper().see(colors, [views], [lambda logits: [0]])[0] for _ in range(2))
    with pytest.raises(FrozenInstanceError):
        seen.maps = ()
    assert seen == seen
    assert seen != again
    assert len({seen, again}) == 2


def test_seeds_are_the_pixels_beyond_the_quantiles():
    image, disc, *_ = disc_scene()
    map = np.random.default_rng(1).random(disc.shape)
    found = by_color(image, at(image), map, Paper())
    assert found.foreground_seeds.sum() == pytest.approx(0.05 * map.size, abs=1)
    assert found.background_seeds.sum() == pytest.approx(0.30 * map.size, abs=1)
    assert map[found.foreground_seeds].min() > map[~found.foreground_seeds].max()
    assert map[found.background_seeds].max() < map[~found.background_seeds].min()


def test_sparse_maps_have_seeds_where_they_are_not_zero():
    image, _, inner, _ = disc_scene()
    few = inner & (np.arange(80) % 3 == 0)
    assert few.mean() < 0.05
    found = by_color(image, at(image), few.astype(np.float32), Paper())
    assert (found.foreground_seeds == few).all()
    assert (found.background_seeds == ~few).all()


def test_maps_that_are_high_nearly_everywhere_have_seeds_where_they_are_not():
    image, _, inner, _ = disc_scene()
    few = inner & (np.arange(80) % 3 == 0)
    found = by_color(image, at(image), 1 - few.astype(np.float32), Paper())
    assert (found.foreground_seeds == ~few).all()
    assert (found.background_seeds == few).all()


def test_a_map_that_lights_a_part_finds_the_whole_disc_by_color():
    image, disc, inner, _ = disc_scene()
    rng = np.random.default_rng(2)
    map = rng.random(disc.shape) * 0.2 + 0.3 * disc * rng.random(disc.shape) + 0.5 * inner
    assert iou(by_color(image, at(image), map, Paper()).mask, disc) > 0.98


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_flat_maps_are_refused(value):
    image, disc, *_ = disc_scene()
    with pytest.raises(DeepInsideError, match="flat"):
        by_color(image, at(image), np.full(disc.shape, value, np.float32), Paper())
