"""What the dates did, in two pictures: each zone's path through the year, and the dates that tell two zones apart."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.dates import CentroidPaths, Separation, nearest_pairs
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.figures import MONTHS, choose_dates
from taxoscape.publish.table import ZoneRow, largest_zones

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Dates = npt.NDArray[np.datetime64]
    Float64 = npt.NDArray[np.float64]

WIDTH = 10.0
"""Width of a figure in inches."""
ONE_PLANE = 8
"""Zones that are drawn into one plane; more get a panel each."""
COLUMNS, MOST_PANELS = 5, 30
"""Panels in a row, and at most."""
HEAD, PLANE, PANEL, PANEL_STEP = 1.2, 6.0, 1.82, 2.16
"""Inches of the heading, of the height of the one plane, of the edge of a panel and from panel to panel."""
ARROWS = 10
"""Arrows along a path, at most."""
ALL_PAIRS = 8
"""Zones of which all pairs are drawn; of more, as many of the nearest pairs."""
MOST_PAIRS = ALL_PAIRS * (ALL_PAIRS - 1) // 2
CLEAR = 4.0
"""Effect of zones that hardly overlap, at which the colour scale ends; further out where most effects are larger."""


def figure_paths(path: str | os.PathLike[str], *, paths: CentroidPaths, dates: Dates, table: Sequence[ZoneRow]) -> None:
    """Draw each zone's path over the dates in the plane of the centroids' first two principal components.

    Parameters
    ----------
    path
        The ``.png``.
    paths
        What `taxoscape.analysis.dates.centroid_paths` returns.
    dates
        datetime64 (time,).
    table
        One row per zone.

    Raises
    ------
    InputError
        Where there are not as many rows as zones, or other dates.

    Notes
    -----
    Up to 8 zones share a plane, more get a panel each with the others in grey: at most 30, the largest. With one date
    the figure shows where the zones lie.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    _refuse_other(paths.points.shape[:2], dates, table)
    known = {row.zone for row in table if np.isfinite(paths.points[row.zone - 1]).any()}
    present = [row for row in table if row.zone in known]
    shown, rest = largest_zones(present, MOST_PANELS)
    together = len(shown) <= ONE_PLANE
    body = PLANE + 0.7 if together else -(-len(shown) // COLUMNS) * PANEL_STEP
    height = HEAD + body
    with rc_context(canvas.STYLE):
        figure = Figure(figsize=(WIDTH, height))
        _heading(figure, height, _paths_title(dates), _paths_note(paths, dates, len(shown), len(shown) + len(rest)))
        (_draw_plane if together else _draw_panels)(figure, height, paths, shown)
        canvas.save(figure, path)


def figure_separation(
    path: str | os.PathLike[str], *, separation: Separation, dates: Dates, table: Sequence[ZoneRow]
) -> bool:
    """Draw how well each date alone tells pairs of zones apart.

    Parameters
    ----------
    path
        The ``.png``.
    separation
        What `taxoscape.analysis.dates.separating_dates` returns.
    dates
        datetime64 (time,).
    table
        One row per zone.

    Returns
    -------
    Whether a figure was written: there is none where no two zones have a date in common.

    Raises
    ------
    InputError
        Where there are not as many rows as zones, or other dates.

    Notes
    -----
    All pairs of up to 8 zones; of more zones the 28 pairs whose centroids are nearest, the hardest ones.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    _refuse_other(separation.effect.shape[1:], dates, table)
    k = len(table)
    every = nearest_pairs(separation, k * k)
    pairs = every[:MOST_PAIRS] if k > ALL_PAIRS else tuple(sorted(every))
    if not pairs:
        return False
    values = np.stack([separation.effect[a - 1, b - 1] for a, b in pairs])
    cell_w, cell_h = min(0.75, 7.6 / len(dates)), 0.3
    head, foot = 1.45, 0.85
    height = head + cell_h * len(pairs) + foot
    with rc_context(canvas.STYLE):
        figure = Figure(figsize=(WIDTH, height))
        title = "The date that separates zones" if len(dates) == 1 else "The dates that separate zones"
        _heading(figure, height, title, _separation_note(values, len(pairs), len(every), k))
        left, bottom = 1.3, foot
        wide, high = cell_w * len(dates), cell_h * len(pairs)
        axes = figure.add_axes((left / WIDTH, bottom / height, wide / WIDTH, high / height))
        top = _scale_end(values)
        _draw_effects(axes, values, cell_w, top)
        _pair_marks(axes, pairs, table, cell_w)
        for index in choose_dates(len(dates), max(1, int(wide / 0.62))):
            axes.text(index + 0.5, -0.3, _date_text(dates[index]), ha="center", va="baseline", fontsize=8.5,
                      color=canvas.FAINT, linespacing=1.05)  # fmt: skip
        bar = figure.add_axes((left / WIDTH, 0.42 / height, 3.2 / WIDTH, 0.13 / height))
        _draw_scale(bar, top)
        canvas.save(figure, path)
    return True


def _refuse_other(shape: tuple[int, ...], dates: Dates, table: Sequence[ZoneRow]) -> None:
    if shape != (len(table), len(dates)):
        raise InputError(
            f"there are {shape[0]} zones on {shape[1]} dates, but {len(table)} rows of the table and {len(dates)} "
            "dates: take all from one run"
        )


def _heading(figure: Figure, height: float, title: str, note: str) -> None:
    figure.text(0.3 / WIDTH, 1 - 0.24 / height, title, fontsize=13, fontweight="bold", va="center")
    figure.text(0.3 / WIDTH, 1 - 0.42 / height, canvas.wrap(note, 132), fontsize=9.5, color=canvas.FAINT, va="top")


def _paths_title(dates: Dates) -> str:
    return "Where the zones lie on the one date" if len(dates) == 1 else "Each zone's path over the dates"


def _paths_note(paths: CentroidPaths, dates: Dates, shown: int, total: int) -> str:
    text = "The mean of each zone in the plane that shows most of the differences between zones and dates "
    text += f"({canvas.share_text(sum(paths.explained))} of the variance)"
    if shown < total:
        text += f"; the {shown} largest of {total} zones"
    elif shown > ONE_PLANE:
        text += ", a panel for each zone, the others in grey, all on one scale (first component rightwards, second up)"
    if len(dates) == 1:
        return f"{text}. Near: alike. {_long_date(dates[0])}."
    text += f". Open ring: the first date ({_long_date(dates[0])}); dot: the last ({_long_date(dates[-1])}). "
    missing = bool(np.isnan(paths.points[..., 0]).any())
    return text + ("Dotted: over dates on which no tile of the zone was seen." if missing else "Near: alike.")


def _draw_plane(figure: Figure, height: float, paths: CentroidPaths, rows: Sequence[ZoneRow]) -> None:
    """Draw all paths into one plane."""
    wide = WIDTH - 1.1
    axes = figure.add_axes((0.8 / WIDTH, 0.7 / height, wide / WIDTH, PLANE / height))
    limits = _limits(paths.points, wide, PLANE)
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.set_xlabel(f"first component, {canvas.share_text(paths.explained[0])} of the variance")
    axes.set_ylabel(f"second component, {canvas.share_text(paths.explained[1])} of the variance")
    for row in rows:
        _draw_path(axes, paths.points[row.zone - 1], row.hex, number=row.zone)


def _draw_panels(figure: Figure, height: float, paths: CentroidPaths, rows: Sequence[ZoneRow]) -> None:
    """Draw a panel for each path, the others in grey."""
    limits = _limits(paths.points, PANEL, PANEL)
    for index, row in enumerate(rows):
        left = 0.3 + (index % COLUMNS) * (PANEL + 0.075)
        bottom = height - HEAD - (index // COLUMNS) * PANEL_STEP - PANEL
        axes = figure.add_axes((left / WIDTH, bottom / height, PANEL / WIDTH, PANEL / height))
        axes.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[])
        name = row.name if row.name.strip() == f"Zone {row.zone}" else f"{row.zone}  {row.name}"
        axes.set_title(canvas.shorten(name, 20), fontsize=9.5, pad=4)
        for other in rows:
            if other is not row:
                _draw_path(axes, paths.points[other.zone - 1], "#d9dce1")
        _draw_path(axes, paths.points[row.zone - 1], row.hex, number=row.zone, small=True)


def _limits(points: Float64, wide: float, high: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return limits of x and y that hold all points, on one scale in both axes."""
    known = points[np.isfinite(points[..., 0])]
    low, top = (known.min(axis=0), known.max(axis=0)) if len(known) else (np.zeros(2), np.zeros(2))
    middle, span = (low + top) / 2, np.maximum(top - low, 0)
    per_inch = float(max(span[0] / wide, span[1] / high) * 1.16) or 1.0
    half = per_inch * wide / 2, per_inch * high / 2
    return (middle[0] - half[0], middle[0] + half[0]), (middle[1] - half[1], middle[1] + half[1])


def _draw_path(axes: Axes, points: Float64, colour: str, *, number: int | None = None, small: bool = False) -> None:
    """Draw one path: a line, arrows along it, a ring at the first date, a dot at the last.

    The dot holds the zone's number but where it is ``small``. Without a number only the line, behind the others.
    """
    from matplotlib.patheffects import withStroke

    seen = np.flatnonzero(np.isfinite(points[:, 0]))
    if not len(seen):
        return
    width, layer = (0.7, 1) if number is None else (1.1 if small else 1.5, 3)
    axes.plot(*points.T, color=colour, linewidth=width, zorder=layer)  # broken where a date is missing
    for a, b in itertools.pairwise(seen):
        if b > a + 1:
            axes.plot(*points[[a, b]].T, color=colour, linewidth=width, zorder=layer, linestyle=":")
    if number is None:
        return
    _draw_arrows(axes, points[seen], colour, most=4 if small else ARROWS, head=7 if small else 13)
    dots = 2.8 if len(seen) <= 15 else 1.6
    axes.plot(*points[seen[1:-1]].T, linestyle="none", marker="o", markersize=dots, color=colour, zorder=4)
    size = 7 if small else 13
    if len(seen) > 1:
        ring = size - (2 if small else 5)
        axes.plot(*points[seen[0]], marker="o", markersize=ring, markerfacecolor="white", markeredgecolor=colour,
                  markeredgewidth=1.6, zorder=5)  # fmt: skip
    axes.plot(*points[seen[-1]], marker="o", markersize=size, color=colour, zorder=6, markeredgecolor="white",
              markeredgewidth=0.8)  # fmt: skip
    if small:
        return  # its panel says which zone it is
    axes.text(points[seen[-1], 0], points[seen[-1], 1], str(number), ha="center", va="center_baseline",
              fontsize=8.5, fontweight="bold", color="white", zorder=7,
              path_effects=[withStroke(linewidth=1.8, foreground=canvas.INK)])  # fmt: skip


def _draw_arrows(axes: Axes, points: Float64, colour: str, *, most: int, head: int) -> None:
    """Draw arrowheads in the middle of a few steps of a path."""
    if len(points) < 2:
        return
    for a in choose_dates(len(points) - 1, most):
        step = points[a + 1] - points[a]
        if np.abs(step).max() > 0:
            style = {"arrowstyle": "-|>", "color": colour, "mutation_scale": head, "linewidth": 0, "shrinkA": 0}
            axes.annotate("", xy=points[a] + 0.62 * step, xytext=points[a] + 0.4 * step, zorder=4,
                          arrowprops={**style, "shrinkB": 0})  # fmt: skip


def _scale_end(values: Float64) -> float:
    """Return the effect at which the colour scale ends, so that most effects are told apart."""
    known = values[np.isfinite(values)]
    return max(CLEAR, float(np.ceil(np.quantile(known, 0.9) / 4) * 4)) if len(known) else CLEAR


def _draw_effects(axes: Axes, values: Float64, cell_w: float, top: float) -> None:
    """Draw effects, float64 (pair, time), as a heat map, with numbers where they have room; the best date is framed."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    n_pairs, n_dates = values.shape
    colours = colormaps["viridis"].with_extremes(bad="#e3e4e7")
    axes.imshow(np.ma.masked_invalid(np.minimum(values, top)), cmap=colours, vmin=0, vmax=top, aspect="auto",
                extent=(0, n_dates, n_pairs, 0), interpolation="nearest")  # fmt: skip
    axes.set(xlim=(0, n_dates), ylim=(n_pairs, 0), xticks=[], yticks=[])
    for row, effects in enumerate(values):
        if cell_w >= 0.36:
            for t in np.flatnonzero(~np.isnan(effects)):
                text = f"{effects[t]:.1f}" if effects[t] < 99 else ">99"
                axes.text(t + 0.5, row + 0.5, text, ha="center", va="center_baseline", fontsize=8.5,
                          color="white" if effects[t] < 0.6 * top else canvas.INK)  # fmt: skip
        if n_dates > 1 and not np.isnan(effects).all():
            best = int(np.nanargmax(effects))
            axes.add_patch(Rectangle((best + 0.02, row + 0.04), 0.96, 0.92, fill=False, edgecolor="#e11d48",
                                     linewidth=1.8, zorder=3, clip_on=False))  # fmt: skip


def _pair_marks(axes: Axes, pairs: Sequence[tuple[int, int]], table: Sequence[ZoneRow], cell_w: float) -> None:
    """Write each pair before its row, each zone on its colour."""
    from matplotlib.patheffects import withStroke

    for row, pair in enumerate(pairs):
        for place, zone in zip((-0.78, -0.32), pair, strict=True):
            face = table[zone - 1].hex
            axes.text(place / cell_w, row + 0.5, f"{zone:^3}", ha="center", va="center_baseline", fontsize=9,
                      fontweight="bold", color="white",
                      path_effects=[withStroke(linewidth=1.6, foreground=canvas.INK)],
                      bbox={"boxstyle": "square,pad=0.22", "facecolor": face, "edgecolor": "#00000055",
                            "linewidth": 0.5})  # fmt: skip
        axes.text(-0.55 / cell_w, row + 0.5, "–", ha="center", va="center_baseline", fontsize=9, color=canvas.FAINT)


def _draw_scale(axes: Axes, top: float) -> None:
    from matplotlib import colormaps

    axes.imshow(np.linspace(0, 1, 256)[None], cmap=colormaps["viridis"], aspect="auto", extent=(0, top, 0, 1))
    ticks = [round(top * part / 4) for part in range(5)]
    axes.set_yticks([])
    axes.set_xticks(ticks, labels=[str(t) if t < top else f"{t} and more" for t in ticks])
    axes.tick_params(labelsize=8.5)


def _separation_note(values: Float64, shown: int, total: int, k: int) -> str:
    text = "How far the means of two zones lie apart on a date, in standard deviations within the zones along the line "
    text += "between them (the standardised difference): at 2 the zones overlap, at 4 they hardly do. "
    if shown < total:
        text += f"The {shown} of {total} pairs with the nearest centroids, nearest first. "
    elif k > ALL_PAIRS:
        text += "Nearest centroids first. "
    text += "Red frame: the best date of the pair. " if values.shape[1] > 1 else ""
    return text + ("Grey: fewer than two tiles seen." if np.isnan(values).any() else "")


def _date_text(date: np.datetime64) -> str:
    day = date.astype("datetime64[D]").item()
    return f"{day.day} {MONTHS[day.month - 1]}\n{day.year}"


def _long_date(date: np.datetime64) -> str:
    return _date_text(date).replace("\n", " ")
