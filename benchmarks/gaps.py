"""What missing dates cost: the table of ``docs/evidence.md``, from kept runs whose labels are known.

    .venv/bin/python benchmarks/evidence.py --folder FOLDER        # keeps its runs there
    .venv/bin/python benchmarks/gaps.py FOLDER

From the series of a run, under its f^c, 30 % of the tile dates are taken out: each by itself at random, or in blocks as
clouds are. Then the tiles are clustered anew, with the true number of zones:

* ``whole``: nothing taken out (what the run missed itself is missing);
* ``as they are``: the method, every tile by the dates that it has;
* ``interpolated``: gaps filled along time, between the dates that a tile has, before clustering (``--fill``);
* ``dates dropped``: the half of the dates left out on which most tiles are missing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from evidence import BEGIN, DATA, DOCS, END, REAL, write_docs

from taxoscape.analysis.agreement import agreement
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.embedding.encoding import filled
from taxoscape.grid import Grid
from taxoscape.run.store import read_series
from taxoscape.zones.clustering import cluster
from taxoscape.zones.missing import counted

SHARE = 0.3
"""Share of the tile dates that are taken out."""
MARKS = (BEGIN.replace("table", "gaps"), END.replace("table", "gaps"))
METHODS = ("as they are", "interpolated", "dates dropped")


def gaps(grid: Grid, times: int, *, seed: int) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield kinds of gaps: name, and bool (tile, time), True where a tile misses a date."""
    rng = np.random.default_rng(seed)
    yield "at random", rng.random((grid.n_tiles, times)) < SHARE
    blocks = np.zeros((times, grid.n_rows, grid.n_cols), dtype=bool)
    for date in blocks:
        wanted = rng.uniform(SHARE - 0.2, SHARE + 0.2)
        while date.mean() < wanted:
            height, width = (max(1, int(n * rng.uniform(0.1, 0.4))) for n in date.shape)
            row, col = rng.integers(grid.n_rows), rng.integers(grid.n_cols)
            date[max(0, row - height // 2) : row + height, max(0, col - width // 2) : col + width] = True
    yield "in blocks", blocks.reshape(times, -1).T


def interpolated(series: xr.Dataset) -> xr.Dataset:
    """Return a series whose gaps are filled along time (``--fill``)."""
    return with_values(series, filled(series["embedding"].to_numpy(), series["time"].to_numpy()))


def with_values(series: xr.Dataset, values: np.ndarray[Any, Any]) -> xr.Dataset:
    """Return a series with other vectors."""
    return series.assign(embedding=(series["embedding"].dims, values))


def made_by(method: str, series: xr.Dataset) -> xr.Dataset:
    """Return the series that a method clusters."""
    if method == "interpolated":
        return interpolated(series)
    if method == "dates dropped":
        missing = (~counted(series)).mean(axis=0)
        return series.isel(time=np.sort(np.argsort(missing, kind="stable")[: max(1, len(missing) // 2)]))
    return series


def measured(series: xr.Dataset, truth: np.ndarray[Any, Any], k: int, seed: int) -> dict[str, Any]:
    """Return the NMI of the whole series, and by kind of gap and method that of the others."""

    def score(found: xr.Dataset) -> float:
        return float(agreement(cluster(found, n_clusters=k, rng=seed)["labels"].to_numpy(), truth)["nmi"])

    rows: dict[str, Any] = {"whole": score(series)}
    for kind, gone in gaps(grid_of(series), series.sizes["time"], seed=seed):
        values = series["embedding"].to_numpy().copy()
        values[gone] = np.nan
        rows[kind] = {method: score(made_by(method, with_values(series, values))) for method in METHODS}
    return rows


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the means over the runs of each case as Markdown: NMI, in brackets its share of that on whole series."""
    lines = [
        "| region (runs) | whole | gaps | " + " | ".join(METHODS) + " |",
        "|---|---:|---|" + "---:|" * len(METHODS),
    ]
    for case, runs in found.items():
        whole = float(np.mean([run["whole"] for run in runs]))
        for kind in ("at random", "in blocks"):
            means = [float(np.mean([run[kind][method] for run in runs])) for method in METHODS]
            cells = " | ".join(f"{mean:.3f} ({mean / whole:.0%})" for mean in means)
            lines.append(f"| {case} ({len(runs)}) | {whole:.3f} | {kind} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every kept run, print the table and put it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    found: dict[str, list[dict[str, Any]]] = {}
    for home in sorted(folder.iterdir()):
        case, _, seed = home.name.rpartition("-")
        if case not in ("built-in", *REAL) or not (home / "run" / "series.zarr").exists():
            continue
        series = read_series(home / "run" / "series.zarr").load()
        place, share, k = str(home / "truth" / "truth.tif"), 0.5, 8
        if case in REAL:
            _, labels, _, k, share = REAL[case]
            place = str(DATA / labels)
        truth = read_labels_on_grid(place, grid_of(series), min_share=share)
        found.setdefault(case, []).append(measured(series, truth, k, int(seed)))
        print(home.name, json.dumps(found[case][-1]), flush=True)
    if not found:
        parser.error(f"there are no runs in {folder}: make them with evidence.py --folder")
    text = table(found)
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
