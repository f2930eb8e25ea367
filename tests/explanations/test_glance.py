"""One look at one region: cuts on seeds made by hand against the slow twin, and what the network is shown and asked."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from torch import nn

import slow_best
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import as_photo
from deepinside.cut.continuity import Continuity
from deepinside.explanations.by_features import Best
from deepinside.explanations.glance import Coarse, Glance, coarse_cut, glances, layer_maps, sides, summary_for
from deepinside.gradients.private import private_view
from deepinside.gradients.probe import look
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import find_stages
from helpers import disc_scene

# ------------------------------------------------------------------------------------------------------------- the cut

NODES_ARE_CELLS = Continuity(node=4, cell=4)


def glance_of(seed, how=NODES_ARE_CELLS, **known):
    """A glance at a photo of as many pixels as there are cells, whose only class has this seed."""
    rows, columns = seed.shape
    frame = Frame.whole(columns, rows, width=columns, height=rows)
    glance = Glance(torch.zeros(1), (0,), frame, ((seed,),), (), np.zeros((rows, columns, 3), np.float32), how)
    vars(glance).update(maps=(np.asarray(seed, np.float32),), **known)  # in place of what would be computed
    return glance


def cut_of(seed, edge):
    """The cut and the twin's log odds, for a seed whose nodes are its cells, each hardly like any other."""
    rows, columns = seed.shape
    kernel = np.float32(0.5 + 0.5 * np.eye(seed.size))
    edges = np.full((rows, columns - 1), edge, np.float32), np.full((rows - 1, columns), edge, np.float32)
    found = coarse_cut(glance_of(seed, kernel=kernel, edges=edges), 0)
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
    assert (found.foreground == (odds > 0)).all()


def test_an_empty_cut_gives_way_to_the_likeliest_places():
    seed = np.full((20, 20), 0.01)
    seed[4:7, 10:13] = 1.0
    seed[15, 3] = 0.9
    found, odds = cut_of(seed, edge=50.0)
    dear = np.full((20, 19), 50.0)
    assert not slow_best.cut(*map(slow_best.units, (odds, dear, dear.T))).any(), "the cut itself found nothing"
    assert (found.foreground == (odds >= np.quantile(odds, 0.95))).all()
    assert found.mask[4:7, 10:13].all()
    assert (found.mask == slow_best.component(found.foreground, 1 / (1 + np.exp(-odds)))).all()


@pytest.mark.parametrize("number", range(4))
def test_the_cut_equals_scipys(number):
    rng = np.random.default_rng(number)
    features = rng.normal(size=(4, 12, 14)) + 2 * (np.arange(14) > 5)
    kernel = slow_best.feature_kernel([features], (12, 14))
    seed = slow_best.seed_map([rng.random((3, 4)) ** 3], (12, 14))
    right, down = (rng.random(shape).astype(np.float32) for shape in ((12, 13), (11, 14)))
    found = coarse_cut(glance_of(seed, kernel=kernel.astype(np.float32), edges=(right, down)), 0)
    odds = slow_best.log_odds(seed, kernel, (12, 14))
    foreground, mask = slow_best.coarse_mask(odds, right, down)
    assert 0 < foreground.mean() < 1
    assert np.allclose(found.odds, odds, atol=1e-4), "float32 of the kernel and the seed"
    assert (found.foreground == foreground).all()
    assert (found.mask == mask).all()


