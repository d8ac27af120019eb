"""Where the land is unlike anything that the zones were made of: the zones, with those tiles marked, and how far out.

For runs whose zones were taken from another one (`taxoscape.zones.assign`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.grid import Grid
from taxoscape.publish import canvas
from taxoscape.publish.canvas import Picture
from taxoscape.publish.pictures import NO_DATA_GREY
from taxoscape.publish.table import ZoneRow

if TYPE_CHECKING:
    import numpy.typing as npt

WIDTH = 10.0
"""Inches, as of the other figures."""
UNLIKE = (200, 16, 46)
"""Colour of tiles that are unlike anything; no zone's colour means it here."""
_MAP, _LEGEND = 2.9, 2.85


def figure_unlike(
    path: str | os.PathLike[str],
    *,
    outlyingness: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    grid: Grid,
    table: Sequence[ZoneRow],
) -> None:
    """Draw how far out tiles lie, and the zones without those that are unlike anything the zones were made of.

    Parameters
    ----------
    path
        The ``.png``.
    outlyingness
        float32 (tile,): above 1 is unlike; NaN = no data.
    labels
        Integer (tile,), 0 = no data.
    grid
        The grid of the tiles.
    table
        One row per zone.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    unlike = (outlyingness > 1) & (labels > 0)
    shade = 250 - 150 * np.clip(np.nan_to_num(outlyingness), 0, 1)
    grey = np.rint(np.repeat(shade[:, None], 3, axis=1)).astype(np.uint8)
    palette = np.array([NO_DATA_GREY, *(row.colour for row in table)], dtype=np.uint8)
    zones = palette[labels].copy()
    for picture in (grey, zones):
        picture[labels == 0] = NO_DATA_GREY
    grey[unlike] = UNLIKE
    zones[unlike] = (255, 255, 255)
    share = canvas.share_text(float(unlike.sum()) / max(int((labels > 0).sum()), 1))
    titles = ("Unlike anything seen", "Zones, white where unlike")
    with rc_context(canvas.STYLE):
        frame = canvas.frame_of(grid)
        height = min(max(_MAP * frame.aspect, canvas.LEGEND_LINE * (2 * len(table) + 2)), 7.0)
        tall = height + 1.75
        figure = Figure(figsize=(WIDTH, tall))
        for number, (picture, title) in enumerate(zip((grey, zones), titles, strict=True)):
            left = (0.55 + number * (_MAP + 0.4)) / WIDTH
            axes = figure.add_axes((left, 0.95 / tall, _MAP / WIDTH * 0.97, height / tall))
            axes.set_anchor("NW")
            canvas.draw_map(axes, Picture(rgb=grid.to_map(picture), bounds=frame.bounds), frame, title)
        told = f"red: farther out than any tile that the zones were made of, {share} of the tiles; dark: nearly as far"
        below = max(0.95 + height - 0.97 * _MAP * frame.aspect - 0.62, 0.3)
        figure.text(0.55 / WIDTH, below / tall, told, fontsize=9, color=canvas.FAINT, va="top")
        legend = figure.add_axes(
            ((WIDTH - _LEGEND - 0.1) / WIDTH, 0.95 / tall, _LEGEND / WIDTH, height / tall)
        )  # fmt: skip
        canvas.draw_legend(legend, table, no_data=bool((labels == 0).any()))
        canvas.save(figure, path)
