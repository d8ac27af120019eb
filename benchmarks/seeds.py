"""Whether the zones hang on the seed: the table of ``docs/evidence.md``.

    .venv/bin/python benchmarks/seeds.py                     # five runs of the built-in region
    .venv/bin/python benchmarks/seeds.py --folder FOLDER     # the runs of real regions that evidence.py kept there

The same region, settings and number of zones under several seeds of the run, which change the first weights, the
triplets of both trainings and the starts of the clusterer (``tests/benchmarks/test_seeds.py`` sees to it). Every two
runs are compared by the adjusted Rand index of their maps: 1 is the same zones, 0 is chance. Mean and least of all
pairs, for the first zones (P^g) and the refined ones (P^c). No truth takes part.

Results go to ``benchmarks/results/seeds.json`` with the commit; ``--table`` measures nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from child import measured
from evidence import BEGIN, DOCS, END, REAL, commit, write_docs
from evidence import RESULTS as EVIDENCE
from sklearn.metrics import adjusted_rand_score

RESULTS = EVIDENCE.with_name("seeds.json")
MARKS = (BEGIN.replace("table", "seeds"), END.replace("table", "seeds"))
MAPS = {"geographic": "zones_geographic.tif", "refined": "zones.tif"}
"""P^g and P^c in a run folder."""
ZONES, TILE_PX = 8, 50
"""Of the built-in region."""
TITLES = {
    "built-in": "Built-in region of seed 1, tiles of 50 px",
    "netherlands": "Netherlands: Sentinel-2 NDVI on 17 clear dates",
    "netherlands-all": "Netherlands, all 26 dates with their gaps",
    "lombardy": "Lombardy: MODIS NDVI",
    "slovenia": "Slovenia: Sentinel-2 NDVI with clouds",
}


def run_built_in(seeds: list[int], home: Path, *, size: int = 2000, more: tuple[str, ...] = ()) -> list[Path]:
    """Make one built-in region and run it under each seed; return the run folders. What is there is not done again.

    ``size`` is that of the region in pixels, ``more`` are further options of the runs.
    """
    from taxoscape.testing.region import Region
    from taxoscape.testing.writing import write_region

    scenes = home / "scenes"
    if not scenes.is_dir():
        write_region(Region(seed=1, height=size, width=size, n_zones=ZONES), home, threads=2)
    runs = []
    for seed in seeds:
        runs.append(home / f"run-{seed}")
        options = ["--tile-size", str(TILE_PX), "--zones", str(ZONES), "--no-evidence", "--seed", str(seed)]
        seconds, _ = measured("run", str(scenes), *options, "--out", str(runs[-1]), *more)
        print(f"seed {seed}: {seconds:.0f} s", flush=True)
    return runs


def pairwise(maps: list[np.ndarray[Any, Any]]) -> list[float]:
    """Return the adjusted Rand index of every two maps, over the tiles that both have a zone for."""
    found = []
    for one, other in itertools.combinations(maps, 2):
        both = (one > 0) & (other > 0)
        found.append(float(adjusted_rand_score(one[both], other[both])))
    return found


def compared(region: str, runs: list[Path], seeds: list[int]) -> dict[str, Any]:
    """Return what the runs of one region under several seeds agree on."""
    row: dict[str, Any] = {"region": region, "seeds": seeds}
    for name, file in MAPS.items():
        maps = [read_map(run / file) for run in runs]
        row[name] = pairwise(maps)
        row["zones"] = int(maps[0].max())
    return row


def read_map(path: Path) -> np.ndarray[Any, Any]:
    """Return the zone of each tile, 0 = none."""
    with rasterio.open(path) as raster:
        zones: np.ndarray[Any, Any] = raster.read(1)
    return zones


def kept(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each real region of which ``evidence.py`` kept at least two runs."""
    rows = []
    for region in REAL:
        runs = {
            int(home.name.rpartition("-")[2]): home / "run"
            for home in folder.glob(f"{region}-*")
            if home.name.rpartition("-")[0] == region and (home / "run" / MAPS["refined"]).exists()
        }
        seeds = sorted(runs)
        if len(seeds) > 1:
            row = compared(region, [runs[seed] for seed in seeds], seeds)
            rows.append({**row, "commit": commit_of_kept(region, seeds)})
    return rows


def commit_of_kept(region: str, seeds: list[int]) -> str:
    """Return the commit at which ``evidence.json`` says that runs were made, "" where it does not know or differs."""
    stored = json.loads(EVIDENCE.read_text())["rows"] if EVIDENCE.exists() else []
    found = {row["commit"] for row in stored if row["case"] == region and row["seed"] in seeds}
    return str(found.pop()) if len(found) == 1 else ""


def table(rows: list[dict[str, Any]]) -> str:
    """Return mean and least adjusted Rand index of the pairs by region, as Markdown."""
    lines = [
        "| region | zones | run seeds | P^g: mean | P^g: least | P^c: mean | P^c: least |",
        "|---|---:|---|" + "---:|" * 4,
    ]
    for row in rows:
        cells = [f"{measure(row[name]):.3f}" for name in MAPS for measure in (statistics.mean, min)]
        seeds = ", ".join(map(str, row["seeds"]))
        lines.append(f"| {TITLES[row['region']]} | {row['zones']} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--keep", type=Path, help="keeps the built-in region and its runs here")
    parser.add_argument("--folder", type=Path, help="where evidence.py kept runs; the built-in region is left out")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = parser.parse_args()
    if len(set(given.seeds)) < 2:
        parser.error("two seeds at least are compared: --seeds 0 1")
    now = commit()
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    new: list[dict[str, Any]] = []
    if given.folder and not given.table:
        new = kept(given.folder)
        if not new:
            parser.error(f"{given.folder} has no two runs of one real region: make them with evidence.py --folder")
    elif not given.table:
        with tempfile.TemporaryDirectory() as folder:
            runs = run_built_in(given.seeds, given.keep or Path(folder))
            new = [{**compared("built-in", runs, given.seeds), "commit": now}]
    rows = [row for row in rows if row["region"] not in {made["region"] for made in new}] + new
    rows.sort(key=lambda row: list(TITLES).index(row["region"]))
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    text = table(rows)
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
