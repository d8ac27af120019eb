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
from functools import partial
from pathlib import Path

import pytest
import xarray as xr

from taxoscape.cli import run_command
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.pointer import read_pointer, write_pointer
from taxoscape.cube.store import write_cube
from taxoscape.errors import InputError
from taxoscape.executor import Executor, in_order, in_process, on_scheduler
from taxoscape.run.folder import RunFolder, describe
from taxoscape.run.pipeline import advance, existing
from taxoscape.run.store import read_dataset, read_series
from taxoscape.zones.clustering import cluster as make_zones
from tests.run.conftest import QUICK


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


@pytest.fixture(scope="module")
def encoded(scenes, tmp_path_factory) -> Path:
    """A run folder that is done up to the series under f^g."""
    out = tmp_path_factory.mktemp("encoded") / "run"
    assert run_command(["cube", str(scenes), "--out", str(out), *QUICK]) == 0
    for stage in ("train", "encode"):
        assert run_command([stage, str(out), "--quiet"]) == 0
    return out


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


def test_a_series_encoded_by_two_workers_is_that_of_one_process(encoded, workers, tmp_path, monkeypatch):
    monkeypatch.setattr("taxoscape.run.resume.CHUNK_BYTES", 40_000)
    folder = undone(encoded, tmp_path / "run", "encode", "series_geographic.zarr")
    advance(folder, ["encode"], execute=workers)
    whole, made = (read_dataset(path / "series_geographic.zarr") for path in (encoded, folder.path))
    xr.testing.assert_identical(made, whole)
    assert len(list((folder / "series_geographic.zarr" / "valid" / "c").iterdir())) > 20


def test_a_worker_killed_in_the_middle_costs_nothing_but_its_blocks(encoded, cluster, workers, tmp_path, monkeypatch):
    monkeypatch.setattr("taxoscape.run.resume.CHUNK_BYTES", 40_000)
    folder = undone(encoded, tmp_path / "run", "encode", "series_geographic.zarr")
    advance(
        folder, ["encode"], execute=workers, track=after(3, lambda: cluster.workers[0].send_signal(signal.SIGKILL))
    )  # fmt: skip
    assert cluster.workers[0].wait(timeout=10) == -signal.SIGKILL
    whole, made = (read_dataset(path / "series_geographic.zarr") for path in (encoded, folder.path))
    xr.testing.assert_identical(made, whole)


def test_what_workers_have_begun_one_process_ends_by_the_same_command_and_the_other_way_round(
    encoded, cluster, workers, tmp_path, monkeypatch
):
    monkeypatch.setattr("taxoscape.run.resume.CHUNK_BYTES", 40_000)
    folder = undone(encoded, tmp_path / "run", "encode", "series_geographic.zarr")
    with pytest.raises(StopError):
        advance(folder, ["encode"], execute=workers, track=after(4, stop))
    there = folder / ".work" / "encode" / "series_geographic.zarr" / "valid" / "c"
    before = {path: path.stat().st_mtime_ns for path in there.iterdir()}
    with pytest.raises(StopError):
        advance(folder, ["encode"], track=after(4, stop))
    assert len(list(there.iterdir())) > len(before) >= 3
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())  # what was there was not done again
    assert run_command(["encode", str(folder.path), "--scheduler", cluster.address, "--quiet"]) == 0
    whole, made = (read_dataset(path / "series_geographic.zarr") for path in (encoded, folder.path))
    xr.testing.assert_identical(made, whole)


def test_a_run_begun_with_a_scheduler_leaves_the_device_to_each_machine(cluster, workers, scenes, tmp_path):
    arguments = ["cube", str(scenes), "--out", str(tmp_path / "run"), *QUICK, "--scheduler", cluster.address]
    assert run_command(arguments) == 0
    assert existing(tmp_path / "run").read_document()["run"]["device"] == "auto"
    assert run_command(["train", str(tmp_path / "run"), "--quiet"]) == 0  # here on what this machine has


def test_statistics_of_tiles_measured_by_workers_are_those_of_one_process(encoded, workers, tmp_path):
    made = []
    for name, execute in (("one", in_process), ("workers", workers)):
        shutil.copytree(encoded, tmp_path / name)
        folder = existing(tmp_path / name)
        advance(folder, ["statistics"], execute=execute)
        made.append(read_dataset(folder / "statistics.zarr"))
    xr.testing.assert_identical(*made)


