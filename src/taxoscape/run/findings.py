"""Everything that is measured and read off the zones: METHOD steps 7 to 12, layers, names, and what beats what.

Each part is a plain function of `taxoscape.analysis`; here it gets what it needs from the run folder, and what it finds
is written as numbers (``metrics.json``), tables (``.csv``) and one structured file (``analysis.json``), from which
`taxoscape.run.products` draws. How long each part took is kept with it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from taxoscape.analysis.agreement import agreement
from taxoscape.analysis.association import association
from taxoscape.analysis.dates import centroid_paths, separating_dates
from taxoscape.analysis.interpolation import interpolate
from taxoscape.analysis.projections import Projections, project
from taxoscape.analysis.quality import quality
from taxoscape.analysis.regions import region_partitions
from taxoscape.analysis.representatives import representatives
from taxoscape.analysis.sweep import sweep
from taxoscape.files import write_text
from taxoscape.run.baselines import read_baselines
from taxoscape.run.budget import budget_of
from taxoscape.run.evidence import read_evidence
from taxoscape.run.names import update_names
from taxoscape.run.outcome import Context, Outcome
from taxoscape.run.reading import LAYERS, REGIONS, Reading, layers_dataset
from taxoscape.run.store import write_dataset
from taxoscape.run.tables import csv_text, plain
from taxoscape.run.taken import taken_look
from taxoscape.run.tree import compare_cuts, read_tree

REPRESENTATIVES = 4
"""Tiles shown for each zone."""
OUTPUTS = ("metrics.json", "analysis.json", "projections.csv")
"""What every run gets."""


class _Analysis:
    """What the parts work with and add to."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.reading = Reading(context.folder, context.settings)
        self.seed, self.track = context.settings.run.seed, context.track
        self.metrics: dict[str, float] = {}
        self.found: dict[str, Any] = {}
        self.tables: dict[str, list[dict[str, Any]]] = {}


def analyse(context: Context) -> Outcome:
    """Measure the partitions, find what stands for the zones, and compare them with what else is known."""
    work = _Analysis(context)
    seconds = {}
    for name, part in PARTS.items():
        begun = time.monotonic()
        part(work)
        seconds[name] = round(time.monotonic() - begun, 2)
    work.found["seconds"] = seconds
    folder = context.folder
    write_text(folder / "metrics.json", json.dumps(plain(work.metrics), indent=1) + "\n")
    write_text(folder / "analysis.json", json.dumps(plain(work.found), indent=1) + "\n")
    for name, rows in work.tables.items():
        write_text(folder / f"{name}.csv", csv_text(rows))
    outputs = [*OUTPUTS, *(f"{name}.csv" for name in work.tables if f"{name}.csv" not in OUTPUTS)]
    if work.reading.layers:
        outputs.append(LAYERS)
    if work.reading.placements:
        outputs.append(REGIONS)
    shown = {name: work.metrics[name] for name in ("silhouette_flat", "map_join_share", "stability_ari")}
    summary = ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if math.isfinite(value))
    return Outcome(outputs=tuple(outputs), summary=summary, notes={"seconds": seconds})


def _quality(work: _Analysis) -> None:
    """METHOD step 8, of P^c and of P^g."""
    reading = work.reading
    work.metrics |= quality(reading.series, reading.zones, rng=work.seed, track=work.track)
    if reading.geographic is not None:
        before = quality(*reading.geographic, rng=work.seed, track=work.track)
        work.metrics |= {f"{name}_geographic": value for name, value in before.items()}
        changed = reading.changes
        if changed is not None:
            work.metrics |= {"ari_geographic_refined": changed.ari, "moved_share": changed.moved_share}
            work.found["changes"] = {"tiles": changed.tiles.tolist(), "areas_km2": changed.areas_km2.tolist()}
    if reading.placements:  # places in a joined grid are no places on the ground
        for name in [name for name in work.metrics if name.startswith(("map_silhouette", "map_calinski"))]:
            work.metrics[name] = math.nan


def _unlike(work: _Analysis) -> None:
    """Count the tiles that are unlike anything that the zones were made of, where these are another run's."""
    far = work.reading.outlyingness
    if far is not None:
        placed = work.reading.labels > 0
        unlike = int((far[placed] > 1).sum())
        work.metrics |= {"n_unlike": unlike, "unlike_share": unlike / int(placed.sum())}


def _representatives(work: _Analysis) -> None:
    """METHOD step 10: what stands for each zone, what lies between them, and how they hang together."""
    reading = work.reading
    work.found["representatives"] = representatives(reading.series, reading.zones, count=REPRESENTATIVES).tolist()
    work.found["interpolation"] = [asdict(row) for row in interpolate(reading.series, reading.zones, track=work.track)]


