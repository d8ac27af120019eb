"""Reading ahead keeps order, errors and thrift; scaling where the network runs is scaling."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.embedding.feed import _known_to_gpu, ahead, on_device, scaled_on
from taxoscape.embedding.scaling import Scaling


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_items_come_in_order_whatever_is_read_ahead(depth: int) -> None:
    assert list(ahead(iter(range(20)), depth)) == list(range(20))
    assert list(ahead([], depth)) == []


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_comes_where_its_item_would_have_come(depth: int) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    feed = ahead(items(), depth)
    assert [next(feed), next(feed)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(feed)


def test_whoever_stops_early_leaves_no_thread_and_reads_no_more_than_was_ahead() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(1000):
            made.append(i)
            yield i

    feed = ahead(items(), depth=2)
    assert [next(feed) for _ in range(3)] == [0, 1, 2]
    feed.close()  # type: ignore[attr-defined]
    assert len(made) <= 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("taxoscape-feed")]


def test_the_next_item_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for i in range(3):
            made[i].set()
            yield i

    for i in ahead(items(), depth=1):
        assert all(event.wait(timeout=60) for event in made[: i + 2])


@given(
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64, ">u2"]),
    masked=st.booleans(),
)
@settings(max_examples=40)
def test_scaling_where_the_network_runs_is_that_of_scaling_bit_for_bit(seed: int, dtype: type, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 200, (3, 2, 5, 4)).astype(dtype)
    if values.dtype.kind == "f":
        values[rng.random(values.shape) < 0.1] = np.nan
    valid = rng.random((3, 5, 4)) < 0.7 if masked else None
    scaling = Scaling(mean=(90.0, 100.0), offset=(80.0, 95.0), scale=(30.0, 10.0))
    before = values.copy()
    expected, known = scaling.apply(values, valid), scaling.usable(values, valid)
    for given_values in (values, _known_to_gpu(values)):
        tiles, usable = scaled_on(scaling, given_values, valid, torch.device("cpu"))
        assert tiles.dtype == torch.float32
        np.testing.assert_array_equal(tiles.numpy(), expected)
        np.testing.assert_array_equal(usable.numpy(), known)
    laid, _ = on_device(scaling, values, valid, torch.device("cpu"))
    assert laid.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(laid.numpy(), expected)
    np.testing.assert_array_equal(values, before)
