"""The pictures of a run: maps side by side, what refinement changed, and what zones look like through time.

Each function takes finished arrays, writes one PNG and returns nothing. All are ten inches wide at 150 dots per inch,
so that letters stay readable when a page shows them at half size. The maps of a figure share one frame; how they are
placed depends on the shape of the region: two by two, or in a row, or in a column.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.grid import Grid
from taxoscape.publish import canvas
from taxoscape.publish.canvas import Frame, Picture
from taxoscape.publish.colour import SeriesColours
from taxoscape.publish.pictures import NO_DATA_GREY, stretch, stretch_limits
from taxoscape.publish.table import ZoneRow, check_zone_labels, largest_zones

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Pixels = npt.NDArray[np.uint8]

__all__ = [
    "Picture", "choose_dates", "figure_geographic_refined", "figure_maps", "figure_strips", "stretch", "stretch_limits",
]  # fmt: skip

WIDTH = 10.0
"""Width of a figure in inches."""
LEFT, RIGHT, BOTTOM, TOP = 0.58, 0.22, 0.62, 0.86
"""Room around a map in inches: coordinates, nothing, coordinates, a title of two lines and the scale."""
MOST_DATES = 10
"""Dates that a strip shows."""
MOST_STRIPS = 20
"""Rows of images that the strips show: of several representatives as many as fit, of zones the largest."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STRIP_DPI = 110
"""Dots per inch of the strips, which hold many images."""
NAME_COLUMN = 1.75
"""Inches left of a strip for the zone's name."""


def figure_maps(
    path: str | os.PathLike[str],
    *,
    picture: Picture | None,
    labels: npt.NDArray[Any],
    grid: Grid,
    table: Sequence[ZoneRow],
    colours: SeriesColours,
    picture_title: str = "From above",
) -> None:
    """Draw the zones with a legend, the region from above, and the likeness of its tiles.

    Parameters
    ----------
    path
        The ``.png``.
    picture
        The region in true colour (or in the colormap of a single band), or None to leave it out.
    labels
        Integer (tile,): 1…K, 0 = no data.
    grid
        The grid of the tiles.
    table
        One row per zone.
    colours
        The colours of the tiles by principal components.
    picture_title
        What the picture shows: ``True colour, 5 May 2021``.
    """
    from matplotlib import rc_context

    with rc_context(canvas.STYLE):
        frame = canvas.frame_of(grid)
        figure, maps, legend = _sheet(frame, 3 if picture is not None else 2)
        _draw_zones(maps[0], labels, grid, table, frame, _zone_title(table))
        if picture is not None:
            canvas.draw_map(maps[1], picture, frame, picture_title)
        explained = float(colours.explained_variance.sum())
        likeness = grid.to_map(np.where(colours.seen[:, None], colours.rgb, NO_DATA_GREY))
        canvas.draw_map(maps[-1], Picture(rgb=likeness, bounds=frame.bounds), frame, "Likeness of the tiles")
        how = "similar colours, similar tiles; red, green, blue: first three principal components over all dates"
        how = f"{how}, {canvas.share_text(explained)} of the variance" if explained else "all tiles are alike"
        _note(maps[-1], how)
        canvas.draw_legend(legend, table, no_data=bool((labels == 0).any()))
        canvas.save(figure, path)


def figure_geographic_refined(
    path: str | os.PathLike[str],
    *,
    geographic: npt.NDArray[Any],
    refined: npt.NDArray[Any],
    grid: Grid,
    table: Sequence[ZoneRow],
) -> None:
    """Draw the zones before and after refinement, side by side.

    Parameters
    ----------
    path
        The ``.png``.
    geographic, refined
        Integer (tile,): zones under the geographic and the refined embedding, labels matched; 0 = no data.
    grid
        The grid of the tiles.
    table
        One row per zone of the refined map; its colours are used for both.
    """
    from matplotlib import rc_context

    with rc_context(canvas.STYLE):
        frame = canvas.frame_of(grid)
        figure, maps, legend = _sheet(frame, 2, lines=len(table) + 3)
        _draw_zones(maps[0], geographic, grid, table, frame, "First zones")
        _draw_zones(maps[1], refined, grid, table, frame, "Refined zones")
        canvas.draw_legend(legend, table, no_data=bool((refined == 0).any()))
        canvas.save(figure, path)


