"""What a measurement of a stage is, and how it is taken so that a noisy machine spoils it least.

A figure by itself says little on a shared machine, so a stage is measured in turn with a peer or a limit, in one
process, several times, and the ratio is the median of the ratios of the turns.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row of the table."""

    stage: str
    """Name of the stage, that of its module."""
    what: str
    """What was measured, with its sizes: "paper's network, tiles of 100 × 100 × 3"."""
    rate: float
    """Work a second, median over the turns."""
    unit: str
    """Unit of ``rate``: "tiles/s", "MiB/s", "rows/s"."""
    peer: str = ""
    """What it was measured in turn with, or what limits it; empty: nothing."""
    ratio: float | None = None
    """Median over the turns of rate / rate of the peer; above 1 is faster than the peer."""
    bar: float | None = None
    """The least ``ratio``, or without a peer the least ``rate``, that is asked for; None: none is."""
    peak_gib: float | None = None
    """Highest resident memory of the process while the stage alone ran, in GiB; None: not measured."""
    turns: int = 1
    """How often it was measured."""

    @property
    def kept(self) -> bool | None:
        """Whether the bar is kept; None where there is none."""
        found = self.rate if self.ratio is None else self.ratio
        return None if self.bar is None else found >= self.bar


def paired(own: Callable[[], object], peer: Callable[[], object], *, turns: int = 5) -> tuple[float, float]:
    """Run two actions in turn; return the median seconds of the first, and the median of seconds of peer / own.

    Each is run once before, to warm up. Where both do the same work, the second number is how many times faster the
    first one is than its peer.
    """
    own()
    peer()
    pairs = [(_seconds(own), _seconds(peer)) for _ in range(turns)]
    return statistics.median(first for first, _ in pairs), statistics.median(second / first for first, second in pairs)


def repeated(own: Callable[[], object], *, turns: int = 5) -> float:
    """Return the median seconds of an action over some turns, after one to warm up."""
    own()
    return statistics.median(_seconds(own) for _ in range(turns))


def peak_gib(action: Callable[[], object]) -> float:
    """Return the highest resident memory of this process while an action runs, in GiB; NaN where that is not known.

    It counts what the process holds already. Linux alone tells it.
    """
    try:
        RESET.write_text("5")
    except OSError:
        action()
        return math.nan
    action()
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM"))


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun
