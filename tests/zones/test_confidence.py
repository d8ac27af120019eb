"""Confidence: the odds of Gaussian zones, in whatever units the distances are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from taxoscape.zones.clustering import cluster
from taxoscape.zones.confidence import WIDENING, confidence
from tests.builders import a_grid, a_series, plain_cluster


def two_zones(seed: int = 0, n: int = 400, gap: float = 4.0, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 1, 3))
    values[n // 2 :, 0, 0] += gap
    return a_series(scale * values, a_grid(1, n))


def test_two_gaussian_zones_have_the_odds_of_their_normal_densities():
    series = two_zones(n=4000)
    zones = plain_cluster(series, n_clusters=2, starts=3)
    x, labels = series["embedding"].to_numpy()[:, 0, 0], zones["labels"].to_numpy()
    left, right = (x[labels == zone].mean() for zone in (labels[0], labels[-1]))
    spread = np.sqrt(WIDENING) * np.sqrt(np.mean([x[labels == zone].var() for zone in (1, 2)]))
    one, other = norm.pdf(x, left, spread), norm.pdf(x, right, spread)
    expected = np.where(labels == labels[0], one, other) / (one + other)
    np.testing.assert_allclose(confidence(zones), expected, atol=0.02)


@pytest.mark.parametrize("clusterer", ["kmeans", "learned"])
def test_it_falls_towards_the_border_and_is_above_a_half_with_two_zones(clusterer):
    zones = cluster(two_zones(), n_clusters=2, clusterer=clusterer)
    found, distances = confidence(zones), np.sort(zones["distances"].to_numpy(), axis=1)
    nearest = zones["distances"].to_numpy().argmin(axis=1) + 1 == zones["labels"].to_numpy()
    assert found[nearest].min() >= 0.5 - 1e-6
    order = np.argsort(np.square(distances[:, 1]) - np.square(distances[:, 0]))
    assert (np.diff(found[order][nearest[order]]) > -1e-6).all()


def test_units_of_the_embedding_do_not_matter():
    one, other = (confidence(plain_cluster(two_zones(scale=scale), n_clusters=2)) for scale in (1.0, 1000.0))
    np.testing.assert_allclose(one, other, atol=1e-3)


@given(seed=st.integers(0, 2**16), k=st.integers(1, 6), n=st.integers(6, 40))
@settings(max_examples=30)
def test_it_is_a_share_whatever_the_series(seed, k, n):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2, 3))
    values[rng.random((n, 2)) < 0.2] = np.nan
    values[0] = np.nan
    values[1:, 0] = rng.normal(size=(n - 1, 3))
    zones = cluster(a_series(values, a_grid(1, n)), n_clusters=min(k, n - 1), starts=2)
    found = confidence(zones)
    assert np.isnan(found[0])
    assert ((found[1:] >= 0) & (found[1:] <= 1)).all()
    if k == 1:
        assert (found[1:] == 1).all()


def test_tiles_that_are_all_alike_in_a_zone_are_sure():
    values = np.repeat(np.array([[[0.0]], [[5.0]]]), 6, axis=0)
    np.testing.assert_array_equal(confidence(plain_cluster(a_series(values, a_grid(1, 12)), n_clusters=2)), 1)
