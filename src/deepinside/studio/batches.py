"""Requests of several people as one piece of work: whatever waits when the worker is free goes together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Generic, TypeVar

from deepinside.core.errors import DeepInsideError

Kind = TypeVar("Kind", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Kind, Item, Result]):
    """A worker that takes all waiting items of one kind at once, the longest waiting first.

    Args:
        work: what is done with the items of a kind: a result or a reason for each, in their order.
        most: how many items go together, at most.
    """

    def __init__(self, work: Callable[[Kind, list[Item]], Iterable[Result | DeepInsideError]], most: int):
        self._work, self._most = work, most
        self._waiting: deque[tuple[Kind, Item, Future[Result]]] = deque()
        self._changed = Condition()
        Thread(target=self._run, name="batches", daemon=True).start()

    def ask(self, kind: Kind, item: Item) -> Result:
        """The result of an item, once it is there. Raises its reason where there is none."""
        future: Future[Result] = Future()
        with self._changed:
            self._waiting.append((kind, item, future))
            self._changed.notify()
        return future.result()

    def _run(self) -> None:
        while True:
            kind, items, futures = self._next()
            try:
                results = list(zip(futures, self._work(kind, items), strict=True))
            except Exception as error:  # whoever asked is told, and the worker goes on
                for future in futures:
                    future.set_exception(error)
                continue
            for future, result in results:
                if isinstance(result, DeepInsideError):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _next(self) -> tuple[Kind, list[Item], Sequence[Future[Result]]]:
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            kind = self._waiting[0][0]
            mine = [each for each in self._waiting if each[0] == kind][: self._most]
            for each in mine:
                self._waiting.remove(each)
        return kind, [item for _, item, _ in mine], [future for _, _, future in mine]
