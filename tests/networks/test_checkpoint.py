"""Checkpoints are complete or absent, and damage of any kind is reported in one line."""

import json
import os
import stat

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


WRONG = {
    "list": "[]",
    "number": "7",
    "text": '"epoch"',
    "null": "null",
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "long number": "9" * 10_000,
    "no JSON": "{format: 1}",
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_a_checkpoint_of_other_types_is_passed_over_with_a_line(tmp_path, content):
    saved(tmp_path, 1)
    newest = saved(tmp_path, 2).path
    newest.write_bytes(content if isinstance(content, bytes) else content.encode())
    heard = []
    assert checkpoint.newest(tmp_path, heard.append).epoch == 1
    assert len(heard) == 1
    assert len(heard[0].splitlines()) == 1
    assert len(heard[0]) < 600


@pytest.mark.parametrize("changes", [
    {"format": []}, {"format": {"a": 1}}, {"format": "1"}, {"epoch": "2"}, {"epoch": None}, {"epoch": 1e999},
    {"epoch": [2]}, {"epoch": 7}, {"epoch": True}, {"sha256": 5}, {"sha256": None},
])  # fmt: skip
def test_fields_of_other_types_are_passed_over_with_a_line(tmp_path, changes):
    saved(tmp_path, 1)
    newest = saved(tmp_path, 2).path
    newest.write_text(json.dumps(json.loads(newest.read_text()) | changes))
    heard = []
    assert checkpoint.newest(tmp_path, heard.append).epoch == 1
    assert [len(line.splitlines()) for line in heard] == [1]


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_keeps_nobody_waiting(tmp_path, suffix, make):
    saved(tmp_path, 1)
    path = saved(tmp_path, 2).path.with_suffix(suffix)
    path.unlink()
    make(path)
    heard = []
    assert checkpoint.newest(tmp_path, heard.append).epoch == 1
    assert len(heard) == 1


def test_other_names_are_no_checkpoints(tmp_path):
    for name in ("epoch-xyz.json", "epoch-.json", "epoch-٣٣٣٣.json", "epoch--001.json", "epoch-1.json"):
        (tmp_path / name).write_text("{}")
    assert not checkpoint.is_run(tmp_path)
    assert checkpoint.newest(tmp_path, pytest.fail) is None
    saved(tmp_path, 1)
    assert checkpoint.newest(tmp_path, pytest.fail).epoch == 1


def test_the_newest_is_that_of_the_highest_number(tmp_path):
    for epoch in (9_999, 10_000):
        saved(tmp_path, epoch)
    assert checkpoint.newest(tmp_path, pytest.fail).epoch == 10_000


def test_both_files_of_a_checkpoint_have_the_permissions_of_the_user(tmp_path):
    before = os.umask(0o027)
    try:
        path = saved(tmp_path, 1).path
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (path, path.with_suffix(".safetensors"))}
    assert modes == {0o640}


def test_a_checkpoint_that_goes_while_it_is_used_is_told_in_one_line(tmp_path):
    found = saved(tmp_path, 1)
    found.path.with_suffix(".safetensors").unlink()
    with pytest.raises(DeepInsideError, match="cannot be read any longer"):
        found.tensors("network")
