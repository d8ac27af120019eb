from __future__ import annotations

import pytest

from taxoscape.run import cost
from taxoscape.run.estimate import describe_plan
from taxoscape.run.request import Request
from tests.run.test_cost import by_hand


@pytest.fixture(autouse=True)
def rates(monkeypatch):
    """A machine of 30 and 50 GFLOP a second."""
    monkeypatch.setattr(cost, "_rates", lambda settings, n_bands: (3e10, 5e10))


def lines_of(scenes, preset, **explicit):
    text = describe_plan(Request(scenes=(str(scenes),), preset=preset, explicit=explicit))
    return {line.split()[0]: " ".join(line.split()) for line in text.splitlines()}


def test_the_dry_run_of_the_paper_says_what_training_costs(scene_folder):
    lines = lines_of(scene_folder, "paper", grid={"tile_size": 60})
    cost_in_all = 100_000 * 50 * 3 * 3 * by_hand(60, 3)
    days = f"{cost_in_all / 3e10 / 86400:.0f} days"
    assert f"training {cost_in_all:.1e} operations, about {days}".replace("e+", "e") in lines["note"]
    assert f"train {days}" in lines["time"]
    assert "--preset fast" in lines["note"]


def test_the_dry_run_of_the_fast_preset_has_no_such_line(scene_folder):
    lines = lines_of(scene_folder, "fast", grid={"tile_size": 20})
    assert "note" not in lines
    assert lines["tiles"].startswith("tiles 108 of 20 px")
    assert all(name in lines["time"] for name in ("train", "encode", "cluster", "refine"))


def test_what_is_not_refined_is_not_estimated(scene_folder):
    both = lines_of(scene_folder, "fast", grid={"tile_size": 20})
    first = lines_of(scene_folder, "fast", grid={"tile_size": 20}, refine={"refine": False})
    assert "refine" not in first["time"]
    assert first["disk"] <= both["disk"]
