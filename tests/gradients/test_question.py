"""Targets in the forms that callers write them, and which images go through a network together."""

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.question import CHUNK, question_of
from deepinside.gradients.targets import Neuron


@pytest.mark.parametrize(("targets", "table", "are_several"), [
    (3, [[3], [3]], False), (np.int64(3), [[3], [3]], False), ([3, 1], [[3], [1]], False),
    (range(2), [[0], [1]], False), (np.array([3, 1]), [[3], [1]], False),
    (torch.tensor([[3, 1], [0, 2]]), [[3, 1], [0, 2]], True),
])  # fmt: skip
def test_every_form_of_targets_is_a_table(targets, table, are_several):
    question = question_of(torch.rand(2, 3, 8, 8), targets)
    assert question.asked.tolist() == table
    assert question.are_several is are_several
    found = torch.arange(2 * len(table[0]) * 5).reshape(2, len(table[0]), 5).float()
    assert torch.equal(question.answer(found), found if are_several else found[:, 0])


@pytest.mark.parametrize(("images", "targets", "told"), [
    ("photo.jpg", 0, "for photos, as files or images, call explain"),
    (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 0, "expected float images of shape"),
    (torch.zeros(0, 3, 8, 8), 0, "expected float images of shape"), (torch.zeros(3, 8, 8), 0, "expected float images"),
    (torch.zeros(2, 3, 8, 8), "cat", "a module has no class names, got 'cat'"),
    (torch.zeros(2, 3, 8, 8), [[0, 1], [2]], "expected class numbers"),
    (torch.zeros(2, 3, 8, 8), 1.0, "expected class numbers as targets, got values of type"),
    (torch.zeros(2, 3, 8, 8), [0, 1, 2], r"one for each \(2,\) or several for each \(2, k\); got \(3,\)"),
])  # fmt: skip
def test_what_makes_no_sense_is_told(unchecked, images, targets, told):
    with pytest.raises(DeepInsideError, match=told):
        question_of(images, targets)


def test_a_score_of_ones_own_gets_all_images_at_once_and_a_neuron_does_not():
    images = torch.rand(CHUNK + 2, 3, 8, 8)
    of_class, neuron = question_of(images, 0), question_of(images, Neuron("0", 1))
    own = question_of(images, lambda logits: logits[:, 0])
    assert [list(each.parts()) for each in (of_class, neuron)] == [[slice(0, CHUNK), slice(CHUNK, CHUNK + 2)]] * 2
    assert list(own.parts()) == [slice(0, CHUNK + 2)]
    assert [each.knows_its_images for each in (of_class, neuron, own)] == [False, False, True]


def test_variants_of_a_part_ask_for_the_classes_of_that_part():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 6))
    images = torch.rand(4, 3, 2, 2)
    question = question_of(images, [5, 0, 3, 1])
    variants = torch.cat([images[1:3], 2 * images[1:3]])
    passes = question.passes(network, variants, slice(1, 3))
    expected = network(variants)[torch.arange(4), [0, 3, 0, 3]]
    assert torch.allclose(passes.scores[:, 0], expected)
