"""Zones as polygons: read back with pyogrio."""

from __future__ import annotations

import sqlite3

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.publish.table import largest_zones, zone_table
from taxoscape.publish.vectors import write_zone_polygons, zone_outlines

MODIS = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"


def read(path):
    meta, _, geometry, fields = pyogrio.raw.read(path, layer="zones")
    columns = dict(zip(meta["fields"], fields, strict=True))
    return meta, shapely.from_wkb(geometry), columns


def test_the_polygons_read_back_have_the_areas_of_the_table(tmp_path, grid, labels, table):
    write_zone_polygons(tmp_path / "zones.gpkg", labels, grid, table)
    meta, outlines, columns = read(tmp_path / "zones.gpkg")
    assert pyogrio.list_layers(tmp_path / "zones.gpkg").tolist() == [["zones", "MultiPolygon"]]
    assert meta["crs"] == "EPSG:32630"
    np.testing.assert_allclose(shapely.area(outlines) / 1e6, [row.area_km2 for row in table], rtol=1e-12)
    assert shapely.is_valid(outlines).all()
    for name in ("zone", "name", "n_tiles", "area_km2", "share", "patches"):
        assert columns[name].tolist() == [getattr(row, name) for row in table]
    assert columns["colour"].tolist() == [row.hex for row in table]


def test_each_tile_centre_lies_in_the_polygon_of_its_zone(tmp_path, grid, labels, table):
    write_zone_polygons(tmp_path / "zones.gpkg", labels, grid, table)
    _, outlines, columns = read(tmp_path / "zones.gpkg")
    y, x = grid.centres
    for outline, zone in zip(outlines, columns["zone"], strict=True):
        np.testing.assert_array_equal(shapely.contains_xy(outline, x, y), labels == zone)


def test_the_same_zones_give_the_same_bytes_at_any_time(tmp_path, grid, labels, table):
    for name in ("a.gpkg", "b.gpkg"):
        write_zone_polygons(tmp_path / name, labels, grid, table)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    with sqlite3.connect(tmp_path / "a.gpkg") as database:
        (stamp,) = database.execute("select last_change from gpkg_contents").fetchone()
    database.close()
    assert stamp.startswith("2000-01-01")
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_an_old_file_is_replaced_and_nothing_else_is_left(tmp_path, grid, labels, table):
    (tmp_path / "zones.gpkg").write_bytes(b"old")
    write_zone_polygons(tmp_path / "zones.gpkg", labels, grid, table)
    assert len(read(tmp_path / "zones.gpkg")[1]) == len(table)
    assert [p.name for p in tmp_path.iterdir()] == ["zones.gpkg"]


def test_a_custom_crs_and_strange_names_survive(make, tmp_path):
    grid = make.grid(MODIS, dx=463.3127, dy=463.3127, x0=-500_000.0, y0=4_900_000.0)
    labels = make.labels(grid, 3)
    table = make.table(grid, labels, ["Äcker <&>", 'O\'Brien "x"', "水田"])
    write_zone_polygons(tmp_path / "z.gpkg", labels, grid, table)
    meta, outlines, columns = read(tmp_path / "z.gpkg")
    assert columns["name"].tolist() == [row.name for row in table]
    assert "inusoidal" in meta["crs"]
    np.testing.assert_allclose(shapely.area(outlines) / 1e6, [row.area_km2 for row in table], rtol=1e-9)


def test_zones_without_tiles_have_no_polygon(make, tmp_path, grid, labels):
    table = zone_table(labels, grid, np.zeros((6, 3), np.uint8))
    write_zone_polygons(tmp_path / "z.gpkg", labels, grid, table)
    assert read(tmp_path / "z.gpkg")[2]["zone"].tolist() == [1, 2, 3, 4]


def test_a_map_without_any_zone_is_an_empty_layer(make, tmp_path):
    grid = make.grid(n_rows=1, n_cols=1)
    write_zone_polygons(tmp_path / "z.gpkg", np.zeros(1, np.uint8), grid, ())
    meta, outlines, _ = read(tmp_path / "z.gpkg")
    assert len(outlines) == 0
    assert "area_km2" in meta["fields"].tolist()


def test_labels_that_the_table_does_not_know_are_refused(tmp_path, grid, labels, table):
    with pytest.raises(InputError, match="labels run from"):
        write_zone_polygons(tmp_path / "z.gpkg", labels, grid, table[:2])


@settings(max_examples=60, deadline=None)
@given(zone_map=hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 7)), elements=st.integers(0, 3)))
def test_any_map_makes_valid_polygons_that_do_not_overlap_and_count_its_cells(zone_map):
    height, width = zone_map.shape
    lattice = Lattice(crs="EPSG:32630", x0=300.0, y0=900.0, dx=30.0, dy=20.0, height=height, width=width)
    grid = Grid(lattice=lattice, tile_size=1, stride=1, first_row=-45, first_col=10, n_rows=height, n_cols=width)
    outlines = {zone: shapely.from_wkb(wkb) for zone, wkb in zone_outlines(zone_map.ravel(), grid).items()}
    assert sorted(outlines) == sorted(set(zone_map[zone_map > 0].tolist()))
    for zone, outline in outlines.items():
        assert outline.geom_type == "MultiPolygon"
        assert outline.is_valid
        assert outline.area == pytest.approx(600.0 * (zone_map == zone).sum(), rel=1e-12)
    if outlines:
        assert shapely.union_all(list(outlines.values())).area == pytest.approx(600.0 * (zone_map > 0).sum(), rel=1e-12)


def test_patches_that_touch_in_a_corner_are_counted_apart(make):
    grid = make.grid(n_rows=3, n_cols=4)
    labels = np.array([1, 2, 2, 1, 2, 1, 1, 2, 1, 2, 0, 1], dtype=np.uint8)
    table = zone_table(labels, grid, np.zeros((2, 3), np.uint8))
    assert [row.patches for row in table] == [5, 4]
    assert [row.n_tiles for row in table] == [6, 5]


def test_the_largest_zones_are_chosen_by_area_and_keep_their_order(make):
    grid = make.grid(n_rows=3, n_cols=4)
    labels = np.array([1, 2, 2, 2, 3, 3, 3, 3, 5, 5, 5, 5], dtype=np.uint8)
    shown, rest = largest_zones(zone_table(labels, grid, np.zeros((5, 3), np.uint8)), 2)
    assert [row.zone for row in shown] == [3, 5]
    assert [row.zone for row in rest] == [1, 2]


def test_shares_sum_to_one_and_are_shares_of_area_not_of_tiles(make):
    grid = make.grid(4326, n_rows=6, n_cols=3, tile=4, dx=0.5, dy=0.5, x0=3.0, y0=70.0)
    labels = np.repeat(np.array([1, 2], np.uint8), 9)
    north, south = zone_table(labels, grid, np.zeros((2, 3), np.uint8))
    assert north.n_tiles == south.n_tiles
    assert north.area_km2 < 0.9 * south.area_km2
    assert north.share + south.share == pytest.approx(1)


def test_polygons_that_cannot_be_written_are_one_clear_error(tmp_path, monkeypatch, grid, labels, table):
    def full(*_: object, **__: object) -> None:
        raise pyogrio.errors.DataSourceError("sqlite3: disk I/O error")

    monkeypatch.setattr(pyogrio.raw, "write", full)
    with pytest.raises(InputError, match=r"zones.gpkg .sqlite3: disk I.O error.: is the disk full"):
        write_zone_polygons(tmp_path / "zones.gpkg", labels, grid, table)
    assert list(tmp_path.iterdir()) == []
