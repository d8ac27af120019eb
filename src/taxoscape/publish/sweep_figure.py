"""The picture of the evidence for the number of zones: each measure over k in a panel, the chosen k marked in all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.publish import canvas
from taxoscape.publish.canvas import FAINT
from taxoscape.zones.evidence import FOUND_AGAIN

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

WIDTH = 10.0
"""Width of the figure in inches."""
LEFT, RIGHT, GAP, HIGH, BELOW, HEAD = 0.55, 0.15, 0.6, 1.95, 0.55, 0.62
"""Inches: left of a row of panels, right of it, between panels, a panel's height, room for its axis, for its title."""
FIRST, SECOND, MARK = "#1d4ed8", "#c2410c", "#15803d"
"""Colours of the first and of the second line of a panel, and of the mark of the chosen number."""


def figure_sweep(path: str | os.PathLike[str], *, rows: Sequence[Mapping[str, Any]], chosen: int, reason: str) -> None:
    """Draw the measures of a sweep over the number of zones, and which number was chosen and why.

    Parameters
    ----------
    path
        The ``.png``.
    rows
        The table of `taxoscape.analysis.sweep.sweep`, each row as a mapping of its fields (`dataclasses.asdict`); at
        least one row. NaN: not defined.
    chosen
        The number of zones that the rule chose.
    reason
        Why it is this one: `taxoscape.zones.evidence.Evidence.reason`.

    Notes
    -----
    Six panels: stability, silhouettes, K-means error; neighbours in one zone, patches, agreement with a truth. The last
    is left out where no truth was given. Bands are one standard error (stability) and 95 % intervals (silhouettes).
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    why = canvas.wrap(reason, 118)
    truth = any(np.isfinite(row["ari"]) for row in rows)
    top = 0.62 + 0.2 * (why.count("\n") + 1)
    height = top + 2 * (HEAD + HIGH + BELOW)
    wide = (WIDTH - LEFT - RIGHT - 2 * GAP) / 3
    with rc_context(canvas.STYLE):
        figure = Figure(figsize=(WIDTH, height))
        panels = [
            figure.add_axes(
                (
                    (LEFT + column * (wide + GAP)) / WIDTH,
                    1 - (top + (line + 1) * (HEAD + HIGH) + line * BELOW) / height,
                    wide / WIDTH,
                    HIGH / height,
                )
            )
            for line in range(2)
            for column in range(3 if truth or line == 0 else 2)
        ]
        title = "How many zones? 1" if chosen == 1 else f"How many zones? {chosen}, by the rule"
        figure.text(0.15 / WIDTH, 1 - 0.3 / height, title, fontsize=14, fontweight="bold", va="center")
        figure.text(0.15 / WIDTH, 1 - 0.5 / height, why, fontsize=9.5, color=FAINT, va="top", linespacing=1.35)
        _draw_panels(panels, rows, chosen, truth=truth)
        canvas.save(figure, path)


def _draw_panels(panels: Sequence[Axes], rows: Sequence[Mapping[str, Any]], chosen: int, *, truth: bool) -> None:
    """Draw the measures into empty axes."""

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([row[name] for row in rows], dtype=np.float64)

    ks = column("n_clusters")
    _line(panels[0], ks, column("bootstrap_ari"), FIRST, error=column("bootstrap_ari_se"), name="all zones")
    _line(panels[0], ks, column("prediction_strength"), SECOND, name="weakest zone", marker="s")
    asked = f"asked of the weakest: {FOUND_AGAIN}"
    panels[0].axhline(FOUND_AGAIN, color=SECOND, linewidth=1, linestyle=(0, (4, 3)), zorder=1, label=asked)
    panels[0].set_ylim(min(0.0, float(np.nanmin(column("bootstrap_ari"), initial=0.0)) - 0.05), 1.03)
    for name, field, colour, marker in (
        ("flattened", "silhouette_flat", FIRST, "o"),
        ("sum over dates", "silhouette_sumnorm", SECOND, "s"),
    ):
        _line(panels[1], ks, column(field), colour, error=column(f"{field}_ci95"), name=name, marker=marker)
    _line(panels[2], ks, column("inertia_mean"), FIRST)
    panels[2].set_ylim(bottom=0)
    _line(panels[3], ks, 100 * column("map_join_share"), FIRST)
    _line(panels[4], ks, column("map_patches"), FIRST)
    panels[4].set_ylim(bottom=0)
    titles = [
        ("Found again?", "in resamples: all zones (adjusted Rand\nindex), the weakest (its pairs kept)"),
        ("Apart from each other?", "mean silhouette, 1 is best,\nunder two distances"),
        ("Error", "mean squared distance of a tile to its\ncentre; it always falls"),
        ("Compact on the map?", "neighbouring tiles that are in one zone,\n% of pairs"),
        ("In how many pieces?", "connected patches on the map,\nof all zones together"),
    ]
    if truth:
        _line(panels[5], ks, column("ari"), FIRST, name="adjusted Rand index")
        _line(panels[5], ks, column("nmi"), SECOND, name="mutual information", marker="s")
        panels[5].set_ylim(min(0.0, float(np.nanmin(column("ari"), initial=0.0)) - 0.05), 1.03)
        titles.append(("Like the truth?", "agreement with the given truth, 1 is all;\nthe rule does not see it"))
    for axes, (title, note) in zip(panels, titles, strict=True):
        _dress(axes, ks, chosen, title, note)


def _line(
    axes: Axes,
    ks: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    colour: str,
    *,
    error: npt.NDArray[np.float64] | None = None,
    name: str | None = None,
    marker: str = "o",
) -> None:
    """Draw a measure over k, with a band of its error."""
    if error is not None:
        spread = np.nan_to_num(error)
        axes.fill_between(ks, values - spread, values + spread, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(ks, values, color=colour, marker=marker, markersize=3.5, linewidth=1.5, label=name, zorder=3)
    if not np.isfinite(values).any():
        axes.text(0.5, 0.5, "not defined here", transform=axes.transAxes, ha="center", va="center", color=FAINT)


def _dress(axes: Axes, ks: npt.NDArray[np.float64], chosen: int, title: str, note: str) -> None:
    """Mark the chosen number in a panel and write its title, its note and its axis."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.1 * (high - low))  # room for the number above the lines
    axes.axvline(chosen, color=MARK, linewidth=5, alpha=0.25, zorder=0)
    axes.set_xlim(float(ks[0]) - 0.6, float(ks[-1]) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel("number of zones")
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, pad=31)
    axes.annotate(note, (0, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points", fontsize=8.5,
                  color=FAINT, va="bottom", annotation_clip=False)  # fmt: skip
    axes.annotate(f"{chosen}", (chosen, 1), xycoords=("data", "axes fraction"), xytext=(0, -2), va="top", ha="center",
                  textcoords="offset points", fontsize=9, fontweight="bold", color=MARK)  # fmt: skip
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8.5, frameon=False, loc="best", handlelength=1.6, borderaxespad=0.2)
