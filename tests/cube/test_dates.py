from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.config import CubeSettings
from taxoscape.cube.dates import date_in, read_table, within
from taxoscape.cube.plan import plan_cube
from taxoscape.errors import InputError

DATED = [
    ("S2A_MSIL2A_20230815T101031_N0509_R022_T33TWL_20230816T142501", date(2023, 8, 15)),
    ("T30TXN_20190105T110431_TCI_10m", date(2019, 1, 5)),
    ("S2A_33TWL_20230815_0_L2A", date(2023, 8, 15)),
    ("L2A_T33TWL_A042545_20230815T101032", date(2023, 8, 15)),
    ("S2A_OPER_PRD_MSIL1C_PDMC_20160903T155024_R008_V20160902T110622_20160902T110622", date(2016, 9, 2)),
    ("LC08_L2SP_200030_20210714_20210721_02_T1_SR_B4", date(2021, 7, 14)),
    ("LC08_L2SP_200012_20210714_20210721_02_T1_SR_B4", date(2021, 7, 14)),
    ("LC08_232066_20190727", date(2019, 7, 27)),
    ("LE70350322008110EDC00_b3", date(2008, 4, 19)),
    ("LC82000302014123LGN00_B10", date(2014, 5, 3)),
    ("MOD13Q1.A2017209.h18v04.006.2017234075604", date(2017, 7, 28)),
    ("HLS.L30.T10TEM.2020123T190156.v2.0.B04", date(2020, 5, 2)),
    ("2020-03-01", date(2020, 3, 1)),
    ("scene_2020_03_01_v2", date(2020, 3, 1)),
    ("scene 2020.03.01", date(2020, 3, 1)),
    ("20200301", date(2020, 3, 1)),
    ("NDVI20200301", date(2020, 3, 1)),
    ("20200301T101500", date(2020, 3, 1)),
    ("20170831_172754_101c_3B_AnalyticMS", date(2017, 8, 31)),
    ("20200301101500", date(2020, 3, 1)),
    ("2010-01", date(2010, 1, 1)),
    ("NDVI_2010_07", date(2010, 7, 1)),
    ("NDVI_2010_07_500m", date(2010, 7, 1)),
    ("201001_ndvi", date(2010, 1, 1)),
    ("NDVI_2017214", date(2017, 8, 2)),
    ("NDVI_A2017214", date(2017, 8, 2)),
    ("2017-214", date(2017, 8, 2)),
    ("m_4709963_se_14_1_20090818", date(2009, 8, 18)),
    ("NDVI_2017_214", date(2017, 8, 2)),
    ("2017.214", date(2017, 8, 2)),
    ("NDVI_2017_214_250m", date(2017, 8, 2)),
    ("MOD13Q1.006__250m_16_days_NDVI_doy2021001000000_aid0001", date(2021, 1, 1)),
    ("ECO2LSTE.001_SDS_LST_doy2019193133532_aid0001", date(2019, 7, 12)),
    ("LC082000302014123-SC20160101123456", date(2014, 5, 3)),
    ("LC82000302014123LGN00-SC20160101123456", date(2014, 5, 3)),
    ("LC082000302014050301T1-SC20190101123456", date(2014, 5, 3)),
    ("2020_03_10km", date(2020, 3, 1)),
    ("2020_03_12bands", date(2020, 3, 1)),
]
UNDATED = [
    "sinop-crop-class_2000_9_2001_8",
    "classes_2000_10_2001_09",
    "NDFI_layer07",
    "sinop_evi_2014",
    "T30TXN",
    "m_4709963_se_14_1",
    "2020-13-01",
    "2021-02-29",
    "2021-366",
    "20201345",
    "S2A_OPER_MSI_L1C_TL_SGS__20160902T211235_A006257_T30TXN_B02",
    "S2A_USER_MSI_L2A_TL_SGS__20160902T211235_A006257_T30TXN_B02",
    "sr_band1-SC20160101123456",
    "S2_annual_2019_10m",
    "WorldCover_2021_10m_v200",
    "ndvi2020_12m",
    "S2_2019_12bands",
    "mosaic_2019_08bit",
    "S2_2019-10km",
    "S2_2019-100m",
    "tile_2048_12",
    "tile_2048_128",
    "tile_2048128",
    "mosaic_2019_256_256",
    "change_2017_100_2018_100",
    "",
]


