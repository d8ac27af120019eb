"""From scenes to report by ``taxoscape run`` with the default settings, on areas that double.

What grows with the area must grow in proportion, and memory must not grow at all beyond what tiles themselves take.
"""

from __future__ import annotations

from child import measured

from stages.making import region
from stages.measuring import Measure

AREAS = ((2000, 1), (2828, 2), (4000, 4), (5657, 8))
"""Edge in pixels, and the area in units of the first."""
SMALL = ((400, 1), (566, 2))
TILE, DATES, BANDS = 50, 8, 3
MEMORY = "2GiB"
"""``--memory`` of all runs."""


def measure(*, small: bool) -> list[Measure]:
    """Return tile-dates a second of each area, against those of the first, and the peak memory."""
    rows: list[Measure] = []
    for size, times in SMALL if small else AREAS:
        n = (size // TILE) ** 2 * DATES
        options = ["--tile-size", str(TILE), "--zones", "2" if small else "8", "--memory", MEMORY]
        options += ["--triplets", "200"] if small else []
        with region(size, DATES) as home:
            seconds, peak = measured("run", str(home / "scenes"), "--out", str(home / "run"), *options)
        rate = n / seconds
        what = f"{times} × the area: {size} × {size} px, {n} tile-dates, --memory {MEMORY}"
        first = rows[0].rate if rows else rate
        peer = "the same on the first area" if rows else ""
        rows.append(
            Measure(
                stage="road", what=what, rate=rate, unit="tile-dates/s", peer=peer,
                ratio=rate / first if rows else None, peak_gib=peak,
            )
        )  # fmt: skip
    return rows
