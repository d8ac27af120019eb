"""Peak and length of the season against hand-known answers and a fine sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.analysis.season import greenness


def days(*steps):
    return np.datetime64("2020-01-01") + np.cumsum([0, *steps]).astype("timedelta64[D]")


@given(
    steps=st.lists(st.integers(1, 60), min_size=3, max_size=12), seed=st.integers(0, 999), gaps=st.booleans()
)  # fmt: skip
def test_the_season_equals_a_fine_sampling_of_the_line_through_the_dates(steps, seed, gaps):
    rng = np.random.default_rng(seed)
    dates = days(*steps)
    values = rng.uniform(0, 0.9, len(dates))
    if gaps:
        values[rng.random(len(dates)) < 0.3] = np.nan
    found = greenness(values, dates)
    seen = np.isfinite(values)
    if not seen.any():
        assert found is None
        return
    since = (dates - dates[0]).astype(float)[seen]
    low, high = values[seen].min(), values[seen].max()
    assert (found.lowest, found.highest, found.n_dates) == (low, high, seen.sum())
    if high - low < 0.1 or seen.sum() < 4 or since[-1] - since[0] < 60:
        assert np.isnan(found.season_days)
        return
    assert found.peak == dates[seen][values[seen].argmax()]
    fine = np.linspace(since[0], since[-1], 200_001)
    above = np.interp(fine, since, values[seen]) > (low + high) / 2
    span = since[-1] - since[0]
    expected = above.mean() * span * (365.25 / span if span > 400 else 1)
    assert found.season_days == pytest.approx(expected, abs=0.05)


def test_small_rises_have_no_peak_and_few_dates_no_length():
    assert greenness(np.array([0.3, 0.35, 0.3, 0.31]), days(50, 50, 50)).peak is None
    found = greenness(np.array([0.3, 0.8, 0.3]), days(50, 50))
    assert str(found.peak) == "2020-02-20"
    assert np.isnan(found.season_days)
    assert greenness(np.array([0.5]), days()).peak is None
    assert greenness(np.full(2, np.nan), days(9)) is None


def test_an_ndvi_stored_in_whole_numbers_has_the_same_season():
    values = np.array([0.2, 0.6, 0.7, 0.3])
    one, other = greenness(values, days(40, 40, 40)), greenness(values * 10_000, days(40, 40, 40), unit=9_000)
    assert other.season_days == pytest.approx(one.season_days)
    assert greenness(values * 500, days(40, 40, 40), unit=9_000).peak is None


def test_over_several_years_the_length_is_per_year():
    dates = days(*[73] * 20)
    values = np.tile([0.2, 0.2, 0.8, 0.8, 0.2], 5)[:21]
    assert greenness(values, dates).season_days == pytest.approx(365.25 * 4 * 146 / 1460)