def test_features_find_the_disc_that_color_cannot_show():
    """A disc of noise on noise: only the features differ, and the map lights its center."""
    _, disc, inner, _ = disc_scene()
    rng = np.random.default_rng(3)
    pixels = rng.random((60, 80, 3)).astype(np.float32) * 0.1 + 0.4
    features = np.where(disc, 1.0, -1.0) * rng.normal(1, 0.1, 8)[:, None, None] + rng.normal(0, 0.2, (8, 60, 80))
    lit = inner + 0.4 * disc + 0.05 * rng.random(disc.shape)
    frame = Frame.whole(80, 60, width=80, height=60)
    glance = Glance(torch.zeros(1), (0,), frame, ((lit,),), (torch.from_numpy(features).float(),), pixels, Continuity())
    assert glance.nodes == (30, 40)
    found = coarse_cut(glance, 0)
    assert overlap(found.mask, disc) > 0.9
    assert overlap(glance.maps[0] > 0.5, disc) < 0.5, "the map alone is a part of it"


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def test_colors_stand_in_for_the_features_of_a_network_without_a_grid():
    rng = np.random.default_rng(0)
    pixels = rng.random((8, 10, 3)).astype(np.float32)
    frame = Frame.whole(10, 8, width=10, height=8)
    glance = Glance(torch.zeros(1), (0,), frame, ((rng.random((8, 10)),),), (), pixels, Continuity())
    colors = np.moveaxis(slow_best.lab(pixels), 2, 0)
    assert np.allclose(glance.kernel, slow_best.feature_kernel([colors], (4, 5)), rtol=1e-3)
    for ours, slow in zip(glance.edges, slow_best.edges(pixels, None), strict=True):
        assert np.allclose(ours, slow, atol=1e-4)


# ----------------------------------------------------------------------------------------------- the sides of a region


@pytest.mark.parametrize("region", [
    (0, 0, 40, 30), (5, 0, 40, 30), (0, 7, 40, 30), (0, 0, 39, 30), (0, 0, 40, 29), (1, 1, 39, 29), (3, 2, 40, 30),
])  # fmt: skip
@pytest.mark.parametrize("cells", [(12, 16), (1, 1), (32, 32)])
def test_sides_equal_the_slow_ones(region, cells):
    rows, columns = cells
    ours = sides(Frame(40, 30, Box(*map(float, region)), columns, rows), Continuity())
    assert np.allclose(ours, slow_best.sides(region, (40, 30), cells), atol=1e-6)
    assert (ours == 1).all() == (region == (0, 0, 40, 30)), "a photo's own sides take nothing away"


def test_two_near_sides_take_no_more_than_one(monkeypatch):
    monkeypatch.setitem(slow_best.CONTINUITY, "fade", 5.0)
    ours = sides(Frame(40, 30, Box(5.0, 0.0, 35.0, 30.0), 8, 6), Continuity(fade=5.0))
    assert np.allclose(ours, slow_best.sides((5, 0, 35, 30), (40, 30), (6, 8)), atol=1e-6)
    assert ours.min() == pytest.approx(1 - Continuity().side)


def test_the_seed_counts_less_at_the_sides_of_a_crop():
    seed = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    kernel = 0.5 + 0.5 * np.eye(256)
    whole = glance_of(seed, kernel=kernel.astype(np.float32))
    crop = Glance(**{**fields_of(whole), "frame": Frame(20, 16, Box(4.0, 0.0, 20.0, 16.0), 16, 16)})
    vars(crop).update(maps=whole.maps, kernel=whole.kernel)
    before, after = (coarse_cut(glance, 0).odds for glance in (whole, crop))
    weights = slow_best.sides((4, 0, 20, 16), (20, 16), (16, 16))
    for ours, slow in ((before, seed), (after, seed * weights)):
        assert np.allclose(ours, slow_best.log_odds(slow, kernel, (16, 16)), atol=1e-4)
    assert after[:, 0].mean() < before[:, 0].mean() - 1


def fields_of(glance):
    return {name: getattr(glance, name) for name in Glance.__dataclass_fields__}


# --------------------------------------------------------------------------------------- what is asked of the network