@pytest.mark.parametrize(("name", "day"), DATED)
def test_a_date_is_read_from_a_name(name: str, day: date) -> None:
    assert date_in(name) == day


@pytest.mark.parametrize("name", UNDATED)
def test_no_date_is_read_from_a_name_that_holds_none(name: str) -> None:
    assert date_in(name) is None


@given(
    st.dates(date(1972, 1, 1), date(2026, 1, 1)),
    st.sampled_from(
        ["%Y-%m-%d", "%Y_%m_%d", "%Y.%m.%d", "%Y%m%d", "%Y%m%dT%H%M%S", "A%Y%j", "%Y%j", "%Y-%j", "%Y_%j", "%Y.%j"]
    ),
    st.sampled_from(["", "NDVI_", "T30TXN_", "m_4709963_se_14_1_"]),
    st.sampled_from(["", "_B02", "_10m", "_v1.2"]),
)
def test_any_day_is_read_back_in_every_way_of_writing_it(day: date, way: str, before: str, after: str) -> None:
    assert date_in(before + day.strftime(way) + after) == day


def test_a_table_beats_the_name_then_come_tags_of_the_acquisition_folders_and_the_time_of_writing(
    tmp_path: Path, write
) -> None:
    written = {"TIFFTAG_DATETIME": "2006:06:06 10:00:00"}
    tags = {**written, "DATE_ACQUIRED": "2003-03-03"}
    folder = tmp_path / "2004-04-04"
    write(folder / "2001-01-01.tif", tags=tags)
    write(folder / "2002-02-02.tif", tags=tags)
    write(folder / "tagged.tif", tags=tags)
    write(folder / "plain.tif", tags=written)
    write(tmp_path / "written.tif", tags=written)
    table = tmp_path / "dates.csv"
    table.write_text("file,date\n2001-01-01.tif,2011-11-11\n")
    plan = plan_cube(tmp_path, CubeSettings(dates=str(table)))
    assert {Path(f.path).name: f.date for f in plan.files} == {
        "2001-01-01.tif": date(2011, 11, 11),
        "2002-02-02.tif": date(2002, 2, 2),
        "tagged.tif": date(2003, 3, 3),
        "plain.tif": date(2004, 4, 4),
        "written.tif": date(2006, 6, 6),
    }


def test_lines_of_a_table_that_mean_no_scene_are_refused_by_name(tmp_path: Path, write) -> None:
    write(tmp_path / "2020-01-01.tif")
    table = tmp_path / "dates.csv"
    table.write_text("file,date\n2020-01-01.tif,2020-01-02\n2020-01-1.tif,2020-01-03\n")
    with pytest.raises(InputError, match=r"1 line of the table of dates without a scene: 2020-01-1\.tif; .*"):
        plan_cube(tmp_path, CubeSettings(dates=str(table)))


def test_the_tag_of_the_acquisition_beats_the_tag_of_the_file(tmp_path: Path, write) -> None:
    write(tmp_path / "a.tif", tags={"TIFFTAG_DATETIME": "2021:01:01 00:00:00", "date_acquired": "2020-05-06"})
    assert plan_cube(tmp_path / "a.tif").dates == (date(2020, 5, 6),)


def test_the_nearest_folder_wins(tmp_path: Path, write) -> None:
    write(tmp_path / "2001-01-01" / "2002-02-02" / "a.tif")
    assert plan_cube(tmp_path).dates == (date(2002, 2, 2),)


