"""The number of classes that a state dict is for, against the number that it was made with."""

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from deepinside.networks.heads import count_classes, outline

TIMM = [
    "resnet10t",
    "levit_128s",
    "crossvit_tiny_240",
    "deit_tiny_distilled_patch16_224",
    "convnext_atto",
    "volo_d1_224",
]
TORCHVISION = ["squeezenet1_1", "regnet_x_400mf", "mnasnet0_5", "shufflenet_v2_x0_5"]


@pytest.mark.parametrize("name", TIMM)
def test_classes_of_timms_architectures_with_one_and_several_heads(name):
    def make(classes):
        return timm.create_model(name, num_classes=classes)

    assert count_classes(make, outline(lambda: make(13))) == 13


@pytest.mark.parametrize("name", TORCHVISION)
def test_classes_of_torchvisions_architectures(name):
    def make(classes):
        return models.get_model(name, weights=None, num_classes=classes)

    assert count_classes(make, outline(lambda: make(1))) == 1


class Pairs(nn.Module):
    """Two heads: of each class, and of each class twice."""

    def __init__(self, classes):
        super().__init__()
        self.one, self.two = nn.Linear(5, classes), nn.Linear(5, 2 * classes)


def test_heads_that_disagree_or_are_missing_tell_nothing():
    state = Pairs(4).state_dict()
    assert count_classes(Pairs, state) == 4
    assert count_classes(Pairs, state | {"two.bias": torch.zeros(9)}) is None
    assert count_classes(Pairs, state | {"two.bias": torch.zeros(6)}) is None
    assert count_classes(Pairs, {}) is None


class Computed(nn.Module):
    """Its constructor reads the values of a weight, which have to be real."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3).fill_(2.0))
        self.size = int(self.weight.sum())


def test_an_outline_takes_no_memory_where_it_can_and_leaves_the_random_numbers():
    state = torch.random.get_rng_state()
    assert outline(lambda: nn.Linear(2**20, 2**20))["weight"].device.type == "meta"
    assert outline(Computed)["weight"].shape == (3,)
    assert torch.equal(torch.random.get_rng_state(), state)
