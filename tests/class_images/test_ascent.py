"""Ascent: the closed form, finite differences, seeds, what may be asked for, and what must be left alone."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Generator, nn

from deepinside import Classifier, DeepInsideError
from deepinside.class_images.ascent import ascend, class_image, mean_color
from deepinside.class_images.likeness import Likeness
from deepinside.class_images.objectives import batches
from deepinside.class_images.recipes import PAPER, PAPER_LAMBDA
from deepinside.class_images.regularizers import total_variation
from deepinside.gradients.private import borrowed
from deepinside.gradients.targets import At, Neuron
from helpers import state_of

GREY = (0.5, 0.5, 0.5)


@pytest.fixture
def network(small_network):
    return small_network.float()


def linear(classes=3, size=6, seed=0):
    """S_c(I) = w_c I + b_c, with weights for which the optimum stays within [0, 1]."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, classes))
    network[1].weight.data *= 0.003 / network[1].weight.data.abs().max()
    return network


def test_paper_preset_lands_on_the_closed_form_on_a_linear_model():
    network, mean = linear(), (0.4, 0.5, 0.6)
    *_, last = ascend(network, [2, 0], preset="paper", size=6, steps=5000, mean=mean)
    optimum = network[1].weight.detach()[[2, 0]].view(2, 3, 6, 6) / (2 * PAPER_LAMBDA)
    assert optimum.abs().max() > 0.2
    torch.testing.assert_close(last.images, torch.tensor(mean).view(3, 1, 1) + optimum, rtol=0, atol=1e-3)
    assert last.done
    assert last.step < 5000, "it stops once nothing moves"


def test_paper_preset_starts_at_the_mean_image_the_network_declares():
    classifier = Classifier(linear(), size=6, mean=(0.2, 0.5, 0.7), std=(0.5, 0.5, 0.5))
    first = next(ascend(classifier.network, [1], preset="paper", size=6))
    mean = torch.tensor((0.2, 0.5, 0.7)).view(1, 3, 1, 1)
    torch.testing.assert_close(first.scores, classifier.network(mean.expand(1, 3, 6, 6))[:, 1].detach())
    step = classifier.network.model[1].weight.detach()[1].view(3, 6, 6) / 0.5 * 2.0
    torch.testing.assert_close(first.images[0] - mean[0], step)


def test_of_a_declared_mean_image_its_average_color_counts():
    image = torch.rand(3, 6, 6, generator=Generator().manual_seed(0))
    classifier = Classifier(linear(), size=6, mean=image, std=(0.5, 0.5, 0.5))
    assert mean_color(classifier.network, None) == pytest.approx(image.mean((1, 2)).tolist())


def test_canonical_raises_the_score(network):
    picture = class_image(network, [0, 3], size=8, steps=40, mean=GREY)
    network.eval()
    with torch.no_grad():
        made, chance = network(picture), network(torch.rand(500, 3, 8, 8))
    for row, index in enumerate((0, 3)):
        assert made[row, index] > chance[:, index].max(), "better than the best of 500 drawn blindly"
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.shape == (2, 3, 8, 8)


def test_same_seed_same_bits_and_another_seed_another_picture(network):
    first, again, other = (class_image(network, 2, size=8, steps=5, seed=seed, mean=GREY) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.02


def test_a_picture_does_not_depend_on_its_neighbors_nor_on_global_randomness(network):
    torch.manual_seed(0)
    together = class_image(network, [2, 4, 1], size=8, steps=8, mean=GREY)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    alone = class_image(network, 4, size=8, steps=8, mean=GREY)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-3)


def test_a_class_is_the_neuron_of_the_last_layer(network):
    by_class = class_image(network, 3, size=8, steps=6, mean=GREY)
    by_neuron = class_image(network, Neuron("9", 3), size=8, steps=6, mean=GREY)
    by_function = class_image(network, lambda logits: logits[:, 3], size=8, steps=6, mean=GREY)
    torch.testing.assert_close(by_neuron, by_class, rtol=0, atol=1e-5)
    torch.testing.assert_close(by_function, by_class, rtol=0, atol=1e-5)


def test_each_picture_of_a_batch_has_its_own_neuron(network):
    targets = [Neuron("5", 1, at=(0, 0)), Neuron("5", 6, at="mean")]
    both = class_image(network, targets, size=8, steps=6, mean=GREY)
    for picture, target in zip(both, targets, strict=True):
        torch.testing.assert_close(
            picture[None], class_image(network, target, size=8, steps=6, mean=GREY), atol=1e-4, rtol=0
        )


def test_targets_of_several_places_keep_their_order(network):
    targets = [1, Neuron("5", 2), 0]
    assert [list(part) for part in batches(targets)] == [[1], [targets[1]], [0]]
    pictures = class_image(network, targets, size=8, steps=3, mean=GREY)
    for picture, target in zip(pictures, targets, strict=True):
        torch.testing.assert_close(
            picture[None], class_image(network, target, size=8, steps=3, mean=GREY), atol=1e-4, rtol=0
        )


