"""The season of greenness in a curve of the NDVI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]
    Dates = npt.NDArray[np.datetime64]

LEAST_AMPLITUDE = 0.1
"""Rise of the NDVI over the dates, from 0 to 1, below which there is no peak and no season to speak of."""
LEAST_DATES = 4
"""Dates from which a season has a length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greenness:
    """The season of a zone's mean NDVI."""

    mean: float
    """Mean over the dates with data."""
    lowest: float
    """Lowest date's value."""
    highest: float
    """Highest date's value."""
    amplitude: float
    """Highest less lowest."""
    peak: np.datetime64 | None
    """Day of the highest value; None with one date or a small amplitude."""
    season_days: float
    """Days above half of the amplitude, by linear interpolation between dates, per year where the dates span more than
    400 days; NaN with a small amplitude, fewer than 4 dates or where the dates span less than 60 days."""
    n_dates: int
    """Dates with data."""


def greenness(mean: Float64, dates: Dates, *, unit: float = 1.0) -> Greenness | None:
    """Return the season of a curve of the NDVI.

    Parameters
    ----------
    mean
        float64 (time,), NaN where there is no data.
    dates
        datetime64 (time,), rising.
    unit
        What stands for an NDVI of 1: 10 000 for one that is stored as whole numbers.

    Returns
    -------
    Greenness, or None without a single date.

    Examples
    --------
    >>> days = np.array(["2020-01-01", "2020-04-10", "2020-07-19", "2020-10-27"], dtype="datetime64[D]")
    >>> season = greenness(np.array([0.2, 0.2, 0.8, 0.2]), days)
    >>> str(season.peak), round(season.amplitude, 3), round(season.season_days, 3)
    ('2020-07-19', 0.6, 100.0)
    """
    seen = np.flatnonzero(np.isfinite(mean))
    if not len(seen):
        return None
    values = mean[seen]
    days = np.asarray(dates)[seen].astype("datetime64[D]")
    low, high = float(values.min()), float(values.max())
    rises = high - low >= LEAST_AMPLITUDE * unit and len(seen) > 1
    since = (days - days[0]).astype(np.float64)
    length = float("nan")
    if rises and len(seen) >= LEAST_DATES and since[-1] >= 60:
        length = _days_above(since, values, (low + high) / 2)
        length *= 365.25 / since[-1] if since[-1] > 400 else 1.0
    return Greenness(
        mean=float(values.mean()), lowest=low, highest=high, amplitude=high - low,
        peak=days[int(values.argmax())] if rises else None, season_days=length, n_dates=len(seen),
    )  # fmt: skip


def _days_above(days: Float64, values: Float64, level: float) -> float:
    """Return how many days a line through points lies above a level."""
    total = 0.0
    for step, a, b in zip(np.diff(days), values[:-1] - level, values[1:] - level, strict=True):
        if a >= 0 and b >= 0:
            total += float(step)
        elif a > 0 or b > 0:
            total += float(step * max(a, b) / abs(a - b))
    return total
