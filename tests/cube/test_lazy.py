"""The lazy cube against a naive assembly, pixel by pixel."""

import math
import pickle
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.config import CubeSettings
from taxoscape.contracts import check_cube
from taxoscape.cube import mosaic
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.mosaic import valid_pixels
from taxoscape.cube.plan import plan_cube
from taxoscape.errors import InputError
from taxoscape.grid import Lattice

from .conftest import write_tif

DTYPES = st.sampled_from(["uint8", "int16", "float32"])


@st.composite
def scene_sets(draw):
    """Draw (dtype, nodata, {(day, name): (row, col, pixels)}): scenes on a lattice, no extent twice on a day."""
    dtype = draw(DTYPES)
    nodata = draw(st.sampled_from([None, 0, 3, math.nan] if dtype == "float32" else [None, 0, 3]))
    n_bands = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scenes = {}
    for day in range(1, draw(st.integers(1, 3)) + 1):
        boxes = draw(
            st.lists(
                st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.integers(1, 6), st.integers(1, 6)),
                min_size=1, max_size=4, unique=True,
            )
        )  # fmt: skip
        for i, (row, col, height, width) in enumerate(boxes):
            pixels = rng.integers(0, 5, (n_bands, height, width)).astype(dtype)
            if dtype == "float32":
                pixels[rng.random(pixels.shape) < 0.1] = math.nan
            scenes[day, f"{'dacb'[i]}_2020-01-0{day}.tif"] = (row, col, pixels)
    return dtype, nodata, scenes


def naive(dtype, nodata, scenes) -> tuple[np.ndarray, np.ndarray]:
    """Paste scenes pixel by pixel; return (values, valid)."""
    top, left = (min(scene[i] for scene in scenes.values()) for i in (0, 1))
    bottom = max(row + pixels.shape[1] for row, _, pixels in scenes.values())
    right = max(col + pixels.shape[2] for _, col, pixels in scenes.values())
    days = sorted({day for day, _ in scenes})
    n_bands = next(iter(scenes.values()))[2].shape[0]
    fill = nodata if nodata is not None else math.nan if dtype == "float32" else 0
    values = np.full((len(days), n_bands, bottom - top, right - left), fill, dtype)
    valid = np.zeros((len(days), bottom - top, right - left), bool)
    for t, y, x in np.ndindex(valid.shape):
        for day, name in sorted(scenes):
            row, col, pixels = scenes[day, name]
            i, j = y + top - row, x + left - col
            if day != days[t] or not (0 <= i < pixels.shape[1] and 0 <= j < pixels.shape[2]):
                continue
            pixel = [float(value) for value in pixels[:, i, j]]
            usable = all(math.isfinite(value) for value in pixel)
            if nodata == 0 and n_bands > 1:
                usable = usable and any(value != 0 for value in pixel)
            elif nodata is not None:
                usable = usable and all(value != nodata for value in pixel)
            first = not any(
                _holds(scenes[key], y + top, x + left) for key in sorted(scenes) if key[0] == day and key[1] < name
            )
            if usable or first:
                values[t, :, y, x] = pixels[:, i, j]
            if usable:
                valid[t, y, x] = True
                break
    return values, valid


def _holds(scene, y: int, x: int) -> bool:
    row, col, pixels = scene
    return 0 <= y - row < pixels.shape[1] and 0 <= x - col < pixels.shape[2]


@given(scene_sets(), st.data())
@settings(max_examples=40, deadline=None)
def test_the_lazy_cube_equals_a_naive_assembly_however_it_is_indexed(drawn, data) -> None:
    dtype, nodata, scenes = drawn
    with tempfile.TemporaryDirectory() as folder:
        for (_, name), (row, col, pixels) in scenes.items():
            write_tif(Path(folder) / name, pixels, at=(row, col), nodata=nodata)
        cube = lazy_cube(plan_cube(folder))
        values, valid = naive(dtype, nodata, scenes)
        assert cube.dtype == values.dtype
        key = tuple(data.draw(_index(n)) for n in cube.shape)
        oracle = xr.DataArray(values, dims=cube.dims)[key]
        np.testing.assert_array_equal(cube[key].to_numpy(), oracle.to_numpy())
        np.testing.assert_array_equal(
            cube.valid[(key[0], *key[2:])].to_numpy(), xr.DataArray(valid)[(key[0], *key[2:])].to_numpy()
        )
        np.testing.assert_array_equal(cube.to_numpy(), values)
        np.testing.assert_array_equal(cube.valid.to_numpy(), valid)


def _index(n: int):
    """Return a strategy of integers, slices and arrays along an axis of ``n``."""
    return st.one_of(
        st.integers(-n, n - 1),
        st.slices(n).filter(lambda s: len(range(n)[s]) > 0),
        st.lists(st.integers(0, n - 1), min_size=1, max_size=4).map(np.array),
    )


