"""Stability under resampling: that of a naive loop, whole for clear zones, undefined for few tiles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from taxoscape.zones.missing import two_way_fill
from taxoscape.zones.resampling import stability
from tests.builders import a_series, blobs
from tests.builders import plain_cluster as cluster


def naive_stability(values, placed, k, seed):
    """Scikit-learn's K-means on five random halves, with the same draws, and a loop over tiles and pairs."""
    matrix = two_way_fill(values[placed], np.isfinite(values[placed]).all(axis=2)).reshape(len(placed), -1)
    n, draws = len(placed), np.random.default_rng(seed)
    draws.permutation(n)
    found = []
    for _ in range(5):
        half = draws.permutation(n)[: n // 2]
        models = [KMeans(k, n_init=1, random_state=int(s)).fit(matrix[half]) for s in draws.integers(0, 2**31, 10)]
        centres = min(models, key=lambda model: model.inertia_).cluster_centers_
        found.append([int(np.argmin([np.linalg.norm(row - centre) for centre in centres])) for row in matrix])
    return np.mean([adjusted_rand_score(a, b) for a, b in itertools.combinations(found, 2)])


@settings(max_examples=10)
@given(st.integers(0, 1_000), st.integers(2, 3), st.sampled_from([0.0, 0.3]))
def test_stability_is_that_of_a_naive_loop_with_the_same_draws(seed, k, gaps):
    rng = np.random.default_rng(seed)
    values, _ = blobs((9, 8, 7, 1), times=3, features=4, apart=1.0, seed=seed)
    values[rng.random(values.shape[:2]) < gaps] = np.nan
    series = a_series(values)
    zones = cluster(series, n_clusters=k, starts=2)
    placed = np.flatnonzero(zones["labels"].to_numpy())
    assert stability(series, zones, rng=seed) == pytest.approx(naive_stability(values, placed, k, seed), abs=1e-12)


def test_clear_zones_are_fully_stable_however_unlucky_single_starts_are():
    values, _ = blobs((40,) * 10, times=3, features=20)
    series = a_series(values)
    assert stability(series, cluster(series, n_clusters=10)) == 1.0


def test_one_zone_or_too_few_tiles_have_no_stability():
    series = a_series(blobs((6, 5))[0])
    assert np.isnan(stability(series, cluster(series, n_clusters=1)))
    assert np.isnan(stability(series, cluster(series, n_clusters=3)))
