"""The main job on real imagery with labels, scored by labels that it has never seen.

    .venv/bin/python benchmarks/real.py

Sentinel-2 NDVI of the Netherlands against crop groups, MODIS NDVI of Lombardy against land cover, default settings but
for tile size and number of zones, in ``TAXOSCAPE_REAL_DATA`` or ``../shared/data``. For each seed: NMI and ARI of
K-means on mean colours, of P^g and of P^c; seconds and peak memory of the run. The last row is the mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from child import measured

DATA = Path(os.environ.get("TAXOSCAPE_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data").resolve()
CASES = {
    "netherlands": (
        "01_s2_ndvi_netherlands/images/NDVI-*", "01_s2_ndvi_netherlands/labels/group_2017.tif", 10, 6, 0.6,
    ),
    "lombardy": (
        "03_modis_ndvi_lombardy_corine/images", "03_modis_ndvi_lombardy_corine/labels/groups_on_modis_grid.tif",
        8, 8, 0.5,
    ),
}  # fmt: skip
"""Scenes, truth, tile size, zones, min_share."""


def measure(case: str, seed: int) -> dict[str, Any]:
    """Run one case in a process of its own; return scores, seconds and peak memory."""
    from taxoscape.demo import score
    from taxoscape.run.folder import RunFolder

    scenes, truth, tile_size, zones, share = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        options = ["--tile-size", str(tile_size), "--zones", str(zones), "--seed", str(seed), "--out", str(out)]
        seconds, peak = measured("run", str(DATA / scenes), *options)
        scores = score(RunFolder(out), DATA / truth, min_share=share)
    return {"case": case, "seed": seed, "seconds": round(seconds), "peak_gib": peak, "scores": scores}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results of one case as a Markdown table, with the means in the last row."""
    names = list(rows[0]["scores"])
    lines = [f"| {rows[0]['case']}, seed | " + " | ".join(f"{name}, NMI / ARI" for name in names) + " | s | GiB |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for row in rows:
        values = " | ".join(f"{row['scores'][n]['nmi']:.3f} / {row['scores'][n]['ari']:.3f}" for n in names)
        lines.append(f"| {row['seed']} | {values} | {row['seconds']} | {row['peak_gib']:.1f} |")
    means = " | ".join(
        " / ".join(f"{statistics.mean(row['scores'][n][score] for row in rows):.3f}" for score in ("nmi", "ari"))
        for n in names
    )
    lines.append(f"| mean | {means} | {statistics.mean(r['seconds'] for r in rows):.0f} | |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    given = parser.parse_args()
    for case in given.cases:
        rows = []
        for seed in given.seeds:
            rows.append(measure(case, seed))
            print(json.dumps(rows[-1]), flush=True)
        print(table(rows), flush=True)


if __name__ == "__main__":
    main()
