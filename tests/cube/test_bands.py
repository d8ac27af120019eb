from pathlib import Path

import numpy as np
import pytest

from taxoscape.config import CubeSettings
from taxoscape.cube.bands import band_in, pick_bands
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.plan import plan_cube
from taxoscape.errors import InputError


def layers(*values: int) -> np.ndarray:
    return np.stack([np.full((3, 4), value, "uint8") for value in values])


def first_pixels(plan) -> list[int]:
    return lazy_cube(plan)[0, :, 0, 0].to_numpy().tolist()


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("T30TXN_20190105T110431_B02_10m", "B02"),
        ("T30TXN_20190105T110431_B8A", "B8A"),
        ("LC08_L2SP_200030_20210714_20210721_02_T1_SR_B4", "SR_B4"),
        ("LE70350322008110EDC00_b3", "b3"),
        ("LE70350322008110EDC00_fmask", "fmask"),
        ("2020-01-01_red", "red"),
        ("red-edge1_2020", "red-edge1"),
        ("NDVI-20170215", "NDVI"),
        ("S2_2020-01-01", None),
        ("m_4709963_se_14_1_20090818", None),
        ("20170831_172754_101c_3B_AnalyticMS", None),
    ],
)
def test_a_band_is_read_from_a_name(name: str, band: str | None) -> None:
    assert band_in(name) == band


def test_names_come_from_descriptions_that_agree(series: Path) -> None:
    assert plan_cube(series).bands == ("B04", "B08")


def test_bands_in_another_order_are_found_by_their_descriptions(tmp_path: Path, write) -> None:
    write(tmp_path / "2020-01-01.tif", layers(1, 2), names=("red", "nir"))
    write(tmp_path / "2020-01-02.tif", layers(2, 1), names=("NIR", "Red"))
    plan = plan_cube(tmp_path)
    assert plan.bands == ("red", "nir")
    assert lazy_cube(plan)[:, :, 0, 0].to_numpy().tolist() == [[1, 2], [1, 2]]


def test_descriptions_that_differ_by_file_name_no_bands(tmp_path: Path, write) -> None:
    write(tmp_path / "A_2017214.tif", names=("A_2017214",))
    write(tmp_path / "A_2017215.tif", names=("A_2017215",))
    assert plan_cube(tmp_path).bands == ("1",)


def test_bands_without_names_are_numbered(tmp_path: Path, write) -> None:
    write(tmp_path / "2020-01-01.tif", layers(5, 6, 7))
    assert plan_cube(tmp_path).bands == ("1", "2", "3")


def test_separate_files_are_the_bands_of_one_scene_in_natural_order(tmp_path: Path, write) -> None:
    for value, band in enumerate(("B11", "B8A", "B02", "B08")):
        for day in ("20200101", "20200201"):
            write(tmp_path / day / f"T30TXN_{day}T110431_{band}_10m.tif", layers(value)[0])
    plan = plan_cube(tmp_path)
    assert plan.bands == ("B02", "B08", "B8A", "B11")
    assert (plan.shape, plan.n_scenes, len(plan.files)) == ((2, 4, 3, 4), 2, 8)
    assert first_pixels(plan) == [2, 3, 1, 0]


def test_separate_files_are_told_apart_by_their_descriptions_too(tmp_path: Path, write) -> None:
    write(tmp_path / "2020-01-01_x.tif", layers(1)[0], names=("nir",))
    write(tmp_path / "2020-01-01_y.tif", layers(2)[0], names=("red",))
    plan = plan_cube(tmp_path)
    assert (plan.bands, first_pixels(plan)) == (("nir", "red"), [1, 2])


@pytest.mark.parametrize(
    ("wanted", "names", "pixels"),
    [(("B3", "b02"), ("B03", "B02"), [3, 2]), (("3", "1"), ("B04", "B02"), [4, 2]), ((" B04 ",), ("B04",), [4])],
)
def test_bands_are_picked_by_name_or_number_in_the_order_asked_for(
    tmp_path: Path, write, wanted, names, pixels
) -> None:
    write(tmp_path / "2020-01-01.tif", layers(2, 3, 4), names=("B02", "B03", "B04"))
    plan = plan_cube(tmp_path, CubeSettings(bands=wanted))
    assert (plan.bands, first_pixels(plan)) == (names, pixels)


