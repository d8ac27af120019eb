"""What lies between two zones, in pictures: from one zone's representative to another's, by the real tiles between."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.interpolation import Between
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.figures import STRIP_DPI, WIDTH, choose_dates
from taxoscape.publish.graph_figure import page, weight_text
from taxoscape.publish.table import ZoneRow
from taxoscape.publish.wording import BETWEEN

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    Pixels = npt.NDArray[np.uint8]
    Bool = npt.NDArray[np.bool_]

MOST_PAIRS = 8
"""Pairs that are drawn: the first ones."""
MOST_DATES = 4
"""Dates of a tile, side by side."""
_LEFT = 0.15
_SPACE = 0.16
_HEAD, _FOOT = 0.34, 0.42
"""Inches above a row of images for its heading, and below for what the tiles are."""


def figure_interpolation(
    path: str | os.PathLike[str],
    *,
    images: Pixels,
    seen: Bool,
    dates: npt.NDArray[np.datetime64],
    rows: Sequence[Between],
    table: Sequence[ZoneRow],
    n_dates: int | None = None,
    distance: str = "sumnorm",
) -> None:
    """Draw, for each pair of zones, the tiles on the way from one to the other.

    Parameters
    ----------
    path
        The ``.png``.
    images
        uint8 (pair, column, time, y, x, 3): zone a's representative, the tile nearest to each point between, zone b's
        representative, as `taxoscape.analysis.interpolation.strip_tiles` lists them.
    seen
        bool (pair, column, time): False where there is no usable image, drawn hatched. Where there is no tile at all
        the place stays blank.
    dates
        datetime64 (time,).
    rows
        Of `taxoscape.analysis.interpolation.interpolate`: ``column − 2`` rows a pair, in the order of ``images``.
    table
        One row per zone.
    n_dates
        Number of dates of the run, where ``images`` holds only some of them (`choose_dates`).
    distance
        Name of d: ``sumnorm`` or ``learned``.

    Raises
    ------
    InputError
        Where ``images`` and ``rows`` are not of the same pairs.

    Notes
    -----
    At most `MOST_PAIRS` pairs and `MOST_DATES` dates are drawn, and the figure says so.
    """
    from matplotlib import rc_context

    n_pairs, columns = images.shape[:2]
    if len(rows) != n_pairs * (columns - 2) or seen.shape != images.shape[:3]:
        raise InputError(
            f"there are images of {n_pairs} pairs, {columns} tiles each, but {len(rows)} points between zones: give "
            "the images of strip_tiles(rows, …)"
        )
    which = choose_dates(len(dates), MOST_DATES)
    drawn = min(n_pairs, MOST_PAIRS)
    wide = (WIDTH - 2 * _LEFT - (columns - 1) * _SPACE) / columns
    step = _HEAD + _cell(wide, len(which)) + _FOOT
    title = "What lies between two zones" if n_pairs else "No two zones, nothing between"
    note = _note(dates[which], len(dates) if n_dates is None else n_dates, drawn, n_pairs, distance)
    with rc_context(canvas.STYLE):
        figure, axes, head = page(title, note, drawn * step + 0.1)
        for pair in range(drawn):
            between = rows[pair * (columns - 2) : (pair + 1) * (columns - 2)]
            _draw_pair(axes, images[pair][:, which], seen[pair][:, which], between, table, head + pair * step, wide)
        axes.set_aspect("auto")
        canvas.save(figure, path, dpi=STRIP_DPI)


def _cell(wide: float, n_dates: int) -> float:
    """Return the side of an image in inches."""
    return min(wide / max(n_dates, 1), 1.3)


def _draw_pair(
    axes: Axes,
    images: Pixels,
    seen: Bool,
    between: Sequence[Between],
    table: Sequence[ZoneRow],
    top: float,
    wide: float,
) -> None:
    """Draw the tiles of one pair, each ``wide`` inches, under a heading."""
    cell = _cell(wide, images.shape[1])
    _draw_heading(axes, between, table, top)
    for column in range(len(images)):
        left = _LEFT + column * (wide + _SPACE)
        zone, text = _caption(between, column)
        if zone and table[zone - 1].n_tiles:
            _draw_tile(axes, images[column], seen[column], left, top + _HEAD, cell)
            _draw_caption(axes, table[zone - 1], text, left, top + _HEAD + cell)
        else:
            axes.text(left, top + _HEAD, "no tile", fontsize=9, va="top", color=canvas.FAINT)


def _draw_heading(axes: Axes, between: Sequence[Between], table: Sequence[ZoneRow], top: float) -> None:
    """Write the names of the two zones above their ends of a row, and how far they are apart in the middle."""
    first, right = between[0], WIDTH - _LEFT
    letters = int((right - _LEFT - 1.9) / 2 / 0.135)
    names = [canvas.shorten(_name(table[zone - 1]), letters) for zone in (first.zone_a, first.zone_b)]
    axes.text(_LEFT, top + _HEAD - 0.1, names[0], fontweight="bold", fontsize=10.5, va="baseline")
    axes.text(right, top + _HEAD - 0.1, names[1], fontweight="bold", fontsize=10.5, va="baseline", ha="right")
    axes.text((_LEFT + right) / 2, top + _HEAD - 0.1, f"d = {weight_text(first.centroid_distance)} between the centres",
              fontsize=9, color=canvas.FAINT, va="baseline", ha="center")  # fmt: skip


def _draw_tile(axes: Axes, images: Pixels, seen: Bool, left: float, top: float, cell: float) -> None:
    """Draw one tile over its dates, side by side."""
    from matplotlib.patches import Rectangle

    for time, image in enumerate(images):
        start = left + time * cell
        if seen[time]:
            smooth = "antialiased" if image.shape[1] > 40 else "nearest"
            axes.imshow(image, extent=(start, start + cell - 0.025, top + cell - 0.025, top), interpolation=smooth)
        else:
            axes.add_patch(Rectangle((start, top), cell - 0.025, cell - 0.025, facecolor="#f3f4f6",
                                     edgecolor="#c4c8cf", hatch="////", linewidth=0))  # fmt: skip


def _caption(between: Sequence[Between], column: int) -> tuple[int, str]:
    """Return the zone of the tile in a column, 0 where there is no tile, and what the tile is."""
    if not 0 < column <= len(between):
        return between[0].zone_a if column == 0 else between[0].zone_b, "nearest to the centre"
    point = between[column - 1]
    return point.zone, f"at {100 * point.weight:g}\u202f%: d = {weight_text(point.distance)}"


def _draw_caption(axes: Axes, row: ZoneRow, text: str, left: float, top: float) -> None:
    """Write below a tile which zone it is of, with the zone's colour, and what it is."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, top + 0.045), 0.13, 0.13, facecolor=row.hex, edgecolor="#00000055", linewidth=0.6))
    axes.text(left + 0.18, top + 0.11, str(row.zone), fontsize=9, fontweight="bold", va="center_baseline")
    axes.text(left + 0.24 + 0.085 * len(str(row.zone)), top + 0.11, text, fontsize=8.5, va="center_baseline",
              color=canvas.FAINT)  # fmt: skip


def _name(row: ZoneRow) -> str:
    return row.name if row.name.strip() == f"Zone {row.zone}" else f"{row.zone}  {row.name}"


def _note(dates: npt.NDArray[np.datetime64], total: int, drawn: int, n_pairs: int, distance: str) -> str:
    if not n_pairs:
        return "Points between the centres of two zones need two zones."
    days = [str(day) for day in dates.astype("datetime64[D]")]
    text = (
        "Each row: from one zone to another. At both ends the tile nearest to the zone's centre; between them the real "
        "tiles nearest to the points at these shares of the way, the zone they are of, and their distance d from the "
        f"point ({BETWEEN[distance]}). "
    )
    text += f"Dates, left to right: {', '.join(days)}" if len(days) > 1 else f"Date: {days[0]}"
    text += f" ({len(days)} of {total}). " if len(days) < total else ". "
    if drawn < n_pairs:
        text += f"The first {drawn} of {n_pairs} pairs. "
    return text + "All in one colour scale. Hatched: no usable image."
