"""From file names to batches of pixels: every picture as a square of the training size, read once or in each epoch.

As in Krizhevsky et al. 2012, the shortest side is resized to `side`, and the central square is kept. A data set that
fits in memory is read once; a larger one is read again in each epoch by worker processes, a few batches ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deepinside.core.errors import DeepInsideError
from deepinside.core.formats import check_size
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, read, read_bytes
from deepinside.data.classes import Entry

FITS = 4 * 2**30  # bytes of pictures that a process keeps in memory
READ_TOGETHER = 64  # pictures
RESAMPLE = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Survey:
    """What reading pictures once has found: those that can be read, why others cannot, and the sums of their colors.

    `failures` maps the name of each unreadable picture to the reason. `pixels` holds all readable pictures, or is None
    where they are not kept. `total` is the sum of the pictures' bytes for each pixel, and `products` the sum over all
    pixels of the products of two channels: both are integers, and so exact in whatever order they were summed.
    """

    entries: tuple[Entry, ...]
    failures: Mapping[str, str]
    pixels: UInt8[Tensor, "pictures 3 side side"] | None
    total: Int[Tensor, "3 side side"]
    products: Int[Tensor, "3 3"]

    def mean_image(self, size: int) -> Float[Tensor, "3 size size"]:
        """The mean of all pictures, RGB in [0, 1], of which the central `size` x `size` pixels are kept."""
        start = (self.total.shape[-1] - size) // 2
        middle = self.total[:, start : start + size, start : start + size]
        mean: Tensor = middle.double() / (255 * len(self.entries))
        return mean.float()

    def color_axes(self) -> Float[Tensor, "3 3"]:
        """The principal axes of the colors of all pixels, in columns, each scaled to its standard deviation."""
        pixels = len(self.entries) * self.total.shape[-1] ** 2
        mean = self.total.sum(dim=(1, 2)).double() / pixels
        covariance = self.products.double() / pixels - mean[:, None] * mean[None, :]
        variances, axes = torch.linalg.eigh(covariance / 255**2)
        scaled: Tensor = axes * variances.clamp(min=0).sqrt()
        return scaled.float()


class Squares(Dataset[tuple[Tensor, str]]):
    """Pictures as squares of bytes, (3, side, side), each with the reason why it could not be read, or ''."""

    def __init__(self, entries: Sequence[Entry], side: int):
        self.entries, self.side = entries, side

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> tuple[Tensor, str]:
        try:
            return square(open_entry(self.entries[number]), self.side), ""
        except DeepInsideError as error:
            return torch.zeros(3, self.side, self.side, dtype=torch.uint8), str(error)


def open_entry(entry: Entry) -> Photo:
    """The photo of an entry, which is a file or a part of an archive. Raises `DeepInsideError` as `read` does."""
    if entry.length is None:
        return read(entry.path)
    check_size(entry.length, str(entry))
    try:
        with entry.path.open("rb") as archive:
            archive.seek(entry.offset)
            return read_bytes(archive.read(entry.length), str(entry))
    except OSError as error:
        raise DeepInsideError(f"{entry}: expected an archive that can be read ({error.strerror})") from None


def square(photo: Photo, side: int) -> UInt8[Tensor, "3 side side"]:
    """The photo's central square on side x side pixels."""
    region = Frame.center(photo.width, photo.height, width=side, height=side).region.as_tuple()
    small = photo.image.resize((side, side), RESAMPLE, box=region, reducing_gap=3.0)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def survey(entries: Sequence[Entry], side: int, *, keep: bool, workers: int = 0) -> Iterator[Survey]:
    """Read every picture once, and yield what each batch of them has shown; `merged` adds the parts up.

    Args:
        entries: the pictures to read.
        side: height and width of the squares, in pixels.
        keep: whether to keep the pixels.
        workers: processes that read ahead; with 0, this process reads.
    """
    loader = DataLoader(Squares(entries, side), batch_size=READ_TOGETHER, num_workers=workers)
    for number, (pictures, reasons) in enumerate(loader):
        batch = entries[number * READ_TOGETHER :][: len(reasons)]
        good = pictures[torch.tensor([not reason for reason in reasons])]
        # Bytes are exact in double precision, and so is the sum of 2 ** 37 of their products.
        flat = good.permute(1, 0, 2, 3).reshape(3, -1).double()
        yield Survey(
            tuple(entry for entry, reason in zip(batch, reasons, strict=True) if not reason),
            {str(entry): reason for entry, reason in zip(batch, reasons, strict=True) if reason},
            good if keep else None,
            good.long().sum(dim=0),
            (flat @ flat.T).long(),
        )


