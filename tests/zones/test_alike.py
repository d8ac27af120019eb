"""What varies within zones is told by pairs that are alike, in blocks as at once, and in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from taxoscape.zones import alike as module
from taxoscape.zones.alike import ALIKE, TRIMS, covariance_of_alike


def naive(rows, pairs):
    """The same from all differences at once, the shortest found by sorting."""
    apart = rows[pairs[:, 0]].astype(np.float64) - rows[pairs[:, 1]]
    count, total = max(1, int(ALIKE * len(pairs))), np.square(apart).mean(axis=0)
    lengths = (np.square(apart)[:, total > 0] / total[total > 0]).sum(axis=1)
    for _ in range(TRIMS):
        some = apart[np.argsort(lengths)[:count]]
        moment = some.T @ some / (2 * count)
        steady = moment + 1e-6 * max(np.trace(moment) / len(moment), 1e-12) * np.eye(len(moment))
        lengths = np.einsum("pa,pa->p", apart, np.linalg.solve(steady, apart.T).T)
    return moment


def some_rows(seed: int, n: int = 300, axes: int = 5):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(n, axes)) * np.arange(axes) + 100).astype(np.float32)
    return rows, np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)


def test_pairs_across_borders_do_not_count_as_noise():
    rng = np.random.default_rng(1)
    within = rng.normal(size=(700, 3)) * [1, 2, 0.5]
    across = rng.normal(size=(300, 3)) + np.array([30, 0, 0])
    rows = np.concatenate([np.zeros((1, 3)), within, across])
    pairs = np.stack([np.arange(1, 1001), np.zeros(1000, np.int64)], axis=1)
    found = covariance_of_alike(rows, pairs)
    expected = np.diag([0.5, 2, 0.125])
    np.testing.assert_allclose(found / np.trace(found), expected / np.trace(expected), atol=0.08)


@pytest.mark.parametrize("block_bytes", [2**22, 8 * 5 * 7])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_that_of_all_differences_at_once(monkeypatch, seed, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    rows, pairs = some_rows(seed)  # the first axis is the same for all rows
    np.testing.assert_allclose(covariance_of_alike(rows, pairs), naive(rows, pairs), rtol=1e-9, atol=1e-12)


def test_rows_that_are_all_alike_vary_not_at_all():
    rows, pairs = np.ones((9, 4), np.float32), np.stack([np.arange(8), np.arange(1, 9)], axis=1)
    np.testing.assert_array_equal(covariance_of_alike(rows, pairs), np.zeros((4, 4)))


def test_of_a_pair_only_its_length_and_its_place_are_held(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**14)
    rows, pairs = some_rows(0, n=20_000, axes=30)
    tracemalloc.start()
    try:
        covariance_of_alike(rows, pairs)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(pairs) + 2**17
    finally:
        tracemalloc.stop()
