from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from taxoscape.zones import lloyd as module
from taxoscape.zones.kmeans import settle
from taxoscape.zones.lloyd import Source, lloyd
from taxoscape.zones.missing import means_of_dates, two_way_fill
from taxoscape.zones.rows import StoredRows, rows_of
from taxoscape.zones.starts import Partition
from tests.builders import a_series, blobs
from tests.zones.test_rows import stored


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**10)


def source_of(values, seen=None, *, fill=None, middle=None):
    seen = np.ones(values.shape[:2], dtype=bool) if seen is None else seen
    middle = values.mean(axis=0) if middle is None else middle
    return Source(values, seen, middle=middle, fill=fill)


def by_scikit_learn(matrix, centres, tol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(len(centres), init=centres, n_init=1, algorithm="lloyd", tol=tol, max_iter=300).fit(matrix)


@pytest.mark.parametrize("tol", [0.0, 1e-4])
@given(seed=st.integers(0, 10_000), k=st.integers(1, 9), offset=st.sampled_from([0.0, 300.0]))
def test_every_start_ends_as_scikit_learn_from_the_same_centres(tol, seed, k, offset):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(150, 3, 5)) + 2 * rng.integers(0, 3, (150, 1, 1)) + offset).astype(np.float32)
    matrix = values.reshape(150, -1)
    begun = [matrix[rng.permutation(150)[:k]] for _ in range(3)]
    found = lloyd(source_of(values), begun, tolerance=tol)
    for partition, centres in zip(found.partitions, begun, strict=True):
        oracle = by_scikit_learn(matrix, centres, tol)
        np.testing.assert_array_equal(partition.labels, oracle.labels_)
        np.testing.assert_allclose(partition.centres, oracle.cluster_centers_, rtol=1e-4, atol=1e-4)
        assert partition.inertia == pytest.approx(oracle.inertia_, rel=1e-4)


def naive(values, seen, centres, most=300):
    """Lloyd's iterations over the dates seen, in float64, row by row; None where a cluster loses all its rows."""
    centres = centres.astype(np.float64).reshape(-1, *values.shape[1:])
    labels = None
    for _ in range(most):
        apart = np.square(values[:, None] - centres).sum(axis=3)
        nearest = np.where(seen[:, None], apart, 0).sum(axis=2).argmin(axis=1)
        if labels is not None and (nearest == labels).all():
            break
        labels = nearest
        if len(np.unique(labels)) < len(centres):
            return None
        for label in range(len(centres)):
            for date in range(values.shape[1]):
                own = values[(labels == label) & seen[:, date], date]
                if len(own):
                    centres[label, date] = own.mean(axis=0)
    return labels


@given(seed=st.integers(0, 10_000), k=st.integers(1, 5))
def test_with_missing_dates_they_equal_a_naive_loop(seed, k):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(60, 4, 3)) + 2 * rng.integers(0, 3, (60, 1, 1))).astype(np.float32)
    seen = rng.random((60, 4)) < 0.7
    seen[np.arange(60), rng.integers(0, 4, 60)] = True
    centres = values[rng.permutation(60)[:k]].reshape(k, -1)
    wanted = naive(values, seen, centres)
    hidden = np.where(seen[..., None], values, np.nan)
    (found,) = lloyd(source_of(hidden, seen, middle=values.mean(axis=0)), [centres], tolerance=0).partitions
    if wanted is not None:
        np.testing.assert_array_equal(found.labels, wanted)
        exact = np.square(values.reshape(60, -1) - found.centres[wanted]).reshape(60, 4, 3).sum(axis=2)
        assert found.inertia == pytest.approx((exact * seen).sum(), rel=1e-4)


@given(seed=st.integers(0, 10_000))
def test_going_on_from_labels_equals_settling(seed):
    rng = np.random.default_rng(seed)
    values, _ = blobs((20, 15, 9), times=4, apart=0.6, seed=seed)
    seen = rng.random(values.shape[:2]) < 0.7
    seen[np.arange(len(values)), rng.integers(0, 4, len(values))] = True
    labels = np.arange(len(values)) % 3
    start = Partition(labels=labels, centres=rng.normal(size=(3, 16)).astype(np.float32), inertia=np.inf)
    wanted = settle(values, seen, start)
    source = source_of(values, seen)
    (found,) = lloyd(source, [start.centres], labels=[labels], tolerance=0).partitions
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_allclose(found.centres, wanted.centres, rtol=1e-4, atol=1e-4)
    assert found.inertia == pytest.approx(wanted.inertia, rel=1e-4)


def test_filled_rows_are_those_of_the_two_way_fill():
    values, _ = blobs((20, 15), times=4)
    values[np.random.default_rng(0).random(values.shape[:2]) < 0.3] = np.nan
    seen = np.isfinite(values).all(axis=2)
    values, seen = values[seen.any(axis=1)], seen[seen.any(axis=1)]
    middle = np.ones(values.shape[1:])
    source = source_of(values, seen, fill=means_of_dates(values, seen), middle=middle)
    rows = np.concatenate([rows for _, rows, _ in source.blocks(source.parts)])
    np.testing.assert_allclose(rows, two_way_fill(values, seen).reshape(len(values), -1) - 1, rtol=1e-6)


