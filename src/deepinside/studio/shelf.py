"""What is kept of people's photos: the last used values, as far as they fit, and not for longer than an hour."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

HOUR = 3600.0  # seconds

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Shelf(Generic[Key, Value]):
    """Values by key, of which those that were not used for longest go where all together are too large, or too old.

    Args:
        most: how large all together may be, in bytes.
        seconds: how long a value is kept after it was last used.

    >>> shelf = Shelf(10)
    >>> for key in "ab":
    ...     shelf.put(key, key.upper(), 5)
    >>> shelf.get("a"), shelf.put("c", "C", 5), shelf.get("b")
    ('A', None, None)
    """

    def __init__(self, most: int, seconds: float = HOUR):
        self.most, self.seconds = most, seconds
        self.size = 0
        self._kept: OrderedDict[Key, tuple[Value, int, float]] = OrderedDict()
        self._lock = Lock()

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value of so many bytes. One that is too large for the shelf is kept alone."""
        with self._lock:
            self._drop(key)
            self._kept[key] = value, size, monotonic()
            self.size += size
            self._tidy()

    def get(self, key: Key) -> Value | None:
        """The value, or None where it is not there any more."""
        with self._lock:
            self._tidy()
            if key not in self._kept:
                return None
            value, size, _ = self._kept[key]
            self._kept[key] = value, size, monotonic()
            self._kept.move_to_end(key)
            return value

    def _tidy(self) -> None:
        while self._kept:
            first, (_, _, used) = next(iter(self._kept.items()))
            is_old = used + self.seconds < monotonic()
            if not is_old and (self.size <= self.most or len(self._kept) == 1):
                return
            self._drop(first)

    def _drop(self, key: Key) -> None:
        if key in self._kept:
            self.size -= self._kept.pop(key)[1]
