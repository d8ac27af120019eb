"""Haze and light of a date are taken out; what changed in the minority of tiles stays."""

from __future__ import annotations

import numpy as np
import pytest

from taxoscape.contracts import grid_of
from taxoscape.grid import Grid
from taxoscape.zones.assign import assign
from taxoscape.zones.clustering import cluster
from taxoscape.zones.levels import LEAST_TILES, same_ground
from tests.builders import a_grid, a_lattice, a_series, blobs


def a_year(sizes=(120, 80, 56), *, seed=0, apart=3.0):
    values, truth = blobs(sizes, apart=apart, seed=seed)
    series = a_series(values, a_grid(len(values) // 16, 16))
    return series, cluster(series, n_clusters=len(sizes), starts=3), truth


def another(series, shift, *, seed=9, tiles=None, grid=None):
    values = series["embedding"].to_numpy()
    values = values if tiles is None else values[tiles]
    noise = np.random.default_rng(seed).normal(0, 0.3, values.shape)
    return a_series(values + noise + shift, grid or grid_of(series))


SHIFT = np.random.default_rng(4).normal(0, 12.0, (3, 4))


def test_on_the_same_ground_the_shift_of_each_date_is_found_and_the_zones_stay():
    series, zones, _ = a_year()
    found = assign(another(series, SHIFT), zones, series)
    np.testing.assert_allclose(found["level_shifts"].to_numpy(), SHIFT, atol=0.15)
    assert (found["labels"].to_numpy() == zones["labels"].to_numpy()).mean() > 0.99
    without = assign(another(series, SHIFT), zones, series, levels=False)
    assert not without["level_shifts"].to_numpy().any()
    assert (without["labels"].to_numpy() == zones["labels"].to_numpy()).mean() < 0.9


def test_elsewhere_the_shift_is_found_by_zones_whatever_their_shares():
    series, zones, truth = a_year(apart=6.0)
    rare = np.concatenate([np.flatnonzero(truth == 2), np.flatnonzero(truth == 0)[:8]])
    far = Grid.over(a_lattice(40, 160, crs="EPSG:32631"), tile_size=10)
    there = another(series, SHIFT / 6, tiles=rare, grid=far)
    found = assign(there, zones, series)
    np.testing.assert_allclose(found["level_shifts"].to_numpy(), SHIFT / 6, atol=0.4)
    assert (found["labels"].to_numpy() == zones["labels"].to_numpy()[rare]).all()


def test_the_very_same_scenes_have_no_shift_at_all():
    series, zones, _ = a_year()
    assert not assign(series, zones, series)["level_shifts"].to_numpy().any()


def test_what_changes_in_a_minority_of_tiles_is_not_taken_out():
    series, zones, _ = a_year()
    values = series["embedding"].to_numpy().copy()
    values[:100] += 30
    found = assign(a_series(values, grid_of(series)), zones, series)
    assert not found["level_shifts"].to_numpy().any()
    assert (found["outlyingness"].to_numpy()[:100] > 1).all()


def test_a_date_with_too_few_tiles_is_left_as_it_is():
    series, zones, _ = a_year()
    new = another(series, SHIFT)
    values = new["embedding"].to_numpy().copy()
    values[LEAST_TILES - 1 :, 1] = np.nan
    found = assign(a_series(values, grid_of(series)), zones, series)
    assert found["level_shifts"].to_numpy()[1].tolist() == [0.0] * 4
    np.testing.assert_allclose(found["level_shifts"].to_numpy()[[0, 2]], SHIFT[[0, 2]], atol=0.15)


def test_tiles_on_the_same_ground_are_those_of_one_place_in_one_lattice():
    whole = Grid.over(a_lattice(60, 90), tile_size=10)
    lattice = a_lattice(60, 90)
    part = Grid.over(lattice.window(20, 30, 40, 60), tile_size=10)
    mine, theirs = same_ground(part, whole)
    assert len(mine) == part.n_tiles
    np.testing.assert_array_equal(whole.rows[theirs], part.rows[mine])
    np.testing.assert_array_equal(whole.cols[theirs], part.cols[mine])
    for other in (Grid.over(a_lattice(60, 90, crs="EPSG:32631"), tile_size=10), Grid.over(lattice, tile_size=20)):
        assert [len(tiles) for tiles in same_ground(other, whole)] == [0, 0]


@pytest.mark.parametrize("clusterer", ["learned", "kmeans"])
def test_levels_hold_under_both_clusterers_with_dates_missing(clusterer):
    series, _, _ = a_year()
    zones = cluster(series, n_clusters=3, clusterer=clusterer, starts=3)
    new = another(series, SHIFT)
    values = new["embedding"].to_numpy().copy()
    values[np.random.default_rng(0).random(values.shape[:2]) < 0.2] = np.nan
    found = assign(a_series(values, grid_of(series)), zones, series)
    placed = found["labels"].to_numpy() > 0
    assert (found["labels"].to_numpy() == zones["labels"].to_numpy())[placed].mean() > 0.95
