"""The frame of the benchmarks of stages, and its small stages, run for real."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import bench

    yield bench
    for name in [name for name in sys.modules if name in ("bench", "evidence") or name.split(".")[0] == "stages"]:
        sys.modules.pop(name)


@pytest.fixture
def measuring(bench):
    from stages import measuring

    return measuring


def row(measuring, **changes):
    return measuring.Measure(**{"stage": "encode", "what": "tiles", "rate": 10.0, "unit": "tiles/s", **changes})


def test_a_bar_is_kept_by_the_ratio_where_there_is_one_and_by_the_rate_where_there_is_none(measuring):
    assert row(measuring).kept is None
    assert row(measuring, bar=9.0).kept is True
    assert row(measuring, bar=9.0, ratio=0.5, peer="other").kept is False


def test_the_ratio_of_a_pair_is_how_many_times_faster_the_first_is(measuring):
    seconds, ratio = measuring.paired(lambda: time.sleep(0.01), lambda: time.sleep(0.03), turns=3)
    assert 0.01 <= seconds < 0.03
    assert 1.5 < ratio < 4.5


def test_the_peak_is_that_of_the_action_alone(measuring):
    def hungry():
        return bytearray(300 * 2**20)

    high = measuring.peak_gib(hungry)
    low = measuring.peak_gib(lambda: None)
    if high == high and low == low:  # known on this system
        assert high - low > 0.25


def test_a_missed_bar_is_told_in_the_table(bench, measuring):
    missed = row(measuring, ratio=0.5, bar=0.9, peer="matrix product", peak_gib=1.0)
    assert "| 10 tiles/s | 0.50 | matrix product | 0.9 **missed** | 1.00 GiB |" in bench.table([missed])


def test_results_are_kept_by_commit_and_stage_and_compared(bench, measuring, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "DOCS", tmp_path / "none.md")
    monkeypatch.setattr(bench, "commit", lambda: "aaa")
    bench.write([row(measuring, ratio=0.5), row(measuring, stage="read", unit="MiB/s")], seconds=3)
    bench.write([row(measuring, rate=20.0, ratio=0.75)], seconds=1)
    kept = bench.read(tmp_path / "aaa.json")["rows"]
    assert [(entry["stage"], entry["rate"]) for entry in kept] == [("read", 10.0), ("encode", 20.0)]
    monkeypatch.setattr(bench, "commit", lambda: "bbb")
    bench.write([row(measuring, rate=10.0, ratio=0.75), row(measuring, what="more")], seconds=1)
    lines = bench.compared(bench.read(tmp_path / "aaa.json"), bench.read(tmp_path / "bbb.json")).splitlines()
    assert lines[2] == "| encode | tiles | 20 | 10 tiles/s | -50% | 0.75 | 0.75 |"
    assert "new" in lines[3]


def test_results_that_are_not_there_are_refused_with_those_that_are(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    (tmp_path / "abc.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"no results of xyz.*kept are those of abc"):
        bench.read(tmp_path / "xyz.json")


@pytest.mark.parametrize("stage", ["read", "cube"])
def test_a_small_stage_runs_in_a_process_of_its_own(bench, stage):
    (found,) = bench.measured(stage, small=True)
    assert found.stage == stage
    assert found.rate > 0
    assert found.ratio > 0


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["publish", "road"])
def test_a_small_run_is_measured(stage):
    found = subprocess.run(
        [sys.executable, str(HERE / "bench.py"), "--alone", stage, "--small"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(found.stdout.splitlines()[-1])
    assert all(entry["rate"] > 0 and entry["peak_gib"] > 0 for entry in rows)
