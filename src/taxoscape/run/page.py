"""The report of a run: what it says, put together from what the run found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from taxoscape.config import Settings, to_dict
from taxoscape.cube.wording import counted
from taxoscape.publish import canvas, wording
from taxoscape.publish.report import ReportContext, ReportFigure, ReportInput, ReportTable, TruthScore, write_report
from taxoscape.run.drawing import Drawing
from taxoscape.run.figure_list import figures_of
from taxoscape.run.reading import associations
from taxoscape.run.table import STAGES
from taxoscape.run.tree import told_agreement

Scores = Mapping[str, Mapping[str, float]]
"""NMI, ARI, purity and tiles scored, by the name of a partition."""

FILES = (
    ("zones.tif", "the zones, one cell per tile, with colours and names: open it in QGIS"),
    ("zones_geographic.tif", "the first zones, before refinement"),
    ("moved.tif", "the tiles that refinement moved, each with the zone it went to"),
    ("confidence.tif", "how sure each tile is of its zone, 0 to 1"),
    ("unlike.tif", "how far out each tile lies; above 1: unlike anything that the zones were made of"),
    ("zones.gpkg", "the zones as polygons with area and share"),
    ("zones_tree.json", "the tree of zones, which taxoscape cut  cuts into any number; its leaves are zones_tree.tif"),
    ("zones.toml", "the names of the zones: edit them, then  taxoscape publish  this folder"),
    ("regions", "the maps of each region, under the one legend"),
    ("colours.tif", "the likeness of tiles as colours"),
    ("metrics.json", "the numbers of this page, by name"),
    ("analysis.json", "everything else that was found: representatives, interpolation, dates, comparison"),
    ("cards.csv", "what each zone is like, in numbers"),
    ("curves.csv", "each band of each zone over the dates"),
    ("graph.graphml", "the graph of zones, for Gephi, yEd or networkx; graph.json is the same"),
    ("projections.csv", "the place of each tile on the planes"),
    ("dates.csv", "which dates tell each two zones apart"),
    ("sweep.csv", "the evidence for each number of zones"),
    ("baselines.csv", "the comparison with pixels and training-free encoders"),
    ("encoder.safetensors", "the trained encoder"),
    ("encoder_geographic.safetensors", "the encoder of the first zones"),
    ("series.zarr", "the series of every tile"),
    ("series_geographic.zarr", "the series of every tile under the encoder of the first zones"),
    ("run.toml", "every setting; repeats the run"),
)


PAPER = ("tilenet", "triplet")
"""Network and loss of the paper."""
OF_TRUTH = ("nmi", "ari", "purity", "n_labelled_tiles")
"""Metrics that stand in the table of agreement with the truth."""


def write_page(drawing: Drawing, settings: Settings, scores: Scores) -> Path:
    """Write the report of a run; ``scores`` are against a known truth, by the name of a partition."""
    reading = drawing.reading
    folder, labels, grid = reading.folder, reading.labels, reading.grid
    document = folder.read_document()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    markers = {stage.name: folder.marker(stage.name) or {} for stage in STAGES}
    ground = f"{canvas.area_text(sum(row.area_km2 for row in drawing.table))} km²"
    times = reading.series["time"].to_numpy().astype("datetime64[D]")
    size, n_dates = grid.tile_size, len(times)
    apart = "" if grid.stride == size else f", one every {grid.stride} pixels"
    n_zones = sum(row.n_tiles > 0 for row in drawing.table)
    counted_tiles = wording.number(int((labels > 0).sum()))
    span = f"from {times[0]} to {times[-1]}" if n_dates > 1 else f"({times[0]})"
    where = f", in {counted(len(drawing.regions), 'region')}" if drawing.regions else ""
    through = " through time" if n_dates > 1 else ""
    truth = scores or _own_scores(reading.found)
    context = ReportContext(
        title=counted(n_zones, "land zone"),
        summary=(
            f"{counted_tiles} tiles of {size} × {size} pixels{apart}, {ground}{where}, seen on "
            f"{counted(n_dates, 'date')} {span}, fall into {counted(n_zones, 'zone')} by how they look{through}. "
            "Nobody labelled anything: the zones come from the images "
            f"{'alone' if _learnt_from(markers) else 'and from where they lie'}.",
        ),
        **({"encoder": _learnt_from(markers)} if _learnt_from(markers) else {}),
        learned_metric="metric_axes" in reading.zones,
        carries_statistics=settings.encoder.carries_statistics(settings.zones.clusterer) and not _learnt_from(markers),
        as_in_paper=bool(_learnt_from(markers)) or (settings.encoder.network, settings.encoder.loss) == PAPER,
        facts=(
            (ground, "area"),
            (counted_tiles, "tiles"),
            (str(n_dates), "dates"),
            (str(n_zones), "zones"),
        ),
        zones=drawing.table,
        figures=_parts(drawing),
        metrics={
            name: float("nan") if value is None else value
            for name, value in metrics.items()
            if name.removesuffix("_geographic") not in OF_TRUTH
        },
        truth=[TruthScore(partition=name, nmi=r["nmi"], ari=r["ari"], purity=r["purity"]) for name, r in truth.items()],
        truth_note=_truth_note(truth, metrics),
        warnings=[text for marker in markers.values() for text in marker.get("notes", {}).get("warnings", [])],
        notes=_notes(drawing, markers, metrics),
        settings=_settings(settings),
        versions={"taxoscape": document.get("taxoscape", "unknown"), **document.get("versions", {})},
        inputs=[ReportInput(file=Path(entry["path"]).name, date=entry["date"]) for entry in document["input"]],
        durations={name: marker["seconds"] for name, marker in markers.items() if "seconds" in marker},
        files=[(name, text) for name, text in FILES if (folder / name).exists()],
        command="taxoscape run run.toml",
    )
    write_report(folder / "report.html", context)
    return folder / "report.html"


def _learnt_from(markers: Mapping[str, Any]) -> str:
    """Return what the encoder is where this run has not trained it on its region; an empty text where it has."""
    notes = markers["train"].get("notes", {})
    fixed = {
        "stats": "the mean and the deviation of each band, without any training",
        "embeddings": "the means of the bands, which are features that another model made",
        "alphaearth": "the means of the bands, which are features that another model made (8-bit values undone)",
        "rcf": "random filters drawn from the images themselves, and the mean of each band, without any training",
    }
    if "without_training" in notes:
        return fixed[notes["without_training"]]
    return f"an encoder that was trained elsewhere ({Path(notes['taken_from']).name})" if "taken_from" in notes else ""


def _settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return settings by section, the layers as they are typed."""
    values = to_dict(settings)
    values["analysis"]["layers"] = [f"{name}={path}" for name, path in settings.analysis.layers.items()]
    return values


