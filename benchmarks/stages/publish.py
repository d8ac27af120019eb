"""Maps, tables, figures and the report of a run."""

from __future__ import annotations

from child import measured

from stages.making import region
from stages.measuring import Measure


def measure(*, small: bool) -> list[Measure]:
    """Return tiles a second that are published; there is no peer."""
    size, dates = (400, 2) if small else (4000, 8)
    with region(size, dates) as home:
        run = home / "run"
        options = ["--tile-size", "50", "--zones", "8" if not small else "2", "--no-refine", "--triplets", "200"]
        measured("run", str(home / "scenes"), "--out", str(run), *options)
        (run / "stages" / "publish.json").unlink()
        seconds, peak = measured("publish", str(run))
    what = f"{(size // 50) ** 2} tiles × {dates} dates, all products, start of Python and all"
    tiles = (size // 50) ** 2
    return [Measure(stage="publish", what=what, rate=tiles / seconds, unit="tiles/s", peak_gib=peak)]
