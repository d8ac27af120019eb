from __future__ import annotations

from pathlib import Path

import pytest

QUICK = [
    "--tile-size", "20", "--zones", "3", "--triplets", "150", "--epochs", "1", "--rounds", "2", "--no-accept",
    "--threads", "1", "--quiet",
]  # fmt: skip
"""Options of a run that takes seconds, and is refined whatever that is worth."""


@pytest.fixture(scope="session")
def scenes(scene_folder) -> Path:
    return scene_folder


@pytest.fixture(scope="session")
def finished(scenes, tmp_path_factory) -> Path:
    """A run folder in which every stage is done. Read it, do not change it."""
    from taxoscape.cli import run_command

    out = tmp_path_factory.mktemp("finished") / "run"
    assert run_command(["run", str(scenes), "--out", str(out), *QUICK]) == 0
    return out
