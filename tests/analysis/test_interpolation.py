from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.analysis import components
from taxoscape.analysis.graph import semantic_graph
from taxoscape.analysis.interpolation import interpolate, strip_tiles
from taxoscape.analysis.representatives import representatives
from taxoscape.errors import InputError
from tests.analysis.test_dates import gappy, partition
from tests.builders import a_grid, a_series, blobs
from tests.builders import plain_cluster as cluster


def line(*places, dates=2):
    """A series of tiles that stand on a line, the same on every date."""
    return np.repeat(np.array(places, np.float32)[:, None, None], dates, axis=1)


def naive(series, zones, a, b, w):
    values, labels = series["embedding"].to_numpy().astype(float), zones["labels"].to_numpy()
    centroids = zones["centroids"].to_numpy().astype(float)
    point = (1 - w) * centroids[a - 1] + w * centroids[b - 1]
    seen = np.isfinite(values[:, :, 0])
    both = seen[labels == a].any(axis=0) & seen[labels == b].any(axis=0)
    most = max((seen[t].sum() for t in range(len(values)) if labels[t]), default=0)
    found = []
    for t in range(len(values)):
        shared = np.flatnonzero(seen[t] & both)
        if labels[t] and seen[t].sum() >= 0.8 * most and len(shared):
            found.append((len(point) / len(shared) * sum(np.linalg.norm(values[t, s] - point[s]) for s in shared), t))
    return min(found)[::-1] if found else (-1, np.nan)


def test_on_a_line_the_tile_at_each_quarter_is_found():
    series = a_series(line(0, 0, 0, 10.5, 19, 31, 40, 40, 40))
    zones = cluster(series, n_clusters=2, first_labels=np.array([1, 1, 1, 1, 1, 2, 2, 2, 2]), starts=1)
    zones["centroids"][0], zones["centroids"][1] = 0.0, 40.0
    rows = interpolate(series, zones, pairs=[(1, 2)])
    assert [row.weight for row in rows] == [0.25, 0.5, 0.75]
    assert [row.tile for row in rows] == [3, 4, 5]
    assert [row.distance for row in rows] == pytest.approx([1.0, 2.0, 2.0])
    assert {row.centroid_distance for row in rows} == {80.0}
    assert [row.zone for row in rows] == [int(zones["labels"][t]) for t in (3, 4, 5)]


@given(seed=st.integers(0, 10_000))
def test_with_missing_dates_the_nearest_tiles_are_those_of_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    values, _ = blobs((6, 6, 6), times=5, apart=2.0, seed=seed)
    values[rng.random((18, 5)) < 0.25] = np.nan
    series = a_series(values)
    zones = cluster(series, n_clusters=3, starts=1)
    rows = interpolate(series, zones)
    assert len(rows) == 6
    for row in rows:
        tile, distance = naive(series, zones, row.zone_a, row.zone_b, row.weight)
        assert row.distance == pytest.approx(distance, rel=1e-5)
        assert row.tile == tile