def figure_confidence(
    path: str | os.PathLike[str],
    *,
    confidence: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    grid: Grid,
    table: Sequence[ZoneRow],
) -> None:
    """Draw how sure tiles are of their zone, and the zones, paler where they are not.

    Parameters
    ----------
    path
        The ``.png``.
    confidence
        float32 (tile,), 0…1, NaN = no data.
    labels
        Integer (tile,), 0 = no data.
    grid
        The grid of the tiles.
    table
        One row per zone.
    """
    from matplotlib import rc_context

    sure = np.where(labels > 0, confidence, 0)[:, None]
    grey = np.rint(245 - 200 * np.repeat(sure, 3, axis=1)).astype(np.uint8)
    palette = np.array([NO_DATA_GREY, *(row.colour for row in table)], dtype=np.float64)
    pale = np.rint(250 + sure**2 * (palette[labels] - 250)).astype(np.uint8)
    for picture in (grey, pale):
        picture[labels == 0] = NO_DATA_GREY
    known = confidence[labels > 0]
    with rc_context(canvas.STYLE):
        frame = canvas.frame_of(grid)
        figure, maps, legend = _sheet(frame, 2, lines=len(table) + 3)
        canvas.draw_map(maps[0], Picture(rgb=grid.to_map(grey), bounds=frame.bounds), frame, "Confidence")
        told = f"dark: sure (1), light: not (0); {canvas.share_text(float((known >= 0.9).mean()))} of the tiles at 0.9"
        _note(maps[0], f"{told} or more, {canvas.share_text(float((known < 0.6).mean()))} below 0.6")
        _draw_zones(maps[1], labels, grid, table, frame, "Zones, paler where not sure", pixels=pale)
        canvas.draw_legend(legend, table, no_data=bool((labels == 0).any()))
        canvas.save(figure, path)


def choose_dates(n_dates: int, most: int = MOST_DATES) -> npt.NDArray[np.int64]:
    """Return the indices of at most ``most`` dates, evenly spread, the first and the last among them.

    Examples
    --------
    >>> choose_dates(67).tolist()
    [0, 7, 15, 22, 29, 37, 44, 51, 59, 66]
    """
    return np.unique(np.rint(np.linspace(0, n_dates - 1, min(n_dates, most))).astype(np.int64))