def test_posterior_is_the_log_softmax(network):
    first = next(ascend(network, [4], preset="paper", size=8, mean=GREY, posterior=True))
    network.eval()
    expected = network(torch.full((1, 3, 8, 8), 0.5)).log_softmax(1)[:, 4].detach()
    torch.testing.assert_close(first.scores, expected)


def test_progress_counts_every_step_and_ends_with_the_picture(network):
    went = list(ascend(network, [1], size=8, steps=4, mean=GREY))
    assert [(ascent.step, ascent.steps, ascent.done) for ascent in went] == [
        (1, 4, False), (2, 4, False), (3, 4, False), (4, 4, True),
    ]  # fmt: skip
    assert torch.equal(went[-1].images, class_image(network, 1, size=8, steps=4, mean=GREY))


def test_steps_grow_at_first_and_shrink_to_nothing_at_last(network):
    sgd = partial(torch.optim.SGD, lr=1.0, maximize=True)
    recipe = replace(PAPER, optimizer=sgd, penalties=(), steps=8, warm_up=4, anneal=0.5, settled=0.0)
    linear_network = linear()  # its gradient is the same everywhere, so that a step is as long as its size
    images = [torch.full((1, 3, 6, 6), 0.5)]
    images += [ascent.images for ascent in ascend(linear_network, [1], preset=recipe, size=6, mean=GREY)]
    lengths = torch.stack([(after - before).norm() for before, after in pairwise(images)])
    expected = torch.tensor([0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25])
    torch.testing.assert_close(lengths / lengths.max(), expected, atol=1e-3, rtol=0)


def test_small_steps_at_first_are_not_taken_for_the_end():
    recipe = replace(PAPER, optimizer=partial(torch.optim.SGD, lr=1.0, maximize=True), steps=9, warm_up=5, settled=1e3)
    *_, last = ascend(linear(), [1], preset=recipe, size=6, mean=GREY)
    assert (last.step, last.done) == (6, True)


def test_a_recipe_can_be_put_together(network):
    recipe = replace(PAPER, penalties=((0.05, lambda images, mean: total_variation(images)),), steps=5)
    smooth, plain = (class_image(network, 1, preset=r, size=8, mean=GREY) for r in (recipe, replace(PAPER, steps=5)))
    assert total_variation(smooth) < total_variation(plain)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_network_and_grad_mode_are_left_as_they_were(network, mode):
    network[5].requires_grad_(False)
    before = state_of(network)
    with mode():
        was = torch.is_grad_enabled()
        for _ in ascend(network, [1, Neuron("5", 0)][:1], size=8, steps=2, mean=GREY):
            assert torch.is_grad_enabled() == was, "also between steps"
        assert torch.is_grad_enabled() == was
    with pytest.raises(DeepInsideError):
        class_image(network, 99, size=8, mean=GREY)
    assert state_of(network) == before


def test_an_ascent_can_be_dropped_halfway(network):
    before = state_of(network)
    ascent = ascend(network, [1], size=8, mean=GREY)
    next(ascent)
    ascent.close()
    assert state_of(network) == before
    assert class_image(network, 1, size=8, steps=1, mean=GREY).isfinite().all()


@pytest.mark.parametrize(("asked", "message"), [
    ({"targets": 5}, "expected classes from 0 to 4, as many as the network has, got 5"),
    ({"targets": -1}, "got -1"),
    ({"targets": []}, "at least one class"),
    ({"targets": Neuron("nowhere", 0)}, "name of a layer"),
    ({"targets": Neuron("5", 99)}, "channels from 0 to 7"),
    ({"preset": "papre"}, "did you mean paper"),
    ({"steps": 0}, "at least one step"),
    ({"size": 0}, "at least 1 x 1"),
    ({"mean": None}, "declares its input range"),
    ({"mean": (0.5,)}, "check the size and the number of channels"),
    ({"targets": Neuron("5", 1), "posterior": True}, "only they have a posterior"),
    ({"targets": At("5", lambda activation: activation)}, "one number for each"),
])  # fmt: skip
def test_mistakes_are_named(network, unchecked, asked, message):
    arguments = {"targets": 1, "size": 8, "steps": 1, "mean": GREY} | asked
    with pytest.raises(DeepInsideError, match=message):
        class_image(network, arguments.pop("targets"), **arguments)


def test_scores_that_are_not_finite_are_an_error(network):
    network[9].bias.data[2] = float("nan")
    with pytest.raises(DeepInsideError, match="finite class scores"):
        class_image(network, 1, size=8, steps=1, mean=GREY)


def test_a_batch_of_several_layers_is_refused(network):
    with pytest.raises(DeepInsideError, match="targets of one layer"):
        next(ascend(network, [1, Neuron("5", 0)], size=8, mean=GREY))


