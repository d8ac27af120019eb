from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from taxoscape.analysis.graph import Edge, SemanticGraph, spanning_tree
from taxoscape.errors import InputError
from taxoscape.publish.graph_figure import clearance, drawn_lengths, figure_graph, node_radii, spread, tree_layout
from taxoscape.publish.table import ZoneRow
from tests.publish import test_figures
from tests.publish.test_figures import LONG, check_letters, pixels, texts, where

drawn = test_figures.drawn


def a_graph(k, *, seed=0, dims=12, points=None):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(k, dims)) * 30 if points is None else points
    distances = squareform(pdist(points)) if k > 1 else np.zeros((k, k))
    edges = tuple(Edge(zone_a=a + 1, zone_b=b + 1, weight=w) for a, b, w in spanning_tree(distances))
    sizes = np.sort(rng.integers(1, 1000, k))[::-1]
    return SemanticGraph(edges=edges, distances=distances, n_tiles=sizes, area_km2=sizes * 0.01)


def a_table(graph, name="Zone {}"):
    colours = np.random.default_rng(1).integers(40, 200, (len(graph.n_tiles), 3)).tolist()
    total = float(graph.area_km2.sum())
    return tuple(
        ZoneRow(zone=z + 1, name=name.format(z + 1), colour=tuple(colours[z]), n_tiles=int(n), area_km2=float(area),
                share=float(area) / total, patches=1)
        for z, (n, area) in enumerate(zip(graph.n_tiles, graph.area_km2, strict=True))
    )  # fmt: skip


def ends_of(graph):
    return np.array([(e.zone_a - 1, e.zone_b - 1) for e in graph.edges], dtype=np.int64).reshape(-1, 2)


def crossings(places, ends):
    """A naive count: two segments meet at a point inside both."""
    found = 0
    for i, (a, b) in enumerate(ends):
        for c, d in ends[:i]:
            if {a, b} & {c, d}:
                continue
            matrix = np.column_stack([places[b] - places[a], places[c] - places[d]])
            if abs(np.linalg.det(matrix)) > 1e-9:
                s, t = np.linalg.solve(matrix, places[c] - places[a])
                found += 0 < s < 1 and 0 < t < 1
    return found


@given(seed=st.integers(0, 10_000), k=st.integers(3, 14))
@settings(max_examples=20)
def test_edges_have_their_true_lengths_and_never_cross(seed, k):
    graph = a_graph(k, seed=seed)
    lengths, ends = drawn_lengths(graph.edges), ends_of(graph)
    first = tree_layout(k, graph.edges, lengths)
    for places in (first, spread(first, graph)):
        np.testing.assert_allclose(np.hypot(*(places[ends[:, 0]] - places[ends[:, 1]]).T), lengths)
        assert crossings(places, ends) == 0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_clearance_is_negative_just_where_edges_cross(seed):
    rng = np.random.default_rng(seed)
    places, ends = rng.normal(size=(6, 2)), ends_of(a_graph(6, seed=seed))
    assert (clearance(places, ends) < 0) == (crossings(places, ends) > 0)


def test_turning_branches_brings_zones_nearer_to_their_distances():
    graph = a_graph(9, points=np.random.default_rng(4).normal(size=(9, 2)) * 10)
    lengths = drawn_lengths(graph.edges)
    first = tree_layout(9, graph.edges, lengths)

    def error(places):
        return ((pdist(places) / squareform(graph.distances) - 1) ** 2).mean()

    assert error(spread(first, graph)) < 0.5 * error(first)


def test_a_chain_of_zones_does_not_stay_a_straight_line():
    points = np.cumsum(np.random.default_rng(0).normal(size=(12, 30)), axis=0)
    graph = a_graph(12, points=points)
    places = spread(tree_layout(12, graph.edges, drawn_lengths(graph.edges)), graph)
    assert np.ptp(places[:, 1]) > 0.2 * np.ptp(places[:, 0])


def test_short_edges_are_drawn_longer_so_that_nodes_have_room():
    edges = [Edge(zone_a=1, zone_b=b, weight=w) for b, w in ((2, 0.0), (3, 100.0), (4, 110.0))]
    assert drawn_lengths(edges).tolist() == [42.0, 100.0, 110.0]
    assert drawn_lengths([Edge(zone_a=1, zone_b=2, weight=0.0)]).tolist() == [1.0]
    assert drawn_lengths([]).tolist() == []


def test_areas_of_nodes_follow_those_of_the_zones_and_no_two_nodes_meet():
    places = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    radii = node_radii(places, np.array([[0, 1], [1, 2]]), np.array([4.0, 4.0, 1.0]))
    assert radii[0] == radii[1] == pytest.approx(2 * radii[2])
    assert radii[0] + radii[1] < 1
    assert node_radii(np.zeros((1, 2)), np.empty((0, 2), int), np.array([0.0])) > 0


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_no_letters_of_the_graph_collide(drawn, tmp_path, k):
    graph = a_graph(k)
    figure_graph(tmp_path / "g.png", graph=graph, table=a_table(graph, LONG))
    check_letters(drawn[0])


def test_every_weight_is_written_and_the_note_says_which_distance(drawn, tmp_path):
    graph = a_graph(5, points=np.array([[0.0], [97.2], [209.5], [331.4], [456.4]]))
    figure_graph(tmp_path / "g.png", graph=graph, table=a_table(graph))
    shown = [" ".join(text.split()) for text, _ in texts(drawn[0])]
    assert {"97.2", "112", "122", "125"} <= set(shown)
    note = " ".join(t.get_text().replace("\n", " ") for t in drawn[0].axes[0].texts)
    assert "sum over the dates of the norm" in note
    figure_graph(tmp_path / "g.png", graph=replace(graph, distance="learned"), table=a_table(graph))
    note = " ".join(t.get_text().replace("\n", " ") for t in drawn[1].axes[0].texts)
    assert "in the metric of the zones" in note
    assert "longer than true" not in note


def test_the_note_says_that_an_edge_is_longer_than_true(drawn, tmp_path):
    graph = a_graph(3, points=np.array([[0.0], [0.0], [10.0]]))
    figure_graph(tmp_path / "g.png", graph=graph, table=a_table(graph))
    note = " ".join(t.get_text().replace("\n", " ") for t in drawn[0].axes[0].texts)
    assert "1 edge drawn longer than true" in note


def test_nodes_are_drawn_in_the_colours_of_their_zones(tmp_path):
    graph = a_graph(4)
    table = a_table(graph)
    figure_graph(tmp_path / "g.png", graph=graph, table=table)
    image = pixels(tmp_path / "g.png")[:, :1000]
    sizes = [where(image, row.colour)[1] for row in table]
    assert min(sizes) > 200
    assert sizes[0] == max(sizes)


def test_zones_in_several_trees_and_very_many_zones_can_be_drawn(tmp_path):
    graph = a_graph(6)
    apart = SemanticGraph(edges=graph.edges[:2], distances=graph.distances, n_tiles=graph.n_tiles,
                          area_km2=graph.area_km2)  # fmt: skip
    figure_graph(tmp_path / "a.png", graph=apart, table=a_table(apart))
    many = a_graph(130)
    figure_graph(tmp_path / "m.png", graph=many, table=a_table(many))


def test_the_same_graph_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        figure_graph(tmp_path / name, graph=a_graph(7), table=a_table(a_graph(7)))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_graph_of_other_zones_than_the_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="the graph has 4 zones but the table has 3"):
        figure_graph(tmp_path / "g.png", graph=a_graph(4), table=a_table(a_graph(3)))
