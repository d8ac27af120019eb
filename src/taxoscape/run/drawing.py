"""The figures of a run, in the order of the report: what each is drawn from, and how it is introduced.

A figure is left out where there is nothing to draw: no refinement, no layers, one date, no baselines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a run."""

    name: str
    """Name of its file, without the ending."""
    title: str
    """Heading above it in the report."""
    caption: str
    """What one sees and how to read it."""
    alt: str
    """What it shows, for who cannot see it."""
    draw: Callable[[Drawing, Path], object]
    """Draws it; False: there was nothing to draw."""


def figures_of(drawing: Drawing) -> tuple[Figure, ...]:
    """Return the figures that a run can have, in the order of the report."""
    layers = tuple(_layer_figure(number, layer.name) for number, layer in enumerate(drawing.reading.layers))
    maps = (REGIONS,) if drawing.regions else (MAPS,)
    found = (*maps, *KINDS, *layers, *RELATIONS)
    if not drawing.regions:
        return found
    note = (
        f" The regions lie below one another, from top to bottom: {', '.join(r.name for r in drawing.regions)}; the "
        "coordinates of this map are not those of the ground, and the grey between the regions is empty."
    )
    return tuple(replace(f, caption=f.caption + note) if f.name in ON_MAPS else f for f in found)


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


def _maps(drawing: Drawing, path: Path) -> None:
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


def _regions(drawing: Drawing, path: Path) -> None:
    figure_regions(path, regions=drawing.regions, table=drawing.table)


def _strips(drawing: Drawing, path: Path) -> None:
    tiles = np.asarray(drawing.reading.found["representatives"], dtype=np.int64)
    images, seen, dates = _images(drawing, tiles)
    figure_strips(path, images=images, seen=seen, dates=dates, table=drawing.table, n_dates=len(drawing.dates))


def _cards(drawing: Drawing, path: Path) -> None:
    figure_cards(path, cards=drawing.reading.cards, table=drawing.table)


def _graph(drawing: Drawing, path: Path) -> bool:
    if drawing.reading.k < 2:
        return False
    figure_graph(path, graph=drawing.reading.graph, table=drawing.table)
    return True


def _tree(drawing: Drawing, path: Path) -> bool:
    reading = drawing.reading
    if reading.tree.n_leaves < 2:
        return False
    colours = palette_of(reading.tree, drawing.table)
    figure_tree(path, tree=reading.tree, colours=colours, areas_km2=reading.areas_km2, table=drawing.table)
    return True


def _interpolation(drawing: Drawing, path: Path) -> bool:
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


def _projections(drawing: Drawing, path: Path) -> bool:
    made = stored_projections(drawing.reading)
    if not len(made.pca.tiles):
        return False
    figure_projections(
        path, projections=made, labels=drawing.reading.labels, table=drawing.table, colours=drawing.colours
    )
    return True


def _paths(drawing: Drawing, path: Path) -> bool:
    if len(drawing.dates) < 2:
        return False
    figure_paths(path, paths=centroid_paths(drawing.reading.zones), dates=drawing.dates, table=drawing.table)
    return True


def _dates(drawing: Drawing, path: Path) -> bool:
    if drawing.reading.k < 2 or len(drawing.dates) < 2:
        return False
    stored = drawing.reading.found["separation"]
    arrays = {name: np.array(values, dtype=np.float64) for name, values in stored.items()}
    return figure_separation(path, separation=Separation(**arrays), dates=drawing.dates, table=drawing.table)


def _confidence(drawing: Drawing, path: Path) -> bool:
    reading = drawing.reading
    if reading.k < 2:
        return False
    figure_confidence(
        path, confidence=reading.confidence, labels=reading.labels, grid=reading.grid, table=drawing.table
    )
    return True


def _unlike(drawing: Drawing, path: Path) -> bool:
    reading = drawing.reading
    if reading.outlyingness is None:
        return False
    figure_unlike(
        path, outlyingness=reading.outlyingness, labels=reading.labels, grid=reading.grid, table=drawing.table
    )
    return True


def _refinement(drawing: Drawing, path: Path) -> bool:
    reading = drawing.reading
    if reading.geographic is None:
        return False
    before = reading.geographic[1]["labels"].to_numpy()
    figure_geographic_refined(path, geographic=before, refined=reading.labels, grid=reading.grid, table=drawing.table)
    return True


def _moves(drawing: Drawing, path: Path) -> bool:
    reading = drawing.reading
    if reading.geographic is None or reading.changes is None:
        return False
    before = reading.geographic[1]["labels"].to_numpy()
    figure_moves(
        path, before=before, after=reading.labels, changes=reading.changes, grid=reading.grid, table=drawing.table
    )
    return True


def _sweep(drawing: Drawing, path: Path) -> bool:
    stored = drawing.reading.found.get("sweep")
    if not stored or not stored["rows"]:
        return False
    figure_sweep(path, rows=numbers(stored["rows"]), chosen=stored["chosen"], reason=stored["reason"])
    return True


def _comparison(drawing: Drawing, path: Path) -> bool:
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


def _layer_figure(number: int, name: str) -> Figure:
    def draw(drawing: Drawing, path: Path) -> None:
        layer = drawing.reading.layers[number]
        found = associations(drawing.reading)[layer.name]
        figure_layer(path, layer=layer, labels=drawing.reading.labels, association=found, table=drawing.table)

    return Figure(
        name=f"layer_{number + 1}",
        title=f"The zones and {name}",
        caption=f"What the zones hold of the layer '{name}', which had no part in making them.",
        alt=f"The layer {name} by zone.",
        draw=draw,
    )


