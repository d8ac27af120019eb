"""Whether the confidence of a tile is the share of tiles that are right: the reliability table of ``docs/evidence.md``.

    .venv/bin/python benchmarks/evidence.py --folder FOLDER        # keeps its runs there
    .venv/bin/python benchmarks/reliability.py FOLDER

On the kept runs of the built-in region, whose zones are known. A tile is right where its zone is the one that shares
most tiles with the true zone of the tile (zones and truth matched one to one). Expected calibration error: the mean gap
between confidence and share, over the tiles.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from evidence import BEGIN, DOCS, END, write_docs

from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.run.store import read_dataset
from taxoscape.zones.confidence import confidence
from taxoscape.zones.matching import overlap_order

EDGES = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Classes of confidence."""
MARKS = (BEGIN.replace("table", "reliability"), END.replace("table", "reliability"))


def right_and_sure(run: Path, truth: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return confidence, float (tile,), and whether it is right, bool (tile,), of the labelled tiles of a run."""
    zones = read_dataset(run / "partition.zarr")
    true = read_labels_on_grid(truth, grid_of(zones)).astype(np.int64)
    labels = zones["labels"].to_numpy().astype(np.int64)
    known = (labels > 0) & (true > 0)
    number = np.concatenate([[0], overlap_order(true, labels, max(zones.sizes["zone"], int(true.max())))])
    return confidence(zones)[known].astype(np.float64), (number[labels] == true)[known]


def table(sure: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> str:
    """Return the tiles, their mean confidence and the share that is right, by class of confidence, as Markdown."""
    lines = ["| confidence | tiles | mean confidence | share right |", "|---|---:|---:|---:|"]
    gap = 0.0
    for low, high in itertools.pairwise(EDGES):
        chosen = (sure >= low) & ((sure < high) | (high == 1.0))
        if chosen.any():
            mean, share = sure[chosen].mean(), right[chosen].mean()
            gap += abs(mean - share) * chosen.mean()
            lines.append(f"| {low:g} to {high:g} | {chosen.sum()} | {mean:.2f} | {share:.2f} |")
    lines.append(f"| all | {len(sure)} | {sure.mean():.3f} | {right.mean():.3f} |")
    return "\n".join([*lines, "", f"Expected calibration error: {gap:.3f}."])


def main() -> None:
    """Print the table and put it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    homes = sorted(home for home in folder.glob("built-in-*") if (home / "run" / "partition.zarr").exists())
    if not homes:
        parser.error(f"there are no runs of the built-in region in {folder}: make them with evidence.py --folder")
    found = [right_and_sure(home / "run", home / "truth" / "truth.tif") for home in homes]
    text = table(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
