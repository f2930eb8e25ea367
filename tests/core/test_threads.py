"""Results of several threads in order, against plain loops."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, current_thread, get_ident
from time import sleep

import pytest
import torch

from deepinside.core.threads import MAX_WORKERS, batches, in_batches, in_order


@pytest.fixture(params=[2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items_whatever_ends_first(threads):
    later = Event()

    def work(item):
        if item == 0:
            assert later.wait(20), "the second item was to be worked on meanwhile"
        if item == 1:
            later.set()
        return item * item

    assert list(in_order(work, range(9))) == [item * item for item in range(9)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_the_threads_are_shared_out_and_nobody_elses_change(threads, count):
    seen = list(in_order(lambda _: (get_ident(), torch.get_num_threads()), range(count)))
    workers = max(1, min(threads, MAX_WORKERS, count))
    assert len(seen) == count
    assert len({thread for thread, _ in seen}) <= workers
    assert {share for _, share in seen} <= {threads // workers}
    assert torch.get_num_threads() == threads
    # A thread of the caller's own, started later, is not held to the workers' share.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == threads


def test_an_item_alone_stays_in_the_callers_thread(threads):
    assert list(in_order(lambda _: current_thread(), [0])) == [current_thread()]


def test_an_error_ends_the_run_when_its_turn_comes(threads):
    results = in_order(lambda item: 6 // item, [3, 2, 0, 1])
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_items_are_taken_only_a_few_ahead_and_none_after_the_end(threads):
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 3 + 2 * MAX_WORKERS
    results.close()
    ahead = len(taken)
    assert list(results) == []
    assert len(taken) == ahead


def test_items_wait_for_room_and_a_single_one_always_has(threads):
    lock, inside, most = Lock(), [], []

    def work(item):
        with lock:
            inside.append(item)
            most.append((sum(inside), len(inside)))
        sleep(0.002)
        with lock:
            inside.remove(item)
        return item

    items = [60, 30, 250, 10, 90, 40, 40, 20, 100, 5]
    assert list(in_order(work, items, float, 100)) == items
    assert all(total <= 100 or count == 1 for total, count in most)


def test_batches_are_no_heavier_than_told_and_lose_nothing(threads):
    items = [6, 3, 25, 1, 9, 4, 4, 2, 10, 5, 0, 0, 0, 0, 0, 0]
    found = list(batches(items, 3, float, 10))
    assert [item for batch in found for item in batch] == items
    assert all(len(batch) == 1 or (len(batch) <= 3 and sum(batch) <= 10) for batch in found)


def test_results_of_batches_come_in_order(threads):
    found = in_batches(lambda batch: [(item, sum(batch)) for item in batch], range(20), 4, float, 30)
    assert [item for item, _ in found] == list(range(20))
