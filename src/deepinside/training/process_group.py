"""The processes that train together: one, or as many as `torchrun` started, on one machine or several.

`torchrun` tells each process its place in the environment; without it there is one process and nothing to agree on.
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
class Team:
    """This process's place among all: `rank` of `world`, and the device it computes on."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the one process that prints and writes."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum of all processes' values, of any shape."""
        if self.world == 1:
            return values
        summed = values.to(self.device)
        dist.all_reduce(summed)
        return summed.to(values.device)

    def everyone(self, value: T) -> list[T]:
        """What each process has, in the order of their ranks."""
        if self.world == 1:
            return [value]
        values: list[T | None] = [None] * self.world
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def together(self, network: nn.Module) -> nn.Module:
        """The network with gradients that are the mean over all processes, whose weights start as the leader's."""
        if self.world == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices)


@contextmanager
def joined(device: str = "auto") -> Iterator[Team]:
    """The team while the block lasts.

    Args:
        device: `"cpu"`, `"cuda"`, or `"auto"` for a GPU where there is one.

    Raises `DeepInsideError` for a GPU that is not there.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    gpu = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    if gpu and not torch.cuda.is_available():
        raise DeepInsideError("expected a GPU for --device cuda, found none; use --device cpu")
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(place)
    if world == 1:
        yield Team(0, 1, place)
        return
    # Half an hour: one process may still be reading pictures while the others wait.
    dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(minutes=30))
    try:
        yield Team(rank, world, place)
    finally:
        dist.destroy_process_group()


def leads() -> bool:
    """Whether this process is the one that prints and writes, also before and after the team meets."""
    return int(os.environ.get("RANK", 0)) == 0
