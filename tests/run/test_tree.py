"""The tree of a run: its files say how to cut it, and a cut is a map like that of the run."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio

from taxoscape.cli import run_command
from taxoscape.run.folder import RunFolder
from taxoscape.run.tree import names_of_cut, read_tree, tree_dataset, tree_from
from tests.publish.conftest import make_grid, make_labels, make_table


def test_any_cut_can_be_made_from_the_two_files_alone(finished, tmp_path):
    document = json.loads((finished / "zones_tree.json").read_text())
    splits = {node["id"]: (node["splits_from"], node["first_k"]) for node in reversed(document["nodes"])}
    first = {node["id"]: min(n["first_k"] for n in document["nodes"] if n["id"] == node["id"])
             for node in document["nodes"]}  # fmt: skip
    with rasterio.open(finished / "zones_tree.tif") as source:
        leaves = source.read(1)
    for k in (2, 3, 7, document["n_leaves"]):
        out = tmp_path / f"{k}.tif"
        assert run_command(["cut", str(finished), "--zones", str(k), "--out", str(out)]) == 0
        made = leaves.copy()
        for number in np.unique(leaves[leaves > 0]).tolist():
            zone = number
            while first[zone] > k:
                zone = splits[zone][0]
            made[leaves == number] = zone
        with rasterio.open(out) as source:
            np.testing.assert_array_equal(source.read(1), made)


def test_the_cut_at_the_runs_own_number_is_its_map_with_its_colours_and_names(finished, tmp_path):
    out = tmp_path / "same.tif"
    assert run_command(["cut", str(finished), "--zones", "3", "--out", str(out)]) == 0
    with rasterio.open(out) as cut, rasterio.open(finished / "zones.tif") as zones:
        np.testing.assert_array_equal(cut.read(1), zones.read(1))
        assert cut.colormap(1) == zones.colormap(1)
        assert cut.tags() == zones.tags()
        assert (cut.transform, cut.crs, cut.nodata) == (zones.transform, zones.crs, 0)
    assert (tmp_path / "same.qml").read_text() == (finished / "zones.qml").read_text()
    assert (tmp_path / "same.tif.aux.xml").exists()


def test_colours_stay_from_cut_to_cut_and_no_two_of_a_cut_are_the_same(finished, tmp_path):
    found = {}
    for k in (2, 3, 8, 12):
        assert run_command(["cut", str(finished), "--zones", str(k), "--out", str(tmp_path / f"{k}.tif")]) == 0
        with rasterio.open(tmp_path / f"{k}.tif") as source:
            table = source.colormap(1)
            present = [int(value) for value in np.unique(source.read(1)) if value]
        assert len({table[number] for number in present}) == k
        for number in present:
            assert found.setdefault(number, table[number]) == table[number]


def test_nodes_are_a_binary_tree_whose_parts_add_up(finished):
    document = json.loads((finished / "zones_tree.json").read_text())
    nodes = {node["node"]: node for node in document["nodes"]}
    assert len(nodes) == 2 * document["n_leaves"] - 1
    assert nodes[1]["n_tiles"] == 108
    for node in nodes.values():
        children = [nodes[child] for child in node["children"]]
        assert len(children) in (0, 2)
        if children:
            assert {child["parent"] for child in children} == {node["node"]}
            assert sum(child["n_tiles"] for child in children) == node["n_tiles"]
            assert sum(child["area_km2"] for child in children) == pytest.approx(node["area_km2"])
            assert {child["first_k"] for child in children} == {node["last_k"] + 1}
            assert max(child["height"] for child in children) <= node["height"]
        else:
            assert node["last_k"] == document["n_leaves"]
    assert sorted(node["id"] for node in nodes.values() if "name" in node) == [1, 2, 3]


def test_the_agreement_with_partitions_made_for_each_number_is_told(finished):
    found = json.loads((finished / "analysis.json").read_text())["tree"]
    assert found["n_zones"] == 3
    assert [row["n_clusters"] for row in found["rows"]] == list(range(2, 16))
    assert all(-1 <= row["ari"] <= 1 and 0 <= row["nmi"] <= 1 for row in found["rows"])
    report = (finished / "report.html").read_text()
    assert "At 3 zones the tree is the partition of this run" in report
    assert (finished / "figures" / "tree.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--zones", "0", "--out", "a.tif"], "1 to "),
        (["--zones", "999", "--out", "a.tif"], "not into 999"),
        (["--zones", "4", "--out", "a.png"], "ends in '.png'"),
        (["--zones", "4", "--out", "nowhere/a.tif"], "there is no folder nowhere"),
    ],
)
def test_a_cut_that_cannot_be_made_is_refused(finished, tmp_path, monkeypatch, capsys, options, told):
    monkeypatch.chdir(tmp_path)
    assert run_command(["cut", str(finished), *options]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_cut_does_not_take_the_place_of_the_map_of_the_run(finished, capsys):
    before = (finished / "zones.tif").read_bytes()
    assert run_command(["cut", str(finished), "--zones", "4", "--out", str(finished / "zones.tif")]) == 2
    assert "is a map of the run itself" in capsys.readouterr().err
    assert (finished / "zones.tif").read_bytes() == before


def test_a_run_without_its_tree_is_refused_with_the_command_that_makes_it(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "tree.zarr")
    assert run_command(["cut", str(tmp_path / "run"), "--zones", "4", "--out", str(tmp_path / "a.tif")]) == 2
    assert "taxoscape run" in capsys.readouterr().err


def test_a_tree_comes_back_as_it_was_and_names_say_what_became_of_a_zone(finished):
    tree = read_tree(RunFolder(finished))
    again = tree_from(tree_dataset(tree))
    for name in ("leaves", "splits_from", "first_k", "heights", "sizes", "centroids"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tree, name))
    grid = make_grid(n_rows=9, n_cols=12)
    table = make_table(grid, make_labels(grid, 3), ["wood", "water", "field"])
    assert names_of_cut(tree, 3, table) == ["wood", "water", "field"]
    assert names_of_cut(tree, 4, table)[3].endswith("part 4")
    (largest,) = names_of_cut(tree, 1, table)
    assert " with " in largest
    assert " and " in largest
