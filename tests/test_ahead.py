from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.ahead import spread


@given(st.lists(st.integers()), st.integers(1, 4))
def test_work_that_is_spread_comes_in_order(items, workers):
    assert list(spread(lambda item: 2 * item, items, workers)) == [2 * item for item in items]


def test_few_items_more_than_workers_are_taken_ahead():
    taken: list[int] = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    results = spread(lambda item: item, items(), 3)
    assert next(results) == 0
    assert len(taken) <= 5


def test_workers_work_side_by_side():
    both = threading.Barrier(2, timeout=20)
    assert list(spread(lambda item: (both.wait(), item)[1], [1, 2], 2)) == [1, 2]


def test_an_error_comes_where_its_result_would_and_ends_the_rest():
    def work(item):
        time.sleep(0.01)
        return 1 / item

    results = spread(work, [1, 0, 2], 2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
