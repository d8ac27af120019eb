"""The benchmark of whole scenes, on scenes that are not whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def whole_scene(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import whole_scene

    yield whole_scene
    for name in ("whole_scene", "evidence", "child"):
        sys.modules.pop(name, None)


def test_each_stage_is_measured_and_analysis_and_publishing_are_done_twice(whole_scene, tmp_path):
    case = whole_scene.Case(size=200, dates=2, tile_size=20, encoder=("n_features = 16", "triplets = 60", "epochs = 1"))
    found = whole_scene.run_case(case, tmp_path, baselines=False)
    assert found["n_tiles"] == 100
    assert {"cube", "train", "encode", "cluster", "refine", "analyse", "publish"} <= set(found["stage_seconds"])
    assert all(0 < found[f"{name}_process"]["peak_gib"] < 4 for name in ("run", "analyse", "publish"))
    log = (tmp_path / "run" / "run.log").read_text()
    assert [log.count(f"INFO    {stage}") for stage in ("train", "analyse", "publish")] == [1, 2, 2]


def test_made_up_series_are_measured_from_disk(whole_scene, tmp_path, monkeypatch):
    monkeypatch.setattr(whole_scene, "VAST", (16, 16, 3, 8))
    whole_scene.write_vast(tmp_path / "vast.zarr")
    series, zones = whole_scene.vast_zones(tmp_path / "vast.zarr")
    assert series["embedding"].shape == (256, 3, 8)
    assert (series["valid"] == 0).mean() == pytest.approx(0.1, abs=0.05)
    assert zones.sizes["zone"] == 8