def test_a_cluster_that_loses_its_rows_takes_the_farthest_one_as_in_scikit_learn():
    values = np.array([0, 0.1, 0.2, 5, 5.1, 9], dtype=np.float32)[:, None, None]
    centres = np.array([[0.1], [5.0], [100.0]], dtype=np.float32)
    (found,) = lloyd(source_of(values), [centres], tolerance=0).partitions
    oracle = by_scikit_learn(values[:, 0], centres, 0)
    np.testing.assert_array_equal(found.labels, oracle.labels_)
    np.testing.assert_allclose(found.centres, oracle.cluster_centers_, rtol=1e-5)


def test_blocks_in_which_no_row_can_move_are_not_read_again():
    values, truth = blobs((200, 200, 200), times=2, features=8, apart=3.0)
    order = np.argsort(truth, kind="stable")  # zones lie together, as on the ground
    lazy, reads = stored(a_series(values[order]), 7)
    source = source_of(rows_of(lazy), middle=values.mean(axis=0))
    assert isinstance(source.values, StoredRows)
    rng = np.random.default_rng(1)
    begun = [values.reshape(600, -1)[rng.permutation(600)[:3]] for _ in range(4)]
    found = lloyd(source, begun, tolerance=0)
    assert found.read[0] == len(source.parts)
    assert found.read[-1] < len(source.parts) / 2
    assert sum(reads.sizes) < found.passes * values.size * 0.8
    for partition, centres in zip(found.partitions, begun, strict=True):
        np.testing.assert_array_equal(
            partition.labels, by_scikit_learn(values[order].reshape(600, -1), centres, 0).labels_
        )


def test_what_is_stored_gives_the_same_bits():
    values, _ = blobs((90, 60, 50), times=2, apart=0.5)
    values[np.random.default_rng(0).random(values.shape[:2]) < 0.2] = np.nan
    seen = np.isfinite(values).all(axis=2)
    lazy, _ = stored(a_series(values), 7)
    middle, begun = (
        np.zeros((2, 4)),
        [np.nan_to_num(values[:3].reshape(3, -1)), np.nan_to_num(values[5:8].reshape(3, -1))],
    )
    members = np.flatnonzero(seen.any(axis=1))
    one = lloyd(source_of(values[members], seen[members], middle=middle), begun)
    other = lloyd(source_of(rows_of(lazy).select(members), seen[members], middle=middle), begun)
    assert one.read == other.read
    for first, second in zip(one.partitions, other.partitions, strict=True):
        np.testing.assert_array_equal(first.labels, second.labels)
        np.testing.assert_array_equal(first.centres, second.centres)
        assert first.inertia == second.inertia


def test_the_passes_end_where_as_many_as_allowed_were_made():
    values, _ = blobs((50, 50, 50), apart=0.3)
    begun = values[:3].reshape(3, -1)
    (found,) = lloyd(source_of(values), [begun], tolerance=0, most=2).partitions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        oracle = KMeans(3, init=begun, n_init=1, tol=0, max_iter=2).fit(values.reshape(150, -1))
    np.testing.assert_array_equal(found.labels, oracle.labels_)
    np.testing.assert_allclose(found.centres, oracle.cluster_centers_, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pair_bytes", [1, 2**7])
@pytest.mark.parametrize("carried", [False, True])
def test_rows_that_are_looked_at_in_smaller_pieces_get_the_same_labels(monkeypatch, pair_bytes, carried):
    monkeypatch.setattr(module, "PAIR_BYTES", pair_bytes)
    rng = np.random.default_rng(8)
    values = (rng.normal(size=(400, 1, 3)) + 3 * rng.integers(0, 4, (400, 1, 1))).astype(np.float32)
    matrix = values.reshape(400, -1)
    begun = [matrix[rng.permutation(400)[:k]] for k in (2, 5, 7)]
    labels = [np.square(matrix[:, None] - own).sum(axis=2).argmin(axis=1) for own in begun] if carried else None
    found = lloyd(source_of(values), begun, labels=labels, tolerance=0)
    for partition, centres in zip(found.partitions, begun, strict=True):
        np.testing.assert_array_equal(partition.labels, by_scikit_learn(matrix, centres, 0).labels_)


def test_memory_is_bounded_whatever_the_number_of_clusters(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**18)
    rng = np.random.default_rng(9)
    values = rng.normal(size=(20_000, 1, 4)).astype(np.float32)
    begun = [values[:k, 0] for k in range(30, 40)]
    source = source_of(values)
    source.threads = 1
    tracemalloc.start()
    try:
        lloyd(source, begun, most=3)
        rows = (20 * len(begun) + 40) * len(values)
        assert tracemalloc.get_traced_memory()[1] < rows + 8 * 2**18
    finally:
        tracemalloc.stop()
