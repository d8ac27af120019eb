"""What larger regions would take, reckoned from one whole scene that was measured: a table of ``docs/performance.md``.

    .venv/bin/python benchmarks/whole_scene.py --cases year --folder /path/with/20/GB
    .venv/bin/python benchmarks/areas.py

A tile of 100 × 100 px of 10 m is a square kilometre, so areas in km² are numbers of tiles. Training does not grow with
the area; all other time does, and so do bytes on disk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench import DOCS
from evidence import write_docs
from whole_scene import CASES, RESULTS

MARKS = ("<!-- areas: begin -->", "<!-- areas: end -->")
AREAS = {"One scene": 11_881, "Spain": 505_990, "Europe": 10_180_000, "Land surface": 148_940_000}
"""Square kilometres; of the scene, its whole tiles."""
DATES = 20
ALONE = ("train",)
"""Stages that do not grow with the area."""
TILE_BYTES = 460
"""Bytes of a tile, beside its series, that making zones takes at its peak: measured where 2 to 15 zones are tried, on
30 axes, as growth from 60 025 to 240 100 tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What an area takes on the machine that the scene was measured on."""

    tile_dates: int
    """Tiles times dates."""
    hours: float
    """Hours of one machine."""
    machines: float
    """Machines for one day's work, one at least."""
    disk_gib: float
    """GiB of the scenes and of the run."""
    memory_gib: float
    """GiB of memory that the tiles themselves take where zones are made."""


def need(tiles: int, case: dict[str, Any]) -> Need:
    """Reckon what an area of so many tiles takes, from the results of the case ``year``.

    Parameters
    ----------
    tiles
        Number of tiles.
    case
        Entry of ``whole_scene.json``.
    """
    seconds, measured = case["stage_seconds"], case["n_tiles"]
    fixed = sum(seconds[stage] for stage in ALONE)
    growing = sum(seconds.values()) - fixed
    hours = (fixed + growing * tiles / measured) / 3600
    stored = case["scene_bytes"] + sum(case["run_bytes"].values())
    return Need(
        tile_dates=tiles * case["n_dates"], hours=hours, machines=max(1.0, hours / 24),
        disk_gib=stored * tiles / measured / 2**30, memory_gib=tiles * TILE_BYTES / 2**30,
    )  # fmt: skip


def table(case: dict[str, Any]) -> str:
    """Return what each area takes as a Markdown table, and the arithmetic in words."""
    lines = [
        "| area | km² = tiles | tile dates | hours, one machine | machines for one day | disk | memory of the tiles |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, tiles in AREAS.items():
        own = need(tiles, case)
        lines.append(
            f"| {name} | {tiles:,} | {own.tile_dates / 1e6:,.1f} million | {own.hours:,.1f} | {own.machines:,.0f} | "
            f"{size(own.disk_gib)} | {size(own.memory_gib)} |".replace(",", " ")
        )
    seconds = case["stage_seconds"]
    fixed = sum(seconds[stage] for stage in ALONE)
    per = (sum(seconds.values()) - fixed) / (case["n_tiles"] * case["n_dates"])
    stored = (case["scene_bytes"] + sum(case["run_bytes"].values())) / (case["n_tiles"] * case["n_dates"])
    return "\n".join([*lines, "", (
        f"Hours = ({fixed:.0f} s of training + tiles × {case['n_dates']} dates × {per * 1000:.2f} ms) / 3600; disk = "
        f"tiles × {case['n_dates']} dates × {stored / 1000:.1f} kB, scenes and all series; memory = tiles × "
        f"{TILE_BYTES} bytes. Milliseconds and kilobytes are those of the whole scene above."
    )])  # fmt: skip


def stages(case: dict[str, Any]) -> str:
    """Return where the time of the scene went, and what it left on disk, as a Markdown table."""
    seconds = {name: value for name, value in case["stage_seconds"].items() if value >= 0.5}
    total, run = sum(case["stage_seconds"].values()), case["run_process"]
    lines = ["| stage | minutes | share |", "|---|---:|---:|"]
    lines += [f"| {name} | {value / 60:.1f} | {value / total:.0%} |" for name, value in seconds.items()]
    lines += [f"| all | {total / 60:.1f} | |", ""]
    largest = sorted(case["run_bytes"].items(), key=lambda entry: -entry[1])[:3]
    told = ", ".join(f"`{name}` {size(count / 2**30)}" for name, count in largest)
    lines.append(
        f"Peak memory {run['peak_gib']:.2f} GiB. Scenes {size(case['scene_bytes'] / 2**30)}; the run folder "
        f"{size(sum(case['run_bytes'].values()) / 2**30)}, of which {told}. NMI with the truth {case['nmi']:.3f}. "
        f"Measured at {case['commit']} on {case['cores']} cores."
    )
    return "\n".join(lines)


def size(gib: float) -> str:
    """Return a size for people.

    >>> size(0.5), size(3.21), size(5000)
    ('512 MiB', '3.2 GiB', '4.9 TiB')
    """
    if gib < 1:
        return f"{gib * 1024:.0f} MiB"
    return f"{gib:.1f} GiB" if gib < 1000 else f"{gib / 1024:,.1f} TiB"


def main() -> None:
    """Reckon, print, write."""
    kept = json.loads(RESULTS.read_text())
    if "year" not in kept:
        raise SystemExit(f"there is no case 'year' in {RESULTS}: whole_scene.py --cases year  makes it")
    edge = CASES["year"].size
    text = f"{edge} × {edge} px × 3 bands on {kept['year']['n_dates']} dates:\n\n{stages(kept['year'])}\n\n"
    text += table(kept["year"])
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
