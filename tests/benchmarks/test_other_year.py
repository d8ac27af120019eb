"""The benchmark of another year: its tables on made-up results, and what it lays where."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from taxoscape.contracts import grid_of
from taxoscape.testing.region import Region
from taxoscape.zones.clustering import cluster
from tests.builders import a_grid, a_series

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import other_year

    yield other_year
    for name in ("other_year", "evidence"):
        sys.modules.pop(name, None)


def test_tables_have_a_line_for_each_part_and_each_ground(bench):
    row = {"run": "a-1", "part": "whole", "first year": 0.9, "levels": 0.8, "as it is": 0.7,
           "unlike, levels": 0.01, "unlike, as it is": 0.2}  # fmt: skip
    assert bench.year_table([row]).splitlines()[2] == "| a-1 | whole | 0.900 | 0.800 | 0.700 | 1.0% | 20.0% |"
    assert bench.cut_table([{"run": "a-1", "4": 1, "8": 0.9, "12": 0.8, "20": 0.5}]).splitlines()[2] == (
        "| a-1 | 100.0% | 90.0% | 80.0% | 50.0% |"
    )
    rows = [{"run": run, "ground": "noise", "unlike": share} for run, share in (("a-1", 1.0), ("a-2", 0.5))]
    assert bench.unlike_table(rows).splitlines()[2] == "| noise | 100.0% | 50.0% |"


def test_a_quarter_that_lies_elsewhere_keeps_its_series_and_shares_no_tile(bench):
    series = a_series(np.random.default_rng(0).normal(size=(24, 2, 3)), a_grid(4, 6))
    moved = bench.elsewhere(series, np.array([0, 1, 2, 6, 7, 8]), 2)
    assert (grid_of(moved).n_rows, grid_of(moved).n_cols) == (2, 3)
    assert not set(grid_of(moved).cols.tolist()) & set(grid_of(series).cols.tolist())


def test_patches_fit_into_the_cube_and_the_later_year_is_in_the_same_season(bench):
    region = Region(seed=1, height=60, width=60, n_zones=3, dates=2)
    for patch in bench.patches_of(region.days, region).values():
        assert patch.shape == (2, 3, 200, 200)
        assert patch.dtype == np.uint8
    assert bench.years_later(date(2023, 3, 14)) == date(2025, 3, 18)
    assert bench.years_later(date(2023, 1, 30)) == date(2025, 1, 30)


def test_a_later_year_is_scored_whole_and_by_quarters_and_cut_for_cut(bench):
    rng = np.random.default_rng(3)
    rows, cols = np.divmod(np.arange(400), 20)
    truth = 1 + 2 * (rows >= 10) + (cols >= 10)
    years = [a_series((np.eye(4)[truth - 1][:, None] * 4 + rng.normal(0, 0.4, (400, 3, 4))).astype(np.float32),
                      a_grid(20, 20)) for _ in range(2)]  # fmt: skip
    zones = cluster(years[0], n_clusters=4, starts=2)
    whole = bench.year_rows(years[1], zones, years[0], truth)[0]
    assert whole["levels"] > 0.9
    assert bench.cut_row(years[1], zones, years[0])["4"] > 0.9