def _parts(drawing: Drawing) -> list[ReportFigure]:
    """Return the figures that were drawn, each with the table that belongs to it."""
    parts = []
    for figure in figures_of(drawing):
        path = drawing.reading.folder / "figures" / f"{figure.name}.png"
        if path.exists():
            table = TABLES[figure.name](drawing) if figure.name in TABLES else None
            parts.append(
                ReportFigure(path=path, title=figure.title, caption=figure.caption, alt=figure.alt, table=table)
            )
        if figure.name == "cards" and drawing.reading.layers and drawing.reading.k > 1:
            parts.append(ReportFigure(
                path=None, title="Zones and other maps",
                caption="How strongly the zones go together with each layer, and how strongly zones of this shape "
                "would with a layer of its shape by chance: the layer moved over the map, its pattern kept whole.",
                table=_layer_table(drawing),
            ))  # fmt: skip
    return parts


def _card_table(drawing: Drawing) -> ReportTable:
    found = {row["zone"]: row for row in drawing.reading.found["names"]}
    rows = [
        (str(row.zone), row.name, "" if row.name == found[row.zone]["proposed"] else found[row.zone]["proposed"],
         found[row.zone]["evidence"])
        for row in drawing.table if row.zone in found
    ]  # fmt: skip
    note = "Words of degree compare a zone with this region only."
    return ReportTable(head=("Zone", "Name", "Proposed", "Evidence"), rows=rows, text=(0, 1, 2, 3), note=note)