def _layers(work: _Analysis) -> None:
    """Read the layers; measure how strongly zones and layers go together."""
    reading = work.reading
    layers = reading.read_layers()
    work.context.folder.remove([LAYERS])  # of an earlier attempt with others
    if layers:
        write_dataset(work.context.folder / LAYERS, layers_dataset(layers))
    rows, cols, part = reading.grid.rows, reading.grid.cols, reading.parts
    work.found["associations"] = {
        layer.name: asdict(association(reading.labels, layer.values, rows, cols, rng=work.seed, part=part))
        for layer in work.track(layers, "layers", len(layers))
    }


def _cards(work: _Analysis) -> None:
    """Describe and name the zones; keep the names that the user gave."""
    reading = work.reading
    taken = taken_look(work.context.folder)
    names = None if taken is None else taken.names
    rows = update_names(work.context.folder, reading.cards, reading.labels, names=names)
    work.found["names"] = [asdict(row) for row in rows]


def _regions(work: _Analysis) -> None:
    """METHOD step 13: what each of several regions makes of itself, beside its part of the partition."""
    reading = work.reading
    if not reading.placements:
        return
    starts = work.context.settings.zones.starts
    made = region_partitions(
        reading.series,
        reading.zones,
        reading.placements,
        starts=starts,
        rng=work.seed,
        memory=budget_of(work.context.settings).series,
        track=work.track,
    )
    work.found["regions"] = [region.to_dict() for region in made]
    own = np.zeros(reading.grid.n_tiles, np.int64)
    for region, placement in zip(made, reading.placements, strict=True):
        own[placement.tiles(reading.grid)] = region.own
    write_dataset(work.context.folder / REGIONS, xr.Dataset({"own": ("tile", own)}))


def _dates(work: _Analysis) -> None:
    """Find which dates separate two zones, and how each goes through them."""
    paths = centroid_paths(work.reading.zones)
    work.found["paths"] = {
        "points": paths.points.tolist(), "explained": list(paths.explained), "steps": paths.steps.tolist(),
    }  # fmt: skip
    separation = separating_dates(work.reading.series, work.reading.zones, track=work.track)
    work.found["separation"] = {
        "effect": separation.effect.tolist(), "distance": separation.distance.tolist(),
        "share": separation.share.tolist(),
    }  # fmt: skip
    dates = work.reading.series["time"].to_numpy().astype("datetime64[D]")
    k = work.reading.k
    rows = [
        {"zone_a": a + 1, "zone_b": b + 1, "date": str(date), "effect": separation.effect[a, b, t],
         "distance": separation.distance[a, b, t], "share": separation.share[a, b, t]}
        for a in range(k) for b in range(a + 1, k) for t, date in enumerate(dates)
    ]  # fmt: skip
    if rows:
        work.tables["dates"] = rows


def _projections(work: _Analysis) -> None:
    """METHOD step 11."""
    reading = work.reading
    made = project(reading.series, reading.zones, rng=work.seed, track=work.track)
    work.found["projections"] = {
        "explained_variance": made.explained_variance.tolist(), "perplexity": made.perplexity, "stress": made.stress,
    }  # fmt: skip
    work.tables["projections"] = _projection_rows(made, reading)


def _projection_rows(made: Projections, reading: Reading) -> list[dict[str, Any]]:
    """Return a row per tile: its place in each projection, empty where it has none."""
    names = ("pca", "tsne", "mds")
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for name in names:
        part = getattr(made, name)
        for axis in range(part.coordinates.shape[1]):
            whole = np.full(reading.grid.n_tiles, np.nan)
            whole[part.tiles] = part.coordinates[:, axis]
            columns[f"{name}_{axis + 1}"] = whole
    labels, rows, cols = reading.labels, reading.grid.rows, reading.grid.cols
    return [
        {"tile": tile, "row": int(rows[tile]), "col": int(cols[tile]), "zone": int(labels[tile]),
         **{name: float(values[tile]) for name, values in columns.items()}}
        for tile in np.flatnonzero(labels).tolist()
    ]  # fmt: skip


def _sweep(work: _Analysis) -> None:
    """Put the evidence for the number of zones together."""
    evidence = read_evidence(work.context.folder)
    if evidence is None:
        return
    series = work.reading.series if work.reading.geographic is None else work.reading.geographic[0]
    rows = sweep(series, evidence, truth=_truth(work), rng=work.seed, track=work.track)
    work.tables["sweep"] = [asdict(row) for row in rows]
    work.found["sweep"] = {"rows": work.tables["sweep"], "chosen": evidence.chosen, "reason": evidence.reason}


