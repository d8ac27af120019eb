"""What refinement did to the zones, in one picture: from which zone to which, where, and the largest moves in words.

Zones carry their colour and their number everywhere, rows and columns of the table included, so that the axes of the
table are the legend of the map.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.changes import Changes
from taxoscape.errors import InputError
from taxoscape.grid import Grid
from taxoscape.publish import canvas
from taxoscape.publish.canvas import Picture
from taxoscape.publish.table import ZoneRow, check_zone_labels

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.0
"""Width of the figure in inches."""
TABLE, MAP, MAP_HIGH = 4.1, 4.1, 6.5
"""Inches: widest table, widest and highest map."""
TOP, BELOW, LINE = 1.05, 1.0, 0.25
"""Inches above the pictures, below them, and of a line of the list."""
STAYED, UNKNOWN = (244, 245, 247), (196, 198, 203)
"""Colours of tiles that stayed in their zone, and of those without a zone before or after."""
MOST_MOVES = 12
"""Moves told in words."""
SMALLEST_CELL = 0.2
"""Inches of a cell of the table that still holds its number."""


def figure_moves(
    path: str | os.PathLike[str],
    *,
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    changes: Changes,
    grid: Grid,
    table: Sequence[ZoneRow],
) -> None:
    """Draw where the tiles of each zone went, the map of those that moved, and a list of the largest moves.

    Parameters
    ----------
    path
        The ``.png``.
    before, after
        Integer (tile,): zones before and after, numbers matched; 0 = no data.
    changes
        What `taxoscape.analysis.changes.changes` finds between the two.
    grid
        The grid of the tiles.
    table
        One row per zone after; its colours are used for both. Zones that are no more are grey.

    Raises
    ------
    InputError
        Where labels, grid, table and changes do not fit each other.
    """
    from matplotlib import rc_context

    check_zone_labels(after, grid, len(table), [row.name for row in table])
    if before.shape != after.shape or changes.n_tiles != int(((before > 0) & (after > 0)).sum()):
        raise InputError("the changes are not those of these zones: make them with taxoscape.analysis.changes.changes")
    with rc_context(canvas.STYLE):
        figure, heat, place, words = _sheet(changes, grid)
        _draw_table(heat, changes, table)
        _draw_moved(place, before, after, changes, grid, table)
        _draw_words(words, changes)
        canvas.save(figure, path)


def _sheet(changes: Changes, grid: Grid) -> tuple[Figure, Axes, Axes, Axes]:
    """Return a figure with axes for the table, the map and the list."""
    from matplotlib.figure import Figure

    rows, cols = (max(n, 1) for n in changes.tiles.shape)
    cell = min(TABLE / max(rows, cols), 1.0)
    aspect = canvas.frame_of(grid).aspect
    wide = min(MAP, max(MAP_HIGH / aspect, 0.3))
    high = min(max(wide * aspect, 0.5), MAP_HIGH)
    lines = -(-min(max(len(changes.moves), 1), MOST_MOVES) // 3) + (len(changes.moves) > MOST_MOVES) + 1
    upper = max(cell * rows, high)
    height = TOP + upper + BELOW + LINE * lines + 0.15
    figure = Figure(figsize=(WIDTH, height))
    heat = figure.add_axes(_box(0.75, TOP, cell * cols, cell * rows, height))
    place = figure.add_axes(_box(5.6, TOP, wide, high, height))
    words = figure.add_axes(_box(0.3, TOP + upper + BELOW, WIDTH - 0.6, LINE * lines, height))
    return figure, heat, place, words


def _box(left: float, top: float, wide: float, high: float, height: float) -> tuple[float, float, float, float]:
    return left / WIDTH, (height - top - high) / height, wide / WIDTH, high / height


def _draw_table(axes: Axes, changes: Changes, table: Sequence[ZoneRow]) -> None:
    """Draw the shares of each zone before (rows) that went to each zone after (columns)."""
    from matplotlib.colors import LinearSegmentedColormap

    axes.set_title("Where the tiles of each zone went", pad=38)
    if not changes.tiles.size:
        axes.set_axis_off()
        return
    rows, cols = changes.tiles.shape
    sums = changes.tiles.sum(axis=1, keepdims=True)
    share = np.divide(changes.tiles, sums, out=np.full((rows, cols), np.nan), where=sums > 0)
    steps = ["#f7f8fa", "#9cc3e6", "#1f5f9e", "#0b2f5b"]
    blue = LinearSegmentedColormap.from_list("share", steps).with_extremes(bad="#e3e4e7")
    axes.imshow(np.ma.masked_invalid(share), cmap=blue, vmin=0, vmax=1, extent=(0, cols, rows, 0), aspect="auto")
    axes.set(xlim=(0, cols), ylim=(rows, 0))
    size = canvas.size_inches(axes)[0] / cols
    if size >= SMALLEST_CELL:
        for a, b in np.argwhere(changes.tiles):
            percent = 100 * share[a, b]
            text = "<1" if percent < 0.5 else "99" if 99.5 <= percent < 100 else f"{percent:.0f}"
            axes.text(b + 0.5, a + 0.5, text, ha="center", va="center_baseline",
                      fontsize=min(10.0, 30 * size), color="white" if share[a, b] > 0.45 else canvas.INK)  # fmt: skip
    _zone_marks(axes, table, rows, cols, size)
    for edge in range(max(rows, cols) + 1):
        axes.plot((edge, edge), (0, rows), color="white", linewidth=0.8) if edge <= cols else None
        axes.plot((0, cols), (edge, edge), color="white", linewidth=0.8) if edge <= rows else None
    axes.set(xticks=[], yticks=[])
    axes.annotate("zone after", (0, 1), xycoords="axes fraction", xytext=(0, 26), textcoords="offset points",
                  fontsize=9, color=canvas.FAINT, va="center_baseline", annotation_clip=False)  # fmt: skip
    axes.annotate("zone before", (0, 1), xycoords="axes fraction", xytext=(-32, 0), textcoords="offset points",
                  fontsize=9, color=canvas.FAINT, va="top", ha="center", rotation=90,
                  annotation_clip=False)  # fmt: skip
    note = "Per cent of the tiles of the zone before (a row adds up to 100)."
    if changes.n_tiles:
        note += f" Adjusted Rand index {changes.ari:.2f}: 1 where nothing changes, 0 for chance."
    axes.annotate(canvas.wrap(note, 56), (0, 0), xycoords="axes fraction", xytext=(-34, -14),
                  textcoords="offset points", va="top", fontsize=8.5, color=canvas.FAINT,
                  annotation_clip=False)  # fmt: skip


def _zone_marks(axes: Axes, table: Sequence[ZoneRow], rows: int, cols: int, size: float) -> None:
    """Put each zone's colour and number beside its row and above its column."""
    from matplotlib.patches import Rectangle

    step = int(np.ceil((0.06 + 0.07 * len(str(max(rows, cols)))) / size))  # numbers that have room
    thick = 0.2 / size
    letters = min(9.0, 46 * size * step)
    for count, down in ((rows, True), (cols, False)):
        for index in range(count):
            corner = (-thick - 0.06 / size, index + 0.06) if down else (index + 0.06, -thick - 0.03 / size)
            shape = (thick, 0.88) if down else (0.88, thick)
            face = _hex(table, index + 1)
            axes.add_patch(Rectangle(corner, *shape, facecolor=face, edgecolor="#00000055", linewidth=0.5,
                                     clip_on=False))  # fmt: skip
            if index % step == 0:
                axes.text(corner[0] + shape[0] / 2, corner[1] + shape[1] / 2, str(index + 1), ha="center",
                          va="center_baseline", fontsize=letters, fontweight="bold", color=_ink_on(face))  # fmt: skip


