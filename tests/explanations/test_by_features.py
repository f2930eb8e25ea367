"""`best` against its slow twin: the cut on seeds made by hand, then from photo to box on networks small and real."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import slow_best
from deepinside.core.geometry import Frame
from deepinside.core.images import read
from deepinside.cut.continuity import Continuity
from deepinside.explanations.by_features import Best, by_features
from deepinside.explanations.explain import explain
from deepinside.networks.classifier import Classifier

# ------------------------------------------------------------------------------------------------------------- the cut


def at(cells):
    """A photo of as many pixels as there are cells."""
    rows, columns = cells.shape
    return Frame.whole(columns, rows, width=columns, height=rows)


def cut_of(seed, edge):
    """`by_features` and the twin's log odds, for a seed whose nodes are its cells, each hardly like any other."""
    rows, columns = seed.shape
    kernel = np.float32(0.5 + 0.5 * np.eye(seed.size))
    edges = np.full((rows, columns - 1), edge, np.float32), np.full((rows - 1, columns), edge, np.float32)
    found = by_features(at(seed), seed.astype(np.float32), kernel, seed.shape, edges, Continuity())
    return found, slow_best.log_odds(seed, kernel.astype(float), seed.shape)


def blobs():
    """A wide, faint one on the left and a small, bright one on the right."""
    seed = np.full((20, 24), 0.01)
    seed[3:13, 2:11] = 0.4
    seed[5:12, 15:22] = 1.0
    return seed


def test_of_two_components_the_one_with_more_evidence_is_the_object():
    found, odds = cut_of(blobs(), edge=0.0)
    left, right = (odds > 0) & (np.arange(24) < 13), (odds > 0) & (np.arange(24) >= 13)
    assert left.sum() > right.sum() + 5, "by area the other one would win"
    assert (found.mask == right).all()


def test_an_empty_cut_gives_way_to_the_likeliest_places():
    seed = np.full((20, 20), 0.01)
    seed[4:7, 10:13] = 1.0
    seed[15, 3] = 0.9
    found, odds = cut_of(seed, edge=50.0)
    assert found.energy == pytest.approx(odds.clip(0).sum(), rel=1e-4), "the cut itself found nothing"
    likeliest = slow_best.component(odds >= np.quantile(odds, 0.95), 1 / (1 + np.exp(-odds)))
    assert found.mask[4:7, 10:13].all()
    assert (found.mask == likeliest).all()


def test_seeds_are_where_the_odds_pass_e_to_the_one_and_a_half():
    found, odds = cut_of(blobs(), edge=0.0)
    assert (found.foreground_seeds == (odds > 1.5)).all()
    assert (found.background_seeds == (odds < -1.5)).all()
    assert found.foreground_seeds.any()
    assert found.background_seeds.any()


@pytest.mark.parametrize("number", range(4))
def test_the_cut_equals_scipys(number):
    rng = np.random.default_rng(number)
    nodes, cells = (6, 7), (12, 14)
    features = rng.normal(size=(4, *nodes)) + 2 * (np.arange(7) > 2)
    kernel = slow_best.feature_kernel([features], nodes)
    seed = slow_best.seed_map([rng.random((3, 4)) ** 3], cells).astype(np.float32)
    right, down = (rng.random(shape).astype(np.float32) for shape in ((12, 13), (11, 14)))
    found = by_features(at(seed), seed, kernel.astype(np.float32), nodes, (right, down), Continuity())
    odds = slow_best.log_odds(seed, kernel, nodes)
    mask = slow_best.cut(odds, right, down)
    assert 0 < mask.mean() < 1
    # Odds that were computed in float32 shift the energy in the sixth digit; the mask is the same cell by cell.
    assert found.energy == pytest.approx(slow_best.energy_of(mask, odds, right, down), rel=1e-5)
    assert (found.mask == slow_best.component(mask, 1 / (1 + np.exp(-odds)))).all()


# ------------------------------------------------------------------------------------------------- from photo to box