@given(gappy(), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_point_lives_on_the_dates_that_both_zones_have(case, weight):
    series, zones = partition(*case)
    k = zones.sizes["zone"]
    pairs = [(a, b) for a in range(1, k + 1) for b in range(1, k + 1) if a != b]
    for row in interpolate(series, zones, pairs=pairs, weights=(weight,)):
        tile, distance = naive(series, zones, row.zone_a, row.zone_b, weight)
        assert row.distance == pytest.approx(distance, rel=1e-5, abs=1e-6, nan_ok=True)
        assert (row.tile == -1) == (tile == -1)


def test_by_default_the_pairs_are_the_edges_of_the_semantic_graph():
    values, _ = blobs((9, 8, 7, 6))
    series = a_series(values)
    zones = cluster(series, n_clusters=4, starts=1)
    edges = semantic_graph(zones).edges
    rows = interpolate(series, zones, weights=(0.5,))
    assert [(r.zone_a, r.zone_b) for r in rows] == [(e.zone_a, e.zone_b) for e in edges]
    assert [r.centroid_distance for r in rows] == pytest.approx([e.weight for e in edges])


def test_a_tile_does_not_win_by_having_few_dates():
    values = line(0, 0, 0, 20, 40, 40, 40, dates=5)
    values[3, 1:] = np.nan  # exactly half way, but seen once
    values[2] = 13
    series = a_series(values)
    zones = cluster(series, n_clusters=2, first_labels=np.array([1, 1, 1, 1, 2, 2, 2]), starts=1)
    zones["centroids"][0], zones["centroids"][1] = 0.0, 40.0
    assert interpolate(series, zones, pairs=[(1, 2)], weights=(0.5,))[0].tile == 2


def test_tiles_of_no_zone_take_no_part():
    values = line(0, 0, 20, 40, 40)
    series = a_series(values)
    zones = cluster(series, n_clusters=2, starts=1)
    zones["labels"][2] = 0
    assert all(row.tile != 2 for row in interpolate(series, zones))


def test_blocks_give_what_the_whole_gives(monkeypatch):
    values, _ = blobs((20, 20, 20))
    series = a_series(values, a_grid(6, 10))
    zones = cluster(series, n_clusters=3, starts=1)
    whole = interpolate(series, zones)
    monkeypatch.setattr(components, "_BLOCK_VALUES", 40)
    for one, other in zip(interpolate(series, zones), whole, strict=True):
        assert one.tile == other.tile
        assert one.distance == pytest.approx(other.distance)


def test_one_zone_has_nothing_between():
    values, _ = blobs((6,))
    series = a_series(values)
    zones = cluster(series, n_clusters=1, starts=1)
    assert interpolate(series, zones) == ()
    assert strip_tiles((), representatives(series, zones)).shape == (0, 2)


def test_a_centroid_that_shares_no_date_with_any_tile_has_no_nearest():
    values = line(0, 0, 0, 40, 40, 40)
    values[:, 1] = np.nan
    series = a_series(values)
    zones = cluster(series, n_clusters=2, starts=1)
    zones["centroids"][0, 0] = np.nan
    row = interpolate(series, zones, pairs=[(1, 2)], weights=(0.5,))[0]
    assert (row.tile, row.zone) == (-1, 0)
    assert np.isnan(row.distance)


def test_rows_are_plain_python_and_pairs_given_twice_count_once():
    values, _ = blobs((9, 8))
    series = a_series(values)
    zones = cluster(series, n_clusters=2, starts=1)
    rows = interpolate(series, zones, pairs=[(2, 1), (2, 1)])
    assert len(rows) == 3
    first = json.loads(json.dumps([dataclasses.asdict(row) for row in rows]))[0]
    assert (first["zone_a"], first["zone_b"], first["weight"]) == (2, 1, 0.25)


def test_strips_run_from_representative_to_representative():
    values, _ = blobs((9, 8, 7))
    series = a_series(values)
    zones = cluster(series, n_clusters=3, starts=1)
    rows, shown = interpolate(series, zones), representatives(series, zones, count=2)
    tiles = strip_tiles(rows, shown)
    assert tiles.shape == (2, 5)
    for pair, strip in zip((rows[:3], rows[3:]), tiles, strict=True):
        assert strip[0] == shown[pair[0].zone_a - 1, 0]
        assert strip[-1] == shown[pair[0].zone_b - 1, 0]
        assert strip[1:4].tolist() == [row.tile for row in pair]


@pytest.mark.parametrize("pair", [(1, 1), (0, 1), (1, 3)])
def test_a_pair_is_of_two_different_zones(pair):
    values, _ = blobs((9, 8))
    series = a_series(values)
    with pytest.raises(InputError, match=r"two different zones 1…2, not"):
        interpolate(series, cluster(series, n_clusters=2, starts=1), pairs=[pair])


def test_a_weight_is_a_share_of_the_way():
    values, _ = blobs((9, 8))
    series = a_series(values)
    with pytest.raises(InputError, match=r"0…1, not 25"):
        interpolate(series, cluster(series, n_clusters=2, starts=1), weights=(25,))
