"""Mistakes that every photo would tell again: one error, from one small pass, before the first photo."""

import pytest
import torch
from torch import nn

from deepinside import Classifier, Neuron
from deepinside.core.errors import DeepInsideError
from deepinside.explanations.trial import try_out
from helpers import state_of


def classifier(module, labels=(), size=8):
    return Classifier(module, labels=labels, size=size, name="small")


@pytest.fixture
def rectified():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize("asked", [
    {}, {"targets": (2, 0)}, {"layer": "1"}, {"rule": "guided"}, {"layer": "0", "rule": "deconvnet", "targets": (1,)},
    {"neuron": Neuron("1", 3)}, {"neuron": Neuron("1", 3, at=(5, 5)), "rule": "guided"},
])  # fmt: skip
def test_what_the_network_has_passes_and_leaves_no_trace(rectified, asked):
    before = state_of(rectified)
    try_out(classifier(rectified, ["a", "b", "c"]), asked.pop("targets", ()), **asked)
    assert state_of(rectified) == before


@pytest.mark.parametrize(("asked", "message"), [
    ({"rule": "guidde"}, "did you mean guided"),
    ({"layer": "conv"}, "expected the name of a layer"),
    ({"layer": "4"}, "grid"),
    ({"targets": (0, 3)}, "expected a class index from 0 to 2, got 3"),
    ({"neuron": Neuron("1", 4)}, "expected channels from 0 to 3"),
    ({"neuron": Neuron("9", 0)}, "expected the name of a layer"),
    ({"neuron": Neuron("1", 0, at=(6, 0))}, "expected rows from 0 to 5"),
])  # fmt: skip
def test_what_it_has_not_is_named(rectified, asked, message):
    with pytest.raises(DeepInsideError, match=message):
        try_out(classifier(rectified), asked.pop("targets", ()), **asked)


def test_labels_of_another_network(rectified):
    with pytest.raises(DeepInsideError, match=r"as many labels as the network has classes \(3\), got 2"):
        try_out(classifier(rectified, ["a", "b"]))


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_a_rule_without_rectifiers(rule):
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(DeepInsideError, match="rectifiers"):
        try_out(classifier(smooth), rule=rule)
    try_out(classifier(smooth))


def test_a_network_for_another_size_is_told_in_its_own_words():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    with pytest.raises(DeepInsideError, match=r"on images of shape \(1, 3, 8, 8\) \(RuntimeError: .*; check the size"):
        try_out(classifier(flat))
    try_out(classifier(flat, size=16))


def test_a_network_that_divides_by_the_contrast_has_scores():
    class Standardized(nn.Module):
        def forward(self, images):
            flat = images.flatten(1)
            return ((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True))[:, :4]

    try_out(classifier(Standardized()))


def test_networks_of_other_channels_are_tried_on_those():
    network = nn.Sequential(nn.Conv2d(5, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    try_out(classifier(network), rule="guided", neuron=Neuron("1", 3))