def _layer_table(drawing: Drawing) -> ReportTable:
    names = {"cramers_v": "Cramér's V", "eta_squared": "η²"}
    rows = [
        (name, names[a.measure], *(_cell("", None if a.value != a.value else v) for v in
         (a.value, a.null_mean, a.null_95, a.p)))
        for name, a in associations(drawing.reading).items()
    ]  # fmt: skip
    note = (
        "0: the zones tell nothing of the layer; 1: they tell all of it. A value below that of 95 % of the moves may "
        "be chance. p: share of the moves that reach the value."
    )
    head = ("Layer", "Measure", "Value", "By chance, mean", "By chance, 95 %", "p")
    return ReportTable(head=head, rows=rows, text=(0, 1), note=note)


def _sweep_table(drawing: Drawing) -> ReportTable:
    stored = drawing.reading.found["sweep"]
    names = {
        "prediction_strength": "Weakest", "bootstrap_ari": "Resamples", "silhouette_flat": "Silhouette",
        "silhouette_sumnorm": "… under d", "davies_bouldin_flat": "Davies-B.", "map_join_share": "Joins",
        "map_patches": "Patches", "inertia_mean": "Error", "nmi": "NMI", "ari": "ARI",
    }  # fmt: skip
    chosen, present = stored["chosen"], drawing.reading.k
    asked = "" if present == chosen else f" This run has {counted(present, 'zone')}, as asked."
    note = (
        f"By the rule: {stored['reason']}{asked} Weakest: share of the pairs of tiles of the weakest zone that stay "
        "together in resamples. Resamples: adjusted Rand index between partitions of bootstrap samples of at most "
        "2 000 tiles (the stability of a run's own zones is of random halves). Silhouettes are of at most 2 000 tiles "
        "against all. Davies-B.: Davies-Bouldin, lower is better. Joins: share of neighbouring tiles in one "
        "zone. Error: mean squared distance to the centre. NMI and ARI: agreement with the truth."
    )
    return _measures_table(stored["rows"], "n_clusters", "Zones", names, note)


def _tree_table(drawing: Drawing) -> ReportTable | None:
    stored = drawing.reading.found["tree"]
    if not stored["rows"]:
        return None
    names = {"ari": "ARI", "nmi": "NMI", "nmi_tree": "NMI with truth, tree", "nmi_flat": "…, partition made for it"}
    note = told_agreement(stored["rows"], stored["n_zones"])
    return _measures_table(stored["rows"], "n_clusters", "Zones", names, note)


def _comparison_table(drawing: Drawing) -> ReportTable:
    names = {
        "n_features": "Features", "seconds": "Time", "nmi": "NMI", "ari": "ARI", "purity": "Purity",
        "ari_with_zones": "Alike", "stability_ari": "Stability", "map_join_share": "Joins", "map_patches": "Patches",
        "silhouette_flat": "Silhouette", "silhouette_sumnorm": "… under d",
    }  # fmt: skip
    rows = drawing.reading.found["comparison"]
    remarks = [f"{row['title']}: {row['note']}." for row in rows if row.get("note")]
    note = (
        "Features: numbers per tile and date. NMI, ARI, purity: agreement with the truth. Alike: adjusted Rand index "
        "with the zones of this run. Joins: share of neighbouring tiles in one zone. Silhouettes are each in the "
        "method's own series: they do not compare methods."
    )
    return _measures_table(rows, "title", "Method", names, " ".join([note, *remarks]))


def _measures_table(
    rows: Sequence[Mapping[str, Any]], key: str, title: str, names: Mapping[str, str], note: str
) -> ReportTable:
    """Return a table of measures, of which those are shown that some row has."""
    shown = [name for name in names if any(row.get(name) is not None for row in rows)]
    cells = [(str(row[key]), *(_cell(name, row.get(name)) for name in shown)) for row in rows]
    return ReportTable(head=(title, *(names[name] for name in shown)), rows=cells, note=note)


def _cell(name: str, value: float | None) -> str:
    """Return a measure as short as a table of many columns needs it."""
    if name == "seconds" and value is not None:
        return wording.duration(value)
    if value is None or isinstance(value, int) or name == "inertia_mean":
        return wording.number(value)
    return f"{value:.3f}".replace("-", "\u2212")


