"""Another year of the built-in region under the zones of the first: agreement, levels, and what is found to be unlike.

    .venv/bin/python benchmarks/evidence.py --folder FOLDER        # keeps its runs there
    .venv/bin/python benchmarks/other_year.py FOLDER

The same land two years later, dates shifted by four days, with its own weather, haze and gain, under the encoder and
the zones of a kept run: the whole of it, and each quarter alone as if it were elsewhere, with and without levels. Then
patches of 200 × 200 px of ground that was never seen are laid into it, and it is counted which of their tiles are
unlike.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from evidence import BEGIN, DOCS, END, write_docs

import taxoscape as tx
from taxoscape.analysis.agreement import agreement
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.grid import Grid, Lattice
from taxoscape.run.store import read_dataset, read_series
from taxoscape.testing.region import Region, region_cube
from taxoscape.zones.assign import assign, leaves_of

MARKS = (BEGIN.replace("table", "other-year"), END.replace("table", "other-year"))
PATCH_PX = 200
"""Edge of a patch of unknown ground."""
CUTS = (4, 8, 12, 20)
"""Numbers of zones at which the years are compared."""
STRANGERS = (7, 8, 9, 11)
"""Seeds of the land of other built-in regions."""


def years_later(day: date, years: int = 2, days: int = 4) -> date:
    """Return a date some years and days later, in the same month."""
    return date(day.year + years, day.month, min(28, day.day + days) if day.day <= 28 else day.day)


def patches_of(days: tuple[date, ...], region: Region) -> dict[str, Any]:
    """Return patches of ground that was never seen, uint8 (time, band, y, x), by name."""
    rng, shape = np.random.default_rng(0), (len(days), 3, PATCH_PX, PATCH_PX)
    checks = np.where(np.indices(shape[2:]).sum(axis=0) // 4 % 2, 220, 30)
    found = {
        "chessboard": np.broadcast_to(checks, shape),
        "bright, flat": 235 + rng.integers(-5, 5, shape),
        "dark, flat": 18 + rng.integers(0, 4, shape),
        "noise": rng.integers(1, 255, shape),
    }
    for seed in STRANGERS:
        land = Region(seed=seed, height=PATCH_PX, width=PATCH_PX, n_zones=region.n_zones, dates=days)
        found[f"land of seed {seed}"] = region_cube(land).to_numpy()
    return {name: patch.astype(np.uint8) for name, patch in found.items()}


def elsewhere(series: xr.Dataset, tiles: np.ndarray[Any, Any], n_rows: int) -> xr.Dataset:
    """Return some tiles of a series as if they lay on other ground."""
    grid = grid_of(series)
    lattice, size = grid.lattice, grid.tile_size
    moved = Lattice(
        crs=lattice.crs, x0=lattice.x0 + 1000 * size * lattice.dx, y0=lattice.y0, dx=lattice.dx, dy=lattice.dy,
        height=n_rows * size, width=len(tiles) // n_rows * size,
    )  # fmt: skip
    return series.isel(tile=tiles).assign_attrs(grid=Grid.over(moved, tile_size=size).to_json())


def year_rows(later: xr.Dataset, zones: xr.Dataset, series: xr.Dataset, truth: Any) -> list[dict[str, Any]]:
    """Return NMI and tiles unlike, with and without levels, of a whole year and of its quarters alone."""
    grid = grid_of(later)
    row, col = np.divmod(np.arange(grid.n_tiles), grid.n_cols)
    south, east = row >= grid.n_rows // 2, col >= grid.n_cols // 2
    parts = {"whole": np.arange(grid.n_tiles)}
    for name, inside in (("NW", ~south & ~east), ("NE", ~south & east), ("SW", south & ~east), ("SE", south & east)):
        parts[f"{name} quarter, elsewhere"] = np.flatnonzero(inside)
    rows = []
    for name, tiles in parts.items():
        new = later if name == "whole" else elsewhere(later, tiles, grid.n_rows // 2)
        before = agreement(zones["labels"].to_numpy()[tiles], truth[tiles])["nmi"]
        found = {}
        for how, levels in (("levels", True), ("as it is", False)):
            given = assign(new, zones, series, levels=levels)
            found[how] = agreement(given["labels"].to_numpy(), truth[tiles])["nmi"]
            found[f"unlike, {how}"] = float((given["outlyingness"].to_numpy() > 1).mean())
        rows.append({"part": name, "first year": before, **found})
    return rows


def unlike_rows(cube: xr.DataArray, region: Region, encoder: Any, zones: Any, series: Any) -> list[dict[str, Any]]:
    """Return the share of the tiles of each patch that are unlike, and of the rest."""
    values, known, per = cube.to_numpy().copy(), {}, PATCH_PX // 50
    for number, (name, patch) in enumerate(patches_of(region.days, region).items()):
        top, left = 200 + 800 * (number // 4), 200 + 400 * (number % 4)
        values[:, :, top : top + PATCH_PX, left : left + PATCH_PX] = patch
        known[name] = np.s_[top // 50 : top // 50 + per, left // 50 : left // 50 + per]
    found = assign(tx.encode(cube.copy(data=values), encoder), zones, series)
    unlike = grid_of(found).to_map(found["outlyingness"].to_numpy() > 1)
    rest = np.ones(unlike.shape, dtype=bool)
    for place in known.values():
        rest[place] = False
    rows = [{"ground": name, "unlike": float(unlike[place].mean())} for name, place in known.items()]
    return [*rows, {"ground": "all other ground", "unlike": float(unlike[rest].mean())}]


def cut_row(later: xr.Dataset, zones: xr.Dataset, series: xr.Dataset) -> dict[str, Any]:
    """Return the share of tiles that are in the same zone in both years, by the number of zones of the cut."""
    tree = tx.zone_tree(series, zones)
    leaves = leaves_of(tree, later, assign(later, zones, series))
    return {str(k): float((tree.lookup(k)[leaves] == tree.cut(k)).mean()) for k in CUTS}


def of_run(home: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of a kept run of the built-in region."""
    run, seed = home / "run", int(home.name.rpartition("-")[2])
    series, zones = read_series(run / "series.zarr").load(), read_dataset(run / "partition.zarr")
    encoder = tx.load_encoder(run / "encoder.safetensors")
    days = tuple(years_later(day) for day in Region(seed=seed).days)
    region = Region(seed=seed, dates=days)
    cube = region_cube(region)
    later = tx.encode(cube, encoder)
    truth = read_labels_on_grid(home / "truth" / "truth.tif", grid_of(later)).astype(np.int64)
    years = [{"run": home.name, **row} for row in year_rows(later, zones, series, truth)]
    unlike = [{"run": home.name, **row} for row in unlike_rows(cube, region, encoder, zones, series)]
    return years, unlike, {"run": home.name, **cut_row(later, zones, series)}


