"""Precision and tiles in a batch of a run whose run file lacks them: settled once, and nothing is stale for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from taxoscape.cli import run_command
from taxoscape.run.folder import RunFolder, read_toml
from taxoscape.run.pipeline import status
from taxoscape.run.prepare import prepare
from taxoscape.run.request import Request
from taxoscape.run.settling import settle_later
from tests.run.conftest import QUICK

ROAD = [option for option in QUICK if option not in ("--rounds", "2", "--no-accept")]
KEPT = ("precision", "batch_tiles")


def unsettled(out: Path) -> None:
    """Take out of a run file what earlier ones lack."""
    folder = RunFolder(out)
    document = folder.read_document()
    document["run"].pop("precision")
    document["run"].pop("batch_tiles", None)
    folder.write_document(document)


def settled(out: Path) -> dict[str, object]:
    return {name: value for name, value in read_toml(out / "run.toml")["run"].items() if name in KEPT}


def done(out: Path) -> list[str]:
    return [row["name"] for row in status(RunFolder(out)) if row["state"] == "done"]


@pytest.fixture
def begun(scenes, tmp_path) -> Path:
    """A run folder with a cube and an earlier run file."""
    out = tmp_path / "run"
    assert run_command(["cube", str(scenes), "--out", str(out), *ROAD]) == 0
    unsettled(out)
    return out


def test_stages_one_by_one_settle_it_before_the_first_and_an_option_makes_no_other_stage_stale(begun):
    assert run_command(["train", str(begun), "--quiet"]) == 0
    found = settled(begun)
    assert set(found) == set(KEPT)
    assert found["precision"] == "float32"
    assert run_command(["encode", str(begun), "--quiet"]) == 0
    assert run_command(["cluster", str(begun), "--zones", "2", "--quiet"]) == 0
    assert settled(begun) == found


def test_a_run_that_goes_on_settles_it_too(begun, scenes):
    prepare(Request(scenes=(str(scenes),), explicit={
        "grid": {"tile_size": 20}, "zones": {"zones": 3}, "encoder": {"triplets": 150, "epochs": 1},
    }), begun)  # fmt: skip
    assert set(settled(begun)) == set(KEPT)


def test_a_series_made_without_it_stays_done_when_another_stage_is_given_an_option(begun, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr("taxoscape.run.pipeline.settle_later", lambda folder: None)
        for stage in ("train", "encode"):
            assert run_command([stage, str(begun), "--quiet"]) == 0
    assert run_command(["cluster", str(begun), "--zones", "2", "--quiet"]) == 0
    assert {"train", "encode", "cluster"} <= set(done(begun))


def test_an_encoder_whose_file_is_gone_is_known_by_the_copy_of_the_run(finished, scenes, tmp_path):
    given, out = tmp_path / "given.safetensors", tmp_path / "run"
    shutil.copy(finished / "encoder_geographic.safetensors", given)
    assert run_command(["cube", str(scenes), "--out", str(out), "--encoder", str(given), *ROAD]) == 0
    unsettled(out)
    moved = given.rename(tmp_path / "moved.safetensors")
    settle_later(RunFolder(out))
    assert settled(out) == {}  # neither is there: the training will say so
    shutil.copy(moved, out / "encoder_geographic.safetensors")
    settle_later(RunFolder(out))
    assert set(settled(out)) == set(KEPT)
