from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from taxoscape.errors import InputError
from taxoscape.zones import streaming
from taxoscape.zones.kmeans import settle
from taxoscape.zones.starts import Partition, partitions
from taxoscape.zones.streaming import lloyd, stream_kmeans
from tests.builders import blobs


class Cut:
    """A matrix in blocks; counts how often it was read."""

    def __init__(self, values, seen=None, size=7):
        self.values = values.reshape(len(values), -1)
        self.seen = np.ones((len(values), 1), bool) if seen is None else seen
        self.size = size
        self.reads = 0

    def __iter__(self):
        self.reads += 1
        for start in range(0, len(self.values), self.size):
            part = slice(start, start + self.size)
            yield start, self.values[part], self.seen[part]


def gaps(values, rng, share=0.6):
    """Return which dates of (row, time, feature) are seen, at least one a row, and the values NaN elsewhere."""
    seen = rng.random(values.shape[:2]) < share
    seen[np.arange(len(values)), rng.integers(0, values.shape[1], len(values))] = True
    return seen, np.where(seen[:, :, None], values, np.nan).astype(np.float32)


def objective(values, seen, labels, k):
    """Return the error of a partition about its own means, by a loop."""
    total = 0.0
    for zone in range(k):
        for t in range(values.shape[1]):
            members = values[(labels == zone) & seen[:, t], t].astype(float)
            if len(members):
                total += float(((members - members.mean(axis=0)) ** 2).sum())
    return total


def test_two_obvious_clusters_by_hand():
    values = np.array([[0.0], [1.0], [10.0], [12.0]], np.float32)
    found = stream_kmeans(Cut(values, size=3), 2, rng=0)
    assert found.labels[0] == found.labels[1] != found.labels[2] == found.labels[3]
    assert found.labels.dtype == np.int32
    np.testing.assert_allclose(np.sort(found.centres[:, 0]), [0.5, 11.0])
    np.testing.assert_allclose(found.squares, [0.25, 0.25, 1, 1], rtol=1e-5)
    assert found.inertia == pytest.approx(2.5)
    assert found.converged
    assert found.stopped == "labels"


