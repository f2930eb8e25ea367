"""Distributions of features: against NumPy's quantiles, the best of all matchings, and finite differences."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.class_images.likeness import WEIGHT, Likeness, drawn_to, quantiles
from deepinside.class_images.objectives import score_of
from deepinside.gradients.private import private_view
from deepinside.gradients.probe import look_at


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3), nn.Softplus(), nn.Conv2d(6, 4, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 3)).double()


@pytest.mark.parametrize(("values", "count"), [(7, 3), (3, 7), (5, 5), (1, 4), (100, 256)])
def test_quantiles_are_those_of_numpy(values, count):
    ascending = np.sort(np.random.default_rng(0).normal(size=(2, values)), axis=1)
    expected = np.quantile(ascending, (np.arange(count) + 0.5) / count, axis=1, method="hazen").T
    np.testing.assert_allclose(quantiles(torch.from_numpy(ascending), count), expected)


def test_the_distance_is_that_of_the_best_matching():
    draw = torch.Generator().manual_seed(1)
    here, there = (torch.randn(1, 2, 2, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    likeness = Likeness(("a",), (there.flatten(2).sort(dim=2).values,))
    best = [
        min(float((mine - theirs[list(order)]).square().mean()) for order in permutations(range(6)))
        for mine, theirs in zip(here[0].flatten(1), there[0].flatten(1), strict=True)
    ]
    unit = float(there.flatten(2).var(dim=2).mean())
    assert float(likeness.distance([here], (2, 3))) == pytest.approx(sum(best) / 2 / unit)


def test_where_things_are_does_not_count(network):
    photos = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    likeness = Likeness.to(private_view(network), ["0"], [photos], ())
    features = network[0](photos).detach()
    assert float(likeness.distance([features.flip(2, 3)], (8, 8))) < 1e-3, "but for the quantiles between values"
    assert float(likeness.distance([2 * features], (8, 8))) > 0.1


def test_each_picture_has_photos_of_its_own(network):
    stacks = [torch.rand(count, 3, 8, 8, dtype=torch.float64) * gain for count, gain in ((3, 1.0), (1, 0.2))]
    both = Likeness.to(private_view(network), ["0", "2"], stacks, ())
    for row, stack in enumerate(stacks):
        alone = Likeness.to(private_view(network), ["0", "2"], [stack], ())
        for mine, wanted in zip(alone.quantiles, both.quantiles, strict=True):
            torch.testing.assert_close(mine[0], wanted[row])


def test_the_score_is_that_of_the_class_less_the_distance(network):
    photos = [torch.rand(2, 3, 8, 8, dtype=torch.float64) for _ in range(2)]
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    private = private_view(network)
    score = drawn_to(private, score_of([2, 0], (8, 8)), ["0", "2"], photos, ())
    likeness = Likeness.to(private, ["0", "2"], photos, ())
    with torch.no_grad():
        first = network[0](images)
        apart = likeness.distance([first, network[2](network[1](first))], (8, 8))
        units = torch.stack([network(stack).std() for stack in photos])
        expected = network(images)[[0, 1], [2, 0]] / units - WEIGHT * apart
    passes = look_at(private, images, score)
    torch.testing.assert_close(passes.scores[:, 0], expected)
    step = torch.randn_like(images) * 1e-6
    change = sum(sign * look_at(private, images + sign * step, score).scores.sum() for sign in (1, -1)) / 2
    assert float(change) == pytest.approx(float((passes.gradients[0][:, 0] * step).sum()), rel=1e-4)


def test_tokens_have_distributions_without_those_before_the_grid():
    tokens = torch.cat([torch.full((1, 1, 2), 100.0), torch.rand(1, 16, 2)], dim=1)
    likeness = Likeness(("a",), (tokens[:, 1:].transpose(1, 2).sort(dim=2).values,))
    assert float(likeness.distance([tokens], (4, 4))) == pytest.approx(0.0, abs=1e-12)
