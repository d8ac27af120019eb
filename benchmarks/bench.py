"""How fast each stage is, beside a limit or a peer measured in the same process: ``make bench``.

    .venv/bin/python benchmarks/bench.py [--stages encode kmeans] [--small]
    .venv/bin/python benchmarks/bench.py --compare COMMIT [COMMIT]

Each stage of ``benchmarks/stages`` runs in a process of its own. Results go to ``benchmarks/results/stages``, one file
a commit, and as a table into ``docs/performance.md``; ``--compare`` shows what changed from one commit to another (by
default the newest that is kept). ``--small`` takes sizes that last seconds, as the tests do, and writes nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evidence import DOCS as EVIDENCE
from evidence import HERE, commit, write_docs
from stages.measuring import Measure

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

STAGES = ("read", "cube", "feed", "train", "encode", "kmeans", "silhouette", "publish", "road")
RESULTS = HERE / "results" / "stages"
DOCS = EVIDENCE.with_name("performance.md")
MARKS = ("<!-- stages: begin -->", "<!-- stages: end -->")


def measured(stage: str, *, small: bool) -> list[Measure]:
    """Return the rows of a stage, measured in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--alone", stage, *(["--small"] if small else [])]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    if found.returncode:
        raise SystemExit(f"the stage '{stage}' could not be measured: {' '.join(command)}")
    return [Measure(**row) for row in json.loads(found.stdout.splitlines()[-1])]


def measure_alone(stage: str, *, small: bool) -> None:
    """Measure a stage here and print its rows as one line of JSON."""
    rows = importlib.import_module(f"stages.{stage}").measure(small=small)
    print(json.dumps([asdict(row) for row in rows]))


def table(rows: list[Measure]) -> str:
    """Return rows as a Markdown table."""
    lines = [
        "| stage | what | rate | times the peer | peer or limit | bar | peak |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    for row in rows:
        bar = "" if row.bar is None else f"{row.bar:g}{'' if row.kept else ' **missed**'}"
        cells = [
            row.stage, row.what, f"{shown(row.rate)} {row.unit}", "" if row.ratio is None else f"{row.ratio:.2f}",
            row.peer, bar, "" if row.peak_gib is None else f"{row.peak_gib:.2f} GiB",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(rate: float) -> str:
    """Return a rate with three digits that count.

    >>> shown(0.01234), shown(12.34), shown(123456)
    ('0.0123', '12.3', '123 000')
    """
    if rate >= 100:
        digits = max(0, len(str(int(rate))) - 3)
        return f"{round(rate, -digits):,.0f}".replace(",", " ")
    return f"{rate:.3g}"


def machine() -> str:
    """Return what the figures were measured on, in words."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    kinds = " ".join(line for line in lines[:40] if line.startswith("flags"))
    extras = [name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in kinds]
    return (
        f"{os.cpu_count()} cores of {names[0] if names else platform.machine()} ({', '.join(extras)}), "
        f"PyTorch {torch.__version__}"
    )


def write(rows: list[Measure], *, seconds: float) -> None:
    """Keep rows under the commit, beside those of other stages measured at it, and put the table into the docs."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{commit()}.json"
    kept = read(path)["rows"] if path.exists() else []
    new = {row.stage for row in rows}
    stages = {row["stage"]: [] for row in kept} | {stage: [] for stage in new}
    for row in [entry for entry in kept if entry["stage"] not in new] + [asdict(row) for row in rows]:
        stages[row["stage"]].append(row)
    ordered = [row for stage in STAGES for row in stages.get(stage, [])]
    made = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "seconds": round(seconds), "rows": ordered}
    path.write_text(json.dumps(made, indent=1) + "\n")
    if DOCS.exists():
        told = f"Measured at {commit()} on {made['machine']}."
        write_docs(DOCS, f"{told}\n\n{table([Measure(**row) for row in ordered])}", marks=MARKS)


def read(path: Path) -> dict[str, Any]:
    """Return the results kept of a commit."""
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in RESULTS.glob("*.json"))) or "none"
        raise SystemExit(f"there are no results of {path.stem} in {RESULTS}: kept are those of {known}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def compared(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return what changed between two results as a Markdown table: rates, and ratios to a peer, which noise spares."""
    before = {(row["stage"], row["what"]): row for row in old["rows"]}
    lines = [
        "| stage | what | rate before | rate now | change | to the peer before | now |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in new["rows"]:
        own = before.get((row["stage"], row["what"]))
        ratios = ["" if one is None or one["ratio"] is None else f"{one['ratio']:.2f}" for one in (own, row)]
        was, change = ("–", "new") if own is None else (shown(own["rate"]), f"{row['rate'] / own['rate'] - 1:+.0%}")
        now = f"{shown(row['rate'])} {row['unit']}"
        lines.append(f"| {row['stage']} | {row['what']} | {was} | {now} | {change} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines)


def newest() -> Path:
    """Return the results that were written last."""
    found = sorted(RESULTS.glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise SystemExit(f"there are no results in {RESULTS}: run  make bench  first")
    return found[-1]


def main() -> None:
    """Measure, print, write; or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=STAGES)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--compare", nargs="+", metavar="COMMIT")
    parser.add_argument("--alone", choices=STAGES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        return measure_alone(given.alone, small=given.small)
    if given.compare:
        old, new = RESULTS / f"{given.compare[0]}.json", newest()
        new = RESULTS / f"{given.compare[1]}.json" if len(given.compare) > 1 else new
        return print(compared(read(old), read(new)))
    begun, rows = time.monotonic(), list[Measure]()
    for stage in given.stages:
        rows += measured(stage, small=given.small)
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        if not given.small:
            write(rows, seconds=time.monotonic() - begun)
    print(table(rows))
    return None


if __name__ == "__main__":
    main()
