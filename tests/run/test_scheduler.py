"""A real scheduler and two real workers on loopback: what they make is what one process makes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import xarray as xr

from taxoscape.errors import InputError
from taxoscape.executor import Executor, on_scheduler
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import advance, existing
from taxoscape.run.store import read_dataset


def started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as said:
        return subprocess.Popen([sys.executable, *command], stderr=said, stdout=said)


@dataclass
class Cluster:
    """A scheduler and its workers."""

    address: str
    folder: Path
    workers: list[subprocess.Popen[bytes]]

    def add_worker(self) -> None:
        command = [
            "-m", "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
            "--memory-limit", "0", "--local-directory", str(self.folder), "--death-timeout", "60",
        ]  # fmt: skip
        self.workers.append(started(command, self.folder / "workers.log"))

    def two_workers(self, client) -> None:
        """See to it that two workers are there."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            self.add_worker()
        client.wait_for_workers(2, timeout=60)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("dask")
    told = folder / "scheduler.json"
    command = [
        "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--scheduler-file", str(told),
    ]  # fmt: skip
    scheduler = started(command, folder / "scheduler.log")
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text().endswith("}")):
        assert scheduler.poll() is None, (folder / "scheduler.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cluster = Cluster(json.loads(told.read_text())["address"], folder, [])
    cluster.add_worker()
    cluster.add_worker()
    yield cluster
    for process in [*cluster.workers, scheduler]:
        process.kill()
        process.wait()


@pytest.fixture
def workers(cluster) -> Iterator[Executor]:
    with on_scheduler(cluster.address) as execute:
        cluster.two_workers(execute.client)
        yield execute


def undone(finished: Path, out: Path, stage: str, made: str) -> RunFolder:
    """Return a copy of a finished run in which one stage is to be done."""
    shutil.copytree(finished, out)
    folder = existing(out)
    folder.forget(stage)
    shutil.rmtree(out / made)
    return folder


def after(steps: int, action: Callable[[], None]):
    """Return a tracker that does something once, after a number of steps."""
    seen = [0]

    def track(things, label, total, done=0) -> Iterator:
        for thing in things:
            seen[0] += 1
            if seen[0] == steps:
                action()
            yield thing

    return track


def test_a_series_encoded_by_two_workers_is_that_of_one_process(finished, workers, tmp_path, monkeypatch):
    monkeypatch.setattr("taxoscape.run.resume.CHUNK_BYTES", 40_000)
    folder = undone(finished, tmp_path / "run", "encode", "series_geographic.zarr")
    advance(folder, ["encode"], execute=workers)
    whole, made = (read_dataset(path / "series_geographic.zarr") for path in (finished, folder.path))
    xr.testing.assert_identical(made, whole)
    assert len(list((folder / "series_geographic.zarr" / "valid" / "c").iterdir())) > 20


def test_a_worker_killed_in_the_middle_costs_nothing_but_its_blocks(finished, cluster, workers, tmp_path, monkeypatch):
    monkeypatch.setattr("taxoscape.run.resume.CHUNK_BYTES", 40_000)
    folder = undone(finished, tmp_path / "run", "encode", "series_geographic.zarr")
    advance(
        folder, ["encode"], execute=workers, track=after(3, lambda: cluster.workers[0].send_signal(signal.SIGKILL))
    )  # fmt: skip
    assert cluster.workers[0].wait(timeout=10) == -signal.SIGKILL
    whole, made = (read_dataset(path / "series_geographic.zarr") for path in (finished, folder.path))
    xr.testing.assert_identical(made, whole)


def test_where_no_scheduler_answers_the_error_says_how_to_start_one(monkeypatch):
    monkeypatch.setattr("taxoscape.executor.ANSWER_SECONDS", 0.5)
    with (
        pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*'dask scheduler'"),
        on_scheduler("tcp://127.0.0.1:9"),
    ):
        pass
