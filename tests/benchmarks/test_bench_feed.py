"""The benchmark of the feed of training, run for real on tiny sizes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    from importlib import import_module

    yield import_module("stages.feed")
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        sys.modules.pop(name)


def test_what_is_gathered_is_measured_beside_what_training_takes_and_limits_are_put_back(stage) -> None:
    from taxoscape.embedding import order, tiles

    before = (tiles.CACHE, order.CACHE, order.WHOLE)
    rows = stage.measure(small=True)
    assert {row.stage for row in rows} == {"feed"}
    assert [row.bar for row in rows] == [3.0, 3.0, None]
    assert all(row.rate > 0 and row.ratio > 0 for row in rows)
    assert before == (tiles.CACHE, order.CACHE, order.WHOLE)
