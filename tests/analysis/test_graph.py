from __future__ import annotations

import io
import json
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree

from taxoscape.analysis.dates import separating_dates
from taxoscape.analysis.graph import semantic_graph, spanning_tree, to_graphml, to_json
from taxoscape.errors import InputError
from tests.analysis.test_dates import gappy, partition
from tests.builders import a_grid, a_series, blobs
from tests.builders import plain_cluster as cluster

NAMES = ['Oak & "beech" <forest>', "Äcker\x00", "水田"]
COLOURS = np.array([[20, 90, 160], [210, 60, 30], [0, 255, 7]], np.uint8)


@pytest.fixture(scope="module")
def three():
    values, _ = blobs((24, 18, 12))
    return cluster(a_series(values, a_grid(6, 9)), n_clusters=3, starts=2)


def distances_of(seed, n=9):
    points = np.random.default_rng(seed).normal(size=(n, 2))
    return np.linalg.norm(points[:, None] - points, axis=-1)


def is_a_tree(edges, n):
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(edges)
    return nx.is_tree(graph)


def test_three_points_on_a_line_are_joined_in_order():
    places = np.array([0.0, 7.5, 2.25])
    assert spanning_tree(np.abs(places[:, None] - places)) == [(0, 2, 2.25), (1, 2, 5.25)]


@given(seed=st.integers(0, 10_000))
def test_the_tree_has_the_weights_of_scipys_and_networkxs(seed):
    distances = distances_of(seed)
    edges = spanning_tree(distances)
    assert is_a_tree(edges, 9)
    total = sum(weight for _, _, weight in edges)
    assert total == pytest.approx(minimum_spanning_tree(distances).sum())
    assert total == pytest.approx(nx.minimum_spanning_tree(nx.from_numpy_array(distances)).size(weight="weight"))
    assert all(a < b and weight == distances[a, b] for a, b, weight in edges)


@given(seed=st.integers(0, 10_000))
def test_equal_points_stay_joined_by_an_edge_of_nothing(seed):
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 3, size=8).astype(float)
    edges = spanning_tree(np.abs(places[:, None] - places))
    assert is_a_tree(edges, 8)
    assert sum(weight for _, _, weight in edges) == np.ptp(places)


def test_points_without_any_known_way_between_them_have_trees_of_their_own():
    distances = np.array([[0, 1, np.nan, np.nan], [1, 0, np.nan, np.nan], [np.nan] * 2 + [0, 2], [np.nan] * 2 + [2, 0]])
    assert spanning_tree(distances) == [(0, 1, 1.0), (2, 3, 2.0)]
    assert spanning_tree(np.full((1, 1), 0.0)) == []
    assert spanning_tree(np.empty((0, 0))) == []


