"""The metric inside the clustering: how far two series are apart, in units of about what varies within a zone.

Euclidean distance on the flattened series weighs what is loud, not what tells zones apart: the haze of a date, the week
in which fields are mown. A learned metric divides by what varies within zones, and takes it from two sources that need
no label:

* Tiles side by side are mostly of one zone, so how they differ is mostly what varies within zones (the noise
  covariance of the minimum noise fraction transform: Green, Berman, Switzer and Craig, IEEE TGRS 26, 1988). Only the
  less different half of the pairs is looked at, since the others may lie across a border.
* The covariance within the zones of a partition, which is what a Gaussian mixture with one covariance for all its
  components learns.

The metric is the inverse of the mean of the two, on the first principal axes of the series, on which a tile with
missing dates is placed by the dates that it has (`taxoscape.zones.axes`). Partition and metric are learned in turn:
see `learned_partition`. With the first source alone the metric does not
depend on a partition, `neighbour_metric`; that is what the sweep over the number of zones is made under.

What is lost and gained against the alternatives, on made and on real regions, is told in `docs/evidence.md`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.alike import ALIKE, covariance_of_alike
from taxoscape.zones.axes import Axes, fit_axes, mapped
from taxoscape.zones.missing import counted, seen_rows, whole_rows
from taxoscape.zones.rows import by_parts, row_blocks, rows_of
from taxoscape.zones.starts import Partition, fit, partitions

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid
    from taxoscape.zones.rows import Rows

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

LEAST_AXES = 20
"""Principal axes that a metric is learned on; twice the number of zones where that is more."""
SHRINKAGE = 0.02
"""What is added to the variance within zones on every axis, as a share of the mean variance of the axes."""
ROUNDS = 20
"""Most rounds of partition and metric in turn."""
SAME_TO_THE_EYE = 0.02
"""Difference in the share of neighbours in one zone below which two partitions are told apart by likelihood; on small
maps more, see `by_chance`."""
BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 series that are placed at once."""
AXES_BYTES = 4 * 2**20
"""Bytes of float64 rows on the axes that are worked on at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """A linear map under which Euclidean distance is the learned one; its unit is about one deviation within a zone."""

    origin: Float64
    """Series that becomes zero: float64 (time · feature,)."""
    axes: Float64
    """The map: float64 (time · feature, component)."""
    ridge: Float64
    """How a series with missing dates is placed: float64 (component, component), see `taxoscape.zones.axes.mapped`."""

    @classmethod
    def of(cls, axes: Axes, whitening: Float64 | None = None) -> Metric:
        """Return the metric of a whitening, float64 (axis, component), on axes; None: Euclidean on them."""
        turn = np.eye(len(axes.variances)) if whitening is None else whitening
        back = np.linalg.inv(turn)
        ridge = axes.noise * (back / axes.variances) @ back.T
        return cls(origin=axes.origin, axes=axes.directions @ turn, ridge=ridge)

    def apply(self, values: Rows, counts: Bool | None = None) -> Float32:
        """Return series in the metric.

        Parameters
        ----------
        values
            float (row, time, feature); what it holds where ``counts`` is False does not matter.
        counts
            bool (row, time): on which dates a row was seen; None: on all.

        Returns
        -------
        float32 (row, component); of a row with missing dates what is expected by those that it has.
        """
        if counts is not None and not counts.all():
            return self._expected(values, counts)
        result = np.empty((len(values), self.axes.shape[1]), dtype=np.float32)
        work = partial(_on_axes, self.origin, self.axes)
        for part, placed in by_parts(values, work, row_bytes=8 * len(self.origin), most_bytes=BLOCK_BYTES):
            result[part] = placed
        return result

    def _expected(self, values: Rows, counts: Bool) -> Float32:
        return mapped(values, counts, origin=self.origin, axes=self.axes, ridge=self.ridge)


def _on_axes(origin: Float64, axes: Float64, rows: Float32) -> Float32:
    """Return whole rows (row, time, feature) on axes: float32 (row, component)."""
    return np.asarray((rows.reshape(len(rows), -1) - origin) @ axes, dtype=np.float32)


def neighbours(grid: Grid, members: Int) -> Int:
    """Return pairs of tiles that lie side by side without overlapping, right and below, as positions in ``members``.

    Parameters
    ----------
    grid
        The tiles. Where the stride is smaller than a tile, side by side are those a whole tile apart.
    members
        int64 (row,): indices of the tiles that take part, rising.

    Returns
    -------
    int64 (pair, 2).
    """
    step = -(-grid.tile_size // grid.stride)
    position = np.full(grid.n_tiles, -1, dtype=np.int64)
    position[members] = np.arange(len(members))
    laid = position.reshape(grid.n_rows, grid.n_cols)
    beside = [(laid[:, :-step], laid[:, step:]), (laid[:-step], laid[step:])]
    pairs = np.concatenate([np.stack([one.ravel(), other.ravel()], axis=1) for one, other in beside])
    kept: Int = pairs[(pairs >= 0).all(axis=1)]
    return kept


def neighbour_metric(values: Rows, counts: Bool, pairs: Int, *, k: int, rng: np.random.Generator) -> Metric:
    """Learn a metric from neighbouring tiles alone.

    Parameters
    ----------
    values, counts
        float32 (row, time, feature) and bool (row, time), True at least once in a row, and finite there.
    pairs
        int64 (pair, 2): rows of tiles that lie side by side, from `neighbours`.
    k
        Number of zones, by which the number of axes is chosen: `LEAST_AXES`, or twice ``k``.
    rng
        Source of the sample of rows for the principal axes.

    Notes
    -----
    Where there are fewer pairs than twice the axes nothing is learned of them, and distances are Euclidean on the axes.
    """
    space = _Space.of(values, counts, pairs, k, rng)
    return space.metric(None if space.beside is None else space.whitening(space.beside))


def learned_partition(
    values: Rows,
    counts: Bool,
    pairs: Int,
    k: int,
    *,
    starts: int,
    rng: np.random.Generator,
    first: Int | None = None,
    independent: float = 1.0,
    track: Track = silent,
) -> tuple[Partition, Metric, Float32]:
    """Learn a partition and its metric in turn.

    Parameters
    ----------
    values, counts
        float32 (row, time, feature) and bool (row, time), True at least once in a row, and finite there.
    pairs
        int64 (pair, 2): rows of tiles that lie side by side, from `neighbours`; there may be none.
    k
        Number of clusters, at most the number of different rows.
    starts
        Twice as many k-means++ starts are made on the principal axes, where they are cheap, and again in the metric of
        neighbours alone; of each the partition of least error is carried on.
    rng
        Source of the starts.
    first
        Labels 0…k−1 that are carried on beside these two; ignored where a row has none (negative) or a label no row.
    independent
        Share of the pairs that count as independent: below 1 where tiles overlap, see `independent_share`.
    track
        Told of each start done.

    Returns
    -------
    The partition, with its centres (cluster, component) and its inertia, the sum of squared distances, in the metric;
    the metric; and the rows in it, float32 (row, component).

    Notes
    -----
    From each start, in turn the metric of the partition and K-means under it, from the centres where they were, until
    no tile moves. Where noise is loud only the start in the metric of neighbours is any good; where neighbours differ
    much only the other is. That partition is kept under which neighbours are most often of one zone; between those that
    are the same to the eye (`SAME_TO_THE_EYE`), the one within whose zones the covariance on the principal axes has the
    least determinant: the likelihood of a Gaussian mixture with one covariance, which unlike the error in a learned
    metric can be compared. Rounds cost O(n · axes²), however long the series are.
    Where a zone dies out, the last partition with all zones stands. Rows of which fewer than ``k`` differ on the axes
    are partitioned by K-means on all columns, gaps filled, at first, for which alone they are all loaded. Memory: the
    rows on the axes in float32, about five times, what scikit-learn takes among it. Three passes over rows that are
    stored.
    """
    space = _Space.of(values, counts, pairs, k, rng)
    turns = [None] if space.beside is None else [None, space.whitening(space.beside)]
    begun = [space.begun(turn, k, starts=2 * starts, rng=rng, track=track) for turn in turns]
    begun += [] if first is None else [first]
    complete = [labels for labels in begun if labels.min() >= 0 and len(np.unique(labels)) == k]
    if not complete:  # rows that are alike on the axes, but not beyond them
        matrix, _ = whole_rows(values, counts)
        complete = [_all_filled(matrix, fit(matrix, k, None, 0).labels, k)]
    settled = [space.settled(labels, k) for labels in complete]
    together = [float((labels[pairs[:, 0]] == labels[pairs[:, 1]]).mean()) if len(pairs) else 0.0 for labels in settled]
    least = max(together) - SAME_TO_THE_EYE - by_chance(max(together), len(pairs) * independent)
    alike = [labels for labels, share in zip(settled, together, strict=True) if share > least]
    labels = min(alike, key=lambda labels: space.log_volume(labels, k))
    metric = space.metric(space.whitening(space.within(labels, k)))
    in_it = metric.apply(values, counts)
    centres = _means(in_it, labels, k)
    inertia = float(np.trace(_scatter(in_it, labels, centres)))
    return Partition(labels=labels, centres=centres.astype(np.float32), inertia=inertia), metric, in_it


def independent_share(grid: Grid) -> float:
    """Return the share of the pairs of neighbours that lie on ground of their own: 1 where tiles do not overlap."""
    return (grid.stride / grid.tile_size) ** 2


def by_chance(share: float, n_pairs: float) -> float:
    """Return by how much two partitions may differ in the share of neighbours in one zone, by chance alone.

    Two standard errors of the difference of two shares of ``n_pairs`` independent pairs.
    """
    return 2 * math.sqrt(2 * share * (1 - share) / max(n_pairs, 1))


def in_metric(series: xr.Dataset, zones: xr.Dataset) -> tuple[Float32, Float64] | None:
    """Return series and centroids in the metric of a partition, or None where that is Euclidean.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on one grid.

    Returns
    -------
    float32 (tile, 1, component), NaN for tiles of no zone; float64 (zone, 1, component). As series of one date, whose
    ``flat`` and ``sumnorm`` distances are both the learned one.
    """
    if "metric_axes" not in zones:
        return None
    metric = metric_of(zones)
    values, counts, members = seen_rows(rows_of(series), counted(series))
    placed = np.full((series.sizes["tile"], 1, metric.axes.shape[1]), np.nan, dtype=np.float32)
    placed[members, 0] = metric.apply(values, counts)
    return placed, metric_centroids(zones)[:, None]


def metric_of(zones: xr.Dataset) -> Metric:
    """Return the metric that a partition by the clusterer ``learned`` carries."""
    axes = zones["metric_axes"].to_numpy().astype(np.float64)
    origin = zones["metric_origin"].to_numpy().astype(np.float64)
    if "metric_ridge" not in zones:
        raise InputError("the zones were made by an earlier version of taxoscape (no metric_ridge): cluster again")
    ridge = zones["metric_ridge"].to_numpy().astype(np.float64)
    return Metric(origin=origin.ravel(), axes=axes.reshape(-1, axes.shape[-1]), ridge=ridge)


def metric_centroids(zones: xr.Dataset) -> Float64:
    """Return the centroids of a partition in its learned metric: float64 (zone, component)."""
    return np.asarray(zones["metric_centroids"].to_numpy().astype(np.float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Space:
    """Rows on their first principal axes, and what neighbours tell of them."""

    axes: Axes
    """The axes."""
    rows: Float32
    """float32 (row, axis)."""
    beside: Float64 | None
    """Covariance of half the difference of neighbours: float64 (axis, axis); None where there are too few."""
    variance: float
    """Mean variance of the axes."""

    @classmethod
    def of(cls, values: Rows, counts: Bool, pairs: Int, k: int, rng: np.random.Generator) -> _Space:
        axes = fit_axes(values, counts, max(LEAST_AXES, 2 * k), rng=rng)
        rows = Metric.of(axes).apply(values, counts)
        enough = len(pairs) >= 2 * rows.shape[1] / ALIKE
        beside = covariance_of_alike(rows, pairs) if enough else None
        one = np.zeros(len(rows), dtype=np.int64)
        total = np.trace(_scatter(rows, one, _means(rows, one, 1)))
        return cls(axes=axes, rows=rows, beside=beside, variance=float(total) / rows.size)

    def begun(self, whitening: Float64 | None, k: int, *, starts: int, rng: np.random.Generator, track: Track) -> Int:
        """Return the labels of the best of several starts, on the axes or, float64 (axis, component), after a map."""
        rows = self.rows if whitening is None else self.turned(whitening)
        tried = partitions(rows, k, starts=starts, rng=rng, track=track)
        return min(tried, key=lambda found: found.inertia).labels

    def turned(self, whitening: Float64) -> Float32:
        """Return the rows after a map: float32 (row, component)."""
        result = np.empty((len(self.rows), whitening.shape[1]), dtype=np.float32)
        for part in row_blocks(len(result), 8 * result.shape[1], AXES_BYTES):
            result[part] = self.rows[part] @ whitening
        return result

    def within(self, labels: Int, k: int) -> Float64:
        """Return what varies within zones: by neighbours and by a partition, in equal parts."""
        zones = self._zones(labels, k)
        if self.beside is None:
            return zones
        scale = np.trace(np.linalg.solve(self._steady(self.beside), zones)) / len(zones)
        return np.asarray((self.beside + zones / max(scale, 1e-12)) / 2)

    def settled(self, labels: Int, k: int) -> Int:
        """Return the labels at which partition and metric, made of each other in turn, come to rest."""
        for _ in range(ROUNDS):
            turned = self.turned(self.whitening(self.within(labels, k)))
            found = fit(turned, k, _means(turned, labels, k).astype(np.float32), 0).labels
            if len(np.unique(found)) < k or np.array_equal(found, labels):
                break
            labels = found
        return labels

    def log_volume(self, labels: Int, k: int) -> float:
        """Return the logarithm of the determinant of the covariance within zones."""
        return float(np.linalg.slogdet(self._steady(self._zones(labels, k)))[1])

    def whitening(self, within: Float64) -> Float64:
        """Return the map, float64 (axis, component), after which ``within`` is about the identity."""
        variances, axes = np.linalg.eigh(self._steady(within))
        return np.asarray(axes / np.sqrt(variances))

    def metric(self, whitening: Float64 | None) -> Metric:
        """Return the metric of a whitening; Euclidean on the axes where that is None."""
        return Metric.of(self.axes, whitening)

    def _zones(self, labels: Int, k: int) -> Float64:
        """Return the covariance within the zones of a partition."""
        return _scatter(self.rows, labels, _means(self.rows, labels, k)) / len(self.rows)

    def _steady(self, within: Float64) -> Float64:
        """Return a covariance with a share of the mean variance of the axes added to each."""
        share = max(SHRINKAGE * self.variance, 1e-12)
        return np.asarray(within + share * np.eye(len(within)))


def _means(rows: Float32, labels: Int, k: int) -> Float64:
    """Return the mean row of each cluster, none of them empty: float64 (cluster, column)."""
    sums = np.zeros((k, rows.shape[1]))
    for part in row_blocks(len(rows), 8 * (k + rows.shape[1]), AXES_BYTES):
        member = (labels[part] == np.arange(k)[:, None]).astype(np.float64)
        sums += member @ rows[part].astype(np.float64)
    return np.asarray(sums / np.bincount(labels, minlength=k)[:, None])


def _scatter(rows: Float32, labels: Int, centres: Float64) -> Float64:
    """Return the second moment, summed over rows, of how they differ from their centres: float64 (column, column)."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for part in row_blocks(len(rows), 8 * rows.shape[1], AXES_BYTES):
        apart = rows[part] - centres[labels[part]]
        total += apart.T @ apart
    return total


def _all_filled(matrix: Float32, labels: Int, k: int) -> Int:
    """Return labels in which each empty cluster has the row that is farthest from its cluster's mean."""
    labels = labels.copy()
    for empty in np.setdiff1d(np.arange(k), labels):
        known, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        means = np.stack([matrix[labels == label].mean(axis=0, dtype=np.float64) for label in known])
        apart = np.square(matrix - means[place]).sum(axis=1)
        labels[np.where(sizes[place] > 1, apart, -1).argmax()] = empty
    return labels
