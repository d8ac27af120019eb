from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from taxoscape.analysis import components
from taxoscape.analysis.components import fill_missing, principal_components, scores_of, tile_slices
from tests.builders import a_series, blobs

seeds = st.integers(0, 10_000)


@given(seed=seeds)
def test_without_gaps_the_components_are_scikit_learns_up_to_sign(seed):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(20, 2, 3)) * np.arange(1, 4) + 5).astype(np.float32)
    flat = values.reshape(20, -1).astype(float)
    oracle = PCA(3).fit(flat)
    found = principal_components(a_series(values))
    np.testing.assert_allclose(found.explained_variance, oracle.explained_variance_ratio_, rtol=1e-6)
    expected = oracle.transform(flat)
    signs = np.sign((found.scores * expected).sum(axis=0))
    np.testing.assert_allclose(found.scores * signs, expected, atol=1e-4)


@given(seed=seeds)
def test_gaps_are_filled_by_date_mean_and_mean_offset_of_the_tile(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(6, 4, 2))
    values[rng.random((6, 4)) < 0.4] = np.nan
    means = rng.normal(size=(4, 2))
    found = fill_missing(values, means)
    for tile in range(6):
        seen = [t for t in range(4) if np.isfinite(values[tile, t, 0])]
        offset = np.mean([values[tile, t] - means[t] for t in seen], axis=0) if seen else 0
        for t in range(4):
            np.testing.assert_allclose(found[tile, t], values[tile, t] if t in seen else means[t] + offset)


def test_tiles_without_a_date_lie_at_the_origin_and_do_not_count():
    values, _ = blobs((8, 8))
    values[3] = np.nan
    values[4, 1] = np.nan
    found = principal_components(a_series(values))
    assert not found.counts[3].any()
    assert found.counts[4].tolist() == [True, False, True]
    assert (found.scores[3] == 0).all()
    assert found.n_fitted == 15
    assert np.isfinite(found.scores).all()


def test_small_blocks_and_a_sample_for_the_fit_give_nearly_the_same_plane(monkeypatch):
    values, _ = blobs((40, 40, 40), apart=30.0)
    whole = principal_components(a_series(values), count=2)
    monkeypatch.setattr(components, "_BLOCK_VALUES", 100)
    assert len(tile_slices(a_series(values)["embedding"])) > 10
    blocked = principal_components(a_series(values), count=2)
    np.testing.assert_allclose(blocked.scores, whole.scores, rtol=1e-9, atol=1e-9)
    monkeypatch.setattr(components, "FIT_TILES", 60)
    sampled = principal_components(a_series(values), count=2)
    assert sampled.n_fitted == 60
    assert sampled.explained_variance.sum() == pytest.approx(whole.explained_variance.sum(), abs=0.05)


def test_series_that_vary_in_one_direction_have_one_component():
    values = (np.arange(5.0)[:, None, None] * np.array([[1.0, 2.0]])).astype(np.float32)
    found = principal_components(a_series(values))
    np.testing.assert_allclose(found.explained_variance, [1, 0, 0], atol=1e-12)
    assert (found.scores[:, 1:] == 0).all()
    np.testing.assert_allclose(np.diff(found.scores[:, 0]), np.sqrt(5))
    np.testing.assert_allclose(scores_of(values[:2], found.date_means, found.directions), found.scores[:2])


def test_equal_series_have_no_component():
    found = principal_components(a_series(np.full((4, 2, 3), 7.0, np.float32)))
    assert not found.directions.any()
    assert not found.explained_variance.any()


def test_memory_is_the_sample_once_in_float64_and_blocks(monkeypatch):
    monkeypatch.setattr(components, "_BLOCK_VALUES", 2**16)
    monkeypatch.setattr(components, "_FILL_BYTES", 2**16)
    monkeypatch.setattr(components, "_SUM_VALUES", 2**13)
    values = np.random.default_rng(0).normal(size=(1024, 4, 256)).astype(np.float32)
    values[::5, 2] = np.nan
    series = a_series(values)
    principal_components(series)  # imports once
    tracemalloc.start()
    try:
        principal_components(series)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * 8 * values.size


@given(seed=seeds, n=st.integers(0, 300))
def test_a_sum_of_squares_in_halves_is_numpys_bit_for_bit(seed, n):
    values = np.random.default_rng(seed).normal(size=n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "_SUM_VALUES", 128)
        assert components._sum_of_squares(values) == float((values**2).sum())
