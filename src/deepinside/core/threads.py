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
from threading import Thread
from typing import TypeVar

import torch

MOST = 4  # photos at once; each holds a pass of its own in memory, and Python itself runs on one core

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work(item)` of every item, in the order of the items, a few of them worked on ahead of what is asked for.

    An item alone is worked on in the caller's own thread, with all of PyTorch's. What `work` raises is raised when its
    item's turn comes, and ends the run.

    >>> list(in_order(len, ["a", "bcd"]))
    [1, 3]
    """
    items = iter(items)
    first = list(islice(items, MOST))
    threads = torch.get_num_threads()
    workers = min(threads, len(first))
    if workers < 2:  # a new thread would start PyTorch's threads anew, beside those that are there
        yield from map(work, chain(first, items))
        return
    pool = ThreadPoolExecutor(workers, initializer=_hold_to, initargs=(threads // workers, threads))
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


def _hold_to(threads: int, process: int) -> None:
    """Let PyTorch use so many threads for what this one asks of it, and as many as before for all others."""
    torch.get_num_threads()  # a thread's first call takes the process's number, and must not come later
    torch.set_num_threads(threads)  # this thread's number, and the process's, which another thread puts back
    other = Thread(target=torch.set_num_threads, args=(process,))
    other.start()
    other.join()