def _tree(work: _Analysis) -> None:
    """Compare the cuts of the tree of zones with the partitions that were made for each number of zones alone."""
    tree, evidence = read_tree(work.context.folder), read_evidence(work.context.folder)
    rows = [] if evidence is None else compare_cuts(tree, evidence, _truth(work))
    work.found["tree"] = {"n_zones": tree.n_zones, "n_leaves": tree.n_leaves, "rows": [asdict(row) for row in rows]}


def _comparison(work: _Analysis) -> None:
    """METHOD step 12: pixels, training-free encoders, P^g and P^c in one table."""
    reading, folder, truth = work.reading, work.context.folder, _truth(work)
    own = [
        {"name": name, "title": title, **_own_row(work, name), **_scores(labels, truth, reading.labels)}
        for name, title, labels in _own_partitions(work)
    ]
    rows, baselines = list(own), read_baselines(folder)
    for row, labels in baselines:
        kept = {key: row.metrics.get(key) for key in COMPARED}
        cost: dict[str, Any] = {}  # none where it was left out
        if row.n_features:
            cost = {"n_features": row.n_features, "seconds": row.seconds, "measuring_seconds": row.measuring_seconds}
        known = {**cost, **kept, "note": row.note}
        rows.append({"name": row.name, "title": row.title, **known, **_scores(labels, truth, reading.labels)})
    work.found["comparison"] = rows
    if baselines:
        work.tables["baselines"] = rows
    if truth is not None:
        work.metrics |= {
            f"{key}{end}": row[key]
            for row, end in zip(own, ("", "_geographic"), strict=False)  # without refinement there is one
            for key in ("nmi", "ari", "purity")
        }
        work.metrics["n_labelled_tiles"] = int(((truth != 0) & (reading.labels > 0)).sum())


COMPARED = (
    "silhouette_flat", "silhouette_sumnorm", "davies_bouldin_flat", "inertia_mean", "stability_ari", "map_join_share",
    "map_patches",
)  # fmt: skip
"""Measures that the table of methods shows."""


def _own_partitions(work: _Analysis) -> list[tuple[str, str, np.ndarray[Any, Any]]]:
    """Return P^c and P^g, or P^g alone where it was not refined, by name, title and labels."""
    reading = work.reading
    if reading.geographic is None:
        return [("geographic", "Zones (f^g)", reading.labels)]
    before = reading.geographic[1]["labels"].to_numpy()
    return [("refined", "Refined zones (f^c)", reading.labels), ("geographic", "First zones (f^g)", before)]


def _own_row(work: _Analysis, name: str) -> dict[str, Any]:
    refined = name == "geographic" and work.reading.geographic is not None
    end = "_geographic" if refined else ""
    stages = ("train", "encode", "cluster") if name == "geographic" else ("train", "encode", "cluster", "refine")
    seconds = sum(float((work.context.folder.marker(stage) or {}).get("seconds", math.nan)) for stage in stages)
    return {
        "n_features": work.reading.series.sizes["feature"], "seconds": round(seconds, 2),
        **{key: work.metrics[f"{key}{end}"] for key in COMPARED}, "note": "",
    }  # fmt: skip


def _scores(
    labels: np.ndarray[Any, Any], truth: np.ndarray[Any, Any] | None, zones: np.ndarray[Any, Any]
) -> dict[str, float]:
    """Return how a partition agrees with the run's zones and with the truth, where there is one."""
    both = (labels > 0) & (zones > 0)
    found = {"ari_with_zones": agreement(labels, zones.astype(np.int64))["ari"] if both.any() else math.nan}
    if truth is not None:
        scored = agreement(labels, truth) if ((labels > 0) & (truth != 0)).any() else {}
        found |= {key: scored.get(key, math.nan) for key in ("nmi", "ari", "purity")}
    return found


def _truth(work: _Analysis) -> np.ndarray[Any, Any] | None:
    path = work.context.settings.analysis.truth
    return None if path is None else work.reading.truth(path, min_share=work.context.settings.analysis.min_share)


PARTS: Mapping[str, Callable[[_Analysis], None]] = {
    "quality": _quality,
    "unlike": _unlike,
    "representatives": _representatives,
    "layers": _layers,
    "cards": _cards,
    "regions": _regions,
    "dates": _dates,
    "projections": _projections,
    "sweep": _sweep,
    "tree": _tree,
    "comparison": _comparison,
}
"""In order: later parts use what earlier ones found."""
