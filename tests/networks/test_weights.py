"""Weights from files, without running what is in them, in the forms in which trainers save them, and a digest."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from deepinside.core.errors import DeepInsideError
from deepinside.networks.sources import load
from deepinside.networks.weights import Match, StateDict, digest, fill, fill_in_order, matching, read_weights


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def reloaded(content, path):
    """The weights in a file, in a network that began with others, and the notes."""
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    network = small(seed=1)
    match = matching(read_weights(path), network.state_dict())
    fill(network, match)
    return network, match.notes


@pytest.mark.parametrize(("name", "write"), [("weights.bin", save_file), ("weights.safetensors", torch.save)])
def test_the_content_of_a_file_says_its_format(tmp_path, name, write):
    write(small().state_dict(), tmp_path / name)
    match = matching(read_weights(tmp_path / name), small().state_dict())
    assert all(torch.equal(match.state[key], value) for key, value in small().state_dict().items())


def test_pickled_code_is_never_run(tmp_path, capsys):
    for content in (Malicious(), {"state_dict": small().state_dict(), "callbacks": [Malicious()]}):
        torch.save(content, tmp_path / "evil.pth")
        with pytest.raises(
            DeepInsideError, match=r"plain tensors.*objects that run code: (builtins|__builtin__).print"
        ):
            read_weights(tmp_path / "evil.pth")
    assert "never run" not in capsys.readouterr().out


def test_a_pickled_network_is_refused_by_the_name_of_its_class(tmp_path):
    torch.save(small(), tmp_path / "whole.pth")
    with pytest.raises(DeepInsideError, match=r"torch\.save\(model\.state_dict\(\), path\).*BatchNorm2d"):
        read_weights(tmp_path / "whole.pth")


def test_broken_weights_are_named(tmp_path):
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(DeepInsideError, match=name):
            read_weights(tmp_path / name)
    for content, kind in (([1, 2], "list"), ({"epoch": 3}, "dict"), (torch.zeros(3), "Tensor")):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(DeepInsideError, match=f"got {kind}"):
            read_weights(tmp_path / "other.pth")
    with pytest.raises(DeepInsideError, match="found none"):
        read_weights(tmp_path / "missing.pth")


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.parametrize("prefix", [
    "", "module.", "model.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "net.", "network.", "backbone.0.",
    "model.module.encoder.",
])  # fmt: skip
@pytest.mark.parametrize("name", ["file.pth", "file.safetensors"])
def test_prefixes_of_wrappers_are_removed(prefix, name, tmp_path):
    network, notes = reloaded(prefixed(small().state_dict(), prefix), tmp_path / name)
    assert digest(network) == digest(small())
    assert notes == ()


def test_modules_that_wrap_a_network_are_read_as_they_save_it(tmp_path):
    for number, wrapped in enumerate((nn.DataParallel(small()), AveragedModel(small()), torch.compile(small()))):
        network, _ = reloaded(wrapped.state_dict(), tmp_path / f"{number}.pth")
        assert digest(network) == digest(small())


@pytest.mark.parametrize("place", [
    ("state_dict",), ("model_state_dict",), ("model",), ("net",), ("weights",), ("module",),
    ("checkpoint", "generator"),
])  # fmt: skip
def test_state_dicts_are_found_wherever_they_are_in_a_file(place, tmp_path):
    content = small().state_dict()
    for key in reversed(place):
        content = {"epoch": 3, key: content, "loss": 0.5, 7: torch.zeros(3)}
    network, _ = reloaded(content, tmp_path / "file.pth")
    assert digest(network) == digest(small())


def test_a_checkpoint_of_timms_trainer_gives_the_moving_average_and_says_so(tmp_path):
    network = small()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.rand(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 3, "arch": "small", "state_dict": network.state_dict(), "optimizer": optimizer.state_dict(),
        "version": 2, "args": argparse.Namespace(lr=0.1, output=Path("out")), "amp_scaler": {"scale": 65536.0},
        "state_dict_ema": small(seed=2).state_dict(), "metric": np.float64(81.5), "best": np.arange(2),
    }  # fmt: skip
    read, (note,) = reloaded(content, tmp_path / "model_best.pth.tar")
    assert digest(read) == digest(small(seed=2))
    assert "took the moving average" in note
    assert "state_dict_ema" in note


def test_a_checkpoint_of_lightning_is_read_beside_its_losses_and_metrics(tmp_path):
    state = prefixed(small().state_dict(), "model.") | {"criterion.weight": torch.ones(5), "acc.total": torch.tensor(3)}
    content = {
        "state_dict": state, "hyper_parameters": {"lr": 0.1}, "pytorch-lightning_version": "2.4.0", "epoch": 4,
        "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.5)}}, "loops": {},
    }  # fmt: skip
    network, _ = reloaded(content, tmp_path / "last.ckpt")
    assert digest(network) == digest(small())


def test_what_trainers_leave_among_the_weights_and_what_older_ones_lack(tmp_path):
    state = small().state_dict()
    del state["1.num_batches_tracked"]
    state |= {"total_ops": torch.zeros(1), "0.total_params": torch.zeros(1), "epoch": 3, "lr": [0.1]}
    network, _ = reloaded(state, tmp_path / "file.pth")
    assert digest(network) == digest(small())


def test_several_networks_in_a_file_are_refused_unless_they_are_the_same(tmp_path):
    two = prefixed(small().state_dict(), "student.") | prefixed(small(seed=2).state_dict(), "teacher.")
    with pytest.raises(DeepInsideError, match=r"several that fit equally well \('student', 'teacher'\); save one"):
        reloaded(two, tmp_path / "file.pth")
    with pytest.raises(DeepInsideError, match="several that fit equally well"):  # no average, in spite of its letters
        reloaded({"cinema": small().state_dict(), "other": small(seed=2).state_dict()}, tmp_path / "file.pth")
    same = prefixed(small().state_dict(), "model.") | prefixed(small().state_dict(), "compiled._orig_mod.")
    assert digest(reloaded(same, tmp_path / "file.pth")[0]) == digest(small())


def test_a_file_with_another_network_beside_gives_the_one_that_fits(tmp_path):
    wider = nn.Sequential(nn.Conv2d(3, 9, 3), nn.BatchNorm2d(9), nn.Flatten(), nn.Linear(36, 5))
    content = {"student": small().state_dict(), "teacher": wider.state_dict()}
    assert digest(reloaded(content, tmp_path / "file.pth")[0]) == digest(small())


def test_weights_of_another_network_name_the_first_misfit(tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    with pytest.raises(DeepInsideError, match=r"do not fit ResNet: expected .* give the model that"):
        load("timm:resnet18", weights=tmp_path / "other.pth")


def test_the_first_misfit_is_the_first_in_the_networks_order(tmp_path):
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5))
    path = tmp_path / "weights.safetensors"
    messages = set()
    for _ in range(3):
        save_file({name: torch.zeros(1) for name in network.state_dict()} | {"z": torch.zeros(1)}, path)
        with pytest.raises(DeepInsideError, match=r"expected \(3, 2\) for 0\.weight, got \(1,\)") as caught:
            fill(network, matching(read_weights(path), network.state_dict()))
        messages.add(str(caught.value))
    assert len(messages) == 1
    spare = StateDict(network.state_dict() | {"spare": torch.zeros(1)})
    with pytest.raises(DeepInsideError, match=r"expected nothing for spare, got \(1,\)"):
        fill(network, Match(path, spare))


def test_names_from_a_file_carry_no_escape_codes_into_messages(tmp_path):
    state = small().state_dict() | {"\x1b]0;title\x07\nname": torch.zeros(1)}
    with pytest.raises(DeepInsideError) as caught:
        reloaded(dict(state), tmp_path / "file.pth")
    assert r"expected nothing for \x1b]0;title\x07\nname, got (1,)" in str(caught.value)
    with pytest.raises(DeepInsideError, match="none of the 1 names in the file is known"):
        reloaded({"\x1b[31m": torch.zeros(1)}, tmp_path / "file.pth")


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


def test_weights_that_are_not_finite_are_one_network(tmp_path):
    content = {name: value * float("nan") for name, value in small().state_dict().items()}
    network, _ = reloaded(content, tmp_path / "a.pth")
    assert network[0].weight.isnan().all()


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("stored", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta")])
def test_tensors_without_stored_values_are_told_as_missing(stored, tmp_path):
    content = {name: stored(value) if name == "3.weight" else value for name, value in small().state_dict().items()}
    with pytest.raises(DeepInsideError, match=r"expected \(5, 16\) for 3.weight, got nothing"):
        reloaded(content, tmp_path / "a.pth")


def test_nobody_is_advised_to_run_a_file_that_is_refused(tmp_path):
    for text in ("<!DOCTYPE html><html>", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"):
        (tmp_path / "a.pth").write_text(text)
        with pytest.raises(DeepInsideError, match=r"expected a \.safetensors file") as refused:
            read_weights(tmp_path / "a.pth")
        assert "weights_only" not in str(refused.value)