@given(seed=st.integers(0, 10_000), k=st.integers(1, 5), size=st.integers(1, 60), dtype=st.sampled_from("fBHd"))
def test_passes_equal_the_lloyd_iterations_of_scikit_learn_from_the_same_centres(seed, k, size, dtype):
    rng = np.random.default_rng(seed)
    values = (rng.random((60, 6)) * 250).astype(dtype)
    centres = values[rng.choice(60, k, replace=False)].astype(np.float32)
    oracle = KMeans(k, init=centres, n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(values.astype(np.float32))
    found = lloyd(Cut(values, size=size), centres, max_passes=100, tolerance=0)
    assert found.stopped == "labels"
    np.testing.assert_array_equal(found.labels, oracle.labels_)
    np.testing.assert_allclose(found.centres, oracle.cluster_centers_, rtol=1e-4, atol=1e-3)
    assert found.inertia == pytest.approx(oracle.inertia_, rel=1e-4)
    assert found.passes == oracle.n_iter_ or size < 60 or found.passes - oracle.n_iter_ in (-1, 1)


def test_a_cluster_that_loses_its_rows_takes_the_farthest_one_as_in_scikit_learn():
    values = np.array([[0.0, 0], [1, 0], [0, 1], [20, 0], [21, 0], [30, 9]], np.float32)
    centres = np.array([[0, 0], [20, 0], [-500, 0]], np.float32)
    oracle = KMeans(3, init=centres, n_init=1, tol=0, algorithm="lloyd").fit(values)
    found = lloyd(Cut(values, size=2), centres, tolerance=0)
    np.testing.assert_array_equal(found.labels, oracle.labels_)
    np.testing.assert_array_equal(found.labels, [0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(found.centres, oracle.cluster_centers_, rtol=1e-5, atol=1e-5)
    only = lloyd(Cut(values, size=2), centres, max_passes=1)
    assert (only.labels[5], only.squares[5], only.stopped) == (2, 0, "passes")
    np.testing.assert_allclose(only.centres[2], [30, 9], rtol=1e-5)


def test_several_empty_clusters_are_filled_at_once_and_a_row_alone_stays():
    values = np.array([[0.0], [1], [5], [100]], np.float32)
    found = lloyd(Cut(values), np.array([[0], [100], [-900], [-800]], np.float32), tolerance=0)
    assert sorted(found.labels) == [0, 1, 2, 3]
    assert found.labels[3] == 1
    assert found.inertia == 0


@given(seed=st.integers(0, 10_000), k=st.integers(1, 4), size=st.integers(1, 40))
def test_with_missing_dates_passes_equal_settling(seed, k, size):
    rng = np.random.default_rng(seed)
    seen, values = gaps(rng.normal(size=(40, 3, 2)), rng)
    labels = np.concatenate([np.arange(k), rng.integers(0, k, 40 - k)])
    whole = np.stack([np.nan_to_num(values[labels == zone]).mean(axis=0).ravel() for zone in range(k)])
    first = Partition(labels=lloyd(Cut(values, seen), whole, max_passes=1).labels.astype(np.int64), centres=whole,
                      inertia=np.inf)  # fmt: skip
    expected = settle(values, seen, first)
    found = lloyd(Cut(values, seen, size), whole, max_passes=100, tolerance=0)
    if len(set(first.labels)) == k:
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.centres, expected.centres, rtol=1e-4, atol=1e-5)
        assert found.inertia == pytest.approx(expected.inertia, rel=1e-4)
    assert set(found.labels) == set(range(k))
    assert found.inertia == pytest.approx(objective(values, seen, found.labels, k), rel=1e-4, abs=1e-5)


@given(seed=st.integers(0, 1000), size=st.integers(1, 60))
def test_blocks_change_nothing(seed, size):
    rng = np.random.default_rng(seed)
    seen, values = gaps(blobs((20, 25, 15), apart=1.5, seed=seed)[0], rng, 0.8)
    one = stream_kmeans(Cut(values, seen, 60), 3, sample=30, starts=2, rng=seed)
    other = stream_kmeans(Cut(values, seen, size), 3, sample=30, starts=2, rng=seed)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.centres, other.centres, rtol=1e-4, atol=1e-4)


def test_with_all_rows_in_the_sample_the_partition_is_that_of_k_means_in_memory():
    values = blobs((20, 15, 9), apart=1.0)[0].reshape(44, -1)
    best = min(partitions(values, 3, starts=4, rng=np.random.default_rng(5)), key=lambda found: found.inertia)
    assert stream_kmeans(Cut(values), 3, starts=4, rng=np.random.default_rng(5), sample=44).inertia == pytest.approx(
        best.inertia, rel=0.05
    )
    found = stream_kmeans(Cut(values), 3, starts=20, rng=0)
    oracle = KMeans(3, n_init=25, random_state=3).fit(values)
    assert adjusted_rand_score(oracle.labels_, found.labels) == 1.0
    assert found.inertia == pytest.approx(oracle.inertia_, rel=1e-4)


def test_a_small_sample_finds_clear_clusters_and_rows_never_seen_are_minus_one():
    values, truth = blobs((300, 200, 100), times=4)
    rng = np.random.default_rng(0)
    seen, values = gaps(values, rng)
    seen[[5, 40]] = False
    values[[5, 40]] = np.nan
    found = stream_kmeans(Cut(values, seen, 64), 3, sample=40, rng=1)
    placed = seen.any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(found.labels < 0), [5, 40])
    assert np.isnan(found.squares[[5, 40]]).all()
    assert adjusted_rand_score(truth[placed], found.labels[placed]) == 1.0
    assert np.isfinite(found.centres).all()