@pytest.mark.parametrize(
    ("dtype", "nodata", "pixels", "valid"),
    [
        ("uint8", None, [[0, 1], [0, 0]], [True, True]),
        ("uint8", 0, [[0, 1], [0, 0]], [False, True]),
        ("uint8", 0, [[0, 1]], [False, True]),
        ("uint8", 7, [[7, 1], [7, 0]], [False, True]),
        ("uint8", 7, [[7, 1], [0, 0]], [False, True]),
        ("uint8", -9999, [[241, 1]], [True, True]),
        ("uint8", 0.5, [[0, 1]], [True, True]),
        ("float32", None, [[math.nan, 1], [0, 0]], [False, True]),
        ("float32", math.nan, [[math.inf, 1], [0, 0]], [False, True]),
        ("float32", -3.4028234663852886e38, [[-3.4028234663852886e38, 1]], [False, True]),
        ("float32", -3.4028235e38, [[-3.4028234663852886e38, 1]], [False, True]),
        ("float32", 0.1, [[0.1, 1]], [False, True]),
        ("float32", 1e300, [[1, math.nan]], [True, False]),
    ],
)
def test_a_pixel_is_valid_by_the_rule(dtype, nodata, pixels, valid) -> None:
    assert valid_pixels(np.array(pixels, dtype)[:, None], nodata)[0].tolist() == valid


def test_the_cube_keeps_its_contract(series: Path) -> None:
    plan = plan_cube(series)
    cube = lazy_cube(plan)
    check_cube(cube)
    assert Lattice.of(cube) == plan.lattice
    assert cube.band.to_numpy().tolist() == ["B04", "B08"]
    assert cube.time.to_numpy().astype("datetime64[D]").astype(str).tolist() == [
        "2020-03-01",
        "2020-04-01",
        "2020-05-01",
    ]
    assert cube.attrs == {"nodata": -1.0, "grid_mapping": "spatial_ref"}
    with rasterio.open(series / "S2_2020-04-01.tif") as source:
        np.testing.assert_array_equal(cube.sel(time="2020-04-01").squeeze(), source.read())


def test_nothing_is_read_until_pixels_are_asked_for(series: Path, monkeypatch) -> None:
    plan = plan_cube(series)
    reads = []
    original = mosaic.read_box
    monkeypatch.setattr(
        mosaic, "read_box", lambda path, *a, **k: reads.append((path.name, a)) or original(path, *a, **k)
    )
    cube = lazy_cube(plan)
    part = cube.sel(time="2020-04").isel(band=[1], y=slice(3, 7), x=slice(2, 10, 2)).transpose("x", ...)
    part = part.rename("part").assign_attrs(a=1)
    repr(cube), repr(part), check_cube(cube)
    assert reads == []
    part.to_numpy()
    assert reads == [("S2_2020-04-01.tif", ([2], (3, 2, 4, 7)))]


def test_values_and_mask_of_a_window_are_read_once(series: Path, monkeypatch) -> None:
    cube = lazy_cube(plan_cube(series))
    reads = []
    original = mosaic.read_box
    monkeypatch.setattr(mosaic, "read_box", lambda *a, **k: reads.append(a) or original(*a, **k))
    window = cube[1, :, 2:5, 3:9]
    window.to_numpy()[:] = 0
    assert window.valid.to_numpy().any()
    assert len(reads) == 1
    assert window.to_numpy().any()


def test_the_mask_of_integers_without_nodata_needs_no_pixels(tmp_path: Path, write, monkeypatch) -> None:
    write(tmp_path / "20200101.tif")
    write(tmp_path / "20200102.tif", at=(1, 0))
    cube = lazy_cube(plan_cube(tmp_path))
    monkeypatch.setattr(mosaic, "read_box", lambda *_, **__: pytest.fail("pixels were read"))
    assert cube.valid.to_numpy()[:, :, 0].tolist() == [[True] * 3 + [False], [False] + [True] * 3]


def test_a_mask_inside_a_file_counts(tmp_path: Path, write) -> None:
    path = tmp_path / "20200101.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(path, np.ones((2, 3, 4), "uint8"))
        with rasterio.open(path, "r+") as file:
            mask = np.full((3, 4), 255, "uint8")
            mask[1, 2] = 0
            file.write_mask(mask)
    valid = lazy_cube(plan_cube(path)).valid.to_numpy()[0]
    assert not valid[1, 2]
    assert valid.sum() == 11


def alpha(write, path: Path, mask: np.ndarray, **options) -> Path:
    from rasterio.enums import ColorInterp

    write(path, np.stack([np.full(mask.shape, value, mask.dtype) for value in (1, 2, 3)] + [mask]), **options)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    return path


