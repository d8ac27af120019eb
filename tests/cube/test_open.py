from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from taxoscape.contracts import check_cube
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.open import open_cube
from taxoscape.cube.plan import plan_cube, plan_to_json
from taxoscape.cube.store import read_cube, write_cube
from taxoscape.errors import InputError
from taxoscape.grid import Lattice


@pytest.fixture
def cube(series: Path) -> xr.DataArray:
    return lazy_cube(plan_cube(series)).load()


@pytest.fixture
def plain(cube: xr.DataArray) -> xr.DataArray:
    """Return the cube as somebody else would make it: no mask, only the attribute ``_FillValue``."""
    array = cube.drop_vars("valid").copy(deep=True)
    array.attrs = {"_FillValue": np.int16(-1)}
    return array


def assert_same(one: xr.DataArray, other: xr.DataArray) -> None:
    check_cube(one)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one.valid, other.valid)
    assert one.dtype == other.dtype
    assert (one.time == other.time).all()
    assert one.band.to_numpy().tolist() == other.band.to_numpy().tolist()
    mine, theirs = Lattice.of(one), Lattice.of(other)
    assert (mine.x0, mine.y0, mine.dx, mine.dy, mine.height, mine.width) == pytest.approx(
        (theirs.x0, theirs.y0, theirs.dx, theirs.dy, theirs.height, theirs.width)
    )
    np.testing.assert_equal(one.attrs["nodata"], other.attrs["nodata"])


def test_files_folders_globs_and_lists_make_the_same_cube(series: Path, cube) -> None:
    for scenes in (series, str(series), f"{series}/S2_*.tif", sorted(series.iterdir())):
        assert_same(open_cube(scenes), cube)


def test_options_reach_the_plan(series: Path, cube, tmp_path: Path) -> None:
    part = open_cube(series, bands=("B08",), nodata=7, start="2020-04", end="2020-04")
    assert (part.shape, part.attrs["nodata"]) == ((1, 1, 20, 30), 7)
    np.testing.assert_array_equal(part, cube[1:2, 1:])
    table = tmp_path / "dates.csv"
    table.write_text("file,date\nS2_2020-04-01.tif,1999-01-01\n")
    assert open_cube(series, dates=table).time.dt.year.to_numpy().tolist() == [1999, 2020, 2020]


def test_what_a_run_keeps_is_opened(series: Path, cube, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr")
    (tmp_path / "cube.json").write_text(plan_to_json(plan_cube(series)))
    for name in ("cube.zarr", "cube.json"):
        assert_same(open_cube(tmp_path / name), cube)
        part = open_cube(tmp_path / name, bands=("2",), start="2020-05")
        np.testing.assert_array_equal(part, cube[2:, 1:])
        np.testing.assert_array_equal(part.valid, cube.valid[2:])
        other = open_cube(tmp_path / name, nodata=int(cube[0, 0, 0, 0]))
        assert not other.valid[0, 0, 0]


def test_a_cube_comes_back_as_it_is(cube) -> None:
    assert open_cube(cube) is cube


def test_another_nodata_narrows_the_mask_and_never_widens_it(cube, tmp_path: Path) -> None:
    value = int(cube.where(cube.valid)[0, 0].max())
    write_cube(cube, tmp_path / "cube.zarr")
    for source in (cube, tmp_path / "cube.zarr"):
        other = open_cube(source, nodata=value)
        np.testing.assert_array_equal(other.valid, cube.valid & (cube != value).all("band"))
        assert not other.valid.to_numpy()[~cube.valid.to_numpy()].any()
        assert other.attrs["nodata"] == value


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: a.transpose("x", "band", "y", "time"),
        lambda a: a.isel(y=slice(None, None, -1)),
        lambda a: a.isel(time=[2, 0, 1]),
        lambda a: a.rename(x="lon", y="lat", time="t", band="bands"),
        lambda a: a.to_dataset("band"),
        lambda a: a.to_dataset("band").transpose("y", "x", "time"),
        lambda a: a.to_dataset(name="stack"),
    ],
)
def test_a_foreign_array_is_shown_as_a_cube(plain, cube, change) -> None:
    changed = change(plain)
    if isinstance(changed, xr.Dataset) and "stack" not in changed:
        changed = changed.assign({name: changed[name].assign_attrs(_FillValue=np.int16(-1)) for name in changed})
    assert_same(open_cube(changed), cube)


