from __future__ import annotations

import numpy as np
import pytest

from taxoscape.areas import cell_areas_km2
from taxoscape.errors import InputError
from taxoscape.publish.colour import part_colours
from taxoscape.publish.tree_figure import blocks_of, figure_tree, last_shown, order_of, runs_of
from taxoscape.zones.clustering import cluster
from taxoscape.zones.tree import zone_tree
from tests.builders import a_grid, a_series, blobs
from tests.publish.conftest import make_table
from tests.publish.test_figures import pixels


def a_tree(k=4, *, tiles=160, seed=0):
    values, _ = blobs((tiles // 2, tiles // 4, tiles // 8, tiles - tiles // 2 - tiles // 4 - tiles // 8), seed=seed)
    grid = a_grid(tiles // 16, 16)
    series = a_series(values, grid)
    zones = cluster(series, n_clusters=k, starts=2)
    table = make_table(grid, zones["labels"].to_numpy())
    tree = zone_tree(series, zones)
    colours = part_colours(np.array([row.colour for row in table], np.uint8), tree.splits_from)
    return tree, colours, cell_areas_km2(grid), table


def test_the_blocks_of_every_cut_fill_the_area_and_the_parts_of_a_zone_lie_inside_it():
    tree, _, areas, _ = a_tree()
    blocks = blocks_of(tree, areas, 8)
    at = {k: [row for row in blocks if row[1] == k] for k in range(1, 9)}
    for k, rows in at.items():
        assert len(rows) == k
        assert sum(bottom - top for *_, top, bottom in rows) == pytest.approx(1)
        edges = [row[2] for row in rows] + [1.0]
        assert edges == sorted(edges)
    for k in range(2, 9):
        for number, _, top, bottom in at[k]:
            above = int(tree.lookup(k - 1)[number])
            _, _, start, end = next(row for row in at[k - 1] if row[0] == above)
            assert start - 1e-9 <= top <= bottom <= end + 1e-9
    assert sorted(order_of(tree, 8)) == tree.ids(8).tolist()


def test_the_drawing_goes_to_twice_the_zones_of_the_run_within_what_the_tree_has():
    assert last_shown(a_tree(4)[0]) == 8
    assert last_shown(a_tree(1)[0]) == 5
    small = a_tree(2, tiles=16)[0]
    assert last_shown(small) == min(5, small.n_leaves)


def test_the_figure_has_the_colours_of_zones_and_parts(tmp_path):
    tree, colours, areas, table = a_tree()
    figure_tree(tmp_path / "tree.png", tree=tree, colours=colours, areas_km2=areas, table=table)
    found = {tuple(colour) for colour in pixels(tmp_path / "tree.png").reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in colours[:6].tolist()} <= found


def test_a_tree_of_one_zone_and_colours_of_another_tree(tmp_path):
    tree, colours, areas, table = a_tree(1)
    figure_tree(tmp_path / "tree.png", tree=tree, colours=colours, areas_km2=areas, table=table)
    with pytest.raises(InputError, match="give those of one run"):
        figure_tree(tmp_path / "a.png", tree=tree, colours=colours[:-1], areas_km2=areas, table=table)


def test_blocks_that_are_alike_in_cut_after_cut_are_drawn_as_one():
    tree, _, areas, _ = a_tree()
    blocks = blocks_of(tree, areas, 12)
    runs = runs_of(blocks)
    assert sum(stop - start + 1 for _, start, stop, _, _ in runs) == len(blocks)
    assert len(runs) == 2 * 12 - 1
    assert {(number, k) for number, start, stop, _, _ in runs for k in range(start, stop + 1)} == {
        (number, k) for number, k, _, _ in blocks
    }
