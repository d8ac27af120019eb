"""Zones against K-means on mean colours, on the built-in region: the figures of the README.

    .venv/bin/python benchmarks/mean_colours.py --seeds 1 2 3 --drawn 3

Each seed makes its own region of 2 000 × 2 000 pixels, 8 dates and 8 zones, runs the main job on it with the default
settings and the true number of zones, and scores three partitions of the same tiles against the truth. ``--drawn N``
adds N seeds that nobody chose: of the sha256 of the commit that is checked out, four hexadecimal digits each.

It prints the table and writes it, with the machine and the commit, to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from child import measured

HERE = Path(__file__).resolve().parent


def commit() -> str:
    """Return the id of the commit that is checked out."""
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()


def drawn_seeds(number: int) -> list[int]:
    """Return seeds made of the first digits of the sha256 of the commit."""
    digits = hashlib.sha256(commit().encode()).hexdigest()
    return [int(digits[4 * i : 4 * i + 4], 16) for i in range(number)]


def measure(seed: int, size: int) -> dict[str, Any]:
    """Run the demo of one seed in a process of its own; return scores, seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, peak = measured("demo", "--out", folder, "--seed", str(seed), "--size", str(size))
        scores = json.loads((Path(folder) / "scores.json").read_text())
    return {"seed": seed, "seconds": seconds, "peak_gib": peak, "scores": scores}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table, with the means in the last row."""
    names = list(rows[0]["scores"])
    lines = ["| seed | " + " | ".join(f"{name}, NMI" for name in names) + " | seconds | peak GiB |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for row in rows:
        values = " | ".join(f"{row['scores'][name]['nmi']:.3f}" for name in names)
        lines.append(f"| {row['seed']} | {values} | {row['seconds']:.0f} | {row['peak_gib']:.1f} |")
    means = " | ".join(f"**{statistics.mean(row['scores'][name]['nmi'] for row in rows):.3f}**" for name in names)
    seconds = statistics.mean(row["seconds"] for row in rows)
    lines.append(f"| mean | {means} | {seconds:.0f} | {max(row['peak_gib'] for row in rows):.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--drawn", type=int, default=0)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "mean_colours.json")
    given = parser.parse_args()
    rows = []
    for seed in [*given.seeds, *drawn_seeds(given.drawn)]:
        rows.append(measure(seed, given.size))
        print(json.dumps(rows[-1]), flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"commit": commit(), "machine": platform.machine(), "cores": os.cpu_count(), "size": given.size}
    given.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
