"""Stopped in the middle of a stage, on purpose and at every step: the result is that of an uninterrupted run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import xarray as xr

from taxoscape.run.pipeline import advance, existing
from taxoscape.run.prepare import prepare
from taxoscape.run.request import Request
from taxoscape.run.store import read_dataset
from tests.run.conftest import QUICK

EXPLICIT = {
    "grid": {"tile_size": 20},
    "zones": {"zones": 3},
    "encoder": {"triplets": 150, "epochs": 1},
    "refine": {"rounds": 2, "accept": False},
    "run": {"threads": 1},
}


class StopHereError(Exception):
    pass


def stopping_after(steps: int):
    """Return a tracker that raises when it has passed ``steps`` things through."""
    left = [steps]

    def track(things, label, total, done=0) -> Iterator:
        for thing in things:
            if left[0] == 0:
                raise StopHereError(label)
            left[0] -= 1
            yield thing

    return track


@pytest.mark.parametrize("steps", [0, 1, 6, 14, 24, 34])
def test_a_run_stopped_after_any_number_of_steps_goes_on_to_the_same_end(
    steps, finished, scenes, tmp_path, monkeypatch
):
    monkeypatch.setattr("taxoscape.run.resume.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("taxoscape.run.resume.TIMES_COST", 0.0)
    monkeypatch.setattr("taxoscape.run.resume.CHUNK_BYTES", 40_000)
    folder = prepare(Request(scenes=(str(scenes),), explicit=EXPLICIT), tmp_path / "run")
    with pytest.raises(StopHereError):
        advance(folder, track=stopping_after(steps))
    advance(existing(folder.path))
    for name in ("zones.tif", "encoder.safetensors"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), (name, QUICK)


@pytest.mark.parametrize("steps", [1, 20, 60, 98, 120, 180])
def test_a_refinement_stopped_in_any_round_goes_on_to_the_same_end(steps, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("taxoscape.run.resume.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("taxoscape.run.resume.TIMES_COST", 0.0)
    monkeypatch.setattr("taxoscape.run.resume.CHUNK_BYTES", 40_000)
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    folder = existing(out)
    folder.forget("refine")
    for name in ("encoder.safetensors", "partition.zarr"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(StopHereError):
        advance(folder, ["refine"], track=stopping_after(steps))
    assert not (out / "partition.zarr").exists()
    advance(existing(out), ["refine"])
    assert (out / "encoder.safetensors").read_bytes() == (finished / "encoder.safetensors").read_bytes()
    for name in ("series.zarr", "partition.zarr"):
        xr.testing.assert_identical(read_dataset(out / name), read_dataset(finished / name))