def test_zones_of_a_series_that_is_not_loaded_are_found_by_workers_as_by_one_process(
    encoded, workers, tmp_path, monkeypatch
):
    series = read_series(encoded / "series_geographic.zarr")
    asked = []

    class Watched:
        elsewhere = True

        def __call__(self, work, items):
            asked.append(len(items))
            return workers(work, items)

    monkeypatch.setattr("taxoscape.zones.metric.BLOCK_BYTES", 40_000)
    monkeypatch.setattr("taxoscape.zones.axes.BLOCK_BYTES", 40_000)
    monkeypatch.setattr("taxoscape.zones.missing.BLOCK_BYTES", 40_000)
    for clusterer in ("learned", "kmeans"):
        how = {"n_clusters": 3, "clusterer": clusterer, "memory": 0}
        xr.testing.assert_identical(make_zones(series, **how, execute=Watched()), make_zones(series, **how))
    assert max(asked) > 3


def test_a_worker_that_does_not_see_the_run_says_so(encoded, workers, tmp_path):
    shutil.copytree(encoded / "series_geographic.zarr", tmp_path / "series.zarr")
    series = read_series(tmp_path / "series.zarr")
    shutil.rmtree(tmp_path / "series.zarr")
    with pytest.raises(InputError, match=r"sees no .*series\.zarr: the run folder has to lie on a file system"):
        make_zones(series, n_clusters=3, memory=0, execute=workers)


def test_a_cube_begun_by_one_process_and_ended_by_workers_is_the_same_to_the_byte(scenes, workers, tmp_path):
    plan = plan_cube([str(scenes)])
    write_pointer(tmp_path / "plan.json", plan)
    cube = lazy_cube(read_pointer(tmp_path / "plan.json"))
    write_cube(cube, tmp_path / "whole.zarr", block_px=64)
    how = {"block_px": 64, "pointer": tmp_path / "plan.json"}
    with pytest.raises(StopError):
        write_cube(cube, tmp_path / "cube.zarr", track=after(2, stop), **how)
    told = []

    def track(things, label, total, done=0):
        told.append((total, done))
        yield from things

    write_cube(cube, tmp_path / "cube.zarr", track=track, execute=workers, **how)
    assert told == [(3, 1)]
    assert describe(tmp_path / "cube.zarr") == describe(tmp_path / "whole.zarr")


def test_a_worker_that_sees_other_scenes_refuses(scenes, workers, tmp_path):
    plan = plan_cube([str(scenes)])
    write_pointer(tmp_path / "plan.json", plan)
    with pytest.raises(InputError, match="a worker sees other scenes"):
        write_cube(
            lazy_cube(plan)[:, :, :50], tmp_path / "cube.zarr", execute=workers, pointer=tmp_path / "plan.json"
        )  # fmt: skip


def test_an_error_that_is_none_of_ours_is_tried_again_and_results_come_in_any_order_but_are_put_into_one(
    workers, tmp_path
):
    done = workers(partial(stumbling, str(tmp_path)), [3, 1, 2])
    assert list(in_order(done)) == [9, 1, 4]
    assert len(list(tmp_path.iterdir())) == 3  # each was tried twice


def test_an_error_of_ours_is_not_tried_again_and_reaches_the_caller(workers, tmp_path):
    with pytest.raises(InputError, match="no block 2"):
        list(workers(partial(refusing, str(tmp_path)), [1, 2]))
    assert len(list(tmp_path.iterdir())) == 1


def stumbling(folder: str, number: int) -> int:
    marker = Path(folder) / str(number)
    if not marker.exists():
        marker.touch()
        raise OSError("the file system stumbled")
    return number**2


def refusing(folder: str, number: int) -> int:
    if number == 2:
        (Path(folder) / f"{time.time_ns()}").touch()
        raise InputError("there is no block 2")
    return number


class StopError(Exception):
    pass


def stop() -> None:
    raise StopError


def test_without_dask_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"--scheduler needs Dask.*pip install 'distributed>=2026\.1'"):  # noqa: SIM117
        with on_scheduler("tcp://127.0.0.1:9"):
            pass


def test_where_no_scheduler_answers_the_error_says_how_to_start_one(monkeypatch):
    monkeypatch.setattr("taxoscape.executor.ANSWER_SECONDS", 0.5)
    with (
        pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*'dask scheduler'"),
        on_scheduler("tcp://127.0.0.1:9"),
    ):
        pass