def test_files_without_a_band_asked_for_are_left_out_whatever_they_are(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101_b3.tif", layers(3)[0].astype("int16"), nodata=-9999)
    write(tmp_path / "20200101_fmask.tif", layers(1)[0])
    write(tmp_path / "20200101_b8.tif", np.zeros((1, 1), "int16"), pixel=60)
    plan = plan_cube(tmp_path, CubeSettings(bands=("b3",)))
    assert [Path(file.path).name for file in plan.files] == ["20200101_b3.tif"]
    assert {reason for _, reason in plan.skipped} == {"holds none of the bands asked for (--bands)"}


def test_a_band_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"there is no band B09, 7: the scenes have B02, B03, which are numbers 1 to 2"
    ):
        pick_bands(("B02", "B03"), ("B09", "B02", "7"))


def test_a_band_asked_for_twice_is_refused() -> None:
    with pytest.raises(InputError, match="B02 is asked for more than once"):
        pick_bands(("B02", "B03"), ("B02", "1"))


def test_files_with_another_number_of_bands_are_refused_by_name(tmp_path: Path, write) -> None:
    for day in range(1, 6):
        write(tmp_path / f"N-2020010{day}.tif")
    write(tmp_path / "RGB-20200103.tif", layers(1, 2, 3))
    with pytest.raises(
        InputError, match=r"RGB-20200103\.tif has 3 bands, the other 5 files have 1; bands would be mixed up"
    ):
        plan_cube(tmp_path)


