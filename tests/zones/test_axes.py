"""Principal axes of series with gaps: those of the whole series where there are none, and near them where there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from taxoscape.zones.axes import LEAST_NOISE, fit_axes, mapped
from taxoscape.zones.metric import Metric


def a_low_rank_series(seed: int = 0, rows: int = 600, times: int = 6, features: int = 4, axes: int = 3, noise=0.05):
    """Series that vary along three axes, and a little in all directions."""
    rng = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(rng.normal(size=(times * features, axes)))
    places = rng.normal(size=(rows, axes)) * [3, 2, 1]
    whole = (
        rng.normal(size=times * features) + places @ directions.T + noise * rng.normal(size=(rows, times * features))
    )
    return whole.reshape(rows, times, features).astype(np.float32), directions


def angle(one, other):
    """Return the cosine of the widest angle between two spaces."""
    return np.linalg.svd(one.T @ other)[1].min()


def test_without_gaps_the_axes_are_principal_axes():
    values, _ = a_low_rank_series()
    axes = fit_axes(values, np.ones(values.shape[:2], bool), 3, rng=np.random.default_rng(0))
    model = PCA(3).fit(values.reshape(len(values), -1).astype(np.float64))
    np.testing.assert_allclose(np.abs(np.sum(axes.directions * model.components_.T, axis=0)), 1, atol=1e-5)
    np.testing.assert_allclose(axes.variances, model.explained_variance_, rtol=0.01)
    assert axes.noise == pytest.approx(0.05**2, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_axes_of_what_was_seen_are_those_of_the_whole(seed):
    values, directions = a_low_rank_series(seed)
    counts = np.random.default_rng(seed).random(values.shape[:2]) > 0.4
    counts[:, 0] |= ~counts.any(axis=1)
    gaps = np.where(counts[:, :, None], values, np.nan)
    axes = fit_axes(gaps, counts, 3, rng=np.random.default_rng(0))
    assert angle(axes.directions, directions) > 0.99
    assert axes.noise < 0.2
    np.testing.assert_allclose(axes.directions.T @ axes.directions, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_series_with_gaps_is_placed_near_where_it_would_lie_whole(seed):
    values, _ = a_low_rank_series(seed)
    axes = fit_axes(values, np.ones(values.shape[:2], bool), 3, rng=np.random.default_rng(0))
    counts = np.random.default_rng(seed).random(values.shape[:2]) > 0.4
    counts[:, 0] |= ~counts.any(axis=1)
    metric = Metric.of(axes, np.diag([1.0, 2.0, 0.5]) @ np.array([[1, 0.3, 0], [0, 1, 0.2], [0, 0, 1]]))
    whole, part = metric.apply(values), metric.apply(np.where(counts[:, :, None], values, np.nan), counts)
    blind = metric.apply(np.where(counts[:, :, None], values, axes.origin.reshape(values.shape[1:])))
    several = counts.sum(axis=1) > 1
    error, naive = (np.square(found - whole)[several].mean() for found in (part, blind))
    assert error < naive / 20
    np.testing.assert_array_equal(part[counts.all(axis=1)], whole[counts.all(axis=1)])


@given(seed=st.integers(0, 2**16), rows=st.integers(1, 12), dates=st.integers(1, 4))
@settings(max_examples=40)
def test_few_rows_odd_gaps_and_constant_values_give_finite_axes(seed, rows, dates):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, size=(rows, dates, 2)).astype(np.float32)
    counts = rng.random((rows, dates)) > 0.5
    counts[:, 0] |= ~counts.any(axis=1)
    axes = fit_axes(values, counts, 20, rng=rng)
    placed = Metric.of(axes).apply(values, counts)
    assert np.isfinite(placed).all()
    assert axes.noise > 0
    same = Metric.of(axes).apply(np.where(counts[:, :, None], values, 1e30), counts)
    np.testing.assert_array_equal(placed, same)  # what lies in a gap does not matter


def test_the_expected_place_is_the_one_with_the_least_squares_under_the_prior():
    values, _ = a_low_rank_series(rows=50)
    counts = np.random.default_rng(3).random(values.shape[:2]) > 0.5
    counts[:, 0] |= ~counts.any(axis=1)
    axes = fit_axes(values, np.ones(values.shape[:2], bool), 3, rng=np.random.default_rng(0))
    metric = Metric.of(axes)
    found = mapped(values, counts, origin=metric.origin, axes=metric.axes, ridge=metric.ridge)
    for row in range(5):
        seen = np.repeat(counts[row], values.shape[2])
        part = axes.directions[seen]
        prior = np.diag(axes.noise / axes.variances)
        z = np.linalg.solve(part.T @ part + prior, part.T @ (values[row].ravel() - axes.origin)[seen])
        whole = np.where(seen, values[row].ravel() - axes.origin, axes.directions @ z)
        np.testing.assert_allclose(found[row], whole @ axes.directions, rtol=1e-6, atol=1e-6)


def test_values_without_noise_keep_a_little():
    values = np.tile(np.arange(4, dtype=np.float32)[:, None, None], (1, 3, 1))
    axes = fit_axes(values, np.ones((4, 3), bool), 1, rng=np.random.default_rng(0))
    assert axes.noise >= LEAST_NOISE * 1.25
