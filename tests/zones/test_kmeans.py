from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from taxoscape.errors import InputError
from taxoscape.zones import kmeans, lloyd, missing
from taxoscape.zones.kmeans import settle
from taxoscape.zones.missing import flat_distances, two_way_fill
from taxoscape.zones.starts import Partition
from tests.builders import a_grid, a_series, blobs, make_grid
from tests.builders import plain_cluster as cluster
from tests.builders import plain_evidence as evidence


def test_complete_series_give_the_partition_of_scikit_learn():
    values, _ = blobs((20, 15, 9), apart=1.0)
    zones = cluster(a_series(values), n_clusters=3, starts=10, rng=0)
    oracle = KMeans(3, n_init=25, random_state=3).fit(values.reshape(len(values), -1))
    assert adjusted_rand_score(oracle.labels_, zones["labels"]) == 1.0
    assert zones.attrs["inertia_mean"] == pytest.approx(oracle.inertia_ / len(values), rel=1e-4)


def test_zones_are_numbered_by_falling_size():
    values, truth = blobs((30, 5, 12))
    labels = cluster(a_series(values), n_clusters=3, rng=1)["labels"].to_numpy()
    assert [int((labels == k).sum()) for k in (1, 2, 3)] == [30, 12, 5]
    assert labels.dtype == np.uint8
    assert adjusted_rand_score(truth, labels) == 1.0


def test_distances_are_those_to_the_centroids_and_each_tile_is_in_its_nearest_zone():
    values, _ = blobs((20, 15, 9), apart=2.0)
    zones = cluster(a_series(values), n_clusters=3, rng=0)
    naive = np.linalg.norm((values[:, None] - zones["centroids"].to_numpy()).reshape(len(values), 3, -1), axis=2)
    np.testing.assert_allclose(zones["distances"], naive, rtol=1e-4)
    np.testing.assert_array_equal(zones["labels"], naive.argmin(axis=1) + 1)


def test_tiles_with_missing_dates_find_their_zone_and_tiles_without_any_are_zone_0():
    values, truth = blobs((20, 15, 9), times=6)
    rng = np.random.default_rng(2)
    values[rng.random(values.shape[:2]) < 0.4] = np.nan
    values[[3, 17]] = np.nan
    zones = cluster(a_series(values), n_clusters=3, rng=0)
    labels = zones["labels"].to_numpy()
    seen = np.isfinite(values[..., 0]).any(axis=1)
    assert not labels[~seen].any()
    assert adjusted_rand_score(truth[seen], labels[seen]) == 1.0
    assert np.isnan(zones["distances"].to_numpy()[~seen]).all()
    assert np.isfinite(zones["centroids"]).all()


def test_centroids_are_the_means_over_the_dates_that_count():
    values, _ = blobs((20, 15), times=5)
    values[np.random.default_rng(2).random(values.shape[:2]) < 0.3] = np.nan
    zones = cluster(a_series(values), n_clusters=2, rng=0)
    for zone in (1, 2):
        members = values[zones["labels"].to_numpy() == zone]
        np.testing.assert_allclose(zones["centroids"][zone - 1], np.nanmean(members, axis=0), rtol=1e-3, atol=1e-3)


def test_the_same_seed_gives_the_same_zones():
    values, _ = blobs((20, 20, 20), apart=0.5)
    one, two = (cluster(a_series(values), n_clusters=4, rng=7) for _ in range(2))
    assert one.identical(two)


def test_one_zone_and_as_many_zones_as_tiles_work():
    values, _ = blobs((4, 3))
    assert set(cluster(a_series(values), n_clusters=1)["labels"].to_numpy()) == {1}
    assert sorted(cluster(a_series(values), n_clusters=7)["labels"].to_numpy()) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("k", "values", "message"),
    [
        (9, blobs((3, 3))[0], "only 6 tiles count"),
        (3, np.ones((8, 2, 2)), "only 1 different series"),
        (0, blobs((3, 3))[0], "at least 1"),
        (2, np.full((5, 2, 2), np.nan), "no tile counts"),
    ],
)
def test_what_cannot_be_clustered_is_refused_with_the_reason(k, values, message):
    with pytest.raises(InputError, match=message):
        cluster(a_series(values), n_clusters=k)


def test_auto_finds_separated_blobs_and_says_why():
    values, _ = blobs((20, 20, 20, 20), apart=8.0)
    zones = cluster(a_series(values), n_clusters="auto")
    assert zones.sizes["zone"] == 4
    assert zones.attrs["k_reason"].startswith("4 zones: ")
    assert "k_reason" not in cluster(a_series(values), n_clusters=4).attrs


def test_auto_makes_one_zone_of_tiles_that_are_all_alike():
    zones = cluster(a_series(np.ones((5, 3, 1))))
    assert zones.sizes["zone"] == 1
    assert "alike" in zones.attrs["k_reason"]


def test_auto_is_the_evidence_and_then_its_choice():
    values, _ = blobs((25, 20, 15), times=5, apart=0.7)
    values[np.random.default_rng(0).random(values.shape[:2]) < 0.2] = np.nan
    values[3] = np.nan
    series = a_series(values)
    found = evidence(series, rng=5)
    auto = cluster(series, n_clusters="auto", rng=5)
    assert auto.identical(cluster(series, n_clusters=found, rng=5))
    assert auto.attrs["k_reason"] == found.reason
    by_hand = cluster(series, n_clusters=found.chosen, first_labels=found.chosen_labels, rng=5)
    np.testing.assert_array_equal(auto["labels"], by_hand["labels"])


def test_evidence_of_another_region_is_refused():
    found = evidence(a_series(blobs((5, 5))[0]), most=3)
    with pytest.raises(InputError, match="the evidence is of 10 tiles, the series has 9"):
        cluster(a_series(blobs((5, 4))[0]), n_clusters=found)


