"""The benchmark of training steps, run for real on tiny sizes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    from importlib import import_module

    yield import_module("stages.train")
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        sys.modules.pop(name)


def test_both_presets_are_measured_beside_a_plain_loop(stage) -> None:
    rows = stage.measure(small=True)
    assert [row.what.split(":")[0] for row in rows] == ["preset fast", "preset paper"]
    assert all(row.rate > 0 and row.ratio > 0 for row in rows)
