"""The benchmark of encoding, run for real on tiny sizes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    from importlib import import_module

    yield import_module("stages.encode")
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        sys.modules.pop(name)


def test_both_networks_are_measured_and_only_what_has_a_bar_is_held_to_it(stage) -> None:
    rows = stage.measure(small=True)
    assert {row.stage for row in rows} == {"encode"}
    assert all(row.rate > 0 for row in rows)
    assert [row.bar for row in rows if row.bar] == [0.9, 300.0]
    assert sum("plain loop" in row.peer and row.ratio > 0 for row in rows) == 2
