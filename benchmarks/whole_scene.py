"""What the analysis of a region of the paper's size costs: seconds of each stage and the peak memory of its process.

    .venv/bin/python benchmarks/whole_scene.py --folder /path/with/20/GB

Four cases, each made here and run by the plain commands, stage by stage, so that each stage's peak is its own:

``scene``
    One scene of the built-in region, 10 980 × 10 980 px on 3 dates, in 11 881 tiles of 100 px, 12 zones; with
    ``--baselines`` every other method beside it, the untrained TileNet too, which takes longer than all the rest.
``year``
    The same scene on 20 dates with the default settings and ``--memory 8GiB``: what a year of one Sentinel-2 tile
    takes. Bytes on disk are told, too.
``long``
    As many tiles on 20 dates, with vectors of 512 as the paper's: 2 180 × 2 180 px in tiles of 20. What analysis and
    publishing do depends on tiles, dates and the length of the vectors, not on the pixels, whose pictures are smaller.
``vast``
    The paper's four scenes: quality (two silhouettes, Davies-Bouldin, map measures, stability) of 48 400 tiles × 20
    dates × 512, made up from 8 centres.

Results go to ``benchmarks/results/whole_scene.json``, by case, with the commit. ``--folder`` keeps scenes and runs: a
second call takes up what is there and measures analysis and publishing again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from child import measured, measured_python
from evidence import commit
from pyproj import CRS

RESULTS = Path(__file__).resolve().parent / "results" / "whole_scene.json"
MADE = ("cube", "train", "encode", "cluster", "refine")
MEASURED = ("analyse", "publish")


@dataclass(frozen=True)
class Case:
    """A region and how it is cut."""

    size: int
    dates: int
    tile_size: int
    encoder: tuple[str, ...] = ()
    """Lines of the section ``[encoder]`` of the run file."""
    options: tuple[str, ...] = ()
    """Options of every command."""


CASES = {
    "scene": Case(size=10_980, dates=3, tile_size=100),
    "year": Case(size=10_980, dates=20, tile_size=100, options=("--memory", "8GiB")),
    "long": Case(size=2_180, dates=20, tile_size=20, encoder=("n_features = 512",)),
}
VAST = (220, 220, 20, 512)
"""Rows, columns, dates, length of the vectors."""


def run_case(case: Case, home: Path, *, baselines: bool) -> dict[str, Any]:
    """Make region and run where they are not there, then analyse and publish; return what each stage took."""
    from taxoscape.testing.region import Region
    from taxoscape.testing.writing import write_region

    run, table = home / "run", home / "region.toml"
    if not (home / "truth").exists():
        region = Region(seed=7, height=case.size, width=case.size, n_zones=12, dates=case.dates)
        write_region(region, home, threads=os.cpu_count() or 1)
    lines = ['scenes = ["scenes"]', 'out = "run"', "[grid]", f"tile_size = {case.tile_size}", "[zones]", "zones = 12"]
    lines += ["[analysis]", 'truth = "truth/truth.tif"', f"baselines = {str(baselines).lower()}"]
    table.write_text("\n".join([*lines, "[encoder]", *case.encoder, ""]))
    taken = {"run": measured("run", str(table), *case.options)}
    for stage in MEASURED:
        forget(run, stage)
        taken[stage] = measured(stage, str(run), *case.options)
    own = {path.stem: json.loads(path.read_text())["seconds"] for path in (run / "stages").glob("*.json")}
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        "n_tiles": metrics["n_tiles"],
        "n_dates": metrics["n_dates"],
        "stage_seconds": own,
        "scene_bytes": size_of(home / "scenes"),
        "run_bytes": {path.name: size_of(path) for path in sorted(run.iterdir())},
        "nmi": metrics.get("nmi"),
        **{f"{stage}_process": {"seconds": s, "peak_gib": g} for stage, (s, g) in taken.items()},
    }


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def forget(run: Path, stage: str) -> None:
    """Have a stage done again, with all that depends on it."""
    (run / "stages" / f"{stage}.json").unlink(missing_ok=True)


def measure_vast(home: Path) -> dict[str, Any]:
    """Write series of the paper's size and measure a partition of them, each in a process of its own."""
    if not (home / "vast.zarr.begun").exists():
        measured_python(__file__, "--write-vast", str(home / "vast.zarr"))
    seconds, peak = measured_python(__file__, "--measure-vast", str(home / "vast.zarr"))
    return {"n_tiles": VAST[0] * VAST[1], "quality_process": {"seconds": seconds, "peak_gib": peak}}


def vast_zones(path: Path) -> tuple[Any, Any]:
    """Return the stored series and the partition by which they were made."""
    from taxoscape.run.store import read_dataset, read_series

    return read_series(path), read_dataset(path.with_name("vast_zones.zarr"))


def write_vast(path: Path) -> None:
    """Write series around 8 centres, in stripes of zones, a tenth of the dates missing."""
    from taxoscape.grid import Grid, Lattice
    from taxoscape.run.store import create_series, finish_series, read_series, write_dataset
    from taxoscape.zones.clustering import cluster

    rows, cols, n_times, n_features = VAST
    lattice = Lattice(
        crs=CRS.from_epsg(32630).to_wkt(), x0=500_000, y0=4_700_000, dx=1000, dy=1000, height=rows, width=cols
    )
    grid = Grid.over(lattice, tile_size=1)
    times = np.datetime64("2024-01-05", "ns") + 15 * np.arange(n_times) * np.timedelta64(1, "D")
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((8, n_times, n_features), dtype=np.float32)
    embedding, valid = create_series(path, grid, times, n_features, cols)
    for row in range(rows):
        noise = generator.standard_normal((cols, n_times, n_features), dtype=np.float32)
        values = centres[row * 8 // rows] + 2 * noise
        seen = (generator.random((cols, n_times)) > 0.1).astype(np.float32)
        values[seen == 0] = np.nan
        embedding[row * cols : (row + 1) * cols] = values
        valid[row * cols : (row + 1) * cols] = seen
    finish_series(path, grid, times, {"grid": grid.to_json(), "min_valid": 0.5})
    write_dataset(path.with_name("vast_zones.zarr"), cluster(read_series(path), n_clusters=8, starts=1, rng=0))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=[*CASES, "vast"], choices=[*CASES, "vast"])
    parser.add_argument("--folder", type=Path, help="keeps scenes and runs here")
    parser.add_argument("--baselines", action="store_true")
    parser.add_argument("--write-vast", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure-vast", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write_vast:
        return write_vast(given.write_vast)
    if given.measure_vast:
        from taxoscape import quality

        print(json.dumps(quality(*vast_zones(given.measure_vast))), file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.cases:
            home = (given.folder or Path(temporary)) / name
            home.mkdir(parents=True, exist_ok=True)
            found = measure_vast(home) if name == "vast" else run_case(CASES[name], home, baselines=given.baselines)
            stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            stored[name] = {**found, "baselines": given.baselines, "cores": os.cpu_count(), "commit": commit()}
            RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
            print(json.dumps({name: stored[name]}, indent=1), flush=True)
    return None


if __name__ == "__main__":
    main()
