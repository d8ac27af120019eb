from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from taxoscape.analysis import distances
from taxoscape.analysis import quality as module
from taxoscape.analysis.quality import (
    davies_bouldin,
    expected_join_share,
    join_share,
    map_quality,
    patches,
    quality,
)
from taxoscape.zones import resampling
from tests.analysis.test_distances import naive, series
from tests.builders import a_grid, a_series, blobs
from tests.builders import plain_cluster as cluster

maps = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).integers(0, 4, size=(5, 7)))


@given(maps)
def test_join_share_equals_a_naive_count_over_pairs(labels):
    same = pairs = 0
    for r in range(5):
        for c in range(7):
            for rr, cc in ((r + 1, c), (r, c + 1)):
                if rr < 5 and cc < 7 and labels[r, c] and labels[rr, cc]:
                    pairs += 1
                    same += labels[r, c] == labels[rr, cc]
    assert join_share(labels) == pytest.approx(same / pairs)


@given(maps)
def test_patches_equal_a_naive_flood_fill(labels):
    found = np.zeros(int(labels.max()), dtype=int)
    left = {(r, c) for r in range(5) for c in range(7) if labels[r, c]}
    while left:
        start = left.pop()
        found[labels[start] - 1] += 1
        front = [start]
        while front:
            r, c = front.pop()
            for other in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if other in left and labels[other] == labels[start]:
                    left.remove(other)
                    front.append(other)
    np.testing.assert_array_equal(patches(labels), found)


@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans())
def test_map_measures_equal_scikit_learn_over_row_and_column(seed, k, lonely):
    labels = np.random.default_rng(seed).integers(0, k + 1, size=(5, 7))
    labels[4, 6] = k
    if lonely:
        labels[2, 3] = k + 1  # a zone of one tile
    rows, cols = np.nonzero(labels)
    places, flat = np.stack([rows, cols], axis=1), labels[rows, cols]
    found = map_quality(labels)
    if not 1 < len(set(flat.tolist())) < len(flat):
        assert np.isnan([found["map_calinski_harabasz"], found["map_silhouette"]]).all()
        return
    assert found["map_calinski_harabasz"] == pytest.approx(calinski_harabasz_score(places, flat))
    assert found["map_silhouette"] == pytest.approx(silhouette_score(places, flat), abs=1e-6)


def test_the_expected_join_share_is_the_mean_over_all_ways_to_place_the_zones():
    places = np.array([[1, 1, 0], [1, 1, 1]]) > 0
    shares = []
    for labels in itertools.permutations([1, 1, 1, 2, 3]):
        placed = np.zeros((2, 3), dtype=int)
        placed[places] = labels
        shares.append(join_share(placed))
    assert expected_join_share(placed) == pytest.approx(np.mean(shares))


@given(maps)
def test_the_expected_join_share_equals_a_count_over_pairs_of_tiles(labels):
    zones = labels[labels > 0]
    pairs = [a == b for a, b in itertools.combinations(zones, 2)]
    assert expected_join_share(labels) == pytest.approx(np.mean(pairs))


def test_the_map_of_one_tile_and_the_empty_map_have_no_measures_but_patches():
    for labels, pieces in ((np.array([[0, 1]]), 1), (np.zeros((2, 2), dtype=int), 0)):
        found = map_quality(labels)
        assert found.pop("map_patches") == pieces
        assert np.isnan(found.pop("map_patches_per_zone")) == (pieces == 0)
        assert np.isnan(list(found.values())).all()


def test_patches_per_zone_is_their_mean_number():
    assert map_quality(np.array([[1, 2, 1], [1, 2, 1]]))["map_patches_per_zone"] == 1.5


def naive_davies_bouldin(values, labels):
    zones = sorted(set(labels) - {0})
    with np.errstate(invalid="ignore"):
        centres = []
        for zone in zones:
            seen = np.isfinite(values[labels == zone])
            sums = np.where(seen, values[labels == zone], 0).sum(axis=0)
            centres.append(np.where(seen.any(axis=0), sums / np.maximum(seen.sum(axis=0), 1), np.nan))
    wide = [
        np.nanmean([naive(x, centre, "flat") for x in values[labels == zone]])
        for zone, centre in zip(zones, centres, strict=True)
    ]
    worst = []
    for i in range(len(zones)):
        apart = [(j, naive(centres[i], centres[j], "flat")) for j in range(len(zones)) if j != i]
        ratios = [(wide[i] + wide[j]) / m for j, m in apart if np.isfinite(m)]
        if ratios:
            worst.append(max(ratios))
    return np.mean(worst) if worst else np.nan


def test_the_davies_bouldin_index_of_two_known_zones():
    points = np.array([0.0, 2.0, 10.0, 12.0, 14.0])[:, None, None]
    assert davies_bouldin(points, np.array([1, 1, 2, 2, 2])) == pytest.approx((1 + 4 / 3) / 11)


@given(st.integers(0, 10_000))
def test_without_gaps_davies_bouldin_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    values, labels = series(rng, 15, gaps=0), rng.integers(1, 5, size=15)
    labels[:2] = (1, 2)
    assert davies_bouldin(values, labels) == pytest.approx(davies_bouldin_score(values.reshape(15, -1), labels))