def pooled(channels=8, classes=4):
    """Grids of 16, 8 and 4 for images of 128 pixels, with a nonlinear layer after each."""
    torch.manual_seed(0)
    body = nn.Conv2d(3, channels, 8, stride=8), nn.Softplus(), nn.Conv2d(channels, channels, 2, stride=2), nn.Softplus()
    last = nn.Conv2d(channels, channels, 2, stride=2), nn.Softplus()
    return nn.Sequential(*body, *last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def dense():
    """Takes images of one size."""
    return nn.Sequential(*pooled()[:6], nn.Flatten(), nn.Linear(8 * 16, 4))


def regions_of(classifier, count=3):
    """The whole of some photos of noise, at both sizes."""
    rng = np.random.default_rng(0)
    photos = [as_photo(rng.integers(0, 256, (50 + 9 * k, 60, 3), dtype=np.uint8)) for k in range(count)]
    return [Best().views(classifier, photo) for photo in photos]


def glances_of(network, table, regions=None):
    classifier = Classifier(network, size=128)
    regions = regions or regions_of(classifier, len(table))
    stages = classifier.stages((192, 192))
    return glances(private_view(classifier.network), regions, torch.tensor(table), stages, (128, 128), Continuity())


def test_regions_of_a_batch_get_what_each_gets_alone():
    network, table = pooled(), [[1, 2], [3, 3], [0, 1]]
    regions = regions_of(Classifier(network, size=128))
    together = glances_of(network, table, regions)
    assert [glance.classes for glance in together] == [(1, 2), (3,), (0, 1)]
    for glance, region, row in zip(together, regions, table, strict=True):
        (alone,) = glances_of(network, [row], [region])
        assert torch.allclose(glance.logits, alone.logits, atol=1e-6)
        assert [len(maps) for maps in glance.layer_maps] == [4] * len(glance.classes), "two layers at two sizes"
        for ours, theirs in zip(glance.maps, alone.maps, strict=True):
            assert np.allclose(ours, theirs, atol=1e-5)
        for ours, theirs in zip(glance.features, alone.features, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)
        assert glance.frame == region.frame


@pytest.mark.parametrize(("make", "sizes"), [(pooled, [128, 192]), (dense, [128])])
def test_each_size_is_one_pass_if_the_network_takes_it(make, sizes):
    network, shown = make(), []
    network.register_forward_pre_hook(lambda _, inputs: shown.append(tuple(inputs[0].shape)))
    glances_of(network, [[0, 1]] * 3)
    several = [shape for shape in shown if shape[0] > 1]  # the others are to find out about its layers
    assert several == [(3, 3, size, size) for size in sizes]


def test_features_are_those_of_the_first_size():
    network = pooled().eval()
    (glance,) = glances_of(network, [[0]])
    image = regions_of(Classifier(network, size=128), 1)[0].images[0]
    assert [tuple(layer.shape) for layer in glance.features] == [(8, 16, 16), (8, 8, 8)]
    with torch.no_grad():
        assert torch.allclose(glance.features[0], network[:2](image)[0], atol=1e-5)
        assert torch.allclose(glance.features[1], network[:4](image)[0], atol=1e-5)


def test_what_is_computed_of_a_glance_is_computed_once():
    (glance,) = glances_of(pooled(), [[0, 1]])
    assert glance.maps is glance.maps
    assert glance.kernel is glance.kernel
    assert glance.edges is glance.edges
    cut = coarse_cut(glance, 0)
    assert cut.mask is cut.mask


def test_glances_and_coarse_masks_are_values():
    """They cannot be changed, and are equal to nothing but themselves, since arrays have no truth value."""
    glance, other = (glance_of(blobs()) for _ in range(2))
    cut = Coarse(np.zeros((2, 2)), np.ones((2, 2), bool))
    for value, name in ((glance, "frame"), (cut, "odds")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
        assert value == value
    assert len({glance, other}) == 2


def test_evidence_at_the_last_layer_counts_before_global_pooling_alone():
    """A dense layer weighs each position on its own: there gradient times activation is left out of the seed."""
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    for head, count in (
        ((nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)), 2),
        ((nn.Flatten(), nn.Linear(2048, 3)), 1),
    ):
        network = nn.Sequential(*body, *head)
        stages = find_stages(network, (64, 64), (96, 96))
        image = torch.rand(1, 3, 64, 64)
        classes, layers = torch.tensor([[1]]), stages.with_gradients()
        seen = look(private_view(network), image, classes, layers, summary=summary_for((64, 64)))
        maps = layer_maps(seen, stages, 0, 0)
        assert len(maps) == count
        plain = look(private_view(network), image, classes, layers)
        seed = layers.index(stages.seed)
        assert np.allclose(maps[0], plain.gradients[seed][0, 0].norm(dim=0).numpy())
