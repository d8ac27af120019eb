import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from taxoscape.cube.layers import check_layer, parse_layer, read_layer
from taxoscape.errors import InputError
from taxoscape.grid import Grid

from .conftest import write_tif
from .test_labels import lattice_of


def tiles_of(pixels: np.ndarray, at: tuple[int, int], grid: Grid, there: np.ndarray) -> list[list[float]]:
    """Return the values with data of each tile, pixel by pixel."""
    found = []
    for row, col in grid.corners.tolist():
        places = [(row - at[0] + i, col - at[1] + j) for i in range(grid.tile_size) for j in range(grid.tile_size)]
        inside = [(y, x) for y, x in places if 0 <= y < pixels.shape[0] and 0 <= x < pixels.shape[1]]
        found.append([pixels[place].item() for place in inside if there[place]])
    return found


CASES = {
    "size": st.integers(1, 5), "stride": st.integers(1, 5), "partial": st.sampled_from(["drop", "keep"]),
    "at": st.tuples(st.integers(-3, 4), st.integers(-3, 4)), "shape": st.tuples(st.integers(4, 14), st.integers(4, 14)),
    "nodata": st.sampled_from([None, 2, 255]), "seed": st.integers(0, 99),
}  # fmt: skip


@given(**CASES)
@settings(max_examples=40, deadline=None)
def test_means_equal_a_naive_loop(size, stride, partial, at, shape, nodata, seed) -> None:
    grid = Grid.over(lattice_of(9, 11), tile_size=size, stride=min(size, stride), partial=partial)
    pixels = np.random.default_rng(seed).integers(0, 9, shape).astype("uint8")
    inside = tiles_of(pixels, at, grid, pixels != nodata)
    assume(any(inside))
    with tempfile.TemporaryDirectory() as folder:
        path = write_tif(Path(folder) / "a.tif", pixels, at=at, nodata=nodata)
        layer = read_layer(path, grid, name="a", kind="continuous")
    expected = [np.mean(values) if values else np.nan for values in inside]
    np.testing.assert_allclose(layer.values, expected, rtol=1e-12)
    np.testing.assert_allclose(layer.share, [len(values) / size**2 for values in inside])
    assert layer.values.dtype == np.float64


@given(**CASES)
@settings(max_examples=40, deadline=None)
def test_majorities_equal_a_naive_count(size, stride, partial, at, shape, nodata, seed) -> None:
    grid = Grid.over(lattice_of(9, 11), tile_size=size, stride=min(size, stride), partial=partial)
    pixels = np.random.default_rng(seed).integers(0, 4, shape).astype("uint8")
    tiles = tiles_of(pixels, at, grid, pixels != nodata)
    assume(any(tiles))
    with tempfile.TemporaryDirectory() as folder:
        path = write_tif(Path(folder) / "a.tif", pixels, at=at, nodata=nodata)
        layer = read_layer(path, grid, name="a")
    assert layer.kind == "categorical"
    names = ["", *layer.classes]
    for code, share, inside in zip(
        layer.values, layer.share, tiles_of(pixels, at, grid, pixels != nodata), strict=True
    ):
        counts = Counter(inside)
        best = min(counts, key=lambda value: (-counts[value], value), default=None)
        assert names[code] == ("" if best is None else str(best))
        assert share == (0 if best is None else counts[best] / size**2)


def test_a_layer_of_another_crs_and_resolution_is_laid_on_the_tiles(tmp_path, write) -> None:
    from affine import Affine
    from rasterio.warp import transform_bounds

    grid = Grid.over(lattice_of(100, 150), tile_size=10)
    west, south, east, north = transform_bounds(32630, 4326, 500_000, 3_999_000, 501_500, 4_000_000)
    degrees = Affine((east - west) / 60, 0, west, 0, (south - north) / 40, north)
    slope = np.tile(np.linspace(0, 1000, 60), (40, 1)).astype("float32")
    layer = read_layer(write(tmp_path / "dem.tif", slope, crs=4326, transform=degrees), grid, name="dem")
    assert layer.kind == "continuous"
    expected = np.tile(np.linspace(0, 1000, 61)[:-1].reshape(15, 4).mean(axis=1) + 8, (10, 1))
    np.testing.assert_allclose(grid.to_map(layer.values), expected, atol=20)


