"""Two ranks on loopback, started as real processes: what they train is what one process trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.embedding.ranks import ALONE, SeveralRanks, ranks_of_this_run
from taxoscape.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("ranks") / "found.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "-m", "tests.embedding.two_ranks", str(path)], check=False, capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["count"] == 2
    return found


@pytest.mark.parametrize("what", ["fast 8", "fast 5", "tilenet 3"])
def test_gradients_and_norms_of_a_step_are_those_of_one_process_in_double_precision(
    measured: dict[str, Any], what: str
) -> None:
    assert measured["steps"][what] < 1e-11


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_a_training_differs_by_rounding_alone(measured: dict[str, Any], loss: str) -> None:
    alone, together, off = measured["trainings"][loss]
    assert together == pytest.approx(alone, rel=1e-3)
    assert off < 5e-3


@given(n=st.integers(0, 50), count=st.integers(1, 9))
def test_shares_are_nearly_equal_parts_in_order(n: int, count: int) -> None:
    shares = [list(range(n))[SeveralRanks(number, count, None).share(n)] for number in range(count)]  # type: ignore[arg-type]
    assert [i for share in shares for i in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert n == 0 or shares[0]


def test_processes_that_do_not_find_each_other_are_told_to_use_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(InputError, match="start them with torchrun, or unset WORLD_SIZE"), ranks_of_this_run():
        pass


def test_a_process_that_nobody_told_of_others_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ranks_of_this_run() as ranks:
        assert ranks is ALONE
    assert ranks.hear() is None
