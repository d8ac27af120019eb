"""The overall clustering in one picture: the zones of several regions under one legend, each beside its own partition.

Ten inches wide like the other figures: a row of two maps for each region, the legend beside them, and below them a bar
for each region that shows which share of it each overall zone holds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.regions import RegionPartition
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.canvas import Frame, Picture
from taxoscape.publish.pictures import NO_DATA_GREY
from taxoscape.publish.table import ZoneRow, check_zone_labels, zone_table

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.0
"""Width of the figure in inches."""
LEGEND = 3.3
"""Inches at the right for the legend."""
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.2, 0.92, 0.62
"""Room around a map in inches: coordinates, nothing, the region's name with title and scale, coordinates."""
HEAD, BAR, FOOT = 0.8, 0.62, 0.75
"""Inches for the title of the figure, for a bar with its name, and below the bars."""
MOST_HIGH = 3.0
"""Height of a map at most, in inches."""


def overall_table(
    regions: Sequence[RegionPartition], colours: npt.NDArray[np.uint8], names: Sequence[str] | None = None
) -> tuple[ZoneRow, ...]:
    """Return the table of the overall zones: what the regions hold of each, taken together.

    Parameters
    ----------
    regions
        What `taxoscape.analysis.regions.region_partitions` returns.
    colours
        uint8 (zone, 3): colours of the overall zones, the same in all regions.
    names
        One name per zone; where not given ``Zone 1`` and so on.

    Returns
    -------
    A row per overall zone; tiles, patches and true areas are sums over the regions.

    Raises
    ------
    InputError
        Where there is no region, or labels, colours and names do not fit each other.
    """
    if not regions:
        raise InputError("there is no region to show: give one at least")
    tables = [zone_table(region.overall, region.grid, colours, names) for region in regions]
    total = sum(row.area_km2 for table in tables for row in table)
    rows = []
    for parts in zip(*tables, strict=True):
        area = sum(part.area_km2 for part in parts)
        rows.append(
            replace(
                parts[0],
                n_tiles=sum(part.n_tiles for part in parts),
                patches=sum(part.patches for part in parts),
                area_km2=area,
                share=area / total if total > 0 else 0.0,
            )
        )
    return tuple(rows)


def figure_regions(
    path: str | os.PathLike[str], *, regions: Sequence[RegionPartition], table: Sequence[ZoneRow]
) -> None:
    """Draw each region's part of the overall partition beside its own, one legend, and the shares of the zones.

    Parameters
    ----------
    path
        The ``.png``.
    regions
        What `taxoscape.analysis.regions.region_partitions` returns, at least one.
    table
        One row per overall zone, from `overall_table`. Its colours are used in all maps: a zone of a region's own
        partition has the colour of the overall zone that it matches.

    Raises
    ------
    InputError
        Where there is no region, or the labels of one go beyond the table.
    """
    from matplotlib import rc_context

    if not regions:
        raise InputError("there is no region to show: give one at least")
    with rc_context(canvas.STYLE):
        frames = [canvas.frame_of(region.grid) for region in regions]
        sizes = [_map_inches(frame) for frame in frames]
        no_data = any((region.overall == 0).any() for region in regions)
        tall = HEAD + sum(TOP + high + BOTTOM for high, _ in sizes) + BAR * len(regions) + FOOT
        figure = _page(max(tall, HEAD + (len(table) + 3) * canvas.LEGEND_LINE), table, no_data=no_data)
        top = HEAD
        for region, frame, (high, wide) in zip(regions, frames, sizes, strict=True):
            _draw_region(figure, region, frame, table, (top, high, wide))
            top += TOP + high + BOTTOM
        _draw_shares(_axes(figure, LEFT, top + 0.3, WIDTH - LEGEND - LEFT - RIGHT, BAR * len(regions)), regions, table)
        canvas.save(figure, path)


def _page(height: float, table: Sequence[ZoneRow], *, no_data: bool) -> Figure:
    """Return the figure with its title and legend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    title = "One partition of all regions, and each region partitioned alone"
    figure.text(0.15 / WIDTH, 1 - 0.25 / height, title, fontsize=13, fontweight="bold", va="center")
    note = (
        "ARI compares both on the same tiles: 1 the same zones, 0 no more alike than by chance. "
        "Alone, a region's zones have the colour of the overall zone that they match best."
    )
    figure.text(0.15 / WIDTH, 1 - 0.42 / height, canvas.wrap(note, 130), fontsize=9, color=canvas.FAINT, va="top")
    room = height - HEAD - 0.2
    lines = (len(table) + 2 + no_data) * canvas.LEGEND_LINE
    legend = _axes(figure, WIDTH - LEGEND + 0.1, HEAD + 0.1, LEGEND - 0.25, min(max(lines, 1.0), room))
    canvas.draw_legend(legend, table, no_data=no_data)
    return figure


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a place in inches, counted from the upper left corner of the page."""
    whole = figure.get_size_inches()[1]
    return figure.add_axes((left / WIDTH, (whole - top - height) / whole, width / WIDTH, height / whole))


