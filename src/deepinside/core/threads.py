"""Run one function on several items at once, each on a thread of its own, and return the results in order.

Explaining one photo does not keep many cores busy: the deep layers of a network are small, and threads that wait for
each other cost more than they contribute. Photos are independent of each other, so each runs on its own thread with an
equal share of PyTorch's threads. On an accelerator, the CPU segments one photo while the device works on another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from math import inf
from operator import itemgetter
from threading import Thread
from typing import TypeVar

import torch

MAX_WORKERS = 4  # each holds the activations of one pass in memory, and Python code itself runs on one core

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    load: Callable[[Item], float] = lambda _: 0,
    most: float = inf,
) -> Iterator[Result]:
    """Yield `work(item)` for every item, in the order of the items, while a few later items are already running.

    A single item runs in the caller's own thread, with all of PyTorch's threads. An exception of `work` is raised when
    the result of its item is due, and ends the iteration.

    Args:
        work: what is done with each item.
        items: what it is done with, taken a few ahead.
        load: what an item weighs, such as the pixels of its photos.
        most: the weight of all items at once. An item waits for those before it until there is room; a single one
            always has.

    >>> list(in_order(len, ["a", "bcd"]))
    [1, 3]
    """
    items = iter(items)
    first = list(islice(items, MAX_WORKERS))
    threads = torch.get_num_threads()
    workers = min(threads, len(first))
    if workers < 2:  # a worker thread would start a second set of PyTorch's threads beside the existing one
        yield from map(work, chain(first, items))
        return
    pool = ThreadPoolExecutor(workers, initializer=_limit_threads, initargs=(threads // workers, threads))
    waiting: deque[tuple[Future[Result], float]] = deque()
    try:
        for item in chain(first, items):
            weight = load(item)
            while waiting and sum(other for _, other in waiting) + weight > most:
                yield waiting.popleft()[0].result()
            waiting.append((pool.submit(work, item), weight))
            if len(waiting) > workers:
                yield waiting.popleft()[0].result()
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)


def batches(
    items: Iterable[Item], most: int, load: Callable[[Item], float] = lambda _: 0, heaviest: float = inf
) -> Iterator[list[Item]]:
    """Batches of at most `most` items for `in_order`, smaller where there are too few to give every worker one.

    A batch of several items weighs at most `heaviest`, by the `load` of each.

    >>> torch.set_num_threads(2)
    >>> [list(batches(range(count), 4)) for count in (3, 5)]
    [[[0, 1], [2]], [[0, 1, 2], [3, 4]]]
    """
    rest = iter(items)
    workers = min(torch.get_num_threads(), MAX_WORKERS)
    ahead = list(islice(rest, workers * most))
    size = min(max(-(-len(ahead) // workers), 1), most)
    rest = chain(ahead, rest)
    batch: list[Item] = []
    weight = 0.0
    for item in rest:
        added = load(item)
        if batch and (len(batch) == size or weight + added > heaviest):
            yield batch
            batch, weight = [], 0.0
        batch.append(item)
        weight += added
    if batch:
        yield batch


def in_batches(
    work: Callable[[list[Item]], Iterable[Result]],
    items: Iterable[Item],
    most: int,
    load: Callable[[Item], float] = lambda _: 0,
    heaviest: float = inf,
) -> Iterator[Result]:
    """The results of `work` for `batches` of at most `most` items, `in_order`.

    All items at once weigh at most `heaviest`, by the `load` of each, unless a single one weighs more.

    >>> list(in_batches(lambda batch: [len(batch)], ["a", "b", "c"], most=1, load=len, heaviest=20))
    [1, 1, 1]
    """
    weighed = ((item, load(item)) for item in items)
    parts = batches(weighed, most, itemgetter(1), heaviest / (MAX_WORKERS + 1))

    def results(part: list[tuple[Item, float]]) -> Iterable[Result]:
        return work([item for item, _ in part])

    return chain.from_iterable(in_order(results, parts, lambda part: sum(weight for _, weight in part), heaviest))


def _limit_threads(own: int, process: int) -> None:
    """Let PyTorch use `own` threads for the calls of this thread, and `process` threads for all others, as before."""
    torch.get_num_threads()  # a thread's first call copies the number of the process, so it has to come first
    torch.set_num_threads(own)  # sets the number of this thread and of the process; another thread restores the latter
    other = Thread(target=torch.set_num_threads, args=(process,))
    other.start()
    other.join()
