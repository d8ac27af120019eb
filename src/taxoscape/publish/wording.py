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
LEARNED = "learned: in deviations within zones"
MAP = "Euclidean distance between tile positions (row, column)"

BETWEEN = {
    "sumnorm": "sum over the dates of the norms of the differences, in units of the embedding",
    "learned": "in the metric of the zones; 1 is about one deviation within a zone",
}
"""What d between two series is in pictures, by the name of the distance."""

METRICS: dict[str, MetricText] = {
    "inertia_mean": MetricText(
        label="Mean squared distance to the centre",
        meaning="How far tiles are from the centre of their zone; what clustering makes small. Lower is tighter.",
        distance=f"squared {FLAT}, or {LEARNED}",
    ),
    "silhouette_flat": MetricText(
        label="Silhouette",
        meaning="Are tiles nearer to their own zone than to the next one? From −1 to 1; above 0 means yes on average.",
        distance=FLAT,
    ),
    "silhouette_learned": MetricText(
        label="Silhouette in the learned metric",
        meaning="The same question in the metric of the zones. From −1 to 1; above 0 means yes on average.",
        distance=LEARNED,
    ),
    "silhouette_sumnorm": MetricText(
        label="Silhouette under d",
        meaning="The same question under the distance of the paper. From −1 to 1; above 0 means yes on average.",
        distance=SUMNORM,
    ),
    "davies_bouldin_flat": MetricText(
        label="Davies-Bouldin",
        meaning="Width of the zones against the gaps between them, for the worst neighbour of each. Lower is better.",
        distance=FLAT,
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
    "map_join_share_expected": MetricText(
        label="… if the same zones were strewn at random",
        meaning="What the share above would be if tiles kept their zones but not their places.",
    ),
    "map_patches": MetricText(
        label="Patches", meaning="Number of connected pieces that all zones together fall into on the map."
    ),
    "map_patches_per_zone": MetricText(label="Patches per zone", meaning="The same, of a zone on average."),
    "stability_ari": MetricText(
        label="Stability",
        meaning="Agreement between zones found from random halves of the tiles, as adjusted Rand index: 1 is the same.",
    ),
    "confidence_mean": MetricText(
        label="Mean confidence",
        meaning="How sure tiles are of their zone, by how far the next one is. 1 is sure; see confidence.tif.",
    ),
    "n_unlike": MetricText(
        label="Tiles unlike anything seen",
        meaning="Tiles farther out than any that the zones were made of, in another run; see unlike.tif.",
    ),
    "unlike_share": MetricText(label="Share of such tiles", meaning="Of the tiles with a zone, 0 to 1."),
    "ari_geographic_refined": MetricText(
        label="Agreement of first and refined zones",
        meaning="Adjusted Rand index between the two maps: 1 is the same, 0 is chance.",
    ),
    "moved_share": MetricText(label="Tiles moved", meaning="Share of the tiles that refinement moved to another zone."),
    "nmi": MetricText(label="NMI with the truth", meaning="Normalised mutual information: 0 is chance, 1 the truth."),
    "ari": MetricText(label="ARI with the truth", meaning="Adjusted Rand index: 0 is chance, 1 is the truth."),
    "purity": MetricText(
        label="Purity", meaning="Share of tiles whose true label is the commonest of their zone; grows with K."
    ),
    "n_labelled_tiles": MetricText(label="Labelled tiles", meaning="Tiles with a zone and a true label."),
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
    shown = [name.removesuffix(GEOGRAPHIC) for name in metrics]
    names = list(dict.fromkeys(name for name in shown if not name.endswith(("_ci95", "silhouette_n_tiles"))))
    order = {name: index for index, name in enumerate(METRICS)}
    names.sort(key=lambda name: order.get(name, len(order)))
    return [
        MetricLine(
            name=name,
            text=METRICS.get(name, MetricText(label=name, meaning="")),
            value=_with_interval(metrics, name),
            geographic=_with_interval(metrics, name, GEOGRAPHIC),
        )
        for name in names
    ]


def _with_interval(metrics: Mapping[str, float], name: str, end: str = "") -> str:
    """Return a metric for people, with half its 95 % interval where it is an estimate; empty where it is missing."""
    if name + end not in metrics:
        return ""
    half = metrics.get(f"{name}_ci95{end}", 0.0)
    return number(metrics[name + end]) + (f" ± {number(half)}" if half > 0 else "")


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
