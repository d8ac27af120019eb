"""What a layer holds in each zone, and whether that is more than chance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.association import Association
from taxoscape.cube.layers import Layer
from taxoscape.publish import canvas
from taxoscape.publish.figures import WIDTH
from taxoscape.publish.table import ZoneRow, largest_zones

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

MOST_ZONES = 20
"""Zones that are drawn, the largest."""
MOST_CLASSES = 9
"""Classes that are told apart, the commonest; the others are one."""
NAMES = 3.6
"""Inches left of the rows for the names of zones."""
ROW = 0.36
"""Inches of a row."""
OTHERS = "#d1d5db"
PALETTE = ("#4477aa", "#ee8866", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#994f00", "#bbcc33", "#332288")
"""Colours of classes (after Paul Tol), told apart also without red or green."""


def figure_layer(
    path: str | os.PathLike[str],
    *,
    layer: Layer,
    labels: npt.NDArray[np.integer],
    association: Association,
    table: Sequence[ZoneRow],
) -> None:
    """Draw a layer zone by zone: boxes for numbers, stacked bars for classes; and the association in words.

    Parameters
    ----------
    path
        The ``.png``.
    layer
        A layer on the tiles.
    labels
        Integer (tile,): 1…K, 0 = none.
    association
        How strongly the two go together.
    table
        One row per zone.

    Notes
    -----
    At most 20 zones, the largest, and 9 classes, the commonest; a last row is the whole region.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown, rest = largest_zones(table, MOST_ZONES)
    words = canvas.wrap(association_words(layer, association), 118)
    words += f"\nThe {len(shown)} largest of {len(shown) + len(rest)} zones." if rest else ""
    head = 0.6 + 0.19 * (words.count("\n") + 1)
    known = np.isfinite(layer.values) if layer.kind == "continuous" else layer.values > 0
    groups = [layer.values[known & (labels == row.zone)] for row in shown]
    groups.append(layer.values[known & (labels > 0)])
    legend = _legend_classes(layer, groups[-1]) if layer.kind == "categorical" else []
    keys = _placed_keys(layer, legend)
    foot = 0.62 if layer.kind == "continuous" else 0.62 + 0.22 * (keys[-1][1] + 1 if keys else 0)
    height = head + ROW * len(groups) + foot
    with rc_context(canvas.STYLE):
        figure = Figure(figsize=(WIDTH, height))
        title = f"{layer.name[:1].upper()}{canvas.shorten(layer.name, 60)[1:]} in each zone"
        figure.text(0.15 / WIDTH, 1 - 0.22 / height, title, fontsize=13, fontweight="bold", va="center")
        figure.text(0.15 / WIDTH, 1 - 0.4 / height, words, fontsize=9.5, color=canvas.FAINT, va="top", linespacing=1.3)
        axes = figure.add_axes(
            (NAMES / WIDTH, foot / height, (WIDTH - NAMES - 0.85) / WIDTH, ROW * len(groups) / height)
        )
        axes.set_ylim(len(groups), 0)
        _names(axes, [*shown, None], [len(group) for group in groups])
        if layer.kind == "continuous":
            _draw_boxes(axes, layer, groups, shown)
        else:
            _draw_bars(axes, layer, groups, legend)
            _draw_keys(axes, keys)
        canvas.save(figure, path)


def association_words(layer: Layer, found: Association) -> str:
    """Return how strongly zones and a layer go together, and what chance would give, in plain words."""
    if not np.isfinite(found.value):
        return "Nothing can be said of how they go together: there is one zone, or the layer is the same everywhere."
    if found.measure == "eta_squared":
        share = f"{100 * found.value:.0f} %"
        text = f"η² = {found.value:.2f}: zones explain {share} of the variance of {layer.name} over tiles."
    else:
        text = f"Cramér's V = {found.value:.2f} (0: independent, 1: one tells the other)."
    if not found.draws:
        return f"{text} The region is too small or too ragged to tell what chance would give."
    verdict = "This is more than chance" if found.p <= 0.05 else "This may be chance"
    return (
        f"{text} {verdict}: the same layer, moved to other places of the map with its patches kept, gives "
        f"{found.null_mean:.2f} on average and stays below {found.null_95:.2f} in 95 % of {found.draws} moves "
        f"(p\u00a0=\u00a0{found.p:.2g})."
    )


