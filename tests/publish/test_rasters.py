"""Zone maps, colour maps and value maps: read back with rasterio and as XML."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from taxoscape.errors import InputError
from taxoscape.publish.qgis import write_zone_style
from taxoscape.publish.rasters import write_colour_map, write_value_map, write_zone_map

NAMES = ["Äcker & Wiesen", 'Wald "alt" <dicht>', "O'Higgins", "水田"]


@pytest.fixture
def colours():
    return np.array([[10, 120, 30], [200, 40, 50], [60, 70, 190], [190, 180, 20]], dtype=np.uint8)


@pytest.fixture
def zone_map(tmp_path, grid, labels, colours):
    write_zone_map(tmp_path / "zones.tif", labels, grid, colours, NAMES)
    return tmp_path / "zones.tif"


def test_the_map_has_the_labels_on_the_lattice_of_the_cells(zone_map, grid, labels):
    with rasterio.open(zone_map) as source:
        assert (source.height, source.width) == (7, 11)
        np.testing.assert_array_equal(source.read(1), grid.to_map(labels))
        assert source.dtypes == ("uint8",)
        assert source.nodata == 0
        assert source.transform == grid.cells.transform
        assert source.crs.to_epsg() == 32630
        assert source.compression.name == "deflate"
        assert source.tags()["AREA_OR_POINT"] == "Area"


def test_with_a_stride_the_map_lies_on_the_central_cells(make, tmp_path, colours):
    lattice = make.grid(n_rows=4, n_cols=6, tile=10).lattice
    grid = type(make.grid()).over(lattice, tile_size=10, stride=4)
    labels = make.labels(grid)
    write_zone_map(tmp_path / "z.tif", labels, grid, colours, NAMES)
    with rasterio.open(tmp_path / "z.tif") as source:
        y, x = grid.centres
        values = [v[0] for v in source.sample(zip(x, y, strict=True))]
    np.testing.assert_array_equal(values, labels)


def test_the_colour_table_is_inside(zone_map, colours):
    with rasterio.open(zone_map) as source:
        palette = source.colormap(1)
    assert [palette[k] for k in range(1, 5)] == [(*map(int, c), 255) for c in colours]
    assert palette[0][3] == 0


def test_the_names_are_inside_letter_by_letter(zone_map):
    with rasterio.open(zone_map) as source:
        tags = source.tags()
        assert source.descriptions == ("zone",)
    assert [tags[f"zone_{k}"] for k in range(1, 5)] == NAMES
    assert tags["TIFFTAG_SOFTWARE"] == "taxoscape"


def test_the_side_file_names_each_value_for_gdal_and_qgis(zone_map, colours):
    root = ElementTree.parse(f"{zone_map}.aux.xml").getroot()
    assert [c.text or "" for c in root.iter("Category")] == ["", *NAMES]
    table = root.find("PAMRasterBand/GDALRasterAttributeTable")
    assert table.get("tableType") == "thematic"
    assert [f.findtext("Usage") for f in table.iter("FieldDefn")] == ["5", "2", "6", "7", "8"]
    rows = [[f.text for f in row.iter("F")] for row in table.iter("Row")]
    assert rows[1] == ["2", NAMES[1], "200", "40", "50"]
    with rasterio.open(zone_map) as source:  # and GDAL reads the map with the side file there
        assert source.read(1).max() == 4


def test_the_same_zones_give_the_same_bytes(zone_map, tmp_path, grid, labels, colours):
    again = tmp_path / "elsewhere" / "other.tif"
    again.parent.mkdir()
    write_zone_map(again, labels, grid, colours, NAMES)
    assert again.read_bytes() == zone_map.read_bytes()
    assert again.with_name("other.tif.aux.xml").read_bytes() == zone_map.with_name("zones.tif.aux.xml").read_bytes()


def test_nothing_but_the_map_and_its_side_file_is_left(zone_map):
    assert sorted(p.name for p in zone_map.parent.iterdir()) == ["zones.tif", "zones.tif.aux.xml"]


def test_300_zones_make_a_16_bit_map_with_all_colours_and_names(make, tmp_path):
    grid = make.grid(n_rows=20, n_cols=31)
    labels = (np.arange(grid.n_tiles) % 301).astype(np.uint16)
    colours = np.random.default_rng(0).integers(0, 256, (300, 3), dtype=np.uint8)
    write_zone_map(tmp_path / "z.tif", labels, grid, colours, [f"n{k}" for k in range(300)])
    with rasterio.open(tmp_path / "z.tif") as source:
        assert source.dtypes == ("uint16",)
        np.testing.assert_array_equal(source.read(1).ravel(), labels)
        assert source.colormap(1)[300] == (*map(int, colours[299]), 255)
        assert source.tags()["zone_300"] == "n299"


def test_255_zones_still_fit_into_8_bits(make, tmp_path):
    grid = make.grid(n_rows=20, n_cols=31)
    labels = (np.arange(grid.n_tiles) % 256).astype(np.uint16)
    write_zone_map(tmp_path / "z.tif", labels, grid, np.full((255, 3), 7, np.uint8), [""] * 255)
    with rasterio.open(tmp_path / "z.tif") as source:
        assert source.dtypes == ("uint8",)


def test_one_tile_and_no_zone_at_all_can_be_written(make, tmp_path):
    grid = make.grid(n_rows=1, n_cols=1)
    write_zone_map(tmp_path / "z.tif", np.zeros(1, np.uint8), grid, np.empty((0, 3), np.uint8), [])
    with rasterio.open(tmp_path / "z.tif") as source:
        assert source.read(1).tolist() == [[0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(3, np.uint8)}, "one per tile of the grid"),
        ({"labels": np.zeros(77)}, "labels are integers"),
        ({"labels": np.full(77, 9, np.uint8)}, "labels run from 9 to 9"),
        ({"names": ["a"]}, "1 names"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, grid, labels, colours, change, message):
    given = {"labels": labels, "names": NAMES, **change}
    with pytest.raises(InputError, match=message):
        write_zone_map(tmp_path / "z.tif", given["labels"], grid, colours, given["names"])
    assert list(tmp_path.iterdir()) == []


def test_a_colour_map_has_red_green_blue_and_transparent_tiles(tmp_path, grid):
    rgb = np.random.default_rng(0).integers(0, 256, (77, 3), dtype=np.uint8)
    seen = np.arange(77) % 5 > 0
    write_colour_map(tmp_path / "c.tif", rgb, seen, grid)
    with rasterio.open(tmp_path / "c.tif") as source:
        bands = source.read()
        assert [c.name for c in source.colorinterp] == ["red", "green", "blue", "alpha"]
        assert source.transform == grid.cells.transform
    np.testing.assert_array_equal(bands[3].ravel() == 255, seen)
    np.testing.assert_array_equal(bands[:3].reshape(3, -1).T[seen], rgb[seen])


def test_colours_of_another_grid_are_refused(tmp_path, grid):
    with pytest.raises(InputError, match="colours are uint8"):
        write_colour_map(tmp_path / "c.tif", np.zeros((5, 3), np.uint8), np.ones(5, bool), grid)


def test_a_value_map_keeps_values_and_marks_missing_ones(tmp_path, grid):
    values = np.linspace(0, 1, 77)
    values[3] = np.nan
    write_value_map(tmp_path / "v.tif", values, grid, "confidence")
    with rasterio.open(tmp_path / "v.tif") as source:
        np.testing.assert_array_equal(source.read(1).ravel(), values.astype(np.float32))
        assert np.isnan(source.nodata)
        assert source.descriptions == ("confidence",)
    with pytest.raises(InputError, match="one value per tile"):
        write_value_map(tmp_path / "v.tif", values[:5], grid, "confidence")


def test_the_style_lists_every_zone_with_its_colour_and_escaped_name(make, tmp_path, grid, labels):
    table = make.table(grid, labels, [*NAMES[:3], "bell\x07"])
    write_zone_style(tmp_path / "zones.qml", table)
    root = ElementTree.parse(tmp_path / "zones.qml").getroot()
    renderer = root.find("pipe/rasterrenderer")
    assert (renderer.get("type"), renderer.get("band")) == ("paletted", "1")
    entries = [(e.get("value"), e.get("label"), e.get("color")) for e in root.iter("paletteEntry")]
    assert entries == [
        (str(row.zone), name, row.hex) for row, name in zip(table, [*NAMES[:3], "bell\ufffd"], strict=True)
    ]
