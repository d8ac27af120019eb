"""Every method on the same tiles, against labels that none of them has seen: the table of ``docs/evidence.md``.

    .venv/bin/python benchmarks/evidence.py

On the built-in region (2 000 × 2 000 px, 8 dates, 8 zones; seeds that were chosen and seeds that nobody chose: of the
sha256 of the commit that is checked out, four hexadecimal digits each), on the same land with three pixels in ten under
clouds, which the scenes hold as nodata (there with fewer methods beside), and on real imagery with labels in
``TAXOSCAPE_REAL_DATA`` or ``../shared/data`` (Sentinel-2 NDVI of the Netherlands against crop groups, on the 17 dates
with less than 6 % nodata and on all 26; MODIS NDVI of Lombardy against land cover; Sentinel-2 NDVI of one square
kilometre of Slovenia, clouds and all, against land cover;
of the other folders some have no labels, Sinop's are another classifier's output, WorldCereal's and Havelland's are
of scenes that come in formats that taxoscape does not read yet), each with one command,
``taxoscape run … --baselines --truth …``, default settings but for tile size and the true number of zones. Beside them
stand the methods of ``strong.py``. Per method: NMI, ARI and purity against the labels, stability under resampling,
share of neighbouring tiles in one zone, patches, seconds; the mean over the seeds, and how often the method is above
plain tile means in NMI.

Results go to ``benchmarks/results/evidence.json`` after every run. A run that is there at this commit is not done
again; runs of the same case at other commits give way. ``--table`` only prints what is there, and writes it into the
documentation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from child import measured
from strong import strong_rows

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("TAXOSCAPE_REAL_DATA") or HERE.parents[1] / "shared" / "data").resolve()
RESULTS = HERE / "results" / "evidence.json"
DOCS, README = HERE.parent / "docs" / "evidence.md", HERE.parent / "README.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
BUILT_IN = {"built-in": 0.0, "clouds": 0.3}
"""Cases of the built-in region, and the expected share of pixels under clouds; each date has its own."""
REAL = {
    "netherlands": (
        "01_s2_ndvi_netherlands/images/NDVI-*", "01_s2_ndvi_netherlands/labels/group_2017.tif", 10, 6, 0.6,
    ),
    "netherlands-all": (
        "01_s2_ndvi_netherlands/images/NDVI-*", "01_s2_ndvi_netherlands/labels/group_2017.tif", 10, 6, 0.6,
    ),
    "lombardy": (
        "03_modis_ndvi_lombardy_corine/images", "03_modis_ndvi_lombardy_corine/labels/groups_on_modis_grid.tif",
        8, 8, 0.5,
    ),
    "slovenia": (
        "07_s2_l1c_slovenia_eolearn/images", "07_s2_l1c_slovenia_eolearn/labels/LULC.tif", 5, 5, 0.6,
    ),
}  # fmt: skip
"""Scenes, truth, tile size, zones, min_share."""
TITLES = {
    "built-in": "Built-in region (generator {version}), 1 600 tiles of 50 px, 8 dates, 3 bands, 8 zones",
    "clouds": "The same land under clouds (30 % of the pixels, by date from clear to overcast), {tiles} tiles, 8 zones",
    "netherlands": "Netherlands: Sentinel-2 NDVI on 17 clear dates, {tiles} labelled tiles of 10 px, 6 zones",
    "netherlands-all": "Netherlands, all 26 dates with their gaps, {tiles} labelled tiles of 10 px, 6 zones",
    "lombardy": "Lombardy: MODIS NDVI, {tiles} labelled tiles of 8 px, 8 groups of land cover",
    "slovenia": "Slovenia: Sentinel-2 NDVI with clouds, {tiles} labelled tiles of 5 px, 5 kinds of land cover",
}
CLEAR = 0.06
"""Share of nodata below which a scene is clear."""
COLUMNS = (
    ("nmi", "NMI"), ("ari", "ARI"), ("purity", "purity"), ("stability_ari", "stability"),
    ("map_join_share", "join share"), ("map_patches", "patches"), ("seconds", "seconds"),
)  # fmt: skip


def commit() -> str:
    """Return the id of the commit that is checked out."""
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()


def drawn_seeds(number: int) -> list[int]:
    """Return seeds made of the first digits of the sha256 of the commit."""
    digits = hashlib.sha256(commit().encode()).hexdigest()
    return [int(digits[4 * i : 4 * i + 4], 16) for i in range(number)]


def run_case(
    case: str,
    seed: int,
    *,
    size: int = 2000,
    more: tuple[str, ...] = (),
    baselines: bool = True,
    keep: Path | None = None,
) -> dict[str, Any]:
    """Run one case in a process of its own; return what each method reached, seconds and peak memory.

    ``size`` is that of the built-in region in pixels, ``more`` are further options of the run; without ``baselines``
    the run's own zones and what ``strong.py`` adds are measured alone; the folder ``keep`` gets scenes and run.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) if keep is None else keep / f"{case}-{seed}"
        home.mkdir(parents=True, exist_ok=True)
        if case in BUILT_IN:
            from taxoscape.testing.region import Region
            from taxoscape.testing.writing import write_region

            region = Region(seed=seed, height=size, width=size, n_zones=8, clouds=BUILT_IN[case])
            files = write_region(region, home, threads=2)
            scenes, truth, tile_size, zones, share = str(home / "scenes"), str(files.truth), 50, 8, 0.5
        else:
            place, labels, tile_size, zones, share = REAL[case]
            scenes, truth = str(DATA / place), str(DATA / labels)
            if case == "netherlands":
                scenes = str(clear_scenes(place, home / "scenes"))
        options = ["--tile-size", str(tile_size), "--zones", str(zones), "--seed", str(seed), "--truth", truth]
        options += ["--min-share", str(share), "--no-evidence", "--out", str(home / "run"), *more]
        options += ["--baselines"] if baselines else []
        _, peak = measured("run", scenes, *options)
        stages = [json.loads(path.read_text()) for path in (home / "run" / "stages").glob("*.json")]
        seconds = sum(float(stage["seconds"]) for stage in stages)  # also where a kept run was there already
        found = json.loads((home / "run" / "analysis.json").read_text())
        metrics = json.loads((home / "run" / "metrics.json").read_text())
        further, auto = strong_rows(home / "run", truth, min_share=share, k=zones, seed=seed)
    about = {"case": case, "seed": seed, "seconds": seconds, "peak_gib": peak, "auto_zones": auto}
    known = {row["name"] for row in found["comparison"]}
    methods = [*found["comparison"], *(row for row in further if row["name"] not in known)]
    return {**about, "n_labelled_tiles": metrics["n_labelled_tiles"], "methods": methods}