def test_the_graph_joins_the_centroids_under_the_sum_of_norms_with_the_sizes_of_the_zones(three):
    graph = semantic_graph(three)
    centroids = three["centroids"].to_numpy().astype(float)
    expected = np.linalg.norm(centroids[:, None] - centroids, axis=-1).sum(axis=-1)
    np.testing.assert_allclose(graph.distances, expected, rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(graph.distances, graph.distances.T)
    assert graph.n_tiles.tolist() == [24, 18, 12]
    np.testing.assert_allclose(graph.area_km2, np.array([24, 18, 12]) * 0.01)  # tiles of 10 × 10 pixels of 10 m
    assert sum(e.weight for e in graph.edges) == pytest.approx(minimum_spanning_tree(expected).sum(), rel=1e-6)
    assert any(e.weight != int(e.weight) for e in graph.edges)


def test_one_zone_is_one_node_without_an_edge():
    values, _ = blobs((6,))
    graph = semantic_graph(cluster(a_series(values), n_clusters=1, starts=1))
    assert graph.edges == ()
    assert graph.n_tiles.tolist() == [6]
    assert len(json.loads(to_json(graph, ["all"], COLOURS[:1]))["nodes"]) == 1
    assert nx.read_graphml(io.BytesIO(to_graphml(graph, ["all"], COLOURS[:1]).encode())).number_of_nodes() == 1


def test_zones_of_equal_centroids_are_joined_and_zones_without_tiles_are_nodes_without_an_edge(three):
    same = three.copy(deep=True)
    same["centroids"][2] = same["centroids"][0]
    graph = semantic_graph(same)
    assert len(graph.edges) == 2
    assert [(e.zone_a, e.zone_b) for e in graph.edges if e.weight < 1e-3] == [(1, 3)]
    same["labels"][:] = np.where(same["labels"] == 3, 0, same["labels"])
    graph = semantic_graph(same)
    assert [(e.zone_a, e.zone_b) for e in graph.edges] == [(1, 2)]
    assert np.isnan(graph.distances[2]).all()
    assert graph.n_tiles.tolist() == [24, 18, 0]


@given(gappy())
def test_distances_are_those_of_the_separating_dates_over_the_dates_that_two_zones_share(case):
    series, zones = partition(*case)
    graph, expected = semantic_graph(zones), separating_dates(series, zones).total
    np.testing.assert_allclose(graph.distances, expected, rtol=1e-6, atol=1e-6)
    for edge in graph.edges:
        assert edge.weight == graph.distances[edge.zone_a - 1, edge.zone_b - 1]


def test_a_date_that_a_zone_never_counts_on_is_left_out_and_the_rest_scaled_to_all():
    values = np.zeros((4, 4, 1), np.float32)
    values[2:] = 3
    values[2:, 0] = np.nan  # K-means fills the date with a value near that of the other zone
    zones = cluster(a_series(values), n_clusters=2, starts=1)
    assert semantic_graph(zones).distances[0, 1] == pytest.approx(4 * 3)


def test_areas_that_are_given_are_used_and_have_to_be_one_per_tile(three):
    areas = np.arange(54.0)
    graph = semantic_graph(three, areas_km2=areas)
    expected = [areas[three["labels"].to_numpy() == zone].sum() for zone in (1, 2, 3)]
    np.testing.assert_allclose(graph.area_km2, expected)
    with pytest.raises(InputError, match=r"areas_km2 has the shape \(3,\), the zones have 54 tiles"):
        semantic_graph(three, areas_km2=np.ones(3))


def test_networkx_reads_the_graphml_back_with_every_value(three):
    graph = semantic_graph(three)
    text = to_graphml(graph, NAMES, COLOURS)
    read = nx.read_graphml(io.BytesIO(text.encode("utf-8")), node_type=int)
    assert read.graph["distance"] == "sumnorm"
    assert [read.nodes[z]["name"] for z in (1, 2, 3)] == [NAMES[0], "Äcker", "水田"]
    assert read.nodes[2] == {"name": "Äcker", "colour": "#d23c1e", "n_tiles": 18,
                             "area_km2": float(graph.area_km2[1])}  # fmt: skip
    assert {(min(a, b), max(a, b)): w for a, b, w in read.edges(data="weight")} == {
        (e.zone_a, e.zone_b): e.weight for e in graph.edges
    }


def test_the_graphml_declares_every_key_it_uses_once_and_points_to_real_nodes(three):
    root = ElementTree.fromstring(to_graphml(semantic_graph(three), NAMES, COLOURS).encode())
    space = "{http://graphml.graphdrawing.org/xmlns}"
    assert root.tag == f"{space}graphml"
    keys = {key.get("id"): key.get("for") for key in root.iter(f"{space}key")}
    assert set(keys) == {"distance", "name", "colour", "n_tiles", "area_km2", "weight"}
    for owner in ("node", "edge"):
        for element in root.iter(f"{space}{owner}"):
            assert {data.get("key") for data in element} == {key for key, kind in keys.items() if kind == owner}
    nodes = {node.get("id") for node in root.iter(f"{space}node")}
    assert {edge.get(end) for edge in root.iter(f"{space}edge") for end in ("source", "target")} <= nodes


def test_networkx_reads_the_json_back_and_the_matrix_is_whole(three):
    graph = semantic_graph(three)
    content = json.loads(to_json(graph, NAMES, COLOURS))
    read = nx.node_link_graph(content, edges="edges")
    assert read.nodes[3]["name"] == "水田"
    assert read.nodes[3]["n_tiles"] == 12
    assert sorted(w for _, _, w in read.edges(data="weight")) == sorted(e.weight for e in graph.edges)
    np.testing.assert_array_equal(content["graph"]["distances"], graph.distances)


def test_a_distance_that_is_not_known_is_null_in_the_json(three):
    holes = three.copy(deep=True)
    holes["centroids"][0, 1:] = np.nan
    holes["centroids"][1, 0] = np.nan
    content = json.loads(to_json(semantic_graph(holes), NAMES, COLOURS))
    assert content["graph"]["distances"][0][1] is None
    assert len(content["edges"]) == 2


def test_as_many_names_and_colours_as_zones_are_asked_for(three):
    graph = semantic_graph(three)
    with pytest.raises(InputError, match="3 zones, but there are 2 names"):
        to_graphml(graph, NAMES[:2], COLOURS)
    with pytest.raises(InputError, match=r"colours of shape \(2, 3\)"):
        to_json(graph, NAMES, COLOURS[:2])
