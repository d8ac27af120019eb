from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from taxoscape.analysis import dates
from taxoscape.analysis.dates import centroid_paths, nearest_pairs, separating_dates
from taxoscape.errors import InputError
from tests.builders import a_grid, a_series, blobs
from tests.builders import plain_cluster as cluster


def partition(values: np.ndarray, labels: np.ndarray, k: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a series and zones with these labels, centroids the means of counted tiles, 7 where there are none."""
    series = a_series(values)
    counts = np.isfinite(values).all(axis=2)
    centroids = np.full((k, *values.shape[1:]), 7, np.float32)  # as K-means leaves a neutral value
    for zone in range(k):
        for t in range(values.shape[1]):
            rows = (labels == zone + 1) & counts[:, t]
            if rows.any():
                centroids[zone, t] = values[rows, t].mean(axis=0)
    return series, xr.Dataset(
        {
            "labels": ("tile", labels.astype(np.uint8)),
            "centroids": (("zone", "time", "feature"), centroids),
            "counts": (("tile", "time"), counts),
            "distances": (("tile", "zone"), np.zeros((len(labels), k), np.float32)),
        },
        coords={"time": series["time"], "zone": np.arange(1, k + 1)},
        attrs=series.attrs,
    )


@st.composite
def gappy(draw):
    """Random zones, some of one tile or none, some tiles in no zone, some dates missing."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n, times, features, k = (draw(st.integers(low, high)) for low, high in ((1, 14), (1, 4), (1, 5), (1, 4)))
    values = rng.normal(size=(n, times, features)).astype(np.float32)
    values[rng.random((n, times)) < draw(st.sampled_from([0, 0.3, 0.8]))] = np.nan
    labels = rng.integers(0, k + 1, n)
    labels[np.isnan(values).all(axis=(1, 2))] = 0
    return values, labels, k


def naive(values, labels, k):
    """The definition, pair by pair and tile by tile."""
    times = values.shape[1]
    effect, distance = np.full((k, k, times), np.nan), np.full((k, k, times), np.nan)
    values = values.astype(np.float64)
    for t in range(times):
        tiles = [[x for x, z in zip(values[:, t], labels, strict=True) if z == zone and np.isfinite(x).all()]
                 for zone in range(1, k + 1)]  # fmt: skip
        for a in range(k):
            for b in range(k):
                if not tiles[a] or not tiles[b]:
                    continue
                line = np.mean(tiles[a], axis=0) - np.mean(tiles[b], axis=0)
                distance[a, b, t] = np.sqrt((line**2).sum())
                if a == b or len(tiles[a]) < 2 or len(tiles[b]) < 2:
                    continue
                within = [np.var([x @ line / distance[a, b, t] for x in tiles[z]], ddof=1) for z in (a, b)]
                freedom = [len(tiles[z]) - 1 for z in (a, b)]
                effect[a, b, t] = distance[a, b, t] / np.sqrt(np.dot(within, freedom) / sum(freedom))
    return effect, distance


@given(gappy())
def test_separation_equals_the_definition_tile_by_tile(case):
    found = separating_dates(*partition(*case))
    effect, distance = naive(*case)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.effect, effect, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found.effect, found.effect.transpose(1, 0, 2))


@given(gappy())
def test_the_shares_of_the_dates_add_up_to_one(case):
    found = separating_dates(*partition(*case))
    some = np.isfinite(found.share).any(axis=2)
    np.testing.assert_allclose(np.nansum(found.share, axis=2)[some], 1)
    np.testing.assert_array_equal(some, np.nan_to_num(found.total) > 0)


def test_the_date_on_which_zones_differ_separates_them_and_holds_the_distance():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 3, 2)).astype(np.float32)
    labels = np.repeat([1, 2], 200)
    values[200:, 1, 0] += 6
    values[:, :, 1] *= 100  # spread across the line between the zones does not matter
    values[:, :, 1] -= np.stack([values[labels == z, :, 1].mean(axis=0) for z in (1, 2)])[labels - 1]
    found = separating_dates(*partition(values, labels, 2))
    assert found.effect[0, 1, 1] == pytest.approx(6, rel=0.1)
    assert max(found.effect[0, 1, 0], found.effect[0, 1, 2]) < 0.5
    assert found.share[0, 1].argmax() == 1