def test_one_band_needs_no_band_axis(plain) -> None:
    one = open_cube(plain.isel(band=0, drop=True).rename("ndvi"))
    assert (one.shape, one.band.item()) == ((3, 1, 20, 30), "ndvi")


@pytest.mark.parametrize("name", ["time", "x", "valid", "spatial_ref", "band"])
def test_an_array_may_be_called_like_a_coordinate(plain, cube, name) -> None:
    assert_same(open_cube(plain.rename(name)), cube)


def test_a_pointer_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "cube.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match=r"cube\.json cannot be read"):
        open_cube(tmp_path / "cube.json")


def test_nan_is_invalid_in_a_foreign_array(plain) -> None:
    array = plain.where(plain != -1).astype("float32")
    array.attrs = {}
    opened = open_cube(array)
    np.testing.assert_array_equal(opened.valid, array.notnull().all("band"))
    assert opened.attrs["nodata"] is None


def test_a_mask_that_is_there_is_kept(plain) -> None:
    mask = np.random.default_rng(0).random((3, 20, 30)) < 0.5
    opened = open_cube(
        plain.assign_coords(valid=(("time", "y", "x"), mask)).isel(y=slice(None, None, -1), time=[1, 0, 2])
    )
    np.testing.assert_array_equal(opened.valid, mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.isel(time=0, drop=True), "holds no cube: one has the dims time, y and x"),
        (lambda a: a.rename(x="u"), "holds no cube"),
        (lambda a: a.assign_coords(time=[1, 2, 3]), "has no dates along 'time'"),
        (lambda a: a.isel(time=[0, 1, 1]), "has a date twice"),
        (lambda a: a.drop_vars("spatial_ref"), "has no CRS: it needs a variable 'spatial_ref'"),
        (lambda a: a.drop_vars("x"), "has no coordinate x"),
        (lambda a: a.isel(x=[0, 1, 3]), "not evenly spaced"),
        (lambda a: a.astype(complex), "holds complex128: bands are integers or reals"),
        (lambda a: xr.Dataset({"a": a, "b": a}), r"holds several cubes \(a, b\)"),
        (
            lambda a: xr.Dataset({"a": a[:, 0].drop_vars("band"), "b": a[:, 0].drop_vars("band").astype(float)}),
            "holds float64, int16",
        ),
        (
            lambda a: xr.Dataset({"a": a[:, 0].assign_attrs(nodata=1), "b": a[:, 0].assign_attrs(nodata=2)}),
            r"have different values for no data \(1\.0, 2\.0\)",
        ),
    ],
)
def test_an_array_that_is_no_cube_is_refused(plain, change, message) -> None:
    with pytest.raises(InputError, match=message):
        open_cube(change(plain))


def test_bands_of_one_type_are_picked_from_a_mixed_dataset(plain) -> None:
    mixed = xr.Dataset({"a": plain[:, 0].drop_vars("band"), "b": plain[:, 1].drop_vars("band").astype(float)})
    assert open_cube(mixed, bands=("b",)).dtype == float


def netcdf(plain: xr.DataArray, path: Path, engine: str) -> Path:
    dataset = plain.to_dataset("band")
    for name in dataset:
        dataset[name].attrs = {"grid_mapping": "spatial_ref", "scale_factor": 0.5, "_FillValue": np.int16(-1)}
    dataset.to_netcdf(path, engine=engine)
    return path


def test_a_classic_netcdf_is_opened_lazily_as_stored(plain, cube, tmp_path: Path) -> None:
    opened = open_cube(netcdf(plain, tmp_path / "cube.nc", "scipy"))
    assert_same(opened, cube)
    opened.close()


