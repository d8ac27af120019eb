from __future__ import annotations

import importlib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


def test_the_stage_is_measured_on_small_sizes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(HERE))
    rows = importlib.import_module("stages.silhouette").measure(small=True)
    assert {row.stage for row in rows} == {"silhouette"}
    assert all(row.rate > 0 for row in rows)
    assert all(row.ratio is None or row.ratio > 0 for row in rows)
