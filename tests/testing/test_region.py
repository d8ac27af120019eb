"""The built-in region: blocks, zones, clouds, the cube, the errors."""

from __future__ import annotations

import hashlib
import tracemalloc
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.contracts import check_cube
from taxoscape.errors import InputError
from taxoscape.grid import Lattice
from taxoscape.testing import GENERATOR_VERSION, Region, region_cube
from taxoscape.testing.scenes import cloudy, weather_of

SMALL = Region(seed=5, height=211, width=307, n_zones=5, dates=2, clouds=0.6)


@pytest.fixture(scope="module")
def whole() -> tuple[np.ndarray, np.ndarray]:
    return SMALL.truth(), np.stack([SMALL.scene(i) for i in range(2)])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_window_equals_the_whole_there_to_the_last_bit(
    whole: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    row, col = data.draw(st.integers(0, 210)), data.draw(st.integers(0, 306))
    height, width = data.draw(st.integers(1, 211 - row)), data.draw(st.integers(1, 307 - col))
    window = (row, col, height, width)
    part = (slice(row, row + height), slice(col, col + width))
    truth, scenes = whole
    np.testing.assert_array_equal(SMALL.truth(window), truth[part])
    index = data.draw(st.integers(0, 1))
    np.testing.assert_array_equal(SMALL.scene(index, window), scenes[index][(slice(None), *part)])


def test_the_multispectral_sensor_keeps_the_claim_of_windows_too() -> None:
    region = Region(seed=2, height=150, width=90, n_zones=3, dates=1, sensor="multispectral16")
    image = region.scene(0)
    assert image.shape == (6, 150, 90)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(region.scene(0, (37, 11, 60, 50)), image[:, 37:97, 11:61])


def test_both_sensors_see_the_same_light() -> None:
    numbers = {"seed": 4, "height": 60, "width": 80, "n_zones": 2, "dates": 1}
    colour = Region(**numbers).scene(0).astype(float)
    full = Region(**numbers, sensor="multispectral16").scene(0).astype(float)
    red_green_blue = full[[2, 1, 0]] * 800 / 10_000
    inside = (red_green_blue > 2) & (red_green_blue < 254)
    assert np.abs(colour - red_green_blue)[inside].max() <= 0.6


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    again = Region(seed=5, height=211, width=307, n_zones=5, dates=2, clouds=0.6)
    np.testing.assert_array_equal(again.scene(1), SMALL.scene(1))
    other = Region(seed=6, height=211, width=307, n_zones=5, dates=2, clouds=0.6)
    assert (other.truth() != SMALL.truth()).mean() > 0.3
    seen = (other.scene(1) > 0) & (SMALL.scene(1) > 0)
    assert (other.scene(1) != SMALL.scene(1))[seen].mean() > 0.8


def test_the_land_of_this_version_has_not_changed() -> None:
    region = Region(seed=1, height=300, width=400, n_zones=9, dates=3, clouds=0.2)
    found = hashlib.sha256(region.truth().tobytes() + region.scene(2).tobytes()).hexdigest()[:16]
    assert (GENERATOR_VERSION, found) == (1, "6a0130efe95d27be"), (
        "a pixel changed: raise GENERATOR_VERSION, state it in CHANGELOG.md"
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 97031])
def test_every_zone_is_present_and_areas_differ(seed: int) -> None:
    areas = np.bincount(Region(seed=seed, height=1000, width=1300).truth().ravel(), minlength=9)
    assert areas[0] == 0
    assert areas[1:].min() > 0.005 * areas.sum()
    assert areas[1:].max() > 1.3 * areas[1:].min()


@pytest.mark.parametrize(("height", "width", "n_zones"), [(1, 1, 1), (1, 400, 4), (500, 3, 5), (300, 300, 40)])
def test_odd_regions_can_be_made(height: int, width: int, n_zones: int) -> None:
    region = Region(seed=3, height=height, width=width, n_zones=n_zones, dates=1)
    truth = region.truth()
    assert truth.shape == (height, width)
    assert truth.min() >= 1
    assert len(np.unique(truth)) == n_zones
    assert region.scene(0).min() >= 1


def test_about_a_quarter_of_the_tiles_straddle_borders_and_centres_agree_with_majorities() -> None:
    truth = Region(seed=1).truth()
    tiles = truth.reshape(40, 50, 40, 50).swapaxes(1, 2).reshape(1600, 2500)
    pure = (tiles == tiles[:, :1]).all(axis=1).mean()
    majority = np.asarray([np.bincount(tile).argmax() for tile in tiles])
    assert 0.15 < 1 - pure < 0.33
    assert (majority == truth[25::50, 25::50].ravel()).mean() > 0.96


