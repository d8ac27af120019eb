"""Scenes of another year laid on a calendar: each date stands for the one of the calendar of the same season.

What zones are is a matter of the season, so that a map of another year needs its scenes at the dates of the year that
the zones were learned from. The rule: dates are paired by how far apart they are in the year, the nearest pair first,
each date at most once; a pair is made only where they are no farther apart than half the median gap of the calendar,
which counts as `LEAST_DAYS` at least and as `MOST_DAYS` at most. Dates of the calendar without a partner are dates
without a valid pixel; scenes without one are left out. Where the seasons of two years were shifted, or a calendar spans
several years, dates can be paired by their order instead, if there are as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

import numpy as np

from taxoscape.cube.planned import CubePlan
from taxoscape.cube.wording import counted
from taxoscape.errors import InputError

Match = Literal["season", "order"]

LEAST_DAYS, MOST_DAYS = 16.0, 45.0
"""Bounds of how far apart in the year two dates may be and still stand for each other."""
YEAR_DAYS = 366


def reach_days(calendar: Sequence[date]) -> float:
    """Return how many days two dates may be apart in the year and still stand for each other.

    Examples
    --------
    >>> reach_days([date(2020, 1, 1), date(2020, 3, 1), date(2020, 5, 2)])
    30.5
    """
    gaps = np.diff([day.toordinal() for day in calendar])
    half = float(np.median(gaps)) / 2 if len(gaps) else MOST_DAYS
    return float(np.clip(half, LEAST_DAYS, MOST_DAYS))


def apart_in_the_year(one: date, other: date) -> int:
    """Return how many days two dates are apart when the year is left out, 0 to half a year.

    Examples
    --------
    >>> apart_in_the_year(date(2020, 12, 30), date(2023, 1, 4))
    5
    """
    days = abs(_day_of_leap_year(one) - _day_of_leap_year(other))
    return min(days, YEAR_DAYS - days)


def pair_dates(days: Sequence[date], calendar: Sequence[date], match: Match = "season") -> dict[date, date]:
    """Pair dates with those of a calendar.

    Parameters
    ----------
    days
        Dates of scenes, rising.
    calendar
        Dates that they are to stand for, rising.
    match
        ``"season"``: the rule above. ``"order"``: the first for the first, and so on.

    Returns
    -------
    The date of the calendar by the date that stands for it.

    Raises
    ------
    InputError
        Where no two go together, or by order there are not as many.
    """
    if match == "order":
        if len(days) != len(calendar):
            raise InputError(
                f"{counted(len(days), 'date')} cannot be paired by order with the {len(calendar)} of the calendar "
                f"({_span(calendar)}): give as many scenes, or pair them by season (--match season)"
            )
        return dict(zip(days, calendar, strict=True))
    reach = reach_days(calendar)
    pairs = sorted(
        (apart, abs((day - own).days), own, day)
        for own in calendar
        for day in days
        if (apart := apart_in_the_year(day, own)) <= reach
    )
    found: dict[date, date] = {}
    taken: set[date] = set()
    for _, _, own, day in pairs:
        if day not in found and own not in taken:
            found[day] = own
            taken.add(own)
    if not found:
        raise InputError(
            f"no scene is of a season that the zones know: the scenes are of {_span(days)}, the zones of "
            f"{_span(calendar)}, and none are within {reach:.0f} days of each other in the year; give scenes of those "
            "seasons, or as many as there are dates and pair them by order (--match order)"
        )
    return found


def lay_on(plan: CubePlan, calendar: Sequence[date], match: Match = "season") -> CubePlan:
    """Return a plan whose dates are those of a calendar.

    Parameters
    ----------
    plan
        What `taxoscape.cube.plan.plan_cube` returns.
    calendar
        Dates, rising and unique.
    match
        As in `pair_dates`.

    Returns
    -------
    CubePlan
        Its files have the date that they stand for as ``date``, and when they were ``taken``; files of dates that stand
        for none are left out.

    Raises
    ------
    InputError
        As `pair_dates`.
    """
    pairs = pair_dates(plan.dates, calendar, match)
    files = [replace(file, date=pairs[file.date], taken=file.day) for file in plan.files if file.date in pairs]
    left = [(file.path, "of no season that the zones were learned in") for file in plan.files if file.date not in pairs]
    ordered = sorted(files, key=lambda file: (file.date, file.scene, file.path))
    return replace(plan, files=tuple(ordered), dates=tuple(calendar), skipped=tuple(sorted([*plan.skipped, *left])))


def _day_of_leap_year(day: date) -> int:
    """Return the day of the year as it would be in a leap year, so that equal dates of all years are equal."""
    return day.replace(year=2000).timetuple().tm_yday


def _span(days: Sequence[date]) -> str:
    return str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]}"
