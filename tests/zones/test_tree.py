"""The tree of zones: nested, through the partition, with numbers that stay; Ward's rule against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from taxoscape.areas import cell_areas_km2
from taxoscape.contracts import grid_of
from taxoscape.errors import InputError
from taxoscape.zones.clustering import cluster
from taxoscape.zones.tree import MOST_LEAVES, ward_through, zone_tree
from tests.builders import a_grid, a_series, blobs


def a_partition(seed=0, *, sizes=(60, 45, 30, 25), n_clusters=4, clusterer="learned", missing=0.0, columns=16):
    values, _ = blobs(sizes, apart=2.0, seed=seed)
    if missing:
        gone = np.random.default_rng(seed).random(values.shape[:2]) < missing
        values[gone] = np.nan
    series = a_series(values, a_grid(len(values) // columns, columns))
    return series, cluster(series, n_clusters=n_clusters, clusterer=clusterer, starts=3)


@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from(["learned", "kmeans"]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=15)
def test_every_cut_lies_inside_every_coarser_one_and_the_tree_passes_through_the_partition(seed, k, clusterer, missing):
    series, zones = a_partition(seed, n_clusters=k, clusterer=clusterer, missing=missing)
    tree = zone_tree(series, zones)
    np.testing.assert_array_equal(tree.cut(k), zones["labels"].to_numpy())
    coarser = tree.cut(1)
    for number in range(2, tree.n_leaves + 1):
        cut = tree.cut(number)
        assert set(np.unique(cut[cut > 0])) == set(tree.ids(number).tolist())
        pairs = np.unique(np.stack([cut, coarser]), axis=1)
        assert len(np.unique(pairs[0])) == pairs.shape[1]
        coarser = cut
    np.testing.assert_array_equal(tree.cut(tree.n_leaves), tree.leaves)


def test_a_number_stays_with_the_larger_part_and_the_smaller_one_takes_the_next():
    series, zones = a_partition()
    tree, areas = zone_tree(series, zones), cell_areas_km2(grid_of(zones))
    for k in range(2, tree.n_leaves + 1):
        before, after = tree.cut(k - 1), tree.cut(k)
        (new,) = set(tree.ids(k).tolist()) - set(tree.ids(k - 1).tolist())
        if k > 4:
            assert new == k
        old = int(tree.splits_from[new - 1])
        assert set(np.unique(before[after == new])) == {old}
        assert areas[after == old].sum() >= areas[after == new].sum()
        unmoved = after != new
        np.testing.assert_array_equal(before[unmoved], after[unmoved])
    assert tree.ids(20).tolist() == list(range(1, 21))


def test_splits_lie_ever_less_far_apart_and_the_same_seed_gives_the_same_tree():
    series, zones = a_partition(3)
    one, other = (zone_tree(series, zones, rng=5) for _ in range(2))
    heights = one.heights[np.argsort(one.first_k)]
    assert np.isnan(heights[0])
    assert (np.diff(heights[1:]) <= 0).all()
    for name in ("leaves", "splits_from", "first_k", "heights", "centroids", "sizes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.sizes.sum() == 160


@given(st.integers(0, 10_000), st.integers(2, 25))
@settings(max_examples=20)
def test_in_one_group_the_merges_are_those_of_scipy(seed, n):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3))
    merges, heights = ward_through(points, np.ones(n), np.zeros(n, dtype=np.int64))
    oracle = linkage(points, method="ward")
    np.testing.assert_allclose(heights, oracle[:, 2], rtol=1e-9)
    labels = np.arange(n)
    for step, (one, other) in enumerate(merges.tolist()):
        labels[labels == other] = one
        k = n - 1 - step
        assert adjusted_rand_score(labels, fcluster(oracle, k, "maxclust")) == pytest.approx(1)


def test_clusters_that_stand_for_several_rows_merge_as_those_rows_would():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(5, 2)) * 10
    sizes = np.array([1, 3, 2, 5, 1])
    _, heights = ward_through(points, sizes.astype(float), np.zeros(5, dtype=np.int64))
    oracle = linkage(np.repeat(points, sizes, axis=0), method="ward")[:, 2]
    np.testing.assert_allclose(heights, oracle[-4:], rtol=1e-9)


def test_groups_are_made_whole_before_any_two_are_merged_and_heights_do_not_fall():
    points = np.array([[0.0], [10.0], [0.1], [10.1]])
    merges, heights = ward_through(points, np.ones(4), np.array([0, 0, 1, 1]))
    assert sorted(merges[:2].tolist()) == [[0, 1], [2, 3]]
    assert merges[2].tolist() == [0, 2]
    assert (np.diff(heights) >= 0).all()


def test_small_clusters_are_no_more_than_tiles_allow_and_no_more_than_wanted():
    series, zones = a_partition()
    assert 4 <= zone_tree(series, zones).n_leaves <= 160 // 4
    large, _ = blobs((900, 700), seed=1)
    many = a_series(large, a_grid(40, 40))
    assert 200 < zone_tree(many, cluster(many, n_clusters=2, starts=2)).n_leaves <= MOST_LEAVES


def test_tiles_that_are_all_alike_make_a_tree_of_one_leaf_per_zone():
    values = np.repeat(np.array([0.0, 50.0]), 8)[:, None, None] * np.ones((1, 2, 3))
    series = a_series(values, a_grid(4, 4))
    tree = zone_tree(series, cluster(series, n_clusters=2))
    assert tree.n_leaves == 2
    assert sorted(np.bincount(tree.cut(2))[1:].tolist()) == [8, 8]


def test_a_tile_without_a_date_is_in_no_cut():
    series, _ = a_partition()
    values = series["embedding"].to_numpy().copy()
    values[7] = np.nan
    series = a_series(values, a_grid(10, 16))
    tree = zone_tree(series, cluster(series, n_clusters=3))
    assert [int(tree.cut(k)[7]) for k in (1, 3, 9)] == [0, 0, 0]
    assert (tree.cut(9) > 0).sum() == 159


@pytest.mark.parametrize("k", [0, -1, 10_000, 2.5, True])
def test_a_number_of_zones_that_the_tree_has_not_is_refused_with_the_range(k):
    series, zones = a_partition()
    tree = zone_tree(series, zones)
    with pytest.raises(InputError, match=rf"1 to {tree.n_leaves} zones"):
        tree.cut(k)


def test_series_and_zones_of_different_tiles_are_refused():
    _, zones = a_partition()
    other, _ = a_partition(columns=8)
    with pytest.raises(InputError, match="different tiles"):
        zone_tree(other, zones)