def test_without_clouds_nothing_is_nodata() -> None:
    region = Region(seed=1, height=200, width=200, dates=3)
    assert min(int(region.scene(index).min()) for index in range(3)) >= 1


def test_clouds_cover_the_share_asked_for_and_each_date_has_its_own() -> None:
    axis = np.arange(0, 1200, 5)
    skies = [weather_of(seed, day, 0.3) for seed in range(8) for day in Region().days]
    shares = np.asarray([cloudy(axis, axis, sky).mean() for sky in skies])
    assert abs(shares.mean() - 0.3) < 0.03
    assert shares.std() > 0.08


def test_all_bands_are_nodata_under_a_cloud_and_none_beside_it() -> None:
    image = SMALL.scene(1)
    bare = cloudy(np.arange(211), np.arange(307), weather_of(5, SMALL.days[1], 0.6))
    assert 0.05 < bare.mean() < 0.95
    np.testing.assert_array_equal(image == 0, np.broadcast_to(bare, image.shape))


@pytest.mark.parametrize(("clouds", "share"), [(1.0, 1.0), (0.0, 0.0)])
def test_all_clouds_and_no_clouds_are_just_that(clouds: float, share: float) -> None:
    image = Region(height=70, width=90, n_zones=2, dates=1, clouds=clouds).scene(0)
    assert (image == 0).mean() == share


def test_memory_depends_on_the_window_and_not_on_the_region() -> None:
    region = Region(seed=1, height=10_980, width=10_980, dates=1)
    region.scene(0, (0, 0, 8, 8))
    tracemalloc.start()
    region.scene(0, (7000, 9000, 512, 512))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 512 * 512 * 200


def test_the_cube_keeps_the_contract_and_holds_the_scenes() -> None:
    cube = region_cube(SMALL)
    check_cube(cube)
    assert dict(cube.sizes) == {"time": 2, "band": 3, "y": 211, "x": 307}
    assert cube.attrs["nodata"] == 0
    assert list(cube.band.values) == ["B04", "B03", "B02"]
    assert Lattice.of(cube) == SMALL.lattice
    np.testing.assert_array_equal(cube[1], SMALL.scene(1))
    np.testing.assert_array_equal(cube.valid[1], SMALL.scene(1)[0] > 0)


def test_the_first_pixel_lies_on_a_whole_multiple_of_100_pixels() -> None:
    lattice = Region().lattice
    assert lattice.row_px % 100 == lattice.col_px % 100 == 0
    assert (lattice.dx, lattice.dy) == (10, 10)


@pytest.mark.parametrize("n_dates", [1, 2, 8, 20, 73, 200])
def test_dates_rise_differ_and_have_unequal_gaps(n_dates: int) -> None:
    days = Region(dates=n_dates).days
    gaps = np.diff([day.toordinal() for day in days])
    assert len(days) == n_dates
    assert (gaps > 0).all()
    assert n_dates < 3 or len(set(gaps)) > 1


def test_numbers_of_dates_of_numpy_are_numbers_of_dates() -> None:
    assert Region(dates=np.int64(2)) == Region(dates=2)


def test_a_scene_depends_on_its_date_and_not_on_which_other_dates_there_are() -> None:
    numbers = {"seed": 8, "height": 40, "width": 50, "n_zones": 2}
    early, late = date(2022, 5, 6), date(2024, 1, 31)
    alone, both = Region(**numbers, dates=(late,)), Region(**numbers, dates=(early, late))
    np.testing.assert_array_equal(alone.scene(0), both.scene(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "at least one pixel, not 0 × 2000"),
        ({"n_zones": 255}, "1 to 254 zones, not 255"),
        ({"sensor": "radar"}, "no sensor 'radar': take one of colour8, multispectral16"),
        ({"clouds": 1.5}, "between 0 and 1, not 1.5"),
        ({"dates": 0}, "at least one date, not 0"),
        ({"dates": ()}, "rise and differ"),
        ({"dates": (date(2023, 2, 1), date(2023, 1, 1))}, "rise and differ"),
    ],
)
def test_a_region_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Region(**change)  # type: ignore[arg-type]


def test_a_window_outside_and_a_date_too_many_are_refused() -> None:
    with pytest.raises(InputError, match="not inside the region of 211 × 307"):
        SMALL.truth((200, 0, 12, 5))
    with pytest.raises(InputError, match="no date 2: the region has 2"):
        SMALL.scene(2, (0, 0, 5, 5))