def clear_scenes(pattern: str, folder: Path) -> Path:
    """Make a folder of links to the scenes that are clear, see `CLEAR`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(DATA.glob(pattern)):
        with rasterio.open(path) as scene:
            missing = float(np.mean(scene.read(1, masked=True).mask))
        link = folder / path.name
        if missing < CLEAR and not link.exists():
            link.symlink_to(path)
    return folder


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results of one case as a Markdown table: the mean over the seeds, best NMI first."""
    by_method: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for method in row["methods"]:
            by_method.setdefault(method["title"], []).append(method)
    means = {method: mean(found, "nmi") for method, found in by_method.items()}
    plain = {row["seed"]: value(row, "means", "nmi") for row in rows}
    lines = ["| method | " + " | ".join(title for _, title in COLUMNS) + " | above tile means |"]
    lines.append("|---" + "|---:" * (len(COLUMNS) + 1) + "|")
    for method in sorted(by_method, key=lambda name: -(means[name] or 0)):
        found = by_method[method]
        if means[method] is None:
            lines.append(f"| {method} | {found[0]['note'] or 'not defined'} |" + " |" * len(COLUMNS))
            continue
        cells = " | ".join(shown(name, mean(found, name)) for name, _ in COLUMNS)
        name = found[0]["name"]
        having = [row for row in rows if value(row, name, "nmi") is not None]
        wins = sum((value(row, name, "nmi") or 0) > (plain[row["seed"]] or 0) for row in having)
        told = method if len(having) == len(rows) else f"{method} ({len(having)} of {len(rows)} seeds)"
        lines.append(f"| {told} | {cells} | {'' if name == 'means' else f'{wins} of {len(having)}'} |")
    return "\n".join(lines)


