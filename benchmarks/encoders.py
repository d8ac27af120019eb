"""What the default encoder's settings are worth: one changed at a time; the table of ``docs/evidence.md``.

    .venv/bin/python benchmarks/evidence.py --folder FOLDER        # keeps its runs there
    .venv/bin/python benchmarks/encoders.py FOLDER

On the cubes of kept runs whose labels are known, an encoder is trained on geography with every variant of the settings,
the tiles are encoded, and zones are made in the learned metric with the true number, without refinement (P^g). Nothing
is chosen by region. Seconds are of training and encoding together.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from evidence import BEGIN, DATA, DOCS, END, HERE, REAL, commit, write_docs

import taxoscape as tx
from taxoscape.analysis.agreement import agreement
from taxoscape.config import EncoderSettings
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.run.folder import RunFolder
from taxoscape.run.results import open_cube
from taxoscape.zones.clustering import cluster

RESULTS = HERE / "results" / "encoders.json"
MARKS = (BEGIN.replace("table", "encoders"), END.replace("table", "encoders"))
RUNS = ("built-in-1", "built-in-2", "lombardy-0", "netherlands-0")


def variants(tile_size: int) -> dict[str, EncoderSettings]:
    """Return the settings that are tried, by name."""
    usual = EncoderSettings()
    return {
        "default": usual,
        "without statistics beside": replace(usual, statistics=False),
        "temperature 0.05": replace(usual, temperature=0.05),
        "temperature 0.2": replace(usual, temperature=0.2),
        "vectors of 16": replace(usual, n_features=16),
        "vectors of 256": replace(usual, n_features=256),
        "neighbours within half a tile": replace(usual, neighbourhood_px=max(1, tile_size // 2)),
        "neighbours within two tiles": replace(usual, neighbourhood_px=2 * tile_size),
        "batches of 64": replace(usual, batch_size=64),
        "half the triplets": replace(usual, triplets=usual.triplets // 2),
        "twice the triplets": replace(usual, triplets=2 * usual.triplets),
        "the paper's triplet loss": replace(usual, loss="triplet"),
    }


def measured(home: Path, only: list[str]) -> list[dict[str, Any]]:
    """Return the NMI of P^g and the seconds of each variant on the cube of a kept run."""
    case = home.name.rpartition("-")[0]
    place, size, k, share = str(home / "truth" / "truth.tif"), 50, 8, 0.5
    if case in REAL:
        _, labels, size, k, share = REAL[case]
        place = str(DATA / labels)
    cube, rows = open_cube(RunFolder(home / "run")).load(), []
    for name, settings in variants(size).items():
        if only and name not in only:
            continue
        begun = time.monotonic()
        encoder = tx.train_encoder(cube, tile_size=size, settings=settings, rng=0)
        series = tx.encode(cube, encoder)
        seconds = time.monotonic() - begun
        truth = read_labels_on_grid(place, grid_of(series), min_share=share)
        zones = cluster(series, n_clusters=k, rng=0)["labels"].to_numpy()
        learnt = encoder.metadata["training"]
        rows.append(
            {
                "run": home.name, "variant": name, "nmi": float(agreement(zones, truth)["nmi"]), "seconds": seconds,
                "accuracy": learnt.get("held_out_accuracy"), "spread": learnt.get("spread"), "commit": commit(),
            }
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the NMI by variant and run as Markdown, with the mean difference to the default and the mean seconds."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    by = {(row["variant"], row["run"]): row for row in rows}
    lines = [
        "| settings | " + " | ".join(runs) + " | mean difference | seconds |",
        "|---|" + "---:|" * (len(runs) + 2),
    ]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [run for run in runs if (variant, run) in by and ("default", run) in by]
        cells = [f"{by[variant, run]['nmi']:.3f}" if (variant, run) in by else "–" for run in runs]
        apart = float(np.mean([by[variant, run]["nmi"] - by["default", run]["nmi"] for run in own])) if own else np.nan
        seconds = float(np.mean([by[variant, run]["seconds"] for run in runs if (variant, run) in by]))
        gap = "" if variant == "default" else f"{apart:+.3f}"
        lines.append(f"| {variant} | " + " | ".join(cells) + f" | {gap} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", nargs="*", default=list(RUNS))
    parser.add_argument("--variants", nargs="*", default=[], help="only these, by name")
    given = parser.parse_args()
    homes = [given.folder / name for name in given.runs]
    missing = [home for home in homes if not (home / "run" / "run.toml").exists()]
    if missing:
        parser.error(f"there is no run in {missing[0]}: make it with evidence.py --folder {given.folder}")
    rows: list[dict[str, Any]] = []
    for home in homes:
        rows += measured(home, given.variants)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    text = table(rows)
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
