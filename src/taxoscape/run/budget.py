"""What the parts of a run may hold in memory, and what it takes in all.

``--memory`` is what the process may take. Python, the libraries and the blocks they work on have their share of it
whatever the region's size; of what is left, the cube and a series may each have half, and what does not fit into its
half is read block by block. Where several processes train together on a machine, each reads the cube and has its part
of that half; the series are with the first one alone. No result depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from taxoscape.config import Settings
from taxoscape.memory import LEAST, half_of_free, processes_here

LIBRARIES_BYTES = 600 * 2**20
"""Memory that Python and the libraries take."""
BLOCKS_BYTES = LEAST - LIBRARIES_BYTES
"""Memory of the blocks of series, distances and pixels that are worked on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bytes that parts of a run may hold."""

    size: int
    """What the process may take."""
    cube: int
    """Bytes up to which a cube is loaded whole, by each of the processes that train together here."""
    series: int
    """Bytes up to which a series is loaded whole."""


def budget_of(settings: Settings) -> Budget:
    """Return what a run under some settings may hold, here and now where they do not say."""
    size = half_of_free() if settings.run.memory is None else settings.run.memory
    each = max(0, size - LEAST) // 2
    return Budget(size=size, cube=each // processes_here(), series=each)
