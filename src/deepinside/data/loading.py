"""From names of pictures to batches of bytes: every picture as a square of the training size, read once or each epoch.

As Krizhevsky et al. 2012 did: the shortest side is resized to `side`, and the central square kept. A data set that
fits in memory is read once; a larger one is read anew each epoch by worker processes, a few batches ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, read, read_bytes
from deepinside.data.classes import Entry

FITS = 4 * 2**30  # bytes of pictures that a process keeps in memory
RESAMPLE = Image.Resampling.BICUBIC

Track = Callable[[Iterable[Tensor], int], Iterable[Tensor]]


@dataclass(frozen=True)
class Survey:
    """What one pass over all pictures found out: those that can be read, why others cannot, and the colors.

    `pixels` holds all readable pictures where they fit in memory. `total` is the sum of their bytes at each place, and
    `products` the sum over all pixels of products of two channels: integers, exact whatever the order.
    """

    entries: tuple[Entry, ...]
    failures: Mapping[str, str]
    pixels: UInt8[Tensor, "pictures 3 side side"] | None
    total: Int[Tensor, "3 side side"]
    products: Int[Tensor, "3 3"]

    def mean_image(self, size: int) -> Float[Tensor, "3 size size"]:
        """The mean of all pictures, its central `size` x `size` pixels, RGB in [0, 1]."""
        start = (self.total.shape[-1] - size) // 2
        middle = self.total[:, start : start + size, start : start + size]
        mean: Tensor = middle.double() / (255 * len(self.entries))
        return mean.float()

    def color_axes(self) -> Float[Tensor, "3 3"]:
        """The principal axes of the colors of all pixels, in columns, each as long as its standard deviation."""
        pixels = len(self.entries) * self.total.shape[-1] ** 2
        mean = self.total.sum(dim=(1, 2)).double() / pixels
        covariance = self.products.double() / pixels - mean[:, None] * mean[None, :]
        variances, axes = torch.linalg.eigh(covariance / 255**2)
        scaled: Tensor = axes * variances.clamp(min=0).sqrt()
        return scaled.float()


class Squares(Dataset[tuple[Tensor, str]]):
    """The pictures as squares of bytes, (3, side, side), each with the reason why it could not be read, or ''."""

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
    """The photo of an entry, a file of its own or a part of an archive. Raises `DeepInsideError` as `read` does."""
    if entry.length is None:
        return read(entry.path)
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


def survey(
    entries: Sequence[Entry], side: int, *, keep: bool, workers: int = 0, track: Track = lambda batches, _: batches
) -> Survey:
    """Read every picture once.

    Args:
        entries: what to read.
        side: height and width of the squares, in pixels.
        keep: whether to keep the pixels.
        workers: processes that read ahead; 0 reads here.
        track: shows how far it is, given batches and their number.
    """
    batches = DataLoader(Squares(entries, side), batch_size=64, num_workers=workers)
    total = torch.zeros(3, side, side, dtype=torch.long)
    products = torch.zeros(3, 3, dtype=torch.long)
    kept: list[Tensor] = []
    reasons: list[str] = []
    for pictures, why in track(batches, len(batches)):
        reasons += why
        good = pictures[torch.tensor([not reason for reason in why])]
        total += good.long().sum(dim=0)
        # Bytes are exact in double precision, and so is the sum of 2 ** 37 of their products.
        flat = good.permute(1, 0, 2, 3).reshape(3, -1).double()
        products += (flat @ flat.T).long()
        if keep:
            kept.append(good)
    readable = tuple(entry for entry, reason in zip(entries, reasons, strict=True) if not reason)
    failures = {str(entry): reason for entry, reason in zip(entries, reasons, strict=True) if reason}
    return Survey(readable, failures, torch.cat(kept) if keep else None, total, products)


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
    """Batch after batch of pictures on the device, with their numbers among the entries.

    Args:
        entries: the pictures, all of which could be read once.
        pixels: the pictures themselves, where they are kept; `order` then only picks.
        side: height and width of the squares.
        order: the numbers of the pictures of each batch.
        device: where the batches go.
        workers: processes that read ahead.

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
        generator=torch.Generator(),  # its own, or it would take a number from those that dropout's masks are made of
    )
    for numbers, (pictures, reasons) in zip(order, loader, strict=True):
        broken = next(filter(None, reasons), None)
        if broken:
            raise DeepInsideError(f"{broken}; it could be read before")
        yield numbers, pictures.to(device, non_blocking=True)


def shuffled(count: int, batch: int, seed: int, epoch: int, rank: int, world: int) -> list[Int[Tensor, " _"]]:
    """This process's part of every batch of an epoch; the parts of all processes make up one order of all pictures.

    The last pictures, too few for a batch, wait for the next epoch's order.

    >>> whole = shuffled(10, 4, seed=0, epoch=0, rank=0, world=1)
    >>> parts = [shuffled(10, 4, seed=0, epoch=0, rank=rank, world=2) for rank in range(2)]
    >>> [sorted(a.tolist() + b.tolist()) for a, b in zip(*parts)] == [sorted(numbers.tolist()) for numbers in whole]
    True
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch + 500_000)
    order = torch.randperm(count, generator=generator)
    return [part[rank::world] for part in order[: count // batch * batch].split(batch)]


def in_turn(count: int, batch: int, rank: int, world: int) -> list[Int[Tensor, " _"]]:
    """This process's share of all pictures, each once, in batches of at most `batch`."""
    return list(torch.arange(count)[rank::world].split(batch))
