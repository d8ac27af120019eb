"""Zone cards: hand-known answers, naive loops, and edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.analysis.cards import zone_cards
from taxoscape.areas import cell_areas_km2
from taxoscape.cube.layers import Layer
from taxoscape.errors import InputError
from tests.builders import a_grid

DATES = np.array(["2020-01-10", "2020-04-10", "2020-07-10", "2020-10-10"], dtype="datetime64[ns]")
BANDS = ("B02", "B03", "B04", "B08")


def made(seed=0, rows=4, cols=6, times=4, bands=BANDS, gaps=0.2):
    rng = np.random.default_rng(seed)
    grid = a_grid(rows, cols)
    labels = rng.integers(0, 4, grid.n_tiles).astype(np.uint8)
    means = rng.uniform(100, 3000, (grid.n_tiles, times, len(bands))).astype(np.float32)
    means[rng.random(means.shape[:2]) < gaps] = np.nan
    deviations = np.where(np.isfinite(means), rng.uniform(5, 50, means.shape), np.nan).astype(np.float32)
    return means, deviations, labels, grid


@given(seed=st.integers(0, 200))
@settings(max_examples=25)
def test_curves_equal_nan_means_and_quantiles_of_numpy(seed):
    means, deviations, labels, grid = made(seed)
    cards = zone_cards(means, deviations, DATES, BANDS, labels, grid)
    for card in cards:
        own = means[labels == card.zone].astype(np.float64)
        for t in range(4):
            seen = own[np.isfinite(own[:, t, 0]), t]
            for b, curve in enumerate(card.curves):
                if len(seen):
                    low, high = np.quantile(seen[:, b], (0.1, 0.9))
                    assert (curve.mean[t], curve.low[t], curve.high[t]) == pytest.approx((seen[:, b].mean(), low, high))
                else:
                    assert np.isnan([curve.mean[t], curve.low[t], curve.high[t]]).all()
        assert card.area_km2 == pytest.approx(cell_areas_km2(grid)[labels == card.zone].sum())
    assert sum(card.n_tiles for card in cards) == (labels > 0).sum()


@given(seed=st.integers(0, 200))
@settings(max_examples=25)
def test_scores_are_standard_scores_of_tiles_in_a_naive_loop(seed):
    means, deviations, labels, grid = made(seed, times=2, bands=("red", "nir"))
    cards = zone_cards(means, deviations, DATES[:2], ("red", "nir"), labels, grid)
    tiles = {}
    for tile in np.flatnonzero(labels):
        parts = []
        for t in range(2):
            for b in range(2):
                column = means[labels > 0, t, b].astype(float)
                column = column[np.isfinite(column)]
                if np.isfinite(means[tile, t, b]) and len(column) > 1:
                    parts.append((means[tile, t, b] - column.mean()) / column.std())
        if parts:
            tiles[tile] = np.mean(parts)
    values = np.array(list(tiles.values()))
    for card in cards:
        own = [(v - values.mean()) / values.std() for tile, v in tiles.items() if labels[tile] == card.zone]
        if own:
            assert card.brightness_z == pytest.approx(np.mean(own))


def test_the_card_of_two_plain_zones_is_known_by_hand():
    grid = a_grid(1, 4)
    labels = np.array([1, 1, 2, 2], np.uint8)
    red, nir = np.array([300.0, 300, 1000, 1000]), np.array([[900.0, 2700, 2700, 900]] * 2 + [[1000.0] * 4] * 2)
    means = np.stack([np.repeat(red[:, None], 4, axis=1), nir], axis=-1).astype(np.float32)
    deviations = np.stack([np.full((4, 2), v) for v in (10, 10, 30, 30)])
    one, two = zone_cards(means, deviations, DATES, ("red", "nir"), labels, grid)
    np.testing.assert_allclose(one.ndvi.mean, [0.5, 0.8, 0.8, 0.5], rtol=1e-6)
    np.testing.assert_allclose(two.ndvi.mean, 0, atol=1e-6)
    assert one.ndvi_from == "red (red) and nir (near infrared)"
    assert str(one.greenness.peak) == "2020-04-10"
    assert one.greenness.season_days == pytest.approx((91 + 92) / 2 + 91)
    assert two.greenness.peak is None
    assert (one.texture, two.texture, one.texture_z, two.texture_z) == pytest.approx((10, 30, -1, 1))
    assert one.brightness == pytest.approx((300 + 1800) / 2)
    assert one.seasonality == pytest.approx(450)
    assert (one.ndvi_z, two.ndvi_z) == pytest.approx((1, -1))
    assert one.tints == ()


def test_bands_that_allow_no_ndvi_say_why_and_a_band_of_it_is_taken():
    means, deviations, labels, grid = made(bands=("a", "B08"))
    card = zone_cards(means, deviations, DATES, ("a", "B08"), labels, grid)[0]
    assert (card.ndvi, card.greenness) == (None, None)
    assert card.ndvi_from == "no NDVI: no band is known as red by its name (a, B08)"
    card = zone_cards(means[..., :1] / 4000, deviations[..., :1], DATES, ("NDVI",), labels, grid)[0]
    assert card.ndvi_from == "band NDVI"
    assert np.isnan([card.brightness, card.brightness_z]).all()


def test_sums_below_zero_have_no_ndvi():
    means, deviations, labels, grid = made(gaps=0)
    means[:, 0] *= -1
    for card in zone_cards(means, deviations, DATES, BANDS, labels, grid):
        assert np.isnan(card.ndvi.mean[0])


def test_tint_compares_shares_of_colours():
    grid = a_grid(1, 4)
    means = np.array([[[1, 3, 1, 9]], [[10, 30, 10, 9]], [[1, 1, 3, 9]], [[2, 2, 6, 9]]], np.float32)
    cards = zone_cards(means, means * 0 + 1, DATES[:1], BANDS, np.array([1, 1, 2, 2]), grid)
    assert dict(cards[0].tints)["green"] == pytest.approx(1, abs=1e-5)
    assert dict(cards[1].tints)["red"] == pytest.approx(1, abs=1e-5)
    assert np.isnan(dict(cards[0].tints)["blue"])
    assert np.isnan(cards[0].seasonality)


def test_layers_are_told_per_zone():
    grid = a_grid(1, 6)
    labels = np.array([1, 1, 1, 2, 2, 0])
    height = Layer(
        name="h", kind="continuous", values=np.array([1.0, 2, 3, 10, np.nan, 99]), share=np.ones(6), unit="m"
    )
    cover = Layer(
        name="c", kind="categorical", values=np.array([1, 2, 2, 1, 0, 1]), share=np.ones(6), classes=("x", "y")
    )
    means = np.ones((6, 4, 4), np.float32)
    one, two = zone_cards(means, means, DATES, BANDS, labels, grid, layers=(height, cover))
    assert (one.layers[0].mean, one.layers[0].n_tiles, one.layers[0].unit) == (2, 3, "m")
    assert (one.layers[0].low, one.layers[0].high) == pytest.approx((1.2, 2.8))
    assert one.layers[0].z == pytest.approx((2 - 4) / np.std([1, 2, 3, 10]))
    assert one.layers[1].classes == (("y", pytest.approx(2 / 3), 0.5), ("x", pytest.approx(1 / 3), 0.5))
    assert (two.layers[1].classes, two.layers[1].n_tiles) == ((("x", 1.0, 0.5),), 1)
    assert np.isnan(one.brightness_z)


def test_one_tile_zones_one_zone_and_zones_without_tiles_have_cards():
    means, deviations, _, grid = made(gaps=0)
    labels = np.zeros(grid.n_tiles, int)
    labels[[3, 9]] = 1, 3
    one, empty, three = zone_cards(means, deviations, DATES, BANDS, labels, grid)
    assert (one.n_tiles, empty.n_tiles, three.n_tiles) == (1, 0, 1)
    assert np.isnan([empty.brightness, empty.texture_z, empty.curves[0].mean[0], empty.curves[0].low[0]]).all()
    assert empty.greenness is None
    np.testing.assert_allclose(one.curves[0].low, means[3, :, 0])
    assert len(zone_cards(means, deviations, DATES, BANDS, np.ones(grid.n_tiles, int), grid)) == 1
    assert zone_cards(means, deviations, DATES, BANDS, labels * 0, grid) == ()


def test_a_zone_whose_tiles_never_count_has_nan_numbers():
    means, deviations, labels, grid = made()
    means[labels == 2] = deviations[labels == 2] = np.nan
    card = zone_cards(means, deviations, DATES, BANDS, labels, grid)[1]
    assert np.isnan([card.brightness, card.brightness_z, card.texture, card.seasonality_z, card.ndvi_z]).all()


def test_arrays_that_do_not_fit_are_refused():
    means, deviations, labels, grid = made()
    with pytest.raises(InputError, match=r"cards need means and deviations \(tile, time, band\) of \(24, 3, 4\)"):
        zone_cards(means, deviations, DATES[:3], BANDS, labels, grid)
    layer = Layer(name="h", kind="continuous", values=np.ones(5), share=np.ones(5))
    with pytest.raises(InputError, match="the layer 'h' has 5 tiles, the grid 24"):
        zone_cards(means, deviations, DATES, BANDS, labels, grid, layers=(layer,))
    with pytest.raises(InputError, match=r"areas_km2 has the shape \(3,\), the grid has 24 tiles"):
        zone_cards(means, deviations, DATES, BANDS, labels, grid, areas_km2=np.ones(3))


def test_areas_that_are_given_are_used():
    means, deviations, labels, grid = made()
    areas = np.arange(24.0)
    cards = zone_cards(means, deviations, DATES, BANDS, labels, grid, areas_km2=areas)
    assert [card.area_km2 for card in cards] == [areas[labels == card.zone].sum() for card in cards]
