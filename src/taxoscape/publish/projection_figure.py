"""The series in the plane, by three methods: coloured by zone, and by the colours of the map of likeness."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.projections import Projection, Projections
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.colour import SeriesColours
from taxoscape.publish.graph_figure import page
from taxoscape.publish.table import ZoneRow

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Float64 = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]

_SIDE, _SPACE, _LEFT = 3.1, 0.2, 0.15
"""Inches: side of a panel, between two, at the edge."""
POOR_STRESS = 0.2
"""Stress of MDS above which a plane does not show the distances (Kruskal, Psychometrika 29, 1964)."""
_SMALL = 0.25
"""A zone whose dots lie within so many inches has its number above them."""
_NEAR = 0.2
"""Inches between the numbers of two zones, at least, where they can be moved."""


def figure_projections(
    path: str | os.PathLike[str],
    *,
    projections: Projections,
    labels: npt.NDArray[np.integer],
    table: Sequence[ZoneRow],
    colours: SeriesColours,
) -> None:
    """Draw PCA, t-SNE and MDS of the tiles, once in the colours of the zones, once in those of their components.

    Parameters
    ----------
    path
        The ``.png``.
    projections
        Of `taxoscape.analysis.projections.project`.
    labels
        Integer (tile,): 1…K, 0 = none.
    table
        One row per zone.
    colours
        The colours of the tiles by principal components.

    Raises
    ------
    InputError
        Where labels and colours are not of the same tiles.
    """
    from matplotlib import rc_context

    if len(labels) != len(colours.rgb):
        raise InputError(
            f"there are {len(labels)} labels but colours of {len(colours.rgb)} tiles: give those of one run"
        )
    panels = _panels(projections)
    palette = np.array([(0, 0, 0), *(row.colour for row in table)], dtype=np.uint8)
    top = 0.5 + 0.19 * max(title.count("\n") for title, _ in panels)
    anything = len(projections.pca.tiles) > 0
    with rc_context(canvas.STYLE):
        figure, sheet, head = page(_title(projections), _note(projections), top + 2 * _SIDE + 0.5 if anything else 0.1)
        for row in range(2 if anything else 0):
            up = head + top + row * (_SIDE + 0.35)
            words = "Colour: zone" if row == 0 else "Colour: likeness, as on the map"
            y = up - (top - 0.12 if row == 0 else 0.17)
            sheet.text(_LEFT, y, words, fontsize=10, va="center", color=canvas.FAINT)
            for column, (title, part) in enumerate(panels):
                axes = _panel(figure, _LEFT + column * (_SIDE + _SPACE), up)
                own = labels[part.tiles].astype(np.int64)
                _draw_points(axes, part, palette[own] if row == 0 else colours.rgb[part.tiles])
                if row == 0:
                    axes.set_title(title, fontsize=9.5, pad=5)
                    _draw_zone_numbers(axes, part, own)
        canvas.save(figure, path)


def _panel(figure: Figure, left: float, top: float) -> Axes:
    """Return square axes at a place of a figure, in inches from its upper left corner."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, 1 - (top + _SIDE) / height, _SIDE / width, _SIDE / height))
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _panels(found: Projections) -> list[tuple[str, Projection]]:
    shares = [canvas.share_text(float(share)) for share in found.explained_variance[:2]]
    total = len(found.pca.tiles)
    named = [
        (f"PCA: {_count(total)} tiles, {shares[0]} + {shares[1]} of the variance", found.pca),
        (f"t-SNE: {_count(len(found.tsne.tiles), total)} tiles, perplexity {found.perplexity:.3g}", found.tsne),
        (f"MDS: {_count(len(found.mds.tiles), total)} tiles, stress {_stress(found.stress)}", found.mds),
    ]
    return [(canvas.wrap(title if len(part.tiles) else title.split(":")[0], 40), part) for title, part in named]


def _stress(stress: float) -> str:
    """Return the stress of MDS, and whether its distances can be read at all."""
    return f"{stress:.2f}" if not stress > POOR_STRESS else f"{stress:.2f}, poor: read no distances from it"


