import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from taxoscape.config import CubeSettings
from taxoscape.cube.box import Box
from taxoscape.cube.plan import can_read_in_place, plan_cube, plan_from_json, plan_to_json
from taxoscape.errors import InputError


def test_a_plan_says_what_is_used(series: Path) -> None:
    plan = plan_cube(series)
    assert plan.dates == (date(2020, 3, 1), date(2020, 4, 1), date(2020, 5, 1))
    assert (plan.shape, plan.dtype, plan.nodata) == ((3, 2, 20, 30), "int16", -1.0)
    assert plan.n_bytes == 3 * 20 * 30 * 5
    first = plan.files[0]
    assert (Path(first.path).name, first.bands, first.indexes, first.box) == (
        "S2_2020-03-01.tif", ("B04", "B08"), (1, 2), Box(0, 0, 20, 30),
    )  # fmt: skip


def test_a_plan_is_told_in_words(series: Path, tmp_path: Path, monkeypatch) -> None:
    (series / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert plan_cube(series).describe().splitlines() == [
        "scenes   3 scenes in 3 files, 3 dates: 2020-03-01 … 2020-05-01",
        "bands    2: B04, B08",
        "area     20 × 30 pixels (rows × columns), 0.2 × 0.3 km (north × east)",
        "values   int16, no data: -1, 9 kB uncompressed",
        "left out 1 file:",
        "  scenes/notes.txt: looks like text",
    ]


def test_the_extent_in_degrees_is_told_in_kilometres(tmp_path: Path, write) -> None:
    write(
        tmp_path / "20200101.tif", np.zeros((100, 100), "uint8"), crs=4326, transform=Affine(0.01, 0, 9, 0, -0.01, 60.5)
    )
    assert "111.4 × 55.8 km (north × east)" in plan_cube(tmp_path).describe()


@pytest.mark.parametrize("nodata", [None, 0.0, math.nan])
def test_a_plan_survives_json(series: Path, nodata) -> None:
    plan = replace(plan_cube(series), nodata=nodata, skipped=(("a", "b"),))
    again = plan_from_json(plan_to_json(plan))
    assert repr(again) == repr(plan)
    assert "NaN" not in plan_to_json(plan)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"taxoscape_cube": 1}', '{"taxoscape_cube": 99}'])
def test_text_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="make it anew"):
        plan_from_json(text)


def test_mixed_types_are_refused_with_the_files_that_have_them(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", np.zeros((3, 4), "uint16"))
    write(tmp_path / "20200102_TCI.tif", np.zeros((3, 4), "uint8"))
    with pytest.raises(
        InputError,
        match=r"mixed types of pixels: uint16 in 1 file \(.*20200101\.tif\), uint8 in 1 file \(.*_TCI\.tif\)",
    ):
        plan_cube(tmp_path)


def test_nodata_is_what_the_files_declare_or_what_is_given(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", nodata=7)
    write(tmp_path / "20200102.tif")
    assert plan_cube(tmp_path).nodata == 7
    assert plan_cube(tmp_path, CubeSettings(nodata=3)).nodata == 3


def test_nan_is_one_nodata_value(tmp_path: Path, write) -> None:
    for day in "12":
        write(tmp_path / f"2020010{day}.tif", np.zeros((3, 4), "float32"), nodata=math.nan)
    assert math.isnan(plan_cube(tmp_path).nodata or 0)


def test_different_nodata_values_are_refused_unless_one_is_given(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", nodata=7)
    write(tmp_path / "20200102.tif", nodata=0)
    with pytest.raises(
        InputError, match=r"different values for no data: 7 in 1 file \(.*0101\.tif\), 0 in 1 file .*--nodata"
    ):
        plan_cube(tmp_path)
    assert plan_cube(tmp_path, CubeSettings(nodata=0)).nodata == 0


def test_different_scales_and_offsets_of_a_band_are_refused_with_the_files_that_have_them(
    tmp_path: Path, write
) -> None:
    for day, band, scale in ((1, "B04", 1e-4), (2, "B04", 1e-4), (3, "B04", 1.0), (1, "B08", 0.5)):
        with rasterio.open(write(tmp_path / f"2020010{day}_{band}.tif"), "r+") as file:
            file.scales = (scale,)
    with pytest.raises(
        InputError,
        match=r"scale and offset of the band B04: 0\.0001 and 0 in 2 files \(.*\), 1 and 0 in 1 file \(.*03_B04\.tif\)",
    ):
        plan_cube(tmp_path, CubeSettings(bands=("B04",)))
    plan = plan_cube(tmp_path, CubeSettings(start="2020-01-01", end="2020-01-01"))
    assert plan.bands == ("B04", "B08")


def test_faults_across_files_are_told_together(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", nodata=7)
    write(tmp_path / "20200102.tif", np.zeros((2, 3, 4), "int16"), nodata=0, crs=32631)
    with pytest.raises(
        InputError, match=r"^4 faults: \(1\) .*number of bands.*\(2\) mixed CRS.*\(3\) mixed types.*\(4\) different"
    ):
        plan_cube(tmp_path)


WELL_TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}


@pytest.mark.parametrize(
    ("changed", "fit"),
    [
        ({}, True),
        ({"compress": "zstd"}, True),
        ({"compress": "lzw"}, True),
        ({"compress": None}, True),
        ({"compress": "packbits"}, False),
        ({"blockxsize": 64, "blockysize": 64}, False),
        ({"tiled": False, "blockxsize": None, "blockysize": 1}, False),
    ],
)
def test_only_well_tiled_files_are_read_in_place(tmp_path: Path, write, changed, fit) -> None:
    profile = {key: value for key, value in {**WELL_TILED, **changed}.items() if value is not None}
    for day in "12":
        write(tmp_path / f"2020010{day}.tif", np.zeros((300, 260), "uint8"), **profile)
    assert can_read_in_place(plan_cube(tmp_path)) == fit


def test_mosaics_are_not_read_in_place(tmp_path: Path, write) -> None:
    for col in (0, 260):
        write(tmp_path / f"20200101_{col}.tif", np.zeros((300, 260), "uint8"), at=(0, col), **WELL_TILED)
    assert not can_read_in_place(plan_cube(tmp_path))


def test_dates_of_different_extents_are_not_read_in_place(tmp_path: Path, write) -> None:
    for day in (1, 2):
        write(tmp_path / f"2020010{day}.tif", np.zeros((300, 260), "uint8"), at=(0, day), **WELL_TILED)
    assert not can_read_in_place(plan_cube(tmp_path))


def test_planning_reads_no_pixels(series: Path, monkeypatch) -> None:
    import rasterio

    monkeypatch.setattr(
        rasterio.io.DatasetReader, "read", lambda *_, **__: pytest.fail("pixels were read"), raising=False
    )
    monkeypatch.setattr("taxoscape.cube.mosaic.read_box", lambda *_, **__: pytest.fail("pixels were read"))
    plan_cube(series)