def figure_strips(
    path: str | os.PathLike[str],
    *,
    images: Pixels,
    seen: npt.NDArray[np.bool_],
    dates: npt.NDArray[np.datetime64],
    table: Sequence[ZoneRow],
    n_dates: int | None = None,
) -> None:
    """Draw, for each zone, the tiles that represent it through the dates.

    Parameters
    ----------
    path
        The ``.png``.
    images
        uint8 (zone, representative, time, y, x, 3), in the order of ``table``.
    seen
        bool (zone, representative, time): False where there is no usable image, drawn hatched. A
        representative that is never seen does not exist and stays blank.
    dates
        datetime64 (time,).
    table
        One row per zone.
    n_dates
        Number of dates of the run, where ``images`` holds only some of them (`choose_dates`).

    Notes
    -----
    At most 10 dates and 20 zones are drawn, and the figure says so.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    total = len(dates) if n_dates is None else n_dates
    which = choose_dates(len(dates))
    images, seen, dates = images[:, :, which], seen[:, :, which], dates[which]
    shown, rest = largest_zones(table, MOST_STRIPS)
    places = {row.zone: index for index, row in enumerate(table)}
    rows = min(images.shape[1], max(1, MOST_STRIPS // max(len(shown), 1)))
    images, seen = images[:, :rows], seen[:, :rows]
    cell = min(1.4, (WIDTH - NAME_COLUMN - 0.25) / len(dates))
    width = max(7.0, NAME_COLUMN + 0.25 + cell * len(dates))
    explained = _strip_note(rows, len(dates), total, len(shown), len(shown) + len(rest))
    head = 1.0 + 0.19 * canvas.wrap(explained, int(width * 11)).count("\n")
    height = head + 0.2 + len(shown) * (rows * cell + 0.18)
    with rc_context(canvas.STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.text(0.15, 0.22, "What the zones look like, date by date", fontsize=13, fontweight="bold", va="center")
        axes.text(0.15, 0.38, canvas.wrap(explained, int(width * 11)), fontsize=10, color=canvas.FAINT, va="top")
        for index, date in enumerate(dates):
            middle = NAME_COLUMN + (index + 0.5) * cell
            axes.text(middle, head - 0.08, _date_text(date), ha="center", va="bottom", fontsize=9)
        for line, row in enumerate(shown):
            top, place = head + line * (rows * cell + 0.18), places[row.zone]
            _draw_strip(axes, images[place], seen[place], row, top, cell)
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_aspect("auto")
        canvas.save(figure, path, dpi=STRIP_DPI)


def _sheet(frame: Frame, n_maps: int, *, lines: int = 0) -> tuple[Figure, list[Axes], Axes]:
    """Return a figure with axes for ``n_maps`` maps and for a legend, placed by the shape of the region.

    Two maps side by side have the legend, of about ``lines`` lines, under both of them.
    """
    from matplotlib.figure import Figure

    columns, rows = (1, n_maps) if frame.aspect < 0.55 else (n_maps, 1) if frame.aspect > 1.7 else (2, 2)
    beside = 0.0 if (columns, rows) == (2, 2) else 3.2
    step_x = (WIDTH - beside) / columns
    wide = step_x - LEFT - RIGHT
    high = min(max(wide * frame.aspect, 0.5), 9.0)
    wide = min(wide, max(high / frame.aspect, 0.3))
    top, note = (TOP, 0.42) if wide > 3 else (TOP + 0.4, 1.15)
    step_y = top + high + BOTTOM
    below = canvas.LEGEND_LINE * lines if (columns, rows, n_maps) == (2, 2, 2) else 0.0
    height = max((step_y + below if below else rows * step_y) + note, 2.6)
    figure = Figure(figsize=(WIDTH, height))

    def place(column: int, row: int) -> tuple[float, float, float, float]:
        left = column * step_x + LEFT
        return left / WIDTH, (height - row * step_y - top - high) / height, wide / WIDTH, high / height

    spots = [(c, r) for r in range(rows) for c in range(columns)]
    if not beside:
        spots.remove((0, 1))  # of the legend, under the first map
    maps = [figure.add_axes(place(*spot)) for spot in spots[:n_maps]]
    if beside:
        left, across = (WIDTH - beside + 0.15) / WIDTH, (beside - 0.3) / WIDTH
        legend = figure.add_axes((left, 0.1 / height, across, 1 - 0.35 / height))
    elif below:
        legend = figure.add_axes((LEFT / WIDTH, 0.15 / height, 0.88, below / height))
    else:
        left, bottom, _, tall = place(0, 1)
        legend = figure.add_axes((left, bottom - 0.4 / height, (WIDTH / 2 - LEFT - 0.3) / WIDTH, tall + 0.85 / height))
    return figure, maps, legend


def _zone_picture(labels: npt.NDArray[Any], grid: Grid, table: Sequence[ZoneRow]) -> Pixels:
    """Return the zones in their colours: uint8 (row, col, 3)."""
    palette = np.array([NO_DATA_GREY, *(row.colour for row in table)], dtype=np.uint8)
    return np.asarray(palette[grid.to_map(labels)])


def _draw_zones(
    axes: Axes,
    labels: npt.NDArray[Any],
    grid: Grid,
    table: Sequence[ZoneRow],
    frame: Frame,
    title: str,
    *,
    pixels: Pixels | None = None,
) -> None:
    """Draw zones with their numbers, in their colours or in those of ``pixels``, uint8 (tile, 3)."""
    check_zone_labels(labels, grid, len(table), [row.name for row in table])
    rgb = _zone_picture(labels, grid, table) if pixels is None else grid.to_map(pixels)
    canvas.draw_map(axes, Picture(rgb=rgb, bounds=frame.bounds), frame, title)
    canvas.draw_numbers(axes, labels, grid)


def _zone_title(table: Sequence[ZoneRow]) -> str:
    count = sum(row.n_tiles > 0 for row in table)
    return "1 zone" if count == 1 else f"{count} zones"


def _note(axes: Axes, text: str) -> None:
    """Write a small line below a map and its coordinates, broken to the map's width."""
    width = axes.get_position().width * WIDTH
    broken = canvas.wrap(text, max(int(width * 13.5), 22))
    axes.annotate(broken, (0, 0), xycoords="axes fraction", xytext=(0, -40), textcoords="offset points", va="top",
                  fontsize=8.5, color=canvas.FAINT, annotation_clip=False)  # fmt: skip


