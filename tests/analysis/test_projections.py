from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from taxoscape.analysis import projections
from taxoscape.analysis.distances import pairwise
from taxoscape.analysis.projections import classical_mds, nearest_graph, project, smallest_stress, with_partners
from tests.builders import a_series, blobs
from tests.builders import plain_cluster as cluster

seeds = st.integers(0, 10_000)


def in_one_zone(values):
    series = a_series(values)
    return series, cluster(series, n_clusters=1, starts=1)


def planar(n=30, seed=0):
    """Tiles whose distances d are those of points in a plane, times 1 + 2 + 3: each date shows the plane larger."""
    points = np.random.default_rng(seed).normal(size=(n, 2))
    return points, (points[:, None] * np.array([1.0, 2.0, 3.0])[:, None]).astype(np.float32)


def check(found):
    for part in (found.pca, found.tsne, found.mds):
        assert part.coordinates.dtype == np.float64
        assert part.tiles.dtype == np.int64
        assert len(part.tiles) == len(part.coordinates)
        assert np.isfinite(part.coordinates).all()
        assert (np.diff(part.tiles) > 0).all()


@pytest.fixture(scope="module")
def three_blobs():
    values, truth = blobs((40, 40, 40))
    return (*in_one_zone(values), truth)


def test_tsne_keeps_separate_blobs_apart(three_blobs):
    series, zones, truth = three_blobs
    found = project(series, zones)
    check(found)
    assert found.perplexity == 30.0
    assert found.tsne.tiles.tolist() == list(range(120))
    _, near = NearestNeighbors(n_neighbors=6).fit(found.tsne.coordinates).kneighbors()
    assert (truth[near] == truth[:, None]).mean() > 0.99


def test_mds_gives_back_a_plane_with_distances_under_d():
    points, values = planar()
    found = project(*in_one_zone(values))
    check(found)
    assert found.stress < 1e-3
    np.testing.assert_allclose(pdist(found.mds.coordinates), 6 * pdist(points), rtol=1e-2)  # flat would be √14


def test_mds_lies_like_the_pca():
    _, values = planar()
    found = project(*in_one_zone(values))
    for axis in range(2):
        assert np.corrcoef(found.mds.coordinates[:, axis], found.pca.coordinates[:, axis])[0, 1] > 0.999


def test_the_pca_is_scikit_learns_up_to_sign(three_blobs):
    series, zones, _ = three_blobs
    flat = series["embedding"].to_numpy().reshape(120, -1).astype(float)
    oracle = PCA(3).fit(flat)
    expected, found = oracle.transform(flat), project(series, zones)
    signs = np.sign((found.pca.coordinates * expected).sum(axis=0))
    np.testing.assert_allclose(found.pca.coordinates * signs, expected, atol=1e-4)
    np.testing.assert_allclose(found.explained_variance, oracle.explained_variance_ratio_, rtol=1e-6)


def test_the_same_seed_gives_the_same_picture_and_another_another_sample(three_blobs):
    series, zones, _ = three_blobs
    one, two, other = (project(series, zones, rng=seed, most=50, landmarks=20) for seed in (1, 1, 2))
    for part in ("pca", "tsne", "mds"):
        np.testing.assert_array_equal(getattr(one, part).tiles, getattr(two, part).tiles)
        np.testing.assert_array_equal(getattr(one, part).coordinates, getattr(two, part).coordinates)
    assert one.stress == two.stress
    assert (len(one.pca.tiles), len(one.tsne.tiles), len(one.mds.tiles)) == (120, 50, 20)
    assert one.tsne.tiles.tolist() != other.tsne.tiles.tolist()


def test_neighbours_are_those_under_the_sum_of_norms_not_of_the_flattened_series():
    values = np.zeros((3, 4, 1))
    values[1, 0] = 4.0  # far on one date: d 4, flattened 4
    values[2] = 1.5  # a little on all dates: d 6, flattened 3
    assert nearest_graph(values, 1)[0].indices.tolist() == [0, 1]
    assert pairwise(values, values, metric="flat")[0].argsort()[:2].tolist() == [0, 2]


@given(seed=seeds)
def test_the_graph_of_neighbours_is_that_of_a_full_sort(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(12, 3, 2))
    values[rng.random(12) < 0.4, 0] = np.nan
    distances = pairwise(values, values, metric="sumnorm")
    np.fill_diagonal(distances, 0)
    graph = nearest_graph(values, 5)
    assert np.diff(graph.indptr).tolist() == [6] * 12
    for row in range(12):
        np.testing.assert_array_equal(graph[row].indices[0], row)
        np.testing.assert_allclose(graph[row].data, np.sort(distances[row])[:6], rtol=1e-6)


