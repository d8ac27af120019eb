"""Triplets of a large cube are trained on window by window, each once, and the same each time."""

from __future__ import annotations

import hashlib
import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.config import EncoderSettings
from taxoscape.embedding import order
from taxoscape.embedding.order import Storage, interleaved, storage_of, windows_of
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.training import TrainState, batches, train
from taxoscape.embedding.triplets import Triplets
from tests.embedding.conftest import SMALL


def some(n: int, dates: int, side: int, seed: int = 0) -> Triplets:
    """Return triplets whose anchors lie anywhere on a square of ``side`` pixels."""
    rng = np.random.default_rng(seed)
    anchor = np.column_stack([rng.integers(0, side, (n, 2)), rng.integers(0, dates, n)]).astype(np.int32)
    return Triplets(anchor, anchor, anchor)


def blocks_of(triplets: Triplets, rows: np.ndarray, edge: int) -> int:
    return len(np.unique(triplets.anchor[rows] // [edge, edge, 1], axis=0))


@given(
    n=st.integers(1, 400), dates=st.integers(1, 4), batch=st.integers(2, 60), at_once=st.integers(1, 30),
    edge=st.sampled_from([16, 64, 512]), seed=st.integers(0, 99), epoch=st.integers(0, 3),
)  # fmt: skip
def test_an_epoch_has_each_triplet_once_in_as_many_batches_as_of_a_small_cube(
    n: int, dates: int, batch: int, at_once: int, edge: int, seed: int, epoch: int
) -> None:
    triplets, settings = some(n, dates, 300, seed), EncoderSettings(batch_size=batch)
    storage = Storage(edge_px=edge, at_once=at_once)
    plain = batches(triplets, settings, seed=seed, epoch=epoch)
    found = batches(triplets, settings, seed=seed, epoch=epoch, storage=storage)
    assert sorted(np.concatenate(found)) == list(range(n))
    assert len(found) == len(plain) == len(batches(triplets, settings, seed=seed, epoch=epoch + 1, storage=storage))
    sparse = 4 * np.bincount(triplets.anchor[:, 2]) < batch
    for rows in found:
        days = np.unique(triplets.anchor[rows, 2])
        assert len(days) == 1 or sparse[days].all()
    again = batches(triplets, settings, seed=seed, epoch=epoch, storage=storage)
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))


def test_a_batch_is_of_few_blocks_and_the_order_is_another_in_each_epoch() -> None:
    triplets, settings = some(4000, 2, 1600), EncoderSettings(batch_size=100)
    storage = Storage(edge_px=100, at_once=8)
    plain = batches(triplets, settings, seed=0, epoch=0)
    first, second = (batches(triplets, settings, seed=0, epoch=epoch, storage=storage) for epoch in (0, 1))
    assert max(blocks_of(triplets, rows, 100) for rows in first) <= 24  # of a window, and what its ends share
    assert min(blocks_of(triplets, rows, 100) for rows in plain) > 60
    assert not any(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_batches_among_which_the_order_changes_are_of_few_windows() -> None:
    windows = [[np.array([10 * window + batch]) for batch in range(5)] for window in range(9)]
    found = np.concatenate(interleaved(windows, np.random.default_rng(0)))
    assert sorted(found) == sorted(np.concatenate([batch for window in windows for batch in window]))
    for start in range(0, len(found), 5 * order.LANES):
        assert len({row // 10 for row in found[start : start + 5 * order.LANES]}) <= order.LANES
    assert len({row // 10 for row in found[:10]}) > 1


def test_a_window_holds_whole_blocks_but_for_those_at_its_ends() -> None:
    corners = np.column_stack([np.repeat(np.arange(10) * 50, 20), np.zeros(200), np.zeros(200)]).astype(np.int32)
    rows = np.random.default_rng(1).permutation(200)
    windows = windows_of(rows, corners, 10, Storage(edge_px=50, at_once=2), np.random.default_rng(0))
    assert [len(window) for window in windows] == [2] * 5
    assert all(blocks_of(Triplets(corners, corners, corners), np.concatenate(w), 50) == 2 for w in windows)


def test_only_the_size_of_the_cube_decides() -> None:
    shape = {"n_times": 20, "n_bands": 3, "height": 10980, "width": 10980, "dtype": np.dtype(np.uint8)}
    large: Any = SimpleNamespace(**shape)
    assert storage_of(large) == Storage(edge_px=512, at_once=42)
    assert storage_of(SimpleNamespace(**{**shape, "n_bands": 100, "dtype": np.dtype(np.uint16)})).at_once == order.LEAST
    assert storage_of(SimpleNamespace(**{**shape, "n_times": 1})) is None


def test_training_on_a_large_cube_resumes_bit_for_bit_and_does_not_mind_how_it_is_read(
    cube: Any, triplets: Triplets, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = batches(triplets, SMALL, seed=1, epoch=0)
    monkeypatch.setattr(order, "WHOLE", 0)
    monkeypatch.setattr("taxoscape.embedding.order.BLOCK_PX", 16)
    readers = [TileReader(cube, 8, memory=memory) for memory in (0, 2**30)]
    storage = storage_of(readers[0])
    assert storage is not None
    taken = batches(triplets, SMALL, seed=1, epoch=0, storage=storage)
    assert not all(np.array_equal(one, other) for one, other in zip(plain, taken, strict=True))
    ends = []
    for reader in readers:
        *_, whole = train(reader, triplets, SMALL, rng=1)
        ends.append(hashlib.sha256(whole.to_bytes()).hexdigest())
    *_, broken = itertools.islice(train(readers[0], triplets, SMALL, rng=1), 2)
    *_, resumed = train(readers[0], triplets, SMALL, rng=1, state=TrainState.from_bytes(broken.to_bytes()))
    assert {*ends, hashlib.sha256(resumed.to_bytes()).hexdigest()} == {ends[0]}