def test_a_netcdf4_is_opened_lazily_as_stored(plain, cube, tmp_path: Path) -> None:
    opened = open_cube(netcdf(plain, tmp_path / "cube.nc", "h5netcdf"), end="2020-04")
    assert_same(opened, cube[:2])
    write_cube(opened, tmp_path / "cube.zarr")
    assert_same(read_cube(tmp_path / "cube.zarr"), cube[:2])


def test_unsigned_numbers_of_a_netcdf_are_read_unsigned(plain) -> None:
    array = plain.isel(band=[0]).copy()
    array[:] = -2
    array.attrs = {"_Unsigned": "true", "_FillValue": np.int16(-1)}
    opened = open_cube(array)
    assert opened.dtype == np.uint16
    assert (opened == 65534).all()
    assert opened.attrs["nodata"] == 65535


def test_a_netcdf_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cube.nc"
    path.write_bytes(b"CDF\x01 nonsense")
    with pytest.raises(InputError, match=r"cube\.nc cannot be read as NetCDF"):
        open_cube(path)


def test_netcdf4_without_h5py_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    def no_backend(*_, **__):
        raise ImportError

    monkeypatch.setattr(xr, "open_dataset", no_backend)
    (tmp_path / "cube.nc").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match="pip install h5py"):
        open_cube(tmp_path / "cube.nc")


def test_a_zarr_store_of_somebody_else_is_opened(plain, cube, tmp_path: Path) -> None:
    plain.drop_vars("band").to_dataset(name="stack").to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    opened = open_cube(tmp_path / "other.zarr")
    assert_same(opened.assign_coords(band=["B04", "B08"]), cube)


def test_a_table_of_dates_is_for_files(cube, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr")
    with pytest.raises(InputError, match="has its own dates"):
        open_cube(tmp_path / "cube.zarr", dates="x.csv")


def test_dates_that_leave_nothing_are_refused(cube) -> None:
    with pytest.raises(InputError, match="no date lies between 2021 and None: there are 2020-03-01 to 2020-05-01"):
        open_cube(cube, start="2021")


def test_values_beside_a_scale_for_each_pixel_are_multiplied_by_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(-127, 128, (2, 5, 9, 12)).astype("int8")
    scales = rng.random((2, 9, 12)).astype("float32")
    scales[0, 2:4, 5] = np.inf
    scales[1, 0, 0] = np.nan
    reference = {"crs_wkt": CRS.from_epsg(32630).to_wkt()}
    dataset = xr.Dataset(
        {"embeddings": (("time", "band", "y", "x"), stored), "scales": (("time", "y", "x"), scales)},
        coords={
            "time": np.array(["2023-01-01", "2024-01-01"], "datetime64[ns]"), "band": np.arange(5),
            "y": 4e6 + 10.0 * np.arange(9), "x": 5e5 + 10.0 * np.arange(12), "spatial_ref": ((), 0, reference),
        },
    )  # fmt: skip
    dataset.to_zarr(tmp_path / "tessera.zarr", consolidated=False)
    expected = stored.astype("float32") * np.where(np.isfinite(scales), scales, np.nan)[:, None]
    for given in (dataset, tmp_path / "tessera.zarr"):
        cube = open_cube(given)
        check_cube(cube)
        assert cube.dtype == np.float32
        np.testing.assert_array_equal(cube["valid"], np.isfinite(scales)[:, ::-1])  # rows from the north
        np.testing.assert_array_equal(cube, expected[:, :, ::-1])
        np.testing.assert_array_equal(cube[1, 3, 2:5, 4:9], expected[1, 3, ::-1][2:5, 4:9])
    assert open_cube(dataset.drop_vars("scales")).dtype == np.int8
    with pytest.raises(InputError, match=r"holds (int8, float32|float32, int8)"):
        open_cube(dataset.assign(embeddings=dataset["embeddings"][:, 0].drop_vars("band")))
