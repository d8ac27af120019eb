"""What other methods make of the same region: small maps side by side, with their measures.

All maps have the colours of the run's zones: a zone of another partition has the colour of the zone that it shares
most tiles with, so that one sees at once where methods agree.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.errors import InputError
from taxoscape.grid import Grid
from taxoscape.publish import canvas
from taxoscape.publish.pictures import NO_DATA_GREY
from taxoscape.publish.table import ZoneRow, check_zone_labels

if TYPE_CHECKING:
    import numpy.typing as npt

WIDTH = 10.0
"""Width of the figure in inches."""
COLUMNS = 3
GAP, SIDE = 0.25, 0.15
"""Room between maps, and at the sides, in inches."""
HEAD, TITLE, FOOT = 0.95, 0.42, 0.72
"""Room for the heading, above a map for its method, and below it for its measures, in inches."""
TALLEST = 3.6
"""Height of a map at most, in inches."""
MEASURES = (
    ("nmi", "NMI with the truth"), ("ari_with_zones", "ARI with these zones"), ("stability_ari", "stability"),
    ("map_join_share", "neighbours in one zone"), ("map_patches", "patches"),
)  # fmt: skip
"""Measures written below a map, where they are known. Silhouettes, each in a method's own series, compare nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedMap:
    """One method's partition."""

    title: str
    """Name of the method."""
    labels: npt.NDArray[Any]
    """Integer (tile,): zones with the numbers of the run's zones that they match, 0 = none."""
    measures: Mapping[str, float | None]
    """Numbers by name, of which those of `MEASURES` are shown."""


def figure_comparison(
    path: str | os.PathLike[str], *, maps: Sequence[ComparedMap], grid: Grid, table: Sequence[ZoneRow]
) -> None:
    """Draw the partitions of several methods as small maps, with their measures below.

    Parameters
    ----------
    path
        The ``.png``.
    maps
        The partitions, the run's own first.
    grid
        The grid of the tiles.
    table
        One row per zone of the run.

    Raises
    ------
    InputError
        Where there is nothing to draw, or labels do not fit the grid and the table.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not maps:
        raise InputError("there is no partition to compare: give one at least")
    palette = np.array([NO_DATA_GREY, *(row.colour for row in table)], dtype=np.uint8)
    with rc_context(canvas.STYLE):
        frame = canvas.frame_of(grid)
        wide = (WIDTH - 2 * SIDE - (COLUMNS - 1) * GAP) / COLUMNS
        high = min(wide * frame.aspect, TALLEST)
        n_rows = -(-len(maps) // COLUMNS)
        step = TITLE + high + FOOT
        height = HEAD + n_rows * step
        figure = Figure(figsize=(WIDTH, height))
        heading = f"The same tiles, as many zones, {len(maps)} ways to see them"
        figure.text(SIDE / WIDTH, 1 - 0.25 / height, heading, fontsize=13, fontweight="bold", va="center")
        note = (
            "Colours are those of the run's zones, each given once to the zones of another method, so that as many "
            "tiles as possible keep their colour. NMI, ARI, stability: 1 is all alike, 0 no more than chance."
        )
        figure.text(SIDE / WIDTH, 1 - 0.44 / height, canvas.wrap(note, 125), fontsize=9, color=canvas.FAINT, va="top")
        for number, shown in enumerate(maps):
            row, column = divmod(number, COLUMNS)
            left, top = SIDE + column * (wide + GAP), HEAD + row * step + TITLE
            check_zone_labels(shown.labels, grid, len(table), [zone.name for zone in table])
            axes = figure.add_axes((left / WIDTH, 1 - (top + high) / height, wide / WIDTH, high / height))
            axes.imshow(palette[grid.to_map(shown.labels)], interpolation="nearest", aspect="auto")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_box_aspect(frame.aspect)
            axes.set_anchor("NW")
            figure.text(left / WIDTH, 1 - (top - 0.1) / height, canvas.shorten(shown.title, 38), fontsize=10.5,
                        fontweight="bold", va="bottom")  # fmt: skip
            text = canvas.wrap(_measures(shown.measures), 52)
            figure.text(left / WIDTH, 1 - (top + high + 0.07) / height, text, fontsize=8, color=canvas.FAINT, va="top",
                        linespacing=1.25)  # fmt: skip
        canvas.save(figure, path)


def _measures(measures: Mapping[str, float | None]) -> str:
    """Return the measures that are known in one line, broken between them only."""
    parts = []
    for name, title in MEASURES:
        value = measures.get(name)
        if value is not None and np.isfinite(value):
            shown = f"{value:.0f}" if name == "map_patches" else f"{value:.2f}"
            parts.append(f"{title} {shown}".replace(" ", "\u00a0"))
    return " · ".join(parts)
