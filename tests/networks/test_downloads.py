"""One look whether a hub can be reached; caches are used without a network."""

import time

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from deepinside.core.errors import DeepInsideError
from deepinside.networks.downloads import from_hugging_face, from_torch_hub, is_reachable
from deepinside.networks.sources import load

URL = "https://example.invalid/models/net.pth"


@pytest.fixture
def without_network(monkeypatch, tmp_path):
    """No connection, and empty caches; the list has what was asked for."""
    asked = []

    def refuse(request, **_):
        asked.append(request.full_url)
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return asked


@pytest.mark.parametrize("spec", ["timm:resnet18", "torchvision:resnet18", "hf:google/vit-base-patch16-224"])
def test_without_a_network_one_line_says_so_after_one_try(spec, without_network):
    if spec.startswith("hf:"):
        pytest.importorskip("transformers")
    with pytest.raises(DeepInsideError, match=r"have to be downloaded.*no connection to .*lite0") as caught:
        load(spec)
    assert "\n" not in str(caught.value)
    assert len(without_network) == 1
    assert not constants.HF_HUB_OFFLINE, "as it was before"


def test_what_is_in_the_cache_of_the_hub_needs_no_network(without_network, tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("resnet18")
    repository = tmp_path / "hub" / f"models--{timm.get_pretrained_cfg('resnet18').hf_hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(network.state_dict(), repository / "snapshots" / ("0" * 40) / "model.safetensors")
    assert torch.equal(load("timm:resnet18").network.model.fc.weight, network.fc.weight)


def test_what_is_in_the_cache_of_torch_needs_no_network_and_no_look(without_network, tmp_path):
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "checkpoints" / "net.pth").touch()
    assert from_torch_hub("torchvision:net", URL, lambda: 7) == 7
    assert not without_network


def test_a_hub_that_refuses_gives_its_own_reason_without_escape_codes(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as the user said: no look at all

    def make():
        raise RuntimeError("\x1b[31mgated\x1b[0m\nrepository")

    with pytest.raises(DeepInsideError, match=r"failed \(\\x1b\[31mgated\\x1b\[0m repository\)"):
        from_hugging_face("hf:a/b", make)


def test_a_server_that_never_answers_is_given_up_in_time(monkeypatch):
    def slow(*_, **__):
        time.sleep(2.0)
        raise OSError("at last")

    monkeypatch.setattr("urllib.request.urlopen", slow)
    start = time.perf_counter()
    assert not is_reachable(URL, seconds=0.2)
    assert time.perf_counter() - start < 1.5
