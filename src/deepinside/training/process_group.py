"""The processes that train together: one, or as many as `torchrun` started, on one machine or several.

`torchrun` gives each process its rank in the environment. Without it there is one process, and nothing to communicate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deepinside.core.errors import DeepInsideError

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among all that train together: its rank, how many there are, and the device it computes on."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the one process that reports and writes files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of all processes' values, of any shape."""
        if self.world_size == 1:
            return values
        summed = values.to(self.device)
        dist.all_reduce(summed)
        return summed.to(values.device)

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks."""
        if self.world_size == 1:
            return [value]
        values: list[T | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes, its weights starting as those of the leader."""
        if self.world_size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices)


@contextmanager
def process_group(device: str = "auto") -> Iterator[ProcessGroup]:
    """The process group, while the block lasts.

    Args:
        device: `"cpu"`, `"cuda"`, or `"auto"` for a GPU where there is one.

    Raises `DeepInsideError` for a GPU that is not there.
    """
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    gpu = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    if gpu and not torch.cuda.is_available():
        raise DeepInsideError("expected a GPU for --device cuda, found none; use --device cpu")
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(own)
    if world_size == 1:
        yield ProcessGroup(0, 1, own)
        return
    # Half an hour: one process may still be reading pictures while the others wait.
    dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(minutes=30))
    try:
        yield ProcessGroup(rank, world_size, own)
    finally:
        dist.destroy_process_group()


def leads() -> bool:
    """Whether this process is the one that reports and writes files, also outside of `process_group`."""
    return int(os.environ.get("RANK", 0)) == 0
