"""A group of one process; `test_train` has one of two."""

import pytest
import torch
from torch import nn

from deepinside.training.process_group import leads, process_group


def test_a_single_process_communicates_nothing():
    with process_group("cpu") as group:
        assert (group.rank, group.world_size, group.leads) == (0, 1, True)
        values = torch.tensor([1, 2])
        assert group.sum(values) is values
        assert group.gather("x") == ["x"]
        network = nn.Linear(2, 2)
        assert group.parallel(network) is network


@pytest.mark.parametrize(("rank", "expected"), [("0", True), ("3", False)])
def test_the_first_process_leads(monkeypatch, rank, expected):
    monkeypatch.setenv("RANK", rank)
    assert leads() is expected
