"""Scenes of another year on the dates of a first one."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.config import CubeSettings
from taxoscape.cube.laid import LEAST_DAYS, MOST_DAYS, apart_in_the_year, lay_on, pair_dates, reach_days
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.plan import plan_cube, plan_from_json, plan_to_json
from taxoscape.errors import InputError

YEAR = (date(2020, 1, 10), date(2020, 4, 10), date(2020, 7, 10), date(2020, 10, 10))


def test_each_date_stands_for_the_one_of_the_same_season():
    days = (date(2023, 1, 2), date(2023, 4, 20), date(2023, 7, 11), date(2023, 10, 1))
    assert pair_dates(days, YEAR) == dict(zip(days, YEAR, strict=True))


def test_the_turn_of_the_year_is_no_gap():
    assert pair_dates((date(2021, 12, 30),), YEAR) == {date(2021, 12, 30): date(2020, 1, 10)}


def test_dates_too_far_from_any_are_left_out_and_the_nearest_of_several_is_taken():
    days = (date(2023, 1, 5), date(2023, 1, 9), date(2023, 7, 11), date(2023, 11, 25))
    assert pair_dates(days, YEAR) == {days[1]: YEAR[0], days[2]: YEAR[2]}
    assert reach_days(YEAR) == MOST_DAYS
    assert apart_in_the_year(days[3], YEAR[0]) == 46


def test_of_two_dates_of_one_season_each_stands_for_that_of_its_own_year():
    calendar = (date(2019, 5, 5), date(2020, 5, 5))
    assert pair_dates(calendar, calendar) == {day: day for day in calendar}


def test_by_order_the_first_stands_for_the_first_whatever_the_season():
    days = tuple(day + timedelta(days=100) for day in YEAR)
    assert pair_dates(days, YEAR, "order") == dict(zip(days, YEAR, strict=True))
    with pytest.raises(InputError, match=r"3 dates cannot be paired by order with the 4 .*--match season"):
        pair_dates(days[:3], YEAR, "order")


def test_scenes_of_no_shared_season_are_refused_with_both_spans():
    calendar = tuple(date(2020, 6, 1) + timedelta(days=10 * i) for i in range(4))
    with pytest.raises(InputError, match=r"of 2021-12-01, the zones of 2020-06-01 to 2020-07-01.*16 days.*--match"):
        pair_dates((date(2021, 12, 1),), calendar)
    assert reach_days(calendar) == LEAST_DAYS


@given(st.sets(st.dates(date(2018, 1, 1), date(2024, 12, 31)), min_size=1, max_size=12).map(sorted),
       st.sets(st.dates(date(2018, 1, 1), date(2024, 12, 31)), min_size=1, max_size=12).map(sorted))  # fmt: skip
def test_each_date_is_used_once_within_reach_and_none_that_could_be_paired_is_left_alone(days, calendar):
    try:
        pairs = pair_dates(days, calendar)
    except InputError:
        pairs = {}
    reach = reach_days(calendar)
    assert len(set(pairs.values())) == len(pairs)
    assert all(apart_in_the_year(day, own) <= reach for day, own in pairs.items())
    left, free = set(days) - set(pairs), set(calendar) - set(pairs.values())
    assert not any(apart_in_the_year(day, own) <= reach for day in left for own in free)
    assert pair_dates(calendar, calendar) == {day: day for day in calendar}


def test_a_laid_cube_has_the_dates_of_the_calendar_and_no_valid_pixel_where_no_scene_is(scene_folder: Path):
    own = plan_cube(str(scene_folder))
    first, second, third = own.dates
    calendar = (first.replace(year=2019), date(2019, 12, 24), second.replace(year=2020), third.replace(year=2020))
    settings = CubeSettings(calendar=tuple(str(day) for day in calendar))
    plan = plan_cube(str(scene_folder), settings)
    assert plan.dates == calendar
    assert [(str(file.date), str(file.day)) for file in plan.files if file.date == calendar[2]] == [
        (str(calendar[2]), str(second))
    ]
    assert plan_from_json(plan_to_json(plan)) == plan
    cube, before = lazy_cube(plan), lazy_cube(own)
    for at, day in ((0, first), (2, second), (3, third)):
        index = own.dates.index(day)
        np.testing.assert_array_equal(cube[at].to_numpy(), before[index].to_numpy())
    assert not cube["valid"][1].to_numpy().any()
    assert (cube[1].to_numpy() == 0).all()


def test_scenes_that_stand_for_nothing_are_told_as_left_out(scene_folder: Path):
    own = plan_cube(str(scene_folder))
    plan = lay_on(own, [own.dates[0]])
    assert plan.dates == own.dates[:1]
    assert {reason for _, reason in plan.skipped} == {"of no season that the zones were learned in"}


@pytest.mark.parametrize("calendar", [("2020-13-01",), ("spring",), ("2020-02-01", "2020-01-01")])
def test_a_calendar_that_is_none_is_refused(scene_folder: Path, calendar):
    with pytest.raises(InputError, match="calendar"):
        plan_cube(str(scene_folder), CubeSettings(calendar=calendar))