@given(st.integers(0, 10_000))
def test_with_gaps_davies_bouldin_equals_a_naive_loop_over_counted_dates(seed):
    rng = np.random.default_rng(seed)
    values, labels = series(rng, 15, gaps=0.5), rng.integers(0, 5, size=15)
    labels[:2] = (1, 2)
    values[:2, 0] = 100 + rng.normal(size=(2, 3))  # zones 1 and 2 have a date in common
    never = ~np.isfinite(values).any(axis=(1, 2))
    values[never, 1] = rng.normal(size=(int(never.sum()), 3))
    assert davies_bouldin(values, labels) == pytest.approx(naive_davies_bouldin(values, labels), nan_ok=True)


def test_davies_bouldin_in_blocks_equals_the_whole(monkeypatch):
    values, labels = series(np.random.default_rng(0), 40), np.random.default_rng(1).integers(0, 4, size=40)
    whole = davies_bouldin(values, labels)
    monkeypatch.setattr(module, "BLOCK_BYTES", 24 * 12 * 7)
    assert davies_bouldin(values, labels) == pytest.approx(whole)


def test_davies_bouldin_of_one_zone_is_nan_of_points_is_0_and_of_coinciding_centres_as_in_scikit_learn():
    points = np.array([0.0, 2.0, 1.0, 1.0])[:, None, None]
    assert np.isnan(davies_bouldin(points, np.array([1, 1, 1, 0])))
    assert davies_bouldin(points[:2], np.array([1, 2])) == 0
    same = np.array([1, 1, 2, 2])
    assert davies_bouldin(points, same) == davies_bouldin_score(points[:, :, 0], same) == 0


def test_zones_without_a_common_date_have_no_davies_bouldin_index():
    values = np.full((4, 2, 1), np.nan)
    values[:2, 0, 0], values[2:, 1, 0] = (1, 2), (3, 4)
    assert np.isnan(davies_bouldin(values, np.array([1, 1, 2, 2])))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([0.0, 0.3, 0.6]))
def test_the_mean_inertia_is_the_mean_squared_flat_distance_to_the_centroid(seed, k, gaps):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(12, 3, 4)).astype(np.float32)
    values[0] += 50  # mostly a zone of its own
    values[rng.random((12, 3)) < gaps] = np.nan
    values[:4, 1] = rng.normal(size=(4, 4))
    region = a_series(values, a_grid(3, 4))
    zones = cluster(region, n_clusters=k, starts=2)
    labels, centroids = zones["labels"].to_numpy(), zones["centroids"].to_numpy()
    squares = [naive(x, centroids[zone - 1], "flat") ** 2 for x, zone in zip(values, labels, strict=True) if zone]
    assert quality(region, zones)["inertia_mean"] == pytest.approx(np.mean(squares), rel=1e-4, abs=1e-6)


def test_quality_takes_silhouettes_and_davies_bouldin_of_the_embedding():
    values, _ = blobs((24, 18, 12), apart=1.0)
    region = a_series(values, a_grid(6, 9))
    zones = cluster(region, n_clusters=3)
    found, labels, flat = quality(region, zones), zones["labels"].to_numpy(), values.reshape(54, -1)
    assert found["silhouette_flat"] == pytest.approx(silhouette_score(flat, labels), abs=1e-6)
    assert found["davies_bouldin_flat"] == pytest.approx(davies_bouldin_score(flat, labels), rel=1e-6)
    assert found["silhouette_flat_ci95"] == found["silhouette_sumnorm_ci95"] == found["map_silhouette_ci95"] == 0
    assert found["silhouette_n_tiles"] == 54
    assert {type(value) for value in found.values()} == {float, int}


def test_quality_holds_no_matrix_of_all_distances(monkeypatch):
    monkeypatch.setattr(distances, "BUDGET_BYTES", 2**20)
    monkeypatch.setattr(distances, "_SIDE", 128)
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**18)
    monkeypatch.setattr(resampling, "TILES", 200)
    values, _ = blobs((900, 800, 550), features=3)
    region = a_series(values, a_grid(45, 50))
    zones = cluster(region, n_clusters=3, starts=1)
    quality(region, zones)  # imports and lazy parts once
    tracemalloc.start()
    try:
        quality(region, zones)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20  # 2 250 × 2 250 in float32 would be 19 MiB


def test_separated_zones_are_good_and_stable_and_every_number_is_there():
    values, _ = blobs((24, 18, 12))
    series = a_series(values, a_grid(6, 9))
    found = quality(series, cluster(series, n_clusters=3))
    assert found["n_tiles"] == 54
    assert found["n_dates"] == 3
    assert found["n_clusters"] == 3
    assert found["silhouette_flat"] > 0.8
    assert found["silhouette_sumnorm"] > 0.8
    assert found["stability_ari"] > 0.95


def test_one_zone_has_no_silhouettes_but_everything_else():
    values, _ = blobs((24, 30))
    series = a_series(values, a_grid(6, 9))
    found = quality(series, cluster(series, n_clusters=1))
    assert np.isnan(found["silhouette_flat"])
    assert np.isnan(found["davies_bouldin_flat"])
    assert found["map_join_share_expected"] == 1.0
    assert found["map_join_share"] == 1.0
    assert found["map_patches"] == 1


def test_the_silhouette_falls_with_noise():
    clear, noisy = (
        quality(a_series(v, a_grid(6, 9)), cluster(a_series(v, a_grid(6, 9)), n_clusters=3))
        for v in (blobs((24, 18, 12))[0], blobs((24, 18, 12), apart=0.2)[0])
    )
    assert noisy["silhouette_flat"] < clear["silhouette_flat"]
    assert noisy["stability_ari"] < clear["stability_ari"]