def by_seed(rows: list[dict[str, Any]]) -> str:
    """Return the NMI of tile means, P^g and P^c by seed as a Markdown table, with the means in the last row."""
    names = {"means": "tile means", "geographic": "first zones (f^g)", "refined": "refined zones (f^c)"}
    lines = ["| seed | " + " | ".join(names.values()) + " |", "|---" + "|---:" * len(names) + "|"]
    lines += [
        f"| {row['seed']} | " + " | ".join(shown("nmi", value(row, n, "nmi")) for n in names) + " |" for row in rows
    ]
    means = [mean([{"nmi": value(row, name, "nmi")} for row in rows], "nmi") for name in names]
    return "\n".join([*lines, "| mean | " + " | ".join(f"**{shown('nmi', number)}**" for number in means) + " |"])


def verdict(rows: list[dict[str, Any]]) -> str:
    """Return in a sentence what the refined zones beat and what beats them, by the mean NMI over the seeds."""
    ours = [found for row in rows if (found := value(row, "refined", "nmi")) is not None]
    if not ours:
        return "There are no refined zones to compare."
    apart: dict[str, list[float]] = {}  # on the seeds that a method has
    for row in rows:
        own = value(row, "refined", "nmi")
        for method in row["methods"]:
            if method["name"] not in ("refined", "supervised") and None not in (method["nmi"], own):
                apart.setdefault(method["title"], []).append(method["nmi"] - own)
    means = sorted(((statistics.mean(found), title, found) for title, found in apart.items()), key=lambda row: -row[0])
    beaten = ", ".join(f"{title} ({gap:+.3f}{margin(found)})" for gap, title, found in means if gap > 0)
    beats = ", ".join(f"{title} ({gap:+.3f}{margin(found)})" for gap, title, found in means if gap < 0)
    beaten, beats = beaten or "nothing here", beats or "nothing here"
    return f"The refined zones (NMI {statistics.mean(ours):.3f}) lose to: {beaten}. They win over: {beats}."


def margin(differences: list[float]) -> str:
    """Return the half width of the 95 % confidence interval of a mean of paired differences, from three seeds on."""
    if len(differences) < 3:
        return ""
    from scipy.stats import t

    error = statistics.stdev(differences) / len(differences) ** 0.5
    return f" ± {t.ppf(0.975, len(differences) - 1) * error:.3f}"


def mean(found: list[dict[str, Any]], name: str) -> float | None:
    """Return the mean of a measure over the seeds, None where it is not defined on one of them."""
    values = [row.get(name) for row in found]
    return None if any(entry is None for entry in values) else statistics.mean(values)


def value(row: dict[str, Any], method: str, name: str) -> float | None:
    """Return a measure of a method in one run."""
    found: float | None = next((entry.get(name) for entry in row["methods"] if entry["name"] == method), None)
    return found


def shown(name: str, number: float | None) -> str:
    """Return a number as the table has it."""
    if number is None:
        return "–"
    return f"{number:.0f}" if name in ("map_patches", "seconds") else f"{number:.3f}"


def document(rows: list[dict[str, Any]]) -> str:
    """Return the tables of all cases as Markdown."""
    from taxoscape.testing.region import GENERATOR_VERSION

    parts = []
    for case, title in TITLES.items():
        own = [row for row in rows if row["case"] == case]
        if own:
            about = {"version": GENERATOR_VERSION, "tiles": own[0]["n_labelled_tiles"]}
            seeds = ", ".join(str(row["seed"]) for row in own)
            cost = f"{statistics.mean(row['seconds'] for row in own):.0f} s and at most "
            cost += f"{max(row['peak_gib'] for row in own):.1f} GiB a run, all methods together"
            parts.append(f"**{title.format(**about)}** (seeds {seeds}; {cost}):\n\n{table(own)}\n\n{verdict(own)}")
            parts.append(where_it_stands(own))
            if len(own) > 1:
                parts.append(f"NMI by seed:\n\n{by_seed(own)}")
    return "\n\n".join(parts)


