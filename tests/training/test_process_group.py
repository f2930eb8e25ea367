"""The team of one; `test_train` has the one of two."""

import pytest
import torch
from torch import nn

from deepinside.training.process_group import joined, leads


def test_alone_there_is_nothing_to_agree_on():
    with joined("cpu") as team:
        assert (team.rank, team.world, team.leads) == (0, 1, True)
        values = torch.tensor([1, 2])
        assert team.total(values) is values
        assert team.everyone("x") == ["x"]
        network = nn.Linear(2, 2)
        assert team.together(network) is network


@pytest.mark.parametrize(("rank", "expected"), [("0", True), ("3", False)])
def test_the_first_process_leads(monkeypatch, rank, expected):
    monkeypatch.setenv("RANK", rank)
    assert leads() is expected
