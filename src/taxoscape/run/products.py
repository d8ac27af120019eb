"""What a run hands over: maps, polygons, styles, figures and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.centroids import seen_centroids
from taxoscape.analysis.regions import RegionPartition
from taxoscape.config import Settings
from taxoscape.cube.joined import split
from taxoscape.files import write_text
from taxoscape.progress import Track, silent
from taxoscape.publish.colour import SeriesColours, coloured_like, series_colours, zone_colours
from taxoscape.publish.qgis import write_zone_style
from taxoscape.publish.rasters import write_colour_map, write_value_map, write_zone_map
from taxoscape.publish.region_figure import overall_table
from taxoscape.publish.table import zone_table
from taxoscape.publish.vectors import write_zone_polygons
from taxoscape.run.drawing import Drawing, Pictures, draw_region_maps
from taxoscape.run.figure_list import figures_of
from taxoscape.run.folder import RunFolder
from taxoscape.run.names import current_names
from taxoscape.run.page import Scores, write_page
from taxoscape.run.reading import Reading
from taxoscape.run.regions import CUBES, open_region
from taxoscape.run.table import FIGURES
from taxoscape.run.tables import TABLES, write_tables
from taxoscape.run.taken import taken_look
from taxoscape.run.tree import names_of_cut, palette_of, tree_json

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.cube.joined import Placement
    from taxoscape.grid import Grid
    from taxoscape.publish.table import ZoneRow


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
    folder.remove(["regions", *(f"figures/{name}.png" for name in FIGURES)])
    (folder / "figures").mkdir(exist_ok=True)
    drawing = _drawing(folder, settings)
    names: list[str] = ["report.html", "zones_tree.json", *TABLES]
    steps: list[Callable[[], object]] = [lambda: _write_tree(drawing)]
    if drawing.regions:
        names.append("regions")
        steps += [lambda region=region: _write_region(drawing, region) for region in drawing.regions]  # type: ignore[misc]
    else:
        names += _map_names(drawing.reading)
        steps.append(lambda: _write_maps(folder.path, drawing, drawing.table, slice(None), drawing.reading.grid))
    for figure in figures_of(drawing):
        path = folder / "figures" / f"{figure.name}.png"
        steps.append(lambda figure=figure, path=path: figure.draw(drawing, path))  # type: ignore[misc]
    steps.append(lambda: write_tables(drawing.reading, drawing.table))
    steps.append(lambda: write_page(drawing, settings, {}))
    for step in track(steps, "maps and report", len(steps)):
        step()
    return (*names, *(f"figures/{name}.png" for name in FIGURES if (folder / "figures" / f"{name}.png").exists()))


def write_run_report(folder: RunFolder, settings: Settings, *, scores: Scores) -> Path:
    """Write the report of a published run again, with scores against a known truth in it."""
    return write_page(_drawing(folder, settings), settings, scores)


def _drawing(folder: RunFolder, settings: Settings) -> Drawing:
    reading = Reading(folder, settings)
    colours = colours_of(reading)
    table = table_of(reading, colours)
    pictures = Pictures.of(reading)
    return Drawing(reading=reading, table=table, colours=colours, pictures=pictures, regions=reading.regions)


def table_of(reading: Reading, colours: SeriesColours | None = None) -> tuple[ZoneRow, ...]:
    """Return the table of the zones of a run, with the colours and names that they have now."""
    taken = taken_look(reading.folder)
    if taken is not None:
        palette = taken.zones
    else:
        palette = zone_colours(seen_centroids(reading.zones), colours or colours_of(reading)).rgb
    names, regions = current_names(reading.folder, reading.k), reading.regions
    if regions:
        return overall_table(regions, palette, names)
    return zone_table(reading.labels, reading.grid, palette, names)


def colours_of(reading: Reading) -> SeriesColours:
    """Return the colours of the tiles of a run: those of its own series, or of the run that its zones are of."""
    taken = taken_look(reading.folder)
    if taken is not None:
        return coloured_like(reading.series, taken.tiles)
    return series_colours(reading.series, rng=reading.settings.run.seed)


def _map_names(reading: Reading) -> list[str]:
    names = ["zones.tif", "zones.tif.aux.xml", "zones.qml", "zones.gpkg", "colours.tif", "confidence.tif"]
    names += ["zones_tree.tif", "zones_tree.tif.aux.xml"]
    names += ["unlike.tif"] if reading.outlyingness is not None else []
    if reading.geographic is not None:
        names += ["zones_geographic.tif", "zones_geographic.tif.aux.xml", "zones_geographic.qml"]
        names += ["moved.tif", "moved.tif.aux.xml", "moved.qml"]
    return names


def _write_maps(
    home: Path, drawing: Drawing, table: tuple[ZoneRow, ...], tiles: slice | npt.NDArray[np.int64], grid: Grid
) -> None:
    """Write the maps of the tiles of a grid into a folder."""
    reading, colours = drawing.reading, drawing.colours
    palette = np.array([row.colour for row in table], dtype=np.uint8)
    titles = [row.name for row in table]
    labels = reading.labels[tiles]
    write_zone_map(home / "zones.tif", labels, grid, palette, titles)
    write_zone_style(home / "zones.qml", table)
    write_zone_polygons(home / "zones.gpkg", labels, grid, table)
    write_colour_map(home / "colours.tif", colours.rgb[tiles], colours.seen[tiles], grid)
    write_value_map(home / "confidence.tif", reading.confidence[tiles], grid, "confidence of the zone, 0 to 1")
    if reading.outlyingness is not None:
        told = "how far out the tile lies, over the farthest of those that the zones were made of; above 1: unlike them"
        write_value_map(home / "unlike.tif", reading.outlyingness[tiles], grid, told)
    tree = reading.tree
    leaves = names_of_cut(tree, tree.n_leaves, drawing.table)
    write_zone_map(home / "zones_tree.tif", tree.leaves[tiles], grid, palette_of(tree, drawing.table), leaves)
    if reading.geographic is not None:
        before = reading.geographic[1]["labels"].to_numpy()[tiles]
        write_zone_map(home / "zones_geographic.tif", before, grid, palette, titles)
        write_zone_style(home / "zones_geographic.qml", table)
        moved = np.where((before > 0) & (before != labels), labels, 0)
        write_zone_map(home / "moved.tif", moved, grid, palette, titles)
        write_zone_style(home / "moved.qml", table)


def _write_tree(drawing: Drawing) -> None:
    """Write the tree of zones."""
    reading = drawing.reading
    text = tree_json(reading.tree, drawing.table, reading.areas_km2, str(reading.zones.attrs["distance"]))
    write_text(reading.folder / "zones_tree.json", text)


def _write_region(drawing: Drawing, region: RegionPartition) -> None:
    """Write the maps of one of several regions."""
    reading = drawing.reading
    placement: Placement = next(p for p in reading.placements if p.name == region.name)
    home = reading.folder / "regions" / region.name
    home.mkdir(parents=True)
    palette = np.array([row.colour for row in drawing.table], dtype=np.uint8)
    table = zone_table(region.overall, region.grid, palette, [row.name for row in drawing.table])
    _write_maps(home, drawing, table, placement.tiles(reading.grid), region.grid)
    cube = open_region(reading.folder / CUBES, region.name)
    valid = split(reading.series, placement)["valid"].to_numpy()
    draw_region_maps(home / "maps.png", drawing, cube, region, table, valid)
