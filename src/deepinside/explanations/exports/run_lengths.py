"""Masks as text and bytes: COCO's compressed run lengths, and the brush of Label Studio."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def coco_rle(mask: Bool[np.ndarray, "rows columns"]) -> str:
    """A mask as COCO's compressed run lengths (`rleToString` in cocoapi's `common/maskApi.c`).

    The lengths of alternating runs of 0 and 1 in column-major order, starting with 0; from the fourth on, each is the
    difference to the one two before; each number is split into 5-bit groups, lowest first, as printable characters.

    >>> coco_rle(np.array([[False, True], [True, True]]))
    '13'
    """
    pixels = mask.ravel(order="F")
    counts = _runs(pixels).tolist()
    if pixels[0]:
        counts.insert(0, 0)
    return "".join(_characters(count - counts[i - 2] if i > 2 else count) for i, count in enumerate(counts))


def brush_rle(mask: Bool[np.ndarray, "rows columns"]) -> list[int]:
    """A mask as the bytes of a Label Studio brush: RGBA values of 0 and 255, run length encoded.

    The format is thi.ng's `rle-pack`, as in `label_studio_sdk.converter.brush`. The header has the number of values (32
    bits), the word size - 1 (5 bits) and four length sizes - 1 (4 bits each). Each record has a bit, here 1 for a run;
    2 bits, here 3 for the fourth length size, which is 16 bits; the length - 1; and the value.

    >>> brush_rle(np.array([[True, True]]))
    [0, 0, 0, 8, 57, 27, 255, 0, 7, 255]
    """
    pixels = mask.ravel()
    lengths = 4 * _runs(pixels)
    values = np.where(np.arange(len(lengths)) % 2 == int(pixels[0]), 0, 255)
    longest = 1 << 16
    pieces = -(-lengths // longest)  # a run that is too long for 16 bits becomes several
    sizes = np.full(pieces.sum(), longest)
    sizes[pieces.cumsum() - 1] = lengths - (pieces - 1) * longest
    records = (1 << 26) | (3 << 24) | ((sizes - 1) << 8) | np.repeat(values, pieces)
    header = f"{4 * pixels.size:032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    head = np.array(list(header), dtype=np.uint8)
    body = np.unpackbits(records.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)[:, -27:]
    return [int(byte) for byte in np.packbits(np.concatenate([head, body.ravel()]))]


def _runs(pixels: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " runs"]:
    """The lengths of runs of equal pixels."""
    starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    return np.diff(starts, prepend=0, append=pixels.size)


def _characters(value: int) -> str:
    text = ""
    while True:
        group, value = value & 31, value >> 5
        last = value == (-1 if group & 16 else 0)  # bit 16 of the last group is the sign
        text += chr(48 + group + (0 if last else 32))
        if last:
            return text