def convolution(channels, outputs, stride):
    return nn.Sequential(nn.Conv2d(channels, outputs, 3, stride=stride, padding=1), nn.ReLU())


def strides_8_16_32():
    return convolution(3, 8, 4), convolution(8, 12, 2), convolution(12, 16, 2), convolution(16, 16, 2)


NETWORKS = {  # what each is for -> how to make it, and where `best` should look, by the names of its layers
    "global pooling": (
        lambda: nn.Sequential(*strides_8_16_32(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)),
        {"fine": "model.1", "middle": "model.2", "last": "model.3"},
    ),
    "a dense layer that weighs places, of one size": (
        lambda: nn.Sequential(*strides_8_16_32(), nn.Flatten(), nn.Linear(16 * 16, 4)),
        {"fine": "model.1", "middle": "model.2", "last": "model.3", "any_size": False},
    ),
    "no layer with a grid": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 128 * 128, 4), nn.Tanh()),
        {"fine": None, "middle": None, "last": None, "any_size": False},
    ),
}


def check(classifier, image, index, preset="best", **layers):
    """Ours, in float32 and with the network folded, against the twin in float64.

    Rounding moves the seed by less than 1e-6 of its range and the energy by less than 1e-6 of itself (measured); both
    have ten times that room. Masks and boxes are the same: no cell of these photos is so near to a tie.
    """
    ours = explain(classifier, image, [index], preset=preset).objects[0]
    slow = slow_best.find(classifier.network, image, index, classifier.size, **layers)
    assert np.abs(ours.map - slow.seed).max() < 1e-5
    assert ours.segmentation.energy == pytest.approx(slow.energy, rel=1e-5)
    assert (ours.segmentation.foreground_seeds == (slow.odds > 1.5)).all()
    assert (ours.segmentation.background_seeds == (slow.odds < -1.5)).all()
    assert (ours.segmentation.mask == slow.cells).all()
    assert (ours.mask == slow.mask).all()
    assert ours.box.as_tuple() == slow.box
    return slow


@pytest.mark.parametrize("kind", NETWORKS)
def test_best_equals_its_slow_twin_on_small_networks(photos, kind):
    make, layers = NETWORKS[kind]
    torch.manual_seed(3)
    classifier = Classifier(make(), size=128)
    image = Image.open(photos / "cat.jpg").convert("RGB").resize((128, 96))
    shares = [check(classifier, image, index, **layers).cells.mean() for index in range(4)]
    assert len(set(shares)) > 1, "the classes are told apart"


def test_best_equals_its_slow_twin_on_a_real_network(lite0, photos):
    image = Image.open(photos / "coffee.jpg").convert("RGB").resize((280, 224))  # whole numbers of pixels a cell
    layers = {"fine": "model.blocks.2", "middle": "model.blocks.4", "last": "model.bn2"}
    slow = check(lite0, image, lite0.labels.find("espresso"), **layers)
    assert len(slow.maps) == 4, "two layers at two sizes"


def test_one_size_alone_is_as_good_as_two(photos):
    make, layers = NETWORKS["global pooling"]
    torch.manual_seed(3)
    image = Image.open(photos / "cat.jpg").convert("RGB").resize((128, 96))
    slow = check(Classifier(make(), size=128), image, 1, Best(scales=(1.0,)), **{**layers, "any_size": False})
    assert len(slow.maps) == 2


def test_what_was_seen_is_a_value(colors, photos):
    """It cannot be changed, and is equal to nothing but itself, since arrays have no truth value."""
    views = Best().views(colors, read(photos / "cat.jpg"))
    seen, again = (Best().see(colors, [views], [lambda logits: [0]])[0] for _ in range(2))
    for value, other in ((seen, again), (views, Best().views(colors, read(photos / "cat.jpg")))):
        with pytest.raises(FrozenInstanceError):
            value.frame = None
        assert value == value
        assert value != other
        assert len({value, other}) == 2