def test_the_same_seed_gives_the_same_bits():
    values, _ = blobs((200, 200, 200), apart=0.4)
    one, two = (stream_kmeans(Cut(values, size=50), 4, sample=60, rng=7) for _ in range(2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.centres, two.centres)


def test_the_blocks_are_read_once_for_the_sample_and_once_a_pass():
    values, _ = blobs((60, 60))
    blocks = Cut(values)
    found = stream_kmeans(blocks, 2, sample=20)
    assert blocks.reads == 1 + found.passes


def test_passes_end_at_a_small_fall_of_the_error_or_at_their_number():
    values = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
    centres = values[:8]
    strict = lloyd(Cut(values, size=500), centres, max_passes=500, tolerance=0)
    early = lloyd(Cut(values, size=500), centres, max_passes=500)
    short = lloyd(Cut(values, size=500), centres, max_passes=3)
    assert (strict.stopped, early.stopped, short.stopped) == ("labels", "error", "passes")
    assert strict.passes > early.passes > short.passes == 3
    assert not short.converged
    assert strict.inertia <= early.inertia <= short.inertia
    assert early.inertia == pytest.approx(strict.inertia, rel=0.02)


def test_one_cluster_is_the_mean_of_all_rows():
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found = stream_kmeans(Cut(values), 1, sample=10)
    np.testing.assert_allclose(found.centres[0], values.mean(axis=0), atol=1e-5)
    assert found.inertia == pytest.approx(values.var(axis=0).sum() * 50, rel=1e-5)


def test_values_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(1)
    values = (5000 + rng.normal(size=(40, 5))).astype(np.float32)
    found = stream_kmeans(Cut(values), 3)
    exact = ((values.astype(float) - found.centres[found.labels].astype(float)) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.squares, exact, rtol=1e-3, atol=1e-3)


def test_a_sample_of_equal_rows_is_helped_by_the_rows_that_differ():
    values = np.zeros((3000, 2), np.float32)
    values[[100, 2000]] = [[5, 5], [9, 0]]
    found = stream_kmeans(Cut(values, size=500), 3, sample=5, rng=0)
    assert np.bincount(found.labels).tolist().count(1) == 2
    assert found.inertia == pytest.approx(0, abs=0.02)


@given(seed=st.integers(0, 1000), size=st.integers(1, 50))
def test_the_sample_is_drawn_from_all_rows_seen_whatever_the_blocks(seed, size):
    rng = np.random.default_rng(seed)
    values = np.arange(100, dtype=np.float32)[:, None] + 1
    seen = rng.random((100, 1)) < 0.7
    drawn, when = streaming._draw(Cut(values, seen, size), 1, 12, np.random.default_rng(seed))
    again, _ = streaming._draw(Cut(values, seen, 100), 1, 12, np.random.default_rng(seed))
    np.testing.assert_array_equal(drawn, again)
    assert len(np.unique(drawn)) == min(12, seen.sum())
    assert when.all()
    assert seen[drawn[:, 0].astype(int) - 1].all()
    everything, _ = streaming._draw(Cut(values, seen, size), 1, 200, np.random.default_rng(seed))
    np.testing.assert_array_equal(everything, values[seen[:, 0]])


@pytest.mark.parametrize(
    ("k", "values", "seen", "message"),
    [
        (9, blobs((3, 3))[0], None, "only 6 tiles count"),
        (3, np.ones((8, 4)), None, "only 1 different series"),
        (2, np.ones((5, 4)), np.zeros((5, 2), bool), "no tile counts"),
        (2, np.full((4, 4), 3.0), np.array([[1, 1], [1, 0], [0, 1], [1, 1]], bool), "only 1 different series"),
    ],
)
def test_what_cannot_be_clustered_is_refused_with_the_reason(k, values, seen, message):
    with pytest.raises(InputError, match=message):
        stream_kmeans(Cut(values, seen), k)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"k": 0}, "number of zones is a whole number of at least 1, not 0"),
        ({"k": 2.5}, "not 2.5"),
        ({"k": True}, "not True"),
        ({"k": 1, "starts": 0}, "starts is a whole number of at least 1"),
        ({"k": 1, "sample": 0}, "sample is"),
        ({"k": 1, "max_passes": 0}, "max_passes is"),
    ],
)
def test_arguments_that_cannot_be_are_refused(how, message):
    with pytest.raises(InputError, match=message):
        stream_kmeans(Cut(np.ones((4, 2))), **how)