def test_blocks_of_the_graph_are_the_whole(monkeypatch):
    values = np.random.default_rng(0).normal(size=(23, 2, 3))
    whole = nearest_graph(values, 4)
    monkeypatch.setattr(projections, "_ROWS", 5)
    np.testing.assert_array_equal(nearest_graph(values, 4).indices, whole.indices)


@given(seed=seeds)
def test_classical_mds_gives_back_points_of_a_plane(seed):
    distances = pdist(np.random.default_rng(seed).normal(size=(7, 2)))
    np.testing.assert_allclose(pdist(classical_mds(squareform(distances))), distances, atol=1e-6)


@given(seed=seeds)
@settings(max_examples=20)
def test_stress_is_no_larger_than_of_classical_mds_and_is_kruskals(seed):
    distances = pdist(np.random.default_rng(seed).normal(size=(9, 5)))
    points, stress = smallest_stress(squareform(distances))

    def raw(plane):
        return ((pdist(plane) - distances) ** 2).sum()

    assert raw(points) <= raw(classical_mds(squareform(distances))) + 1e-9
    assert stress == pytest.approx(np.sqrt(raw(points) / (pdist(points) ** 2).sum()))


@given(seed=seeds)
def test_every_tile_kept_has_its_partners(seed):
    rng = np.random.default_rng(seed)
    counts = rng.random((12, 6)) < 0.3
    keep = with_partners(counts, lambda n: n - 1)
    for a in np.flatnonzero(keep):
        assert all((counts[a] & counts[b]).any() for b in np.flatnonzero(keep) if a != b)


def test_where_all_share_dates_none_is_left_out_and_of_two_swaths_the_larger_stays():
    assert with_partners(np.ones((9, 2), bool), lambda n: n - 1).all()
    swaths = np.zeros((9, 2), bool)
    swaths[:5, 0] = swaths[5:, 1] = True
    assert with_partners(swaths, lambda n: n - 1).tolist() == [True] * 5 + [False] * 4
    assert with_partners(swaths, lambda n: 3).all()


def test_two_swaths_without_a_common_date_are_both_in_tsne_and_one_is_in_mds():
    values, _ = blobs((220,), times=4)
    values[:120, 2:], values[120:, :2] = np.nan, np.nan
    found = project(*in_one_zone(values))
    check(found)
    assert len(found.tsne.tiles) == 220
    assert found.mds.tiles.tolist() == list(range(120))
    assert len(found.pca.tiles) == 220


def test_tiles_of_few_dates_are_in_the_pca_alone_and_tiles_of_no_zone_nowhere():
    values, _ = blobs((20, 20), times=5)
    values[3, 1:] = np.nan
    values[4, :1] = np.nan
    values[5] = np.nan
    found = project(*in_one_zone(values))
    check(found)
    assert {3, 4} <= set(found.pca.tiles)
    assert 5 not in found.pca.tiles
    assert 3 not in found.tsne.tiles
    assert 3 not in found.mds.tiles
    assert {4} <= set(found.tsne.tiles) & set(found.mds.tiles)


@pytest.mark.parametrize("n", [1, 3])
def test_fewer_than_four_tiles_give_nothing(n):
    values, _ = blobs((n,))
    found = project(*in_one_zone(values))
    check(found)
    assert len(found.pca.tiles) == len(found.tsne.tiles) == len(found.mds.tiles) == 0
    assert np.isnan(found.stress)
    assert np.isnan(found.perplexity)
    assert found.pca.coordinates.shape == (0, 3)


@pytest.mark.parametrize("n", [4, 5, 7])
def test_few_tiles_have_a_smaller_perplexity(n):
    values, _ = blobs((n,))
    found = project(*in_one_zone(values))
    check(found)
    assert found.perplexity == pytest.approx((n - 1) / 3)
    assert len(found.tsne.tiles) == n


def test_equal_tiles_lie_on_one_point_and_have_no_stress():
    found = project(*in_one_zone(np.full((6, 2, 3), 5.0, np.float32)))
    check(found)
    assert not found.pca.coordinates.any()
    assert not found.mds.coordinates.any()
    assert found.stress == 0.0


def test_progress_is_told_of_each_method(three_blobs):
    heard = []

    def track(things, label, total, done=0):
        for thing in things:
            yield thing
            heard.append((label, thing, total))

    project(three_blobs[0], three_blobs[1], most=20, track=track)
    assert heard == [("projections", name, 3) for name in ("PCA", "t-SNE", "MDS")]
