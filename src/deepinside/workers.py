"""Several photos at once, on threads that share the processor's cores instead of all threads helping with each one.

A network at work on one photo has little to share out: its deep layers are small, and threads that wait for each other
cost more than they bring. Photos are independent, so each gets a thread; and while a device runs one photo's passes,
the processor can cut another's masks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

MOST = 4  # photos at once; each holds a pass of its own in memory, and Python itself runs on one core

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work(item)` of every item, in the order of the items, a few of them worked on ahead of what is asked for.

    An item alone gets all of PyTorch's threads. What `work` raises is raised when its item's turn comes, and ends the
    run.

    >>> list(in_order(len, ["a", "bcd"]))
    [1, 3]
    """
    items = iter(items)
    first = list(islice(items, MOST))
    threads = torch.get_num_threads()
    workers = max(1, min(threads, len(first)))
    pool = ThreadPoolExecutor(workers, initializer=_hold_to, initargs=(threads // workers,))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in chain(first, items):
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _hold_to(threads: int) -> None:
    """Let PyTorch use so many threads for what this one asks of it; its own setter holds the whole process to them."""
    torch.get_num_threads()  # the first call in a thread sets the process's number, and must not come later
    threadpool_limits(threads, user_api="openmp")
