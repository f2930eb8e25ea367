"""Work in order on several threads, against plain loops."""

from threading import Event, get_ident

import pytest
import torch

from deepinside.workers import MOST, in_order


def test_results_come_in_the_order_of_the_items_whatever_ends_first():
    later = Event()

    def work(item):
        if item == 0:
            assert later.wait(20), "the second item was to be worked on meanwhile"
        if item == 1:
            later.set()
        return item * item

    torch.set_num_threads(max(2, torch.get_num_threads()))
    assert list(in_order(work, range(9))) == [item * item for item in range(9)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_the_threads_are_shared_out_and_nobody_elses_change(count):
    before = torch.get_num_threads()
    seen = list(in_order(lambda _: (get_ident(), torch.get_num_threads()), range(count)))
    workers = max(1, min(before, MOST, count))
    assert len(seen) == count
    assert len({thread for thread, _ in seen}) <= workers
    assert {share for _, share in seen} <= {before // workers}
    assert torch.get_num_threads() == before
    # A thread of the caller's own, started later, is not held to the workers' share.
    (other,) = in_order(lambda _: torch.get_num_threads(), [0])
    assert other == before


def test_an_error_ends_the_run_when_its_turn_comes():
    results = in_order(lambda item: 6 // item, [3, 2, 0, 1])
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_items_are_taken_only_a_few_ahead_and_none_after_the_end():
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 3 + 2 * MOST
    results.close()
    ahead = len(taken)
    assert list(results) == []
    assert len(taken) == ahead
