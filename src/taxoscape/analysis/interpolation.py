"""What lies between two zones: points on the way from one centroid to another, and the real tiles nearest to them.

Source: METHOD step 10. We differ in that a tile has to count on most dates to be shown, and that each result says how
far the tile is from the point and which zone it belongs to: between two zones there may be no land at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from taxoscape.analysis.centroids import seen_centroids
from taxoscape.analysis.components import tile_slices
from taxoscape.analysis.distances import ENOUGH_DATES, pairwise
from taxoscape.analysis.graph import semantic_graph
from taxoscape.contracts import check_series, check_zones
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.metric import in_metric

if TYPE_CHECKING:
    import numpy.typing as npt

    Bool = npt.NDArray[np.bool_]
    Float64 = npt.NDArray[np.float64]
    Int64 = npt.NDArray[np.int64]

WEIGHTS = (0.25, 0.5, 0.75)
"""Shares of the way from one centroid to the other (METHOD step 10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """A point between two zones and the real tile nearest to it."""

    zone_a: int
    """Label of the zone where the way begins."""
    zone_b: int
    """Label of the zone where it ends."""
    centroid_distance: float
    """d between the two centroids, in units of the embedding, or of what varies within zones; NaN where they share no
    date."""
    weight: float
    """Share of the way from a to b, 0…1."""
    tile: int
    """Index of the nearest tile; −1 where no tile has a distance to the point."""
    zone: int
    """Zone of that tile; 0 where there is none."""
    distance: float
    """d between the tile and the point; NaN where there is none."""


def interpolate(
    series: xr.Dataset,
    zones: xr.Dataset,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    weights: Sequence[float] = WEIGHTS,
    track: Track = silent,
) -> tuple[Between, ...]:
    """Find the real tiles nearest to points on the straight lines between centroids.

    Under d = Σ_t ‖x_t − p_t‖, or under the metric of the partition where it has learned one.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on one grid.
    pairs
        Pairs of labels (a, b), each once; where not given, the edges of the semantic graph.
    weights
        Shares w of the way, 0…1: the point is (1 − w) · c_a + w · c_b, without a metric of the partition's own on the
        dates on which both zones have a tile that counts. Two zones without such a date have no points then, and no
        tile is near them.
    track
        Told of each block of tiles done.

    Returns
    -------
    One `Between` per pair and weight, pair by pair, in the order given. ``dataclasses.asdict`` makes a row for JSON.

    Raises
    ------
    InputError
        Where a pair is not of two different zones, or a weight outside 0…1.

    Notes
    -----
    One pass over the series in blocks of at most 64 MB, O(n · P · T · F) for P points; a learned metric
    places tiles by the dates that they have. Tiles of zone 0 take no part, nor do tiles that count on
    less than `ENOUGH_DATES` of the dates of the tile with most: over few dates a tile is easily near. Of equally near
    tiles the first is taken.
    """
    check_series(series)
    check_zones(zones)
    graph = semantic_graph(zones)
    chosen = list(dict.fromkeys([(e.zone_a, e.zone_b) for e in graph.edges] if pairs is None else pairs))
    _check(chosen, weights, zones.sizes["zone"])
    learned = in_metric(series, zones)
    centroids = seen_centroids(zones) if learned is None else learned[1]
    ways = [(a, b, float(w)) for a, b in chosen for w in weights]
    if not ways:
        return ()
    points = np.stack([(1 - w) * centroids[a - 1] + w * centroids[b - 1] for a, b, w in ways])
    labels = zones["labels"].to_numpy()
    known = series["embedding"] if learned is None else xr.DataArray(learned[0], dims=("tile", "time", "feature"))
    tiles, distances = _nearest(known, _enough(zones), points, track)
    return tuple(
        Between(
            zone_a=int(a),
            zone_b=int(b),
            centroid_distance=float(graph.distances[a - 1, b - 1]),
            weight=w,
            tile=int(tile),
            zone=int(labels[tile]) if tile >= 0 else 0,
            distance=float(distance),
        )
        for (a, b, w), tile, distance in zip(ways, tiles, distances, strict=True)
    )


def strip_tiles(rows: Sequence[Between], representatives: Int64) -> Int64:
    """Return the tiles that show the way of each pair: a's representative, the tiles between, b's representative.

    Parameters
    ----------
    rows
        Of `interpolate`, of one or more pairs with the same weights.
    representatives
        int64 (zone, count), of `taxoscape.analysis.representatives.representatives`.

    Returns
    -------
    int64 (pair, 2 + weights), tile indices; −1 for none.
    """
    ways: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        ways.setdefault((row.zone_a, row.zone_b), []).append(row.tile)
    table = [
        [int(representatives[a - 1, 0]), *between, int(representatives[b - 1, 0])] for (a, b), between in ways.items()
    ]
    return np.array(table, dtype=np.int64) if table else np.empty((0, 2), dtype=np.int64)


def _nearest(embedding: xr.DataArray, allowed: Bool, points: Float64, track: Track) -> tuple[Int64, Float64]:
    """Return the nearest allowed tile of each point, int64 (point,), −1 for none, and its distance, NaN for none."""
    parts = tile_slices(embedding)
    best, least = np.full(len(points), -1, dtype=np.int64), np.full(len(points), np.inf)
    for part in track(parts, "tiles between zones", len(parts)):
        members = part.start + np.flatnonzero(allowed[part])
        if not len(members):
            continue
        distances = pairwise(embedding.isel(tile=members).to_numpy(), points, metric="sumnorm")
        distances[np.isnan(distances)] = np.inf
        nearest = distances.argmin(axis=0)
        found = distances[nearest, np.arange(len(points))]
        closer = found < least
        best[closer], least[closer] = members[nearest[closer]], found[closer]
    return best, np.where(best >= 0, least, np.nan)


def _enough(zones: xr.Dataset) -> Bool:
    """Return which tiles are in a zone and count on most dates: bool (tile,)."""
    dates = np.where(zones["labels"].to_numpy() > 0, zones["counts"].to_numpy().sum(axis=1), 0)
    enough: Bool = (dates > 0) & (dates >= ENOUGH_DATES * dates.max(initial=0))
    return enough


def _check(pairs: Sequence[tuple[int, int]], weights: Sequence[float], k: int) -> None:
    for a, b in pairs:
        if not (1 <= a <= k and 1 <= b <= k) or a == b:
            raise InputError(f"a pair to interpolate is of two different zones 1…{k}, not {a} and {b}")
    for weight in weights:
        if not 0 <= weight <= 1:
            raise InputError(f"a weight of an interpolation is a share of the way, 0…1, not {weight}")
