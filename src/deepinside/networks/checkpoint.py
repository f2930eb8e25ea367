"""Checkpoints of a training run: after each epoch, a `.safetensors` file with all tensors and a `.json` with the rest.

Both are written atomically, the `.json` last. It holds the digest of the tensors, so a checkpoint is complete or does
not exist, and later damage is detected. No code is stored, and none is executed on loading.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from deepinside.core.errors import DeepInsideError, brief, writing
from deepinside.core.files import atomic_write

KEPT = 2  # the newest, and the one before in case the newest is damaged
FORMAT = 1


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
        """Read the tensors whose names start with `prefix.`, by the rest of their names."""
        with safe_open(self.path.with_suffix(".safetensors"), framework="pt") as stored:
            names = [name for name in stored.keys() if name.startswith(f"{prefix}.")]  # noqa: SIM118
            return {name.removeprefix(f"{prefix}."): stored.get_tensor(name) for name in names}


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
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        _write_durably(storage, lambda part: save_file(plain, part))
        content = {"format": FORMAT, "epoch": epoch, **facts, "sha256": _digest(storage)}
        _write_durably(path, lambda part: part.write_text(json.dumps(content, indent=1), encoding="utf-8"))
        for old in _newest_first(run)[KEPT:]:
            old.unlink()
            old.with_suffix(".safetensors").unlink(missing_ok=True)
    return Checkpoint(path, content)


def load(path: Path) -> Checkpoint:
    """Load the checkpoint of a `.json` file, after its tensors are verified against their digest.

    Raises `DeepInsideError` for a file that is missing, damaged, or of another format.
    """
    storage = path.with_suffix(".safetensors")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise DeepInsideError(f"{path}: expected a checkpoint of format {FORMAT}, got {facts['format']}")
        if _digest(storage) != facts["sha256"]:
            raise DeepInsideError(
                f"{storage}: the checkpoint is damaged, since its digest differs from the one in {path.name}"
            )
        with safe_open(storage, framework="pt"):
            return Checkpoint(path, facts)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DeepInsideError(f"{path}: the checkpoint is damaged or incomplete ({brief(error)})") from None


def newest(run: Path, warn: Callable[[str], object]) -> Checkpoint | None:
    """The newest intact checkpoint of a run, or None if there is none; `warn` is called for each damaged one."""
    for path in _newest_first(run):
        try:
            return load(path)
        except DeepInsideError as error:
            warn(f"{error}; using the one before it")
    return None


def is_run(folder: Path) -> bool:
    """Whether a folder holds a training run."""
    return folder.is_dir() and bool(_newest_first(folder))


def _newest_first(run: Path) -> list[Path]:
    return sorted(run.glob("epoch-*.json"), reverse=True)


def _write_durably(path: Path, write: Callable[[Path], object]) -> None:
    """An atomic write that is flushed to the disk first, so that it also survives a crash of the machine."""
    with atomic_write(path) as part:
        write(part)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
