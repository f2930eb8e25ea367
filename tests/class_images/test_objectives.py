"""What is maximized: by finite differences, by hand for several networks, and in groups that go together."""

import pytest
import torch
from torch import Generator, nn

from deepinside.class_images.objectives import Maker, Objective, batches, climb, score_of
from deepinside.class_images.parametrize import Fourier, Pixels
from deepinside.class_images.regularizers import l2, total_variation
from deepinside.class_images.transforms import Crop, Noise, RandomView, Recolor, Rotation
from deepinside.gradients.private import borrowed, private_view
from deepinside.gradients.targets import Neuron

GREY = (0.5, 0.5, 0.5)


def test_climb_is_the_gradient_by_finite_differences(small_network):
    canvas = Fourier((8, 8), decay=1.5)
    values = canvas.start(Generator().manual_seed(1)).double().repeat(2, 1, 1, 1, 1) * 30
    views = (RandomView((Crop(0.5, 1.2, 0.2, 0.1), Rotation(10)), sizes=((9, 7),)), Recolor(0.2, 0.1), Noise(0.02))
    penalties = ((0.3, lambda images, mean: l2(images, mean[0])), (0.2, lambda images, mean: total_variation(images)))

    def both(at):
        with borrowed(small_network, torch.rand(1, 3, 8, 8, dtype=torch.float64)) as private:
            wanted = Objective([Maker(private, score_of([1, 4], (6, 6)))], penalties, GREY)
            return climb(wanted, canvas, at, views, Generator().manual_seed(5))

    def objective(at):
        images = canvas(at)
        return both(at)[0].sum() - sum(weight * penalty(images, GREY).sum() for weight, penalty in penalties)

    _, gradient = both(values)
    torch.manual_seed(3)
    for _ in range(5):
        step = torch.randn_like(values) * 1e-5
        change = (objective(values + step) - objective(values - step)) / 2
        assert float(change) == pytest.approx(float((gradient * step).sum()), rel=1e-4)


def test_several_networks_pull_alike_however_large_their_scores():
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 4)) for _ in range(2)]
    networks[1][1].weight.data *= 1000
    weights = [network[1].weight.detach()[[3, 1]] for network in networks]
    makers = [Maker(private_view(network), score_of([3, 1], (4, 4))) for network in networks]
    values = torch.rand(2, 3, 4, 4)
    scores, gradient = climb(Objective(makers, (), GREY), Pixels((4, 4), (0.0, 0.0, 0.0)), values, (), Generator())
    expected = sum(weight / weight.norm(dim=1, keepdim=True) for weight in weights)
    torch.testing.assert_close(gradient.flatten(1), expected)
    with torch.no_grad():
        own = [network(values)[range(2), [3, 1]] for network in networks]
    torch.testing.assert_close(scores, (own[0] + own[1]) / 2)


def test_groups_are_of_one_layer_and_keep_the_order():
    targets = [1, 2, Neuron("a", 0), Neuron("a", 1), Neuron("b", 0), 3]
    assert list(batches(targets)) == [targets[:2], targets[2:4], targets[4:5], targets[5:]]
    assert [len(part) for part in batches([0] * 5, most=2)] == [2, 2, 1]
