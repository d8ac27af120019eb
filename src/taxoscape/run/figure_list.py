"""The figures of a run, in the order of the report: how each is introduced, and what draws it.

A figure is left out where there is nothing to draw: no refinement, no layers, one date, no baselines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from taxoscape.run.drawing import (
    Drawing,
    draw_cards,
    draw_comparison,
    draw_confidence,
    draw_dates,
    draw_graph,
    draw_interpolation,
    draw_layer,
    draw_maps,
    draw_moves,
    draw_paths,
    draw_projections,
    draw_refinement,
    draw_regions,
    draw_strips,
    draw_sweep,
    draw_tree,
    draw_unlike,
)


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


def _layer_figure(number: int, name: str) -> Figure:
    return Figure(
        name=f"layer_{number + 1}",
        title=f"The zones and {name}",
        caption=f"What the zones hold of the layer '{name}', which had no part in making them.",
        alt=f"The layer {name} by zone.",
        draw=partial(draw_layer, number=number),
    )


MAPS = Figure(
    name="maps",
    title="The region, its zones, its likeness",
    caption="The region from above on its clearest date, the zones, and the likeness of tiles: the nearer two colours, "
    "the more alike two tiles are through the dates.",
    alt="Three maps of the region: picture, zones, likeness of tiles.",
    draw=draw_maps,
)
REGIONS = Figure(
    name="regions",
    title="The regions under one partition",
    caption="All regions share one encoder, one partition and one legend. Beside it is what each region makes of "
    "itself alone, with as many zones; where the two differ, the other regions drew the line.",
    alt="Two maps for each region, and the shares of the zones in each.",
    draw=draw_regions,
)
KINDS = (
    Figure(
        name="strips",
        title="What each zone looks like",
        caption="The tile or tiles nearest to the mean of each zone (fewer where there are many zones; analysis.json "
        "names more), date by date, all under the same stretch.",
        alt="Rows of tile images, one block per zone, one column per date.",
        draw=draw_strips,
    ),
    Figure(
        name="cards",
        title="What each zone is like",
        caption="How green each zone is (NDVI) on each date, or how bright in each band where none is known to be near "
        "infrared: the mean of its tiles, and the range that holds the middle 80 % of them (every band is in "
        "curves.csv). The names are proposals from the numbers below; edit them in zones.toml.",
        alt="A small chart of each zone over the dates.",
        draw=draw_cards,
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
        draw=draw_graph,
    ),
    Figure(
        name="tree",
        title="Fewer zones, or more",
        caption="One taxonomy for every number of zones. Read it from left to right: zones are split, one at a time, "
        "and each part lies inside what it was split from. The dashed line is this run. For the map of another "
        "number:  taxoscape cut RUN --zones 12 --out zones_12.tif",
        alt="Blocks that are split from left to right, from the whole region to many zones.",
        draw=draw_tree,
    ),
    Figure(
        name="interpolation",
        title="What lies between two zones",
        caption="From one zone to a linked one: at a quarter, half and three quarters of the way between their means, "
        "the real tile that is nearest. Gradual change means no sharp line between the two. Where one tile "
        "comes twice, or none is near, there is no land between them.",
        alt="Rows of tile images that lead from one zone to another.",
        draw=draw_interpolation,
    ),
    Figure(
        name="projections",
        title="All tiles on a plane",
        caption="Three ways to lay the tiles' series on a plane: tiles near each other are alike. Clouds that hang "
        "together without a gap are gradients that zones cut.",
        alt="Scatter plots of the tiles by principal components, t-SNE and multidimensional scaling.",
        draw=draw_projections,
    ),
    Figure(
        name="paths",
        title="How each zone goes through the dates",
        caption="The mean of each zone on each date, in the plane that shows most of them.",
        alt="Paths of the zones over the dates.",
        draw=draw_paths,
    ),
    Figure(
        name="dates",
        title="Which dates tell zones apart",
        caption="How far two zones lie apart on each date alone, against the spread within them.",
        alt="A table of pairs of zones by dates, shaded by how well the date separates them.",
        draw=draw_dates,
    ),
    Figure(
        name="confidence",
        title="How sure is it?",
        caption="A tile is sure of its zone where the next zone is far, in units of how wide zones are; the same as "
        "confidence.tif. On known ground 0.9 meant that nine of ten tiles were right; elsewhere take it as a ranking.",
        alt="Maps of the confidence of each tile, and of the zones, paler where tiles are not sure.",
        draw=draw_confidence,
    ),
    Figure(
        name="unlike",
        title="Is this land known?",
        caption="The zones come from another run. A tile is unlike anything that they were made of where it lies "
        "farther out than any tile of that run: its zone is only the least unfitting one. The same as unlike.tif.",
        alt="Maps of how far out each tile lies, and of the zones without the tiles that are unlike anything seen.",
        draw=draw_unlike,
    ),
    Figure(
        name="refinement",
        title="What refinement changed",
        caption="The first zones come from geography alone. They then served as neighbourhoods to train the encoder "
        "further, which gave the refined zones.",
        alt="Maps of the first zones and of the refined zones.",
        draw=draw_refinement,
    ),
    Figure(
        name="moves",
        title="Where the tiles went",
        caption="First zones in rows, refined zones in columns, and the tiles that moved in the colour of their new "
        "zone.",
        alt="A table of first against refined zones, and a map of the tiles that moved.",
        draw=draw_moves,
    ),
    Figure(
        name="sweep",
        title="How many zones?",
        caption="What speaks for each number of zones, in the series of the first zones (f^g). Stability asks whether "
        "other samples of the region would give the same zones; the others whether zones are distinct, and compact on "
        "the map.",
        alt="Charts of stability, silhouette, compactness and error over the number of zones.",
        draw=draw_sweep,
    ),
    Figure(
        name="baselines",
        title="Would something simpler have done?",
        caption="The same region in as many zones by this run (refined zones are its result, first zones what it had "
        "before refinement), by plain pixels, and by encoders without training, these by plain K-means. Numbers below.",
        alt="Small maps of the region, one for each method.",
        draw=draw_comparison,
    ),
)
