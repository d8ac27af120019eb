"""How each figure of a run is drawn: what it needs of the run, handed to the module that draws it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.dates import Separation, centroid_paths
from taxoscape.analysis.interpolation import Between, strip_tiles
from taxoscape.analysis.regions import RegionPartition
from taxoscape.publish.card_figure import figure_cards
from taxoscape.publish.change_figure import figure_moves
from taxoscape.publish.colour import SeriesColours
from taxoscape.publish.comparison_figure import ComparedMap, figure_comparison
from taxoscape.publish.dates_figure import figure_paths, figure_separation
from taxoscape.publish.figures import figure_confidence, figure_geographic_refined, figure_maps, figure_strips
from taxoscape.publish.graph_figure import figure_graph
from taxoscape.publish.interpolation_figure import figure_interpolation
from taxoscape.publish.layer_figure import figure_layer
from taxoscape.publish.projection_figure import figure_projections
from taxoscape.publish.region_figure import figure_regions
from taxoscape.publish.sweep_figure import figure_sweep
from taxoscape.publish.table import ZoneRow
from taxoscape.publish.tree_figure import figure_tree
from taxoscape.publish.unlike_figure import figure_unlike
from taxoscape.run.baselines import compared_labels
from taxoscape.run.pictures import picture_bands, region_picture, strip_images
from taxoscape.run.reading import Reading, associations, numbers, stored_projections
from taxoscape.run.results import open_cube
from taxoscape.run.tree import palette_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Where pixels for pictures come from."""

    cube: xr.DataArray
    """The scenes of the run."""
    bands: list[int]
    """Three bands or one, as indices."""
    kind: str
    """What a picture of these bands is called."""

    @classmethod
    def of(cls, reading: Reading) -> Pictures:
        """Return the pictures of a run."""
        cube = open_cube(reading.folder)
        names = tuple(str(band) for band in cube["band"].to_numpy())
        bands, kind = picture_bands(names, reading.settings.publish.rgb)
        return cls(cube=cube, bands=bands, kind=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What figures are drawn from."""

    reading: Reading
    """The zones, and what is read off them."""
    table: tuple[ZoneRow, ...]
    """One row per zone."""
    colours: SeriesColours
    """The colours of the tiles by principal components."""
    pictures: Pictures
    """Where pixels come from."""
    regions: tuple[RegionPartition, ...] = ()
    """What each region makes of itself, where there are several."""

    @property
    def dates(self) -> npt.NDArray[np.datetime64]:
        """datetime64 (time,)."""
        return np.asarray(self.reading.series["time"].to_numpy())


def draw_region_maps(
    path: Path, drawing: Drawing, cube: xr.DataArray, region: RegionPartition, table: tuple[ZoneRow, ...], valid: Any
) -> None:
    """Draw the maps of one of several regions, from its own cube, table and valid shares (tile, time) of its tiles."""
    placement = next(p for p in drawing.reading.placements if p.name == region.name)
    tiles = placement.tiles(drawing.reading.grid)
    colours = drawing.colours
    own = SeriesColours(**{
        **{name: getattr(colours, name) for name in colours.__dataclass_fields__},
        "rgb": colours.rgb[tiles], "seen": colours.seen[tiles],
    })  # fmt: skip
    picture, date = region_picture(cube, region.grid, valid, drawing.pictures.bands)
    figure_maps(
        path, picture=picture, labels=region.overall, grid=region.grid, table=table, colours=own,
        picture_title=f"{drawing.pictures.kind}, {date}",
    )  # fmt: skip


def draw_maps(drawing: Drawing, path: Path) -> None:
    """Draw the region from above, its zones and the likeness of its tiles."""
    reading, pictures = drawing.reading, drawing.pictures
    valid = reading.series["valid"].to_numpy()
    picture, date = region_picture(pictures.cube, reading.grid, valid, pictures.bands)
    figure_maps(
        path,
        picture=picture,
        labels=reading.labels,
        grid=reading.grid,
        table=drawing.table,
        colours=drawing.colours,
        picture_title=f"{pictures.kind}, {date}",
    )


def draw_regions(drawing: Drawing, path: Path) -> None:
    """Draw the zones of each region, and what each makes of itself."""
    figure_regions(path, regions=drawing.regions, table=drawing.table)


def draw_strips(drawing: Drawing, path: Path) -> None:
    """Draw the tiles that stand for each zone through the dates."""
    tiles = np.asarray(drawing.reading.found["representatives"], dtype=np.int64)
    images, seen, dates = _images(drawing, tiles)
    figure_strips(path, images=images, seen=seen, dates=dates, table=drawing.table, n_dates=len(drawing.dates))


def draw_cards(drawing: Drawing, path: Path) -> None:
    """Draw a small chart of each zone over the dates."""
    figure_cards(path, cards=drawing.reading.cards, table=drawing.table)


def draw_graph(drawing: Drawing, path: Path) -> bool:
    """Draw the semantic graph; nothing of a single zone."""
    if drawing.reading.k < 2:
        return False
    figure_graph(path, graph=drawing.reading.graph, table=drawing.table)
    return True


def draw_tree(drawing: Drawing, path: Path) -> bool:
    """Draw the tree of zones; nothing of a single leaf."""
    reading = drawing.reading
    if reading.tree.n_leaves < 2:
        return False
    colours = palette_of(reading.tree, drawing.table)
    figure_tree(path, tree=reading.tree, colours=colours, areas_km2=reading.areas_km2, table=drawing.table)
    return True


def draw_interpolation(drawing: Drawing, path: Path) -> bool:
    """Draw what lies between linked zones; nothing where none are linked."""
    found = drawing.reading.found
    rows = [Between(**row) for row in numbers(found["interpolation"])]
    if not rows:
        return False
    tiles = strip_tiles(rows, np.asarray(found["representatives"], dtype=np.int64))
    images, seen, dates = _images(drawing, tiles)
    figure_interpolation(
        path,
        images=images,
        seen=seen,
        dates=dates,
        rows=rows,
        table=drawing.table,
        n_dates=len(drawing.dates),
        distance=drawing.reading.graph.distance,
    )
    return True


def draw_projections(drawing: Drawing, path: Path) -> bool:
    """Draw all tiles on planes; nothing where none has a place."""
    made = stored_projections(drawing.reading)
    if not len(made.pca.tiles):
        return False
    figure_projections(
        path, projections=made, labels=drawing.reading.labels, table=drawing.table, colours=drawing.colours
    )
    return True


def draw_paths(drawing: Drawing, path: Path) -> bool:
    """Draw how zones go through the dates; nothing of a single date."""
    if len(drawing.dates) < 2:
        return False
    figure_paths(path, paths=centroid_paths(drawing.reading.zones), dates=drawing.dates, table=drawing.table)
    return True


def draw_dates(drawing: Drawing, path: Path) -> bool:
    """Draw which dates tell zones apart; nothing of a single zone or date."""
    if drawing.reading.k < 2 or len(drawing.dates) < 2:
        return False
    stored = drawing.reading.found["separation"]
    arrays = {name: np.array(values, dtype=np.float64) for name, values in stored.items()}
    return figure_separation(path, separation=Separation(**arrays), dates=drawing.dates, table=drawing.table)


def draw_confidence(drawing: Drawing, path: Path) -> bool:
    """Draw how sure tiles are of their zone; nothing of a single zone."""
    reading = drawing.reading
    if reading.k < 2:
        return False
    figure_confidence(
        path, confidence=reading.confidence, labels=reading.labels, grid=reading.grid, table=drawing.table
    )
    return True


def draw_unlike(drawing: Drawing, path: Path) -> bool:
    """Draw which tiles are unlike anything seen; nothing where the zones are the run's own."""
    reading = drawing.reading
    if reading.outlyingness is None:
        return False
    figure_unlike(
        path, outlyingness=reading.outlyingness, labels=reading.labels, grid=reading.grid, table=drawing.table
    )
    return True


def draw_refinement(drawing: Drawing, path: Path) -> bool:
    """Draw the zones before and after refinement; nothing without one."""
    reading = drawing.reading
    if reading.geographic is None:
        return False
    before = reading.geographic[1]["labels"].to_numpy()
    figure_geographic_refined(path, geographic=before, refined=reading.labels, grid=reading.grid, table=drawing.table)
    return True


def draw_moves(drawing: Drawing, path: Path) -> bool:
    """Draw where refinement moved tiles; nothing without one."""
    reading = drawing.reading
    if reading.geographic is None or reading.changes is None:
        return False
    before = reading.geographic[1]["labels"].to_numpy()
    figure_moves(
        path, before=before, after=reading.labels, changes=reading.changes, grid=reading.grid, table=drawing.table
    )
    return True


def draw_sweep(drawing: Drawing, path: Path) -> bool:
    """Draw the evidence for the number of zones; nothing where it was not measured."""
    stored = drawing.reading.found.get("sweep")
    if not stored or not stored["rows"]:
        return False
    figure_sweep(path, rows=numbers(stored["rows"]), chosen=stored["chosen"], reason=stored["reason"])
    return True


def draw_comparison(drawing: Drawing, path: Path) -> bool:
    """Draw the maps of other methods; nothing without baselines."""
    reading = drawing.reading
    labels = compared_labels(reading.folder, reading.labels)
    if not labels or reading.k < 2:
        return False
    rows = {row["name"]: row for row in reading.found["comparison"]}
    own = {"refined" if reading.geographic is not None else "geographic": reading.labels}
    if reading.geographic is not None:
        own["geographic"] = reading.geographic[1]["labels"].to_numpy()
    maps = [
        ComparedMap(title=rows[name]["title"], labels=found, measures=rows[name])
        for name, found in {**own, **labels}.items()
        if (found > 0).any()
    ]
    figure_comparison(path, maps=maps, grid=reading.grid, table=drawing.table)
    return True


def draw_layer(drawing: Drawing, path: Path, *, number: int) -> None:
    """Draw the zones and one of the layers, by its place among them."""
    layer = drawing.reading.layers[number]
    found = associations(drawing.reading)[layer.name]
    figure_layer(path, layer=layer, labels=drawing.reading.labels, association=found, table=drawing.table)


def _images(drawing: Drawing, tiles: npt.NDArray[np.int64]) -> tuple[Any, Any, Any]:
    counts = drawing.reading.zones["counts"].to_numpy()
    return strip_images(drawing.pictures.cube, drawing.reading.grid, tiles, counts, drawing.pictures.bands)
