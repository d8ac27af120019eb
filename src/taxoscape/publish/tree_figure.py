"""The tree of zones drawn: from the whole region on the left to about twice the zones of the run on the right.

The number of zones is the horizontal axis, so that any vertical line crosses the zones of that cut, each a block as
high as its share of the area and in its colour. A zone's block goes on as long as it keeps its number; where it is
split, the smaller part begins beside it in a colour of its own. Below, for each split, how far apart its two parts lie:
where the bars fall steeply, further splits tell less.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.graph_figure import page
from taxoscape.publish.table import ZoneRow
from taxoscape.zones.tree import ZoneTree

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    Float64 = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]

WIDTH = 10.0
"""Inches, as of the other figures."""
MOST_SHOWN = 30
"""Largest number of zones that is drawn, unless the run has more."""
LEAST_SHOWN = 5
"""Smallest number that the drawing goes to, where the tree does."""
BLOCKS, BARS = 4.6, 1.1
"""Heights of the two panels in inches."""
_LEFT, _PLOT, _GAP = 0.85, 5.5, 0.3
_NUMBER = 0.14
"""Height of a block in inches from which its number is written into it."""


def figure_tree(
    path: str | os.PathLike[str],
    *,
    tree: ZoneTree,
    colours: Pixels,
    areas_km2: Float64,
    table: Sequence[ZoneRow],
) -> None:
    """Draw the tree of zones, with the legend of the run's zones.

    Parameters
    ----------
    path
        The ``.png``.
    tree
        The tree.
    colours
        uint8 (id, 3): colour of every number of the tree.
    areas_km2
        float64 (tile,): area of each tile's cell.
    table
        One row per zone of the run.

    Raises
    ------
    InputError
        Where tree, colours and table do not fit each other.
    """
    from matplotlib import rc_context

    if len(colours) != tree.n_leaves or len(table) < tree.n_zones:
        raise InputError(
            f"the tree has {tree.n_zones} zones and {tree.n_leaves} leaves, but there are {len(table)} rows and "
            f"{len(colours)} colours: give those of one run"
        )
    last = last_shown(tree)
    title = f"From one zone to {last}"
    note = (
        "A vertical line at any number of zones crosses the zones of that cut; blocks are as high as their share of "
        f"the area. Zones keep number and colour from cut to cut. This run has {tree.n_zones}."
    )
    with rc_context(canvas.STYLE):
        below = BLOCKS + BARS + 1.0
        figure, _, head = page(title, note, below)
        tall = head + below
        left, width = _LEFT / WIDTH, _PLOT / WIDTH
        blocks = figure.add_axes((left, (BARS + 0.95) / tall, width, BLOCKS / tall))
        bars = figure.add_axes((left, 0.5 / tall, width, BARS / tall), sharex=blocks)
        _draw_blocks(blocks, tree, colours, areas_km2, last)
        _draw_bars(bars, tree, last)
        for axes in (blocks, bars):
            axes.axvline(tree.n_zones, color=canvas.INK, linewidth=1.4, linestyle=(0, (4, 2)), zorder=5)
        place = (_LEFT + _PLOT + _GAP) / WIDTH
        legend = figure.add_axes((place, 0.3 / tall, 1 - place - 0.15 / WIDTH, (below - 0.3) / tall))
        canvas.draw_legend(legend, table, no_data=False)
        canvas.save(figure, path)


def last_shown(tree: ZoneTree) -> int:
    """Return the number of zones that the drawing goes to: twice those of the run, within bounds."""
    wanted = max(LEAST_SHOWN, min(2 * tree.n_zones, max(MOST_SHOWN, tree.n_zones + 4)))
    return min(tree.n_leaves, wanted)


def order_of(tree: ZoneTree, k: int) -> list[int]:
    """Return the numbers of a cut from top to bottom, so that the parts of every zone lie together.

    A part lies below what it splits from; of several parts of one zone, the one that splits off last lies nearest.
    """
    order = [int(np.argmin(tree.first_k)) + 1]
    for index in np.argsort(tree.first_k)[1:k].tolist():
        order.insert(order.index(int(tree.splits_from[index])) + 1, index + 1)
    return order


def blocks_of(tree: ZoneTree, areas_km2: Float64, last: int) -> list[tuple[int, int, float, float]]:
    """Return (number, k, top, bottom) of each zone of each cut 1…``last``, in shares of the area, 0 at the top."""
    leaves = np.bincount(tree.leaves, weights=areas_km2, minlength=tree.n_leaves + 1)[1:]
    total = float(leaves.sum()) or 1.0
    order, found = order_of(tree, last), []
    for k in range(1, last + 1):
        share = np.bincount(tree.lookup(k)[1:], weights=leaves / total, minlength=tree.n_leaves + 1)
        present, top = set(tree.ids(k).tolist()), 0.0
        for number in order:
            if number in present:
                found.append((number, k, top, top + float(share[number])))
                top += float(share[number])
    return found


def runs_of(blocks: list[tuple[int, int, float, float]]) -> list[tuple[int, int, int, float, float]]:
    """Return (number, first k, last k, top, bottom): blocks of one zone that are alike in cut after cut, as one."""
    runs: list[tuple[int, int, int, float, float]] = []
    last: dict[int, int] = {}
    for number, k, top, bottom in blocks:
        at = last.get(number)
        if at is not None:
            _, start, stop, before, below = runs[at]
            if stop == k - 1 and abs(before - top) + abs(below - bottom) < 1e-9:
                runs[at] = (number, start, k, before, below)
                continue
        last[number] = len(runs)
        runs.append((number, k, k, top, bottom))
    return runs


def _draw_blocks(axes: Axes, tree: ZoneTree, colours: Pixels, areas_km2: Float64, last: int) -> None:
    """Draw the blocks, and their numbers where a zone begins, at the run's own number of zones, and at the end."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    first = tree.first_k.tolist()
    axes.set(xlim=(0.5, last + 0.5), ylim=(1, 0))
    for number, start, stop, top, bottom in runs_of(blocks_of(tree, areas_km2, last)):
        face = tuple(int(value) / 255 for value in colours[number - 1])
        left, right = start - 0.5, stop + 0.5
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, facecolor=face, edgecolor=face, lw=0.2))
        axes.plot((left, right), (bottom, bottom), color="white", linewidth=0.7, solid_capstyle="butt", zorder=3)
        begins = first[number - 1] == start
        if begins and start > 1:
            axes.plot((left, left), (top, bottom), color="white", linewidth=0.9, solid_capstyle="butt", zorder=3)
        if (bottom - top) * BLOCKS < _NUMBER or _PLOT / last < 0.1 * len(str(number)):
            continue
        written = {tree.n_zones, last, *([start] if begins else [])}
        for k in sorted(written.intersection(range(start, stop + 1))):
            axes.text(k, (top + bottom) / 2, str(number), ha="center", va="center_baseline", fontsize=8.5,
                      fontweight="bold", color="white", zorder=6,
                      path_effects=[withStroke(linewidth=2, foreground=canvas.INK)])  # fmt: skip
    axes.set(yticks=(0, 0.5, 1), yticklabels=("0 %", "50 %", "100 %"))
    axes.set_ylabel("share of the area")
    axes.tick_params(axis="x", labelbottom=False)
    axes.annotate(f"{tree.n_zones}: this run", (tree.n_zones, 0), xytext=(0, 4), textcoords="offset points",
                  ha="center", fontsize=9, fontweight="bold", annotation_clip=False)  # fmt: skip


def _draw_bars(axes: Axes, tree: ZoneTree, last: int) -> None:
    """Draw how far apart the two parts of each split lie."""
    from matplotlib.ticker import MaxNLocator

    heights = tree.heights[np.argsort(tree.first_k)][1:last]
    axes.bar(np.arange(2, len(heights) + 2), heights, width=0.7, color="#9ca3af", zorder=2)
    axes.set_ylim(0, float(heights.max(initial=0.0)) * 1.12 or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=14, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.set_xlabel("number of zones")
    axes.set_ylabel("how far apart\na split's parts lie")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
