"""Tiles of another year go to known zones, and what was never seen is told."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.analysis.agreement import agreement
from taxoscape.config import EncoderSettings
from taxoscape.contracts import check_zones, grid_of
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.fit import train_encoder
from taxoscape.errors import InputError
from taxoscape.grid import Grid
from taxoscape.testing.region import Region, region_cube
from taxoscape.zones.assign import assign, leaves_of
from taxoscape.zones.clustering import cluster
from taxoscape.zones.tree import zone_tree
from tests.builders import a_grid, a_lattice, a_series, blobs


def a_run(seed=0, *, sizes=(120, 80, 56), clusterer="learned", missing=0.0, features=4, apart=3.0):
    values, _ = blobs(sizes, apart=apart, seed=seed, features=features)
    if missing:
        values[np.random.default_rng(seed).random(values.shape[:2]) < missing] = np.nan
    series = a_series(values, a_grid(len(values) // 16, 16))
    return series, cluster(series, n_clusters=len(sizes), clusterer=clusterer, starts=3)


def part_of(series, tiles, columns):
    """Some tiles, laid somewhere else."""
    elsewhere = a_lattice(10 * len(tiles) // columns, 10 * columns, crs="EPSG:32631")
    return a_series(series["embedding"].to_numpy()[tiles], Grid.over(elsewhere, tile_size=10))


@given(st.integers(0, 10_000), st.sampled_from(["learned", "kmeans"]), st.sampled_from([0.0, 0.2]))
@settings(max_examples=15)
def test_the_very_same_series_gets_the_very_same_zones_and_nothing_is_unlike(seed, clusterer, missing):
    series, zones = a_run(seed, clusterer=clusterer, missing=missing)
    found = assign(series, zones, series)
    check_zones(found)
    np.testing.assert_array_equal(found["labels"], zones["labels"])
    np.testing.assert_allclose(found["distances"], zones["distances"], rtol=1e-4, atol=1e-4)
    for name in ("centroids", "counts"):
        np.testing.assert_array_equal(found[name], zones[name])
    assert np.nanmax(found["outlyingness"]) <= 1
    assert found.attrs["n_clusters"] == zones.attrs["n_clusters"]
    tree = zone_tree(series, zones)
    assert (leaves_of(tree, series, found) == tree.leaves).mean() > 0.95
    np.testing.assert_array_equal(tree.lookup(3)[leaves_of(tree, series, found)], zones["labels"])


@pytest.mark.parametrize("clusterer", ["learned", "kmeans"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_tile_goes_where_it_goes_whatever_other_tiles_there_are(clusterer, missing):
    series, zones = a_run(1, clusterer=clusterer, missing=missing)
    whole = assign(series, zones, series, levels=False)
    alone = assign(part_of(series, np.arange(40), 8), zones, series, levels=False)
    for name in ("labels", "distances", "outlyingness"):
        np.testing.assert_allclose(alone[name], whole[name][:40], rtol=1e-6)


def test_a_zone_may_have_no_tile():
    series, zones = a_run()
    only = np.flatnonzero(zones["labels"].to_numpy() == 2)[:48]
    found = assign(part_of(series, only, 8), zones, series)
    assert set(found["labels"].to_numpy().tolist()) == {2}
    assert found.sizes["zone"] == 3


def test_a_tile_far_from_all_zones_is_unlike_and_its_neighbours_are_not():
    series, zones = a_run()
    values = series["embedding"].to_numpy().copy()
    values[17] += 60
    found = assign(a_series(values, grid_of(series)), zones, series)
    assert np.flatnonzero(found["outlyingness"].to_numpy() > 1).tolist() == [17]
    assert found["labels"].to_numpy()[17] > 0


def test_what_lies_off_all_axes_of_the_metric_is_unlike_although_it_is_near_in_the_metric():
    rng = np.random.default_rng(0)
    values, _ = blobs((130, 126), features=30, seed=3)
    hidden = np.zeros((256, 3, 10))
    series = a_series(np.concatenate([values, hidden + rng.normal(0, 1e-3, hidden.shape)], axis=2), a_grid(16, 16))
    zones = cluster(series, n_clusters=2, starts=3)
    other = series["embedding"].to_numpy().copy()
    other[5, :, 30:] += 40
    found = assign(a_series(other, grid_of(series)), zones, series)
    own = zones["distances"].to_numpy().min(axis=1)
    assert found["distances"].to_numpy()[5].min() < own.max()
    assert np.flatnonzero(found["outlyingness"].to_numpy() > 1).tolist() == [5]


def test_next_to_nothing_off_axes_that_are_nearly_all_there_are_is_not_unlike():
    rng = np.random.default_rng(0)
    values, _ = blobs((130, 126), times=3, features=7, seed=3)
    values[:, :, 6] = rng.normal(0, 1e-3, values.shape[:2])
    series = a_series(values, a_grid(16, 16))
    zones = cluster(series, n_clusters=2, starts=3)
    other = values.copy()
    other[:, :, 6] += rng.normal(0, 0.01, values.shape[:2])
    found = assign(a_series(other, a_grid(16, 16)), zones, series)
    assert (found["outlyingness"].to_numpy() < 1.01).all()


@pytest.mark.parametrize("clusterer", ["learned", "kmeans"])
@pytest.mark.parametrize("gone", [[0], [0, 2], "random"])
def test_missing_dates_alone_make_no_tile_unlike_and_do_not_hide_one(clusterer, gone):
    series, zones = a_run(2, clusterer=clusterer)
    values = series["embedding"].to_numpy().copy()
    if gone == "random":
        values[np.random.default_rng(1).random(values.shape[:2]) < 0.4] = np.nan
    else:
        values[:, gone] = np.nan
    values[33, 1] = series["embedding"].to_numpy()[33, 1] + 60
    found = assign(a_series(values, grid_of(series)), zones, series)
    unlike = np.flatnonzero(found["outlyingness"].to_numpy() > 1)
    assert unlike.tolist() == [33]


def test_a_tile_without_a_date_is_in_no_zone():
    series, zones = a_run()
    values = series["embedding"].to_numpy().copy()
    values[3] = np.nan
    found = assign(a_series(values, grid_of(series)), zones, series)
    assert found["labels"].to_numpy()[3] == 0
    assert np.isnan(found["outlyingness"].to_numpy()[3])
    assert np.isnan(found["distances"].to_numpy()[3]).all()
    with pytest.raises(InputError, match="no tile counts"):
        assign(a_series(np.full((16, 3, 4), np.nan), a_grid(1, 16)), zones, series)


def test_series_that_do_not_go_together_are_refused():
    series, zones = a_run()
    with pytest.raises(InputError, match="3 dates and 2 features, that of the zones 3 and 4"):
        assign(series.isel(feature=[0, 1]), zones, series)
    other, _ = a_run(sizes=(64, 64))
    with pytest.raises(InputError, match="give its own"):
        assign(series, zones, other)


def test_another_year_of_the_built_in_region_has_its_zones_and_is_known_land_once_haze_and_light_are_taken_out():
    days = (date(2023, 2, 6), date(2023, 5, 2), date(2023, 7, 4), date(2023, 9, 20))
    later = tuple(day.replace(year=2025, day=day.day + 3) for day in days)
    regions = [Region(seed=2, height=1000, width=1000, n_zones=4, dates=dates) for dates in (days, later)]
    cubes = [region_cube(region) for region in regions]
    encoder = train_encoder(cubes[0], tile_size=50, settings=EncoderSettings(encoder="stats"))
    series, new = (encode(cube, encoder) for cube in cubes)
    zones, truth = cluster(series, n_clusters=4), regions[0].truth()
    corners = grid_of(series).corners
    true = np.array([np.bincount(truth[row : row + 50, col : col + 50].ravel()).argmax() for row, col in corners])
    found, without = (assign(new, zones, series, levels=levels) for levels in (True, False))
    first, second, bare = (agreement(z["labels"].to_numpy(), true)["nmi"] for z in (zones, found, without))
    assert second > 0.75 * first
    assert bare < 0.75 * first
    assert (found["outlyingness"].to_numpy() > 1).mean() < 0.1
    assert (without["outlyingness"].to_numpy() > 1).mean() > 0.5


def two_years(seed, *, dates=12, n=400):
    """Two years of four kinds of land: series of one distribution, (tile, time, feature), and the kinds."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(range(4), n // 4)
    centres = np.random.default_rng(99).normal(0, 2, (4, dates, 5))
    mixing = np.random.default_rng(98).normal(0, 0.5, (6, dates * 5))
    return [
        centres[kinds] + (rng.normal(size=(n, 6)) @ mixing).reshape(n, dates, 5) + rng.normal(0, 0.3, (n, dates, 5))
        for _ in range(2)
    ]


