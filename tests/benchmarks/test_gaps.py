"""The benchmark of missing dates: gaps are what they say, and are closed as they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.builders import a_grid, a_series

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import gaps

    yield gaps
    for name in ("gaps", "evidence"):
        sys.modules.pop(name, None)


def test_three_tenths_are_missing_each_by_itself_or_in_blocks(module):
    grid = a_grid(40, 30)
    (first, random), (second, blocks) = module.gaps(grid, 12, seed=0)
    assert (first, second) == ("at random", "in blocks")
    shares = [gone.mean() for gone in (random, blocks)]
    assert shares == pytest.approx([0.3, 0.33], abs=0.06)
    beside = [np.mean(gone.T.reshape(12, 40, 30)[:, :, 1:] == gone.T.reshape(12, 40, 30)[:, :, :-1])
              for gone in (random, blocks)]  # fmt: skip
    assert beside[0] < 0.65
    assert beside[1] > 0.9


def test_interpolated_gaps_lie_on_a_line_in_time_and_stay_level_at_the_ends(module):
    values = np.full((2, 4, 1), np.nan, np.float32)
    values[0, 1], values[0, 3] = 1, 3
    series = a_series(values, a_grid(1, 2))
    days = np.array(["2023-01-01", "2023-01-02", "2023-01-03", "2023-01-06"], "datetime64[ns]")
    found = module.interpolated(series.assign_coords(time=days))["embedding"].to_numpy()[:, :, 0]
    np.testing.assert_allclose(found[0], [1, 1, 1.5, 3])
    assert np.isnan(found[1]).all()


def test_dates_with_most_gaps_are_dropped(module):
    values = np.zeros((6, 4, 2), np.float32)
    values[:5, 1], values[:3, 3] = np.nan, np.nan
    kept = module.made_by("dates dropped", a_series(values, a_grid(2, 3)))
    assert kept.sizes["time"] == 2
    assert np.isfinite(kept["embedding"]).all()


def test_a_series_is_measured_whole_and_with_both_kinds_of_gaps_and_shown(module):
    rng = np.random.default_rng(0)
    rows, cols = np.divmod(np.arange(144), 12)
    truth = 1 + 2 * (rows >= 6) + (cols >= 6)
    values = rng.normal(0, 0.3, (144, 6, 3)) + np.eye(4)[truth - 1][:, None, :3] * 4
    found = module.measured(a_series(values.astype(np.float32), a_grid(12, 12)), truth, 4, 0)
    assert found["whole"] > 0.95
    assert found["at random"]["as they are"] > 0.9
    text = module.table({"made": [found]})
    assert len(text.splitlines()) == 4
    assert "| made (1) | 1.000 | at random |" in text