def test_zones_that_differ_and_have_no_spread_are_separated_without_end():
    values = np.repeat([[[1.1, 2.3]], [[3.7, 2.3]]], 3, axis=0).astype(np.float32)
    found = separating_dates(*partition(values, np.array([1, 1, 1, 2, 2, 2]), 2))
    assert found.effect[0, 1, 0] == np.inf
    alike = separating_dates(*partition(values[[0, 1, 2, 0, 1, 2]], np.array([1, 1, 1, 2, 2, 2]), 2))
    assert alike.effect[0, 1, 0] == 0
    assert np.isnan(alike.share).all()


@given(gappy(), st.integers(1, 400))
def test_blocks_change_nothing(case, size):
    series, zones = partition(*case)
    whole = separating_dates(series, zones)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dates, "BLOCK_BYTES", size)
        parts = separating_dates(series, zones)
    np.testing.assert_allclose(parts.effect, whole.effect, rtol=1e-5, atol=1e-9)


def test_nearest_pairs_come_first_and_pairs_without_a_common_date_not_at_all():
    values = np.array([0, 10, 11, 30, np.nan], np.float32)[:, None, None].repeat(2, axis=1)
    values[4, 1] = 9.5
    values[3, 1] = np.nan
    found = separating_dates(*partition(values, np.arange(1, 6), 5))
    assert nearest_pairs(found, 100) == ((2, 5), (2, 3), (3, 5), (1, 5), (1, 2), (1, 3), (3, 4), (2, 4), (1, 4))
    assert nearest_pairs(found, 1) == ((2, 5),)
    assert np.isnan(found.effect).all()


def test_one_zone_has_no_pairs_but_a_path():
    values, _ = blobs((9,), times=4)
    series = a_series(values)
    zones = cluster(series, n_clusters=1)
    assert nearest_pairs(separating_dates(series, zones), 9) == ()
    assert centroid_paths(zones).points.shape == (1, 4, 2)


def test_series_of_other_dates_are_refused():
    series, zones = partition(np.zeros((3, 2, 2), np.float32), np.ones(3, int), 1)
    with pytest.raises(InputError, match="differ in tiles, dates or features"):
        separating_dates(series.isel(time=[0]), zones)
    with pytest.raises(InputError, match="differ in tiles, dates or features"):
        separating_dates(series.assign_attrs(grid=a_grid(3, 1).to_json()), zones)


@given(gappy())
def test_paths_are_scikit_learns_principal_components_of_the_centroids(case):
    values, labels, k = case
    _, zones = partition(values, labels, k)
    found = centroid_paths(zones)
    seen = np.array([[(zones["counts"].values[labels == z + 1, t]).any() for t in range(values.shape[1])]
                     for z in range(k)])  # fmt: skip
    np.testing.assert_array_equal(np.isfinite(found.points[..., 0]), seen)
    flat = zones["centroids"].values[seen].astype(np.float64)
    if len(flat) < 2 or not np.square(flat - flat.mean(axis=0)).sum():
        assert found.explained == (0.0, 0.0)
        return
    model = PCA(min(2, *flat.shape)).fit(flat)
    expected = model.explained_variance_ratio_
    np.testing.assert_allclose(found.explained[: len(expected)], expected, atol=1e-9)
    points, oracle = found.points[seen][:, : len(expected)], model.transform(flat)
    np.testing.assert_allclose(np.abs(points), np.abs(oracle), atol=1e-5)


@given(gappy())
def test_steps_are_distances_between_successive_centroids(case):
    values, labels, k = case
    _, zones = partition(values, labels, k)
    found, centroids = centroid_paths(zones), zones["centroids"].values.astype(np.float64)
    assert found.steps.shape == (k, values.shape[1] - 1)
    for z in range(k):
        for t in range(values.shape[1] - 1):
            known = all((zones["counts"].values[labels == z + 1, s]).any() for s in (t, t + 1))
            expected = np.sqrt(np.square(centroids[z, t + 1] - centroids[z, t]).sum()) if known else np.nan
            np.testing.assert_allclose(found.steps[z, t], expected)


def test_a_zone_that_goes_to_and_fro_has_its_path_on_the_first_component():
    values = np.zeros((4, 3, 5), np.float32)
    values[:2, 1, 3] = 4.0
    _, zones = partition(values, np.array([1, 1, 2, 2]), 2)
    found = centroid_paths(zones)
    np.testing.assert_allclose(found.points[0, :, 0] - found.points[1, :, 0], [0, 4, 0], atol=1e-12)
    np.testing.assert_allclose(found.points[..., 1], 0)
    np.testing.assert_allclose(found.steps, [[4, 4], [0, 0]])
    assert found.explained == pytest.approx((1.0, 0.0))
