"""An area of interest: which pixels lie in it, and what is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from taxoscape.config import CubeSettings
from taxoscape.cube.area import BLOCK_PX, Area, Stencil, area_digest, inside_shares, read_area
from taxoscape.cube.box import Box
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.open import open_cube
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.planned import can_read_in_place, plan_from_json, plan_to_json
from taxoscape.cube.pointer import read_pointer, write_pointer
from taxoscape.cube.store import read_cube, write_cube
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from tests.builders import wkt

from .conftest import write_tif


def a_lattice(height: int = 40, width: int = 60, *, crs: str = "EPSG:32630") -> Lattice:
    """Return the lattice of `write_tif`."""
    return Lattice(crs=wkt(crs), x0=500_000.0, y0=4_000_000.0, dx=10.0, dy=10.0, height=height, width=width)


def at(points: Any) -> list[tuple[float, float]]:
    """Return places (row, col) of that lattice as coordinates."""
    return [(500_000 + 10 * col, 4_000_000 - 10 * row) for row, col in points]


def square(top: float, left: float, bottom: float, right: float) -> Any:
    """Return a rectangle of that lattice as a polygon."""
    return shapely.Polygon(at([(top, left), (top, right), (bottom, right), (bottom, left)]))


def write_area(
    path: Path, shapes: list[Any], *, crs: str | None = "EPSG:32630", layer: str = "aoi", **options: Any
) -> Path:
    """Write geometries as a file of features."""
    from pyogrio.raw import write

    drivers = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile", ".fgb": "FlatGeobuf"}
    kinds = {None if shape is None else shape.geom_type for shape in shapes} - {None}
    write(
        path, shapely.to_wkb(np.array(shapes, dtype=object)), [np.arange(len(shapes))], ["number"], crs=crs,
        layer=layer,
        geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown", driver=drivers[path.suffix], **options,
    )  # fmt: skip
    return path


def in_degrees(shape: Any) -> Any:
    """Return a polygon in longitude and latitude, its edges cut finely."""
    change = Transformer.from_crs("EPSG:32630", "EPSG:4326", always_xy=True)
    return shapely.transform(
        shapely.segmentize(shape, 5.0), lambda p: np.stack(change.transform(p[:, 0], p[:, 1]), axis=1)
    )


def by_centres(polygons: list[Any], height: int, width: int) -> np.ndarray:
    """Return which pixels have their centre in one of the polygons, one by one."""
    inside = np.zeros((height, width), bool)
    for row in range(height):
        for col in range(width):
            centre = shapely.Point(at([(row + 0.5, col + 0.5)])[0])
            inside[row, col] = any(polygon.contains(centre) for polygon in polygons)
    return inside


RING = shapely.Polygon(
    at([(2.3, 3.2), (4.1, 30.7), (25.2, 28.3), (18.8, 5.4)]),
    [at([(8.2, 10.3), (8.4, 16.1), (14.3, 14.2)])],
)
"""A polygon with a hole that runs through no centre of a pixel."""


def test_a_pixel_lies_in_the_area_where_its_centre_is_in_a_polygon_and_in_no_hole(tmp_path):
    shapes = [RING, shapely.MultiPolygon([square(28.1, 40.2, 33.3, 55.4), square(1.2, 50.3, 6.4, 58.1)])]
    area = read_area(write_area(tmp_path / "a.gpkg", shapes), a_lattice())
    expected = by_centres(shapes, 40, 60)
    np.testing.assert_array_equal(Stencil(area, a_lattice())(Box(0, 0, 40, 60)), expected)
    assert area.box(a_lattice()) == Box(1, 3, 33, 56)
    assert area.n_features == 2
    assert not expected[10, 14]
    assert expected.any()


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb"])
def test_whatever_the_file_and_its_crs_the_pixels_are_the_same(tmp_path, name):
    own = read_area(write_area(tmp_path / "own.gpkg", [RING]), a_lattice())
    path = write_area(tmp_path / name, [in_degrees(RING)], crs="EPSG:4326")
    other = read_area(path, a_lattice())
    whole = Box(0, 0, 40, 60)
    np.testing.assert_array_equal(Stencil(other, a_lattice())(whole), Stencil(own, a_lattice())(whole))


@given(
    corners=st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 65)), min_size=3, max_size=7),
    box=st.tuples(st.integers(-4, 39), st.integers(-4, 59), st.integers(1, 30), st.integers(1, 30)),
)
@settings(max_examples=60)
def test_any_window_is_that_part_of_the_whole(corners, box):
    hull = shapely.MultiPoint(at(corners)).convex_hull
    if hull.geom_type != "Polygon" or hull.area < 1:
        return
    area = Area(name="a", outlines=(shapely.to_wkb(hull, hex=True),), n_features=1)
    whole = Stencil(area, a_lattice())(Box(-4, -4, 80, 100))
    part = Box(*box)
    expected = whole[part.row + 4 : part.row + 4 + part.height, part.col + 4 : part.col + 4 + part.width]
    np.testing.assert_array_equal(Stencil(area, a_lattice())(part), expected)


def test_windows_over_several_burned_squares_are_whole():
    lattice = a_lattice(3 * BLOCK_PX, 2 * BLOCK_PX)
    high, wide = BLOCK_PX + 700.0, BLOCK_PX + 300.0
    area = Area(name="a", outlines=(shapely.to_wkb(square(500, 400, high, wide), hex=True),), n_features=1)
    box = Box(450, 350, BLOCK_PX + 400, BLOCK_PX)
    inside = Stencil(area, lattice)(box)
    expected = np.zeros(inside.shape, bool)
    expected[50 : int(high) - 450, 50 : int(wide) - 350] = True
    np.testing.assert_array_equal(inside, expected)
    assert not Stencil(area, lattice)(Box(2 * BLOCK_PX, 0, 40, 50)).any()


@given(size=st.integers(3, 12), stride=st.integers(1, 12), partial=st.sampled_from(["keep", "drop"]))
@settings(max_examples=25)
def test_shares_of_tiles_equal_a_naive_count(size, stride, partial):
    lattice = a_lattice()
    area = Area(name="a", outlines=(shapely.to_wkb(RING, hex=True),), n_features=1)
    grid = Grid.over(lattice, tile_size=size, stride=min(size, stride), partial=partial)
    padded = np.pad(Stencil(area, lattice)(Box(0, 0, 40, 60)), size)
    expected = [
        padded[row + size : row + 2 * size, col + size : col + 2 * size].mean() for row, col in grid.corners.tolist()
    ]
    np.testing.assert_allclose(inside_shares(area, grid), expected)


@pytest.fixture
def tiled(tmp_path: Path) -> Path:
    """Two scenes of 200 × 300 pixels, the second with a hole, that are read in place."""
    rng = np.random.default_rng(2)
    for month in (3, 4):
        pixels = rng.integers(1, 200, (2, 200, 300)).astype("uint8")
        pixels[:, 40:60, 100:130] = 0 if month == 4 else 9
        write_tif(
            tmp_path / "scenes" / f"2020-{month:02d}-01.tif", pixels, nodata=0, tiled=True, blockxsize=128,
            blockysize=128,
        )  # fmt: skip
    return tmp_path / "scenes"


WIDE = shapely.Polygon(
    at([(20.3, 60.2), (35.1, 190.7), (150.2, 120.3)]), [at([(40.2, 90.3), (42.1, 120.4), (60.2, 95)])]
)


def test_all_roads_give_the_same_cropped_cube(tiled, tmp_path):
    path = write_area(tmp_path / "a.gpkg", [WIDE])
    plan = plan_cube(str(tiled), CubeSettings(aoi=str(path)))
    assert can_read_in_place(plan)
    assert plan_from_json(plan_to_json(plan)) == plan
    whole, cube = open_cube(str(tiled)), lazy_cube(plan)
    box = Box(20, 60, 131, 131)
    inside = by_centres([WIDE], 200, 300)[box.slices]
    rows, cols = box.slices
    assert (cube["y"].to_numpy() == whole["y"].to_numpy()[rows]).all()
    assert (cube["x"].to_numpy() == whole["x"].to_numpy()[cols]).all()
    np.testing.assert_array_equal(cube["valid"], whole["valid"][:, rows, cols] & inside)
    np.testing.assert_array_equal(cube, np.where(inside, whole[:, :, rows, cols], 0))
    np.testing.assert_array_equal(
        cube[:, 1, 5:90, 7:80], np.where(inside, whole[:, :, rows, cols], 0)[:, 1, 5:90, 7:80]
    )
    write_pointer(tmp_path / "cube.json", plan)
    write_cube(cube, tmp_path / "cropped.zarr")
    write_cube(whole, tmp_path / "whole.zarr")
    others = [
        open_cube(str(tiled), aoi=path),
        lazy_cube(read_pointer(tmp_path / "cube.json")),
        read_cube(tmp_path / "cropped.zarr"),
        open_cube(tmp_path / "whole.zarr", aoi=path),
        open_cube(whole.load(), aoi=str(path)),
    ]
    for other in others:
        assert Lattice.of(other) == Lattice.of(cube)
        np.testing.assert_array_equal(other["valid"], cube["valid"])
        np.testing.assert_array_equal(other, cube)


def test_a_stored_cube_is_cropped_lazily(tiled, tmp_path):
    path = write_area(tmp_path / "a.gpkg", [WIDE])
    write_cube(open_cube(str(tiled)), tmp_path / "whole.zarr")
    cube = open_cube(tmp_path / "whole.zarr", aoi=path)
    for chunk in (tmp_path / "whole.zarr" / "scenes").rglob("c/1/*/*/*"):
        chunk.unlink()
    assert cube[0, :, 30:40].to_numpy().any()
    with pytest.raises(InputError, match="damaged"):
        cube[1].to_numpy()


def test_tiles_keep_their_index_whatever_part_is_processed(tiled, tmp_path):
    whole = Grid.over(Lattice.of(open_cube(str(tiled))), tile_size=20)
    cube = open_cube(str(tiled), aoi=write_area(tmp_path / "a.gpkg", [WIDE]))
    grid = Grid.over(Lattice.of(cube), tile_size=20, partial="keep")
    places = {(row, col): (y, x) for row, col, y, x in zip(whole.rows, whole.cols, *whole.centres, strict=True)}
    found = {(row, col): (y, x) for row, col, y, x in zip(grid.rows, grid.cols, *grid.centres, strict=True)}
    assert found.keys() <= places.keys()
    assert all(places[index] == pytest.approx(place) for index, place in found.items())


def test_scenes_beside_the_area_and_their_dates_are_left_out(tmp_path):
    write_tif(tmp_path / "s" / "2020-03-01_a.tif", np.ones((20, 30), "uint8"))
    write_tif(tmp_path / "s" / "2020-03-01_b.tif", np.full((20, 30), 2, "uint8"), at=(0, 30))
    write_tif(tmp_path / "s" / "2020-04-01_b.tif", np.full((20, 30), 3, "uint8"), at=(0, 30))
    path = write_area(tmp_path / "a.gpkg", [square(2, 3, 15, 22)])
    plan = plan_cube(str(tmp_path / "s"), CubeSettings(aoi=str(path)))
    assert [Path(file.path).name for file in plan.files] == ["2020-03-01_a.tif"]
    assert [str(day) for day in plan.dates] == ["2020-03-01"]
    assert {(Path(name).name, reason) for name, reason in plan.skipped} == {
        (name, "outside of the area of interest (--aoi)") for name in ("2020-03-01_b.tif", "2020-04-01_b.tif")
    }
    assert plan.shape == (1, 1, 13, 19)
    assert "a.gpkg: cropped to 1 polygon" in plan.describe()


def test_an_area_between_the_scenes_is_refused(tmp_path):
    write_tif(tmp_path / "s" / "2020-03-01_a.tif", np.ones((20, 30), "uint8"))
    write_tif(tmp_path / "s" / "2020-03-01_b.tif", np.ones((20, 30), "uint8"), at=(40, 50))
    path = write_area(tmp_path / "a.gpkg", [square(25, 35, 33, 44)])
    with pytest.raises(InputError, match=r"a\.gpkg lies between the scenes"):
        plan_cube(str(tmp_path / "s"), CubeSettings(aoi=str(path)))


def refusal(path: Path | str, lattice: Lattice | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_area(path, lattice or a_lattice())
    assert "--aoi" in str(caught.value) or "ogr2ogr" in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path):
    assert f"no file {tmp_path / 'a.gpkg'}" in refusal(tmp_path / "a.gpkg")
    assert "is a folder" in refusal(tmp_path)


def test_what_is_no_file_of_polygons_is_refused(tmp_path):
    assert "no file of polygons" in refusal(write_tif(tmp_path / "a.tif"))
    (tmp_path / "a.txt").write_text("hello")
    assert "cannot be read as polygons" in refusal(tmp_path / "a.txt")
    other = write_area(tmp_path / "other.gpkg", [RING])
    (tmp_path / "a.vrt").write_text(
        f"<OGRVRTDataSource><OGRVRTLayer name='aoi'><SrcDataSource>{other}</SrcDataSource></OGRVRTLayer>"
        "</OGRVRTDataSource>"
    )
    assert "no file of polygons" in refusal(tmp_path / "a.vrt")


def test_points_and_lines_are_refused(tmp_path):
    assert "points, lines" in refusal(write_area(tmp_path / "a.gpkg", [shapely.Point(*at([(3, 3)])[0])]))
    mixed = [RING, shapely.LineString(at([(3, 3), (5, 5)]))]
    assert "points, lines" in refusal(
        write_area(tmp_path / "b.geojson", [in_degrees(s) for s in mixed], crs="EPSG:4326")
    )


def test_no_features_and_empty_geometry_are_told_apart(tmp_path):
    assert "has no features" in refusal(write_area(tmp_path / "a.gpkg", []))
    assert "only empty geometry" in refusal(write_area(tmp_path / "b.gpkg", [shapely.Polygon(), shapely.Polygon()]))
    area = read_area(write_area(tmp_path / "c.gpkg", [shapely.Polygon(), RING]), a_lattice())
    assert area.n_features == 1


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_an_area_without_crs_is_refused(tmp_path):
    assert "has no CRS" in refusal(write_area(tmp_path / "a.gpkg", [RING], crs=None))


def test_of_several_layers_one_is_chosen_by_name(tmp_path):
    path = write_area(tmp_path / "a.gpkg", [RING], layer="ring")
    write_area(path, [square(3, 3, 9, 9)], layer="box", append=True)
    assert f"has 2 layers (ring, box): say which is the area of interest (--aoi {path.name}#ring)" in refusal(path)
    assert "has no layer 'nothing'; it has: ring, box" in refusal(f"{path}#nothing")
    assert read_area(f"{path}#box", a_lattice()).box(a_lattice()) == Box(3, 3, 6, 6)
    assert area_digest(f"{path}#box") == area_digest(path)


def test_an_area_beside_the_scenes_is_refused_with_both_extents(tmp_path):
    told = refusal(write_area(tmp_path / "a.gpkg", [square(100, 100, 120, 120)]))
    assert "lies outside of the scenes: it reaches over 501000, 3.9988e+06, 501200, 3.999e+06" in told
    assert "the scenes over 500000, 3.9996e+06, 500600, 4e+06" in told
    assert "outside of the scenes" in refusal(
        write_area(tmp_path / "b.gpkg", [in_degrees(square(100, 100, 120, 120))], crs="EPSG:4326")
    )


def test_an_area_without_the_centre_of_a_pixel_is_refused(tmp_path):
    assert "the centre of no pixel" in refusal(write_area(tmp_path / "a.gpkg", [square(3.1, 3.1, 3.4, 3.4)]))


FIJI = Lattice(crs=wkt("EPSG:32760"), x0=780_000.0, y0=8_020_000.0, dx=1000.0, dy=1000.0, height=100, width=100)
"""Scenes across the antimeridian."""


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Polygon([(179.5, -18.4), (-179.5, -18.4), (-179.5, -18.2), (179.5, -18.2)]),
        shapely.Polygon([(179.5, -18.4), (180.5, -18.4), (180.5, -18.2), (179.5, -18.2)]),
        shapely.MultiPolygon([shapely.box(179.5, -18.4, 180, -18.2), shapely.box(-180, -18.4, -179.5, -18.2)]),
    ],
    ids=["wrapped", "beyond 180", "cut in two"],
)
def test_an_area_across_the_antimeridian_is_refused(tmp_path, shape):
    path = write_area(tmp_path / "a.gpkg", [shape], crs="EPSG:4326")
    assert "crosses the antimeridian" in refusal(path, FIJI)


def test_an_area_across_the_antimeridian_of_the_scenes_is_refused(tmp_path):
    degrees = Lattice(crs=wkt("EPSG:4326"), x0=-180.0, y0=-17.0, dx=0.5, dy=0.5, height=8, width=720)
    path = write_area(tmp_path / "a.gpkg", [shapely.box(780_000, 7_960_000, 880_000, 7_990_000)], crs="EPSG:32760")
    assert "crosses the antimeridian" in refusal(path, degrees)


def test_one_side_of_the_antimeridian_is_an_area_like_any_other(tmp_path):
    path = write_area(tmp_path / "a.gpkg", [shapely.box(179.5, -18.4, 179.9, -18.2)], crs="EPSG:4326")
    assert not Stencil(read_area(path, FIJI), FIJI).is_empty()


def test_what_lies_elsewhere_on_earth_does_not_hinder(tmp_path):
    own = read_area(write_area(tmp_path / "own.gpkg", [RING]), a_lattice())
    here, ice = in_degrees(RING), shapely.box(-180, -90, 180, -60)
    parts = [shapely.MultiPolygon([here, shapely.box(170, 60, 180, 70), shapely.box(-180, 60, -170, 70)]), ice]
    area = read_area(write_area(tmp_path / "parts.geojson", parts, crs="EPSG:4326"), a_lattice())
    whole = Box(0, 0, 40, 60)
    np.testing.assert_array_equal(Stencil(area, a_lattice())(whole), Stencil(own, a_lattice())(whole))
    assert area.n_features == 1


def test_a_polygon_that_crosses_itself_is_taken_by_the_even_odd_rule(tmp_path):
    bow = shapely.Polygon(at([(5.2, 5.1), (25.3, 25.2), (5.1, 25.4), (25.4, 5.3)]))
    area = read_area(write_area(tmp_path / "a.gpkg", [bow]), a_lattice())
    inside = Stencil(area, a_lattice())(Box(0, 0, 40, 60))
    assert inside[7, 15] == inside[23, 15] == False  # noqa: E712
    assert inside[10, 23] or inside[10, 7]


def test_the_digest_of_a_shapefile_tells_of_each_part_that_matters():
    with tempfile.TemporaryDirectory() as folder:
        path = write_area(Path(folder) / "a.shp", [RING])
        before = area_digest(path)
        path.with_suffix(".dbf").unlink()
        assert area_digest(path) == before
        path.with_suffix(".prj").write_text("another")
        assert area_digest(path) != before
    assert area_digest(path) is None