def _images(drawing: Drawing, tiles: npt.NDArray[np.int64]) -> tuple[Any, Any, Any]:
    counts = drawing.reading.zones["counts"].to_numpy()
    return strip_images(drawing.pictures.cube, drawing.reading.grid, tiles, counts, drawing.pictures.bands)


MAPS = Figure(
    name="maps",
    title="The region, its zones, its likeness",
    caption="The region from above on its clearest date, the zones, and the likeness of tiles: the nearer two colours, "
    "the more alike two tiles are through the dates.",
    alt="Three maps of the region: picture, zones, likeness of tiles.",
    draw=_maps,
)
REGIONS = Figure(
    name="regions",
    title="The regions under one partition",
    caption="All regions share one encoder, one partition and one legend. Beside it is what each region makes of "
    "itself alone, with as many zones; where the two differ, the other regions drew the line.",
    alt="Two maps for each region, and the shares of the zones in each.",
    draw=_regions,
)
KINDS = (
    Figure(
        name="strips",
        title="What each zone looks like",
        caption="The tile or tiles nearest to the mean of each zone (fewer where there are many zones; analysis.json "
        "names more), date by date, all under the same stretch.",
        alt="Rows of tile images, one block per zone, one column per date.",
        draw=_strips,
    ),
    Figure(
        name="cards",
        title="What each zone is like",
        caption="How green each zone is (NDVI) on each date, or how bright in each band where none is known to be near "
        "infrared: the mean of its tiles, and the range that holds the middle 80 % of them (every band is in "
        "curves.csv). The names are proposals from the numbers below; edit them in zones.toml.",
        alt="A small chart of each zone over the dates.",
        draw=_cards,
    ),
)  # fmt: skip
ON_MAPS = ("confidence", "refinement", "moves", "baselines")
"""Figures that show the tiles of all regions on one map."""
RELATIONS = (
    Figure(
        name="graph",
        title="Which zones are near each other",
        caption="The minimum spanning tree of the zones' means: of all ways to link them, the one with the smallest "
        "sum of distances. Linked zones are neighbours in kind, not on the ground.",
        alt="A tree of zones with distances on its edges.",
        draw=_graph,
    ),
    Figure(
        name="tree",
        title="Fewer zones, or more",
        caption="One taxonomy for every number of zones. Read it from left to right: zones are split, one at a time, "
        "and each part lies inside what it was split from. The dashed line is this run. For the map of another "
        "number:  taxoscape cut RUN --zones 12 --out zones_12.tif",
        alt="Blocks that are split from left to right, from the whole region to many zones.",
        draw=_tree,
    ),
    Figure(
        name="interpolation",
        title="What lies between two zones",
        caption="From one zone to a linked one: at a quarter, half and three quarters of the way between their means, "
        "the real tile that is nearest. Gradual change means no sharp line between the two. Where one tile "
        "comes twice, or none is near, there is no land between them.",
        alt="Rows of tile images that lead from one zone to another.",
        draw=_interpolation,
    ),
    Figure(
        name="projections",
        title="All tiles on a plane",
        caption="Three ways to lay the tiles' series on a plane: tiles near each other are alike. Clouds that hang "
        "together without a gap are gradients that zones cut.",
        alt="Scatter plots of the tiles by principal components, t-SNE and multidimensional scaling.",
        draw=_projections,
    ),
    Figure(
        name="paths",
        title="How each zone goes through the dates",
        caption="The mean of each zone on each date, in the plane that shows most of them.",
        alt="Paths of the zones over the dates.",
        draw=_paths,
    ),
    Figure(
        name="dates",
        title="Which dates tell zones apart",
        caption="How far two zones lie apart on each date alone, against the spread within them.",
        alt="A table of pairs of zones by dates, shaded by how well the date separates them.",
        draw=_dates,
    ),
    Figure(
        name="confidence",
        title="How sure is it?",
        caption="A tile is sure of its zone where the next zone is far, in units of how wide zones are; the same as "
        "confidence.tif. On known ground 0.9 meant that nine of ten tiles were right; elsewhere take it as a ranking.",
        alt="Maps of the confidence of each tile, and of the zones, paler where tiles are not sure.",
        draw=_confidence,
    ),
    Figure(
        name="unlike",
        title="Is this land known?",
        caption="The zones come from another run. A tile is unlike anything that they were made of where it lies "
        "farther out than any tile of that run: its zone is only the least unfitting one. The same as unlike.tif.",
        alt="Maps of how far out each tile lies, and of the zones without the tiles that are unlike anything seen.",
        draw=_unlike,
    ),
    Figure(
        name="refinement",
        title="What refinement changed",
        caption="The first zones come from geography alone. They then served as neighbourhoods to train the encoder "
        "further, which gave the refined zones.",
        alt="Maps of the first zones and of the refined zones.",
        draw=_refinement,
    ),
    Figure(
        name="moves",
        title="Where the tiles went",
        caption="First zones in rows, refined zones in columns, and the tiles that moved in the colour of their new "
        "zone.",
        alt="A table of first against refined zones, and a map of the tiles that moved.",
        draw=_moves,
    ),
    Figure(
        name="sweep",
        title="How many zones?",
        caption="What speaks for each number of zones, in the series of the first zones (f^g). Stability asks whether "
        "other samples of the region would give the same zones; the others whether zones are distinct, and compact on "
        "the map.",
        alt="Charts of stability, silhouette, compactness and error over the number of zones.",
        draw=_sweep,
    ),
    Figure(
        name="baselines",
        title="Would something simpler have done?",
        caption="The same region in as many zones by this run (refined zones are its result, first zones what it had "
        "before refinement), by plain pixels, and by encoders without training, these by plain K-means. Numbers below.",
        alt="Small maps of the region, one for each method.",
        draw=_comparison,
    ),
)
