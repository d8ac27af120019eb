"""What the region promises about its zones: which differ in what, and how hard they are to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from taxoscape.testing import Region

TILE = 50


@dataclass(frozen=True)
class Tiles:
    mean: np.ndarray
    """(tile, date, band)"""
    spread: np.ndarray
    """(tile, date), standard deviation of brightness"""
    wiggle: np.ndarray
    """(tile, date), mean squared step of brightness from pixel to pixel over its variance"""
    label: np.ndarray
    """Majority zone (tile,)"""
    pure: np.ndarray
    """Whether the tile lies in one zone (tile,)"""


def tiles_of(region: Region) -> Tiles:
    parts: list[tuple[np.ndarray, ...]] = []
    for row in range(0, region.height, 4 * TILE):
        window = (row, 0, 4 * TILE, region.width)
        ground = region.survey(window)
        images = np.stack([region.expose(ground, i, window) for i in range(len(region.days))]).astype(np.float32)
        shape = (4, TILE, region.width // TILE, TILE)
        tiles = images.reshape(*images.shape[:2], *shape).transpose(2, 4, 0, 1, 3, 5)
        tiles = tiles.reshape(-1, *images.shape[:2], TILE, TILE)
        grey = tiles.mean(axis=2)
        variance = grey.var(axis=(2, 3))
        wiggle = (np.diff(grey, axis=2) ** 2).mean(axis=(2, 3)) + (np.diff(grey, axis=3) ** 2).mean(axis=(2, 3))
        zones = ground.zones.reshape(shape).swapaxes(1, 2).reshape(-1, TILE * TILE)
        label = np.asarray([np.bincount(zone).argmax() for zone in zones])
        pure = (zones == zones[:, :1]).all(axis=1)
        parts.append((tiles.mean(axis=(3, 4)), np.sqrt(variance), wiggle / variance, label, pure))
    return Tiles(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@pytest.fixture(scope="module")
def tiles() -> Tiles:
    return tiles_of(Region(seed=1))


def split(tiles: Tiles, pair: tuple[int, int], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = (values[tiles.pure & (tiles.label == zone)] for zone in pair)
    assert min(len(first), len(second)) > 50
    return first, second


def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Difference of means over the pooled standard deviation from tile to tile."""
    pooled = np.sqrt((first.var(axis=0) + second.var(axis=0)) / 2)
    return np.abs(first.mean(axis=0) - second.mean(axis=0)) / pooled


def test_the_texture_pair_has_the_same_colours_on_each_date_but_another_texture(tiles: Tiles) -> None:
    pair = Region().distinct_pairs["texture"]
    assert apart(*split(tiles, pair, tiles.mean)).mean() < 0.25
    assert apart(*split(tiles, pair, tiles.mean)).max() < 0.75
    assert apart(*split(tiles, pair, tiles.spread)).mean() < 0.5
    assert apart(*split(tiles, pair, tiles.wiggle)).min() > 1.2


def test_the_season_pair_has_the_same_year_but_not_the_same_dates(tiles: Tiles) -> None:
    pair = Region().distinct_pairs["season"]
    by_date = apart(*split(tiles, pair, tiles.mean)).max(axis=1)
    assert by_date.max() > 1.5
    assert by_date.min() < 0.7
    first, second = split(tiles, pair, tiles.mean)
    of_the_year = np.abs(first.mean(axis=(0, 1)) - second.mean(axis=(0, 1)))
    of_a_date = np.abs(first.mean(axis=0) - second.mean(axis=0)).max(axis=0)
    assert (of_the_year < 0.4 * of_a_date).all()
    assert apart(*split(tiles, pair, tiles.wiggle)).mean() < 0.6


def test_the_colour_pair_differs_in_hue_all_year_and_in_texture_never(tiles: Tiles) -> None:
    pair = Region().distinct_pairs["colour"]
    hue = tiles.mean[..., 0] / tiles.mean[..., 2]
    assert apart(*split(tiles, pair, hue)).min() > 1.0
    assert apart(*split(tiles, pair, tiles.wiggle)).mean() < 0.6


def test_the_tiles_of_a_zone_vary(tiles: Tiles) -> None:
    for zone in range(1, 9):
        members = tiles.mean[tiles.pure & (tiles.label == zone)]
        assert (members.std(axis=0) / members.mean(axis=0)).mean() > 0.08


def test_clustering_mean_colours_finds_some_zones_and_misses_others(tiles: Tiles) -> None:
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    means = tiles.mean.reshape(len(tiles.mean), -1)
    found = KMeans(8, n_init=5, random_state=0).fit_predict(means)
    assert 0.45 < normalized_mutual_info_score(tiles.label, found) < 0.62
    both = np.isin(tiles.label, Region().distinct_pairs["texture"]) & tiles.pure
    assert normalized_mutual_info_score(tiles.label[both], found[both]) < 0.1


def test_pairs_are_those_whose_zones_are_there() -> None:
    assert list(Region(n_zones=4).distinct_pairs) == ["texture", "season"]
    assert Region(n_zones=1).distinct_pairs == {}