def _draw_moved(
    axes: Axes,
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    changes: Changes,
    grid: Grid,
    table: Sequence[ZoneRow],
) -> None:
    frame = canvas.frame_of(grid)
    both = (before > 0) & (after > 0)
    moved = both & (before != after)
    palette = np.array([UNKNOWN, *(row.colour for row in table)], dtype=np.uint8)
    rgb = np.where(moved[:, None], palette[np.where(moved, after, 0)], np.array(STAYED, dtype=np.uint8))
    rgb = np.where(both[:, None], rgb, np.array(UNKNOWN, dtype=np.uint8)).astype(np.uint8)
    title = f"Moved: {canvas.share_text(changes.moved_share)} of the tiles" if changes.n_moved else "No tile moved"
    canvas.draw_map(axes, Picture(rgb=grid.to_map(rgb), bounds=frame.bounds), frame, title)
    note = "Each in the colour of the zone it went to; tiles that stayed are light grey." if changes.n_moved else (
        "Every tile is in the zone it was in." if changes.n_tiles else "No tile has a zone both before and after."
    )  # fmt: skip
    note += " Darker grey: no data." if not both.all() else ""
    axes.annotate(canvas.wrap(note, 56), (0, 0), xycoords="axes fraction", xytext=(0, -40),
                  textcoords="offset points", va="top", fontsize=8.5, color=canvas.FAINT,
                  annotation_clip=False)  # fmt: skip


def _draw_words(axes: Axes, changes: Changes) -> None:
    """Write the largest moves in three columns."""
    lines = canvas.size_inches(axes)[1] / LINE
    axes.set_axis_off()
    axes.set(xlim=(0, 3), ylim=(lines, 0))
    shown, rest = changes.moves[:MOST_MOVES], changes.moves[MOST_MOVES:]
    if not shown:
        axes.text(0, 0.5, f"All {changes.n_tiles} tiles kept their zone." if changes.n_tiles else "No tile to compare.",
                  va="center_baseline")  # fmt: skip
        return
    area = canvas.area_text(changes.moved_km2)
    head = f"{_tiles(changes.n_moved)} of {changes.n_tiles} moved, {area} km². " + (
        "The largest moves:" if rest else "The moves:"
    )
    axes.text(0, 0.5, head, va="center_baseline", fontweight="bold")
    rows = -(-len(shown) // 3)
    largest = shown[0].area_km2
    for index, move in enumerate(shown):
        column, line = divmod(index, rows)
        text = f"{move.before} → {move.after}: {_tiles(move.n_tiles)}, {canvas.area_text(move.area_km2, largest)} km²"
        axes.text(column, line + 1.5, text, va="center_baseline", fontsize=10)
    if rest:
        text = f"and {len(rest)} smaller {'move' if len(rest) == 1 else 'moves'}: "
        text += f"{_tiles(sum(m.n_tiles for m in rest))}, {canvas.area_text(sum(m.area_km2 for m in rest))} km²"
        axes.text(0, rows + 1.5, text, va="center_baseline", fontsize=10, color=canvas.FAINT)


def _tiles(count: int) -> str:
    return "1 tile" if count == 1 else f"{count} tiles"


def _hex(table: Sequence[ZoneRow], zone: int) -> str:
    """Return the colour of a zone; grey for one that is no more."""
    return table[zone - 1].hex if zone <= len(table) else "#b4b8bf"


def _ink_on(face: str) -> str:
    """Return white or dark, whichever is read better on a colour ``#rrggbb``."""
    red, green, blue = (int(face[i : i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 150 else canvas.INK
