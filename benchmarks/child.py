"""Run a command in a process of its own and measure it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does: no spinning beside the child


def measured(*arguments: str) -> tuple[float, float]:
    """Run ``taxoscape`` with these arguments; return seconds and peak memory in GiB."""
    return measured_python("-m", "taxoscape", *arguments, "--quiet")


def measured_python(*arguments: str) -> tuple[float, float]:
    """Run Python with these arguments; return seconds and peak memory in GiB."""
    begun = time.monotonic()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"this failed: {' '.join(arguments)}")
    return round(time.monotonic() - begun, 1), round(usage.ru_maxrss / 2**20, 2)
