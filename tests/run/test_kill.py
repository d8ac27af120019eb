"""Killed at any moment, run again: the same result as without the break."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from tests.run.conftest import QUICK

NAMES = ("zones.tif", "zones_geographic.tif", "encoder.safetensors", "metrics.json")


def command(scenes, out):
    return [sys.executable, "-m", "taxoscape", "run", str(scenes), "--out", str(out), *QUICK]


@pytest.mark.slow
def test_a_run_killed_at_five_random_moments_ends_with_the_same_bytes(finished, scenes, tmp_path):
    out = tmp_path / "run"
    moments = random.Random(20).sample(range(25, 125), 5)
    for tenths in moments:
        child = subprocess.Popen(command(scenes, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(tenths / 10)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert subprocess.run(command(scenes, out), check=False, capture_output=True).returncode == 0
    for name in NAMES:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_with_130_and_the_same_command_goes_on(number, finished, scenes, tmp_path):
    out = tmp_path / "run"
    child = subprocess.Popen(command(scenes, out), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "stages" / "cube.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    if child.returncode != 0:  # it may have been faster than the signal
        assert child.returncode == 130
        assert "run the same command again" in said
        assert "Traceback" not in said
    assert subprocess.run(command(scenes, out), check=False, capture_output=True).returncode == 0
    assert (out / "zones.tif").read_bytes() == (finished / "zones.tif").read_bytes()