@pytest.mark.parametrize("kind", ["mask", "alpha"])
@pytest.mark.parametrize("nodata", [None, 7])
def test_what_a_mask_or_an_alpha_band_hides_is_no_data(tmp_path, write, kind, nodata) -> None:
    import rasterio
    from rasterio.enums import ColorInterp

    pixels = np.full((4, 6), 3, "uint8")
    pixels[0, 0] = 7
    seen = np.full_like(pixels, 255)
    seen[:, 2:] = 0
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(path, np.stack([pixels, seen]) if kind == "alpha" else pixels, nodata=nodata)
        with rasterio.open(path, "r+") as file:
            if kind == "alpha":
                file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
            else:
                file.write_mask(seen)
    layer = read_layer(path, Grid.over(lattice_of(4, 6), tile_size=2), name="a", kind="continuous")
    assert layer.share.tolist() == [0.75 if nodata else 1, 0, 0, 1, 0, 0]
    assert layer.values[0] == (3 if nodata else 4)
    assert np.isnan(layer.values[1])


def test_real_nan_and_zero_of_a_layer_without_nodata_are_told_apart_from_outside(tmp_path, write) -> None:
    pixels = np.zeros((4, 4), "float32")
    pixels[:2, :2] = np.nan
    layer = read_layer(write(tmp_path / "a.tif", pixels), Grid.over(lattice_of(4, 6), tile_size=2), name="a")
    np.testing.assert_array_equal(layer.values, [np.nan, 0, np.nan, 0, 0, np.nan])


def test_scale_offset_and_unit_are_heeded(tmp_path, write) -> None:
    import rasterio

    path = write(tmp_path / "t.tif", np.full((4, 4), 20, "int16"))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (0.5,), (-4.0,), ("degC",)
    layer = read_layer(path, Grid.over(lattice_of(4, 4), tile_size=4), name="t")
    assert (layer.kind, layer.values.tolist(), layer.unit) == ("continuous", [6.0], "degC")


def test_kind_is_guessed_from_type_values_and_colour_table(tmp_path, write) -> None:
    import rasterio

    grid = Grid.over(lattice_of(10, 10), tile_size=5)
    ramp = np.arange(100).reshape(10, 10)
    kinds = {
        "real": (ramp.astype("float32"), "continuous"), "many": (ramp.astype("uint8"), "continuous"),
        "few": ((ramp % 40).astype("uint8"), "categorical"),
    }  # fmt: skip
    for name, (pixels, kind) in kinds.items():
        assert read_layer(write(tmp_path / f"{name}.tif", pixels), grid, name=name).kind == kind
    path = write(tmp_path / "p.tif", ramp.astype("uint8"))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {i: (i, i, i, 255) for i in range(100)})
    assert read_layer(path, grid, name="p").kind == "categorical"


def write_polygons(path: Path, squares: list, columns: dict, *, crs: str | None = "EPSG:32630", driver="GPKG") -> Path:
    """Write boxes (west, south, east, north) in metres from the corner of the lattice."""
    from pyogrio.raw import write as write_vector

    boxes = [
        b
        if not isinstance(b, tuple)
        else shapely.box(b[0] + 500_000, 4_000_000 + b[1], b[2] + 500_000, 4_000_000 + b[3])
        for b in squares
    ]
    kind = boxes[0].geom_type if boxes else "Polygon"
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_vector(
            path, np.array([shapely.to_wkb(b) for b in boxes], dtype=object),
            [np.array(v, dtype=object if isinstance((list(v) or [""])[0], str) else None) for v in columns.values()],
            list(columns), driver=driver, geometry_type=kind, crs=crs,
        )  # fmt: skip
    return path


TWO = [(0, -200, 170, 0), (170, -200, 400, 0)]


def test_polygons_become_classes_by_their_first_attribute_of_text(tmp_path) -> None:
    path = write_polygons(tmp_path / "b.gpkg", TWO, {"size": [1.5, 2.5], "id": [7, 8], "river": ["Ebro", "Duero"]})
    grid = Grid.over(lattice_of(20, 40), tile_size=10)
    layer = read_layer(path, grid, name="basins")
    assert layer.classes == ("Duero", "Ebro")
    assert grid.to_map(layer.values).tolist() == [[2, 2, 1, 1]] * 2
    assert grid.to_map(layer.share)[0].tolist() == [1.0, 0.7, 1.0, 1.0]