def _map_inches(frame: Frame) -> tuple[float, float]:
    """Return height and width of a map of a region in inches."""
    most = (WIDTH - LEGEND) / 2 - LEFT - RIGHT
    high = min(max(most * frame.aspect, 0.4), MOST_HIGH)
    return high, min(most, max(high / frame.aspect, 0.3))


def _draw_region(
    figure: Figure, region: RegionPartition, frame: Frame, table: Sequence[ZoneRow], box: tuple[float, float, float]
) -> None:
    """Draw the two maps of a region below its name; ``box`` is (top, height of a map, width of a map)."""
    top, high, wide = box
    whole = figure.get_size_inches()[1]
    name = canvas.shorten(region.name, 54)
    figure.text(0.15 / WIDTH, 1 - (top + 0.2) / whole, name, fontsize=12.5, fontweight="bold", va="center")
    titles = (_zones_text("Overall", region.n_overall_zones), _alone_text(region))
    step = (WIDTH - LEGEND) / 2
    for column, (labels, title) in enumerate(zip((region.overall, region.own), titles, strict=True)):
        axes = _axes(figure, column * step + LEFT, top + TOP, wide, high)
        check_zone_labels(labels, region.grid, len(table), [row.name for row in table])
        rgb = _palette(table)[region.grid.to_map(labels)]
        canvas.draw_map(axes, Picture(rgb=rgb, bounds=frame.bounds), frame, "")
        axes.annotate(title, (0, 1), xycoords="axes fraction", xytext=(0, 25), textcoords="offset points",
                      fontsize=11, va="baseline", annotation_clip=False)  # fmt: skip
        canvas.draw_numbers(axes, labels, region.grid)


def _palette(table: Sequence[ZoneRow]) -> npt.NDArray[Any]:
    return np.array([NO_DATA_GREY, *(row.colour for row in table)], dtype=np.uint8)


def _zones_text(what: str, count: int) -> str:
    return f"{what}: no zone" if not count else f"{what}: 1 zone" if count == 1 else f"{what}: {count} zones"


def _alone_text(region: RegionPartition) -> str:
    text = _zones_text("Alone", region.n_own_zones)
    return text if np.isnan(region.ari) else f"{text}, ARI {region.ari:.2f}"


def _draw_shares(axes: Axes, regions: Sequence[RegionPartition], table: Sequence[ZoneRow]) -> None:
    """Draw a bar for each region: the share of each overall zone, with its number where it has room."""
    from matplotlib.patheffects import withStroke

    inches = canvas.size_inches(axes)[0]
    for line, region in enumerate(regions):
        ends = np.concatenate([[0.0], np.cumsum(region.shares)]) * 100
        name = canvas.shorten(region.name, 54)
        placed = sum(region.areas_km2)
        size = f"{canvas.area_text(placed)} km² in zones" if placed else "no tile is in a zone"
        axes.text(0, line + 0.3, name, fontsize=10, fontweight="bold", va="baseline")
        axes.text(100, line + 0.3, size, fontsize=9, color=canvas.FAINT, va="baseline", ha="right")
        for row, (left, right) in zip(table, pairwise(ends), strict=True):
            if right <= left:
                continue
            axes.barh(
                line + 0.62, right - left, height=0.46, left=left, color=row.hex, edgecolor="white", linewidth=0.6
            )
            if (right - left) / 100 * inches > 0.1 * len(str(row.zone)) + 0.08:
                axes.text((left + right) / 2, line + 0.62, str(row.zone), ha="center", va="center_baseline", fontsize=9,
                          fontweight="bold", color="white",
                          path_effects=[withStroke(linewidth=2.0, foreground=canvas.INK)])  # fmt: skip
    axes.set(xlim=(0, 100), ylim=(len(regions), 0), xlabel="share of the region's area in each overall zone, %")
    axes.set_yticks([])
    axes.spines[["left", "right", "top"]].set_visible(False)
