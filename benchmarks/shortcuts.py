"""What an encoder might have learnt in the place of land: dates, haze, position; the table of ``docs/evidence.md``.

    .venv/bin/python benchmarks/evidence.py --folder FOLDER        # keeps its runs there
    .venv/bin/python benchmarks/shortcuts.py FOLDER

On kept runs, for what the networks f^g and f^c make of tiles (without the statistics beside) and for plain tile means:

date
    Share of the variance of the vectors, over tiles and dates, that lies between dates. Season belongs there, too.
haze
    How far a tile moves when its date is veiled, a sixth of the way to white, as a share of the distance between two
    tiles of a date. What does not move is blind to haze.
position
    Share of the variance of row and column, within the true kinds of land, that a linear model finds in the vectors
    averaged over the dates (R², mean of both, five folds). Land does change with position within a kind; plain means
    say how much of that any eye can see.
spread
    ‖z − z̄‖² / ‖z‖², z̄ the mean of a date: near 0 where an encoder has collapsed (`taxoscape.embedding.fit.judge`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from evidence import BEGIN, DATA, DOCS, END, HERE, REAL, commit, write_docs

from taxoscape import load_encoder
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.embedding.encoder import Encoder
from taxoscape.embedding.features import sample_tiles
from taxoscape.embedding.tiles import TileReader
from taxoscape.run.folder import RunFolder
from taxoscape.run.results import open_cube
from taxoscape.run.store import read_series

RESULTS = HERE / "results" / "shortcuts.json"
MARKS = (BEGIN.replace("table", "shortcuts"), END.replace("table", "shortcuts"))
RUNS = ("built-in-1", "built-in-2", "clouds-1", "netherlands-0", "lombardy-0")
ENCODERS = {"f^g": "_geographic", "f^c": ""}
VEIL = 1 / 6
"""How far towards white a veiled date is moved."""
TILES = 600
"""Tiles that are veiled."""

Array = np.ndarray[Any, Any]


def measured(home: Path) -> list[dict[str, Any]]:
    """Return the rows of a kept run: f^g, f^c where there is one, and plain tile means."""
    case = home.name.rpartition("-")[0]
    place, share = str(home / "truth" / "truth.tif"), 0.5
    if case in REAL:
        _, labels, _, _, share = REAL[case]
        place = str(DATA / labels)
    run = home / "run"
    cube, rows = open_cube(RunFolder(run)), []
    for name, ending in ENCODERS.items():
        if not (run / f"series{ending}.zarr").exists():
            continue
        encoder = load_encoder(run / f"encoder{ending}.safetensors")
        reader = TileReader(cube, encoder.tile_size)
        series = read_series(run / f"series{ending}.zarr").load()
        truth = read_labels_on_grid(place, grid_of(series), min_share=share)
        values, length = series["embedding"].to_numpy(), encoder.recipe.n_features
        parts = {name: slice(0, length)}
        if name == "f^g":
            parts["tile means"] = slice(length, length + len(encoder.bands))
        places = np.column_stack([series["row"].to_numpy(), series["col"].to_numpy()])
        moved = moved_by_haze(encoder, reader, parts)
        rows += [
            {
                "run": home.name, "encoder": part, "date": share_of_dates(values[..., columns]), "haze": moved[part],
                "position": position_found(values[..., columns], places, truth),
                "spread": encoder.metadata["training"].get("spread") if part == name else None, "commit": commit(),
            }
            for part, columns in parts.items()
        ]  # fmt: skip
    return rows


def share_of_dates(values: Array) -> float:
    """Return the share of the variance of vectors (tile, time, feature), NaN where unseen, that lies between dates."""
    seen = np.isfinite(values).all(axis=2)
    means = np.stack([values[seen[:, t], t].mean(axis=0) for t in range(values.shape[1]) if seen[:, t].any()])
    counts = seen.sum(axis=0)[seen.any(axis=0)]
    whole = values[seen].astype(np.float64)
    middle = whole.mean(axis=0)
    between = float((counts[:, None] * np.square(means - middle)).sum())
    return between / float(np.square(whole - middle).sum())


def moved_by_haze(encoder: Encoder, reader: TileReader, parts: dict[str, slice]) -> dict[str, float]:
    """Return how far tiles move under a veil, by part of their vectors, over the distance of two tiles of a date."""
    corners = sample_tiles(reader, TILES, rng=np.random.default_rng(0), min_valid=0.5)
    values, valid = reader.read(corners)
    clear, veiled = encoder.embed(values, valid), encoder.embed(under_a_veil(values, valid), valid)
    first, second = pairs_of_a_date(corners[:, 2])
    found = {}
    for name, columns in parts.items():
        moved = np.linalg.norm((veiled - clear)[:, columns], axis=1)
        apart = np.linalg.norm((clear[first] - clear[second])[:, columns], axis=1)
        found[name] = float(np.median(moved) / np.median(apart))
    return found


def under_a_veil(values: Array, valid: Array) -> Array:
    """Return tiles (n, band, y, x) moved by `VEIL` of the way towards the whitest one in a hundred valid pixels."""
    seen = np.where(valid[:, None], values.astype(np.float64), np.nan)
    white = np.nanquantile(seen, 0.99, axis=(0, 2, 3))[:, None, None]
    moved = values + VEIL * (white - values)
    return (np.rint(moved) if values.dtype.kind in "ui" else moved).astype(values.dtype)


def pairs_of_a_date(dates: Array) -> tuple[Array, Array]:
    """Return pairs of different tiles of one date, each tile with the next of its date: two int arrays (pair,)."""
    order = np.argsort(dates, kind="stable")
    same = dates[order[1:]] == dates[order[:-1]]
    return order[:-1][same], order[1:][same]


def position_found(values: Array, places: Array, truth: Array) -> float:
    """Return the R² of row and column within kinds of land from vectors averaged over the dates, five folds."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.preprocessing import StandardScaler

    chosen = (truth > 0) & np.isfinite(values).all(axis=2).any(axis=1)
    vectors = np.nanmean(values[chosen], axis=1).astype(np.float64)
    known, wanted = truth[chosen], places[chosen].astype(np.float64)
    for kind in np.unique(known):
        own = known == kind
        vectors[own] -= vectors[own].mean(axis=0)
        wanted[own] -= wanted[own].mean(axis=0)
    scaled = StandardScaler().fit_transform(vectors)
    model, folds = RidgeCV(alphas=np.logspace(-2, 4, 13)), KFold(5, shuffle=True, random_state=0)
    left = wanted - cross_val_predict(model, scaled, wanted, cv=folds)
    return float(np.mean(1 - np.square(left).sum(axis=0) / np.square(wanted).sum(axis=0)))


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| run | vectors of | date | haze | position | spread |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        spread = "" if row["spread"] is None else f"{row['spread']:.2f}"
        figures = " | ".join(f"{row[name]:.2f}" for name in ("date", "haze", "position"))
        lines.append(f"| {row['run']} | {row['encoder']} | {figures} | {spread} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", nargs="*", default=list(RUNS))
    given = parser.parse_args()
    homes = [given.folder / name for name in given.runs]
    missing = [home for home in homes if not (home / "run" / "run.toml").exists()]
    if missing:
        parser.error(f"there is no run in {missing[0]}: make it with evidence.py --folder {given.folder}")
    rows = [row for home in homes for row in measured(home)]
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    print(table(rows))
    write_docs(DOCS, table(rows), marks=MARKS)


if __name__ == "__main__":
    main()