def test_an_attribute_is_chosen_by_name_and_may_be_continuous(tmp_path) -> None:
    path = write_polygons(tmp_path / "b.gpkg", TWO, {"river": ["Ebro", "Duero"], "rain": [100.0, 200.0], "id": [12, 7]})
    grid = Grid.over(lattice_of(20, 40), tile_size=10)
    assert read_layer(f"{path}#id", grid, name="b").classes == ("7", "12")
    layer = read_layer(f"{path}#rain", grid, name="b", kind="continuous")
    np.testing.assert_allclose(layer.values[:4], [100, 130, 200, 200])


def test_polygons_of_another_crs_are_reprojected(tmp_path) -> None:
    from pyproj import Transformer

    change = Transformer.from_crs(32630, 4326, always_xy=True)
    squares = [shapely.box(500_000 + a, 3_999_800, 500_000 + b, 4_000_000) for a, b in ((0, 170), (170, 400))]
    degrees = [shapely.transform(s, lambda p: np.stack(change.transform(p[:, 0], p[:, 1]), axis=1)) for s in squares]
    path = write_polygons(tmp_path / "b.geojson", degrees, {"n": ["a", "b"]}, crs="EPSG:4326", driver="GeoJSON")
    grid = Grid.over(lattice_of(20, 40), tile_size=10)
    assert grid.to_map(read_layer(path, grid, name="b").values).tolist() == [[1, 1, 2, 2]] * 2


@given(size=st.sampled_from([3, 10, 20]), stride=st.sampled_from([3, 5, 10]), seed=st.integers(0, 50))
@settings(max_examples=12, deadline=None)
def test_burning_in_blocks_equals_burning_at_once(size, stride, seed) -> None:
    from taxoscape.cube import polygons

    rng = np.random.default_rng(seed)
    grid = Grid.over(lattice_of(60, 60), tile_size=size, stride=min(size, stride))
    corners = rng.uniform(0, 500, (6, 2))
    shapes = np.array([shapely.box(500_000 + x, 3_999_400 + y, 500_100 + x, 3_999_600 + y) for x, y in corners])
    made = polygons.Polygons(outlines=shapes, values=np.arange(6), is_text=False)
    whole = [cells.copy() for _, cells in polygons.burn(made, grid)]
    most, polygons.MOST_CELLS = polygons.MOST_CELLS, 1
    try:
        parts = [cells.copy() for _, cells in polygons.burn(made, grid)]
    finally:
        polygons.MOST_CELLS = most
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))


def test_features_without_a_value_are_no_class(tmp_path) -> None:
    path = write_polygons(tmp_path / "b.gpkg", TWO, {"river": ["", "Duero"]})
    layer = read_layer(path, Grid.over(lattice_of(20, 40), tile_size=10), name="b")
    assert (layer.classes, layer.values[:4].tolist()) == (("Duero",), [0, 1, 1, 1])


def test_parse_layer_refuses_what_is_no_layer() -> None:
    assert parse_layer(" dem = a=b.tif") == ("dem", None, "a=b.tif")
    for text in ("dem.tif", "=dem.tif", "dem="):
        with pytest.raises(InputError, match="given as NAME=FILE"):
            parse_layer(text)
    with pytest.raises(InputError, match="continuous or categorical, not 'real'"):
        parse_layer("dem:real=dem.tif")


GRID = Grid.over(lattice_of(4, 6), tile_size=2)