def test_a_first_partition_is_one_more_start():
    values, truth = blobs((12, 12, 12), apart=0.4)
    first = cluster(a_series(values), n_clusters=3, starts=20, rng=0)
    again = cluster(a_series(values), n_clusters=3, starts=1, rng=9, first_labels=first["labels"].to_numpy())
    assert again.attrs["inertia_mean"] <= first.attrs["inertia_mean"] * (1 + 1e-6)
    assert truth.size == again.sizes["tile"]


@given(st.integers(0, 10_000))
def test_two_way_fill_restores_a_table_that_is_a_sum_of_tile_and_date(seed):
    rng = np.random.default_rng(seed)
    whole = (rng.normal(size=(9, 1, 2)) + rng.normal(size=(1, 6, 2))).astype(np.float32)
    counts = rng.random((9, 6)) < 0.8
    counts[:, 0] = True
    filled = two_way_fill(np.where(counts[..., None], whole, np.nan), counts)
    np.testing.assert_array_equal(filled[counts], whole[counts])
    assert np.isfinite(filled).all()
    if counts.all(axis=1).any() and not counts.all():  # close, not exact: date means are over different tiles
        assert np.abs(filled - whole).mean() < np.abs(whole - whole.mean()).mean()


@given(st.integers(0, 10_000))
def test_flat_distances_equal_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(6, 4, 3)).astype(np.float32)
    counts = rng.random((6, 4)) < 0.6
    centroids = rng.normal(size=(2, 4, 3)).astype(np.float32)
    naive = np.full((6, 2), np.nan)
    for i in range(6):
        dates = np.flatnonzero(counts[i])
        for k in range(2):
            if len(dates):
                naive[i, k] = np.sqrt(
                    4 / len(dates) * sum(((values[i, t] - centroids[k, t]) ** 2).sum() for t in dates)
                )
    np.testing.assert_allclose(flat_distances(values, counts, centroids), naive, rtol=1e-5)


def test_zones_carry_their_grid():
    values, _ = blobs((20, 34))
    grid = a_grid(6, 9)
    zones = cluster(a_series(values, grid), n_clusters=2)
    np.testing.assert_array_equal(zones["row"], grid.rows)
    assert zones.attrs["grid"] == grid.to_json()


def test_in_degrees_zones_are_numbered_by_area_on_the_ground_not_by_tiles():
    grid = make_grid(4326, n_rows=14, n_cols=10, tile=10, dx=0.5, dy=0.5, x0=0.0, y0=80.0)  # 80° to 10° north
    northern = grid.rows - grid.rows[0] < 8  # 80 of 140 tiles, but narrower ones
    values = np.where(northern, 5.0, -5.0)[:, None, None] + np.random.default_rng(0).normal(size=(140, 2, 3))
    labels = cluster(a_series(values, grid), n_clusters=2)["labels"].to_numpy()
    assert set(labels[northern]) == {2}
    assert set(labels[~northern]) == {1}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"n_clusters": "Auto"}, "a whole number of at least 1, or 'auto', not 'Auto'"),
        ({"n_clusters": 2.5}, "not 2.5"),
        ({"n_clusters": True}, "not True"),
        ({"n_clusters": 2, "starts": 0}, "at least 1 start, not 0"),
        ({"n_clusters": 2, "first_labels": np.ones(3, int)}, "the series has 6 tiles"),
    ],
)
def test_arguments_that_cannot_be_are_refused(how, message):
    with pytest.raises(InputError, match=message):
        cluster(a_series(blobs((3, 3))[0]), **how)


def test_the_pattern_of_gaps_is_no_difference_between_series():
    values = np.ones((8, 3, 2))
    values[0, 0], values[1, 2] = np.nan, np.nan
    with pytest.raises(InputError, match="only 1 different series"):
        cluster(a_series(values), n_clusters=3)


@pytest.mark.parametrize(("gaps", "never", "most"), [(False, False, 0.75), (True, False, 0.75), (True, True, 1.75)])
def test_memory_beside_the_series_is_what_the_docstring_says(monkeypatch, gaps, never, most):
    monkeypatch.setattr(missing, "BLOCK_BYTES", 2**16)
    monkeypatch.setattr(kmeans, "BLOCK_BYTES", 2**16)
    monkeypatch.setattr(kmeans, "SAMPLE_BYTES", 2**19)
    monkeypatch.setattr(lloyd, "BLOCK_BYTES", 2**16)
    values, _ = blobs((400, 300, 300), times=6, features=256)
    if gaps:
        values[::7, 2] = np.nan
    if never:
        values[5] = np.nan
    series = a_series(values)
    cluster(series, n_clusters=3, starts=1)  # imports and lazy parts once
    tracemalloc.start()
    try:
        cluster(series, n_clusters=3, starts=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most * values.nbytes


@given(st.integers(0, 10_000))
def test_settling_in_blocks_is_the_same_bit_for_bit_and_does_not_look_at_what_is_missing(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(14, 3, 2)).astype(np.float32)
    counts = rng.random((14, 3)) < 0.6
    counts[np.arange(14), rng.integers(0, 3, 14)] = True
    start = Partition(labels=np.arange(14) % 3, centres=rng.normal(size=(3, 6)).astype(np.float32), inertia=np.inf)
    whole = settle(values, counts, start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmeans, "BLOCK_BYTES", 100)
        parts = settle(np.where(counts[..., None], values, np.nan), counts, start)
    np.testing.assert_array_equal(parts.labels, whole.labels)
    np.testing.assert_array_equal(parts.centres, whole.centres)
    assert parts.inertia == whole.inertia
