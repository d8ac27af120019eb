from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from taxoscape.analysis.distances import pairwise, silhouette_of

seeds = st.integers(0, 10_000)


def naive(x, y, metric):
    shared = [t for t in range(len(x)) if np.isfinite(x[t, 0]) and np.isfinite(y[t, 0])]
    if not shared:
        return np.nan
    norms = [np.linalg.norm(x[t].astype(float) - y[t].astype(float)) for t in shared]
    scale = len(x) / len(shared)
    return scale * sum(norms) if metric == "sumnorm" else np.sqrt(scale * sum(v**2 for v in norms))


@pytest.mark.parametrize("metric", ["flat", "sumnorm"])
@given(seed=seeds)
def test_pairwise_distances_equal_a_naive_loop_with_missing_dates(metric, seed):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(5, 4, 3)) + 100, rng.normal(size=(6, 4, 3)) + 100
    left[rng.random((5, 4)) < 0.4] = np.nan
    right[rng.random((6, 4)) < 0.4] = np.nan
    expected = [[naive(x, y, metric) for y in right] for x in left]
    np.testing.assert_allclose(pairwise(left, right, metric=metric), expected, rtol=1e-6)


@given(seed=seeds)
def test_the_silhouette_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(20, 3)), rng.integers(0, 4, size=20)
    labels[:2] = (0, 1)
    distances = pairwise(points[:, None], points[:, None], metric="flat")
    np.fill_diagonal(distances, 0)
    assert silhouette_of(distances, labels) == pytest.approx(
        silhouette_score(distances, labels, metric="precomputed"), abs=1e-9
    )


def test_pairs_without_a_distance_take_no_part_in_the_silhouette():
    points = np.array([0.0, 1.0, 10.0, 11.0, 5.0])
    distances = np.abs(points[:, None] - points)
    distances[4], distances[:, 4] = np.nan, np.nan
    labels = np.array([0, 0, 1, 1, 0])
    four = silhouette_of(distances[:4, :4].copy(), labels[:4])
    assert silhouette_of(distances, labels) == pytest.approx(four * 4 / 5)  # the fifth scores 0


def test_one_zone_has_no_silhouette():
    assert np.isnan(silhouette_of(np.zeros((3, 3)), np.ones(3, dtype=int)))