@pytest.mark.parametrize(
    ("pixels", "options", "kind", "message"),
    [
        (np.zeros((2, 2, 2), "uint8"), {}, None, "has 2 bands: a layer has one"),
        (np.zeros((2, 2), "uint8"), {"crs": None}, None, "has no CRS"),
        (np.full((2, 2), 1.5, "float32"), {}, "categorical", "other than whole numbers"),
        (np.ones((2, 2), "uint8"), {"at": (500, 0)}, None, "does not overlap the region"),
        (np.ones((2, 2), "uint8"), {"nodata": 1}, None, "holds no data there"),
    ],
)
def test_a_raster_that_is_no_layer_is_refused(tmp_path, write, pixels, options, kind, message) -> None:
    path = write(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(InputError, match=message):
        read_layer(path, GRID, name="a", kind=kind)
    if message in ("other than whole numbers", "holds no data there"):  # only pixels tell
        check_layer(path, [GRID], name="a")
    else:
        with pytest.raises(InputError, match=message):
            check_layer(path, [GRID], name="a")


@pytest.mark.parametrize(
    ("squares", "columns", "options", "message"),
    [
        (TWO, {"v": ["a", "b"]}, {"crs": None}, "has no CRS"),
        ([], {"v": []}, {}, "has no features"),
        ([shapely.Point(0, 0)], {"v": ["a"]}, {}, "needs polygons"),
        (TWO, {"v": [0.5, 1.5]}, {}, "no attribute of text or whole numbers"),
        ([(9000, 9000, 9100, 9100)], {"v": ["a"]}, {}, "does not overlap the region"),
    ],
)
def test_a_vector_that_is_no_layer_is_refused(tmp_path, squares, columns, options, message) -> None:
    path = write_polygons(tmp_path / "a.gpkg", squares, columns, **options)
    with pytest.raises(InputError, match=message):
        read_layer(path, GRID, name="a")
    if message != "needs polygons":  # of points in a file of any geometry the first one tells
        with pytest.raises(InputError, match=message):
            check_layer(path, [GRID], name="a")


def test_a_layer_is_of_use_where_it_reaches_one_of_several_regions(tmp_path, write) -> None:
    far = Grid.over(replace(lattice_of(4, 6), x0=200_000.0), tile_size=2)
    raster = write(tmp_path / "a.tif", np.ones((4, 6), "uint8"))
    polygons = write_polygons(tmp_path / "a.gpkg", TWO, {"v": ["a", "b"]})
    for path in (raster, polygons):
        check_layer(path, [far, GRID], name="a")
        with pytest.raises(InputError, match="does not overlap the region"):
            check_layer(path, [far], name="a")


def test_a_layer_in_degrees_is_found_to_overlap(tmp_path, write) -> None:
    x, y = Transformer.from_crs(GRID.lattice.crs, 4326, always_xy=True).transform(GRID.lattice.x0, GRID.lattice.y0)
    cell = 1e-5  # about a metre, so that only the corner of the region is covered
    for shift, there in ((0, True), (-20 * cell, False)):
        place = Affine(cell, 0, x + shift - 5 * cell, 0, -cell, y + 5 * cell)
        path = write(tmp_path / f"{there}.tif", np.ones((15, 15), "uint8"), crs=4326, transform=place)
        if there:
            check_layer(path, [GRID], name="a")
        else:
            with pytest.raises(InputError, match="does not overlap"):
                check_layer(path, [GRID], name="a")


def test_files_that_are_no_layers_are_refused(tmp_path, write) -> None:
    with pytest.raises(InputError, match=r"is not there: no file .*a\.tif"):
        read_layer(tmp_path / "a.tif", GRID, name="a")
    with pytest.raises(InputError, match="is a folder"):
        read_layer(tmp_path, GRID, name="a")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match="cannot be read, neither as a GeoTIFF nor as polygons"):
        read_layer(tmp_path / "a.txt", GRID, name="a")
    (tmp_path / "a.pdf").write_text("%PDF")
    with pytest.raises(InputError, match="neither a GeoTIFF nor a file of polygons"):
        read_layer(tmp_path / "a.pdf", GRID, name="a")
    path = write_polygons(tmp_path / "b.gpkg", TWO, {"v": ["a", "b"]})
    with pytest.raises(InputError, match="has no attribute 'w'; it has: v"):
        read_layer(f"{path}#w", GRID, name="a")
    with pytest.raises(InputError, match="its attribute is text"):
        read_layer(path, GRID, name="a", kind="continuous")
    with pytest.raises(InputError, match="is a raster and has no attribute"):
        read_layer(f"{write(tmp_path / 'r.tif')}#v", GRID, name="a")
    from pyogrio.raw import write as write_vector

    box = np.array([shapely.to_wkb(shapely.box(0, 0, 1, 1))], dtype=object)
    for layer in ("one", "two"):
        write_vector(tmp_path / "two.gpkg", box, [np.array(["a"], dtype=object)], ["v"], driver="GPKG", layer=layer,
                     geometry_type="Polygon", crs="EPSG:32630", append=layer == "two")  # fmt: skip
    with pytest.raises(InputError, match=r"has 2 layers \(one, two\)"):
        read_layer(tmp_path / "two.gpkg", GRID, name="a")
