"""What the numbers of a run mean, in one plain sentence each, and under which distance they hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GEOGRAPHIC = "_geographic"
"""End of the name of a metric of the first partition, under the embedding learnt from geography."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricText:
    """How a metric is explained."""

    label: str
    """Its name for people."""
    meaning: str
    """One sentence."""
    distance: str = ""
    """The distance it is under, where it is under one."""


FLAT = "Euclidean distance between flattened series"
SUMNORM = "d: sum over dates of Euclidean distances"
MAP = "Euclidean distance between tile positions (row, column)"

METRICS: dict[str, MetricText] = {
    "inertia_mean": MetricText(
        label="Mean squared distance to the centre",
        meaning="How far tiles are from the centre of their zone; what K-means makes small. Lower is tighter.",
        distance=f"squared {FLAT}",
    ),
    "silhouette_flat": MetricText(
        label="Silhouette",
        meaning="Are tiles nearer to their own zone than to the next one? From −1 to 1; above 0 means yes on average.",
        distance=FLAT,
    ),
    "silhouette_sumnorm": MetricText(
        label="Silhouette under d",
        meaning="The same question under the distance of the paper. From −1 to 1; above 0 means yes on average.",
        distance=SUMNORM,
    ),
    "map_silhouette": MetricText(
        label="Silhouette on the map",
        meaning="Are zones compact blobs on the map? From −1 to 1; zones of many separate patches are near or below 0.",
        distance=MAP,
    ),
    "map_calinski_harabasz": MetricText(
        label="Calinski-Harabasz on the map",
        meaning="Spread of the zones over the map against spread within a zone. Higher is more compact.",
        distance=MAP,
    ),
    "map_join_share": MetricText(
        label="Neighbours in the same zone",
        meaning="Share of neighbouring pairs of tiles that lie in one zone. 1 would be a single block, low is speckle.",
    ),
    "map_patches": MetricText(
        label="Patches", meaning="Number of connected pieces that all zones together fall into on the map."
    ),
    "stability_ari": MetricText(
        label="Stability",
        meaning="Agreement between zones found from random halves of the tiles, as adjusted Rand index: 1 is the same.",
    ),
    "ari_geographic_refined": MetricText(
        label="Agreement of first and refined zones",
        meaning="Adjusted Rand index between the two maps: 1 is the same, 0 is chance.",
    ),
    "n_tiles": MetricText(label="Tiles", meaning="Number of tiles of the grid that have a zone."),
    "n_dates": MetricText(label="Dates", meaning="Number of dates of the sequence."),
    "n_clusters": MetricText(label="Zones", meaning="Number of zones."),
}
"""Explanations by the names of ``metrics.json`` (without the end ``_geographic``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLine:
    """A line of the report's table of metrics."""

    name: str
    """Name in ``metrics.json``."""
    text: MetricText
    """Its explanation."""
    value: str
    """Its value for the map of the run."""
    geographic: str
    """Its value for the first zones; empty where there is none."""


def metric_lines(metrics: Mapping[str, float]) -> list[MetricLine]:
    """Pair each metric with its twin for the first zones, known ones first, in the order of `METRICS`."""
    names = list(dict.fromkeys(name.removesuffix(GEOGRAPHIC) for name in metrics))
    order = {name: index for index, name in enumerate(METRICS)}
    names.sort(key=lambda name: order.get(name, len(order)))
    return [
        MetricLine(
            name=name,
            text=METRICS.get(name, MetricText(label=name, meaning="")),
            value=number(metrics[name]) if name in metrics else "",
            geographic=number(metrics[name + GEOGRAPHIC]) if name + GEOGRAPHIC in metrics else "",
        )
        for name in names
    ]


def number(value: Any) -> str:
    """Return a number for people: whole ones with thin spaces, others with four digits, a dash for none.

    Examples
    --------
    >>> number(48400), number(0.27884), number(float("nan")), number(2107.22)
    ('48\u202f400', '0.2788', '–', '2\u202f107')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer():
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "\u2212")
    decimals = min(max(0, 3 - math.floor(math.log10(abs(value)))), 4)
    return f"{value:,.{decimals}f}".replace(",", "\u202f").replace("-", "\u2212")


def duration(seconds: float) -> str:
    """Return a span of time for people.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(7322)
    ('0.4 s', '1 min 15 s', '2 h 02 min')
    """
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"
