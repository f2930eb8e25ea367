"""Values of any depth as shares of white: 12 bits in 16, numbers of a CT below zero, floating point.

Values that fill their type, as photos do, keep their scale. All others are scaled by the range that the file declares,
or else by the smallest common depth that no value exceeds, and a note says so: nothing becomes black without a word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

INTEGER_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
FLOAT_WHITES = (1.0, 255.0, 65535.0)
USUAL_INTEGER = 65535.0
ROWS = 256  # that are scaled at a time
DARK = 16  # values below a 16th of white are taken for another scale


@dataclass(frozen=True)
class Window:
    """The values that become black and white, and a note where they are not the usual ones."""

    low: float
    high: float
    note: str = ""

    def shares(self, values: np.ndarray) -> Float[np.ndarray, "..."]:
        """Values as shares of the window, in [0, 1]."""
        scaled = values.astype(np.float32)
        scaled -= np.float32(self.low)
        scaled /= np.float32(self._width)
        return np.asarray(scaled.clip(0, 1, out=scaled))

    def bytes(self, values: np.ndarray) -> UInt8[np.ndarray, "..."]:
        """Values as 8 bits: rounded, black at `low` and white at `high`."""
        scaled = np.empty(values.shape, dtype=np.uint8)
        for start in range(0, len(values), ROWS):  # a few rows at a time, since doubles take eight times the memory
            rows = values[start : start + ROWS].astype(np.float64)
            scaled[start : start + ROWS] = ((rows - self.low) * (255 / self._width)).clip(0, 255).round()
        return scaled

    @property
    def _width(self) -> float:
        return self.high - self.low if self.high > self.low else 1.0


def window(values: np.ndarray, declared: float | None = None) -> Window:
    """The window of the values of one picture, of any number of channels.

    Args:
        values: integers of more than 8 bits, or floating point.
        declared: the value of white as the file declares it.

    Raises `ValueError` for values that are not finite.

    >>> window(np.array([0, 4000], dtype=np.uint16))
    Window(low=0.0, high=4095.0, note='12-bit values 0 to 4095 were scaled to 8 bits')
    >>> window(np.array([0, 65000], dtype=np.uint16)), window(np.array([0.0, 0.9]))
    (Window(low=0.0, high=65535.0, note=''), Window(low=0.0, high=1.0, note=''))
    """
    floating = np.issubdtype(values.dtype, np.floating)
    if floating and not np.isfinite(values).all():
        raise ValueError("some of its values are not finite")
    low, largest = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    usual = FLOAT_WHITES if floating else (USUAL_INTEGER,)
    if low < 0:
        return Window(low, largest, _note(low, largest))
    if declared and declared >= largest:
        return Window(0.0, declared, "" if declared in usual and largest * DARK >= declared else _note(0, declared))
    white = next((white for white in (FLOAT_WHITES if floating else INTEGER_WHITES) if largest <= white), largest)
    if 0 < largest * DARK < white:
        white = largest
    return Window(0.0, white, "" if white in usual or largest == 0 else _note(0, white))


def _note(low: float, high: float) -> str:
    bits = int(high + 1).bit_length() - 1
    depth = f"{bits}-bit values" if low == 0 and high + 1 == 2**bits and bits > 1 else "values"
    return f"{depth} {low:g} to {high:g} were scaled to 8 bits"
