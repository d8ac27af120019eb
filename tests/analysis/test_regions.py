from __future__ import annotations

import json
import math
from itertools import permutations

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from taxoscape.analysis.regions import region_partitions
from taxoscape.areas import cell_areas_km2
from taxoscape.cube.joined import STAND_IN_CRS, Placement, split
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.zones.evidence import distinct_rows
from taxoscape.zones.missing import counted, whole_rows
from tests.builders import a_series, make_grid
from tests.builders import plain_cluster as cluster


def place(shapes: list[tuple[int, int]], times: int = 2) -> tuple[Grid, tuple[Placement, ...]]:
    """Return a joined grid and the placements of regions of (rows, columns) of tiles of 10 px, each elsewhere."""
    placements, row = [], 0
    dates = tuple(str(np.datetime64("2021-02-03", "ns") + np.timedelta64(40 * t, "D")) for t in range(times))
    for i, (n_rows, n_cols) in enumerate(shapes):
        grid = make_grid(4326 if i % 2 else 32630, n_rows=n_rows, n_cols=n_cols, dx=1e-4 if i % 2 else 10,
                         dy=1e-4 if i % 2 else 10, x0=1.0 if i % 2 else 5e5, y0=43.0 if i % 2 else 4.7e6)  # fmt: skip
        placements.append(Placement(name=f"r{i}", grid=grid, row=row, col=0, dates=dates))
        row += n_rows + 2
    width = max(n_cols for _, n_cols in shapes) * 10
    lattice = Lattice(crs=STAND_IN_CRS, x0=0.0, y0=0.0, dx=10.0, dy=10.0, height=(row - 2) * 10, width=width)
    return Grid.over(lattice, tile_size=10), tuple(placements)


def lay(parts: list[np.ndarray], shapes: list[tuple[int, int]]) -> tuple[xr.Dataset, tuple[Placement, ...]]:
    """Return the joined series of regions' values (tile, time, feature)."""
    grid, placements = place(shapes, parts[0].shape[1])
    values = np.full((grid.n_tiles, *parts[0].shape[1:]), np.nan, np.float32)
    for placement, part in zip(placements, parts, strict=True):
        values[placement.tiles(grid)] = part
    return a_series(values, grid), placements


def spots(levels: list[float]) -> np.ndarray:
    """Return series of one date and one feature."""
    return np.array(levels, np.float32)[:, None, None]


def test_a_region_is_cut_otherwise_by_itself_than_among_others() -> None:
    """Overall, the second region's fine structure (0 and 1) is lost beside 0 and 100; alone it has one zone."""
    first, second = spots([0, 0, 1, 100, 101, 100]), spots([0, 1, 0, 1])
    series, placements = lay([first, second], [(2, 3), (1, 4)])
    zones = cluster(series, n_clusters=2, rng=0)
    one, two = region_partitions(series, zones, placements, starts=2)
    assert (one.name, one.n_own_zones, one.n_overall_zones, one.ari, one.nmi) == ("r0", 2, 2, 1.0, 1.0)
    np.testing.assert_array_equal(one.overall, one.own)
    assert (two.n_own_zones, two.n_overall_zones, two.ari) == (1, 1, 1.0)
    near = int(two.overall[0])
    assert two.tiles[near - 1] == 4
    assert two.shares[near - 1] == pytest.approx(1)
    np.testing.assert_array_equal(two.own, [near] * 4)


def test_a_regions_own_zones_can_disagree_with_the_overall_ones() -> None:
    """Two features: overall the first tells more; the second region varies in the second feature alone but for one."""
    overall_levels = np.zeros((12, 1, 2), np.float32)
    overall_levels[6:, 0, 0] = 100
    region = np.zeros((8, 1, 2), np.float32)
    region[0, 0, 0] = 60  # nearer to the high ones of the first region
    region[4:, 0, 1] = 70
    series, placements = lay([overall_levels, region], [(3, 4), (2, 4)])
    zones = cluster(series, n_clusters=2, starts=5, rng=0)
    _, found = region_partitions(series, zones, placements)
    own = cluster(split(series, placements[1]), n_clusters=found.n_own_zones, rng=0)["labels"].to_numpy()
    assert found.ari == pytest.approx(adjusted_rand_score(found.overall, own))
    assert found.ari < 0.9


