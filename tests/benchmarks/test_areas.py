"""What larger regions take, reckoned from a case that is made up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"
CASE = {
    "n_tiles": 100, "n_dates": 10, "stage_seconds": {"train": 36.0, "encode": 50.0, "publish": 10.0},
    "scene_bytes": 6 * 2**20, "run_bytes": {"series.zarr": 3 * 2**20, "run.toml": 2**20}, "nmi": 0.9,
    "run_process": {"seconds": 97.0, "peak_gib": 1.5}, "cores": 2, "commit": "abc",
}  # fmt: skip


@pytest.fixture
def areas(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import areas

    yield areas
    for name in [name for name in sys.modules if name in ("areas", "bench", "evidence", "whole_scene", "child")]:
        sys.modules.pop(name)


def test_training_does_not_grow_with_the_area_and_all_else_does(areas):
    one, ten = areas.need(100, CASE), areas.need(1000, CASE)
    assert one.hours == pytest.approx(96 / 3600)
    assert ten.hours == pytest.approx((36 + 600) / 3600)
    assert ten.disk_gib == pytest.approx(100 / 1024)
    assert ten.tile_dates == 10_000
    assert one.machines == 1


def test_the_table_has_a_row_for_each_area_and_tells_its_arithmetic(areas):
    text = areas.table(CASE)
    assert all(f"| {name} |" in text for name in areas.AREAS)
    assert "36 s of training + tiles × 10 dates × 60.00 ms" in text


def test_where_the_time_went_adds_up(areas):
    text = areas.stages(CASE)
    assert "| encode | 0.8 | 52% |" in text
    assert "Peak memory 1.50 GiB" in text
    assert "`series.zarr` 3 MiB" in text
