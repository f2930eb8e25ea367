"""Several people's requests as one piece of work: who shares a call, who waits, and who is told of what went wrong."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.studio.batches import Batches

PATIENCE = 10.0  # seconds


class Held:
    """Work whose first call waits until it is let go, so that requests pile up behind it."""

    def __init__(self, answer=lambda kind, item: (kind, item)):
        self.calls, self.began, self.go = [], Event(), Event()
        self.answer = answer

    def __call__(self, kind, items):
        self.calls.append((kind, list(items)))
        self.began.set()
        assert self.go.wait(PATIENCE)
        return [self.answer(kind, item) for item in items]


def waiting(batches, count):
    """Wait until so many requests wait."""
    end = time.monotonic() + PATIENCE
    while len(batches._waiting) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(400) as pool:
        yield pool


def asked(pool, batches, pairs):
    """Requests in this very order, each on a thread of its own."""
    futures, before = [], len(batches._waiting)
    for number, (kind, item) in enumerate(pairs, start=1):
        futures.append(pool.submit(batches.ask, kind, item))
        waiting(batches, before + number)
    return futures


def held(pool, most=100, answer=lambda kind, item: (kind, item)):
    work = Held(answer)
    batches = Batches(work, most)
    first = pool.submit(batches.ask, "first", 0)
    assert work.began.wait(PATIENCE)
    return work, batches, first


def test_what_waits_of_one_kind_goes_together_and_other_kinds_wait(pool):
    work, batches, _ = held(pool)
    pairs = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("a", 6)]
    futures = asked(pool, batches, pairs)
    work.go.set()
    assert [each.result(PATIENCE) for each in futures] == pairs
    assert work.calls == [("first", [0]), ("a", [1, 3, 6]), ("b", [2, 5]), ("c", [4])]


def test_no_more_than_so_many_go_together(pool):
    work, batches, _ = held(pool, most=3)
    futures = asked(pool, batches, [("a", number) for number in range(5)] + [("b", 5)])
    work.go.set()
    assert [each.result(PATIENCE)[1] for each in futures] == [0, 1, 2, 3, 4, 5]
    assert work.calls[1:] == [("a", [0, 1, 2]), ("a", [3, 4]), ("b", [5])], "the longest waiting kind first"


def test_items_may_be_equal_and_need_no_hash(pool):
    work, batches, _ = held(pool, answer=lambda kind, item: item)
    items = [["same"], ["same"], ["same"]]
    futures = asked(pool, batches, [("a", item) for item in items])
    work.go.set()
    assert all(each.result(PATIENCE) is item for each, item in zip(futures, items, strict=True))


def test_hundreds_of_people_get_their_own_results(pool):
    sizes = []

    def work(kind, items):
        sizes.append(len(items))
        time.sleep(0.001)
        return ((kind, item * item) for item in items)

    batches = Batches(work, 16)
    found = list(pool.map(lambda n: batches.ask(n % 3, n), range(600)))
    assert found == [(number % 3, number * number) for number in range(600)]
    assert max(sizes) <= 16
    assert sum(sizes) == 600
    assert len(sizes) < 600, "some went together"


def test_a_reason_of_one_leaves_the_others_alone(pool):
    work, batches, _ = held(pool, answer=lambda kind, item: DeepInsideError(f"no {item}") if item == 2 else item)
    futures = asked(pool, batches, [("a", 1), ("a", 2), ("a", 3)])
    work.go.set()
    assert [futures[0].result(PATIENCE), futures[2].result(PATIENCE)] == [1, 3]
    with pytest.raises(DeepInsideError, match="no 2"):
        futures[1].result(PATIENCE)
    assert len(work.calls) == 2


@pytest.mark.parametrize("wrong", [ZeroDivisionError("by zero"), MemoryError("full")], ids=lambda e: type(e).__name__)
def test_whatever_goes_wrong_is_told_to_all_who_asked_and_the_worker_goes_on(pool, wrong):
    def answer(kind, item):
        if kind == "bad":
            raise wrong
        return item

    work, batches, first = held(pool, answer=answer)
    bad = asked(pool, batches, [("bad", 1), ("bad", 2)])
    good = asked(pool, batches, [("good", 3)])
    work.go.set()
    for each in bad:
        with pytest.raises(type(wrong)):
            each.result(PATIENCE)
    assert (first.result(PATIENCE), good[0].result(PATIENCE), batches.ask("good", 4)) == (0, 3, 4)


@pytest.mark.parametrize("results", [[], [1], [1, 2, 3]], ids=len)
def test_work_that_gives_too_few_or_too_many_results_leaves_nobody_waiting(pool, results):
    def work(kind, items):
        return list(results) if kind == "bad" else items

    batches = Batches(work, 10)
    go = Held(lambda kind, item: item)
    batches._work = lambda kind, items: go(kind, items) if kind == "first" else work(kind, items)
    pool.submit(batches.ask, "first", 0)
    assert go.began.wait(PATIENCE)
    futures = asked(pool, batches, [("bad", "a"), ("bad", "b")])
    go.go.set()
    for each in futures:
        with pytest.raises(ValueError, match="zip"):
            each.result(PATIENCE)
    assert batches.ask("good", 4) == 4
