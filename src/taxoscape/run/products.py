"""What a run hands over: maps, polygons, styles, figures and the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.config import Settings, to_dict
from taxoscape.contracts import grid_of
from taxoscape.cube.wording import counted
from taxoscape.grid import Grid
from taxoscape.progress import Track, silent
from taxoscape.publish.colour import SeriesColours, series_colours, zone_colours
from taxoscape.publish.figures import figure_geographic_refined, figure_maps, figure_strips
from taxoscape.publish.qgis import write_zone_style
from taxoscape.publish.rasters import write_colour_map, write_zone_map
from taxoscape.publish.report import ReportContext, ReportFigure, ReportInput, TruthScore, write_report
from taxoscape.publish.table import ZoneRow, zone_table
from taxoscape.publish.vectors import write_zone_polygons
from taxoscape.run.folder import RunFolder
from taxoscape.run.pictures import picture_bands, region_picture, strip_images
from taxoscape.run.store import read_zones
from taxoscape.run.table import STAGES
from taxoscape.run.work import is_refined, last_result, open_cube

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

Scores = Mapping[str, Mapping[str, float]]
"""NMI, ARI, purity and tiles scored, by the name of a partition."""

FIGURES = ("figures/maps.png", "figures/strips.png", "figures/refinement.png")
"""The figures of a run; the last only where it was refined."""

FILES = (
    ("zones.tif", "the zones, one cell per tile, with colours and names: open it in QGIS"),
    ("zones_geographic.tif", "the first zones, before refinement"),
    ("zones.gpkg", "the zones as polygons with area and share"),
    ("colours.tif", "the likeness of tiles as colours"),
    ("metrics.json", "every number of this page"),
    ("encoder.safetensors", "the trained encoder"),
    ("series.zarr", "the series of every tile"),
    ("run.toml", "every setting; repeats the run"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """What the products are made from."""

    grid: Grid
    series: xr.Dataset
    zones: xr.Dataset
    geographic: npt.NDArray[np.integer] | None
    """Labels of P^g, where there is P^c beside it."""
    colours: SeriesColours
    table: tuple[ZoneRow, ...]

    @property
    def labels(self) -> npt.NDArray[np.integer]:
        return np.asarray(self.zones["labels"].to_numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pictures:
    """Where pixels for pictures come from."""

    cube: xr.DataArray
    bands: list[int]
    """Three bands or one, as indices."""
    kind: str
    """What a picture of these bands is called."""

    @classmethod
    def of(cls, folder: RunFolder, settings: Settings) -> _Pictures:
        cube = open_cube(folder)
        bands, kind = picture_bands(tuple(str(band) for band in cube["band"].to_numpy()), settings.publish.rgb)
        return cls(cube=cube, bands=bands, kind=kind)


def write_products(folder: RunFolder, settings: Settings, *, track: Track = silent) -> tuple[str, ...]:
    """Write everything that a run hands over; return the names.

    Parameters
    ----------
    folder
        A run whose stages up to ``analyse`` are done.
    settings
        Its settings.
    track
        Told of each group of products done.
    """
    result = _read(folder, settings)
    names = _map_names(result)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    folder.remove(list(FIGURES))
    pictures = _Pictures.of(folder, settings)
    steps: list[Callable[[], object]] = [
        lambda: _write_maps(folder, result),
        lambda: _draw_maps(figures / "maps.png", pictures, result),
        lambda: _draw_strips(figures / "strips.png", folder, pictures, result),
        lambda: _draw_refinement(figures / "refinement.png", result),
        lambda: _report(folder, settings, result, {}),
    ]
    for step in track(steps, "maps and report", len(steps)):
        step()
    return (*names, *(name for name in FIGURES if (folder / name).exists()), "report.html")


def write_run_report(folder: RunFolder, settings: Settings, *, scores: Scores) -> Path:
    """Write the report of a published run again, with scores against a known truth in it."""
    return _report(folder, settings, _read(folder, settings), scores)


def _read(folder: RunFolder, settings: Settings) -> _Result:
    series, zones = last_result(folder)
    grid = grid_of(zones)
    colours = series_colours(series, rng=settings.run.seed)
    palette = zone_colours(zones["centroids"].to_numpy(), colours).rgb
    geographic = read_zones(folder / "partition_geographic.zarr")["labels"].to_numpy() if is_refined(folder) else None
    table = zone_table(zones["labels"].to_numpy(), grid, palette)
    return _Result(grid=grid, series=series, zones=zones, geographic=geographic, colours=colours, table=table)


def _map_names(result: _Result) -> tuple[str, ...]:
    names = ("zones.tif", "zones.tif.aux.xml", "zones.qml", "zones.gpkg", "colours.tif")
    if result.geographic is None:
        return names
    return (*names, "zones_geographic.tif", "zones_geographic.tif.aux.xml", "zones_geographic.qml")


def _write_maps(folder: RunFolder, result: _Result) -> None:
    palette = np.array([row.colour for row in result.table], dtype=np.uint8)
    titles = [row.name for row in result.table]
    write_zone_map(folder / "zones.tif", result.labels, result.grid, palette, titles)
    write_zone_style(folder / "zones.qml", result.table)
    write_zone_polygons(folder / "zones.gpkg", result.labels, result.grid, result.table)
    write_colour_map(folder / "colours.tif", result.colours.rgb, result.colours.seen, result.grid)
    if result.geographic is not None:
        write_zone_map(folder / "zones_geographic.tif", result.geographic, result.grid, palette, titles)
        write_zone_style(folder / "zones_geographic.qml", result.table)


def _draw_maps(path: Path, pictures: _Pictures, result: _Result) -> None:
    picture, date = region_picture(pictures.cube, result.grid, result.series["valid"].to_numpy(), pictures.bands)
    figure_maps(
        path,
        picture=picture,
        labels=result.labels,
        grid=result.grid,
        table=result.table,
        colours=result.colours,
        picture_title=f"{pictures.kind}, {date}",
    )


def _draw_strips(path: Path, folder: RunFolder, pictures: _Pictures, result: _Result) -> None:
    found = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    tiles = np.asarray(found["representatives"], dtype=np.int64)
    counts = result.zones["counts"].to_numpy()
    images, seen, dates = strip_images(pictures.cube, result.grid, tiles, counts, pictures.bands)
    n_dates = pictures.cube.sizes["time"]
    figure_strips(path, images=images, seen=seen, dates=dates, table=result.table, n_dates=n_dates)


def _draw_refinement(path: Path, result: _Result) -> None:
    if result.geographic is None:
        return
    figure_geographic_refined(
        path, geographic=result.geographic, refined=result.labels, grid=result.grid, table=result.table
    )


def _report(folder: RunFolder, settings: Settings, result: _Result, scores: Scores) -> Path:
    document = folder.read_document()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    markers = {stage.name: folder.marker(stage.name) or {} for stage in STAGES}
    area = sum(row.area_km2 for row in result.table)
    times = result.series["time"].to_numpy().astype("datetime64[D]")
    size = result.grid.tile_size
    first, last, n_dates = str(times[0]), str(times[-1]), len(times)
    n_zones = sum(row.n_tiles > 0 for row in result.table)
    placed = int((result.labels > 0).sum())
    span = f"from {first} to {last}" if n_dates > 1 else f"({first})"
    context = ReportContext(
        title=counted(n_zones, "land zone"),
        summary=(
            f"{placed} tiles of {size} × {size} pixels, {area:,.4g} km², seen on {counted(n_dates, 'date')} {span}, "
            f"fall into {counted(n_zones, 'zone')} by how they look through time. Nobody labelled anything: the zones "
            "come from the images and from where they lie.",
        ),
        facts=((f"{area:,.4g} km²", "area"), (f"{placed}", "tiles"), (str(n_dates), "dates"), (str(n_zones), "zones")),
        zones=result.table,
        figures=_figures(folder),
        metrics={name: float("nan") if value is None else value for name, value in metrics.items()},
        truth=[
            TruthScore(partition=name, nmi=r["nmi"], ari=r["ari"], purity=r["purity"]) for name, r in scores.items()
        ],
        truth_note=_truth_note(scores),
        warnings=[text for marker in markers.values() for text in marker.get("notes", {}).get("warnings", [])],
        notes=_notes(result, markers, metrics),
        settings=to_dict(settings),
        versions={"taxoscape": document.get("taxoscape", "unknown"), **document.get("versions", {})},
        inputs=[ReportInput(file=Path(entry["path"]).name, date=entry["date"]) for entry in document["input"]],
        durations={name: marker["seconds"] for name, marker in markers.items() if "seconds" in marker},
        files=[(name, text) for name, text in FILES if (folder / name).exists()],
        command="taxoscape run run.toml",
    )
    write_report(folder / "report.html", context)
    return folder / "report.html"


def _figures(folder: RunFolder) -> list[ReportFigure]:
    told = (
        ("maps.png", "The region, its zones, its likeness",
         "The region from above on its clearest date, the zones, and the likeness of tiles: the nearer two colours, "
         "the more alike two tiles are through the dates.",
         "Three maps of the region: picture, zones, likeness of tiles."),
        ("strips.png", "What each zone looks like",
         "The tiles nearest to the mean of each zone, date by date, all under the same stretch.",
         "Rows of tile images, one block per zone, one column per date."),
        ("refinement.png", "What refinement changed",
         "The first zones come from geography alone. They then served as neighbourhoods to train the encoder further, "
         "which gave the refined zones.", "Maps of the first zones, the refined zones, and the tiles that changed."),
    )  # fmt: skip
    return [
        ReportFigure(path=folder / "figures" / name, title=title, caption=caption, alt=alt)
        for name, title, caption, alt in told
        if (folder / "figures" / name).exists()
    ]


def _truth_note(scores: Scores) -> str:
    if not scores:
        return ""
    tiles = next(iter(scores.values()))["n_tiles"]
    return f"Scored on the {int(tiles)} tiles that have a zone and a label; the labels had no part in making the zones."


def _notes(result: _Result, markers: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any]) -> list[str]:
    notes = []
    moved = markers["refine"].get("notes", {}).get("moved_share")
    if moved is not None:
        notes.append(f"Refinement moved {moved:.1%} of the tiles to another zone.")
    empty = int((result.labels == 0).sum())
    if empty:
        notes.append(f"{empty} tiles have no usable date and are in no zone.")
    missing = (
        1 - float(result.zones["counts"].to_numpy()[result.labels > 0].mean()) if (result.labels > 0).any() else 0.0
    )
    if missing > 0:
        notes.append(f"{missing:.1%} of the tile dates are missing; a tile takes part with the dates it has.")
    skipped = markers["cube"].get("notes", {}).get("skipped", [])
    if skipped:
        notes.append(f"{len(skipped)} files beside the scenes were passed over: see  taxoscape run --dry-run.")
    sampled = metrics.get("silhouette_n_tiles", 0)
    if sampled < metrics.get("n_tiles", 0):
        notes.append(f"The silhouettes are taken on a random sample of {sampled} tiles.")
    return notes
