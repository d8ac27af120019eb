"""The benchmark of shuffling by block, run for real on a tiny region."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def shuffling(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import shuffling

    yield shuffling
    sys.modules.pop("shuffling")


def test_windows_put_more_near_tiles_into_a_batch_and_all_is_measured(shuffling) -> None:
    rows = [shuffling.measured(1, 400, windows=way, triplets=1200, epochs=1) for way in (False, True)]
    assert 0 < rows[0]["near"] < rows[1]["near"] < 0.5
    assert all(0 <= row[name] <= 1 for row in rows for name in ("accuracy", "nmi", "ari"))