@given(
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3),
    k=st.integers(1, 5), times=st.integers(1, 3), seed=st.integers(0, 999), gaps=st.sampled_from([0.0, 0.3]),
)  # fmt: skip
@settings(max_examples=25)
def test_numbers_are_those_of_a_naive_twin(shapes, k, times, seed, gaps) -> None:
    rng = np.random.default_rng(seed)
    parts = []
    for rows, cols in shapes:
        values = rng.normal(size=(rows * cols, times, 3)).astype(np.float32)
        values[rng.random((rows * cols, times)) < gaps] = np.nan
        parts.append(values)
    seen = sum(int(np.isfinite(part[..., 0]).any(axis=1).sum()) for part in parts)
    assume(seen)
    series, placements = lay(parts, shapes)
    rows, _ = whole_rows(series["embedding"].to_numpy(), counted(series))
    zones = cluster(series, n_clusters=distinct_rows(rows, k), starts=1, rng=seed)  # filled gaps can make tiles alike
    found = region_partitions(series, zones, placements, starts=2, rng=seed)
    for region, placement in zip(found, placements, strict=True):
        overall = split(zones, placement)["labels"].to_numpy()
        np.testing.assert_array_equal(region.overall, overall)
        np.testing.assert_array_equal(region.own > 0, overall > 0)
        assert set(region.own.tolist()) <= set(overall.tolist())
        areas = cell_areas_km2(placement.grid)
        for zone in range(1, zones.sizes["zone"] + 1):
            of_zone = [tile for tile in range(len(overall)) if overall[tile] == zone]
            assert region.tiles[zone - 1] == len(of_zone)
            assert region.areas_km2[zone - 1] == pytest.approx(sum(areas[tile] for tile in of_zone))
        placed = overall > 0
        if not placed.any():
            assert math.isnan(region.ari)
            assert math.isnan(region.nmi)
            assert set(region.shares) == {0.0}
            continue
        assert region.n_own_zones <= region.n_overall_zones
        assert gaps or region.n_own_zones == region.n_overall_zones
        assert sum(region.shares) == pytest.approx(1)
        own = cluster(split(series, placement), n_clusters=region.n_own_zones, starts=2, rng=seed)["labels"].to_numpy()
        assert region.ari == pytest.approx(adjusted_rand_score(overall[placed], own[placed]))
        assert region.nmi == pytest.approx(normalized_mutual_info_score(overall[placed], own[placed]))
        assert adjusted_rand_score(own, region.own) == pytest.approx(1)


def test_matched_numbers_agree_on_as_many_tiles_as_any_other_numbering() -> None:
    rng = np.random.default_rng(3)
    series, placements = lay([rng.normal(size=(24, 1, 2)), rng.normal(size=(20, 1, 2)) + 1], [(4, 6), (4, 5)])
    zones = cluster(series, n_clusters=5, rng=1)
    for region in region_partitions(series, zones, placements, rng=4):
        present = np.unique(region.overall[region.overall > 0])
        agreeing = [
            (region.overall == np.array([0, *numbers])[np.searchsorted(present, region.own) + 1]).sum()
            for numbers in permutations(present)
        ]
        assert (region.overall == region.own).sum() == max(agreeing)


def test_a_seed_gives_a_region_the_same_whatever_lies_beside_it() -> None:
    rng = np.random.default_rng(0)
    series, placements = lay([rng.normal(size=(12, 2, 3)), rng.normal(size=(20, 2, 3))], [(3, 4), (4, 5)])
    zones = cluster(series, n_clusters=4, rng=1)
    both = region_partitions(series, zones, placements, starts=1, rng=7)
    (alone,) = region_partitions(series, zones, placements[1:], starts=1, rng=7)
    np.testing.assert_array_equal(both[1].own, alone.own)


def test_series_that_differ_only_in_what_they_miss_count_as_one() -> None:
    nan = np.nan
    first = np.array([[1, 40], [1, 40], [60, 5], [60, 5]], np.float32)[:, :, None]
    second = np.array([[1, nan], [nan, 5]], np.float32)[:, :, None]
    series, placements = lay([first, second], [(2, 2), (1, 2)])
    zones = cluster(series, n_clusters=2, rng=0)
    found = region_partitions(series, zones, placements)[1]
    assert found.n_overall_zones == 2
    assert found.n_own_zones == 1
    assert found.ari == 0.0


def test_the_numbers_go_to_JSON_as_they_are() -> None:
    series, placements = lay([spots([0, 0, 9]), spots([9, 0])], [(1, 3), (1, 2)])
    found = region_partitions(series, cluster(series, n_clusters=2, rng=0), placements)
    values = json.loads(json.dumps([region.to_dict() for region in found]))
    assert values[0]["name"] == "r0"
    assert sorted(values[0]["tiles"]) == [1, 2]
    assert values[1]["ari"] == 1.0


def test_each_region_is_told_of() -> None:
    told = []

    def track(things, label, total, done=0):
        for thing in things:
            told.append((label, total))
            yield thing

    series, placements = lay([spots([0, 9]), spots([9, 0])], [(1, 2), (1, 2)])
    region_partitions(series, cluster(series, n_clusters=2, rng=0), placements, track=track)
    assert told == [("each region by itself", 2)] * 2


def test_zones_of_another_grid_are_refused() -> None:
    series, placements = lay([spots([0, 9]), spots([9, 0])], [(1, 2), (1, 2)])
    other, _ = lay([spots([0, 9]), spots([9, 0, 1])], [(1, 2), (1, 3)])
    with pytest.raises(InputError, match="series and zones are of different grids"):
        region_partitions(series, cluster(other, n_clusters=2, rng=0), placements)
