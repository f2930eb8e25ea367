"""Weights from files, without running what is in them, and a digest of them."""

import pytest
import timm
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.networks.sources import load
from deepinside.networks.weights import digest, fill, fill_in_order, read_weights


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_pickled_code_is_never_run(tmp_path, capsys):
    torch.save(Malicious(), tmp_path / "evil.pth")
    with pytest.raises(DeepInsideError, match="plain tensors"):
        read_weights(tmp_path / "evil.pth")
    assert "never run" not in capsys.readouterr().out


def test_broken_weights_are_named(tmp_path):
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(DeepInsideError, match=name):
            read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DeepInsideError, match="got list"):
        read_weights(tmp_path / "list.pth")
    with pytest.raises(DeepInsideError, match="found none"):
        read_weights(tmp_path / "missing.pth")


def test_weights_of_another_network_name_the_first_misfit(tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    with pytest.raises(DeepInsideError, match="do not fit ResNet: expected"):
        load("timm:resnet18", weights=tmp_path / "other.pth")


def test_the_first_misfit_is_the_first_in_the_networks_order(tmp_path):
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5))
    state = {name: torch.zeros(1) for name in reversed(network.state_dict())}
    for _ in range(3):
        with pytest.raises(DeepInsideError, match=r"expected \(3, 2\) for 0\.weight, got \(1,\)"):
            fill(network, state, tmp_path / "weights.pth")
    with pytest.raises(DeepInsideError, match=r"expected nothing for spare, got \(1,\)"):
        fill(network, network.state_dict() | {"spare": torch.zeros(1)}, tmp_path / "weights.pth")


def test_weights_in_order_have_to_fit():
    network = nn.Linear(2, 3)
    fill_in_order(network, {"a": torch.ones(3, 2), "b": torch.zeros(3)})
    assert network(torch.ones(1, 2)).tolist() == [[2, 2, 2]]
    with pytest.raises(DeepInsideError, match="do not fit"):
        fill_in_order(network, {"a": torch.ones(2, 3), "b": torch.zeros(3)})


@pytest.mark.parametrize("change", [
    lambda n: n[0].weight.data.view(-1)[3].neg_(), lambda n: n[1].running_mean.add_(1e-6),
    lambda n: n.double(), lambda n: n.append(nn.Linear(1, 1)),
])  # fmt: skip
def test_a_digest_changes_with_any_weight_or_statistic(change):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    before = digest(network)
    assert digest(network) == before
    change(network)
    assert digest(network) != before
