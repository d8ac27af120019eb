"""How the tree's cuts and partitions made for one number of zones agree with a truth, and with each other.

    .venv/bin/python benchmarks/evidence.py --folder FOLDER        # keeps its runs there
    .venv/bin/python benchmarks/tree.py FOLDER

On kept runs whose zones are known, in the series of their refined zones, at the true number of zones and at 6, 12 and
20: NMI of the flat partition into as many; of the cuts of trees that pass through the flat partitions of these numbers;
and of Ward's method on small clusters alone, with no partition to pass through.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from evidence import BEGIN, DATA, DOCS, END, REAL, write_docs

from taxoscape.analysis.agreement import agreement
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.run.store import read_dataset, read_series
from taxoscape.zones.clustering import cluster
from taxoscape.zones.tree import zone_tree

KS = (6, 12, 20)
"""Numbers of zones, beside the true one."""
MARKS = (BEGIN.replace("table", "tree"), END.replace("table", "tree"))
TRUE = 8
"""Zones of the built-in region."""


def truth_of(case: str, home: Path, grid: Any) -> tuple[np.ndarray[Any, Any], int]:
    """Return the true label of each tile of a kept run, int64 (tile,), and the number of zones that it was made with.

    Parameters
    ----------
    case
        Name in `evidence.REAL`, or ``built-in``.
    home
        Folder of scenes, truth and run.
    grid
        The tiles.
    """
    if case == "built-in":
        return read_labels_on_grid(home / "truth" / "truth.tif", grid).astype(np.int64), TRUE
    _, labels, _, zones, share = REAL[case]
    return read_labels_on_grid(DATA / labels, grid, min_share=share).astype(np.int64), zones


def rows_of(home: Path) -> list[dict[str, Any]]:
    """Return a row per number of zones: NMI of the flat partition, of cuts of trees through others, of Ward alone."""
    series, run = read_series(home / "run" / "series.zarr").load(), read_dataset(home / "run" / "partition.zarr")
    case = home.name.rpartition("-")[0]
    truth, true = truth_of(case, home, grid_of(run))
    flat = {true: run} | {k: cluster(series, n_clusters=k, rng=0) for k in KS if k != true}
    trees = {k: zone_tree(series, zones) for k, zones in flat.items()}
    alone = run.isel(zone=[0]).assign(labels=("tile", (run["labels"].to_numpy() > 0).astype(np.uint8)))
    ward = zone_tree(series, alone)
    rows = []
    for k in sorted(flat):
        labels = flat[k]["labels"].to_numpy()
        rows.append({
            "run": home.name, "k": k, "true": k == true, "flat": agreement(labels, truth)["nmi"],
            **{f"through {other}": agreement(tree.cut(k), truth)["nmi"] for other, tree in trees.items()},
            "true tree": agreement(trees[true].cut(k), truth)["nmi"],
            "ward": agreement(ward.cut(k), truth)["nmi"],
            "ari": agreement(trees[true].cut(k), labels.astype(np.int64))["ari"],
        })  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    through = [f"through {k}" for k in KS]
    head = ["run", "zones", "flat partition", "tree through the true number", *(f"tree {name}" for name in through)]
    head += ["Ward alone", "ARI of flat and tree through the true number"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    names = ("flat", "true tree", *through, "ward", "ari")
    for row in rows:
        k = f"{row['k']} (true)" if row["true"] else str(row["k"])
        lines.append(f"| {row['run']} | {k} | " + " | ".join(f"{row[name]:.3f}" for name in names) + " |")
    return "\n".join(lines)


def verdict(rows: list[dict[str, Any]]) -> str:
    """Return in a sentence how far trees lie from the flat partitions, in the mean over runs and numbers of zones."""
    parts = [row for row in rows if not row["true"]]
    gap = np.mean([row["true tree"] - row["flat"] for row in parts])
    ward = np.mean([row["ward"] - row["flat"] for row in rows])
    wins = sum(row["true tree"] > row["flat"] for row in parts)
    at_true = np.mean([
        row[f"through {k}"] - row["flat"] for row in rows for k in KS if row["true"] and k != row["k"]
    ])  # fmt: skip
    return (
        f"Mean difference in NMI to the flat partition: a tree through the true number, cut at others, {gap:+.3f} "
        f"(above it in {wins} of {len(parts)}); trees through other numbers, cut at the true one, {at_true:+.3f}; "
        f"Ward alone {ward:+.3f}."
    )


def main() -> None:
    """Print the table and put it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", nargs="*", default=["built-in-1", "built-in-2", "built-in-3", "netherlands-0",
                                                      "lombardy-0"])  # fmt: skip
    given = parser.parse_args()
    rows = []
    for name in given.runs:
        rows += rows_of(given.folder / name)
    text = f"{table(rows)}\n\n{verdict(rows)}"
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