@pytest.mark.parametrize(("dtype", "full"), [("uint8", 255), ("uint16", 65535), ("uint16", 255)])
@pytest.mark.parametrize("nodata", [None, 0])
def test_an_alpha_band_is_no_band_but_a_mask(tmp_path: Path, write, dtype, full, nodata) -> None:
    mask = np.full((3, 4), full, dtype)
    mask[1, 2] = 0
    cube = lazy_cube(plan_cube(alpha(write, tmp_path / "20200101.tif", mask, nodata=nodata)))
    assert cube.band.to_numpy().tolist() == ["1", "2", "3"]
    np.testing.assert_array_equal(cube.valid.to_numpy()[0], mask > 0)


@pytest.mark.parametrize("names", [(), ("red", "green", "blue", "nir")])
def test_a_fourth_band_with_an_image_in_it_is_a_band_though_it_is_called_alpha(tmp_path: Path, write, names) -> None:
    nir = np.random.default_rng(0).integers(0, 255, (30, 40)).astype("uint8")
    path = alpha(write, tmp_path / "20200101.tif", nir)
    with rasterio.open(path, "r+") as file:
        file.descriptions = names or (None,) * 4
    cube = lazy_cube(plan_cube(path))
    np.testing.assert_array_equal(cube[0, 3], nir)
    assert cube.valid.to_numpy().all()


def test_an_alpha_band_amid_the_others_shifts_no_band(tmp_path: Path, write) -> None:
    from rasterio.enums import ColorInterp

    pixels = np.stack([np.full((3, 4), value, "uint8") for value in (7, 255, 9)])
    path = write(tmp_path / "20200101.tif", pixels, names=("red", "", "nir"))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.alpha, ColorInterp.undefined]
    cube = lazy_cube(plan_cube(path))
    assert cube.band.to_numpy().tolist() == ["red", "nir"]
    assert cube[0, :, 0, 0].to_numpy().tolist() == [7, 9]


def test_a_zero_in_one_of_several_files_of_a_scene_is_invalid(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101_B02.tif", np.array([[0, 5, 6]], "uint8"), nodata=0)
    write(tmp_path / "20200101_B03.tif", np.array([[3, 0, 6]], "uint8"), nodata=0)
    assert lazy_cube(plan_cube(tmp_path)).valid.to_numpy().tolist() == [[[False, False, True]]]


def test_degrees_have_the_names_and_units_of_longitude_and_latitude(tmp_path: Path, write, series: Path) -> None:
    degrees = write(tmp_path / "20200101.tif", crs=4326, transform=rasterio.Affine(0.001, 0, 9, 0, -0.001, 45))
    cube = lazy_cube(plan_cube(degrees))
    assert (cube.x.attrs, cube.y.attrs) == (
        {"standard_name": "longitude", "units": "degrees_east"},
        {"standard_name": "latitude", "units": "degrees_north"},
    )
    assert lazy_cube(plan_cube(series)).x.attrs == {"standard_name": "projection_x_coordinate"}


def test_a_picked_band_alone_decides_what_is_valid(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", np.array([[[0, 5]], [[3, 0]]], "uint8"), nodata=0)
    assert lazy_cube(plan_cube(tmp_path)).valid.to_numpy().tolist() == [[[True, True]]]
    assert lazy_cube(plan_cube(tmp_path, CubeSettings(bands=("1",)))).valid.to_numpy().tolist() == [[[False, True]]]


def test_a_cube_can_be_pickled_and_read_from_threads(series: Path) -> None:
    cube = pickle.loads(pickle.dumps(lazy_cube(plan_cube(series))))
    whole = cube.to_numpy()
    with ThreadPoolExecutor(4) as pool:
        windows = list(pool.map(lambda row: cube[:, :, row].to_numpy(), range(20)))
    np.testing.assert_array_equal(np.stack(windows, axis=2), whole)


def test_a_file_that_is_gone_is_named_when_it_is_read(series: Path) -> None:
    cube = lazy_cube(plan_cube(series))
    (series / "S2_2020-04-01.tif").unlink()
    cube[0].to_numpy()
    with pytest.raises(InputError, match=r"S2_2020-04-01\.tif cannot be read"):
        cube[1].to_numpy()


def test_a_file_that_became_another_is_named_when_it_is_read(series: Path, write) -> None:
    cube = lazy_cube(plan_cube(series))
    write(series / "S2_2020-04-01.tif", np.zeros((2, 20, 31), "int16"))
    with pytest.raises(InputError, match=r"S2_2020-04-01\.tif has changed: it had 20 × 30 pixels .* and has 20 × 31"):
        cube[1].to_numpy()


def test_a_damaged_block_is_told_with_the_file_when_it_is_read(tmp_path: Path, write) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 64, 64)).astype("uint8")
    path = write(tmp_path / "20200101.tif", pixels, compress="deflate", tiled=True, blockxsize=32, blockysize=32)
    cube = lazy_cube(plan_cube(path))
    content = bytearray(path.read_bytes())
    content[-600:-100] = bytes(500)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"20200101\.tif cannot be read: damaged or cut off"):
        cube.to_numpy()