def _draw_strip(axes: Axes, images: Pixels, seen: npt.NDArray[np.bool_], row: ZoneRow, top: float, cell: float) -> None:
    """Draw one zone: its name, its colour, and a row of images for each representative."""
    from matplotlib.patches import Rectangle

    n_rows, n_dates, height, width, _ = images.shape
    block = np.where(seen[..., None, None, None], images, 255).transpose(0, 2, 1, 3, 4)
    right, bottom = NAME_COLUMN + n_dates * cell, top + n_rows * cell
    axes.imshow(
        block.reshape(n_rows * height, n_dates * width, 3), extent=(NAME_COLUMN, right, bottom, top),
        interpolation="antialiased" if width > 40 else "nearest",
    )  # fmt: skip
    for r, t in np.argwhere(~seen & seen.any(axis=1, keepdims=True)):
        axes.add_patch(Rectangle((NAME_COLUMN + t * cell, top + r * cell), cell, cell, facecolor="#f3f4f6",
                                 edgecolor="#c4c8cf", hatch="////", linewidth=0))  # fmt: skip
    axes.vlines(NAME_COLUMN + cell * np.arange(1, n_dates), top, bottom, color="white", linewidth=3)
    axes.hlines(top + cell * np.arange(1, n_rows), NAME_COLUMN, right, color="white", linewidth=3)
    axes.add_patch(Rectangle((NAME_COLUMN - 0.24, top), 0.16, bottom - top, facecolor=row.hex, linewidth=0))
    name = row.name if row.name.strip() == f"Zone {row.zone}" else f"{row.zone}  {row.name}"
    axes.text(0.15, top + 0.02, canvas.wrap(canvas.shorten(name, 26), 14), fontweight="bold", va="top", fontsize=10.5)
    axes.text(0.15, bottom - 0.02, f"{canvas.area_text(row.area_km2)} km²\n{canvas.share_text(row.share)}",
              color=canvas.FAINT, va="bottom", fontsize=9)  # fmt: skip


def _strip_note(rows: int, shown: int, total: int, zones: int, present: int) -> str:
    tile = "the tile" if rows == 1 else f"the {rows} tiles"
    text = f"Per zone {tile} nearest to its centre, each row one place, all in the same colour scale. "
    text += f"{shown} of {total} dates, evenly spread." if shown < total else "All dates." if total > 1 else "One date."
    if zones < present:
        text += f" The {zones} largest of {present} zones."
    return text + " Hatched: no usable image."


def _date_text(date: np.datetime64) -> str:
    day = date.astype("datetime64[D]").item()
    return f"{day.day} {MONTHS[day.month - 1]}\n{day.year}"
