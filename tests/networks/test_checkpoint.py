"""Checkpoints are complete or absent, and damage is reported in one line."""

import json

import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.networks import checkpoint


def saved(run, epoch):
    tensors = {"network.a": torch.full((3, 2), float(epoch)), "optimizer.0.step": torch.tensor(epoch)}
    return checkpoint.save(run, epoch, tensors, {"curve": [0.1 + 0.2, float("inf")]})


def test_what_was_saved_comes_back_to_the_bit(tmp_path):
    saved(tmp_path / "run", 1)
    found = checkpoint.newest(tmp_path / "run", pytest.fail)
    assert found.epoch == 1
    assert found.facts["curve"] == [0.1 + 0.2, float("inf")]
    assert torch.equal(found.tensors("network")["a"], torch.ones(3, 2))
    assert found.tensors("optimizer") == {"0.step": torch.tensor(1)}


def test_only_the_newest_two_stay(tmp_path):
    for epoch in (1, 2, 3):
        saved(tmp_path, epoch)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"epoch-000{n}.{kind}" for n in (2, 3) for kind in ("json", "safetensors")]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "json", "empty json", "format"])
def test_a_damaged_checkpoint_is_refused_in_one_line_and_the_one_before_used(tmp_path, damage):
    saved(tmp_path, 1)
    newest = saved(tmp_path, 2).path
    storage = newest.with_suffix(".safetensors")
    content = bytearray(storage.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        storage.write_bytes(content)
    elif damage == "cut":
        storage.write_bytes(content[:-4])
    elif damage == "gone":
        storage.unlink()
    elif damage == "json":
        newest.write_text(newest.read_text()[:-10])
    elif damage == "empty json":
        newest.write_text("[]")
    else:
        newest.write_text(json.dumps(json.loads(newest.read_text()) | {"format": 99}))
    with pytest.raises(DeepInsideError, match="epoch-0002") as refused:
        checkpoint.load(newest)
    assert len(str(refused.value).splitlines()) == 1
    heard = []
    assert checkpoint.newest(tmp_path, heard.append).epoch == 1
    assert len(heard) == 1
    assert heard[0].endswith("; using the one before it")


def test_a_write_that_was_cut_off_leaves_the_run_as_it_was(tmp_path, monkeypatch):
    saved(tmp_path, 1)
    monkeypatch.setattr(checkpoint.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(DeepInsideError, match="No space left"):
        saved(tmp_path, 2)
    assert checkpoint.newest(tmp_path, pytest.fail).epoch == 1


def test_an_empty_folder_is_no_run(tmp_path):
    assert not checkpoint.is_run(tmp_path)
    assert not checkpoint.is_run(tmp_path / "none")
    assert checkpoint.newest(tmp_path, pytest.fail) is None
