"""Colours of tiles and zones."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from taxoscape.analysis import components
from taxoscape.analysis.components import fill_missing
from taxoscape.errors import InputError
from taxoscape.publish import colour
from taxoscape.publish.colour import (
    SHADE,
    coloured_like,
    lab,
    part_colours,
    series_colours,
    spread_colours,
    zone_colours,
)


@pytest.fixture
def series(make, grid, labels):
    return make.series(grid, labels)


def test_without_gaps_the_colours_are_those_of_scikit_learns_pca(make, grid):
    labels = make.labels(grid, gaps=False)
    series = make.series(grid, labels)
    series["embedding"] = series["embedding"].fillna(1.5)
    flat = series["embedding"].to_numpy().reshape(grid.n_tiles, -1).astype(float)
    oracle = PCA(3).fit(flat)
    scores = oracle.transform(flat)
    found = series_colours(series)
    np.testing.assert_allclose(found.explained_variance, oracle.explained_variance_ratio_, rtol=1e-6)
    for axis in range(3):
        low, high = np.quantile(scores[:, axis], (0.02, 0.98))
        expected = np.clip((scores[:, axis] - low) / (high - low), 0, 1) * 255
        flipped = np.abs(found.rgb[:, axis] - (255 - expected)).max()
        assert min(np.abs(found.rgb[:, axis] - expected).max(), flipped) <= 0.51


def test_each_component_uses_its_own_range_however_small_its_variance(make, grid):
    rng = np.random.default_rng(0)
    series = make.series(grid, make.labels(grid, gaps=False), n_dates=1, n_features=3)
    series["embedding"][:] = rng.normal(size=(grid.n_tiles, 1, 3)) * (1000, 10, 0.1)
    rgb = series_colours(series).rgb
    assert (rgb.min(axis=0) == 0).all()
    assert (rgb.max(axis=0) == 255).all()


def test_signs_do_not_depend_on_the_order_of_tiles(series):
    found = series_colours(series)
    assert (found.components[np.arange(3), np.abs(found.components).argmax(axis=1)] > 0).all()
    order = np.random.default_rng(1).permutation(series.sizes["tile"])
    shuffled = series_colours(series.isel(tile=order))
    assert np.abs(shuffled.rgb.astype(int) - found.rgb[order]).max() <= 1


def test_tiles_without_any_date_are_grey_and_have_no_part(series, labels):
    found = series_colours(series)
    np.testing.assert_array_equal(found.seen, labels > 0)
    assert (found.rgb[labels == 0] == colour.UNSEEN).all()
    alone = series_colours(series.isel(tile=np.flatnonzero(labels > 0)))
    assert np.abs(found.rgb[labels > 0].astype(int) - alone.rgb).max() <= 1


def test_missing_dates_are_filled_by_the_two_way_rule():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 4, 3))
    values[0, 1] = values[2, 0] = values[2, 3] = np.nan
    means = np.nanmean(values, axis=0)
    expected = values.copy()
    for tile in range(6):
        seen = [t for t in range(4) if np.isfinite(values[tile, t]).all()]
        offset = np.mean([values[tile, t] - means[t] for t in seen], axis=0)
        for t in range(4):
            if t not in seen:
                expected[tile, t] = means[t] + offset
    np.testing.assert_allclose(fill_missing(values, means), expected)


def test_a_tile_that_is_constantly_brighter_keeps_its_colour_when_dates_are_lost():
    dates = np.array([[0.0], [5.0], [1.0]])
    tile = (dates + 7)[None].copy()
    tile[0, 1] = np.nan
    np.testing.assert_allclose(fill_missing(tile, dates)[0], dates + 7)


def test_blocks_give_what_the_whole_gives(series, monkeypatch):
    whole = series_colours(series)
    monkeypatch.setattr(components, "_BLOCK_VALUES", 5 * 4 * 3)
    np.testing.assert_array_equal(series_colours(series).rgb, whole.rgb)


def test_a_lazy_series_gives_the_same_colours(series, tmp_path):
    series.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False)
    with xr.open_zarr(tmp_path / "s.zarr", chunks=None, consolidated=False) as lazy:
        np.testing.assert_array_equal(series_colours(lazy).rgb, series_colours(series).rgb)


def test_the_randomised_components_of_a_large_series_agree_with_the_exact_ones():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(900, 5)) * (9, 6, 4, 1, 1) @ rng.normal(size=(5, 700)) + rng.normal(size=(900, 700))
    directions, shares = components._principal(sample, 3, 0)
    oracle = PCA(3, svd_solver="full").fit(sample)
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(directions * oracle.components_, axis=1)), 1, rtol=1e-6)


def test_components_fitted_on_a_part_of_the_tiles_colour_all_of_them(series, monkeypatch):
    whole = series_colours(series)
    monkeypatch.setattr(components, "FIT_TILES", 50)
    part = series_colours(series)
    assert part.rgb.shape == whole.rgb.shape
    np.testing.assert_array_equal(part.rgb, series_colours(series).rgb)
    assert np.abs(part.rgb.astype(int) - whole.rgb).mean() < 25


@pytest.mark.parametrize(("rows", "cols", "dates", "features"), [(1, 1, 1, 1), (1, 2, 1, 1), (2, 3, 1, 2)])
def test_too_few_tiles_or_features_for_three_components_still_have_colours(make, rows, cols, dates, features):
    grid = make.grid(n_rows=rows, n_cols=cols)
    series = make.series(grid, np.ones(grid.n_tiles, np.uint8), dates, features)
    found = series_colours(series)
    assert found.seen.all()
    assert np.isfinite(found.explained_variance).all()
    assert (found.rgb[:, 2] == 128).all()


def test_a_series_without_any_data_is_all_grey(make, grid):
    found = series_colours(make.series(grid, np.zeros(grid.n_tiles, np.uint8)))
    assert not found.seen.any()
    assert (found.rgb == colour.UNSEEN).all()


def test_a_dataset_that_is_no_series_is_refused(series):
    with pytest.raises(InputError, match="embedding"):
        series_colours(series.drop_vars("embedding"))


def test_a_zone_alone_has_the_colour_of_a_tile_at_its_centroid(series):
    colours = series_colours(series)
    tile = int(np.flatnonzero(np.isfinite(series["embedding"].to_numpy()).all(axis=(1, 2)))[5])
    found = zone_colours(series["embedding"].to_numpy()[tile : tile + 1], colours)
    np.testing.assert_array_equal(found.natural[0], colours.rgb[tile])
    assert found.min_distance == np.inf


def test_centroids_that_lack_a_date_have_a_colour(series):
    colours = series_colours(series)
    centroids = series["embedding"].to_numpy()[[1, 2, 3]].copy()
    centroids[1, 2] = np.nan
    centroids[2] = np.nan
    assert zone_colours(centroids, colours).rgb.shape == (3, 3)


@pytest.mark.parametrize(("count", "least"), [(2, 24), (8, 24), (12, 24), (30, 18), (300, 8)])
def test_zones_that_look_alike_are_moved_apart(count, least):
    wanted = np.random.default_rng(0).normal(128, 10, (count, 3)).astype(np.uint8)
    rgb = spread_colours(wanted)
    places = lab(rgb)
    gaps = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=-1))[np.triu_indices(count, 1)]
    assert gaps.min() >= least
    np.testing.assert_array_equal(rgb[0], wanted[0])
    np.testing.assert_array_equal(rgb, spread_colours(wanted))


def test_zones_are_never_near_white_nor_near_black():
    rgb = spread_colours(np.array([[255, 255, 255], [0, 0, 0], [250, 255, 240], [5, 5, 5]], np.uint8))
    lightness = lab(rgb)[:, 0]
    assert lightness.min() >= 27
    assert lightness.max() <= 81


def test_colours_that_are_told_apart_already_stay():
    wanted = np.array([[200, 40, 40], [40, 160, 60], [50, 60, 200]], np.uint8)
    np.testing.assert_array_equal(spread_colours(wanted), wanted)


def test_so_many_zones_that_none_can_be_told_apart_keep_their_colours():
    wanted = np.zeros((1001, 3), np.uint8)
    np.testing.assert_array_equal(spread_colours(wanted), wanted)


def test_lab_has_the_published_values_of_white_red_and_blue():
    found = lab(np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255]]))
    np.testing.assert_allclose(found, [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]], atol=0.02)


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(0, 40))
@settings(max_examples=15)
def test_parts_have_colours_of_their_own_near_that_of_what_they_split_from_and_stay_when_there_are_more(seed, k, parts):
    rng = np.random.default_rng(seed)
    zones = spread_colours(rng.integers(0, 256, (k, 3), dtype=np.uint8))
    splits_from = np.array([0] * k + [int(rng.integers(1, number)) for number in range(k + 1, k + parts + 1)])
    found = part_colours(zones, splits_from)
    np.testing.assert_array_equal(found[:k], zones)
    assert len({tuple(colour) for colour in found.tolist()}) == k + parts
    fewer = k + parts // 2
    np.testing.assert_array_equal(part_colours(zones, splits_from[:fewer]), found[:fewer])


def test_a_part_of_a_zone_has_a_shade_of_its_colour():
    zones = np.array([[46, 132, 173], [170, 167, 20]], dtype=np.uint8)
    (part,) = part_colours(zones, np.array([0, 1, 1]))[2:]
    gaps = np.sqrt(((lab(zones) - lab(part)) ** 2).sum(axis=1))
    assert SHADE <= gaps[0] < 2 * SHADE < gaps[1]


def test_another_series_is_coloured_as_the_first_one_is(make):
    grid = make.grid()
    first = make.series(grid, make.labels(grid))
    known = series_colours(first)
    np.testing.assert_array_equal(coloured_like(first, known).rgb, known.rgb)
    np.testing.assert_array_equal(coloured_like(first, known).seen, known.seen)
    some = coloured_like(first.isel(tile=slice(20, 60)), known)
    np.testing.assert_array_equal(some.rgb, known.rgb[20:60])
    assert some.components is known.components
