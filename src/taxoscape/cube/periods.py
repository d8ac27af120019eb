"""A common calendar: the scenes of each period become one date, the best or the median valid pixel of each place.

Places that different orbits saw on different days meet there, and so do years and regions. Periods begin anew with each
year, so that those of one year are those of any other: months, or a whole number of days counted from 1 January (the
last one of a year is the shorter for it; 16 days are those of MODIS). The date of a period is its first day; periods
without a scene are no dates. What is valid on no day of a period stays without data.

What stands for a pixel among the days on which it is valid:

* ``first``: the first of them.
* ``best``: the one nearest to the middle of the period, the earlier of two; no band tells of quality.
* ``median``: of each band the median over them, of an even number the lower of the two in the middle, so that the type
  stays and a value is one that was seen. The bands of a pixel may then be of different days.

On one day the first scene by sorted path stands for a pixel, as ever (`taxoscape.cube.mosaic`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal, NamedTuple

from taxoscape.cube.planned import CubePlan, PlannedFile
from taxoscape.errors import InputError

Composite = Literal["median", "best", "first"]

AS_THEY_ARE = "dates"
"""The calendar of scenes as they are: each day is a date."""
_WORDS = {"month": (1, "M"), "year": (12, "M")}
_LENGTH = re.compile(r"(\d{1,3})d|P(\d{1,3})([DWMY])", re.IGNORECASE)
LONGEST_DAYS = 366


class Period(NamedTuple):
    """Days from one to another, both included."""

    first: date
    """First day."""
    last: date
    """Last day."""

    def off_the_middle(self, day: date) -> int:
        """Return how far a day is from the middle, in half days."""
        return abs(2 * day.toordinal() - self.first.toordinal() - self.last.toordinal())


def period_of(day: date, calendar: str) -> Period:
    """Return the period that a day lies in.

    Parameters
    ----------
    day
        Any day.
    calendar
        ``dates``, ``month``, ``year``, ``10d``, or an ISO duration such as ``P16D``, ``P2W``, ``P3M``.

    Raises
    ------
    InputError
        Where the calendar is none of these, longer than a year, or of months that do not divide one.

    Examples
    --------
    >>> period_of(date(2020, 12, 30), "P16D")
    Period(first=datetime.date(2020, 12, 18), last=datetime.date(2020, 12, 31))
    >>> period_of(date(2021, 2, 3), "P3M").last
    datetime.date(2021, 3, 31)
    """
    if calendar == AS_THEY_ARE:
        return Period(day, day)
    number, unit = _parse(calendar)
    if unit == "M":
        month = day.month - (day.month - 1) % number
        after = date(day.year + (month + number > 12), (month + number - 1) % 12 + 1, 1)
        return Period(date(day.year, month, 1), after - timedelta(days=1))
    new_year = date(day.year, 1, 1)
    first = new_year + timedelta(days=(day - new_year).days // number * number)
    return Period(first, min(first + timedelta(days=number - 1), date(day.year, 12, 31)))


def lay_in_periods(plan: CubePlan, calendar: str, composite: Composite = "median") -> CubePlan:
    """Return a plan whose dates are the first days of periods.

    Parameters
    ----------
    plan
        What `taxoscape.cube.plan.plan_cube` plans of scenes as they are.
    calendar
        As in `period_of`.
    composite
        What stands for a pixel, see the rules above.

    Returns
    -------
    CubePlan
        Its files have the first day of their period as ``date`` and the day on which they were ``taken``; scenes are
        numbered anew, in the order in which a pixel looks for a valid one.

    Raises
    ------
    InputError
        As `period_of`.
    """
    if calendar == AS_THEY_ARE:
        return plan
    scenes: dict[Period, dict[tuple[date, int], list[PlannedFile]]] = defaultdict(lambda: defaultdict(list))
    for file in plan.files:
        scenes[period_of(file.day, calendar)][file.day, file.scene].append(file)
    files = []
    for period, members in scenes.items():
        for number, key in enumerate(sorted(members, key=lambda key: _turn(key, period, composite))):
            files += [replace(file, date=period.first, taken=file.day, scene=number) for file in members[key]]
    return replace(
        plan,
        files=tuple(sorted(files, key=lambda file: (file.date, file.scene, file.path))),
        dates=tuple(sorted({period.first for period in scenes})),
        period=calendar,
        composite=composite,
    )


def _turn(key: tuple[date, int], period: Period, composite: Composite) -> tuple[int, date, int]:
    """Return what the scenes of a period are sorted by, the first to be looked at first."""
    day, number = key
    return (period.off_the_middle(day) if composite == "best" else 0), day, number


def _parse(calendar: str) -> tuple[int, str]:
    """Return (number, ``D`` or ``M``) of a calendar's periods."""
    if calendar in _WORDS:
        return _WORDS[calendar]
    match = _LENGTH.fullmatch(calendar)
    if match:
        number, unit = int(match[1] or match[2]), (match[3] or "D").upper()
        number, unit = (number * 7, "D") if unit == "W" else (number * 12, "M") if unit == "Y" else (number, unit)
        if (unit == "D" and 1 <= number <= LONGEST_DAYS) or (unit == "M" and number >= 1 and 12 % number == 0):
            return number, unit
    raise InputError(
        "a calendar is 'dates' (scenes as they are), 'month', 'year', or a length such as 10d, P16D, P2W or P3M, of a "
        f"year at most, months dividing it; not '{calendar}' (--calendar)"
    )