@pytest.mark.parametrize(("gone", "later"), [(0.3, 0.0), (0.5, 0.3), (0.0, 0.3)])
def test_zones_made_of_dates_with_gaps_find_a_clear_year_no_unknown_land(gone, later):
    first, second = two_years(0)
    rng = np.random.default_rng(1)
    for values, share in ((first, gone), (second, later)):
        values[rng.random(values.shape[:2]) < share] = np.nan
    series, new = (a_series(values.astype(np.float32), a_grid(20, 20)) for values in (first, second))
    zones = cluster(series, n_clusters=4, starts=2)
    found = assign(new, zones, series, levels=False)["outlyingness"].to_numpy()
    assert (found > 1).mean() < 0.12
    changed = a_series((second + 3).astype(np.float32), a_grid(20, 20))
    assert (assign(changed, zones, series, levels=False)["outlyingness"].to_numpy() > 1).mean() > 0.9


@pytest.mark.parametrize("clusterer", ["learned", "kmeans"])
@pytest.mark.parametrize("levels", [True, False])
def test_a_date_that_the_zones_never_saw_says_nothing(clusterer, levels):
    first, second = two_years(2, dates=6)
    first[:, 3] = np.nan
    series, new = (a_series(values.astype(np.float32), a_grid(20, 20)) for values in (first, second))
    zones = cluster(series, n_clusters=4, starts=2, clusterer=clusterer)
    found = assign(new, zones, series, levels=levels)
    without = second.copy()
    without[:, 3] = np.nan
    same = assign(a_series(without.astype(np.float32), a_grid(20, 20)), zones, series, levels=levels)
    np.testing.assert_array_equal(found["labels"], same["labels"])
    np.testing.assert_array_equal(found["outlyingness"], same["outlyingness"])
    assert (found["outlyingness"].to_numpy() > 1).mean() < 0.12
    assert np.isnan(found["level_shifts"].to_numpy()[3]).all()
    assert not found["counts"].to_numpy()[:, 3].any()
