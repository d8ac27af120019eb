"""What the dates did: each zone's path through the year, and on which dates two zones can be told apart.

A centroid stands for a zone on a date only where a tile of the zone counts on it (`taxoscape.analysis.centroids`);
elsewhere everything here is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.centroids import seen_centroids, tiles_per_date
from taxoscape.contracts import check_series, check_zones
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.rows import row_blocks

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

BLOCK_BYTES = 32 * 2**20
"""Bytes of the series that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CentroidPaths:
    """Where each zone's centroid is on each date, in the plane that shows the most of it."""

    points: Float64
    """float64 (zone, time, 2): first and second principal component; NaN where no tile of the zone counts."""
    explained: tuple[float, float]
    """Share of the variance of all centroids over zones and dates that each component holds, 0…1."""
    steps: Float64
    """float64 (zone, time − 1): ‖c_t+1 − c_t‖ in all features, not in the plane; NaN where either is missing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Separation:
    """How well each date, taken alone, tells two zones apart. All arrays are symmetric in the zones."""

    effect: Float64
    """float64 (zone, zone, time): Cohen's d along the line between the two centroids (see `separating_dates`). NaN on
    the diagonal and where a zone has fewer than two counted tiles on the date; infinite where the centroids differ and
    nothing else does."""
    distance: Float64
    """float64 (zone, zone, time): ‖c_a,t − c_b,t‖; 0 on the diagonal, NaN where a zone has no counted tile."""
    share: Float64
    """float64 (zone, zone, time): the date's share of d(a, b) = Σ_t ‖c_a,t − c_b,t‖, summing to 1 over the dates on
    which both have counted tiles. NaN on the other dates, on the diagonal and where d is 0."""

    @property
    def total(self) -> Float64:
        """float64 (zone, zone): (T/|S|) · Σ over the dates S on which both count; NaN where they share none."""
        known = np.isfinite(self.distance)
        shared = known.sum(axis=2)
        scale = self.distance.shape[2] / np.maximum(shared, 1)
        return np.where(shared > 0, np.where(known, self.distance, 0).sum(axis=2) * scale, np.nan)


def centroid_paths(zones: xr.Dataset) -> CentroidPaths:
    """Return the path of each zone's centroid over the dates in the plane of their first two principal components.

    Parameters
    ----------
    zones
        Dataset of `taxoscape.cluster`.

    Returns
    -------
    CentroidPaths
        With one date, or one feature, or centroids on a line, the components that do not exist are 0.

    Notes
    -----
    A singular value decomposition of the K · T centroids, in float64, centred on their mean; every zone and date weighs
    the same. The sign of a component is the one that makes the largest of its weights positive. METHOD has no such
    picture.
    """
    check_zones(zones)
    centroids, seen = seen_centroids(zones), tiles_per_date(zones) > 0
    flat = centroids[seen]
    flat = flat - flat.mean(axis=0) if len(flat) else flat
    scores, explained = np.zeros((len(flat), 2)), np.zeros(2)
    total = float(np.square(flat).sum())
    if total > 0:
        _, sizes, directions = np.linalg.svd(flat, full_matrices=False)
        count = min(2, int((sizes > sizes[0] * 1e-9).sum()))
        directions = directions[:count]
        largest = np.abs(directions).argmax(axis=1)
        directions = directions * np.sign(directions[np.arange(count), largest])[:, None]
        scores[:, :count] = flat @ directions.T
        explained[:count] = sizes[:count] ** 2 / total
    points = np.full((*centroids.shape[:2], 2), np.nan)
    points[seen] = scores
    steps = np.linalg.norm(np.diff(centroids, axis=1), axis=2)
    return CentroidPaths(points=points, explained=(float(explained[0]), float(explained[1])), steps=steps)


def separating_dates(series: xr.Dataset, zones: xr.Dataset, *, track: Track = silent) -> Separation:
    """Measure how well each date alone tells each two zones apart.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on one grid; the zones are those of this series.
    track
        Told of each block of tiles.

    Returns
    -------
    Separation

    Raises
    ------
    InputError
        Where the two are not of the same tiles, dates and features.

    Notes
    -----
    On date t let u be the unit vector from c_b,t to c_a,t. The tiles of a and of b that count on the date are projected
    on u; the effect is ‖c_a,t − c_b,t‖ over their pooled standard deviation,
    √(((n_a − 1)·s_a² + (n_b − 1)·s_b²) / (n_a + n_b − 2)): Cohen's d (*Statistical Power Analysis*, 1988). If the
    projected zones are normal, 16 % of their tiles lie beyond the middle between them at 2, 2 % at 4. The line comes
    from the same tiles, so zones of few tiles in many features look better separated than they are.

    One pass over the series in blocks of 32 MB, O(n · T · K · F) time: with p = (x − c_a)·(c_a − c_b) all pairs come
    from one matrix product of tiles and centroids. No source in METHOD.
    """
    grid = check_zones(zones)
    if check_series(series) != grid or series.sizes["feature"] != zones.sizes["feature"] or not np.array_equal(
        series["time"].to_numpy(), zones["time"].to_numpy()
    ):  # fmt: skip
        raise InputError("series and zones differ in tiles, dates or features: take the series the zones were made of")
    centroids, n = seen_centroids(zones), tiles_per_date(zones)
    spread = _spread_between(series["embedding"], zones, centroids, track)
    distance = np.linalg.norm(centroids[:, None] - centroids[None], axis=3)
    degrees = n[:, None] + n[None] - 2
    enough = (np.minimum(n[:, None], n[None]) >= 2) & ~np.eye(len(n), dtype=bool)[:, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.sqrt((spread + spread.transpose(1, 0, 2)) / np.maximum(degrees, 1))  # times ‖c_a − c_b‖
        effect = np.where(distance > 0, distance**2 / deviation, 0.0)
    both = np.isfinite(distance)
    total = np.where(both, distance, 0).sum(axis=2, keepdims=True)
    share = np.full_like(distance, np.nan)
    np.divide(distance, total, out=share, where=both & (total > 0))
    return Separation(effect=np.where(enough, effect, np.nan), distance=distance, share=share)


def nearest_pairs(separation: Separation, most: int) -> tuple[tuple[int, int], ...]:
    """Return at most ``most`` pairs of zones (a, b), 1 ≤ a < b, nearest centroids first; pairs without a date left out.

    Examples
    --------
    >>> line = np.array([0.0, 5.0, 6.0])
    >>> gap = np.abs(line[:, None] - line)[:, :, None]
    >>> nearest_pairs(Separation(effect=gap, distance=gap, share=gap), 2)
    ((2, 3), (1, 2))
    """
    total = separation.total
    pairs = [(a, b) for a in range(len(total)) for b in range(a + 1, len(total)) if np.isfinite(total[a, b])]
    return tuple((a + 1, b + 1) for a, b in sorted(pairs, key=lambda pair: (total[pair], pair))[:most])


def _spread_between(embedding: xr.DataArray, zones: xr.Dataset, centroids: Float64, track: Track) -> Float64:
    """Return Σ (p − p̄)² over the counted tiles of zone a, p = (x − c_a)·(c_a − c_b): float64 (a, b, time)."""
    k, times, features = centroids.shape
    own = zones["labels"].to_numpy().astype(np.int64) - 1
    counts = zones["counts"].to_numpy() & (own >= 0)[:, None]
    targets = np.nan_to_num(centroids)
    sums, squares = np.zeros((k, k, times)), np.zeros((k, k, times))
    blocks = list(row_blocks(len(own), 4 * times * features, BLOCK_BYTES))
    for part in track(blocks, "dates that separate zones", len(blocks)):
        block = embedding.isel(tile=part).to_numpy()
        for time in range(times):
            rows = np.flatnonzero(counts[part, time])
            zone = own[part][rows]
            off = block[rows, time] - targets[zone, time]  # float64 (row, feature)
            products = off @ targets[:, time].T
            projected = products[np.arange(len(rows)), zone][:, None] - products
            member = np.eye(k)[zone]
            sums[:, :, time] += member.T @ projected
            squares[:, :, time] += member.T @ np.square(projected)
    number = np.maximum(np.eye(k)[own[own >= 0]].T @ counts[own >= 0], 1)[:, None, :]
    return np.asarray(np.maximum(squares - sums**2 / number, 0))