def test_another_number_of_bands_does_no_harm_where_all_files_name_the_wanted_ones(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", layers(1, 2), names=("red", "nir"))
    write(tmp_path / "20200102.tif", layers(9, 2, 1), names=("blue", "nir", "red"))
    plan = plan_cube(tmp_path, CubeSettings(bands=("nir", "red")))
    assert lazy_cube(plan)[:, :, 0, 0].to_numpy().tolist() == [[2, 1], [2, 1]]
    with pytest.raises(InputError, match="has 3 bands"):
        plan_cube(tmp_path)


def test_files_that_name_other_bands_are_refused_by_name(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", layers(1, 2), names=("B02", "B03"))
    write(tmp_path / "20200102.tif", layers(1, 2), names=("B02", "B03"))
    write(tmp_path / "20200103.tif", layers(1, 2), names=("B02", "B08"))
    with pytest.raises(InputError, match=r"other bands: .*20200103\.tif \(B02, B08\), the other 2 files B02, B03"):
        plan_cube(tmp_path)


def test_a_band_missing_on_a_date_is_refused_by_date_and_name(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101_B02.tif")
    write(tmp_path / "20200101_B03.tif")
    write(tmp_path / "20200201_B02.tif")
    with pytest.raises(
        InputError, match=r"missing on some dates: 2020-02-01 has no B03 \(it has .*20200201_B02\.tif\)"
    ):
        plan_cube(tmp_path)


def test_a_band_missing_in_one_of_two_neighbouring_scenes_is_refused(tmp_path: Path, write) -> None:
    for place, at in (("west", (0, 0)), ("east", (0, 4))):
        for band in ("B02", "B03"):
            write(tmp_path / place / f"20200101_{band}.tif", at=at)
    assert plan_cube(tmp_path).shape == (1, 2, 3, 8)
    (tmp_path / "east" / "20200101_B03.tif").unlink()
    with pytest.raises(InputError, match=r"2020-01-01 has no B03 \(it has .*east/20200101_B02\.tif\)"):
        plan_cube(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("B04", "B03", "cloud"), ("B08", "B04", "cloud")),
        (
            ("Red reflectance", "Green reflectance", "Blue reflectance"),
            ("NIR reflectance", "Red reflectance", "Green reflectance"),
        ),
        (("surface B02", "surface B03"), ("surface B05", "surface B08")),
        (("B04",), ("cloud",)),
    ],
)
def test_files_that_describe_other_bands_are_refused_whatever_the_words(tmp_path: Path, write, one, other) -> None:
    write(tmp_path / "20200101.tif", layers(*range(len(one))), names=one)
    write(tmp_path / "20200102.tif", layers(*range(len(one))), names=one)
    write(tmp_path / "20200103.tif", layers(*range(len(one))), names=other)
    with pytest.raises(InputError, match=rf"other bands: .*20200103\.tif \({', '.join(other)}\), the other 2 files"):
        plan_cube(tmp_path)


def test_another_order_beside_a_file_without_descriptions_is_refused(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", layers(1, 2), names=("red", "nir"))
    write(tmp_path / "20200102.tif", layers(1, 2), names=("red", "nir"))
    write(tmp_path / "20200103.tif", layers(2, 1), names=("nir", "red"))
    assert plan_cube(tmp_path).bands == ("red", "nir")
    write(tmp_path / "20200104.tif", layers(1, 2))
    with pytest.raises(InputError, match=r"other bands: .*20200103\.tif \(nir, red\), the other 2 files red, nir"):
        plan_cube(tmp_path)


def test_descriptions_that_hold_the_date_are_told_apart_by_the_band_in_them(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", layers(1, 2), names=("20200101_B04", "20200101_B08"))
    write(tmp_path / "20200102.tif", layers(2, 1), names=("20200102_B08", "20200102_B04"))
    plan = plan_cube(tmp_path)
    assert plan.bands == ("B04", "B08")
    assert lazy_cube(plan)[:, :, 0, 0].to_numpy().tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("wanted", "names", "others"),
    [
        (
            ("SR_B4", "SR_B5"),
            [f"LC08_L2SP_200030_20210714_20210721_02_T1_{band}" for band in ("SR_B4", "SR_B5")],
            [f"LC08_L2SP_200030_20210714_20210721_02_T1_{band}" for band in ("ST_ATRAN", "SR_QA_AEROSOL", "QA_PIXEL")],
        ),
        (
            ("B04",),
            ["HLS.S30.T10TEM.2020123T190156.v2.0.B04"],
            [f"HLS.S30.T10TEM.2020123T190156.v2.0.{band}" for band in ("SAA", "VZA", "Fmask", "B05")],
        ),
    ],
)
def test_files_that_name_none_of_the_bands_asked_for_are_left_out(tmp_path: Path, write, wanted, names, others) -> None:
    for value, name in enumerate(names):
        write(tmp_path / f"{name}.tif", layers(value)[0])
    for name in others:
        write(tmp_path / f"{name}.tif", layers(9)[0].astype("int16"))
    plan = plan_cube(tmp_path, CubeSettings(bands=wanted))
    assert (plan.bands, first_pixels(plan)) == (wanted, list(range(len(names))))
    assert sorted(Path(path).stem for path, _ in plan.skipped) == sorted(others)


def test_a_picture_in_colours_beside_bands_in_files_of_their_own_is_left_out(tmp_path: Path, write) -> None:
    write(tmp_path / "T30TXN_20190105T110431_B02_10m.tif", layers(5)[0].astype("uint16"))
    write(tmp_path / "T30TXN_20190105T110431_TCI_10m.tif", layers(1, 2, 3))
    plan = plan_cube(tmp_path, CubeSettings(bands=("B02",)))
    assert (first_pixels(plan), len(plan.skipped)) == ([5], 1)
    with pytest.raises(InputError, match="there is no band B03: the scenes have B02"):
        plan_cube(tmp_path, CubeSettings(bands=("B02", "B03")))


@pytest.mark.parametrize("name", ["{day}_{band}", "S2_{day}_v1_{band}", "{day}/{band}"])
def test_files_whose_names_differ_by_their_ends_on_each_date_are_bands(tmp_path: Path, write, name) -> None:
    for day in ("20200101", "20200201"):
        for value, band in enumerate(("lst", "cloudmask", "albedo")):
            write(tmp_path / f"{name.format(day=day, band=band)}.tif", layers(value)[0])
    plan = plan_cube(tmp_path)
    assert (plan.bands, plan.n_scenes, first_pixels(plan)) == (("albedo", "cloudmask", "lst"), 2, [2, 1, 0])
    assert plan_cube(tmp_path, CubeSettings(bands=("albedo",))).bands == ("albedo",)
    path = tmp_path / f"{name.format(day='20200201', band='lst')}.tif"
    path.unlink()
    with pytest.raises(InputError, match="2020-02-01 has no lst"):
        plan_cube(tmp_path)


def test_one_end_that_is_known_as_a_band_makes_the_others_bands_too(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101_blue.tif", layers(1)[0])
    write(tmp_path / "20200101_cloudmask.tif", layers(2)[0])
    assert plan_cube(tmp_path).bands == ("blue", "cloudmask")


@pytest.mark.parametrize("names", [("20200101_v1", "20200101_v2"), ("20200101_old", "20200101_new")])
def test_versions_of_a_file_are_no_bands(tmp_path: Path, write, names) -> None:
    for value, name in enumerate(names):
        write(tmp_path / f"{name}.tif", layers(value)[0])
    with pytest.raises(InputError, match="is there twice with different content"):
        plan_cube(tmp_path)


def test_neighbours_with_other_names_are_no_bands(tmp_path: Path, write) -> None:
    for day in ("20200101", "20200201"):
        write(tmp_path / f"{day}_west.tif")
        write(tmp_path / f"{day}_east.tif", at=(0, 4))
    assert plan_cube(tmp_path).shape == (2, 1, 3, 8)