def where_it_stands(rows: list[dict[str, Any]]) -> str:
    """Return how far the zones are on the way from K-means on tile means to the supervised reference, and auto's k."""
    low, high, ours = (
        statistics.mean(found) if None not in (found := [value(row, name, "nmi") for row in rows]) else math.nan
        for name in ("means", "supervised", "refined")
    )
    share = (ours - low) / (high - low) if high > low else math.nan
    way = f"{share:.0%}" if math.isfinite(share) else "an unknown share"
    picked = ", ".join(str(row.get("auto_zones", "–")) for row in rows)
    return f"From K-means on tile means to the supervised reference, {way} of the way. Zones that auto picks: {picked}."


WITHOUT_TRAINING = ("pixels_small", "pixels", "means", "stats", "rcf", "untrained_tilenet", "untrained_fast")
"""Methods of ``--baselines``, all by plain K-means."""


def short(rows: list[dict[str, Any]]) -> str:
    """Return what the front page shows: the built-in region by seed, and a line for each case of real imagery."""
    parts, lines = [], []
    for case, title in TITLES.items():
        own = [row for row in rows if row["case"] == case]
        if own and case == "built-in":
            parts.append(by_seed(own))
        elif own and case in REAL:
            plain = {name: found for name in WITHOUT_TRAINING if (found := known_mean(own, name)) is not None}
            best = max(plain.values(), default=None)
            found = [best, known_mean(own, "means_tied"), known_mean(own, "stats_learned"), known_mean(own, "refined")]
            cells = " | ".join(shown("nmi", number) for number in found)
            lines.append(f"| {title.format(tiles=own[0]['n_labelled_tiles'])} | {cells} |")
    if lines:
        titles = "best without training, K-means | tile means, tied mixture | tile statistics, learned metric"
        head = f"| real imagery | {titles} | refined zones (f^c) |\n|---|---:|---:|---:|---:|"
        parts.append("\n".join([head, *lines]))
    return "\n\n".join(parts)


def known_mean(rows: list[dict[str, Any]], method: str) -> float | None:
    """Return the mean NMI of a method over the seeds that it has."""
    found = [number for row in rows if (number := value(row, method, "nmi")) is not None]
    return statistics.mean(found) if found else None


def write_docs(path: Path, text: str, *, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put tables between the marks in a page of the documentation."""
    page, (begin, end) = path.read_text(encoding="utf-8"), marks
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(TITLES), choices=list(TITLES))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--drawn", type=int, default=3)
    parser.add_argument("--real-seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--most-baselines", type=int, help="seeds of a case, the first, that have the baselines")
    parser.add_argument("--folder", type=Path, help="keeps scenes and runs here")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = parser.parse_args()
    now = commit()
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    cases = [] if given.table else given.cases
    rows = [row for row in stored["rows"] if row["case"] not in cases or row["commit"] == now]
    for case in cases:
        seeds = [*given.seeds, *drawn_seeds(given.drawn)] if case in BUILT_IN else given.real_seeds
        for number, seed in enumerate(seeds):
            if any(row["case"] == case and row["seed"] == seed and row["commit"] == now for row in rows):
                continue
            baselines = case != "clouds" and (given.most_baselines is None or number < given.most_baselines)
            new = {**run_case(case, seed, baselines=baselines, keep=given.folder), "commit": now}
            rows = [row for row in rows if (row["case"], row["seed"]) != (case, seed)] + [new]
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")
            print(json.dumps({name: new[name] for name in ("case", "seed", "seconds", "peak_gib")}), flush=True)
    text = document(rows)
    print(text)
    write_docs(DOCS, text)
    write_docs(README, short(rows))


if __name__ == "__main__":
    main()