def _names(axes: Axes, rows: Sequence[ZoneRow | None], counts: Sequence[int]) -> None:
    """Write colour, number and name of each zone left of its row, and its number of tiles right of it."""
    from matplotlib.patches import Rectangle

    width, _ = canvas.size_inches(axes)
    axes.set_yticks([])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    across = axes.get_yaxis_transform()
    for line, (row, count) in enumerate(zip(rows, counts, strict=True)):
        if row is None:
            name = "whole region"
            axes.axhline(line, color="#d1d5db", linewidth=0.8)
        else:
            own = "" if row.name.strip() == f"Zone {row.zone}" else row.name
            name = canvas.shorten(f"{row.zone}  {own}".rstrip(), 41)
            corner = (-(NAMES - 0.15) / width, line + 0.2)
            axes.add_patch(Rectangle(corner, 0.18 / width, 0.6, transform=across, facecolor=row.hex,
                                     edgecolor="#00000055", linewidth=0.6, clip_on=False))  # fmt: skip
        axes.text(-(NAMES - 0.42) / width, line + 0.5, name, transform=across, va="center_baseline", fontsize=10)
        axes.text(1 + 0.78 / width, line + 0.5, f"{count:,}".replace(",", "\u202f"), transform=across, ha="right",
                  va="center_baseline", fontsize=9, color=canvas.FAINT)  # fmt: skip
    axes.text(1 + 0.78 / width, -0.08, "tiles", transform=across, ha="right", va="bottom", fontsize=9,
              color=canvas.FAINT)  # fmt: skip


def _draw_boxes(axes: Axes, layer: Layer, groups: Sequence[npt.NDArray[Any]], shown: Sequence[ZoneRow]) -> None:
    axes.grid(axis="x", color="#eef0f3", linewidth=0.8)
    axes.set_axisbelow(True)
    colours = [*(row.hex for row in shown), "#e5e7eb"]
    for line, (values, colour) in enumerate(zip(groups, colours, strict=True)):
        if not len(values):
            axes.text(0.01, line + 0.5, "no data", transform=axes.get_yaxis_transform(), va="center_baseline",
                      fontsize=9, color=canvas.FAINT)  # fmt: skip
            continue
        least, low, middle, high, most = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
        axes.hlines(line + 0.5, least, most, color=canvas.INK, linewidth=1)
        axes.barh(line + 0.5, high - low, left=low, height=0.56, color=colour, edgecolor=canvas.INK, linewidth=0.8)
        axes.vlines(middle, line + 0.22, line + 0.78, color="white", linewidth=4)
        axes.vlines(middle, line + 0.22, line + 0.78, color=canvas.INK, linewidth=2)
    unit = f", {layer.unit}" if layer.unit else ""
    axes.set_xlabel(
        f"{canvas.shorten(layer.name, 40)}{unit}: box: middle half of the tiles; bar: median; line: 5 to 95 %"
    )


def _legend_classes(layer: Layer, codes: npt.NDArray[Any]) -> list[int]:
    """Return the commonest classes of the region, the first most common; 0 at the end stands for all others."""
    counts = np.bincount(codes, minlength=len(layer.classes) + 1)
    order = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code] and code]
    return order if len(order) <= MOST_CLASSES else [*order[: MOST_CLASSES - 1], 0]


def _draw_bars(axes: Axes, layer: Layer, groups: Sequence[npt.NDArray[Any]], legend: Sequence[int]) -> None:
    for line, codes in enumerate(groups):
        if not len(codes):
            axes.text(0.01, line + 0.5, "no data", va="center_baseline", fontsize=9, color=canvas.FAINT)
            continue
        counts = np.bincount(codes, minlength=len(layer.classes) + 1) / len(codes)
        left = 0.0
        for index, code in enumerate(legend):
            share = float(counts[code]) if code else max(0.0, 1.0 - left)
            colour = PALETTE[index] if code else OTHERS
            axes.barh(line + 0.5, share, left=left, height=0.62, color=colour, edgecolor="white", linewidth=0.8)
            left += share
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("share of the zone's tiles by their commonest class")


def _placed_keys(layer: Layer, legend: Sequence[int]) -> list[tuple[float, int, str, str]]:
    """Return (inches from the left, line, colour, name) of the entries of the legend."""
    keys, x, line = [], 0.0, 0
    for index, code in enumerate(legend):
        many = len(layer.classes) - len(legend) + 1
        name = canvas.shorten(layer.classes[code - 1], 28) if code else f"{many} other classes"
        wide = 0.5 + 0.085 * len(name)
        if x and x + wide > WIDTH - 0.4:
            x, line = 0.0, line + 1
        keys.append((x, line, PALETTE[index] if code else OTHERS, name))
        x += wide
    return keys


def _draw_keys(axes: Axes, keys: Sequence[tuple[float, int, str, str]]) -> None:
    from matplotlib.patches import Rectangle

    width, height = canvas.size_inches(axes)
    for x, line, colour, name in keys:
        left = (x - NAMES + 0.15) / width
        bottom = -(0.7 + 0.22 * line) / height
        axes.add_patch(Rectangle((left, bottom), 0.16 / width, 0.14 / height, transform=axes.transAxes,
                                 facecolor=colour, linewidth=0, clip_on=False))  # fmt: skip
        axes.text(left + 0.22 / width, bottom + 0.07 / height, name, transform=axes.transAxes, va="center_baseline",
                  fontsize=9.5)  # fmt: skip
