"""The metric inside the clustering: it undoes what is loud and says nothing, and keeps its promises in odd cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from taxoscape.analysis.distances import pairwise
from taxoscape.analysis.graph import semantic_graph
from taxoscape.analysis.interpolation import interpolate
from taxoscape.analysis.quality import quality
from taxoscape.analysis.representatives import representatives
from taxoscape.contracts import check_zones
from taxoscape.errors import InputError
from taxoscape.grid import Grid
from taxoscape.zones.clustering import cluster, evidence
from taxoscape.zones.metric import (
    Metric,
    _all_filled,
    in_metric,
    learned_partition,
    metric_of,
    neighbour_metric,
    neighbours,
)
from taxoscape.zones.missing import whole_rows
from tests.builders import a_grid, a_lattice, a_series


def a_noisy_region(seed: int = 0, size: int = 20, n_zones: int = 4):
    """Zones in the quarters of a map, told apart by two quiet features; eight loud ones are noise that they share."""
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(np.arange(size * size), size)
    truth = (2 * (rows >= size // 2) + (cols >= size // 2)) % n_zones
    quiet = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[truth] + rng.normal(0, 0.12, (size * size, 2))
    loud = np.repeat(rng.normal(0, 1, (size * size, 2, 1)), 4, axis=2).reshape(size * size, 8)
    values = np.concatenate([quiet, loud + rng.normal(0, 0.05, loud.shape)], axis=1).reshape(size * size, 2, 5)
    return a_series(values, a_grid(size, size)), truth + 1


def test_what_is_loud_and_the_same_in_all_zones_does_not_drown_what_tells_them_apart():
    series, truth = a_noisy_region()
    plain, learned = (
        cluster(series, n_clusters=4, clusterer=name)["labels"].to_numpy() for name in ("kmeans", "learned")
    )
    assert adjusted_rand_score(truth, plain) < 0.3
    assert adjusted_rand_score(truth, learned) > 0.95


def test_the_metric_of_neighbours_alone_counts_zones_that_k_means_cannot_see():
    series, _ = a_noisy_region(1)
    assert evidence(series, most=8, clusterer="learned").chosen == 4
    zones = cluster(series, clusterer="learned")
    assert zones.attrs["n_clusters"] == 4
    assert zones.attrs["k_reason"].startswith("4 zones")


def test_within_a_zone_the_widest_direction_has_about_the_deviation_one():
    series, truth = a_noisy_region(2, size=30)
    zones = cluster(series, n_clusters=4)
    mapped = metric_of(zones).apply(series["embedding"].to_numpy())
    apart = np.concatenate([mapped[truth == zone] - mapped[truth == zone].mean(axis=0) for zone in range(1, 5)])
    spread = np.sqrt(np.linalg.eigvalsh(apart.T @ apart / len(apart)))
    assert 0.7 < spread.max() < 1.4


def test_a_partition_carries_the_metric_that_its_distances_are_of():
    series, _ = a_noisy_region()
    zones = cluster(series, n_clusters=4)
    check_zones(zones)
    assert zones.attrs["clusterer"] == "learned"
    assert zones["metric_axes"].dims == ("time", "feature", "component")
    found = in_metric(series, zones)
    assert found is not None
    values, centroids = found
    np.testing.assert_allclose(pairwise(values, centroids, metric="flat"), zones["distances"], rtol=1e-4, atol=1e-4)
    own = zones["distances"].to_numpy()
    assert (own.argmin(axis=1) + 1 == zones["labels"].to_numpy()).mean() > 0.99
    np.testing.assert_allclose(zones.attrs["inertia_mean"], np.mean(own.min(axis=1) ** 2), rtol=1e-3)
    assert in_metric(series, cluster(series, n_clusters=4, clusterer="kmeans")) is None


def test_analyses_use_the_metric_of_the_partition():
    series, _ = a_noisy_region()
    zones = cluster(series, n_clusters=4)
    values, centroids = in_metric(series, zones)
    labels = zones["labels"].to_numpy()
    nearest = [np.flatnonzero(labels == zone + 1)[zones["distances"].to_numpy()[labels == zone + 1, zone].argmin()]
               for zone in range(4)]  # fmt: skip
    assert representatives(series, zones, count=1)[:, 0].tolist() == nearest
    graph = semantic_graph(zones)
    np.testing.assert_allclose(graph.distances, pairwise(centroids, centroids, metric="flat"), atol=1e-6)
    edge = graph.edges[0]
    halfway = centroids[[edge.zone_a - 1, edge.zone_b - 1]].mean(axis=0)
    (found,) = interpolate(series, zones, pairs=[(edge.zone_a, edge.zone_b)], weights=[0.5])
    assert found.tile == pairwise(values, halfway[None], metric="flat")[:, 0].argmin()
    measured = quality(series, zones)
    assert measured["silhouette_learned"] > measured["silhouette_flat"] + 0.2
    assert measured["stability_ari"] > 0.9
    assert "silhouette_learned" not in quality(series, cluster(series, n_clusters=4, clusterer="kmeans"))


def test_scales_of_features_do_not_matter():
    series, truth = a_noisy_region(3)
    scales = np.array([1, 1, 4, 0.5, 2])
    scaled = series.assign(embedding=series["embedding"] * scales)
    assert adjusted_rand_score(truth, cluster(scaled, n_clusters=4)["labels"].to_numpy()) > 0.95


@given(seed=st.integers(0, 2**16), k=st.integers(1, 5), n=st.integers(2, 30), gaps=st.booleans())
@settings(max_examples=40)
def test_any_small_series_gets_as_many_zones_as_asked_for(seed, k, n, gaps):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 3, 2))
    if gaps:
        values[rng.random((n, 3)) < 0.3] = np.nan
    series = a_series(values, a_grid(1, n))
    members = np.isfinite(values[:, :, 0]).any(axis=1)
    counts = np.isfinite(values[:, :, 0])
    different = len(np.unique(whole_rows(values.astype(np.float32), counts)[0], axis=0)) if members.any() else 0
    if different < k:
        with pytest.raises(InputError, match=r"zones were asked for, but|no tile counts"):
            cluster(series, n_clusters=k)
        return
    zones = cluster(series, n_clusters=k, starts=2)
    labels = zones["labels"].to_numpy()
    assert set(labels[members]) == set(range(1, k + 1))
    assert not labels[~members].any()
    distances = zones["distances"].to_numpy()
    assert np.isfinite(distances[members]).all()
    assert np.isnan(distances[~members]).all()


def test_the_same_seed_gives_the_same_partition_and_first_labels_are_one_more_start():
    series, truth = a_noisy_region()
    one, two = (cluster(series, n_clusters=4, rng=5) for _ in range(2))
    assert one.identical(two)
    started = cluster(series, n_clusters=4, rng=5, starts=1, first_labels=truth)
    assert adjusted_rand_score(truth, started["labels"].to_numpy()) > 0.95


def test_neighbours_lie_side_by_side_without_overlapping():
    grid = a_grid(2, 3)
    members = np.array([0, 1, 2, 4, 5])
    assert neighbours(grid, members).tolist() == [[0, 1], [1, 2], [3, 4], [1, 3], [2, 4]]
    fine = Grid.over(a_lattice(20, 40), tile_size=20, stride=10)
    assert neighbours(fine, np.arange(3)).tolist() == [[0, 2]]


def test_without_neighbours_the_zones_alone_make_the_metric():
    rng = np.random.default_rng(0)
    matrix = (np.repeat(np.eye(3), 20, axis=0) * 10 + rng.normal(size=(60, 3))).astype(np.float32)
    none, values, counts = np.empty((0, 2), np.int64), matrix[:, None], np.ones((60, 1), bool)
    partition, *_ = learned_partition(values, counts, none, 3, starts=3, rng=rng)
    assert adjusted_rand_score(np.repeat(range(3), 20), partition.labels) == 1
    metric = neighbour_metric(values, counts, none, k=3, rng=rng)
    np.testing.assert_allclose(metric.axes.T @ metric.axes, np.eye(3), atol=1e-9)  # turned, not stretched


def test_rows_are_mapped_block_by_block_like_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(50, 7))
    metric = Metric(origin=rng.normal(size=7), axes=rng.normal(size=(7, 3)), ridge=np.eye(3))
    whole = metric.apply(matrix)
    monkeypatch.setattr("taxoscape.zones.metric.BLOCK_BYTES", 8 * 7 * 9)
    np.testing.assert_allclose(metric.apply(matrix), whole, rtol=1e-6)


def test_an_unknown_clusterer_is_refused():
    series, _ = a_noisy_region()
    for make in (
        lambda: cluster(series, n_clusters=2, clusterer="dbscan"),
        lambda: evidence(series, clusterer="dbscan"),
    ):
        with pytest.raises(InputError, match="no clusterer 'dbscan': take kmeans or learned"):
            make()


def test_centroids_are_means_over_the_tiles_that_count_and_distances_are_over_what_was_seen():
    series, _ = a_noisy_region()
    values = series["embedding"].to_numpy().copy()
    values[np.random.default_rng(3).random(values.shape[:2]) < 0.3] = np.nan
    zones = cluster(a_series(values, Grid.from_json(series.attrs["grid"])), n_clusters=4)
    labels, counts = zones["labels"].to_numpy(), zones["counts"].to_numpy()
    for zone in range(1, 5):
        for date in range(2):
            seen = values[(labels == zone) & counts[:, date], date]
            np.testing.assert_allclose(zones["centroids"][zone - 1, date], seen.mean(axis=0), rtol=1e-4, atol=1e-5)
    found, centroids = in_metric(a_series(values, Grid.from_json(series.attrs["grid"])), zones)
    placed = labels > 0
    np.testing.assert_allclose(
        pairwise(found[placed], centroids, metric="flat"), zones["distances"].to_numpy()[placed], rtol=1e-3, atol=1e-3
    )


def test_a_cluster_without_rows_gets_the_one_farthest_from_its_own():
    matrix = np.array([[0], [0], [0.1], [9], [9], [10]], np.float32)
    assert _all_filled(matrix, np.array([0, 0, 0, 1, 1, 1]), 3).tolist() == [0, 0, 0, 1, 1, 2]
    nearly = np.ones((40, 4), np.float32)
    nearly[7] += np.float32(1e-7)
    nearly[8:10] = 100
    none, counts = np.empty((0, 2), np.int64), np.ones((40, 1), bool)
    partition, *_ = learned_partition(nearly[:, None], counts, none, 3, starts=2, rng=np.random.default_rng(0))
    assert len(np.unique(partition.labels)) == 3


def test_of_two_partitions_the_one_stands_whose_zones_are_less_torn_on_the_map():
    rng = np.random.default_rng(4)
    rows, cols = np.divmod(np.arange(900), 30)
    truth = 2 * (rows >= 15) + (cols >= 15)
    quiet = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[truth] + rng.normal(0, 0.2, (900, 2))
    lumps = 6 * rng.integers(0, 2, (900, 3))  # kinds of tile that lie anywhere, and make tighter zones
    series = a_series(np.concatenate([quiet, lumps + rng.normal(0, 0.1, lumps.shape)], axis=1)[:, None], a_grid(30, 30))
    found = cluster(series, n_clusters=4)["labels"].to_numpy()
    assert adjusted_rand_score(truth, found) > 0.9
