"""The command line in two ranks that ``torchrun`` starts: the zones of one process, also where a rank was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import adjusted_rand_score

from taxoscape import demo
from taxoscape.cli import run_command
from taxoscape.errors import InputError
from taxoscape.run.folder import RunFolder
from taxoscape.run.store import read_dataset

ROOT = Path(__file__).resolve().parents[2]
ROAD = ["--tile-size", "20", "--zones", "3", "--triplets", "900", "--epochs", "2", "--no-evidence", "--threads", "1"]


def by_two_ranks(*arguments: str, die_after: int = -1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    told = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "DIE_AFTER": str(die_after), "PYTHONPATH": paths}
    return subprocess.run(
        [*command, "-m", "tests.run.one_rank", *arguments], check=False, capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, **told}, timeout=300,
    )  # fmt: skip


def weights(run: Path) -> np.ndarray:
    found = load_file(run / "encoder_geographic.safetensors")
    return np.concatenate([found[name].ravel() for name in sorted(found) if "running" not in name])


@pytest.fixture(scope="module")
def alone(scenes, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    assert run_command(["cube", str(scenes), "--out", str(out), *ROAD, "--quiet"]) == 0
    for stage in ("train", "encode", "cluster"):
        assert run_command([stage, str(out), "--quiet"]) == 0
    return out


def ranks(monkeypatch, number: int) -> None:
    """Let this process be one of two that never find each other: where it looks for the other, it fails."""
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("WORLD_SIZE", 2), ("LOCAL_WORLD_SIZE", 2), ("RANK", number), ("LOCAL_RANK", number)):
        monkeypatch.setenv(name, str(value))


def test_the_demo_is_done_by_rank_0_alone_and_the_others_end_at_once(monkeypatch, capsys, tmp_path):
    def hasty(request, out):
        few = {"encoder": {"triplets": 200, "epochs": 1}}
        return prepare(replace(request, explicit={**request.explicit, **few}), out)

    def up_to_training(folder, **options):
        advance(folder, ["cube", "train"], **options)
        raise InputError("trained alone")

    prepare, advance = demo.prepare, demo.advance
    monkeypatch.setattr(demo, "prepare", hasty)
    monkeypatch.setattr(demo, "advance", up_to_training)
    command = ["demo", "--out", str(tmp_path / "demo"), "--size", "200", "--quiet"]
    ranks(monkeypatch, 1)
    assert run_command(command) == 0
    assert not (tmp_path / "demo").exists()
    assert capsys.readouterr().out == ""
    ranks(monkeypatch, 0)
    assert run_command(command) == 2
    assert "trained alone" in capsys.readouterr().err


def test_a_dry_run_ends_in_every_rank_and_only_the_first_tells(monkeypatch, capsys, scenes, tmp_path):
    command = ["run", str(scenes), "--out", str(tmp_path / "run"), *ROAD, "--dry-run"]
    told = []
    for number in (1, 0):
        ranks(monkeypatch, number)
        assert run_command(command) == 0, capsys.readouterr().err
        told.append(capsys.readouterr().out)
    assert told[0] == ""
    assert "time " in told[1]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_rank_ends_the_training_with_a_word_and_two_new_ones_go_on_to_the_zones_of_one_process(
    alone, scenes, tmp_path
):
    out = tmp_path / "run"
    killed = by_two_ranks("run", str(scenes), "--out", str(out), *ROAD, die_after=5)
    assert killed.returncode != 0
    assert "run the same command again" in killed.stderr
    assert (out / ".work/train/state.safetensors").exists()
    assert not RunFolder(out).marker("train")

    done = by_two_ranks("run", str(scenes), "--out", str(out), *ROAD)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1
    one, two = weights(alone), weights(out)
    assert np.linalg.norm(one - two) < 0.01 * np.linalg.norm(one)
    zones = [read_dataset(run / "partition_geographic.zarr")["labels"].to_numpy() for run in (alone, out)]
    assert adjusted_rand_score(*zones) >= 0.99
    assert RunFolder(out).marker("refine")["notes"]["rounds"]  # ranks take part in the trainings on zones, too