def _count(number: int, total: int | None = None) -> str:
    text = f"{number:,}".replace(",", "\u202f")
    return text if total is None or number == total else f"{text} of {_count(total)}"


def _draw_points(axes: Axes, part: Projection, rgb: Pixels) -> None:
    """Draw tiles as dots, in an order that has nothing to do with where they are on the ground."""
    n = len(part.tiles)
    if not n:
        axes.text(0.5, 0.5, "too few tiles", transform=axes.transAxes, ha="center", va="center", color=canvas.FAINT)
        return
    order = np.random.default_rng(0).permutation(n)
    x, y = part.coordinates[order, 0], part.coordinates[order, 1]
    size = float(np.clip(12_000 / n, 3, 40))
    axes.scatter(x, y, s=size, c=rgb[order] / 255, linewidths=0.25 if size > 12 else 0, edgecolors="#00000088")
    middle = np.array([(v.min() + v.max()) / 2 for v in (x, y)])
    half = 0.54 * max(np.ptp(x), np.ptp(y)) or 1.0
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    axes.set_aspect("equal")


def _draw_zone_numbers(axes: Axes, part: Projection, labels: npt.NDArray[np.int64]) -> None:
    """Write the number of each zone at the median of its tiles, moved a little where numbers would collide."""
    from matplotlib.patheffects import withStroke

    zones = np.unique(labels[labels > 0])
    if not len(zones):
        return
    medians = np.array([np.median(part.coordinates[labels == zone, :2], axis=0) for zone in zones])
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    inches = (medians - (west, south)) / (east - west, north - south) * _SIDE
    widths = [np.ptp(part.coordinates[labels == zone, :2], axis=0).max() for zone in zones]
    inches[:, 1] += np.where(np.array(widths) / (east - west) * _SIDE < _SMALL, 0.14, 0.0)  # above what it would hide
    for zone, (x, y) in zip(zones, apart(inches, _NEAR) / _SIDE, strict=True):
        axes.text(x, y, str(zone), transform=axes.transAxes, ha="center", va="center_baseline", fontsize=9.5,
                  fontweight="bold", color="white",
                  path_effects=[withStroke(linewidth=2.2, foreground=canvas.INK)])  # fmt: skip


def apart(places: Float64, least: float) -> Float64:
    """Return places moved, as little as a few rounds of pushing need, until about ``least`` lies between any two.

    Examples
    --------
    >>> apart(np.array([[1.0, 2.0], [1.1, 2.0], [3.0, 3.0]]), 0.2).round(2).tolist()
    [[0.95, 2.0], [1.15, 2.0], [3.0, 3.0]]
    """
    places = places.copy()
    angles = 2.4 * np.arange(len(places))
    places += 1e-6 * np.column_stack([np.cos(angles), np.sin(angles)])  # two at one place part too
    for _ in range(100):
        ways = places[:, None] - places
        gaps = np.sqrt((ways**2).sum(axis=-1)) + 1e-12
        lack = np.maximum(least - gaps, 0.0)
        np.fill_diagonal(lack, 0.0)
        if lack.max(initial=0.0) < 1e-3:
            break
        places += (ways / gaps[..., None] * lack[..., None]).sum(axis=1) / 2
    return places


def _title(found: Projections) -> str:
    return "How alike the tiles are, in a plane" if len(found.pca.tiles) else "Too few tiles for a picture of likeness"


def _note(found: Projections) -> str:
    if not len(found.pca.tiles):
        return "A plane of tiles needs four tiles that count on a date."
    return (
        "Each dot is a tile over all dates; near dots are alike. PCA: the first two principal components of the "
        "flattened series. t-SNE keeps neighbours together, its large distances mean little; MDS keeps all distances "
        "as well as a plane can (stress: 0 perfect, 0.2 poor). Both under d = sum over the dates of the norms of the "
        "differences, on a drawn sample where there are many tiles. Numbers: the middle of a zone."
    )