def year_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows of years as a Markdown table."""
    names = ("first year", "levels", "as it is", "unlike, levels", "unlike, as it is")
    titles = ("NMI, first year", "NMI, later", "…, no levels", "tiles unlike", "…, no levels")
    lines = ["| run | land | " + " | ".join(titles) + " |", "|---|---" + "|---:" * len(names) + "|"]
    for row in rows:
        cells = [f"{row[name]:.1%}" if name.startswith("unlike") else f"{row[name]:.3f}" for name in names]
        lines.append(f"| {row['run']} | {row['part']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def unlike_table(rows: list[dict[str, Any]]) -> str:
    """Return the share of tiles found to be unlike, by ground and run, as a Markdown table."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    lines = ["| ground | " + " | ".join(runs) + " |", "|---" + "|---:" * len(runs) + "|"]
    for ground in dict.fromkeys(row["ground"] for row in rows):
        shares = {row["run"]: row["unlike"] for row in rows if row["ground"] == ground}
        lines.append(f"| {ground} | " + " | ".join(f"{shares[run]:.1%}" for run in runs) + " |")
    return "\n".join(lines)


def cut_table(rows: list[dict[str, Any]]) -> str:
    """Return the share of tiles in the same zone in both years as a Markdown table."""
    head = "| run | " + " | ".join(f"{k} zones" for k in CUTS) + " |"
    lines = [head, "|---" + "|---:" * len(CUTS) + "|"]
    return "\n".join(
        [*lines, *(f"| {row['run']} | " + " | ".join(f"{row[str(k)]:.1%}" for k in CUTS) + " |" for row in rows)]
    )


def main() -> None:
    """Print the tables and put them into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", nargs="*", default=["built-in-1", "built-in-2", "built-in-3"])
    given = parser.parse_args()
    years: list[dict[str, Any]] = []
    unlike: list[dict[str, Any]] = []
    cuts: list[dict[str, Any]] = []
    for name in given.runs:
        first, second, third = of_run(given.folder / name)
        years, unlike, cuts = [*years, *first], [*unlike, *second], [*cuts, third]
    same = f"Tiles in the same zone of the tree's cut in both years:\n\n{cut_table(cuts)}"
    text = f"{year_table(years)}\n\n{unlike_table(unlike)}\n\n{same}"
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
