from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from taxoscape.analysis import distances as module
from taxoscape.analysis.distances import distance_blocks, pairwise
from taxoscape.errors import InputError

seeds = st.integers(0, 10_000)
METRICS = ["flat", "sumnorm"]


def naive(x, y, metric):
    shared = [t for t in range(len(x)) if np.isfinite(x[t, 0]) and np.isfinite(y[t, 0])]
    if not shared:
        return np.nan
    norms = [np.linalg.norm(x[t].astype(float) - y[t].astype(float)) for t in shared]
    scale = len(x) / len(shared)
    return scale * sum(norms) if metric == "sumnorm" else np.sqrt(scale * sum(v**2 for v in norms))


def naive_pairwise(left, right, metric):
    return np.array([[naive(x, y, metric) for y in right] for x in left])


def series(rng, n, *, times=4, features=3, gaps=0.4, offset=100.0):
    values = rng.normal(size=(n, times, features)) + offset
    values[rng.random((n, times)) < gaps] = np.nan
    return values


@pytest.fixture
def in_float32(monkeypatch):
    monkeypatch.setattr(module, "FLOAT64_WORK", 0)


def test_the_distances_of_two_known_series():
    left, right = np.array([[[0.0, 0.0], [1.0, 1.0]]]), np.array([[[3.0, 4.0], [1.0, 13.0]]])
    assert pairwise(left, right, metric="flat") == pytest.approx(13)
    assert pairwise(left, right, metric="sumnorm") == pytest.approx(5 + 12)


def test_a_missing_date_is_made_up_for_by_the_shared_ones():
    left, right = np.array([[[0.0, 0.0], [np.nan, np.nan]]]), np.array([[[3.0, 4.0], [1.0, 13.0]]])
    assert pairwise(left, right, metric="sumnorm") == pytest.approx(2 * 5)
    assert pairwise(left, right, metric="flat") == pytest.approx(np.sqrt(2 * 25))


@given(seed=seeds)
def test_without_gaps_distances_equal_scipy(seed):
    rng = np.random.default_rng(seed)
    left, right = (series(rng, n, gaps=0) for n in (5, 6))
    flat = cdist(left.reshape(5, -1), right.reshape(6, -1))
    np.testing.assert_allclose(pairwise(left, right, metric="flat"), flat, rtol=1e-9)
    by_date = sum(cdist(left[:, t], right[:, t]) for t in range(4))
    np.testing.assert_allclose(pairwise(left, right, metric="sumnorm"), by_date, rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@given(seed=seeds)
def test_pairwise_distances_equal_a_naive_loop_with_missing_dates(metric, seed):
    rng = np.random.default_rng(seed)
    left, right = series(rng, 5), series(rng, 6)
    np.testing.assert_allclose(pairwise(left, right, metric=metric), naive_pairwise(left, right, metric), rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("gaps", [0.0, 0.4])
@pytest.mark.usefixtures("in_float32")
def test_float32_keeps_1e_5_of_the_spread_whatever_the_offset(metric, gaps):
    left, right = (series(np.random.default_rng(seed), 40, features=64, gaps=gaps, offset=50) for seed in (1, 2))
    left, right = left.astype(np.float32), right.astype(np.float32)
    expected = naive_pairwise(left, right, metric)
    np.testing.assert_allclose(pairwise(left, right, metric=metric), expected, atol=1e-5 * np.nanmax(expected))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("copies", [1, 30], ids=["few near pairs", "many near pairs"])
@pytest.mark.usefixtures("in_float32")
def test_float32_keeps_1e_5_of_the_spread_between_near_twins(metric, copies):
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(60 // copies, 3, 64)) * 10, copies, axis=0)
    left = values.astype(np.float32)
    right = (values + rng.normal(size=values.shape) * 1e-3).astype(np.float32)
    left[0, 1], right[2, 0] = np.nan, np.nan
    expected = naive_pairwise(left, right, metric)
    np.testing.assert_allclose(pairwise(left, right, metric=metric), expected, atol=1e-5 * np.nanmax(expected))


@pytest.mark.parametrize("metric", METRICS)
def test_a_series_has_no_distance_to_itself(metric):
    values = series(np.random.default_rng(0), 30, gaps=0.2)
    assert np.nanmax(np.diagonal(pairwise(values, values, metric=metric))) == 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_blocks_equal_the_whole(metric, symmetric, monkeypatch):
    values = series(np.random.default_rng(3), 23)
    index = np.random.default_rng(4).permutation(23)[:17]
    whole = pairwise(values[index], values[index], metric=metric)
    monkeypatch.setattr(module, "_SIDE", 5)
    found = np.full(whole.shape, -1.0)
    blocks = distance_blocks(values, values, metric=metric, left_index=index, right_index=index, symmetric=symmetric)
    for rows, cols, block in blocks:
        found[rows, cols] = block
        if symmetric:
            assert rows.start <= cols.start
            found[cols, rows] = block.T
    np.testing.assert_allclose(found, whole, atol=1e-9)


def test_the_tracker_hears_of_each_block(monkeypatch):
    monkeypatch.setattr(module, "_SIDE", 4)
    heard = []

    def track(things, label, total, done=0):
        heard.append((label, total))
        yield from things

    values = series(np.random.default_rng(0), 8)
    assert len(list(distance_blocks(values, values, metric="flat", track=track))) == 4
    assert heard == [("distances, flat", 4)]


@pytest.mark.parametrize("metric", METRICS)
def test_series_without_a_common_date_have_no_distance(metric):
    left, right = np.zeros((1, 2, 3)), np.ones((2, 2, 3))
    left[0, 0], right[0, 1], right[1] = np.nan, np.nan, np.nan
    assert np.isnan(pairwise(left, right, metric=metric)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_no_series_give_no_distances(metric):
    assert pairwise(np.empty((0, 2, 3)), np.ones((4, 2, 3)), metric=metric).shape == (0, 4)
    assert pairwise(np.ones((4, 2, 3)), np.empty((0, 2, 3)), metric=metric).shape == (4, 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.usefixtures("in_float32")
def test_beside_the_result_memory_stays_within_the_budget(metric, monkeypatch):
    monkeypatch.setattr(module, "BUDGET_BYTES", 4 * 2**20)
    values = np.random.default_rng(0).normal(size=(1_500, 4, 100)).astype(np.float32)  # 2.3 MiB; the result 17 MiB
    tracemalloc.start()
    try:
        result = pairwise(values, values, metric=metric)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - result.nbytes < 4 * 2**20 + 2**18


def test_series_of_other_dates_are_refused():
    with pytest.raises(InputError, match=r"same dates and features, these are \(2, 3\) and \(4, 3\)"):
        pairwise(np.zeros((1, 2, 3)), np.zeros((1, 4, 3)), metric="flat")