def test_a_table_means_files_by_name_and_by_the_end_of_their_path(tmp_path: Path, write) -> None:
    write(tmp_path / "one" / "a.tif")
    write(tmp_path / "two" / "a.tif", at=(0, 4))
    table = tmp_path / "dates.csv"
    table.write_text(
        "﻿File, Date ,note\none/a.tif, 2020-01-01,x\n./two\\a.tif,2020-02-01T10:00:00Z,\n", encoding="utf-8"
    )
    plan = plan_cube(tmp_path, CubeSettings(dates=str(table)))
    assert plan.dates == (date(2020, 1, 1), date(2020, 2, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,day\na.tif,2020-01-01\n", "has the columns name, day: its first line must have 'file' and 'date'"),
        ("file,date\na.tif,soon\n", "line 2: 'a.tif' has the date 'soon'"),
        ("file,date\na.tif,2020-01-01\na.tif,2020-01-02\n", "line 3: 'a.tif' has a second date '2020-01-02'"),
        ("", "its first line must have 'file' and 'date'"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "dates.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        read_table(table)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dates\.csv cannot be read.*--dates"):
        read_table(tmp_path / "dates.csv")


def test_files_without_a_date_are_refused_by_name(tmp_path: Path, write) -> None:
    for i in range(6):
        write(tmp_path / f"layer{i}.tif")
    with pytest.raises(InputError, match=r"6 files without a date .*layer0\.tif.* and 3 more.*--dates CSV"):
        plan_cube(tmp_path)


def test_dates_that_may_be_bands_are_said_to_be(tmp_path: Path, write) -> None:
    import numpy as np

    write(tmp_path / "evi.tif", np.zeros((23, 4, 4), "int16"))
    with pytest.raises(InputError, match=r"has 23 bands: dates stored as bands of one file cannot be read yet"):
        plan_cube(tmp_path)


@pytest.mark.parametrize(
    ("start", "end", "dates"),
    [
        ("2020", None, ["2020-01-31", "2020-03-01", "2021-12-31"]),
        ("2020-02", "2020", ["2020-03-01"]),
        (None, "2020-01", ["2019-12-31", "2020-01-31"]),
        ("2020-01-31", "2020-01-31", ["2020-01-31"]),
    ],
)
def test_start_and_end_include_whole_months_and_years(start: str | None, end: str | None, dates: list[str]) -> None:
    days = ["2019-12-31", "2020-01-31", "2020-03-01", "2021-12-31"]
    assert [day for day in days if within(date.fromisoformat(day), start, end)] == dates


@given(st.dates(date(1972, 1, 1), date(2098, 12, 31)), st.integers(-40, 40))
def test_a_month_ends_with_its_last_day(day: date, shift: int) -> None:
    other = day + timedelta(days=shift)
    month = day.strftime("%Y-%m")
    assert within(other, month, month) == ((other.year, other.month) == (day.year, day.month))


@pytest.mark.parametrize(("start", "end"), [("2020-13", None), ("soon", None), (None, "2021-02-29")])
def test_a_bound_that_is_no_date_is_refused(start: str | None, end: str | None) -> None:
    with pytest.raises(InputError, match=r"is no date: write 2020-03-01, 2020-03 or 2020 \(--(start|end)\)"):
        within(date(2020, 1, 1), start, end)


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(InputError, match="the start is after the end"):
        within(date(2020, 1, 1), "2021", "2020")


def test_bounds_that_leave_nothing_are_refused(series: Path) -> None:
    with pytest.raises(
        InputError, match=r"no scene lies between 2021 and the last: the 3 files are of 2020-03-01 to 2020-05-01"
    ):
        plan_cube(series, CubeSettings(start="2021"))


def test_files_outside_of_the_bounds_are_left_out_with_a_reason(series: Path) -> None:
    plan = plan_cube(series, CubeSettings(start="2020-04"))
    assert plan.dates == (date(2020, 4, 1), date(2020, 5, 1))
    assert [(Path(path).name, reason) for path, reason in plan.skipped] == [
        ("S2_2020-03-01.tif", "outside of the dates asked for (--start, --end)")
    ]
