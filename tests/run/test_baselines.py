from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from taxoscape.cli import run_command
from taxoscape.run import baselines
from taxoscape.run.baselines import compared_labels, read_baselines
from taxoscape.run.folder import RunFolder
from taxoscape.run.store import read_dataset


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def labelled(n_tiles: int) -> np.ndarray:
    """Return zones 3, 1, 2 over the tiles: those of the run under other numbers."""
    return np.arange(n_tiles) % 3 + 1


def test_a_run_interrupted_between_two_baselines_goes_on_without_doing_the_first_again(copy, monkeypatch, capsys):
    done = []

    def method(name, interrupts=0):
        def make(task):
            done.append(name)
            if done.count(name) <= interrupts:
                raise KeyboardInterrupt
            return labelled(task.grid.n_tiles), 2, {"map_patches": 3, "silhouette_flat": float("nan")}, f"note {name}"

        return name, f"Method {name}", make

    monkeypatch.setattr(baselines, "METHODS", (method("a"), method("b", interrupts=1), method("c")))
    assert run_command(["analyse", str(copy), "--baselines", "--quiet"]) == 130
    assert "run the same command again" in capsys.readouterr().err
    assert not (copy / "baselines.zarr").exists()
    assert not (copy / "stages" / "baselines.json").exists()
    assert done == ["a", "b"]
    assert run_command(["analyse", str(copy), "--quiet"]) == 0
    assert done == ["a", "b", "b", "c"]
    found = read_baselines(RunFolder(copy))
    assert [(row.name, row.title, row.note) for row, _ in found] == [
        (name, f"Method {name}", f"note {name}") for name in "abc"
    ]
    for row, labels in found:
        assert row.metrics == {"map_patches": 3, "silhouette_flat": None}
        np.testing.assert_array_equal(labels, labelled(len(labels)))
    assert not (copy / ".work" / "baselines").exists()


def test_baselines_are_numbered_like_the_zones_that_they_share_most_tiles_with(copy, monkeypatch):
    zones = read_dataset(copy / "partition.zarr")["labels"].to_numpy().astype(int)
    turned = np.array([0, 2, 3, 1])[zones]
    monkeypatch.setattr(baselines, "METHODS", (("turned", "Turned", lambda task: (turned, 1, {}, "")),))
    assert run_command(["analyse", str(copy), "--baselines", "--quiet"]) == 0
    np.testing.assert_array_equal(compared_labels(RunFolder(copy), zones)["turned"], zones)


def test_baselines_that_are_no_longer_asked_for_are_taken_back(copy, monkeypatch):
    monkeypatch.setattr(baselines, "METHODS", (("a", "A", lambda task: (labelled(task.grid.n_tiles), 1, {}, "")),))
    assert run_command(["analyse", str(copy), "--baselines", "--quiet"]) == 0
    assert (copy / "baselines.csv").exists()
    assert run_command(["analyse", str(copy), "--no-baselines", "--quiet"]) == 0
    assert read_baselines(RunFolder(copy)) == []
    assert not (copy / "baselines.csv").exists()
