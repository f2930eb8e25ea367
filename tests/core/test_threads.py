"""Results of several threads in order, against plain loops."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, current_thread, get_ident

import pytest
import torch

from deepinside.core.threads import MAX_WORKERS, in_order


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
