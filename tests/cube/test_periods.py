"""Days of a period that become one date."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.config import CubeSettings
from taxoscape.cube import composed, mosaic
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.median import lower_median
from taxoscape.cube.open import open_cube
from taxoscape.cube.periods import period_of
from taxoscape.cube.plan import plan_cube, plan_from_json, plan_to_json
from taxoscape.cube.planned import can_read_in_place
from taxoscape.cube.store import read_cube, write_cube
from taxoscape.errors import InputError

from .conftest import write_tif

CALENDARS = ("month", "year", "10d", "P16D", "P2W", "P3M", "P1Y", "p5d", "P366D")


@pytest.mark.parametrize(
    ("day", "calendar", "first", "last"),
    [
        ("2020-02-29", "month", "2020-02-01", "2020-02-29"),
        ("2021-12-31", "month", "2021-12-01", "2021-12-31"),
        ("2020-08-05", "P3M", "2020-07-01", "2020-09-30"),
        ("2020-08-05", "P1Y", "2020-01-01", "2020-12-31"),
        ("2020-01-10", "10d", "2020-01-01", "2020-01-10"),
        ("2020-01-11", "10d", "2020-01-11", "2020-01-20"),
        ("2021-12-27", "P16D", "2021-12-19", "2021-12-31"),
        ("2021-01-15", "P2W", "2021-01-15", "2021-01-28"),
        ("2020-08-05", "dates", "2020-08-05", "2020-08-05"),
    ],
)
def test_periods_begin_anew_with_each_year(day, calendar, first, last):
    assert period_of(date.fromisoformat(day), calendar) == (date.fromisoformat(first), date.fromisoformat(last))


@given(day=st.dates(date(1999, 1, 1), date(2040, 12, 31)), calendar=st.sampled_from(CALENDARS))
def test_periods_part_the_days_without_gaps_or_overlaps(day, calendar):
    period = period_of(day, calendar)
    assert period.first <= day <= period.last
    assert period_of(period.first, calendar) == period_of(period.last, calendar) == period
    assert period_of(period.last + timedelta(days=1), calendar).first == period.last + timedelta(days=1)
    assert period.first.year == period.last.year


@pytest.mark.parametrize("calendar", ["", "week", "0d", "367d", "P5M", "P2Y", "P0M", "-3d", "10", "1.5d"])
def test_what_is_no_calendar_is_refused_before_scenes_are_read(calendar):
    with pytest.raises(InputError, match=r"a calendar is 'dates' .* not '.*' \(--calendar\)"):
        plan_cube("nowhere/*.tif", CubeSettings(period=calendar))


@given(
    values=st.integers(1, 7).flatmap(
        lambda n: st.lists(st.tuples(st.integers(0, 255), st.booleans()), min_size=n, max_size=n)
    ),
    dtype=st.sampled_from(["uint8", "float32"]),
)
def test_the_median_is_the_lower_one_of_the_values_seen(values, dtype):
    numbers = np.array([number for number, _ in values], dtype)
    valid = np.array([usable for _, usable in values])
    median, usable = lower_median(numbers[:, None, None, None].copy(), valid[:, None, None])
    seen = sorted(numbers[valid].tolist())
    assert median.dtype == numbers.dtype
    assert usable.item() == bool(seen)
    if seen:
        assert median.item() == seen[(len(seen) - 1) // 2]


def twin(days, images, valids, calendar, composite):
    """Return (first days, values, valid) of periods, pixel by pixel."""
    groups: dict[date, list[int]] = {}
    for index, day in enumerate(days):
        groups.setdefault(period_of(day, calendar).first, []).append(index)
    shape = images[0].shape
    values = np.zeros((len(groups), *shape), images[0].dtype)
    valid = np.zeros((len(groups), *shape[1:]), bool)
    for number, first in enumerate(sorted(groups)):
        last = period_of(first, calendar).last
        middle = first.toordinal() + (last - first).days / 2
        for row in range(shape[1]):
            for col in range(shape[2]):
                own = [i for i in sorted(groups[first], key=lambda i: days[i]) if valids[i][row, col]]
                if not own:
                    continue
                valid[number, row, col] = True
                nearest = min(own, key=lambda i: (abs(days[i].toordinal() - middle), days[i]))
                chosen = {"first": own[0], "best": nearest}.get(composite)
                for band in range(shape[0]):
                    seen = sorted(images[i][band, row, col] for i in own)
                    values[number, band, row, col] = (
                        seen[(len(seen) - 1) // 2] if chosen is None else images[chosen][band, row, col]
                    )
    return sorted(groups), values, valid


@given(
    seed=st.integers(0, 10_000), n_days=st.integers(1, 7), calendar=st.sampled_from(["month", "10d", "P16D", "year"]),
    composite=st.sampled_from(["median", "best", "first"]), dtype=st.sampled_from(["uint8", "int16", "float32"]),
)  # fmt: skip
@settings(max_examples=40)
def test_all_roads_equal_a_naive_twin(seed, n_days, calendar, composite, dtype):
    rng = np.random.default_rng(seed)
    offsets = sorted(rng.choice(70, n_days, replace=False).tolist())
    days = [date(2020, 1, 20) + timedelta(days=offset) for offset in offsets]
    images, valids = [], []
    with tempfile.TemporaryDirectory() as folder:
        for day in days:
            top, left = int(rng.integers(0, 4)), int(rng.integers(0, 5))
            pixels = rng.integers(1, 120, (2, 6, 7)).astype(dtype)
            pixels[:, rng.random((6, 7)) < 0.3] = 0
            write_tif(Path(folder) / f"{day}.tif", pixels, at=(top, left), nodata=0)
            image = np.zeros((2, 9, 11), dtype)
            image[:, top : top + 6, left : left + 7] = pixels
            images.append(image)
            valids.append((image != 0).any(axis=0))
        whole = open_cube(folder)
        rows = round((4_000_000 - 5 - float(whole.y[0])) / 10)
        cols = round((float(whole.x[0]) - 500_005) / 10)
        part = slice(rows, rows + whole.sizes["y"]), slice(cols, cols + whole.sizes["x"])
        dates, values, valid = twin(
            days, [i[:, *part] for i in images], [v[part] for v in valids], calendar, composite
        )  # fmt: skip
        for given_as in (folder, whole, whole.load()):
            cube = open_cube(given_as, period=calendar, composite=composite)
            assert cube["time"].to_numpy().astype("datetime64[D]").tolist() == dates
            assert cube.dtype == dtype
            np.testing.assert_array_equal(cube["valid"], valid)
            there = np.broadcast_to(valid[:, None], values.shape)
            np.testing.assert_array_equal(np.where(there, cube, 0), values)
            window = cube[:, 1, 1:4, 2:6]
            np.testing.assert_array_equal(np.where(valid, cube[:, 1], 0), values[:, 1])
            np.testing.assert_array_equal(np.where(valid[:, 1:4, 2:6], window, 0), values[:, 1, 1:4, 2:6])


@pytest.fixture
def orbits(tmp_path: Path) -> Path:
    """Two orbits that see the west and the east on different days, and both the middle, for two months."""
    rng = np.random.default_rng(4)
    for day, left in (("03-02", 0), ("03-12", 0), ("03-22", 0), ("03-05", 20), ("03-15", 20), ("04-06", 20)):
        pixels = rng.integers(1, 200, (2, 30, 40)).astype("uint8")
        write_tif(tmp_path / "s" / f"2020-{day}.tif", pixels, at=(0, left), nodata=0)
    return tmp_path / "s"


def test_dates_of_different_orbits_meet_and_what_is_missing_stays_missing(orbits):
    days, months = open_cube(str(orbits)), open_cube(str(orbits), period="month")
    assert days.sizes["time"] == 6
    assert days["valid"].to_numpy().all(axis=(1, 2)).sum() == 0
    assert months["time"].to_numpy().astype("datetime64[D]").astype(str).tolist() == ["2020-03-01", "2020-04-01"]
    valid = months["valid"].to_numpy()
    assert valid[0].all()
    assert not valid[1, :, :20].any()
    assert valid[1, :, 20:].all()
    west, both = days[[0, 2, 4], :, :, :20].to_numpy(), days[[0, 1, 2, 3, 4], :, :, 20:40].to_numpy()
    np.testing.assert_array_equal(months[0, :, :, :20], np.sort(west, axis=0)[1])
    np.testing.assert_array_equal(months[0, :, :, 20:40], np.sort(both, axis=0)[2])


def test_the_best_day_is_the_one_nearest_to_the_middle(orbits):
    days = open_cube(str(orbits))
    best, first = (open_cube(str(orbits), period="month", composite=name)[0].to_numpy() for name in ("best", "first"))
    np.testing.assert_array_equal(best[:, :, :20], days[2, :, :, :20])
    np.testing.assert_array_equal(best[:, :, 20:], days[3, :, :, 20:])
    np.testing.assert_array_equal(first[:, :, :40], days[0, :, :, :40])
    np.testing.assert_array_equal(first[:, :, 40:], days[1, :, :, 40:])


def test_scenes_of_one_day_are_mosaicked_before_the_median_is_taken(tmp_path):
    for name, value, left in (("2020-03-01_a", 9, 0), ("2020-03-01_b", 1, 2), ("2020-03-05_a", 5, 0)):
        write_tif(tmp_path / f"{name}.tif", np.full((3, 4), value, "uint8"), at=(0, left))
    cube = open_cube(str(tmp_path), period="month")
    assert cube[0, 0, 0].to_numpy().tolist() == [5, 5, 5, 5, 1, 1]


@pytest.mark.parametrize("composite", ["median", "best", "first"])
def test_few_pixels_at_a_time_give_the_same(orbits, composite, monkeypatch):
    whole = open_cube(str(orbits), period="month", composite=composite).load()
    for module in (mosaic, composed):
        monkeypatch.setattr(module, "MEDIAN_BYTES", 300)
        monkeypatch.setattr(module, "MEDIAN_PX", 7)
    xr.testing.assert_identical(open_cube(str(orbits), period="month", composite=composite).load(), whole)
    again = open_cube(open_cube(str(orbits)).load(), period="month", composite=composite)
    np.testing.assert_array_equal(again.to_numpy(), whole.to_numpy())


def test_a_cube_of_periods_is_stored_and_its_plan_kept(orbits, tmp_path):
    plan = plan_cube(str(orbits), CubeSettings(period="month"))
    assert plan_from_json(plan_to_json(plan)) == plan
    assert not can_read_in_place(plan)
    assert "calendar month: 6 days, of each period the median valid pixel" in plan.describe()
    write_cube(lazy_cube(plan), tmp_path / "cube.zarr")
    xr.testing.assert_equal(read_cube(tmp_path / "cube.zarr").load(), lazy_cube(plan).load())


def test_start_and_end_choose_days_before_periods_are_made(orbits):
    for scenes in (str(orbits), open_cube(str(orbits))):
        cube = open_cube(scenes, period="month", composite="first", start="2020-03-10", end="2020-03-31")
        assert cube["time"].to_numpy().astype("datetime64[D]").astype(str).tolist() == ["2020-03-01"]
        np.testing.assert_array_equal(cube[0, :, :, :40], open_cube(str(orbits))[2, :, :, :40])


def test_periods_of_another_year_stand_for_those_of_a_calendar(orbits):
    settings = CubeSettings(period="month", calendar=("2018-03-01", "2018-04-01", "2018-09-01"))
    plan = plan_cube(str(orbits), settings)
    cube, own = lazy_cube(plan), open_cube(str(orbits), period="month")
    assert [str(day) for day in plan.dates] == list(settings.calendar)
    np.testing.assert_array_equal(cube[:2].to_numpy(), own.to_numpy())
    assert not cube["valid"][2].to_numpy().any()
    assert {str(file.day) for file in plan.files if str(file.date) == "2018-04-01"} == {"2020-04-06"}