def _region_table(drawing: Drawing) -> ReportTable:
    rows = [
        (region.name, canvas.area_text(sum(region.areas_km2)), str(region.n_overall_zones), wording.number(region.ari),
         wording.number(region.nmi))
        for region in drawing.regions
    ]  # fmt: skip
    note = "ARI and NMI compare the overall zones of a region with those that it makes of itself alone."
    return ReportTable(head=("Region", "Area, km²", "Zones", "ARI", "NMI"), rows=rows, note=note)


TABLES: dict[str, Callable[[Drawing], ReportTable | None]] = {
    "regions": _region_table,
    "cards": _card_table,
    "sweep": _sweep_table,
    "tree": _tree_table,
    "baselines": _comparison_table,
}
"""The tables below figures, by the name of the figure."""


def _own_scores(found: Mapping[str, Any]) -> Scores:
    """Return the scores against the truth that the run was given; none where it was given none."""
    rows = [row for row in found.get("comparison", []) if row.get("nmi") is not None]
    return {row["title"]: {name: row[name] for name in ("nmi", "ari", "purity")} for row in rows}


def _truth_note(scores: Scores, metrics: Mapping[str, Any]) -> str:
    if not scores:
        return ""
    tiles = next(iter(scores.values())).get("n_tiles", metrics.get("n_labelled_tiles", 0))
    return f"Scored on the {int(tiles)} tiles that have a zone and a label; the labels had no part in making the zones."


def _taken_notes(markers: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of a run whose zones are another run's."""
    if "n_unlike" not in metrics:
        return []
    cube, cluster = (markers[stage].get("notes", {}) for stage in ("cube", "cluster"))
    notes = [
        f"Encoder and zones are those of {Path(cluster['taken_from']).name}, with their numbers, colours and names. "
        f"{metrics['n_unlike']} tiles ({metrics['unlike_share']:.1%}) are unlike anything that they were made of."
    ]
    other = [f"{taken} for {day}" for day, taken in cube.get("stand_for", {}).items() if taken != day]
    if other:
        notes.append(f"The dates shown are those that the scenes stand for: {', '.join(other)}.")
    if cube.get("without_scene"):
        notes.append(f"No scene stands for {', '.join(cube['without_scene'])}: these dates are missing.")
    return notes


def _notes(drawing: Drawing, markers: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any]) -> list[str]:
    reading = drawing.reading
    notes = []
    cube = markers["cube"].get("notes", {})
    if "period" in cube:
        notes.append(
            f"A date stands for all days of a period ({cube['period']}) that begins with it; a pixel of it is the "
            f"{cube['composite']} of its valid days."
        )
    told = markers["refine"].get("notes", {})
    moved, left_out, rounds = told.get("moved_share"), told.get("left_out"), told.get("rounds", [])
    if moved is not None:
        several = f" in {told['kept']} rounds" if told.get("kept", 1) > 1 else ""
        notes.append(f"Refinement moved {moved:.1%} of the tiles to another zone{several}.")
        if rounds and rounds[-1]["reason"]:
            notes.append(f"Refinement ended there, since {rounds[-1]['reason']}.")
    notes += _taken_notes(markers, metrics)
    if left_out and left_out != "as asked" and "n_unlike" not in metrics:
        notes.append(f"Refinement was left out: {left_out}.")
    regions = [region.grid.n_tiles for region in drawing.regions]
    empty = (sum(regions) or reading.grid.n_tiles) - int((reading.labels > 0).sum())
    if empty:
        notes.append(f"{empty} tiles have no usable date and are in no zone.")
    counts = reading.zones["counts"].to_numpy()[reading.labels > 0]
    missing = 1 - float(counts.mean()) if counts.size else 0.0
    if missing > 0:
        notes.append(f"{missing:.1%} of the tile dates are missing; a tile takes part with the dates it has.")
    if drawing.regions:
        notes.append(f"Dates of the regions are paired by their order; those shown are of {drawing.regions[0].name}.")
    skipped = markers["cube"].get("notes", {}).get("skipped", [])
    if skipped:
        notes.append(f"{len(skipped)} files beside the scenes were passed over: see  taxoscape run --dry-run.")
    sampled = metrics.get("silhouette_n_tiles", 0)
    if 0 < sampled < metrics.get("n_tiles", 0):
        notes.append(
            f"The silhouettes are means over a random sample of {sampled} tiles, each against all others; ± is half "
            "the 95 % confidence interval."
        )
    return notes
