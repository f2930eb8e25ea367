"""A training run on disk: after each epoch one `.safetensors` file with every tensor and one `.json` with the rest.

Both are written beside their place and moved there when complete, the `.json` last: it names the size and the digest of
the tensors, so a checkpoint exists whole or not at all, and damage that comes later is noticed. No code is stored, and
none is run on loading.
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
from deepinside.core.files import appearing

KEPT = 2  # the newest and the one before it, should the newest turn out damaged
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """One epoch's end. `facts` are plain values of JSON; tensors stay in the file until they are asked for."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return int(self.facts["epoch"])

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name begins with `prefix.`, under the rest of their name."""
        with safe_open(self.path.with_suffix(".safetensors"), framework="pt") as stored:
            names = [name for name in stored.keys() if name.startswith(f"{prefix}.")]  # noqa: SIM118
            return {name.removeprefix(f"{prefix}."): stored.get_tensor(name) for name in names}


def save(run: Path, epoch: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint and take away all but the newest few.

    Args:
        run: the folder of the run, made if missing.
        epoch: how many epochs are done.
        tensors: by names such as `network.weight`; the part before the first dot groups them.
        facts: whatever JSON can hold, floats to the last bit.

    Raises `DeepInsideError` where it cannot be written.
    """
    path = run / f"epoch-{epoch:04}.json"
    with writing(path, "a checkpoint"):
        storage = path.with_suffix(".safetensors")
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        _moved_there(storage, lambda part: save_file(plain, part))
        told = {"format": FORMAT, "epoch": epoch, **facts, "sha256": _digest(storage)}
        _moved_there(path, lambda part: part.write_text(json.dumps(told, indent=1), encoding="utf-8"))
        for old in _newest_first(run)[KEPT:]:
            old.unlink()
            old.with_suffix(".safetensors").unlink(missing_ok=True)
    return Checkpoint(path, told)


def load(path: Path) -> Checkpoint:
    """The checkpoint of a `.json` file, once its tensors are known to be whole.

    Raises `DeepInsideError` for a file that is missing, damaged, or of another format.
    """
    storage = path.with_suffix(".safetensors")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise DeepInsideError(f"{path}: expected a checkpoint of format {FORMAT}, got {facts['format']}")
        if _digest(storage) != facts["sha256"]:
            raise DeepInsideError(f"{storage}: the checkpoint is damaged, its digest is not the one written with it")
        with safe_open(storage, framework="pt"):
            return Checkpoint(path, facts)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DeepInsideError(f"{path}: the checkpoint is damaged or incomplete ({brief(error)})") from None


def newest(run: Path, warn: Callable[[str], object]) -> Checkpoint | None:
    """The newest checkpoint of a run that is whole, or None where there is none; `warn` hears of every other one."""
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


def _moved_there(path: Path, write: Callable[[Path], object]) -> None:
    """Flushed to the disk before it has its name: a crash of the machine leaves the old file or the new one, too."""
    with appearing(path) as part:
        write(part)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
