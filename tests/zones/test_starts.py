from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from taxoscape.zones import starts
from taxoscape.zones.starts import AXES, best_of_starts, fit, principal_axes
from tests.builders import blobs


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([(12, 5), (12, 12), (9, 80), (90, 70)]))
def test_the_principal_axes_keep_all_distances(seed, shape):
    rng = np.random.default_rng(seed)
    matrix = (rng.normal(size=shape) + 5).astype(np.float32)
    sample = np.sort(rng.permutation(len(matrix))[: len(matrix) // 2 + 1])
    rotated, first = principal_axes(matrix, sample)
    assert rotated.shape[1] <= max(shape[1], len(sample))
    expected = cdist(matrix[sample], matrix[sample])
    np.testing.assert_allclose(cdist(rotated, rotated), expected, atol=1e-5 * expected.max())
    if shape[1] > AXES:
        kept = first.shape[1]
        np.testing.assert_allclose(first[sample], rotated[:, :kept], atol=1e-4 * np.abs(rotated).max())


def test_blocks_of_rows_are_turned_as_the_whole(monkeypatch):
    matrix = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    whole = principal_axes(matrix, np.arange(30))[1]
    monkeypatch.setattr(starts, "BLOCK_BYTES", 7 * 8 * 50)
    np.testing.assert_allclose(principal_axes(matrix, np.arange(30))[1], whole, atol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_best_of_starts_is_scikit_learns_where_there_are_few_columns(seed, k):
    matrix = np.random.default_rng(seed).normal(size=(25, 6)).astype(np.float32)
    seeds = np.random.default_rng(seed).integers(0, 2**31, 4)
    found = best_of_starts(matrix, matrix, k, seeds)
    oracle = [KMeans(k, n_init=1, random_state=int(one)).fit(matrix) for one in seeds]
    assert found.inertia == pytest.approx(min(model.inertia_ for model in oracle), rel=1e-5, abs=1e-6)
    naive = sum(((matrix[found.labels == c] - found.centres[c]) ** 2).sum() for c in range(k))
    assert found.inertia == pytest.approx(naive, rel=1e-4, abs=1e-5)


def test_starts_on_few_axes_find_many_clear_clusters_of_many_columns():
    values, truth = blobs((30,) * 12, times=8, features=16)
    matrix = values.reshape(len(values), -1)
    _, first_axes = principal_axes(matrix, np.arange(len(matrix)))
    assert first_axes.shape == (360, AXES)
    found = best_of_starts(matrix, first_axes, 12, np.arange(10))
    assert len({(a, b) for a, b in zip(found.labels.tolist(), truth.tolist(), strict=True)}) == 12


def test_rows_that_differ_on_other_axes_only_are_told_apart():
    matrix = np.zeros((6, 40), dtype=np.float32)
    matrix[3:, 39] = 5
    found = best_of_starts(matrix, matrix[:, :2], 2, np.arange(3))
    assert found.inertia == pytest.approx(0)
    assert len(set(found.labels[:3])) == len(set(found.labels[3:])) == 1


def test_a_fit_goes_on_from_given_centres():
    matrix = np.array([[0], [1], [10], [11]], dtype=np.float32)
    found = fit(matrix, 2, np.array([[20], [0]], dtype=np.float32), 0)
    assert found.labels.tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(found.centres, [[10.5], [0.5]])
    assert found.inertia == pytest.approx(1)