@pytest.mark.parametrize("preset", ["paper", "canonical"])
@pytest.mark.parametrize("channels", [1, 5])
def test_networks_of_other_channels_have_images_of_those(preset, channels):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(network, size=16, mean=[0.5] * channels, std=[0.25] * channels, labels=list("abcd"))
    first, *_, last = ascend(classifier, ["c"], preset=preset, steps=40)
    assert last.images.shape == (1, channels, 16, 16)
    assert last.scores > first.scores


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float64])
def test_networks_of_other_precisions_have_the_image_of_single_precision(precision):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4))
    expected = class_image(network, 2, preset="paper", size=8, steps=20, mean=GREY)
    found = class_image(network.to(precision), 2, preset="paper", size=8, steps=20, mean=GREY)
    assert torch.allclose(found, expected, atol=0.02)


def test_a_classifier_brings_its_names_and_its_size(network):
    classifier = Classifier(network, size=(8, 10), labels=list("abcde"), mean=GREY)
    assert torch.equal(class_image(classifier, "d", steps=2), class_image(classifier.network, 3, size=(8, 10), steps=2))
    assert class_image(classifier, ["a", 3, np.int64(2)], steps=1, size=np.int64(8)).shape == (3, 3, 8, 8)
    assert class_image(classifier, torch.tensor([1, 2]), steps=1).shape == (2, 3, 8, 10)
    with pytest.raises(DeepInsideError, match="expected a class name"):
        class_image(classifier, "f", steps=1)


@pytest.mark.parametrize(("classes", "probabilities", "link"), [
    (1, None, nn.functional.logsigmoid), (3, "sigmoid", nn.functional.logsigmoid), (3, None, nn.LogSoftmax(dim=1)),
])  # fmt: skip
def test_the_posterior_is_by_the_networks_own_link(classes, probabilities, link):
    network = linear(classes)
    classifier = Classifier(network, size=6, mean=GREY, probabilities=probabilities)
    *_, last = ascend(classifier, [0], preset="paper", steps=3, posterior=True)
    by_hand = torch.full((1, 3, 6, 6), 0.5)
    for _ in range(3):
        moving = by_hand.clone().requires_grad_()
        score = link(network(moving - 0.5))[0, 0] - PAPER_LAMBDA * (moving - 0.5).square().sum()
        (gradient,) = torch.autograd.grad(score, moving)
        by_hand = by_hand + 2.0 * gradient
    assert torch.allclose(last.images, by_hand.clamp(0, 1), atol=1e-6)
    if probabilities is None:
        alone = class_image(network, 0, preset="paper", steps=3, posterior=True, size=6, mean=(0.0, 0.0, 0.0))
        assert not torch.equal(alone, torch.zeros_like(alone))


def test_several_networks_share_a_picture(network):
    torch.manual_seed(1)
    other = linear(classes=5, size=8)
    together = class_image([network, other], [1, 3], size=8, steps=40, mean=GREY)
    alone = class_image(network, [1, 3], size=8, steps=40, mean=GREY)
    with torch.no_grad():
        assert (other(together) > other(alone))[[0, 1], [1, 3]].all(), "the second network's score counts as well"
    assert torch.equal(
        class_image([network], 1, size=8, steps=3, mean=GREY), class_image(network, 1, size=8, steps=3, mean=GREY)
    )
    with pytest.raises(DeepInsideError, match="at least one network"):
        class_image([], 1, size=8)
    with pytest.raises(DeepInsideError, match="several networks"):
        class_image([network, other], Neuron("5", 1), size=8, mean=GREY)


def test_sizes_that_one_of_several_networks_does_not_take_are_left_out(network):
    fixed = linear(classes=5, size=8)  # of 8 x 8 pixels only, while canonical views are of 5 to 9
    assert class_image([network, fixed], 1, size=8, steps=3, mean=GREY).shape == (1, 3, 8, 8)


def test_photos_draw_a_picture_to_their_features(network):
    classifier = Classifier(network, size=16, labels=list("abcde"), mean=GREY)
    draw = Generator().manual_seed(0)
    photos = [torch.rand(3, 1, 1, generator=draw) * torch.rand(1, 16, 16, generator=draw) for _ in range(3)]
    liked, plain = (class_image(classifier, ["b", "d"], steps=60, like=like) for like in (photos, ()))
    with borrowed(network, plain) as private:
        likeness = Likeness.to(private, ["0"], [torch.stack(photos)] * 2, ())
        apart = [likeness.distance([private[0](images)], (16, 16)) for images in (liked, plain)]
    assert (apart[0] < apart[1]).all()


def test_photos_need_a_classifier_and_a_layer_with_a_grid(network):
    photo = torch.rand(3, 8, 8)
    with pytest.raises(DeepInsideError, match="expected a classifier"):
        class_image(network, 1, size=8, mean=GREY, like=[photo])
    with pytest.raises(DeepInsideError, match="layer that has a grid"):
        class_image(Classifier(linear(size=8), size=8, mean=GREY), 1, like=[photo])
