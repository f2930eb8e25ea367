"""Checkpoints of a training run: after each epoch, a `.safetensors` file with all tensors and a `.json` with the rest.

Both are written atomically, the `.json` last. It holds the digest of the tensors, so a checkpoint is complete or does
not exist, and later damage is detected. No code is stored, and none is executed on loading.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from deepinside.core.errors import DeepInsideError, brief, writing
from deepinside.core.files import atomic_write

KEPT = 2  # the newest, and the one before in case the newest is damaged
FORMAT = 1
NAME = re.compile(r"epoch-([0-9]{4,9})\.json")
LARGEST = 2**28  # bytes of a `.json`; labels and curves take far less


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch. `facts` are JSON values; tensors stay in the file until they are read."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """The number of completed epochs."""
        return int(self.facts["epoch"])

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Read the tensors whose names start with `prefix.`, by the rest of their names.

        Raises `DeepInsideError` for a file that has been removed or replaced since.
        """
        try:
            with safe_open(self.path.with_suffix(".safetensors"), framework="pt") as stored:
                names = [name for name in stored.keys() if name.startswith(f"{prefix}.")]  # noqa: SIM118
                return {name.removeprefix(f"{prefix}."): stored.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise DeepInsideError(f"{self.path}: the checkpoint cannot be read any longer ({brief(error)})") from None


def save(run: Path, epoch: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint, and delete all but the newest `KEPT`.

    Args:
        run: the folder of the run, which is created if missing.
        epoch: the number of completed epochs.
        tensors: by names such as `network.weight`; the part before the first dot is their group.
        facts: JSON values; floats are kept to the last bit.

    Raises `DeepInsideError` where it cannot be written.
    """
    path = run / f"epoch-{epoch:04}.json"
    with writing(path, "a checkpoint"):
        storage = path.with_suffix(".safetensors")
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        # Not by `save_file`, whose own temporary file nobody but its owner may read.
        _write_durably(storage, lambda part: part.write_bytes(safetensors.torch.save(plain)))
        content = {"format": FORMAT, "epoch": epoch, **facts, "sha256": _digest(storage)}
        _write_durably(path, lambda part: part.write_text(json.dumps(content, indent=1), encoding="utf-8"))
    for old in _newest_first(run):
        if _number(old) <= epoch - KEPT:
            with suppress(OSError):
                old.unlink()
                old.with_suffix(".safetensors").unlink()
    return Checkpoint(path, content)


def load(path: Path) -> Checkpoint:
    """Load the checkpoint of a `.json` file, after its tensors are verified against their digest.

    Raises `DeepInsideError` for a file that is missing, damaged, or of another format.
    """
    storage = path.with_suffix(".safetensors")
    try:
        facts = _facts(path)
        if facts["format"] != FORMAT:
            raise DeepInsideError(f"{path}: expected a checkpoint of format {FORMAT}, got another one")
        if _digest(storage) != facts["sha256"]:
            raise DeepInsideError(
                f"{storage}: the checkpoint is damaged, since its digest differs from the one in {path.name}"
            )
        with safe_open(storage, framework="pt"):
            return Checkpoint(path, facts)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise DeepInsideError(f"{path}: the checkpoint is damaged or incomplete ({brief(error)})") from None


def newest(run: Path, warn: Callable[[str], object]) -> Checkpoint | None:
    """The newest intact checkpoint of a run, or None if there is none; `warn` is called for each damaged one."""
    paths = _newest_first(run)
    for path in paths:
        try:
            return load(path)
        except DeepInsideError as error:
            warn(f"{error}; {'there is none' if path == paths[-1] else 'using the one'} before it")
    return None


def is_run(folder: Path) -> bool:
    """Whether a folder holds a training run."""
    return folder.is_dir() and bool(_newest_first(folder))


def _newest_first(run: Path) -> list[Path]:
    paths = [path for path in run.glob("epoch-*.json") if NAME.fullmatch(path.name)]
    return sorted(paths, key=_number, reverse=True)


def _number(path: Path) -> int:
    found = NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1])


def _facts(path: Path) -> dict[str, Any]:
    """What the `.json` says. Raises `ValueError` for what is no checkpoint's, and what JSON and the system raise."""
    _check_regular(path)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST} bytes")
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"expected an object, got {type(facts).__name__}")
    if type(facts["epoch"]) is not int or facts["epoch"] != _number(path):
        raise ValueError(f"expected the number of the epoch, {_number(path)}")
    return facts


def _check_regular(path: Path) -> None:
    """Raise `ValueError` for what would keep its reader waiting, such as a named pipe."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no file")


def _write_durably(path: Path, write: Callable[[Path], object]) -> None:
    """An atomic write that is flushed to the disk first, so that it also survives a crash of the machine."""
    with atomic_write(path) as part:
        write(part)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())


def _digest(path: Path) -> str:
    _check_regular(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