def merged(parts: Iterable[Survey], side: int) -> Survey:
    """Several surveys of pictures of `side` x `side` pixels as one. Pixels are kept if all parts have kept them."""
    parts = list(parts)
    failures: dict[str, str] = {}
    for part in parts:
        failures |= part.failures
    kept = [part.pixels for part in parts if part.pixels is not None]
    return Survey(
        tuple(entry for part in parts for entry in part.entries),
        failures,
        torch.cat(kept) if kept and len(kept) == len(parts) else None,
        sum((part.total for part in parts), start=torch.zeros(3, side, side, dtype=torch.long)),
        sum((part.products for part in parts), start=torch.zeros(3, 3, dtype=torch.long)),
    )


def fits(count: int, side: int) -> bool:
    """Whether so many squares can be kept in memory."""
    return count * 3 * side * side <= FITS


def batches(
    entries: Sequence[Entry],
    pixels: UInt8[Tensor, "pictures 3 side side"] | None,
    side: int,
    order: Sequence[Int[Tensor, " _"]],
    device: torch.device,
    workers: int = 0,
) -> Iterator[tuple[Int[Tensor, " _"], UInt8[Tensor, "_ 3 side side"]]]:
    """Batches of pictures on the device, each with the indices of its pictures among the entries.

    Args:
        entries: the pictures, all of which could be read once.
        pixels: the pictures' pixels, where they are kept in memory; nothing is read then.
        side: height and width of the squares, in pixels.
        order: the indices of the pictures of each batch.
        device: the device that the batches are moved to.
        workers: processes that read ahead; with 0, this process reads.

    Raises `DeepInsideError` for a picture that can no longer be read.
    """
    if pixels is not None:
        for numbers in order:
            yield numbers, pixels[numbers.to(pixels.device)].to(device)
        return
    loader = DataLoader(
        Squares(entries, side),
        batch_sampler=[numbers.tolist() for numbers in order],
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # its own: the global one draws the dropout masks
    )
    for numbers, (pictures, reasons) in zip(order, loader, strict=True):
        broken = next(filter(None, reasons), None)
        if broken:
            raise DeepInsideError(f"{broken}; it could be read before")
        yield numbers, pictures.to(device, non_blocking=True)


def shuffled(count: int, batch: int, seed: int, epoch: int, rank: int, world_size: int) -> list[Int[Tensor, " _"]]:
    """The indices of this process's pictures in every batch of an epoch, of `count` pictures in random order.

    All processes draw the same order, and each takes its share of every batch. The last pictures, too few for a batch,
    are left out of this epoch.

    >>> whole = shuffled(10, 4, seed=0, epoch=0, rank=0, world_size=1)
    >>> parts = [shuffled(10, 4, seed=0, epoch=0, rank=rank, world_size=2) for rank in range(2)]
    >>> [sorted(a.tolist() + b.tolist()) for a, b in zip(*parts)] == [sorted(numbers.tolist()) for numbers in whole]
    True
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch + 500_000)
    order = torch.randperm(count, generator=generator)
    return [part[rank::world_size] for part in order[: count // batch * batch].split(batch)]


def in_turn(count: int, batch: int, rank: int, world_size: int) -> list[Int[Tensor, " _"]]:
    """The indices of this process's share of `count` pictures, each once, in batches of at most `batch`."""
    return list(torch.arange(count)[rank::world_size].split(batch))
