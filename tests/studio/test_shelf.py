"""What is kept: never more than fits, the last used, from any number of threads."""

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepinside.studio import shelf as module
from deepinside.studio.shelf import Shelf


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abcdef"), st.integers(0, 8)),
            st.tuples(st.just("get"), st.sampled_from("abcdef"), st.just(0)),
        ),
        max_size=60,
    )
)
def test_the_last_used_are_kept_as_far_as_they_fit(steps):
    shelf, model = Shelf(10), OrderedDict()
    for number, (what, key, size) in enumerate(steps):
        if what == "get":
            assert shelf.get(key) == (model[key][0] if key in model else None)
            if key in model:
                model.move_to_end(key)
            continue
        shelf.put(key, number, size)
        model.pop(key, None)
        model[key] = number, size
        while sum(kept for _, kept in model.values()) > 10 and len(model) > 1:
            model.popitem(last=False)
        assert shelf.size == sum(kept for _, kept in model.values())


def test_what_was_not_used_for_longest_goes_first():
    shelf = Shelf(3)
    for key in "abc":
        shelf.put(key, key, 1)
    shelf.get("a")
    shelf.put("d", "d", 1)
    assert [shelf.get(key) for key in "abcd"] == ["a", None, "c", "d"]


def test_a_value_that_is_put_again_counts_once():
    shelf = Shelf(10)
    for number in range(5):
        shelf.put("a", number, 4)
    shelf.put("b", "b", 6)
    assert (shelf.get("a"), shelf.get("b"), shelf.size) == (4, "b", 10)


def test_what_is_too_large_is_kept_alone():
    shelf = Shelf(10)
    shelf.put("a", "a", 4)
    shelf.put("b", "b", 50)
    assert (shelf.get("a"), shelf.get("b"), shelf.size) == (None, "b", 50)
    shelf.put("c", "c", 4)
    assert (shelf.get("b"), shelf.get("c"), shelf.size) == (None, "c", 4)


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_threads_get_what_they_have_put_or_nothing(most):
    shelf, together = Shelf(most), Barrier(8)

    def work(thread):
        together.wait()
        for number in range(200):
            key = (thread * 7 + number) % 40
            shelf.put(key, ("value", key), key % 5)
            assert shelf.get((key + 3) % 40) in (None, ("value", (key + 3) % 40))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert shelf.size == sum(size for _, size, _ in shelf._kept.values())
    assert shelf.size <= most or len(shelf._kept) == 1


def test_what_is_old_goes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    shelf = Shelf(100, seconds=10)
    shelf.put("a", "A", 5)
    now[0] = 8.0
    shelf.put("b", "B", 5)
    now[0] = 10.0
    assert shelf.get("a") == "A"  # which counts from now on
    now[0] = 18.5
    assert (shelf.get("b"), shelf.get("a"), shelf.size) == (None, "A", 5)
    now[0] = 30.0
    assert (shelf.get("a"), shelf.size) == (None, 0)
