"""The cards of the zones as one picture: a small panel per zone, all on the same scales."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.cards import Curve, ZoneCard
from taxoscape.analysis.names import plain
from taxoscape.cube.spectral import spectrum
from taxoscape.publish import canvas
from taxoscape.publish.figures import MONTHS, WIDTH, choose_dates
from taxoscape.publish.table import ZoneRow, largest_zones

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ZONES = 20
"""Zones that are drawn, the largest."""
MOST_BANDS = 6
"""Bands that are drawn where there is no NDVI, the first."""
MOST_FACTS = 5
"""Lines of facts below a curve."""
HEAD, PLOT, FOOT = 0.78, 1.3, 1.36
"""Inches of a panel for its name, its curve, and dates and facts."""
TOP = 0.95
"""Inches for the title."""
_SIDE = 0.62
"""Inches left of a curve for its numbers."""
_GREYS = ("#111827", "#6b7280", "#a16207", "#0e7490", "#7e22ce", "#9ca3af")


def figure_cards(path: str | os.PathLike[str], *, cards: Sequence[ZoneCard], table: Sequence[ZoneRow]) -> None:
    """Draw the card of each zone: its NDVI, or else its bands, over the dates, and a few facts.

    Parameters
    ----------
    path
        The ``.png``.
    cards
        One card per zone.
    table
        One row per zone, in the same order; names and colours come from here.

    Notes
    -----
    At most 20 zones, the largest, and where there is no NDVI at most 6 bands; the figure says so.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown, rest = largest_zones(table, MOST_ZONES)
    by_zone = {card.zone: card for card in cards}
    drawn = [(row, by_zone[row.zone]) for row in shown]
    columns = min(max(len(drawn), 1), 2 if len(drawn) <= 4 else 3)
    lines = -(-len(drawn) // columns) or 1
    panel = HEAD + PLOT + FOOT
    height = TOP + lines * panel
    with rc_context(canvas.STYLE):
        figure = Figure(figsize=(WIDTH, height))
        _title(figure, [card for _, card in drawn], len(rest), height)
        limits = _limits([card for _, card in drawn])
        for index, (row, card) in enumerate(drawn):
            line, column = divmod(index, columns)
            across = WIDTH / columns
            left, top = column * across, TOP + line * panel
            place = ((left + _SIDE) / WIDTH, 1 - (top + HEAD + PLOT) / height, (across - _SIDE - 0.25) / WIDTH,
                     PLOT / height)  # fmt: skip
            axes = figure.add_axes(place)
            _draw_card(axes, row, card, limits)
        canvas.save(figure, path)


def _title(figure: Figure, cards: Sequence[ZoneCard], smaller: int, height: float) -> None:
    """Write the title, what the curves are, and which colour is which band."""
    if not cards:
        figure.text(0.015, 0.5, "No zones", fontsize=13, fontweight="bold")
        return
    first = cards[0]
    one_date = len(first.dates) == 1
    if first.ndvi is not None:
        what = f"NDVI from {first.ndvi_from}"
    else:
        bands = first.bands[:MOST_BANDS]
        more = f", the first {len(bands)} of {len(first.bands)}" if len(first.bands) > len(bands) else ""
        what = f"Bands in the scenes' own units{more}"
    how = "point: mean of the zone's tiles; bar" if one_date else "line: mean of the zone's tiles; shade"
    note = f"{what}; {how}: 10 to 90 % of them. Scores compare with the region: 0 is its mean, 1 a standard deviation."
    note += f" {smaller} smaller zones are not shown." if smaller else ""
    figure.text(0.15 / WIDTH, 1 - 0.22 / height, "What the zones are like", fontsize=13, fontweight="bold", va="center")
    figure.text(0.15 / WIDTH, 1 - 0.4 / height, canvas.wrap(note, 118), fontsize=9.5, color=canvas.FAINT, va="top")
    if first.ndvi is None and not one_date:
        _band_legend(figure, first.bands[:MOST_BANDS], height)


def _band_legend(figure: Figure, bands: Sequence[str], height: float) -> None:
    from matplotlib.lines import Line2D

    x = WIDTH - 0.15 - sum(0.42 + 0.085 * len(canvas.shorten(name, 12)) for name in bands)
    for name, colour in zip(bands, _band_colours(bands), strict=True):
        y = 1 - 0.22 / height
        figure.add_artist(Line2D((x / WIDTH, (x + 0.22) / WIDTH), (y, y), color=colour, linewidth=2))
        name = canvas.shorten(name, 12)
        figure.text((x + 0.27) / WIDTH, y, name, fontsize=9.5, va="center_baseline", color=canvas.INK)
        x += 0.42 + 0.085 * len(name)


def _band_colours(bands: Sequence[str]) -> list[str]:
    """Return a colour per band: red, green, blue and near infrared in their own, the others in others."""
    known = spectrum(bands)
    own = {known.red: "#c62828", known.green: "#2e7d32", known.blue: "#1565c0", known.near_infrared: "#7b1fa2"}
    return [own.get(index, _GREYS[index % len(_GREYS)]) for index in range(len(bands))]


def _limits(cards: Sequence[ZoneCard]) -> tuple[float, float]:
    """Return the ends of the common scale."""
    curves = [curve for card in cards for curve in _curves(card)]
    values = np.concatenate([[0.0], *(v for c in curves for v in (c.mean, c.low, c.high))])[1:]
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _curves(card: ZoneCard) -> tuple[Curve, ...]:
    return (card.ndvi,) if card.ndvi is not None else card.curves[:MOST_BANDS]


def _draw_card(axes: Axes, row: ZoneRow, card: ZoneCard, limits: tuple[float, float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(limits)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", color="#eef0f3", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    curves = _curves(card)
    colours = [row.hex] if card.ndvi is not None else _band_colours(card.bands[:MOST_BANDS])
    if len(card.dates) == 1:
        _draw_points(axes, curves, colours, ("NDVI",) if card.ndvi is not None else card.bands[:MOST_BANDS])
    else:
        _draw_lines(axes, card, curves, colours)
    width, height = canvas.size_inches(axes)
    _draw_head(axes, row, width, height)
    facts = "\n".join(canvas.shorten(line, int((width + 0.6) * 14.5)) for line in _fact_lines(card))
    axes.text(-0.5 / width, -0.43 / height, facts, transform=axes.transAxes, va="top", fontsize=8.5, color=canvas.FAINT,
              linespacing=1.3)  # fmt: skip


def _draw_head(axes: Axes, row: ZoneRow, width: float, height: float) -> None:
    """Write colour, number and name above a curve."""
    from matplotlib.patches import Rectangle

    left = -0.5 / width
    axes.add_patch(
        Rectangle((left, 1 + 0.13 / height), 0.14 / width, 0.48 / height, transform=axes.transAxes, facecolor=row.hex,
                  edgecolor="#00000055", linewidth=0.6, clip_on=False)
    )  # fmt: skip
    name = "" if row.name.strip() == f"Zone {row.zone}" else row.name
    text = textwrap.wrap(f"{row.zone}  {name}".rstrip(), int((width + 0.62) * 11), max_lines=3, placeholder=" …")
    axes.text(left + 0.22 / width, 1 + 0.37 / height, "\n".join(text), transform=axes.transAxes, va="center",
              fontsize=9.5, fontweight="bold", linespacing=1.15)  # fmt: skip


def _draw_lines(axes: Axes, card: ZoneCard, curves: Sequence[Curve], colours: Sequence[str]) -> None:
    days = card.dates.astype("datetime64[D]").astype(np.float64)
    marker = "o" if len(days) <= 24 else ""
    single = card.ndvi is not None
    for curve, colour in zip(curves, colours, strict=True):
        seen = np.isfinite(curve.mean)
        axes.fill_between(days[seen], curve.low[seen], curve.high[seen], color=colour, alpha=0.4 if single else 0.13,
                          linewidth=0)  # fmt: skip
        axes.plot(days[seen], curve.mean[seen], color=canvas.INK if single else colour, linewidth=1.5, marker=marker,
                  markersize=3)  # fmt: skip
    which = choose_dates(len(days), 3)
    labels = [_date_text(card.dates[index]) for index in which]
    axes.set_xticks(days[which], labels=labels, fontsize=8)
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    margin = 0.02 * (days[-1] - days[0])
    axes.set_xlim(days[0] - margin, days[-1] + margin)


def _draw_points(axes: Axes, curves: Sequence[Curve], colours: Sequence[str], names: Sequence[str]) -> None:
    for index, (curve, colour) in enumerate(zip(curves, colours, strict=True)):
        axes.vlines(index, curve.low[0], curve.high[0], color=colour, linewidth=8, alpha=0.45)
        axes.plot([index], [curve.mean[0]], marker="o", color=canvas.INK, markersize=3.5)
    axes.set_xticks(range(len(names)), labels=[canvas.shorten(name, 9) for name in names], fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _fact_lines(card: ZoneCard) -> list[str]:
    """Return at most five short lines of facts."""
    first = f"{canvas.area_text(card.area_km2)} km², {card.n_tiles} tile{'' if card.n_tiles == 1 else 's'}"
    green, season = "", card.greenness
    if season is not None and season.peak is not None:
        green = f"greenest {' '.join(_date_text(season.peak).split())}"
        if np.isfinite(season.season_days):
            green += f", season {season.season_days:.0f} days"
    scores: list[tuple[str, float]] = [("brightness", card.brightness_z), ("texture", card.texture_z)]
    if card.ndvi is None:
        scores.append(("change", card.seasonality_z))
    lines = [first, green, ", ".join(f"{name} {_signed(value)}" for name, value in scores if np.isfinite(value))]
    lines += [_layer_text(facts) for facts in card.layers if facts.n_tiles]
    return [line for line in lines if line][:MOST_FACTS]


def _layer_text(facts: Any) -> str:
    if facts.classes:
        name, share, _ = facts.classes[0]
        return f"{facts.name}: {name} {100 * share:.0f} %"
    return f"{facts.name} {plain(facts.mean)}{f' {facts.unit}' if facts.unit else ''}"


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def _date_text(date: Any) -> str:
    day = np.datetime64(date, "D").item()
    return f"{day.day} {MONTHS[day.month - 1]}\n{day.year}"
